//! Calibration of reward models: from scores to probabilities that come true as often as they say.
//!
//! A potential takes a score at its word: odds of 9 are nine times odds of 1. Learned reward models are seldom that honest, and mostly too
//! sure. A [`Calibration`] is fitted to pairs of a score and what became of it, on problems that are not used again; [`Calibrated`] puts it
//! behind a reward model.
//!
//! Sources: J. Platt 1999, "Probabilistic outputs for support vector machines"; H.-T. Lin, C.-J. Lin and R. C. Weng 2007,
//! doi:10.1007/s10994-007-5018-6 (the fit); M. Ayer et al. 1955, doi:10.1214/aoms/1177728423 (pooling of adjacent violators); B. Zadrozny and
//! C. Elkan 2002, doi:10.1145/775047.775151 (isotonic calibration).

mod isotonic;
mod platt;

use serde::{Deserialize, Serialize};

use super::error::CallError;
use super::reward::{RewardModel, RewardScale, ScoreRequest, StepScores};
use crate::math::{inv_logit, log1m_exp, logit};

pub use isotonic::Interpolation;
use isotonic::Isotonic;
use platt::Platt;
pub use platt::PlattTargets;

/// Why a calibration cannot be fitted or used.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// Another number of outcomes than of scores.
    #[error("{scores} scores, but {outcomes} outcomes")]
    Lengths {
        /// Number of scores.
        scores: usize,
        /// Number of outcomes.
        outcomes: usize,
    },
    /// There are no pairs.
    #[error("there is nothing to fit a calibration to")]
    Empty,
    /// A score is NaN or off its scale.
    #[error("score {index} is {score}, which is off its scale")]
    Score {
        /// Its place.
        index: usize,
        /// The score.
        score: f64,
    },
    /// All scores are the same: no slope can be told.
    #[error("all scores are equal")]
    ConstantScores,
    /// All outcomes are the same.
    #[error("all outcomes are equal")]
    OneOutcome,
    /// A threshold separates the outcomes: the likelihood has no maximum. [`PlattTargets::Smoothed`] has one.
    #[error("a threshold separates the outcomes: the slope would be infinite")]
    Separable,
    /// Newton's iteration did not converge.
    #[error("the fit did not converge")]
    NoConvergence,
    /// The calibration was fitted to scores on another scale.
    #[error("the calibration is for scores on the scale {expected:?}, not {found:?}")]
    Scale {
        /// The scale it was fitted to.
        expected: RewardScale,
        /// The reward model's scale.
        found: RewardScale,
    },
    /// A calibration that was read from a file is none: a number is not finite, a probability outside \[0, 1\], or scores are out of order.
    #[error("the calibration's numbers do not make a monotone map to probabilities")]
    Malformed,
}

/// A map from scores of one scale to probabilities.
///
/// ```
/// use posterity::reasoning::{Calibration, PlattTargets, RewardScale};
/// let scores = [0.9, 0.8, 0.9, 0.7, 0.3, 0.2, 0.9, 0.4];
/// let outcomes = [true, false, false, true, false, false, true, true];
/// let platt = Calibration::platt(RewardScale::Probability, &scores, &outcomes, PlattTargets::Outcomes)?;
/// let isotonic = Calibration::isotonic(RewardScale::Probability, &scores, &outcomes, Default::default())?;
/// assert!(platt.probability(0.9) < 0.9 && platt.probability(0.9) > platt.probability(0.2));
/// assert_eq!(isotonic.probability(0.9), 2.0 / 3.0);
/// # Ok::<(), posterity::reasoning::CalibrationError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    scale: RewardScale,
    map: Map,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Map {
    Platt(Platt),
    Isotonic(Isotonic),
}

impl Calibration {
    /// P = σ(a · logit(score) + b), by maximum likelihood; the logit is that of the score's probability, or the score itself on a real scale.
    /// Where higher scores came true less often, a is negative: the map then turns their order around, and says so by a falling
    /// [`probability`](Self::probability).
    ///
    /// # Errors
    /// [`CalibrationError`]: lengths, scores off their scale, equal scores; with [`PlattTargets::Outcomes`] also equal or separable outcomes.
    pub fn platt(scale: RewardScale, scores: &[f64], outcomes: &[bool], targets: PlattTargets) -> Result<Self, CalibrationError> {
        let logits = features(scale, scores, outcomes, log_odds)?;
        Ok(Self { scale, map: Map::Platt(Platt::fit(&logits, outcomes, targets)?) })
    }

    /// The non-decreasing function of the score that fits outcomes best in least squares, which is that of greatest likelihood too. It may be
    /// 0 or 1 at the ends; see [`Potential::clip`](super::Potential::clip).
    ///
    /// # Errors
    /// [`CalibrationError`]: lengths, or scores off their scale.
    pub fn isotonic(
        scale: RewardScale,
        scores: &[f64],
        outcomes: &[bool],
        interpolation: Interpolation,
    ) -> Result<Self, CalibrationError> {
        let values = features(scale, scores, outcomes, position)?;
        Ok(Self { scale, map: Map::Isotonic(Isotonic::fit(&values, outcomes, interpolation)) })
    }

    /// The scale of the scores that it takes.
    #[must_use]
    pub fn scale(&self) -> RewardScale {
        self.scale
    }

    /// The probability that a score stands for; NaN for a score off its scale.
    #[must_use]
    pub fn probability(&self, score: f64) -> f64 {
        if !self.scale.contains(score) {
            return f64::NAN;
        }
        match &self.map {
            Map::Platt(platt) => platt.probability(log_odds(self.scale, score)),
            Map::Isotonic(isotonic) => isotonic.probability(position(self.scale, score)),
        }
    }

    /// Checks the numbers, which may come from a file.
    ///
    /// # Errors
    /// [`CalibrationError::Malformed`].
    pub fn validate(&self) -> Result<(), CalibrationError> {
        let holds = match &self.map {
            Map::Platt(platt) => platt.is_finite(),
            Map::Isotonic(isotonic) => isotonic.is_monotone(),
        };
        if holds { Ok(()) } else { Err(CalibrationError::Malformed) }
    }
}

/// A reward model whose scores are calibrated probabilities.
///
/// ```
/// use posterity::reasoning::{Calibrated, Calibration, PlattTargets, RewardModel, RewardScale, TableModel};
/// let scores = [0.9, 0.8, 0.3, 0.2];
/// let calibration =
///     Calibration::platt(RewardScale::Probability, &scores, &[true, false, true, false], PlattTargets::Smoothed)?;
/// let rewards = Calibrated::new(TableModel::two_step_example(), calibration)?;
/// assert_eq!(rewards.scale(), RewardScale::Probability);
/// # Ok::<(), posterity::reasoning::CalibrationError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Calibrated<R> {
    model: R,
    calibration: Calibration,
}

impl<R: RewardModel> Calibrated<R> {
    /// A reward model behind a calibration.
    ///
    /// # Errors
    /// [`CalibrationError::Scale`] if the calibration was fitted to scores on another scale, [`CalibrationError::Malformed`].
    pub fn new(model: R, calibration: Calibration) -> Result<Self, CalibrationError> {
        calibration.validate()?;
        let (expected, found) = (calibration.scale, model.scale());
        if expected == found { Ok(Self { model, calibration }) } else { Err(CalibrationError::Scale { expected, found }) }
    }

    /// The calibration.
    #[must_use]
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// The reward model as it is.
    #[must_use]
    pub fn into_inner(self) -> R {
        self.model
    }
}

impl<R: RewardModel> RewardModel for Calibrated<R> {
    fn name(&self) -> String {
        format!("calibrated {}", self.model.name())
    }

    fn scale(&self) -> RewardScale {
        RewardScale::Probability
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        let mut replies = self.model.score(requests);
        for score in replies.iter_mut().flatten().flat_map(|scores| &mut scores.scores) {
            *score = self.calibration.probability(*score);
        }
        replies
    }
}

/// The log-odds of a score, within ±logit(1 - 1e-9); a real score itself.
fn log_odds(scale: RewardScale, score: f64) -> f64 {
    let limit = logit(1.0 - 1e-9);
    match scale {
        RewardScale::Probability => logit(score).clamp(-limit, limit),
        RewardScale::Logit => score.clamp(-limit, limit),
        RewardScale::LogProbability => (score - log1m_exp(score)).clamp(-limit, limit),
        RewardScale::Real => score,
    }
}

/// The probability of a score; a real score itself.
fn position(scale: RewardScale, score: f64) -> f64 {
    match scale {
        RewardScale::Probability | RewardScale::Real => score,
        RewardScale::Logit => inv_logit(score),
        RewardScale::LogProbability => score.exp(),
    }
}

fn features(
    scale: RewardScale,
    scores: &[f64],
    outcomes: &[bool],
    feature: impl Fn(RewardScale, f64) -> f64,
) -> Result<Vec<f64>, CalibrationError> {
    if scores.len() != outcomes.len() {
        return Err(CalibrationError::Lengths { scores: scores.len(), outcomes: outcomes.len() });
    }
    if scores.is_empty() {
        return Err(CalibrationError::Empty);
    }
    if let Some(index) = scores.iter().position(|&score| !scale.contains(score)) {
        return Err(CalibrationError::Score { index, score: scores[index] });
    }
    Ok(scores.iter().map(|&score| feature(scale, score)).collect())
}
