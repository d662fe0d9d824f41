//! The error of one factor of the evidence, from one waste-free run.
//!
//! ```text
//! log Z = Σₜ log mean gₜ,   hᵢ = gᵢ / mean g
//! Var(log mean g) ≈ (1/N) (γ₀ + 2 Σₖ γₖ),   γₖ = (1/N) Σ over chains and p of (h_p - 1)(h_{p+k} - 1)
//! ```
//! As the chains get longer the factors of different steps become independent, so their variances add up (H.-D. Dau and N. Chopin 2022,
//! section 4, <https://arxiv.org/abs/2011.02328>). The sum over lags is Geyer's initial monotone sequence (1992,
//! <https://doi.org/10.1214/ss/1177011137>); deviations are from the mean over all chains, so that what differs between chains counts too.

/// Estimate of Var(log mean g) from values `g` ≥ 0 along chains of length `chain_length`, stored one after the other.
pub(super) fn log_mean_variance(g: &mut [f64], chain_length: usize) -> f64 {
    let n = g.len() as f64;
    let mean = g.iter().sum::<f64>() / n;
    g.iter_mut().for_each(|g| *g = *g / mean - 1.0);
    let g = &*g;
    let covariance = |lag: usize| {
        let chain = |h: &[f64]| h[lag..].iter().zip(h).map(|(a, b)| a * b).sum::<f64>();
        g.chunks_exact(chain_length).map(chain).sum::<f64>() / n
    };
    let variance = covariance(0);
    let (mut sum, mut least) = (-variance, f64::INFINITY);
    for lag in (0..chain_length).step_by(2) {
        let pair = covariance(lag) + if lag + 1 < chain_length { covariance(lag + 1) } else { 0.0 };
        if !(pair > 0.0) {
            break;
        }
        least = pair.min(least);
        sum += 2.0 * least;
    }
    // Chains of length 1 are independent: the pair (γ₀, 0) gives γ₀.
    sum.max(0.0) / n
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn independent_values_have_the_variance_of_a_mean() {
        // Relative variance of (1, 3): 1/4; by N = 4.
        assert!((log_mean_variance(&mut [1.0, 3.0, 3.0, 1.0], 1) - 0.25 / 4.0).abs() < 1e-15);
    }

    #[test]
    fn autocorrelated_values_have_that_of_the_process() {
        // h = 5 + AR(1) with ρ = 0.9 and variance 1: asymptotic variance (1 + ρ)/(1 - ρ)/25 = 0.76. The estimate's relative standard
        // error is near sqrt(2 · 2 · 40 / 20,000) = 0.09; four of them. Leaving the covariances out gives 0.04.
        let (mut rng, n) = (Stream::new(3), 20_000);
        let mut g = vec![0.0; n];
        for chain in g.chunks_mut(1000) {
            let mut x = rng.normal();
            for g in chain {
                *g = 5.0 + x;
                x = 0.9 * x + 0.19_f64.sqrt() * rng.normal();
            }
        }
        let found = log_mean_variance(&mut g, 1000) * n as f64;
        assert!((found / 0.76 - 1.0).abs() < 0.36, "{found}");
    }
}
