//! Small dense matrices as row-major slices, for loops that must not allocate.

use ndarray::{Array, Array2, Array3, Dimension};

use crate::error::{Error, Result};

/// A vector or matrix for each step, or one for all steps; `size` numbers each.
#[derive(Debug, Clone)]
pub(super) struct Series {
    data: Vec<f64>,
    size: usize,
    varies: bool,
}

impl Series {
    pub(super) fn constant(data: Vec<f64>) -> Self {
        Self { size: data.len(), data, varies: false }
    }

    pub(super) fn varying(data: Vec<f64>, size: usize) -> Self {
        Self { data, size, varies: true }
    }

    /// The entry of one step. The caller has checked [`Series::check_len`].
    pub(super) fn at(&self, step: usize) -> &[f64] {
        if self.varies { &self.data[step * self.size..][..self.size] } else { &self.data }
    }

    /// Fails if there are fewer than `steps` entries.
    pub(super) fn check_len(&self, what: &'static str, steps: usize) -> Result<()> {
        let found = self.data.len() / self.size;
        if self.varies && found < steps { Err(Error::Dimension { what, expected: steps, found }) } else { Ok(()) }
    }
}

/// `out = A B` for A of n x k and B of k x m.
pub(super) fn multiply(a: &[f64], b: &[f64], k: usize, m: usize, out: &mut [f64]) {
    for (row, out) in a.chunks_exact(k).zip(out.chunks_exact_mut(m)) {
        out.fill(0.0);
        for (&x, b) in row.iter().zip(b.chunks_exact(m)) {
            for (out, &b) in out.iter_mut().zip(b) {
                *out += x * b;
            }
        }
    }
}

/// `out = A B'` for A of n x k and B of m x k.
pub(super) fn multiply_transposed(a: &[f64], b: &[f64], k: usize, m: usize, out: &mut [f64]) {
    for (row, out) in a.chunks_exact(k).zip(out.chunks_exact_mut(m)) {
        for (out, b) in out.iter_mut().zip(b.chunks_exact(k)) {
            *out = dot(row, b);
        }
    }
}

/// `out += A x`.
pub(super) fn add_product(a: &[f64], x: &[f64], out: &mut [f64]) {
    for (out, row) in out.iter_mut().zip(a.chunks_exact(x.len())) {
        *out += dot(row, x);
    }
}

/// `out += A P A'` for A of n x k and P symmetric of order k, kept exactly symmetric; `scratch` holds n k numbers.
pub(super) fn add_sandwich(a: &[f64], p: &[f64], k: usize, n: usize, scratch: &mut [f64], out: &mut [f64]) {
    multiply(a, p, k, k, scratch);
    for i in 0..n {
        for j in 0..=i {
            // The mirror image is added to itself so that `out` stays symmetric if it was.
            let sum = dot(&scratch[i * k..][..k], &a[j * k..][..k]);
            out[i * n + j] += sum;
            if i != j {
                out[j * n + i] += sum;
            }
        }
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Replaces a positive semidefinite A by L with A = L L', L lower triangular with a zero column for each pivot that is zero to working
/// precision, and gives the index of the first such pivot.
///
/// A pivot is zero if at most 64 n ε times the diagonal entry it began as: the rounding error of forming and factoring A. NaN counts as
/// zero.
pub(super) fn cholesky_semidefinite(a: &mut [f64], n: usize) -> Option<usize> {
    let mut first = None;
    for j in 0..n {
        let diagonal = a[j * n + j];
        let pivot = diagonal - dot(&a[j * n..][..j], &a[j * n..][..j]);
        let positive = pivot > 64.0 * n as f64 * f64::EPSILON * diagonal && pivot.is_finite();
        if !positive {
            first = first.or(Some(j));
        }
        let root = if positive { pivot.sqrt() } else { 0.0 };
        a[j * n + j] = root;
        for i in j + 1..n {
            let rest = a[i * n + j] - dot(&a[i * n..][..j], &a[j * n..][..j]);
            a[i * n + j] = if positive { rest / root } else { 0.0 };
            a[j * n + i] = 0.0;
        }
    }
    first
}

/// Replaces b by a solution of L L' x = b, with zeros where L has a zero pivot; exact if b lies in the range of L L'.
pub(super) fn solve_semidefinite(l: &[f64], n: usize, b: &mut [f64]) {
    for i in 0..n {
        let rest = b[i] - dot(&l[i * n..][..i], &b[..i]);
        b[i] = if l[i * n + i] > 0.0 { rest / l[i * n + i] } else { 0.0 };
    }
    for i in (0..n).rev() {
        if l[i * n + i] > 0.0 {
            let rest: f64 = (i + 1..n).map(|k| l[k * n + i] * b[k]).sum();
            b[i] = (b[i] - rest) / l[i * n + i];
        }
    }
}

/// The numbers of step `t` in an array whose first axis counts steps and whose other axes hold `size` numbers together.
pub(super) fn at<D: Dimension>(array: &Array<f64, D>, t: usize, size: usize) -> &[f64] {
    // An array built by this module is contiguous, so the empty slice is never taken.
    &array.as_slice_memory_order().unwrap_or_default()[t * size..][..size]
}

pub(super) fn array2(rows: usize, columns: usize, data: Vec<f64>) -> Result<Array2<f64>> {
    let found = data.len();
    Array2::from_shape_vec((rows, columns), data).map_err(|_| length(rows * columns, found))
}

pub(super) fn array3(steps: usize, rows: usize, columns: usize, data: Vec<f64>) -> Result<Array3<f64>> {
    let found = data.len();
    Array3::from_shape_vec((steps, rows, columns), data).map_err(|_| length(steps * rows * columns, found))
}

fn length(expected: usize, found: usize) -> Error {
    Error::Dimension { what: "result", expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_singular_matrix_is_factored_and_solved_on_its_range() {
        // Rank 2: the second row is twice the first one.
        let a = [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 5.0];
        let mut l = a;
        assert_eq!(cholesky_semidefinite(&mut l, 3), Some(1));
        let mut product = [0.0; 9];
        multiply_transposed(&l, &l, 3, 3, &mut product);
        assert_eq!(product, a);
        let x = [1.0, -1.0, 0.5];
        let mut b = [0.0; 3];
        add_product(&a, &x, &mut b);
        let range = b;
        solve_semidefinite(&l, 3, &mut b);
        let mut again = [0.0; 3];
        add_product(&a, &b, &mut again);
        assert_eq!(again, range);
    }

    #[test]
    fn not_a_number_is_no_pivot() {
        assert_eq!(cholesky_semidefinite(&mut [f64::NAN], 1), Some(0));
        assert_eq!(cholesky_semidefinite(&mut [f64::INFINITY], 1), Some(0));
    }
}
