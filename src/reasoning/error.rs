//! What can go wrong: [`CallError`] for one slot of one call, [`ReasoningError`] for a run.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::jsonl::FileError;
use crate::error::Error;
use crate::smc::SmcError;

/// How far an error of one slot reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The same request may succeed later.
    Transient,
    /// This prefix cannot be extended or scored; others can.
    Slot,
    /// Nothing can: the run should stop.
    Fatal,
}

/// Why one slot of a call to a model has no result.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{source}")]
pub struct CallError {
    severity: Severity,
    source: Arc<dyn std::error::Error + Send + Sync>,
}

impl CallError {
    /// An error of a slot, with its cause.
    pub fn new(severity: Severity, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { severity, source: Arc::from(source.into()) }
    }

    /// The model cannot do this at all.
    #[must_use]
    pub fn unsupported(what: &'static str) -> Self {
        Self::new(Severity::Fatal, Unsupported { what })
    }

    /// How far it reaches.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the model does not offer {what}")]
struct Unsupported {
    what: &'static str,
}

/// What was being asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Steps.
    Generate,
    /// Log-probabilities of given steps.
    Score,
    /// Rewards.
    Reward,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Generate => "generation",
            Self::Score => "scoring of text",
            Self::Reward => "reward",
        })
    }
}

/// Why a decoder or a baseline could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReasoningError {
    /// A model failed.
    #[error("{call} of request {index}: {source}")]
    Call {
        /// What was asked.
        call: Call,
        /// Place in the batch.
        index: usize,
        /// Why.
        source: CallError,
    },
    /// A particle's call failed for good, or in every attempt.
    #[error("step {step}, particle {slot}: {call}: {source}")]
    Slot {
        /// The step.
        step: usize,
        /// The particle.
        slot: usize,
        /// What was asked.
        call: Call,
        /// Why it failed the last time.
        source: CallError,
    },
    /// Every particle has weight zero: no text that was drawn has a reward or is allowed to end.
    #[error("step {step}: all weights are zero (log-evidence before: {log_evidence})")]
    Degenerate {
        /// The step.
        step: usize,
        /// Log-evidence up to the step before.
        log_evidence: f64,
    },
    /// A Markov chain met no text of positive density.
    #[error("chain {chain} met no text of positive density in {n_moves} moves")]
    ZeroDensity {
        /// The chain.
        chain: usize,
        /// Number of its moves.
        n_moves: u64,
    },
    /// A model answered with another number of replies than it got requests, or of scores than steps.
    #[error("{call}: {found} replies to {expected} requests")]
    Replies {
        /// What was asked.
        call: Call,
        /// Number of requests.
        expected: usize,
        /// Number of replies.
        found: usize,
    },
    /// A score is NaN, infinite where its scale does not allow that, or outside its scale.
    #[error("reward of request {index}: {score} is no {scale}")]
    Score {
        /// Place in the batch.
        index: usize,
        /// The score.
        score: f64,
        /// What scores of this model are.
        scale: &'static str,
    },
    /// A log-probability is NaN or above 0.
    #[error("{call} of request {index}: {value} is no log-probability")]
    LogProbability {
        /// What was asked.
        call: Call,
        /// Place in the batch.
        index: usize,
        /// The value.
        value: f64,
    },
    /// The method needs a log-probability that the model did not give.
    #[error("{what} is not known: the generator does not report it")]
    NoLogProbability {
        /// Which.
        what: &'static str,
    },
    /// The next batch would exceed the budget.
    #[error("the budget of {limit} {what} does not cover the next batch ({spent} spent)")]
    Budget {
        /// What is limited.
        what: &'static str,
        /// Its limit.
        limit: u64,
        /// What was spent.
        spent: u64,
    },
    /// The file of a run could not be read or written, or does not fit.
    #[error(transparent)]
    File(#[from] FileError),
    /// A setting is out of range, or something outside this module failed.
    #[error(transparent)]
    Setting(#[from] Error),
}

impl From<ReasoningError> for Error {
    fn from(error: ReasoningError) -> Self {
        match error {
            ReasoningError::Setting(error) => error,
            other => Self::Sampling { source: Box::new(other) },
        }
    }
}

/// A run of the engine that failed.
impl From<SmcError<ReasoningError>> for ReasoningError {
    fn from(error: SmcError<ReasoningError>) -> Self {
        match error {
            SmcError::Model { source, .. } => source,
            SmcError::Degenerate { step, log_evidence } => Self::Degenerate { step, log_evidence },
            SmcError::Setting(error) => Self::Setting(error),
            other => Self::Setting(Error::Sampling { source: Box::new(other) }),
        }
    }
}
