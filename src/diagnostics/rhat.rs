//! R̂: do the chains, and both halves of each, say the same?
//!
//! ```text
//! R̂² = ((n - 1)/n · W + B/n) / W        W: mean variance within a half-chain of length n;  B/n: variance of the half-chain means
//! ```
//! computed on normal scores of ranks, which exist without moments, and once more on the scores of |x - median|, which see chains that
//! differ in spread only; the larger one counts. Above 1.01 the draws should not be used. Vehtari et al. (2021),
//! <https://doi.org/10.1214/20-BA1221>; Gelman & Rubin (1992), <https://doi.org/10.1214/ss/1177011136>.

use ndarray::ArrayView2;

use super::chains::{Chains, mean, number, variance};
use super::ranks::NormalScores;

/// Rank-normalised split R̂: the larger one of bulk and folded.
///
/// `draws` has shape (chain, draw). `None` for a NaN, fewer than 4 draws per chain, no chain, and for a constant; infinite if every
/// chain stands still, each at its own place.
///
/// ```
/// use posterity::{diagnostics::rhat, rng::Stream};
/// let mut stream = Stream::new(1);
/// let mut draws = ndarray::Array2::from_shape_simple_fn((4, 500), || stream.normal());
/// assert!(rhat(draws.view()).unwrap() < 1.01);
/// draws.row_mut(2).mapv_inplace(|x| x + 1.0);
/// assert!(rhat(draws.view()).unwrap() > 1.1);
/// ```
#[must_use]
pub fn rhat(draws: ArrayView2<'_, f64>) -> Option<f64> {
    let split = Chains::new(draws)?.split();
    let scores = NormalScores::of(&split);
    let normalised = scores.normalise(&split);
    rank_rhat(&split, &normalised, &scores)
}

/// Split R̂ of the draws themselves, without ranks: the older definition, which needs a finite variance.
///
/// `draws` has shape (chain, draw). `None` as for [`rhat()`], and for infinite draws.
#[must_use]
pub fn split_rhat(draws: ArrayView2<'_, f64>) -> Option<f64> {
    plain_rhat(&Chains::new(draws)?.split())
}

/// The larger one of bulk and folded R̂; `normalised` are the scores of `split`.
pub(crate) fn rank_rhat(split: &Chains, normalised: &Chains, scores: &NormalScores) -> Option<f64> {
    let bulk = plain_rhat(normalised)?;
    let median = median(split.values());
    let folded = split.map(|x| (x - median).abs())?;
    // All distances may be equal, as for a balanced coin: then the folded R̂ does not exist and the bulk one decides.
    Some(plain_rhat(&scores.normalise(&folded)).map_or(bulk, |tail| bulk.max(tail)))
}

/// Median of an even number of values, as many as there are in the halves of chains; found without sorting all of them.
fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    let middle = values.len() / 2;
    let (below, &mut above, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let below = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if below == above { above } else { 0.5 * below + 0.5 * above }
}

fn plain_rhat(chains: &Chains) -> Option<f64> {
    let n = chains.n_draws() as f64;
    let means: Vec<f64> = chains.iter().map(mean).collect();
    let variances: Vec<f64> = chains.iter().map(variance).collect();
    let within = mean(&variances);
    let between = n * variance(&means);
    number(((between / within + n - 1.0) / n).sqrt())
}
