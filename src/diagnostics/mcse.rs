//! Monte Carlo standard error: how far is an estimate from what infinitely many draws would give?
//!
//! ```text
//! mean       sd / √ESS
//! sd         √( var((x - x̄)²) / (4 var(x) ESS) )                      delta method
//! quantile   half the distance of the order statistics at the 16 % and 84 % points of Beta(p ESS + 1, (1 - p) ESS + 1)
//! ```
//! each with the effective sample size of its own quantity. Vehtari et al. (2021), <https://doi.org/10.1214/20-BA1221>.

use ndarray::ArrayView2;
use statrs::function::beta::inv_beta_reg;

use super::chains::{Chains, mean, number, variance};
use super::ess::{below, ess, squared_distances};
use super::quantile::of_sorted;

/// Standard error of the mean of all draws.
///
/// `draws` has shape (chain, draw). `None` for a value that is not finite, fewer than 4 draws per chain or no chain; 0 for a constant.
///
/// ```
/// use posterity::{diagnostics::mcse_mean, rng::Stream};
/// let mut stream = Stream::new(1);
/// let draws = ndarray::Array2::from_shape_simple_fn((4, 2500), || stream.normal());
/// assert!((mcse_mean(draws.view()).unwrap() - 0.01).abs() < 0.001);
/// ```
#[must_use]
pub fn mcse_mean(draws: ArrayView2<'_, f64>) -> Option<f64> {
    of_mean(&Chains::new(draws)?)
}

/// Standard error of the standard deviation of all draws.
///
/// `draws` has shape (chain, draw). `None` for a value that is not finite, fewer than 4 draws per chain, no chain, and for a constant.
#[must_use]
pub fn mcse_sd(draws: ArrayView2<'_, f64>) -> Option<f64> {
    of_sd(&Chains::new(draws)?)
}

/// Standard error of a quantile of all draws.
///
/// `draws` has shape (chain, draw). `None` for a NaN, fewer than 4 draws per chain, no chain, or a probability outside [0, 1].
#[must_use]
pub fn mcse_quantile(draws: ArrayView2<'_, f64>, probability: f64) -> Option<f64> {
    let chains = Chains::new(draws)?;
    if !(0.0..=1.0).contains(&probability) {
        return None;
    }
    let sorted = chains.sorted();
    let ess = below(&chains, of_sorted(&sorted, probability))?;
    // One standard deviation of a normal distribution to either side.
    let (a, b) = (ess * probability + 1.0, ess * (1.0 - probability) + 1.0);
    let size = sorted.len() as f64;
    let low = inv_beta_reg(a, b, 0.158_655_3) * size - 1.0;
    let high = inv_beta_reg(a, b, 0.841_344_7) * size - 1.0;
    let low = sorted[low.max(0.0).floor() as usize];
    let high = sorted[high.min(size - 1.0).ceil() as usize];
    number((high - low) / 2.0)
}

pub(crate) fn of_mean(chains: &Chains) -> Option<f64> {
    number((variance(chains.values()) / ess(&chains.split())?).sqrt())
}

pub(crate) fn of_sd(chains: &Chains) -> Option<f64> {
    let squares = squared_distances(chains)?;
    let ess = ess(&squares.split())?;
    let second = mean(squares.values());
    let fourth = mean(&squares.values().iter().map(|s| s * s).collect::<Vec<f64>>());
    number(((fourth - second * second) / ess / second / 4.0).sqrt())
}
