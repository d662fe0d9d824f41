//! Cholesky factors of correlation matrices, by canonical partial correlations.

use super::OutsideSupport;
use crate::autodiff::{Accumulator, Element, Lower, Real};

/// K(K-1)/2 numbers to the Cholesky factor L of a K × K correlation matrix: rows of unit length, positive diagonal.
///
/// ```text
/// zᵢⱼ = tanh uᵢⱼ                              canonical partial correlations, row by row
/// Lᵢⱼ = zᵢⱼ rᵢⱼ,   rᵢⱼ = √(1 - Σₖ<ⱼ Lᵢₖ²),    Lᵢᵢ = rᵢᵢ
/// ln |J| = Σᵢⱼ ln(1 - zᵢⱼ²) + ln rᵢⱼ
/// ```
/// The Jacobian is that of the strictly lower entries. Source: Lewandowski, Kurowicka & Joe 2009, <https://doi.org/10.1016/j.jmva.2009.04.008>.
///
/// # Panics
/// If the length of `u` is not `n (n - 1) / 2`.
pub fn cholesky_correlation<T: Real>(n: usize, u: &[T], jacobian: &mut Accumulator<T>) -> Lower<T> {
    assert_eq!(u.len(), n * n.saturating_sub(1) / 2, "number of partial correlations");
    let mut entries = Vec::with_capacity(n * (n + 1) / 2);
    let mut next = u.iter();
    for i in 0..n {
        // The rest √(1 - Σ L²) as a product of √(1 - z²) = 1/cosh u: no cancellation.
        let mut rest = T::constant(1.0);
        for j in 0..i {
            let Some(&u) = next.next() else { break };
            let e = u.element();
            // ln(1 - tanh² u) = 2 ln 2 - 2u - 2 ln(1 + e⁻²ᵘ), symmetric in u
            let magnitude = e.abs();
            let log_one_minus_square = -(magnitude + (magnitude * -2.0).exp().ln_1p()) * 2.0 + 2.0 * std::f64::consts::LN_2;
            let tanh = e.tanh();
            jacobian.add_value(log_one_minus_square);
            jacobian.push(u, tanh * -2.0);
            if j > 0 {
                jacobian.add(rest.ln());
            }
            entries.push(rest * u.tanh());
            let sech = (log_one_minus_square * 0.5).exp();
            rest *= u.unary(sech, -(sech * tanh));
        }
        entries.push(rest);
    }
    Lower::from_fn(n, |i, j| entries[i * (i + 1) / 2 + j])
}

/// The inverse of [`cholesky_correlation`]; `entries` are the lower triangle row by row, K(K+1)/2 numbers.
///
/// # Errors
/// [`OutsideSupport`] unless every row has length 1 (up to 1e-8) and a positive last entry; the index is that of the entry, or of the
/// row's last entry for a row of another length.
pub fn cholesky_correlation_inverse(n: usize, entries: &[f64]) -> Result<Vec<f64>, OutsideSupport> {
    let support = "Cholesky factor of a correlation matrix: rows of length 1, positive diagonal";
    if entries.len() != n * (n + 1) / 2 {
        return Err(OutsideSupport { index: entries.len(), value: f64::NAN, support });
    }
    let mut u = Vec::with_capacity(n * n.saturating_sub(1) / 2);
    let mut start = 0;
    for i in 0..n {
        let row = &entries[start..=start + i];
        let square: f64 = row.iter().map(|x| x * x).sum();
        if !((square - 1.0).abs() <= 1e-8) || !(row[i] > 0.0) {
            return Err(OutsideSupport { index: start + i, value: row[i], support });
        }
        for j in 0..i {
            // rᵢⱼ² = Σₖ≥ⱼ Lᵢₖ²; atanh(L/r) = ½ ln((r + L)/(r - L)) with r² - L² = the next rest.
            let next: f64 = row[j + 1..].iter().map(|x| x * x).sum();
            let rest = (row[j] * row[j] + next).sqrt();
            u.push(0.5 * ((rest + row[j].abs()) * (rest + row[j].abs()) / next).ln() * row[j].signum());
        }
        start += i + 1;
    }
    Ok(u)
}

#[cfg(test)]
mod tests {
    use super::super::testing::check_bijection;
    use super::*;

    #[test]
    fn partial_correlations_are_a_bijection() {
        // Free coordinates: the strictly lower entries in row-by-row storage.
        let cases: [(usize, Vec<f64>, Vec<usize>); 3] = [
            (2, vec![0.7], vec![1]),
            (3, vec![0.3, -1.0, 1.4], vec![1, 3, 4]),
            (4, vec![0.3, -1.0, 0.8, 0.1, -0.2, 0.9], vec![1, 3, 4, 6, 7, 8]),
        ];
        for (n, u, free) in cases {
            check_bijection(
                &u,
                &free,
                |u, j| cholesky_correlation(n, u, j).entries().to_vec(),
                |u, j| cholesky_correlation(n, u, j).entries().to_vec(),
                |x| cholesky_correlation_inverse(n, x).unwrap(),
            );
        }
    }

    #[test]
    fn values_outside_are_refused() {
        assert!(cholesky_correlation_inverse(2, &[1.0, 0.6, 0.8]).is_ok());
        assert_eq!(cholesky_correlation_inverse(2, &[1.0, 0.6, 0.9]).unwrap_err().index, 2);
        assert_eq!(cholesky_correlation_inverse(2, &[1.0, 0.6, -0.8]).unwrap_err().index, 2);
        assert!(cholesky_correlation_inverse(2, &[1.0]).is_err());
        assert!(cholesky_correlation_inverse(2, &[f64::NAN, 0.6, 0.8]).is_err());
    }
}
