//! Resampling given the ancestor of one child: the law of `(I, a)` given `a_I = parent`, with `I` uniform on the slots.
//!
//! ```text
//! multinomial  the parent and n - 1 independent draws, sorted; I is uniform on the parent's children
//! stratified   v uniform on the parent's interval of the cumulative weights; I = ⌊n v⌋, whose point is v; the other points are free
//! systematic   the same; the other points follow from v
//! killing      P(I = i) ∝ P(a_i = parent); the other ancestors are free
//! ```
//!
//! *References.* Chopin & Singh 2015 (arXiv:1304.1887), Chopin, Singh, Soto & Vihola 2022 (arXiv:2203.10037).

use rand::RngExt;

use super::killing::largest;
use super::{Resampler, Scheme};
use crate::parallel::Threads;
use crate::rng::Stream;

impl Resampler {
    /// `parent` is a slot, and the scheme has a conditional form.
    pub(super) fn conditional(
        &mut self,
        scheme: Scheme,
        weights: &[f64],
        parent: u32,
        ancestors: &mut [u32],
        rng: &mut Stream,
        threads: &Threads,
    ) -> u32 {
        let slot = match scheme {
            Scheme::Stratified => {
                let (slot, shift) = self.point_of(weights, parent, ancestors.len(), rng);
                self.draws.stratified(&self.cdf, Some((slot as usize, shift)), ancestors, rng, threads);
                slot
            }
            Scheme::Systematic => {
                let (slot, shift) = self.point_of(weights, parent, ancestors.len(), rng);
                self.draws.systematic(&self.cdf, shift, ancestors, threads);
                slot
            }
            Scheme::Killing => {
                let slot = survivor(weights, parent, rng);
                self.killing(weights, Some((slot, parent)), ancestors, rng, threads);
                slot
            }
            _ => self.insert(parent, ancestors, rng, threads),
        };
        // Where the parent's interval is narrower than rounding, its point may have gone to a neighbour.
        ancestors[slot as usize] = parent;
        slot
    }

    /// The stratum of a uniform point of the parent's interval, and the point's shift (see `Draws::stratified`).
    fn point_of(&self, weights: &[f64], parent: u32, n: usize, rng: &mut Stream) -> (u32, f64) {
        let ratio = n as f64 / self.cdf.total();
        let weight = weights[parent as usize] * self.cdf.scale();
        let x = (self.cdf.lower(parent as usize) + weight * rng.uniform_positive()) * ratio;
        // Strata are open below: x in (i, i + 1] has the shift i + 1 - x in [0, 1).
        let slot = (x.ceil() - 1.0).clamp(0.0, (n - 1) as f64);
        let shift = (slot + 1.0 - x).clamp(0.0, 1.0 - f64::EPSILON / 2.0);
        (slot as u32, shift)
    }

    /// Multinomial draws of all children but one, with the parent at its sorted place.
    fn insert(&mut self, parent: u32, ancestors: &mut [u32], rng: &mut Stream, threads: &Threads) -> u32 {
        let n_free = ancestors.len() - 1;
        if n_free > 0 {
            self.draws.multinomial(&self.cdf, &mut ancestors[..n_free], rng, threads);
        }
        let free = &ancestors[..n_free];
        let start = free.partition_point(|&ancestor| ancestor < parent);
        let end = free.partition_point(|&ancestor| ancestor <= parent);
        ancestors.copy_within(end..n_free, end + 1);
        ancestors[end] = parent;
        rng.random_range(start as u32..=end as u32)
    }
}

/// A slot with probability ∝ `P(a_i = k)`, divided by `w_k / Σw`:
///
/// ```text
/// i ≠ k: 1 - w_i / max w;    i = k: Σw / max w + 1 - w_k / max w
/// ```
fn survivor(weights: &[f64], parent: u32, rng: &mut Stream) -> u32 {
    let largest = largest(weights);
    // In units of the largest weight, so that no sum overflows.
    let total: f64 = weights.iter().map(|weight| weight / largest).sum();
    let n = weights.len() as f64;
    // Σ_i (1 - w_i / max w) is n - Σw / max w; with the parent's own share the mass is n.
    let mut rest = rng.uniform() * n - total;
    if rest < 0.0 {
        return parent;
    }
    for (slot, weight) in (0..).zip(weights) {
        rest -= 1.0 - weight / largest;
        if rest < 0.0 {
            return slot;
        }
    }
    parent
}
