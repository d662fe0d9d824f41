//! Smoothing: the law of whole paths given all observations, from the history of a particle filter.
//!
//! A filter's cloud at step t knows the observations up to t. Smoothers use the later ones too:
//!
//! | what | result | needs | cost |
//! |---|---|---|---|
//! | [`genealogy`] | paths, all the same far back | history | M T |
//! | [`backward_sample`] with [`BackwardSampling::Mcmc`] | paths | history, transition density | M T per MCMC step |
//! | [`backward_sample`] with [`BackwardSampling::Rejection`] | paths | and its bound | M T / acceptance rate |
//! | [`backward_sample`] with [`BackwardSampling::Exact`] | paths | history, transition density | M N T |
//! | [`FixedLagSmoother`] | marginal means and variances, during the run | nothing kept | N L K per step |
//!
//! for M paths, N particles, T steps and lag L. The first four look at a finished (or paused) run with
//! [`Keep::All`](crate::smc::Keep::All). Bootstrap, guided and auxiliary filters serve alike, with any resampling rule: the
//! weights of the history are those of step t after its observation and before resampling. Linear Gaussian and finite models have exact
//! smoothers in [`exact`](crate::smc::exact).
//!
//! ```
//! use posterity::model::zoo::Ar1;
//! use posterity::smc::smoothing::{BackwardSampling, backward_sample, genealogy};
//! use posterity::smc::{Bootstrap, Keep, Smc, SmcConfig};
//! let y = (0..400).map(|t| (0.3 * f64::from(t)).sin()).collect();
//! let model = Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 1.0, y };
//! let mut filter = Smc::new(Bootstrap(model), SmcConfig::new(50, 1).keep(Keep::All))?;
//! filter.run()?;
//! let paths = backward_sample(&filter, 50, BackwardSampling::default(), 2)?;
//! let (mean, variance) = (paths.mean(|x| *x), paths.variance(|x| *x));
//! assert_eq!(mean.len(), 400);
//! assert!(variance.iter().all(|v| *v > 0.0));
//! // Read off the genealogy, the early steps know one path only, and say so.
//! let paths = genealogy(&filter, 50, 2)?;
//! assert!(paths.coalesced_before() > Some(100) && paths.variance(|x| *x)[0] == 0.0);
//! # Ok::<(), posterity::Error>(())
//! ```
//!
//! Source: N. Chopin and O. Papaspiliopoulos, *An Introduction to Sequential Monte Carlo*, 2020, chapter 12,
//! doi:10.1007/978-3-030-47845-2.

mod backward;
mod backward_kernels;
mod coalescence;
mod error;
mod fixed_lag;
mod genealogy;
mod guide_table;
mod paths;

pub use backward::{BackwardSampling, backward_sample};
pub use error::SmoothingError;
pub use fixed_lag::FixedLagSmoother;
pub use genealogy::genealogy;
pub use paths::Paths;

pub(super) use guide_table::GuideTable;

use crate::rng::{Purpose, Stream};

/// Paths per random stream: part of what a seed means.
const BLOCK: usize = 128;

/// The stream of a block of paths at a step.
fn stream(seed: u64, step: usize, block: usize) -> Stream {
    Stream::keyed(seed, Purpose::Smoothing, step as u64, block as u64)
}
