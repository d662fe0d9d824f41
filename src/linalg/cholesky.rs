//! Cholesky factors: factorisation, solves, determinant, inverse and rank-one changes.

use super::{LinalgError, add_scaled, check_lengths, dense, dot, solve_lower, solve_lower_transposed};

/// Orders up to this use the plain loops; measured to be the faster ones there.
const PLAIN_UP_TO: usize = 80;

/// Replaces a symmetric positive definite matrix by its lower Cholesky factor; the upper triangle becomes zero and is never read.
///
/// On an error the content of `a` is unspecified.
///
/// ```
/// use posterity::linalg::cholesky_in_place;
/// let mut a = [4.0, 2.0, 2.0, 10.0];
/// cholesky_in_place(&mut a, 2)?;
/// assert_eq!(a, [2.0, 0.0, 1.0, 3.0]);
/// # Ok::<(), posterity::linalg::LinalgError>(())
/// ```
///
/// # Errors
/// [`LinalgError::NotPositive`] with the first pivot that is not positive and finite (NaN included), [`LinalgError::Length`].
pub fn cholesky_in_place(a: &mut [f64], n: usize) -> Result<(), LinalgError> {
    check_lengths(a, n, None)?;
    // The plain loops also find the pivot when an entry is not finite, which the back ends do not promise to notice.
    if n <= PLAIN_UP_TO || (0..n).any(|i| a[i * n..=i * n + i].iter().any(|v| !v.is_finite())) {
        return plain(a, n);
    }
    dense::cholesky(a, n)?;
    for i in 0..n {
        if !(a[i * n + i] > 0.0 && a[i * n + i].is_finite()) {
            return Err(LinalgError::NotPositive { pivot: i });
        }
        a[i * n + i + 1..(i + 1) * n].fill(0.0);
    }
    Ok(())
}

/// Row by row: `Lᵢⱼ = (Aᵢⱼ - Σₖ Lᵢₖ Lⱼₖ) / Lⱼⱼ`.
fn plain(a: &mut [f64], n: usize) -> Result<(), LinalgError> {
    for i in 0..n {
        let (above, rest) = a.split_at_mut(i * n);
        let row = &mut rest[..n];
        for j in 0..i {
            let pivot_row = &above[j * n..=j * n + j];
            row[j] = (row[j] - dot(&row[..j], pivot_row)) / pivot_row[j];
        }
        let square = row[i] - dot(&row[..i], &row[..i]);
        if !(square > 0.0 && square.is_finite()) {
            return Err(LinalgError::NotPositive { pivot: i });
        }
        row[i] = square.sqrt();
        row[i + 1..].fill(0.0);
    }
    Ok(())
}

/// Solves `L L' x = b` in place for the factor `l`: `b` (length `n`) becomes `x`.
///
/// # Errors
/// [`LinalgError::Length`].
pub fn solve_cholesky(l: &[f64], n: usize, b: &mut [f64]) -> Result<(), LinalgError> {
    solve_lower(l, n, b)?;
    solve_lower_transposed(l, n, b)
}

/// `log det(L L')` of the factored matrix, from its factor.
///
/// # Errors
/// [`LinalgError::Length`].
pub fn cholesky_log_determinant(l: &[f64], n: usize) -> Result<f64, LinalgError> {
    check_lengths(l, n, None)?;
    Ok(2.0 * (0..n).map(|i| l[i * n + i].ln()).sum::<f64>())
}

/// The inverse `(L L')⁻¹` of the factored matrix, n x n row-major and exactly symmetric.
///
/// # Errors
/// [`LinalgError::Length`].
pub fn cholesky_inverse(l: &[f64], n: usize) -> Result<Vec<f64>, LinalgError> {
    check_lengths(l, n, None)?;
    // Rows of L⁻¹, then L⁻¹' L⁻¹ as a sum over those rows.
    let mut inverse_factor = vec![0.0; n * n];
    for i in 0..n {
        let (above, rest) = inverse_factor.split_at_mut(i * n);
        let row = &mut rest[..=i];
        let pivot = l[i * n + i];
        for j in 0..i {
            add_scaled(row, -l[i * n + j] / pivot, &above[j * n..=j * n + j]);
        }
        row[i] = 1.0 / pivot;
    }
    let mut inverse = vec![0.0; n * n];
    for k in 0..n {
        let row = &inverse_factor[k * n..=k * n + k];
        for i in 0..=k {
            add_scaled(&mut inverse[i * n..=i * n + i], row[i], row);
        }
    }
    for i in 0..n {
        for j in 0..i {
            inverse[j * n + i] = inverse[i * n + j];
        }
    }
    Ok(inverse)
}

/// Replaces the factor of `A` by that of `A + x x'` in n² steps; `x` (length `n`) is overwritten.
///
/// Source: P. E. Gill, G. H. Golub, W. Murray and M. A. Saunders, Math. Comp. 28 (1974), doi:10.1090/S0025-5718-1974-0343558-6.
///
/// # Errors
/// [`LinalgError::Length`].
pub fn cholesky_update(l: &mut [f64], n: usize, x: &mut [f64]) -> Result<(), LinalgError> {
    check_lengths(l, n, Some(x))?;
    // Row i is turned by the rotations of the rows above it; the sines replace x.
    let mut cosines = vec![0.0; n];
    for i in 0..n {
        let row = &mut l[i * n..=i * n + i];
        let mut rest = x[i];
        for k in 0..i {
            let entry = row[k];
            row[k] = cosines[k] * entry + x[k] * rest;
            rest = cosines[k] * rest - x[k] * entry;
        }
        let length = row[i].hypot(rest);
        cosines[i] = row[i] / length;
        x[i] = rest / length;
        row[i] = length;
    }
    Ok(())
}

/// Replaces the factor of `A` by that of `A - x x'` in n² steps; `x` (length `n`) is overwritten.
///
/// Source: the mixed hyperbolic rotations of J. M. Chambers, J. Amer. Statist. Assoc. 66 (1971), doi:10.1080/01621459.1971.10482338.
///
/// # Errors
/// [`LinalgError::NotPositive`] if `A - x x'` is not positive definite; `l` is then unchanged. [`LinalgError::Length`].
pub fn cholesky_downdate(l: &mut [f64], n: usize, x: &mut [f64]) -> Result<(), LinalgError> {
    check_lengths(l, n, Some(x))?;
    // With p = L⁻¹ x, pivot i is multiplied by √(remaining after i / remaining before i), remaining = 1 - Σ p².
    let mut projection = x.to_vec();
    solve_lower(l, n, &mut projection)?;
    let mut remaining = 1.0;
    let mut ratios = vec![0.0; n];
    for (pivot, p) in projection.iter().enumerate() {
        let after = remaining - p * p;
        if after.is_nan() || after <= 0.0 {
            return Err(LinalgError::NotPositive { pivot });
        }
        ratios[pivot] = (after / remaining).sqrt();
        remaining = after;
    }
    // x[k] becomes the hyperbolic sine of rotation k, relative to the old pivot.
    for i in 0..n {
        let row = &mut l[i * n..=i * n + i];
        let mut rest = x[i];
        for k in 0..i {
            row[k] = (row[k] - x[k] * rest) / ratios[k];
            rest = ratios[k] * rest - x[k] * row[k];
        }
        x[i] = rest / row[i];
        row[i] *= ratios[i];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use proptest::prelude::*;
    use rand::RngExt;

    /// B B' + I for a random B: eigenvalues in [1, 1 + n²].
    fn positive_definite(n: usize, seed: u64) -> Vec<f64> {
        let mut random = Stream::new(seed);
        let b: Vec<f64> = (0..n * n).map(|_| random.random_range(-1.0..1.0)).collect();
        let mut a = multiply_transposed(&b, n);
        (0..n).for_each(|i| a[i * n + i] += 1.0);
        a
    }

    fn multiply_transposed(l: &[f64], n: usize) -> Vec<f64> {
        let entry = |i: usize| (0..n).map(|k| l[i / n * n + k] * l[i % n * n + k]).sum();
        (0..n * n).map(entry).collect()
    }

    /// Backward error of Cholesky: |A - L L'| <= (n + 1) eps max|A| (Higham, Accuracy and Stability, theorem 10.3).
    fn assert_near(a: &[f64], b: &[f64], n: usize, factor: f64) {
        let scale = b.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
        let error = a.iter().zip(b).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
        assert!(error <= factor * (n + 1) as f64 * f64::EPSILON * scale, "error {error:e} at scale {scale}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn factor_inverse_and_changes(n in 0usize..110, seed in 0u64..1000) {
            let a = positive_definite(n, seed);
            let mut l = a.clone();
            for i in 0..n {
                l[i * n + i + 1..(i + 1) * n].fill(f64::NAN); // never read
            }
            cholesky_in_place(&mut l, n).unwrap();
            prop_assert!((0..n).all(|i| l[i * n + i] > 0.0 && l[i * n + i + 1..(i + 1) * n].iter().all(|v| *v == 0.0)));
            assert_near(&multiply_transposed(&l, n), &a, n, 1.0);

            let inverse = cholesky_inverse(&l, n).unwrap();
            let x: Vec<f64> = (0..n).map(|i| (i as f64).sin()).collect();
            let mut b: Vec<f64> = (0..n).map(|i| dot(&a[i * n..(i + 1) * n], &x)).collect();
            let by_inverse: Vec<f64> = (0..n).map(|i| dot(&inverse[i * n..(i + 1) * n], &b)).collect();
            solve_cholesky(&l, n, &mut b).unwrap();
            // Forward error: the condition number is at most 1 + n².
            let condition = 1.0 + (n * n) as f64;
            assert_near(&b, &x, n, condition);
            assert_near(&by_inverse, &x, n, condition);

            let mut changed: Vec<f64> = a.clone();
            (0..n * n).for_each(|i| changed[i] += x[i / n] * x[i % n]);
            let before = l.clone();
            cholesky_update(&mut l, n, &mut x.clone()).unwrap();
            assert_near(&multiply_transposed(&l, n), &changed, n, 4.0);
            cholesky_downdate(&mut l, n, &mut x.clone()).unwrap();
            assert_near(&l, &before, n, condition);
        }
    }

    #[test]
    fn plain_and_dense_agree() {
        let n = 150;
        let a = positive_definite(n, 5);
        let (mut small, mut large) = (a.clone(), a);
        plain(&mut small, n).unwrap();
        cholesky_in_place(&mut large, n).unwrap();
        assert_near(&small, &large, n, 100.0);
    }

    #[test]
    fn first_bad_pivot_is_named_on_every_path() {
        for n in [1, 3, 80, 81, 200] {
            for pivot in [0, n / 2, n - 1] {
                for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0] {
                    let mut a = positive_definite(n, 6);
                    a[pivot * n + pivot] = bad;
                    assert_eq!(cholesky_in_place(&mut a, n), Err(LinalgError::NotPositive { pivot }), "n = {n}, {bad}");
                }
            }
            if n > 1 {
                let mut a = positive_definite(n, 7);
                a[(n - 1) * n] = f64::NAN;
                assert_eq!(cholesky_in_place(&mut a, n), Err(LinalgError::NotPositive { pivot: n - 1 }));
            }
        }
    }

    #[test]
    fn exact_small_case() {
        let mut l = [4.0, 2.0, 2.0, 10.0];
        cholesky_in_place(&mut l, 2).unwrap();
        assert_eq!(l, [2.0, 0.0, 1.0, 3.0]);
        assert_eq!(cholesky_log_determinant(&l, 2), Ok(36f64.ln()));
        assert_eq!(cholesky_inverse(&[2.0, 0.0, 1.0, 4.0], 2).unwrap(), [0.265625, -0.03125, -0.03125, 0.0625]);
        // A = diag(9, 16) plus x x' with x = (4, 0).
        let mut diagonal = [3.0, 0.0, 0.0, 4.0];
        cholesky_update(&mut diagonal, 2, &mut [4.0, 0.0]).unwrap();
        assert_eq!(diagonal, [5.0, 0.0, 0.0, 4.0]);
    }

    #[test]
    fn errors() {
        let mut l = [3.0, 0.0, 0.0, 4.0];
        for x in [[3.0, 0.0], [0.0, 4.5], [f64::NAN, 0.0], [0.0, f64::INFINITY]] {
            let pivot = usize::from(x[0] == 0.0);
            assert_eq!(cholesky_downdate(&mut l, 2, &mut x.clone()), Err(LinalgError::NotPositive { pivot }));
        }
        assert_eq!(l, [3.0, 0.0, 0.0, 4.0]);
        let length = LinalgError::Length { expected: 9, found: 4 };
        assert_eq!(cholesky_in_place(&mut l, 3), Err(length));
        assert_eq!(cholesky_inverse(&l, 3), Err(length));
        assert_eq!(cholesky_log_determinant(&l, 3), Err(length));
        assert_eq!(cholesky_update(&mut l, 2, &mut [0.0]), Err(LinalgError::Length { expected: 2, found: 1 }));
        assert_eq!(cholesky_downdate(&mut l, 2, &mut [0.0]), Err(LinalgError::Length { expected: 2, found: 1 }));
        assert_eq!(cholesky_in_place(&mut [], 0), Ok(()));
        assert_eq!(cholesky_log_determinant(&[], 0), Ok(0.0));
    }
}
