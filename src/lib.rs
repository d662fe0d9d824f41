//! Posterity.
pub mod error;
pub mod linalg;
pub mod math;
pub mod model;
pub mod parallel;
pub mod rng;

pub use error::{DensityError, Error, FormatProblem, Result, StartFailure};
