//! How well does a model predict new observations? Estimates from the log likelihood of each observation at each draw.

mod compare;
mod loo;
mod pointwise;
mod waic;

pub use compare::{Compared, Comparison, PredictiveEstimate, compare};
pub use loo::{Loo, PointwiseLoo};
pub use pointwise::PointwiseLogLikelihood;
pub use waic::{PointwiseWaic, Waic};

use std::fmt::{self, Formatter};

use super::chains::variance;

/// Standard error √(N · variance) of the sum over N observations; NaN for a single one.
fn se_of_sum(terms: &[f64]) -> f64 {
    (terms.len() as f64 * variance(terms)).sqrt()
}

/// A line of an estimate with its standard error.
fn write_estimate(f: &mut Formatter<'_>, name: &str, estimate: f64, se: f64) -> fmt::Result {
    if se.is_nan() {
        writeln!(f, "{name:10} {estimate:12.1}        -")
    } else {
        writeln!(f, "{name:10} {estimate:12.1} {se:8.1}")
    }
}
