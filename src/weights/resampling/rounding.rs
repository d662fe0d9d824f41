//! Schemes that round the expected numbers of children `n w_k / Σw` down and draw only what is left: residual resampling and SSP.

use std::hint::select_unpredictable;

use super::points::expand;
use super::{ResampleError, Resampler, scratch};
use crate::parallel::Threads;
use crate::rng::Stream;

impl Resampler {
    /// ```text
    /// ⌊n W_k⌋ copies of k; the other n - Σ⌊n W_k⌋ are independent draws with probabilities ∝ n W_k - ⌊n W_k⌋
    /// ```
    pub(super) fn residual(
        &mut self,
        weights: &[f64],
        ancestors: &mut [u32],
        rng: &mut Stream,
        threads: &Threads,
    ) -> Result<(), ResampleError> {
        let n_rest = self.round_down(weights, ancestors.len());
        if n_rest > 0 {
            // Fractions that add up to one half or more cannot all be zero; should rounding bring it about, the weights serve.
            let fractions = &self.fractions[..self.cdf.len()];
            self.cdf.build(fractions, threads).or_else(|_| self.cdf.build(weights, threads))?;
            let drawn = scratch(&mut self.drawn, n_rest);
            self.draws.multinomial(&self.cdf, drawn, rng, threads);
            drawn.iter().for_each(|&parent| self.counts[parent as usize] += 1);
        }
        expand(&self.counts[..weights.len()], ancestors);
        Ok(())
    }

    /// The Srinivasan sampling process: the fractions `p = n W - ⌊n W⌋` meet in pairs until each is 0 or 1.
    ///
    /// ```text
    /// p + q < 1:  one of the two keeps p + q, the other 0;     the first keeps it with probability p / (p + q)
    /// p + q ≥ 1:  one becomes 1, the other keeps p + q - 1;    the first becomes 1 with probability (1 - q) / (2 - p - q)
    /// ```
    pub(super) fn ssp(&mut self, weights: &[f64], ancestors: &mut [u32], rng: &mut Stream) {
        let mut n_rest = self.round_down(weights, ancestors.len());
        let counts = &mut self.counts[..weights.len()];
        let (mut a, mut p) = (None, 0.0);
        for (b, &q) in self.fractions[..self.cdf.len()].iter().enumerate() {
            if q == 0.0 {
                continue;
            }
            let Some(open) = a else {
                (a, p) = (Some(b), q);
                continue;
            };
            let sum = p + q;
            let full = sum >= 1.0;
            let (share, whole) = select_unpredictable(full, (1.0 - q, 2.0 - sum), (p, sum));
            let (winner, loser) = select_unpredictable(rng.uniform() * whole < share, (open, b), (b, open));
            let child = u32::from(full & (n_rest > 0));
            counts[winner] += child;
            n_rest -= child as usize;
            a = Some(select_unpredictable(full, loser, winner));
            p = sum - f64::from(u8::from(full));
        }
        // The fractions add up to an integer: the last one is 0 or 1, up to rounding.
        if let Some(open) = a {
            counts[open] += n_rest as u32;
        } else if n_rest > 0 {
            counts[self.cdf.len() - 1] += n_rest as u32;
        }
        expand(counts, ancestors);
    }

    /// Splits `n W_k` into `counts` and `fractions`; returns how many children are still to be given.
    fn round_down(&mut self, weights: &[f64], n: usize) -> usize {
        let ratio = n as f64 / self.cdf.total();
        // An expectation that misses an integer by no more than the rounding of the sum is that integer: equal weights have one child each.
        let slack = 1.0 + self.cdf.rounding();
        let scale = self.cdf.scale();
        let mut n_rest = n;
        let counts = scratch(&mut self.counts, weights.len());
        let fractions = scratch(&mut self.fractions, weights.len());
        for ((count, fraction), weight) in counts.iter_mut().zip(fractions).zip(weights) {
            let expected = weight * scale * ratio;
            *count = ((expected * slack) as u32).min(n_rest as u32);
            *fraction = (expected - f64::from(*count)).clamp(0.0, 1.0 - f64::EPSILON / 2.0);
            n_rest -= *count as usize;
        }
        n_rest
    }
}
