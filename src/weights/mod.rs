//! The weight machine of sequential Monte Carlo: log-weights, log-evidence, effective sample size, resampling and genealogy.
//!
//! Nothing here knows of particles or models.

pub mod resampling;

pub use resampling::{ResampleError, Resampler, Scheme};
