//! Dense linear algebra in `f64`: one thin face over two back ends.
//!
//! Functions on slices take matrices row-major with their order `n`, work in place without allocating where they can, and return a
//! [`LinalgError`]; they are meant for inner loops. Functions on ndarray views return new arrays and the crate's [`Error`].
//! A Cholesky factor is the lower triangle `L` with `A = L L'`, its upper triangle zero. The empty matrix (`n = 0`) is valid everywhere.
//!
//! | operation | without features | feature `lapack` |
//! |---|---|---|
//! | Cholesky, small; triangular solves; up- and downdates; QR | plain loops | plain loops |
//! | Cholesky, large; eigenvalues; SVD; LU | faer, on one thread | LAPACK by ndarray-linalg |
//!
//! The feature `lapack` names no LAPACK of its own. Enable `openblas-system` to link the system's OpenBLAS (Debian: `libopenblas-dev`), or
//! enable a back end of ndarray-linalg or link a `*-src` crate in your own package; with none of these, compiling works and linking
//! fails with undefined symbols such as `dpotrf_`. LAPACK's own threads may change the last bits: set
//! `OPENBLAS_NUM_THREADS=1` where results must repeat exactly.

mod cholesky;
mod decomposition;
#[cfg_attr(feature = "lapack", path = "lapack.rs")]
#[cfg_attr(not(feature = "lapack"), path = "faer.rs")]
mod dense;
pub(crate) mod product;
pub(crate) mod single;
mod triangular;

pub use cholesky::{
    cholesky_downdate, cholesky_in_place, cholesky_inverse, cholesky_log_determinant, cholesky_update, solve_cholesky,
};
pub use decomposition::{Eigen, Qr, Svd, cholesky, matmul, qr, solve, svd, symmetric_eigen};
pub use triangular::{lower_times, lower_transposed_times, solve_lower, solve_lower_transposed};

use crate::error::{DensityError, Error};

/// What can go wrong in the functions on slices.
///
/// [`LinalgError::named`] and [`LinalgError::in_density`] give the matrix a name and turn it into the crate's errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinalgError {
    /// The matrix is not positive definite, or holds a value that is not finite.
    #[error("not positive definite (pivot {pivot})")]
    NotPositive {
        /// Index of the first pivot that is not positive and finite.
        pivot: usize,
    },
    /// A slice's length does not fit the order of the matrix.
    #[error("expected length {expected}, found {found}")]
    Length {
        /// The length that fits.
        expected: usize,
        /// The length found.
        found: usize,
    },
}

impl LinalgError {
    /// The crate's error about the matrix `what`.
    #[must_use]
    pub fn named(self, what: &'static str) -> Error {
        match self {
            Self::NotPositive { pivot } => Error::NotPositiveDefinite { what, pivot },
            Self::Length { expected, found } => Error::Dimension { what, expected, found },
        }
    }

    /// The error of one evaluation of a log density about the matrix `what`.
    #[must_use]
    pub fn in_density(self, what: &'static str) -> DensityError {
        match self {
            Self::NotPositive { pivot } => DensityError::NotPositiveDefinite { what, pivot },
            Self::Length { expected, found } => DensityError::Length { what, expected, found },
        }
    }
}

/// Checks the lengths of an n x n matrix and of vectors of length n.
fn check_lengths(matrix: &[f64], n: usize, vector: Option<&[f64]>) -> Result<(), LinalgError> {
    if n.checked_mul(n) != Some(matrix.len()) {
        return Err(LinalgError::Length { expected: n.saturating_mul(n), found: matrix.len() });
    }
    match vector {
        Some(v) if v.len() != n => Err(LinalgError::Length { expected: n, found: v.len() }),
        _ => Ok(()),
    }
}

/// The inner product over the shorter slice, in four lanes.
#[inline]
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len().min(y.len());
    let (x_chunks, x_rest) = x[..n].as_chunks::<4>();
    let (y_chunks, y_rest) = y[..n].as_chunks::<4>();
    let mut lanes = [0.0; 4];
    for (a, b) in x_chunks.iter().zip(y_chunks) {
        for i in 0..4 {
            lanes[i] += a[i] * b[i];
        }
    }
    let rest: f64 = x_rest.iter().zip(y_rest).map(|(a, b)| a * b).sum();
    ((lanes[0] + lanes[2]) + (lanes[1] + lanes[3])) + rest
}

/// `y += a x` over the shorter slice.
#[inline]
fn add_scaled(y: &mut [f64], a: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}
