//! Posterity.
pub mod adaptation;
pub mod error;
pub mod kernels;
pub mod model;
pub mod rng;

pub use error::{DensityError, Error, FormatProblem, Result, StartFailure};
