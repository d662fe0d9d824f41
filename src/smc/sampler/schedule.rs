//! How far the next step goes: the exponent at which the effective sample size has fallen to its target.
//!
//! ```text
//! ESS(δ) = (Σ wᵢ Lᵢ^δ)² / Σ (wᵢ Lᵢ^δ)²,   find δ in (0, 1 - λ] with ESS(δ) = target
//! ```
//! ESS is continuous in δ once particles of likelihood 0 are gone. If losing those alone brings it below the target, the step is that loss:
//! the exponent stays, and the next distribution is restricted to positive likelihood. δ is searched on a logarithmic scale, as it may be anything from 1 down to 1e-300.

use crate::math::blocks::BLOCK;
use crate::math::vectorised;

/// The next step of a tempering schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Advance {
    /// To this inverse temperature.
    To(f64),
    /// To the same inverse temperature, without the particles of likelihood 0.
    DropImpossible,
    /// The exponent that is needed is too small to change λ.
    Stalled,
}

/// Precision of δ.
const TOLERANCE: f64 = 1e-9;

/// The inverse temperature after `lambda` at which the effective sample size is `target`.
///
/// `log_weights` and `log_likelihoods` have an entry per particle; -∞ is allowed in both, NaN and +∞ in neither.
pub(super) fn advance(log_weights: &[f64], log_likelihoods: &[f64], lambda: f64, target: f64) -> Advance {
    let mut scratch = vec![0.0; log_weights.len()];
    let mut ess = |delta: f64| {
        for ((x, w), l) in scratch.iter_mut().zip(log_weights).zip(log_likelihoods) {
            *x = if *l == f64::NEG_INFINITY { *l } else { w + delta * l };
        }
        effective_sample_size(&mut scratch).0
    };
    if ess(0.0) <= target && log_likelihoods.contains(&f64::NEG_INFINITY) {
        return Advance::DropImpossible;
    }
    let room = 1.0 - lambda;
    if ess(room) >= target {
        return Advance::To(1.0);
    }
    // ESS(low) >= target > ESS(high)
    let (mut low, mut high) = (room, room);
    while ess(low) < target {
        high = low;
        low *= 0.125;
        if !(lambda + low > lambda) {
            return Advance::Stalled;
        }
    }
    while high > low * (1.0 + TOLERANCE) {
        // Their product may be too small for a number.
        let middle = low.sqrt() * high.sqrt();
        if ess(middle) < target { high = middle } else { low = middle }
    }
    if lambda + low > lambda { Advance::To((lambda + low).min(1.0)) } else { Advance::Stalled }
}

/// (ESS, log of the sum) of log-weights, which are overwritten by weights relative to the largest; (0, -∞) if all are -∞.
pub(super) fn effective_sample_size(log_weights: &mut [f64]) -> (f64, f64) {
    let largest = vectorised::max(log_weights);
    if largest == f64::NEG_INFINITY {
        return (0.0, largest);
    }
    log_weights.iter_mut().for_each(|w| *w -= largest);
    let (mut sum, mut squares) = (0.0, 0.0);
    for block in log_weights.chunks_mut(BLOCK) {
        vectorised::exp_in_place(block);
        sum += vectorised::sum(block);
        squares += vectorised::dot(block, block);
    }
    (sum * sum / squares, largest + sum.ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ESS by the definition.
    fn ess(likelihoods: &[f64], delta: f64) -> f64 {
        let w: Vec<f64> = likelihoods.iter().map(|l| l.powf(delta)).collect();
        w.iter().sum::<f64>().powi(2) / w.iter().map(|w| w * w).sum::<f64>()
    }

    #[test]
    fn the_root_is_right_for_an_asymmetric_likelihood() {
        // One good particle among many bad ones: with the sign of δ turned, ESS(-δ) of the same cloud is 97 instead of 50.
        let mut likelihoods = vec![1e-3_f64; 100];
        likelihoods[7] = 1.0;
        likelihoods[8] = 0.2;
        let log_likelihoods: Vec<f64> = likelihoods.iter().map(|l| l.ln()).collect();
        let Advance::To(lambda) = advance(&[0.0; 100], &log_likelihoods, 0.2, 50.0) else { panic!("no root") };
        assert!((ess(&likelihoods, lambda - 0.2) - 50.0).abs() < 1e-5);
        assert!(ess(&likelihoods, 0.2 - lambda) > 90.0);
        // By hand: two particles with likelihoods 1 and e⁻⁴, target 1.8: (1 + r)² / (1 + r²) = 1.8 at r = 0.5, δ = log 2 / 4.
        let Advance::To(lambda) = advance(&[0.0; 2], &[0.0, -4.0], 0.0, 1.8) else { panic!("no root") };
        assert!((lambda - 2_f64.ln() / 4.0).abs() < 1e-8);
    }

    #[test]
    fn the_ends_are_guarded() {
        assert_eq!(advance(&[0.0; 2], &[0.0, -0.1], 0.9, 1.9), Advance::To(1.0));
        // Half of the cloud is impossible: that is a step of its own. What is left afterwards has a root.
        let zero = f64::NEG_INFINITY;
        assert_eq!(advance(&[0.0; 4], &[zero, 0.0, -1.0, zero], 0.0, 2.0), Advance::DropImpossible);
        assert!(matches!(advance(&[0.0; 4], &[zero, 0.0, -9.0, -9.0], 0.0, 2.0), Advance::To(l) if l > 0.0 && l < 1.0));
        assert_eq!(advance(&[0.0; 2], &[zero; 2], 0.0, 1.0), Advance::DropImpossible);
        // Log-likelihoods beyond any scale.
        assert!(matches!(advance(&[0.0; 2], &[-1e200, -3e200], 0.0, 1.5), Advance::To(l) if l > 0.0 && l < 1e-199));
        assert_eq!(advance(&[0.0; 2], &[-1e200, -3e200], 0.5, 1.5), Advance::Stalled);
    }
}
