//! Posterity.
pub mod adaptation;
pub mod autodiff;
pub mod diagnostics;
pub mod distributions;
pub mod draws;
pub mod error;
pub mod kernels;
pub mod linalg;
pub mod math;
pub mod mcmc;
pub mod model;
pub mod parallel;
pub mod rng;
pub mod transforms;

pub use error::{DensityError, Error, FormatProblem, Result, StartFailure};
