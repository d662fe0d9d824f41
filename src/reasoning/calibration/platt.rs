//! Platt's scaling: logistic regression on one number.

use serde::{Deserialize, Serialize};

use super::CalibrationError;
use crate::math::{inv_logit, log1p_exp};

/// What a logistic regression is fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlattTargets {
    /// Platt's: (n₊ + 1) / (n₊ + 2) for a success and 1 / (n₋ + 2) for a failure. There is always a finite fit.
    #[default]
    Smoothed,
    /// The outcomes themselves: plain maximum likelihood.
    Outcomes,
}

/// P = σ(slope · x + intercept).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Platt {
    slope: f64,
    intercept: f64,
}

impl Platt {
    pub(super) fn probability(&self, x: f64) -> f64 {
        inv_logit(self.slope * x + self.intercept)
    }

    pub(super) fn is_finite(&self) -> bool {
        self.slope.is_finite() && self.intercept.is_finite()
    }

    /// Newton's method with halved steps, on standardised x.
    pub(super) fn fit(x: &[f64], outcomes: &[bool], targets: PlattTargets) -> Result<Self, CalibrationError> {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let sd = (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        if x.iter().all(|&value| value == x[0]) || !(sd > 0.0) {
            return Err(CalibrationError::ConstantScores);
        }
        let n_positive = outcomes.iter().filter(|outcome| **outcome).count() as f64;
        let (high, low) = match targets {
            PlattTargets::Smoothed => ((n_positive + 1.0) / (n_positive + 2.0), 1.0 / (n - n_positive + 2.0)),
            PlattTargets::Outcomes => {
                check_overlap(x, outcomes)?;
                (1.0, 0.0)
            }
        };
        let data: Vec<(f64, f64)> =
            x.iter().zip(outcomes).map(|(x, &outcome)| ((x - mean) / sd, if outcome { high } else { low })).collect();
        let (mut a, mut b) = (0.0, 0.0);
        let mut loss = negative_log_likelihood(&data, a, b);
        for _ in 0..MAX_ITERATIONS {
            let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for &(z, target) in &data {
                let p = inv_logit(a * z + b);
                let (error, variance) = (p - target, p * (1.0 - p));
                ga += error * z;
                gb += error;
                haa += variance * z * z;
                hab += variance * z;
                hbb += variance;
            }
            if ga.abs().max(gb.abs()) <= 1e-11 * n {
                let slope = a / sd;
                return Ok(Self { slope, intercept: b - slope * mean });
            }
            let determinant = haa * hbb - hab * hab;
            let (da, db) = ((hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant);
            let mut step = 1.0;
            loop {
                let next = negative_log_likelihood(&data, a - step * da, b - step * db);
                // Near the optimum, the loss is flat to rounding.
                if next <= loss + 1e-14 * loss.abs() {
                    (a, b, loss) = (a - step * da, b - step * db, next);
                    break;
                }
                step /= 2.0;
                if !(step > 1e-10) {
                    return Err(CalibrationError::NoConvergence);
                }
            }
        }
        Err(CalibrationError::NoConvergence)
    }
}

const MAX_ITERATIONS: usize = 100;

/// −Σ [t log σ(u) + (1 − t) log(1 − σ(u))] = Σ [log(1 + e^u) − t u].
fn negative_log_likelihood(data: &[(f64, f64)], a: f64, b: f64) -> f64 {
    data.iter()
        .map(|&(z, target)| {
            let u = a * z + b;
            log1p_exp(u) - target * u
        })
        .sum()
}

/// The likelihood has a maximum only if no threshold separates failures from successes, in either direction.
fn check_overlap(x: &[f64], outcomes: &[bool]) -> Result<(), CalibrationError> {
    let range = |wanted: bool| {
        let values = x.iter().zip(outcomes).filter(|(_, outcome)| **outcome == wanted).map(|(x, _)| *x);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    };
    let (positive, negative) = (range(true), range(false));
    if positive.0 > positive.1 || negative.0 > negative.1 {
        return Err(CalibrationError::OneOutcome);
    }
    if negative.1 <= positive.0 || positive.1 <= negative.0 { Err(CalibrationError::Separable) } else { Ok(()) }
}
