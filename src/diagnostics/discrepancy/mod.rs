//! Distances between samples, and between a sample and a density of which only the score is known.

mod energy_distance;
mod mmd;
mod points;
mod preconditioner;
mod scores;
mod stein;
mod thinning;

pub use energy_distance::{energy_distance, energy_distance_unbiased};
pub use mmd::{median_distance, mmd_squared, mmd_squared_unbiased};
pub use points::Points;
pub(super) use points::rows;
pub use preconditioner::Preconditioner;
pub use scores::{scores_of, unconstrained_draws};
pub use stein::{SteinKernel, ksd};
pub use thinning::SteinThinning;
