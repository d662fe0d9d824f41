//! The dense back end by LAPACK, through ndarray-linalg; the same functions as the one by faer.

use lax::error::Error as LapackFailure;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2};
use ndarray_linalg::error::LinalgError as Failure;
use ndarray_linalg::{CholeskyInplace, Eigh, JobSvd, SVDDC, Solve, UPLO};

use super::LinalgError;

/// A copy with the strides of its shape, which ndarray-linalg insists on even along axes of length 1.
fn copied(a: &ArrayView2<'_, f64>) -> Array2<f64> {
    Array2::from_shape_fn(a.dim(), |index| a[index])
}

/// The index (from 0) that LAPACK names in a computational failure.
fn failed_pivot(failure: &Failure) -> usize {
    match failure {
        Failure::Lapack(LapackFailure::LapackComputationalFailure { return_code }) => (*return_code as usize).saturating_sub(1),
        _ => 0,
    }
}

pub(super) fn cholesky(a: &mut [f64], n: usize) -> Result<(), LinalgError> {
    let found = a.len();
    let mut matrix = ArrayViewMut2::from_shape((n, n), a).map_err(|_| LinalgError::Length { expected: n * n, found })?;
    match matrix.cholesky_inplace(UPLO::Lower) {
        Ok(_) => Ok(()),
        Err(failure) => Err(LinalgError::NotPositive { pivot: failed_pivot(&failure) }),
    }
}

/// Eigenvalues ascending and eigenvectors in columns; `None` without convergence.
pub(super) fn symmetric_eigen(a: &ArrayView2<'_, f64>) -> Option<(Array1<f64>, Array2<f64>)> {
    // Mirrored, for `eigh` swaps the triangles of row-major matrices.
    Array2::from_shape_fn(a.dim(), |(i, j)| a[(i.max(j), i.min(j))]).eigh(UPLO::Lower).ok()
}

/// Thin left vectors, singular values descending, right vectors in columns; `None` without convergence.
pub(super) fn svd(a: &ArrayView2<'_, f64>) -> Option<(Array2<f64>, Array1<f64>, Array2<f64>)> {
    let (u, values, vt) = copied(a).svddc(JobSvd::Some).ok()?;
    Some((u?, values, vt?.reversed_axes()))
}

/// Solves `A x = b` in place by LU with partial pivoting; the error is the index of a zero pivot.
pub(super) fn solve(a: &ArrayView2<'_, f64>, b: &mut [f64]) -> Result<(), usize> {
    let x = copied(a).solve(&ArrayView1::from(&*b)).map_err(|failure| failed_pivot(&failure))?;
    for (b, x) in b.iter_mut().zip(x) {
        *b = x;
    }
    Ok(())
}
