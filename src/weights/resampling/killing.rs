//! Killing: particles stay where they are unless they die.

use rand::RngExt;

use super::{Resampler, scratch};
use crate::parallel::Threads;
use crate::rng::Stream;

/// Marks a slot whose particle has died.
const DEAD: u32 = u32::MAX;

impl Resampler {
    /// ```text
    /// a_i = i with probability w_i / max w, otherwise an independent draw with probabilities w_k / Σw
    /// ```
    ///
    /// The ancestor of one slot may be given.
    pub(super) fn killing(
        &mut self,
        weights: &[f64],
        given: Option<(u32, u32)>,
        ancestors: &mut [u32],
        rng: &mut Stream,
        threads: &Threads,
    ) {
        let largest = largest(weights);
        let mut n_dead = 0;
        for ((slot, ancestor), &weight) in (0..).zip(&mut *ancestors).zip(weights) {
            let dead = !(weight / largest > rng.uniform());
            *ancestor = if dead { DEAD } else { slot };
            n_dead += usize::from(dead);
        }
        if let Some((slot, parent)) = given {
            let ancestor = &mut ancestors[slot as usize];
            n_dead -= usize::from(*ancestor == DEAD);
            *ancestor = parent;
        }
        if n_dead == 0 {
            return;
        }
        // Sorted draws are not independent draws of the slots they go to: shuffle them.
        let drawn = scratch(&mut self.drawn, n_dead);
        self.draws.multinomial(&self.cdf, drawn, rng, threads);
        let mut n_left = n_dead;
        for ancestor in ancestors.iter_mut().filter(|ancestor| **ancestor == DEAD) {
            let chosen = rng.random_range(0..n_left as u32) as usize;
            n_left -= 1;
            drawn.swap(chosen, n_left);
            *ancestor = drawn[n_left];
        }
    }
}

/// The largest weight.
pub(super) fn largest(weights: &[f64]) -> f64 {
    weights.iter().fold(0.0, |largest, &weight| if weight > largest { weight } else { largest })
}
