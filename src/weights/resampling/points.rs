//! Inverting the cumulative weights at sorted points: multinomial, stratified and systematic resampling.
//!
//! ```text
//! a_i = min { j : p_i < C_j },   start_j = #{ i : p_i < C_{j-1} }
//! ```
//!
//! Where `start_j` has a formula, there is no search and no branch that could be mispredicted: counting the parents that start at each
//! child and summing up gives `a_i = #{ j ≥ 1 : start_j ≤ i }`. Each block of parents owns one range of children, so blocks are
//! independent.

use rand::RngExt;

use super::cdf::{Cdf, accumulate, fold_blocks};
use super::scratch;
use crate::math::blocks::BLOCK;
use crate::math::vectorised::ln_in_place;
use crate::parallel::{Cut, Threads};
use crate::rng::{Purpose, Stream};

/// The schemes that take one ancestor per point, with their scratch memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Draws {
    /// Sorted points, or one offset per stratum.
    points: Vec<f64>,
    /// Prefix sums of the blocks of points.
    bases: Vec<f64>,
    /// First child of every block of parents, and the number of children.
    bounds: Vec<usize>,
}

impl Draws {
    /// Points at `(i + 1 - shift) / n`, `shift` in [0, 1).
    pub(super) fn systematic(&mut self, cdf: &Cdf, shift: f64, ancestors: &mut [u32], threads: &Threads) {
        let points = Systematic { ratio: ancestors.len() as f64 / cdf.total(), shift: shift - 0.5 };
        invert(cdf, &points, &mut self.bounds, ancestors, threads);
    }

    /// Points at `(i + 1 - v_i) / n` with uniform `v_i` in [0, 1); the `v_i` of one slot may be given.
    pub(super) fn stratified(
        &mut self,
        cdf: &Cdf,
        given: Option<(usize, f64)>,
        ancestors: &mut [u32],
        rng: &mut Stream,
        threads: &Threads,
    ) {
        // One more: the interval above all children is empty.
        let n = ancestors.len();
        let shifts = scratch(&mut self.points, n + 1);
        fill(&mut shifts[..n], rng, threads, |stream, block| block.iter_mut().for_each(|v| *v = stream.uniform()));
        shifts[n] = 0.0;
        if let Some((slot, shift)) = given {
            shifts[slot] = shift;
        }
        let points = Stratified { ratio: n as f64 / cdf.total(), shifts };
        invert(cdf, &points, &mut self.bounds, ancestors, threads);
    }

    /// Sorted uniform points, as normalised sums of exponential draws (Devroye 1986, *Non-Uniform Random Variate Generation*, V.3).
    pub(super) fn multinomial(&mut self, cdf: &Cdf, ancestors: &mut [u32], rng: &mut Stream, threads: &Threads) {
        let points = scratch(&mut self.points, ancestors.len() + 1);
        fill(points, rng, threads, |stream, block| {
            block.iter_mut().for_each(|x| *x = stream.uniform_positive());
            ln_in_place(block);
            block.iter_mut().for_each(|x| *x = -*x);
            accumulate(block);
        });
        fold_blocks(points, &mut self.bases);
        let bases = &self.bases;
        let ratio = cdf.total() / bases.last().copied().unwrap_or(1.0);
        threads.for_each_block(&mut *points, BLOCK, |block, points: &mut [f64]| {
            let base = bases[block];
            points.iter_mut().for_each(|x| *x = (base + *x) * ratio);
        });
        invert(cdf, &Sorted { points }, &mut self.bounds, ancestors, threads);
    }
}

/// Fills blocks of constant length, each from a stream of its own; takes one number from `rng`.
fn fill(out: &mut [f64], rng: &mut Stream, threads: &Threads, f: impl Fn(&mut Stream, &mut [f64]) + Sync) {
    let key = rng.random();
    threads.for_each_block(out, BLOCK, |block, out: &mut [f64]| {
        f(&mut Stream::keyed(key, Purpose::Resampling, 0, block as u64), out);
    });
}

/// Sorted points in `[0, Σw)`.
trait Points: Sync {
    /// Number of points below a cumulative weight: never decreases, and is 0 at 0.
    fn below(&self, cumulative: f64) -> usize;

    /// Writes the ancestors of the children from `first` on, whose parents are in this block.
    fn ancestors(&self, cdf: &Cdf, block: usize, first: usize, out: &mut [u32]) {
        if out.is_empty() {
            return;
        }
        let parent = (block * BLOCK) as u32;
        let (base, sums) = (cdf.bases()[block], cdf.block(block));
        out.fill(0);
        out[0] = parent;
        for sum in &sums[..sums.len() - 1] {
            // The start of a parent without children may lie beyond the block's last child.
            if let Some(child) = out.get_mut(self.below(base + sum).wrapping_sub(first)) {
                *child += 1;
            }
        }
        running_sum(out);
    }
}

struct Systematic {
    ratio: f64,
    /// Less one half: what is rounded to the nearest integer below.
    shift: f64,
}

impl Points for Systematic {
    #[inline]
    fn below(&self, cumulative: f64) -> usize {
        // Adding 1.5 * 2^52 leaves the nearest integer in the low bits: ⌊n C / Σw + v⌋ without a call or a branch.
        const ROUND: f64 = 6_755_399_441_055_744.0;
        (cumulative * self.ratio + self.shift + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as usize
    }
}

struct Stratified<'a> {
    ratio: f64,
    shifts: &'a [f64],
}

impl Points for Stratified<'_> {
    #[inline]
    fn below(&self, cumulative: f64) -> usize {
        let x = cumulative * self.ratio;
        let whole = (x as u32 as usize).min(self.shifts.len() - 1);
        whole + usize::from(x - whole as f64 + self.shifts[whole] >= 1.0)
    }
}

struct Sorted<'a> {
    points: &'a [f64],
}

impl Points for Sorted<'_> {
    fn below(&self, cumulative: f64) -> usize {
        self.points.partition_point(|&point| point < cumulative)
    }

    fn ancestors(&self, cdf: &Cdf, block: usize, first: usize, out: &mut [u32]) {
        let parent = (block * BLOCK) as u32;
        let (base, sums) = (cdf.bases()[block], cdf.block(block));
        let points = &self.points[first..first + out.len()];
        let (mut i, mut j) = (0, 0);
        // Each turn gives point i to parent j, or leaves parent j: no branch to predict.
        while i < out.len() {
            out[i] = parent + j as u32;
            let hit = (points[i] < base + sums[j]) | (j + 1 == sums.len());
            i += usize::from(hit);
            j += usize::from(!hit);
        }
    }
}

/// Gives every child its ancestor: cuts the children among the blocks of parents, and works on each.
fn invert(cdf: &Cdf, points: &impl Points, bounds: &mut Vec<usize>, ancestors: &mut [u32], threads: &Threads) {
    let n = ancestors.len();
    bounds.clear();
    bounds.extend(cdf.bases().iter().map(|&base| points.below(base).min(n)));
    // Whatever rounding left over belongs to the last block.
    bounds.push(n);
    threads.for_each_block(Shares { bounds, children: ancestors }, 1, |block, share: Shares<'_>| {
        points.ancestors(cdf, block, share.bounds[0], share.children);
    });
}

/// Consecutive ranges of children: range `b` is `bounds[b]..bounds[b + 1]`.
struct Shares<'a> {
    bounds: &'a [usize],
    children: &'a mut [u32],
}

impl Cut for Shares<'_> {
    fn extent(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    fn cut(self, at: usize) -> (Self, Self) {
        let (left, right) = self.children.split_at_mut(self.bounds[at] - self.bounds[0]);
        (Self { bounds: &self.bounds[..=at], children: left }, Self { bounds: &self.bounds[at..], children: right })
    }
}

/// Writes `counts[j]` copies of every `j`, in order; the counts add up to the length of `out`.
pub(super) fn expand(counts: &[u32], out: &mut [u32]) {
    out.fill(0);
    let mut start = 0;
    for &count in &counts[..counts.len().saturating_sub(1)] {
        start += count as usize;
        if let Some(child) = out.get_mut(start) {
            *child += 1;
        }
    }
    running_sum(out);
}

fn running_sum(out: &mut [u32]) {
    let mut sum = 0;
    for child in out {
        sum += *child;
        *child = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systematic_means_are_exact_over_the_shift() {
        // n W_k = 4 * (1, 0, 5, 3, 1) / 10: all jumps of the counts lie at multiples of 1/5, so the midpoints of fifths integrate exactly.
        let weights = [1.0, 0.0, 5.0, 3.0, 1.0, 0.0];
        let mut cdf = Cdf::default();
        cdf.build(&weights, &Threads::serial()).unwrap();
        let mut counts = [0; 6];
        for fifth in 0..5 {
            let mut ancestors = [9; 4];
            let shift = (f64::from(fifth) + 0.5) / 5.0;
            Draws::default().systematic(&cdf, shift, &mut ancestors, &Threads::serial());
            ancestors.iter().for_each(|&a| counts[a as usize] += 1);
        }
        assert_eq!(counts, [2, 0, 10, 6, 2, 0]);
    }

    #[test]
    fn extreme_shifts_stay_in_range() {
        let weights: Vec<f64> = (0..3000).map(|i| if (5..2990).contains(&i) { 0.1 } else { 0.0 }).collect();
        let mut cdf = Cdf::default();
        cdf.build(&weights, &Threads::serial()).unwrap();
        for n in [1, 7, 2985, 100_000] {
            let mut ancestors = vec![0; n];
            for shift in [0.0, 1.0 - f64::EPSILON / 2.0] {
                Draws::default().systematic(&cdf, shift, &mut ancestors, &Threads::serial());
                assert!(ancestors.is_sorted() && ancestors.iter().all(|&a| weights[a as usize] > 0.0));
            }
        }
    }

    #[test]
    fn expands_counts() {
        let mut out = [7; 6];
        expand(&[0, 2, 0, 1, 3, 0], &mut out);
        assert_eq!(out, [1, 1, 3, 4, 4, 4]);
    }
}
