//! Posterity.
pub mod error;
pub mod model;
pub mod rng;

pub use error::{DensityError, Error, FormatProblem, Result, StartFailure};
