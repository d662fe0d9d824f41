//! Effective sample size: how many independent draws would estimate a quantity as precisely as these do?
//!
//! ```text
//! ESS = S / τ,   τ = 1 + 2 Σ ρ(t),   ρ(t) = 1 - (W - mean γ(t)) / V⁺,   V⁺ = (n - 1)/n · W + B/n
//! ```
//! over both halves of every chain. The sum ends by Geyer's initial monotone sequence: sums ρ(2k) + ρ(2k+1) of neighbours are taken
//! while they are positive, and never let grow. τ is held above 1 / log₁₀ S, so that antithetic chains claim at most S log₁₀ S draws.
//! Geyer (1992), <https://doi.org/10.1214/ss/1177011137>; Vehtari et al. (2021), <https://doi.org/10.1214/20-BA1221>.
//!
//! A constant counts as S independent draws, S being the draws of both halves together.

use ndarray::ArrayView2;

use super::autocovariance::MeanAutocovariance;
use super::chains::{Chains, mean, number, variance};
use super::quantile::of_sorted;
use super::ranks::NormalScores;

/// Effective sample size in the bulk: that of the normal scores of ranks. It exists for distributions without moments.
///
/// `draws` has shape (chain, draw). `None` for a NaN, fewer than 4 draws per chain or no chain.
///
/// ```
/// use posterity::{diagnostics::ess_bulk, rng::Stream};
/// let mut stream = Stream::new(1);
/// let draws = ndarray::Array2::from_shape_simple_fn((4, 500), || stream.normal());
/// assert!((ess_bulk(draws.view()).unwrap() / 2000.0 - 1.0).abs() < 0.2);
/// ```
#[must_use]
pub fn ess_bulk(draws: ArrayView2<'_, f64>) -> Option<f64> {
    let split = Chains::new(draws)?.split();
    ess(&NormalScores::of(&split).normalise(&split))
}

/// Effective sample size in the tails: the smaller one of those of the 5 % and the 95 % quantile.
///
/// `draws` has shape (chain, draw). `None` for a NaN, fewer than 4 draws per chain or no chain.
#[must_use]
pub fn ess_tail(draws: ArrayView2<'_, f64>) -> Option<f64> {
    let chains = Chains::new(draws)?;
    tail(&chains, &chains.sorted())
}

/// Effective sample size for the mean: that of the draws themselves.
///
/// `draws` has shape (chain, draw). `None` for a value that is not finite, fewer than 4 draws per chain or no chain.
#[must_use]
pub fn ess_mean(draws: ArrayView2<'_, f64>) -> Option<f64> {
    ess(&Chains::new(draws)?.split())
}

/// Effective sample size for the standard deviation: that of the squared distances from the mean.
///
/// `draws` has shape (chain, draw). `None` for a value that is not finite, fewer than 4 draws per chain or no chain.
#[must_use]
pub fn ess_sd(draws: ArrayView2<'_, f64>) -> Option<f64> {
    ess(&squared_distances(&Chains::new(draws)?)?.split())
}

/// Effective sample size for a quantile: that of the indicator of the draws at or below it.
///
/// `draws` has shape (chain, draw). `None` for a NaN, fewer than 4 draws per chain, no chain, or a probability outside [0, 1].
#[must_use]
pub fn ess_quantile(draws: ArrayView2<'_, f64>, probability: f64) -> Option<f64> {
    let chains = Chains::new(draws)?;
    if !(0.0..=1.0).contains(&probability) {
        return None;
    }
    below(&chains, of_sorted(&chains.sorted(), probability))
}

pub(crate) fn tail(chains: &Chains, sorted: &[f64]) -> Option<f64> {
    let low = below(chains, of_sorted(sorted, 0.05))?;
    let high = below(chains, of_sorted(sorted, 0.95))?;
    Some(low.min(high))
}

/// Effective sample size of the indicator x ≤ bound.
pub(crate) fn below(chains: &Chains, bound: f64) -> Option<f64> {
    ess(&chains.map(|x| f64::from(u8::from(x <= bound)))?.split())
}

/// (x - x̄)² with the mean over all chains; `None` if it is not finite.
pub(crate) fn squared_distances(chains: &Chains) -> Option<Chains> {
    let mean = mean(chains.values());
    chains.map(|x| (x - mean).powi(2))
}

/// Effective sample size of chains that are split already.
pub(crate) fn ess(chains: &Chains) -> Option<f64> {
    let size = chains.values().len() as f64;
    if chains.is_constant() {
        return Some(size);
    }
    let n = chains.n_draws();
    let mut gamma = MeanAutocovariance::new(chains);
    let population_variance = gamma.at(0);
    let within = population_variance * n as f64 / (n as f64 - 1.0);
    let mut marginal = population_variance;
    if chains.n_chains() > 1 {
        let means: Vec<f64> = chains.iter().map(mean).collect();
        marginal += variance(&means);
    }
    let mut rho = |lag| 1.0 - (within - gamma.at(lag)) / marginal;

    // Initial positive sequence: pairs (ρ(2k), ρ(2k+1)) up to the first pair with a negative sum, or to the last but one that exists.
    let mut pairs = Vec::new();
    let mut pair = (1.0, rho(1));
    let mut odd = 1;
    while odd + 3 < n && pair.0 + pair.1 > 0.0 {
        pairs.push(pair);
        pair = (rho(odd + 1), rho(odd + 2));
        odd += 2;
    }
    if (pair.0 + pair.1).is_nan() {
        return None;
    }
    // The even half of the pair that ended the sequence still counts, once: it lessens the bias of antithetic chains. It is left out
    // only if it is negative and so is the pair.
    let rest = if pair.0 > 0.0 || pair.0 + pair.1 >= 0.0 { pair.0 } else { 0.0 };

    // Initial monotone sequence.
    let mut sum = 0.0;
    let mut largest = f64::INFINITY;
    for (even, odd) in pairs {
        largest = (even + odd).min(largest);
        sum += largest;
    }
    let tau = (-1.0 + 2.0 * sum + rest).max(1.0 / size.log10());
    number(size / tau)
}
