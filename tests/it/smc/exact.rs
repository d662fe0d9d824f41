//! Exact inference against conditioning, enumeration and reference values.

mod hidden_markov;
mod kalman;

use ndarray::Array2;

const MISSING: f64 = f64::NAN;

/// The draws with step t taken from the draw t places later: right marginals, no dependence between steps.
fn shifted<T: Clone>(draws: &Array2<T>, per_step: usize) -> Array2<T> {
    let n = draws.nrows();
    Array2::from_shape_fn(draws.dim(), |(i, j)| draws[[(i + j / per_step) % n, j]].clone())
}
