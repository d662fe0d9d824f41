//! The dense back end by faer, always on the caller's thread.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor as llt;
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::lu::partial_pivoting::{factor as lu, solve as lu_solve};
use faer::linalg::svd::{ComputeSvdVectors, svd as faer_svd, svd_scratch};
use faer::prelude::default;
use faer::{Conj, Mat, MatMut, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView2};

use super::LinalgError;

fn view<'a>(a: &'a ArrayView2<'_, f64>) -> MatRef<'a, f64> {
    // A view in standard layout is borrowed; `decomposition` hands in nothing else.
    MatRef::from_row_major_slice(a.as_slice().unwrap_or(&[]), a.nrows(), a.ncols())
}

fn array(m: MatRef<'_, f64>) -> Array2<f64> {
    Array2::from_shape_fn((m.nrows(), m.ncols()), |(i, j)| m[(i, j)])
}

pub(super) fn cholesky(a: &mut [f64], n: usize) -> Result<(), LinalgError> {
    let mut buffer = MemBuffer::new(llt::cholesky_in_place_scratch::<f64>(n, Par::Seq, default()));
    // faer is many times slower on row-major matrices: factor the mirror image, whose columns are the rows here.
    for i in 0..n {
        for j in 0..i {
            a[j * n + i] = a[i * n + j];
        }
    }
    let matrix = MatMut::from_column_major_slice_mut(a, n, n);
    match llt::cholesky_in_place(matrix, default(), Par::Seq, MemStack::new(&mut buffer), default()) {
        Ok(_) => {}
        Err(llt::LltError::NonPositivePivot { index }) => return Err(LinalgError::NotPositive { pivot: index }),
    }
    for i in 0..n {
        for j in 0..i {
            a[i * n + j] = a[j * n + i];
        }
    }
    Ok(())
}

/// Eigenvalues ascending and eigenvectors in columns; `None` without convergence.
pub(super) fn symmetric_eigen(a: &ArrayView2<'_, f64>) -> Option<(Array1<f64>, Array2<f64>)> {
    let n = a.nrows();
    let (mut values, mut vectors) = (Diag::zeros(n), Mat::zeros(n, n));
    let scratch = self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, Par::Seq, default());
    let mut buffer = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut buffer);
    self_adjoint_evd(view(a), values.as_mut(), Some(vectors.as_mut()), Par::Seq, stack, default()).ok()?;
    Some(((0..n).map(|i| values[i]).collect(), array(vectors.as_ref())))
}

/// Thin left vectors, singular values descending, right vectors in columns; `None` without convergence.
pub(super) fn svd(a: &ArrayView2<'_, f64>) -> Option<(Array2<f64>, Array1<f64>, Array2<f64>)> {
    let (m, n) = a.dim();
    let k = m.min(n);
    let (mut u, mut values, mut v) = (Mat::zeros(m, k), Diag::zeros(k), Mat::zeros(n, k));
    let thin = ComputeSvdVectors::Thin;
    let mut buffer = MemBuffer::new(svd_scratch::<f64>(m, n, thin, thin, Par::Seq, default()));
    let stack = MemStack::new(&mut buffer);
    faer_svd(view(a), values.as_mut(), Some(u.as_mut()), Some(v.as_mut()), Par::Seq, stack, default()).ok()?;
    Some((array(u.as_ref()), (0..k).map(|i| values[i]).collect(), array(v.as_ref())))
}

/// Solves `A x = b` in place by LU with partial pivoting; the error is the index of a zero pivot.
pub(super) fn solve(a: &ArrayView2<'_, f64>, b: &mut [f64]) -> Result<(), usize> {
    let n = a.nrows();
    let mut factors = view(a).to_owned();
    let (mut forward, mut backward) = (vec![0_usize; n], vec![0_usize; n]);
    let mut buffer = MemBuffer::new(lu::lu_in_place_scratch::<usize, f64>(n, n, Par::Seq, default()));
    let stack = MemStack::new(&mut buffer);
    let (_, permutation) = lu::lu_in_place(factors.as_mut(), &mut forward, &mut backward, Par::Seq, stack, default());
    if let Some(pivot) = (0..n).find(|&i| factors[(i, i)] == 0.0) {
        return Err(pivot);
    }
    let mut buffer = MemBuffer::new(lu_solve::solve_in_place_scratch::<usize, f64>(n, 1, Par::Seq));
    let right = MatMut::from_column_major_slice_mut(b, n, 1);
    let (f, stack) = (factors.as_ref(), MemStack::new(&mut buffer));
    lu_solve::solve_in_place_with_conj(f, f, permutation, Conj::No, right, Par::Seq, stack);
    Ok(())
}
