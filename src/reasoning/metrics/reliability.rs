//! Whether probabilities come true as often as they say.

use crate::error::{Error, check};

/// Probabilities beside what came true.
///
/// ```
/// use posterity::reasoning::Reliability;
/// let r = Reliability::new(&[0.1, 0.1, 0.9, 0.9], &[false, false, true, false], 10)?;
/// assert!((r.expected_calibration_error - (0.5 * 0.1 + 0.5 * 0.4)).abs() < 1e-12);
/// assert!((r.brier_score - (0.01 + 0.01 + 0.01 + 0.81) / 4.0).abs() < 1e-12);
/// # Ok::<(), posterity::error::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Reliability {
    /// Bins of equal width from 0 to 1; the last one holds 1.
    pub bins: Vec<ReliabilityBin>,
    /// Σ (n_b / n) |frequency - mean probability|. Biased upwards by small bins: with n pairs, an honest model has about the sum of
    /// √(2 p (1 - p) n_b / π) / n.
    pub expected_calibration_error: f64,
    /// Mean of (p - outcome)²: a proper score.
    pub brier_score: f64,
}

/// Pairs whose probability lies in one bin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// Number of pairs.
    pub n: usize,
    /// Their mean probability; NaN without pairs.
    pub mean_probability: f64,
    /// The share that came true; NaN without pairs.
    pub frequency: f64,
}

impl Reliability {
    /// Compares probabilities with outcomes in `n_bins` bins; 10 is usual.
    ///
    /// # Errors
    /// [`Error::Dimension`], [`Error::Empty`], [`Error::OutsideSupport`] for what is no probability, [`Error::InvalidSetting`] for no bins.
    pub fn new(probabilities: &[f64], outcomes: &[bool], n_bins: usize) -> Result<Self, Error> {
        if probabilities.len() != outcomes.len() {
            let (expected, found) = (probabilities.len(), outcomes.len());
            return Err(Error::Dimension { what: "outcomes of probabilities", expected, found });
        }
        if probabilities.is_empty() {
            return Err(Error::Empty { what: "probabilities" });
        }
        check::at_least("n_bins", n_bins, 1, "at least 1")?;
        let mut sums = vec![(0_usize, 0.0, 0.0); n_bins];
        let mut squares = 0.0;
        for (i, (&p, &outcome)) in probabilities.iter().zip(outcomes).enumerate() {
            if !(0.0..=1.0).contains(&p) {
                return Err(Error::OutsideSupport { variable: format!("probabilities[{i}]"), value: p, support: "[0, 1]" });
            }
            let came_true = f64::from(outcome);
            let bin = ((p * n_bins as f64) as usize).min(n_bins - 1);
            sums[bin].0 += 1;
            sums[bin].1 += p;
            sums[bin].2 += came_true;
            squares += (p - came_true).powi(2);
        }
        let n = probabilities.len() as f64;
        Ok(Self {
            expected_calibration_error: sums.iter().map(|(_, p, came_true)| (p - came_true).abs()).sum::<f64>() / n,
            brier_score: squares / n,
            bins: sums
                .into_iter()
                .map(|(n, p, came_true)| ReliabilityBin { n, mean_probability: p / n as f64, frequency: came_true / n as f64 })
                .collect(),
        })
    }
}
