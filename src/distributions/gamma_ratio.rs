//! Differences of ln Γ and of ψ without cancellation for large arguments, generic over the element; factorials and products with 0·∞ = 0.

use std::sync::LazyLock;

use super::normal::HALF_LN_2PI;
use crate::autodiff::Element;

/// From here on Stirling's series is used.
const LARGE: f64 = 10.0;

/// ln Γ(x) - [(x - ½) ln x - x + ½ ln 2π] for x ≥ 10 (Abramowitz & Stegun 6.1.41).
#[inline]
fn stirling_rest<E: Element>(x: E) -> E {
    let inverse = x.recip();
    let z = inverse * inverse;
    let coefficients = [691.0 / 360_360.0, -1.0 / 1188.0, 1.0 / 1680.0, -1.0 / 1260.0, 1.0 / 360.0, -1.0 / 12.0];
    -(inverse * polynomial(&coefficients, z))
}

/// ln x - 1/(2x) - ψ(x) for x ≥ 10 (Abramowitz & Stegun 6.3.18).
#[inline]
fn digamma_rest<E: Element>(x: E) -> E {
    let z = x.square().recip();
    z * polynomial(&[691.0 / 32_760.0, -1.0 / 132.0, 1.0 / 240.0, -1.0 / 252.0, 1.0 / 120.0, -1.0 / 12.0], z) * -1.0
}

#[inline(always)]
fn polynomial<E: Element, const N: usize>(coefficients: &[f64; N], z: E) -> E {
    let mut value = E::constant(coefficients[0]);
    for &c in &coefficients[1..] {
        value = value * z + c;
    }
    value
}

/// ln Γ(x + d) - ln Γ(x) for x > 0, d ≥ 0.
#[inline]
pub(crate) fn ln_gamma_difference<E: Element>(x: E, d: E) -> E {
    let sum = x + d;
    if x.value() < LARGE {
        return sum.ln_gamma() - x.ln_gamma();
    }
    (sum - 0.5) * (d / x).ln_1p() + d * (x.ln() - 1.0) + (stirling_rest(sum) - stirling_rest(x))
}

/// ψ(x + d) - ψ(x) for x > 0, d ≥ 0.
#[inline]
pub(crate) fn digamma_difference<E: Element>(x: E, d: E) -> E {
    let sum = x + d;
    if x.value() < LARGE {
        return sum.digamma() - x.digamma();
    }
    (d / x).ln_1p() + d / (x * sum) * 0.5 - (digamma_rest(sum) - digamma_rest(x))
}

/// ln B(a, b) for a, b > 0, after DiDonato & Morris 1992, <https://doi.org/10.1145/131766.131776>.
#[inline]
pub(crate) fn ln_beta<E: Element>(a: E, b: E) -> E {
    let (small, large) = if a.value() < b.value() { (a, b) } else { (b, a) };
    if small.value() < LARGE {
        return small.ln_gamma() - ln_gamma_difference(large, small);
    }
    let sum = a + b;
    let rests = stirling_rest(small) + (stirling_rest(large) - stirling_rest(sum));
    let power = (small - 0.5) * (small / sum).ln() + large * (-(small / sum)).ln_1p();
    power - large.ln() * 0.5 + HALF_LN_2PI + rests
}

/// c·ln x for x ≥ 0, with 0·ln 0 = 0.
#[inline(always)]
pub(crate) fn times_ln<E: Element>(c: E, x: E) -> E {
    if x.value() == 0.0 && c.value() == 0.0 { E::constant(0.0) } else { c * x.ln() }
}

/// c/x for x ≥ 0, with 0/0 = 0.
#[inline(always)]
pub(crate) fn over<E: Element>(c: E, x: E) -> E {
    if x.value() == 0.0 && c.value() == 0.0 { E::constant(0.0) } else { c / x }
}

/// k·x with 0·x = 0 for every x.
#[inline(always)]
pub(crate) fn times_count<E: Element>(k: u64, x: E) -> E {
    if k == 0 { E::constant(0.0) } else { x * k as f64 }
}

/// ln k!, from a table for small k.
#[inline]
pub(crate) fn ln_factorial(k: u64) -> f64 {
    static TABLE: LazyLock<Vec<f64>> = LazyLock::new(|| (0..256).map(crate::math::ln_factorial).collect());
    match TABLE.get(k as usize) {
        Some(&value) => value,
        None => crate::math::ln_factorial(k),
    }
}

/// ln of the binomial coefficient, for k ≤ n.
#[inline]
pub(crate) fn ln_choose(n: u64, k: u64) -> f64 {
    if k == 0 || k == n { 0.0 } else { crate::math::ln_choose(n, k) }
}
