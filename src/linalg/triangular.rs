//! Products and solves with a lower triangular matrix, row-major; what stands above the diagonal is never read.

use super::{LinalgError, add_scaled, check_lengths, dot};

/// Solves `L x = b` in place: `b` (length `n`) becomes `x`.
///
/// A zero on the diagonal gives infinite or NaN elements, as a division by zero does.
///
/// # Errors
/// [`LinalgError::Length`].
pub fn solve_lower(l: &[f64], n: usize, b: &mut [f64]) -> Result<(), LinalgError> {
    check_lengths(l, n, Some(b))?;
    for i in 0..n {
        let row = &l[i * n..=i * n + i];
        let (known, unknown) = b.split_at_mut(i);
        unknown[0] = (unknown[0] - dot(row, known)) / row[i];
    }
    Ok(())
}

/// Solves `L' x = b` in place: `b` (length `n`) becomes `x`.
///
/// # Errors
/// [`LinalgError::Length`].
pub fn solve_lower_transposed(l: &[f64], n: usize, b: &mut [f64]) -> Result<(), LinalgError> {
    check_lengths(l, n, Some(b))?;
    for i in (0..n).rev() {
        let row = &l[i * n..=i * n + i];
        let (unknown, known) = b.split_at_mut(i);
        known[0] /= row[i];
        add_scaled(unknown, -known[0], row);
    }
    Ok(())
}

/// Replaces `x` (length `n`) by `L x`: a standard normal vector becomes one with covariance `L L'`.
///
/// # Errors
/// [`LinalgError::Length`].
pub fn lower_times(l: &[f64], n: usize, x: &mut [f64]) -> Result<(), LinalgError> {
    check_lengths(l, n, Some(x))?;
    for i in (0..n).rev() {
        x[i] = dot(&l[i * n..=i * n + i], &x[..=i]);
    }
    Ok(())
}

/// Replaces `x` (length `n`) by `L' x`.
///
/// # Errors
/// [`LinalgError::Length`].
pub fn lower_transposed_times(l: &[f64], n: usize, x: &mut [f64]) -> Result<(), LinalgError> {
    check_lengths(l, n, Some(x))?;
    for i in 0..n {
        let row = &l[i * n..=i * n + i];
        let (done, rest) = x.split_at_mut(i);
        add_scaled(done, rest[0], row);
        rest[0] *= row[i];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Powers of two and small integers: every step is exact. The 99s must not be read.
    const L: [f64; 9] = [2.0, 99.0, 99.0, -1.0, 4.0, 99.0, 3.0, 5.0, 0.5];
    const X: [f64; 3] = [1.0, -2.0, 8.0];
    const L_X: [f64; 3] = [2.0, -9.0, -3.0];
    const LT_X: [f64; 3] = [28.0, 32.0, 4.0];

    #[test]
    fn products_and_solves_are_exact_inverses() {
        let (mut a, mut b) = (X, X);
        lower_times(&L, 3, &mut a).unwrap();
        lower_transposed_times(&L, 3, &mut b).unwrap();
        assert_eq!((a, b), (L_X, LT_X));
        solve_lower(&L, 3, &mut a).unwrap();
        solve_lower_transposed(&L, 3, &mut b).unwrap();
        assert_eq!((a, b), (X, X));
    }

    #[test]
    fn lengths_are_checked() {
        for f in [solve_lower, solve_lower_transposed, lower_times, lower_transposed_times] {
            assert_eq!(f(&[], 0, &mut []), Ok(()));
            assert_eq!(f(&L, 2, &mut [0.0; 2]), Err(LinalgError::Length { expected: 4, found: 9 }));
            assert_eq!(f(&L, 3, &mut [0.0; 2]), Err(LinalgError::Length { expected: 3, found: 2 }));
            assert!(f(&[], usize::MAX, &mut []).is_err());
        }
    }
}
