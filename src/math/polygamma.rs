//! Higher derivatives of ln Γ.

/// The polygamma function ψ⁽ⁿ⁾(x) for x > 0: the (n+1)-th derivative of ln Γ; NaN for x ≤ 0.
///
/// By the recurrence up to x ≥ 20 and the asymptotic series there (DLMF 5.15.5 and 5.15.8, <https://dlmf.nist.gov/5.15>); relative error about
/// 1e-14. n = 0 and n = 1 are [`digamma`](super::special::digamma) and [`trigamma`](super::special::trigamma).
#[must_use]
pub fn polygamma(n: u32, x: f64) -> f64 {
    /// Bernoulli numbers B₂, B₄, …
    const BERNOULLI: [f64; 7] = [1.0 / 6.0, -1.0 / 30.0, 1.0 / 42.0, -1.0 / 30.0, 5.0 / 66.0, -691.0 / 2730.0, 7.0 / 6.0];
    match n {
        0 => return super::special::digamma(x),
        1 => return super::special::trigamma(x),
        _ => {}
    }
    if !(x > 0.0) {
        return f64::NAN;
    }
    let order = f64::from(n);
    let power = n as i32;
    let factorial: f64 = (1..=n).map(f64::from).product();
    let mut x = x;
    let mut sum = 0.0;
    while x < 20.0 {
        sum += factorial / x.powi(power + 1);
        x += 1.0;
    }
    sum += factorial / order / x.powi(power) + factorial / (2.0 * x.powi(power + 1));
    // (2k + n - 1)! / (2k)!, from k = 1
    let mut ratio = factorial * (order + 1.0) / 2.0;
    for (i, bernoulli) in BERNOULLI.iter().enumerate() {
        let k = (i + 1) as f64;
        sum += bernoulli * ratio / x.powi(2 * (i as i32 + 1) + power);
        ratio *= (2.0 * k + order) * (2.0 * k + order + 1.0) / ((2.0 * k + 1.0) * (2.0 * k + 2.0));
    }
    if n % 2 == 1 { sum } else { -sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // ψ⁽²⁾(1) = -2 ζ(3), ψ⁽³⁾(1) = π⁴/15, ψ⁽²⁾(1/2) = -14 ζ(3)
        let zeta3 = 1.202_056_903_159_594_3;
        approx::assert_relative_eq!(polygamma(2, 1.0), -2.0 * zeta3, max_relative = 1e-13);
        approx::assert_relative_eq!(polygamma(3, 1.0), std::f64::consts::PI.powi(4) / 15.0, max_relative = 1e-13);
        approx::assert_relative_eq!(polygamma(2, 0.5), -14.0 * zeta3, max_relative = 1e-13);
        assert!(polygamma(2, 0.0).is_nan());
    }

    #[test]
    fn the_recurrence_holds() {
        // ψ⁽ⁿ⁾(x+1) = ψ⁽ⁿ⁾(x) + (-1)ⁿ n! x^-(n+1)
        for x in [0.3, 2.7, 19.5, 30.0] {
            for (n, factorial) in [(2_u32, 2.0), (3, 6.0)] {
                let sign = if n % 2 == 0 { 1.0 } else { -1.0 };
                let expected = polygamma(n, x) + sign * factorial / f64::powi(x, n as i32 + 1);
                // Where the two terms nearly cancel the difference carries their rounding.
                assert!((polygamma(n, x + 1.0) - expected).abs() < 1e-12 * polygamma(n, x).abs());
            }
        }
    }
}
