//! Sums, differences and logistic functions on the log scale, free of overflow and of avoidable cancellation.
//!
//! The crossover points of [`log1p_exp`] and [`log1m_exp`] follow M. Mächler, *Accurately computing log(1 - exp(-|a|))*, 2012, the
//! vignette of the R package Rmpfr.

use std::f64::consts::LN_2;

use super::vectorised;

/// `log Σ exp(xᵢ)`, the sum taken in an order that depends on the length alone.
///
/// Terms of -∞ count as zero; the empty sum, and one of only such terms, is -∞. A term of +∞ makes the result +∞, and NaN wins over all.
///
/// ```
/// use posterity::math::log_sum_exp;
/// assert_eq!(log_sum_exp(&[1000.0, 1000.0]), 1000.0 + 2f64.ln());
/// assert_eq!(log_sum_exp(&[]), f64::NEG_INFINITY);
/// ```
#[must_use]
pub fn log_sum_exp(x: &[f64]) -> f64 {
    let largest = vectorised::max(x);
    if !largest.is_finite() {
        return largest;
    }
    largest + vectorised::sum_exp_shifted(x, largest).ln()
}

/// `log(eᵃ + eᵇ)`.
#[must_use]
pub fn log_add_exp(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    if large.is_infinite() && !small.is_nan() {
        return large;
    }
    large + (small - large).exp().ln_1p()
}

/// `log(eᵃ - eᵇ)` for `a >= b`: -∞ when they are equal, NaN when `a < b`.
#[must_use]
pub fn log_diff_exp(a: f64, b: f64) -> f64 {
    if b == f64::NEG_INFINITY {
        return a;
    }
    a + log1m_exp(b - a)
}

/// Replaces log weights by weights of sum 1 and returns the [`log_sum_exp`] of the log weights.
///
/// When the returned value is not finite (no entry, only -∞, or some +∞ or NaN) no normalised weights exist and every entry becomes NaN.
///
/// ```
/// use posterity::math::softmax_in_place;
/// let mut w = [-1000.0, -1000.0 + 3f64.ln()];
/// softmax_in_place(&mut w);
/// assert!((w[1] - 0.75).abs() < 1e-12);
/// ```
pub fn softmax_in_place(x: &mut [f64]) -> f64 {
    let largest = vectorised::max(x);
    if !largest.is_finite() {
        x.fill(f64::NAN);
        return largest;
    }
    for v in x.iter_mut() {
        *v -= largest;
    }
    vectorised::exp_in_place(x);
    let total = super::blocks::sum(x);
    for v in x.iter_mut() {
        *v /= total;
    }
    largest + total.ln()
}

/// `log(1 + eˣ)`, the softplus function.
#[must_use]
pub fn log1p_exp(x: f64) -> f64 {
    if x > 33.3 {
        x + (-x).exp()
    } else if x > -37.0 {
        x.exp().ln_1p()
    } else {
        x.exp()
    }
}

/// `log(1 - eˣ)` for `x <= 0`: -∞ at 0, NaN above.
#[must_use]
pub fn log1m_exp(x: f64) -> f64 {
    if x > -LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() }
}

/// The logistic function `1 / (1 + e⁻ˣ)`, accurate relative to its value in the left tail too.
#[must_use]
pub fn inv_logit(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// `log(p / (1 - p))` for `0 <= p <= 1`, infinite at the ends and NaN outside.
#[must_use]
pub fn logit(p: f64) -> f64 {
    if p > 0.3 && p < 0.7 {
        // log((1 + t) / (1 - t)) with t = 2p - 1, which is exact here.
        let t = 2.0 * p - 1.0;
        2.0 * t.atanh()
    } else {
        p.ln() - (-p).ln_1p()
    }
}

/// `log(1 / (1 + e⁻ˣ))`, the log density of a success under a logit.
#[must_use]
pub fn log_inv_logit(x: f64) -> f64 {
    -log1p_exp(-x)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f64 = f64::INFINITY;

    fn close(found: f64, expected: f64) {
        // A few units in the last place: each function is one or two library calls away from its argument.
        let error = (found - expected).abs() / expected.abs().max(f64::MIN_POSITIVE);
        assert!(error <= 1e-15, "found {found:e}, expected {expected:e}, relative error {error:e}");
    }

    #[test]
    fn log_sum_exp_handles_every_extreme() {
        assert_eq!(log_sum_exp(&[]), -INF);
        assert_eq!(log_sum_exp(&[-INF; 9]), -INF);
        assert_eq!(log_sum_exp(&[0.0, INF, 2.0]), INF);
        assert_eq!(log_sum_exp(&[INF, INF]), INF);
        for at in 0..20 {
            let mut x = [INF; 20];
            x[at] = f64::NAN;
            assert!(log_sum_exp(&x).is_nan());
        }
        assert_eq!(log_sum_exp(&[-INF, -3.0]), -3.0);
        assert_eq!(log_sum_exp(&[-1e300]), -1e300);
        close(log_sum_exp(&[0.0; 1024]), 1024f64.ln());
        close(log_sum_exp(&[-1e4, -1e4 + 1.0]), -1e4 + 1.0 + (-1f64).exp().ln_1p());
    }

    #[test]
    fn log_add_and_diff_exp() {
        close(log_add_exp(0.0, 0.0), LN_2);
        assert_eq!(log_add_exp(-INF, 1.5), 1.5);
        assert_eq!(log_add_exp(-INF, -INF), -INF);
        assert_eq!(log_add_exp(INF, INF), INF);
        assert_eq!(log_add_exp(-3.0, INF), INF);
        assert!(log_add_exp(f64::NAN, INF).is_nan() && log_add_exp(INF, f64::NAN).is_nan());
        assert!(log_add_exp(f64::NAN, 0.0).is_nan() && log_add_exp(-INF, f64::NAN).is_nan());
        close(log_diff_exp(3f64.ln(), 2f64.ln()).abs().max(1.0), 1.0);
        close(log_diff_exp(1000.0, 999.0), 1000.0 + (1.0 - (-1f64).exp()).ln());
        assert_eq!(log_diff_exp(2.0, 2.0), -INF);
        assert_eq!(log_diff_exp(2.0, -INF), 2.0);
        assert_eq!(log_diff_exp(-INF, -INF), -INF);
        assert_eq!(log_diff_exp(INF, -INF), INF);
        assert!(log_diff_exp(1.0, 2.0).is_nan());
    }

    #[test]
    fn softmax_normalises_and_reports_the_sum() {
        let mut x = [1f64.ln() + 700.0, 2f64.ln() + 700.0, -INF, 5f64.ln() + 700.0];
        let total = softmax_in_place(&mut x);
        close(total, 8f64.ln() + 700.0);
        for (found, expected) in x.iter().zip([0.125, 0.25, 0.0, 0.625]) {
            // ln(k) + 700 is rounded at 2^-43 = 1.1e-13.
            assert!((found - expected).abs() < 2e-13);
        }
        let mut none = [-INF, -INF];
        assert_eq!(softmax_in_place(&mut none), -INF);
        assert!(none[0].is_nan() && none[1].is_nan());
        let mut bad = [0.0, f64::NAN];
        assert!(softmax_in_place(&mut bad).is_nan() && bad[0].is_nan());
        assert_eq!(softmax_in_place(&mut []), -INF);
    }

    #[test]
    fn logistic_family_in_both_tails() {
        // Computed with mpmath at 40 digits.
        close(log1p_exp(-40.0), 4.248354255291589e-18);
        close(log1p_exp(1.0), 1.3132616875182228);
        close(log1p_exp(34.0), 34.00000000000000171);
        close(log1p_exp(-1e-3), 0.6926473055599401);
        close(log1m_exp(-1e-10), -23.025850929990458);
        close(log1m_exp(-50.0), -1.9287498479639178e-22);
        close(log1m_exp(-0.5), -0.9327521295671886);
        close(inv_logit(-700.0), 9.85967654375977e-305);
        close(inv_logit(2.0), 0.8807970779778825);
        close(inv_logit(0.0), 0.5);
        close(log_inv_logit(-800.0), -800.0);
        close(log_inv_logit(40.0), -4.248354255291589e-18);
        close(logit(0.5000001), 2.0 * (2.0f64 * 0.5000001 - 1.0).atanh());
        close(logit(1e-300), -690.7755278982137);
        assert_eq!((log1p_exp(-INF), log1p_exp(INF)), (0.0, INF));
        assert_eq!((log1m_exp(0.0), log1m_exp(-INF)), (-INF, 0.0));
        assert_eq!((inv_logit(-INF), inv_logit(INF)), (0.0, 1.0));
        assert_eq!((logit(0.0), logit(0.5), logit(1.0)), (-INF, 0.0, INF));
        assert!(logit(-0.1).is_nan() && logit(1.1).is_nan() && log1m_exp(0.1).is_nan());
        for f in [log1p_exp, log1m_exp, inv_logit, logit, log_inv_logit] {
            assert!(f(f64::NAN).is_nan());
        }
    }
}
