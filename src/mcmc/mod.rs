//! Markov chain Monte Carlo: samplers that warm up, run chains in parallel, and hand back [`Draws`](crate::draws::Draws).
//!
//! [`Nuts`] is the default for smooth posteriors; [`Hmc`], [`Mala`] and [`RandomWalk`] are there beside it. A [`Run`] says how many chains and
//! draws, from which seed and start; it can be watched, stopped, saved and resumed. The same seed gives the same draws on any number of
//! threads.

mod adaptive;
mod assemble;
mod checkpoint;
mod descent;
mod engine;
mod hmc;
mod mala;
mod nuts;
mod point;
mod predictive;
#[cfg(feature = "progress")]
mod progress;
mod random_walk;
mod run;
mod sampler;
mod start;
mod warmup;

pub use adaptive::{AdaptationConfig, TunableKernel, TunedChain};
pub(crate) use descent::{Goal, descend};
pub use hmc::Hmc;
pub use mala::Mala;
pub use nuts::Nuts;
pub use predictive::{posterior_predictive, prior_draws};
pub use random_walk::RandomWalk;
pub use run::{Observer, Progress, Run, Start, StopFlag};
pub use sampler::{AdaptiveChain, Sampler, Transition};
pub(crate) use start::first_point;
pub use warmup::{Tuning, Warmup};
