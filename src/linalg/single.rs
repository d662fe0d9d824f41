//! Products of matrices in single precision, for the forward passes of neural networks.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// `out = x · w` for row-major matrices: as many rows in `x` and `out` as there are, `w` of shape (n_in, n_out).
///
/// By faer on one thread, with either back end. Each row of the result depends on its own row of `x` alone, to the bit. A product that adds
/// to what is there would not: a single row takes another path then.
///
/// # Panics
/// If the lengths of the slices do not agree.
pub(crate) fn multiply(x: &[f32], w: &[f32], (n_in, n_out): (usize, usize), out: &mut [f32]) {
    let n_rows = x.len() / n_in;
    let (x, w) = (MatRef::from_row_major_slice(x, n_rows, n_in), MatRef::from_row_major_slice(w, n_in, n_out));
    matmul(MatMut::from_row_major_slice_mut(out, n_rows, n_out), Accum::Replace, x, w, 1.0, Par::Seq);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn rows_are_sums_of_products_and_do_not_depend_on_each_other() {
        let mut random = Stream::new(1);
        for (n_in, n_out) in [(1, 1), (96, 24), (37, 5), (256, 96), (96, 1)] {
            let mut normals = |n: usize| -> Vec<f32> { (0..n).map(|_| random.normal() as f32).collect() };
            let n_rows = 150;
            let (x, w) = (normals(n_rows * n_in), normals(n_in * n_out));
            let mut all = vec![f32::NAN; n_rows * n_out];
            multiply(&x, &w, (n_in, n_out), &mut all);
            for (x, found) in x.chunks_exact(n_in).zip(all.chunks_exact(n_out)) {
                for (j, found) in found.iter().enumerate() {
                    let expected: f64 = x.iter().enumerate().map(|(k, &x)| f64::from(x) * f64::from(w[k * n_out + j])).sum();
                    assert!((f64::from(*found) - expected).abs() < 1e-4);
                }
            }
            for n in 1..=33 {
                let mut some = vec![f32::NAN; n * n_out];
                multiply(&x[..n * n_in], &w, (n_in, n_out), &mut some);
                assert_eq!(some, all[..n * n_out], "{n} rows");
            }
        }
    }
}
