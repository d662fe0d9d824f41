//! Log-weights with what is computed from them in one pass.

use serde::{Deserialize, Serialize};

use super::WeightError;
use crate::math::blocks::BLOCK;
use crate::math::vectorised;
use crate::parallel::{PerBlock, Threads};

/// Log-weights on a running scale, the weights relative to the largest one, and their sums.
///
/// The evidence of the cloud is `exp(offset) · mean exp(log_weights)`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Cloud {
    pub(super) log_weights: Vec<f64>,
    /// `exp(log_weights - largest)`.
    pub(super) weights: Vec<f64>,
    pub(super) offset: f64,
    largest: f64,
    sum: f64,
    sum_of_squares: f64,
    #[serde(skip)]
    partial: Vec<f64>,
    #[serde(skip)]
    partial_pairs: Vec<(f64, f64)>,
}

/// Past this size of the largest log-weight the common factor moves into the offset, so that log-weights keep their low digits.
const REBASE: f64 = 64.0;

impl Cloud {
    /// Effective sample size (Σw)² / Σw².
    pub(super) fn ess(&self) -> f64 {
        self.sum * self.sum / self.sum_of_squares
    }

    pub(super) fn log_evidence(&self) -> f64 {
        self.offset + self.largest + (self.sum / self.weights.len() as f64).ln()
    }

    /// The sum of [`Cloud::weights`].
    pub(super) fn sum(&self) -> f64 {
        self.sum
    }

    /// The log-weights of `base` plus the increments; 0 stands for no base.
    pub(super) fn assign_sum(&mut self, base: Option<&[f64]>, increments: &[f64], offset: f64, threads: &Threads) {
        let n = increments.len();
        self.log_weights.resize(n, 0.0);
        self.partial.resize(n.div_ceil(BLOCK), 0.0);
        let partial = PerBlock::new(&mut self.partial, BLOCK);
        match base {
            Some(base) => {
                let data = (self.log_weights.as_mut_slice(), base, increments, partial);
                threads.for_each_block(data, BLOCK, |_, (out, base, increments, mut largest)| {
                    largest.set(vectorised::add_max(base, increments, out));
                });
            }
            None => {
                let data = (self.log_weights.as_mut_slice(), increments, partial);
                threads.for_each_block(data, BLOCK, |_, (out, increments, mut largest)| {
                    out.copy_from_slice(&increments[..out.len()]);
                    largest.set(vectorised::max(out));
                });
            }
        }
        self.offset = offset;
        self.largest = vectorised::max(&self.partial);
    }

    /// Computes the weights and their sums; call after [`Cloud::assign_sum`].
    ///
    /// # Errors
    /// `Degenerate` with `log_evidence_before` if every weight is zero; NaN and +∞ name the first increment that is one.
    pub(super) fn exponentiate(
        &mut self,
        increments: &[f64],
        log_evidence_before: f64,
        threads: &Threads,
    ) -> Result<(), WeightError> {
        if self.largest == f64::NEG_INFINITY {
            return Err(WeightError::Degenerate { log_evidence: log_evidence_before });
        }
        if !self.largest.is_finite() {
            return Err(first_bad(increments));
        }
        if self.largest.abs() > REBASE {
            let shift = self.largest;
            threads.for_each_block(self.log_weights.as_mut_slice(), BLOCK, |_, block: &mut [f64]| {
                for w in block {
                    *w -= shift;
                }
            });
            self.offset += shift;
            self.largest = 0.0;
        }
        let n = self.log_weights.len();
        self.weights.resize(n, 0.0);
        self.partial_pairs.resize(n.div_ceil(BLOCK), (0.0, 0.0));
        let partial = PerBlock::new(&mut self.partial_pairs, BLOCK);
        let largest = self.largest;
        let data = (self.weights.as_mut_slice(), self.log_weights.as_slice(), partial);
        threads.for_each_block(data, BLOCK, |_, (out, log_weights, mut sums)| {
            sums.set(vectorised::exp_shifted(log_weights, largest, out));
        });
        (self.sum, self.sum_of_squares) =
            self.partial_pairs.iter().fold((0.0, 0.0), |(sum, squares), (s, q)| (sum + s, squares + q));
        Ok(())
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
