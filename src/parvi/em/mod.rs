//! Expectation maximisation by particles: a cloud for the latent variables and one point for the parameters, which move at once.

mod conditional;
mod estimate;
mod run;
mod split;

pub use estimate::EmEstimate;
pub use run::ParticleEm;
