//! Products of parts of matrices, in place.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A part of a row-major matrix, or the transpose of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a>(MatRef<'a, f64>);

impl<'a> Part<'a> {
    /// The part with its first entry at the start of `values`, in a matrix whose rows start `stride` entries apart.
    ///
    /// # Panics
    /// If `values` ends before the part does.
    pub(crate) fn new(values: &'a [f64], (n_rows, n_columns): (usize, usize), stride: usize) -> Self {
        Self(MatRef::from_row_major_slice_with_stride(values, n_rows, n_columns, stride))
    }

    pub(crate) fn transposed(self) -> Self {
        Self(self.0.transpose())
    }
}

/// What becomes of the entries that a product is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onto {
    Replace,
    Add,
}

/// `out = scale · a · b`, or that added to it; the rows of `out` start `stride` entries apart.
///
/// By faer on the caller's thread, with either back end: the bits depend on shapes and entries alone.
///
/// # Panics
/// If the shapes do not agree.
pub(crate) fn multiply(scale: f64, a: Part<'_>, b: Part<'_>, onto: Onto, out: &mut [f64], stride: usize) {
    let accumulate = match onto {
        Onto::Replace => Accum::Replace,
        Onto::Add => Accum::Add,
    };
    // faer 0.24 takes the strides of `MatMut::from_row_major_slice_with_stride_mut` for those of columns, and writes past the end.
    let transposed = MatMut::from_column_major_slice_with_stride_mut(out, b.0.ncols(), a.0.nrows(), stride);
    matmul(transposed.transpose_mut(), accumulate, a.0, b.0, scale, Par::Seq);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn parts_and_transposes_are_multiplied_as_the_sums_say() {
        let mut random = Stream::new(1);
        for (n, m, k) in [(1, 1, 1), (3, 5, 2), (64, 130, 17), (64, 1, 9), (1, 12, 40)] {
            let mut normals = |n: usize| -> Vec<f64> { (0..n).map(|_| random.normal()).collect() };
            // Rows longer than the parts, and a left factor stored as its transpose.
            let (a, b, before) = (normals(k * (n + 2)), normals(k * (m + 1)), normals(n * (m + 3)));
            let (left, right) = (Part::new(&a, (k, n), n + 2).transposed(), Part::new(&b, (k, m), m + 1));
            let (mut set, mut added) = (before.clone(), before.clone());
            multiply(-2.0, left, right, Onto::Replace, &mut set, m + 3);
            multiply(-2.0, left, right, Onto::Add, &mut added, m + 3);
            for i in 0..n {
                for j in 0..m + 3 {
                    let at = i * (m + 3) + j;
                    let inside = j < m;
                    let product: f64 =
                        if inside { (0..k).map(|l| -2.0 * a[l * (n + 2) + i] * b[l * (m + 1) + j]).sum() } else { 0.0 };
                    assert!((set[at] - if inside { product } else { before[at] }).abs() < 1e-12);
                    assert!((added[at] - before[at] - product).abs() < 1e-12);
                }
            }
        }
    }
}
