//! Posterity.
pub mod autodiff;
pub mod distributions;
pub mod error;
pub mod math;
pub mod adaptation;
pub mod kernels;
pub mod model;
pub mod parallel;
pub mod rng;
pub mod transforms;

pub use error::{DensityError, Error, FormatProblem, Result, StartFailure};
