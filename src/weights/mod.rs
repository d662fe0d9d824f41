//! The weight machine of sequential Monte Carlo: log-weights, log-evidence, effective sample size, resampling and genealogy.
//!
//! Nothing here knows of particles or models. [`WeightMachine`] is what every engine drives; [`resampling`] holds the schemes,
//! unconditional and conditional.

mod cloud;
mod error;
mod genealogy;
mod machine;
pub mod resampling;
mod status;

pub use error::WeightError;
pub use genealogy::Genealogy;
pub use machine::{Pinned, Resample, Scope, Selected, Selection, WeightConfig, WeightMachine, Weights};
pub use resampling::{ResampleError, Resampler, Scheme};
pub use status::Status;
