//! Cumulative weights, in blocks.
//!
//! ```text
//! C_j = base_b + s_j,   s = prefix sums within block b,   base_{b+1} = base_b + s_last
//! ```
//!
//! Every `C_j` is rounded the same way wherever it is used and the sequence never decreases, so a slot of zero weight has an empty interval
//! `[C_{j-1}, C_j)` and can never be hit.

use super::{ResampleError, scratch};
use crate::math::blocks::BLOCK;
use crate::parallel::Threads;

/// Sums below this are scaled up before they are divided by.
const LEAST_TOTAL: f64 = f64::from_bits((1023 - 900) << 52);
/// 2^900: moves denormal weights to where rounding is relative.
const UP: f64 = f64::from_bits((1023 + 900) << 52);
/// 2^-500: keeps the sum of 2^32 of the largest weights finite.
const DOWN: f64 = f64::from_bits((1023 - 500) << 52);

/// The cumulative weights of the slots up to the last one of positive weight.
#[derive(Debug, Clone, Default)]
pub(super) struct Cdf {
    len: usize,
    scale: f64,
    /// `s_j`.
    sums: Vec<f64>,
    /// `base_b`, and the total after the last one.
    bases: Vec<f64>,
}

impl Cdf {
    /// Sums up the weights; fails if one is negative or not finite, or if none is positive.
    pub(super) fn build(&mut self, weights: &[f64], threads: &Threads) -> Result<(), ResampleError> {
        // A NaN or a negative weight is kept here, and found below.
        self.len = weights.iter().rposition(|&weight| weight != 0.0).ok_or(ResampleError::AllZero)? + 1;
        let kept = &weights[..self.len];
        self.accumulate(kept, 1.0, threads);
        if !(self.total() >= LEAST_TOTAL && self.total() < f64::INFINITY) {
            let invalid = kept.iter().position(|weight| !(*weight >= 0.0 && *weight < f64::INFINITY));
            if let Some(slot) = invalid {
                return Err(ResampleError::Weight { slot, value: kept[slot] });
            }
            let scale = if self.total() < LEAST_TOTAL { UP } else { DOWN };
            self.accumulate(kept, scale, threads);
        }
        Ok(())
    }

    /// Prefix sums of scaled weights; the total is NaN if a weight is negative.
    fn accumulate(&mut self, weights: &[f64], scale: f64, threads: &Threads) {
        self.scale = scale;
        let sums = scratch(&mut self.sums, weights.len());
        threads.for_each_block((weights, &mut *sums), BLOCK, |_, (weights, sums)| {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = weight * scale;
            }
            let negative = sums.iter().fold(false, |negative, &weight| negative | (weight < 0.0));
            accumulate(sums);
            if let (true, Some(last)) = (negative, sums.last_mut()) {
                *last = f64::NAN;
            }
        });
        fold_blocks(sums, &mut self.bases);
    }

    /// Sum of the scaled weights.
    pub(super) fn total(&self) -> f64 {
        self.bases.last().copied().unwrap_or(0.0)
    }

    /// The factor by which the weights were multiplied, a power of two.
    pub(super) fn scale(&self) -> f64 {
        self.scale
    }

    /// Number of slots up to the last one of positive weight.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// `base_b` of every block.
    pub(super) fn bases(&self) -> &[f64] {
        &self.bases[..self.bases.len().saturating_sub(1)]
    }

    /// `s_j` of block `block`.
    pub(super) fn block(&self, block: usize) -> &[f64] {
        &self.sums[block * BLOCK..((block + 1) * BLOCK).min(self.len)]
    }

    /// `C_{slot-1}`.
    pub(super) fn lower(&self, slot: usize) -> f64 {
        let (block, within) = (slot / BLOCK, slot % BLOCK);
        self.bases[block] + if within == 0 { 0.0 } else { self.sums[slot - 1] }
    }

    /// Bound of the relative rounding error of `len` cumulative weights.
    pub(super) fn rounding(&self) -> f64 {
        f64::EPSILON * (8 + BLOCK.min(self.len) / 8 + self.bases.len()) as f64
    }
}

/// Replaces one block's entries by their prefix sums. Eight at a time: only one addition of every eight waits for the previous ones.
pub(super) fn accumulate(block: &mut [f64]) {
    let mut carry = 0.0;
    let (chunks, rest) = block.as_chunks_mut::<8>();
    for chunk in chunks {
        let mut sum = 0.0;
        for x in &mut *chunk {
            sum += *x;
            *x = carry + sum;
        }
        carry += sum;
    }
    let mut sum = 0.0;
    for x in rest {
        sum += *x;
        *x = carry + sum;
    }
}

/// Folds the last prefix sums of all blocks: writes `base_b` for every block, and the total after them.
pub(super) fn fold_blocks(sums: &[f64], bases: &mut Vec<f64>) {
    bases.clear();
    bases.push(0.0);
    let mut base = 0.0;
    for last in sums.chunks(BLOCK).filter_map(<[f64]>::last) {
        base += last;
        bases.push(base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_on_integers_and_zero_weights_have_empty_intervals() {
        for n in [1_usize, 7, 8, 9, 1023, 1024, 1025, 3000] {
            let weights: Vec<f64> = (0..n).map(|i| (i % 3) as f64 + if i + 1 == n { 1.0 } else { 0.0 }).collect();
            let mut cdf = Cdf::default();
            cdf.build(&weights, &Threads::serial()).unwrap();
            let mut sum = 0.0;
            for (j, weight) in weights.iter().enumerate() {
                assert_eq!(cdf.lower(j), sum);
                sum += weight;
            }
            assert_eq!(cdf.total(), sum);
        }
    }

    #[test]
    fn rounded_sums_never_decrease() {
        let weights: Vec<f64> = (0..5000).map(|i| if i % 5 == 0 { 0.0 } else { 0.1_f64.powi(i % 17) }).chain([1.0]).collect();
        let mut cdf = Cdf::default();
        cdf.build(&weights, &Threads::serial()).unwrap();
        for (j, &weight) in weights.iter().enumerate().take(5000) {
            let (lower, upper) = (cdf.lower(j), cdf.lower(j + 1));
            assert!(lower <= upper && (weight > 0.0 || lower == upper));
        }
    }
}
