//! χ² of counts against a law.

/// χ² of counts, cells of fewer than 5 expected counts taken together, and its degrees of freedom.
pub(crate) fn chi_squared(counts: &[f64], law: &[f64]) -> (f64, f64) {
    let n: f64 = counts.iter().sum();
    let (mut found, mut df) = (0.0, -1.0);
    let (mut rest, mut rest_expected) = (0.0, 0.0);
    for (count, p) in counts.iter().zip(law) {
        if n * p < 5.0 {
            rest += count;
            rest_expected += n * p;
        } else {
            found += (count - n * p).powi(2) / (n * p);
            df += 1.0;
        }
    }
    if rest_expected > 0.0 {
        found += (rest - rest_expected).powi(2) / rest_expected.max(5.0);
        df += 1.0;
    } else if rest > 0.0 {
        found = f64::INFINITY;
    }
    (found, df)
}

/// Wilson and Hilferty's approximation of the limit that χ² exceeds with probability 1e-6.
pub(crate) fn limit(df: f64) -> f64 {
    df * (1.0 - 2.0 / (9.0 * df) + 4.753 * (2.0 / (9.0 * df)).sqrt()).powi(3)
}
