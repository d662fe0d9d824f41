//! Dense linear algebra as plain loops over row-major n x n matrices: the floor of the benchmark `linear_algebra`.

use crate::hand_written::dot;

/// Replaces a symmetric positive definite matrix by its lower Cholesky factor, with zeros above the diagonal.
pub fn cholesky(a: &mut [f64], n: usize) {
    for i in 0..n {
        let (above, rest) = a.split_at_mut(i * n);
        let row = &mut rest[..n];
        for j in 0..i {
            row[j] = (row[j] - dot(&row[..j], &above[j * n..j * n + j])) / above[j * n + j];
        }
        row[i] = (row[i] - dot(&row[..i], &row[..i])).sqrt();
        row[i + 1..].fill(0.0);
    }
}

/// Solves `L x = b` in place for a lower triangular matrix.
pub fn solve_lower(l: &[f64], n: usize, b: &mut [f64]) {
    for i in 0..n {
        b[i] = (b[i] - dot(&l[i * n..i * n + i], &b[..i])) / l[i * n + i];
    }
}

/// Solves `L' x = b` in place for a lower triangular matrix.
pub fn solve_lower_transposed(l: &[f64], n: usize, b: &mut [f64]) {
    for i in (0..n).rev() {
        b[i] /= l[i * n + i];
        let x = b[i];
        for (b, l) in b[..i].iter_mut().zip(&l[i * n..]) {
            *b -= x * l;
        }
    }
}

/// Solves `A x = b` in place by elimination with partial pivoting; `a` is overwritten.
pub fn solve(a: &mut [f64], n: usize, b: &mut [f64]) {
    for k in 0..n {
        let largest = (k..n).max_by(|&i, &j| a[i * n + k].abs().total_cmp(&a[j * n + k].abs())).unwrap_or(k);
        if largest != k {
            let (above, rest) = a.split_at_mut(largest * n);
            above[k * n..(k + 1) * n].swap_with_slice(&mut rest[..n]);
            b.swap(k, largest);
        }
        let (above, below) = a.split_at_mut((k + 1) * n);
        let pivot_row = &above[k * n..];
        for (i, row) in below.chunks_exact_mut(n).enumerate() {
            let factor = row[k] / pivot_row[k];
            for (entry, pivot) in row[k + 1..].iter_mut().zip(&pivot_row[k + 1..]) {
                *entry -= factor * pivot;
            }
            b[k + 1 + i] -= factor * b[k];
        }
    }
    for i in (0..n).rev() {
        b[i] = (b[i] - dot(&a[i * n + i + 1..(i + 1) * n], &b[i + 1..])) / a[i * n + i];
    }
}

/// Writes the product of two matrices to `out`, row by row as sums of rows of `b`.
pub fn matmul(a: &[f64], b: &[f64], n: usize, out: &mut [f64]) {
    out.fill(0.0);
    for (row, out) in a.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        for (x, b) in row.iter().zip(b.chunks_exact(n)) {
            for (out, b) in out.iter_mut().zip(b) {
                *out += x * b;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers with exact factors, so that every result is exact.
    #[test]
    fn exact_small_cases() {
        let mut l = [4.0, 2.0, 6.0, 2.0, 10.0, 9.0, 6.0, 9.0, 14.0];
        let a = l;
        cholesky(&mut l, 3);
        assert_eq!(l, [2.0, 0.0, 0.0, 1.0, 3.0, 0.0, 3.0, 2.0, 1.0]);

        let transposed = [2.0, 1.0, 3.0, 0.0, 3.0, 2.0, 0.0, 0.0, 1.0];
        let mut product = [f64::NAN; 9];
        matmul(&l, &transposed, 3, &mut product);
        assert_eq!(product, a);

        let x = [1.0, -2.0, 3.0];
        let mut b = [2.0, -5.0, 2.0];
        solve_lower(&l, 3, &mut b);
        assert_eq!(b, x);
        let mut b = [9.0, 0.0, 3.0];
        solve_lower_transposed(&l, 3, &mut b);
        assert_eq!(b, x);

        // The zero in the corner makes it pivot.
        let mut b = [4.0, -1.0, 4.0];
        solve(&mut [0.0, 1.0, 2.0, 1.0, 1.0, 0.0, 2.0, -1.0, 0.0], 3, &mut b);
        assert_eq!(b, x);
    }
}
