//! Log-weights with what is computed from them in one pass.

use serde::{Deserialize, Serialize};

use super::WeightError;
use crate::math::blocks::BLOCK;
use crate::math::vectorised;
use crate::parallel::{PerBlock, Threads};

/// Log-weights on a running scale, the weights on another one, and their sums.
///
/// The evidence of the cloud is `exp(offset) · mean exp(log_weights)`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Cloud {
    pub(super) log_weights: Vec<f64>,
    /// `exp(log_weights - shift)`.
    pub(super) weights: Vec<f64>,
    pub(super) offset: f64,
    largest: f64,
    shift: f64,
    sum: f64,
    sum_of_squares: f64,
    #[serde(skip)]
    partial: Vec<Partial>,
}

/// Largest log-weight, sum of weights and of their squares, of a block.
type Partial = (f64, f64, f64);

/// Past this size of the largest log-weight the common factor moves into the offset, so that log-weights keep their low digits.
const REBASE: f64 = 64.0;

/// Weights between e^-300 and e^300 and sums of their squares are far from overflow and from the loss of digits.
const SAFE: f64 = 300.0;

/// What the weights of a cloud are the sum of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum<'a> {
    /// 0 if there is none.
    pub(super) base: Option<&'a [f64]>,
    pub(super) increments: &'a [f64],
    pub(super) offset: f64,
    /// A guess of the largest log-weight: a good one saves a pass.
    pub(super) guess: f64,
    pub(super) log_evidence_before: f64,
}

impl Cloud {
    /// Effective sample size (Σw)² / Σw².
    pub(super) fn ess(&self) -> f64 {
        if self.weights.is_empty() {
            return 0.0;
        }
        self.sum * self.sum / self.sum_of_squares
    }

    pub(super) fn log_evidence(&self) -> f64 {
        if self.weights.is_empty() {
            return 0.0;
        }
        self.offset + self.shift + (self.sum / self.weights.len() as f64).ln()
    }

    pub(super) fn clear(&mut self) {
        self.log_weights.clear();
        self.weights.clear();
        (self.offset, self.largest, self.shift, self.sum, self.sum_of_squares) = (0.0, 0.0, 0.0, 0.0, 0.0);
    }

    /// The sum of [`Cloud::weights`].
    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    /// The largest log-weight.
    pub(super) fn largest(&self) -> f64 {
        self.largest
    }

    /// Sets log-weights and weights in one pass over memory; returns the largest log-weight, before a common factor moves to the offset.
    ///
    /// # Errors
    /// `Degenerate` if every weight is zero; NaN and +∞ name the first increment that is one. The cloud is then of no use.
    pub(super) fn assign(&mut self, sum: Sum<'_>, threads: &Threads) -> Result<f64, WeightError> {
        let Sum { base, increments, offset, guess, log_evidence_before } = sum;
        let n = increments.len();
        self.log_weights.resize(n, 0.0);
        self.weights.resize(n, 0.0);
        self.partial.resize(n.div_ceil(BLOCK), (0.0, 0.0, 0.0));
        self.offset = offset;
        self.shift = if guess.is_finite() { guess } else { 0.0 };
        let shift = self.shift;
        let (out, weights) = (self.log_weights.as_mut_slice(), self.weights.as_mut_slice());
        let partial = PerBlock::new(&mut self.partial, BLOCK);
        match base {
            Some(base) => {
                threads.for_each_block((out, weights, base, increments, partial), BLOCK, |_, part| {
                    let (out, weights, base, increments, mut partial) = part;
                    partial.set(vectorised::add_exp(base, increments, shift, out, weights));
                });
            }
            None => threads.for_each_block((out, weights, increments, partial), BLOCK, |_, part| {
                let (out, weights, increments, mut partial) = part;
                out.copy_from_slice(&increments[..out.len()]);
                partial.set(vectorised::max_exp(out, shift, weights));
            }),
        }
        self.fold();
        if self.largest == f64::NEG_INFINITY && self.sum == 0.0 {
            return Err(WeightError::Degenerate { log_evidence: log_evidence_before });
        }
        if self.largest == f64::INFINITY {
            return Err(first_bad(increments));
        }
        if !((self.largest - self.shift).abs() <= SAFE) {
            self.exponentiate(threads);
        }
        if self.sum.is_nan() {
            return Err(first_bad(increments));
        }
        let largest = self.largest;
        if largest.abs() > REBASE {
            self.rebase(threads);
        }
        Ok(largest)
    }

    fn fold(&mut self) {
        let start = (f64::NEG_INFINITY, 0.0, 0.0);
        let add = |a: Partial, b: &Partial| (if b.0 > a.0 { b.0 } else { a.0 }, a.1 + b.1, a.2 + b.2);
        (self.largest, self.sum, self.sum_of_squares) = self.partial.iter().fold(start, add);
    }

    /// Computes the weights again, relative to the largest one.
    fn exponentiate(&mut self, threads: &Threads) {
        self.shift = self.largest;
        let shift = self.shift;
        let partial = PerBlock::new(&mut self.partial, BLOCK);
        let data = (self.log_weights.as_slice(), self.weights.as_mut_slice(), partial);
        threads.for_each_block(data, BLOCK, |_, (log_weights, weights, mut partial)| {
            partial.set(vectorised::max_exp(log_weights, shift, weights));
        });
        self.fold();
    }

    /// Moves the largest log-weight to the offset.
    fn rebase(&mut self, threads: &Threads) {
        let by = self.largest;
        threads.for_each_block(self.log_weights.as_mut_slice(), BLOCK, |_, block: &mut [f64]| {
            for w in block {
                *w -= by;
            }
        });
        self.offset += by;
        self.shift -= by;
        self.largest = 0.0;
    }
}

/// The error of the first NaN or +∞.
pub(super) fn first_bad(increments: &[f64]) -> WeightError {
    let bad = increments.iter().position(|v| v.is_nan() || *v == f64::INFINITY);
    let slot = bad.unwrap_or(0);
    match increments.get(slot) {
        Some(v) if *v == f64::INFINITY => WeightError::PositiveInfinity { slot: slot as u32 },
        _ => WeightError::NotANumber { slot: slot as u32 },
    }
}
