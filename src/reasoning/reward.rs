//! What judges steps: a process reward model behind a trait.

use serde::{Deserialize, Serialize};

use super::error::CallError;
use super::jsonl::number;
use super::prefix::Prefix;

/// A process reward model: scores of the steps of a batch of prefixes.
///
/// The score of step s is the model's judgement of the prefix that ends with step s. What the scores of a prefix amount to is said by a
/// [`Potential`](super::Potential), not here.
///
/// ```
/// use posterity::reasoning::{CallError, RewardModel, RewardScale, ScoreRequest, StepScores};
///
/// /// Likes short texts.
/// struct Brevity;
/// impl RewardModel for Brevity {
///     fn scale(&self) -> RewardScale {
///         RewardScale::Probability
///     }
///     fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
///         requests.iter().map(|request| Ok(StepScores::each(request, |prefix| 1.0 / (1.0 + prefix.n_steps() as f64)))).collect()
///     }
/// }
/// ```
pub trait RewardModel: Send {
    /// The model, as runs record it: a [`Journal`](super::Journal) is refused where it differs. Give models whose scores differ other names.
    fn name(&self) -> String {
        "reward model".to_owned()
    }

    /// What its scores are.
    fn scale(&self) -> RewardScale;

    /// Scores of each prefix's steps: as many replies as requests, in their order.
    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>>;
}

/// What a score is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardScale {
    /// A probability, in \[0, 1\].
    Probability,
    /// The logit of a probability.
    Logit,
    /// The log of a probability, at most 0.
    LogProbability,
    /// Any real number, larger for better.
    Real,
}

impl RewardScale {
    /// True if a score is on this scale; NaN is on none.
    #[must_use]
    pub fn contains(self, score: f64) -> bool {
        match self {
            Self::Probability => (0.0..=1.0).contains(&score),
            Self::Logit => !score.is_nan(),
            Self::LogProbability => score <= 0.0,
            Self::Real => score.is_finite(),
        }
    }

    /// What a score on it is.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Probability => "probability",
            Self::Logit => "logit",
            Self::LogProbability => "log-probability",
            Self::Real => "real number",
        }
    }
}

/// A request for the scores of a prefix's last steps.
#[derive(Debug, Clone, Copy)]
pub struct ScoreRequest<'a> {
    /// The prefix.
    pub prefix: &'a Prefix,
    /// Number of its last steps to score, at least 1: those before are known already.
    pub n_last: usize,
}

impl<'a> ScoreRequest<'a> {
    /// The prefixes that are to be scored: the shortest first, the whole one last.
    #[must_use]
    pub fn prefixes(&self) -> Vec<&'a Prefix> {
        let mut prefixes: Vec<_> = self.prefix.lineage().take(self.n_last.min(self.prefix.n_steps())).collect();
        prefixes.reverse();
        prefixes
    }
}

/// Scores of a prefix's last steps, and what they cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepScores {
    /// One per step that was asked for, the last step last.
    #[serde(with = "number::list")]
    pub scores: Vec<f64>,
    /// Number of passes of the reward model that this took.
    pub calls: u64,
    /// Tokens read.
    pub tokens: u64,
}

impl StepScores {
    /// Scores by a function of a prefix, one call each.
    pub fn each(request: &ScoreRequest<'_>, score: impl FnMut(&Prefix) -> f64) -> Self {
        let scores: Vec<_> = request.prefixes().into_iter().map(score).collect();
        Self { calls: scores.len() as u64, tokens: 0, scores }
    }
}

impl<R: RewardModel + ?Sized> RewardModel for Box<R> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn scale(&self) -> RewardScale {
        (**self).scale()
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        (**self).score(requests)
    }
}
