//! What can go wrong in a run of the engine.

use crate::error::Error;
use crate::weights::{ResampleError, WeightError};

/// Why a step of the engine could not be made, with the model's error type `E`. The engine is as it was before the step, and the step can be
/// made again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SmcError<E> {
    /// The model's code failed.
    #[error("step {step}{}: {source}", of_slot(.slot))]
    Model {
        /// The step.
        step: usize,
        /// The slot, if the model marked one as failed.
        slot: Option<u32>,
        /// The model's error.
        source: E,
    },
    /// A log-weight increment is NaN.
    #[error("step {step}, slot {slot}: the log-weight increment is NaN")]
    NotANumber {
        /// The step.
        step: usize,
        /// The first such slot.
        slot: u32,
    },
    /// A log-weight increment is +∞.
    #[error("step {step}, slot {slot}: the log-weight increment is +inf")]
    PositiveInfinity {
        /// The step.
        step: usize,
        /// The first such slot.
        slot: u32,
    },
    /// Every weight is zero.
    #[error("step {step}: all weights are zero (log-evidence before: {log_evidence})")]
    Degenerate {
        /// The step.
        step: usize,
        /// Log-evidence up to the step before.
        log_evidence: f64,
    },
    /// A slot failed, without an error of the model as a whole.
    #[error("step {step}, slot {slot}: the model marked it as failed")]
    SlotFailed {
        /// The step.
        step: usize,
        /// The first such slot.
        slot: u32,
    },
    /// Slots stayed pending in every attempt. What the others got is kept for the next call.
    #[error("step {step}, slot {slot}: still pending after {attempts} attempts")]
    Pending {
        /// The step.
        step: usize,
        /// The first such slot.
        slot: u32,
        /// Attempts so far.
        attempts: u32,
    },
    /// A step failed after its parents were handed on to their children: the cloud is lost.
    #[error("step {step}: the population was consumed by a step that failed")]
    Consumed {
        /// The step that failed.
        step: usize,
    },
    /// The model offers no [`Pin::log_connection`](super::Pin::log_connection), which ancestor and backward sampling need.
    #[error("step {step}: the model cannot connect other particles to the reference")]
    NoConnection {
        /// The step.
        step: usize,
    },
    /// A frozen slot got an increment other than 0.
    #[error("step {step}, slot {slot}: it is frozen, but its log-weight increment is {increment}")]
    FrozenReweighted {
        /// The step.
        step: usize,
        /// The slot.
        slot: u32,
        /// Its increment.
        increment: f64,
    },
    /// Resampling failed.
    #[error("step {step}: {source}")]
    Resample {
        /// The step.
        step: usize,
        /// What happened.
        source: ResampleError,
    },
    /// The model broke its contract with the engine: the weight machine refused what it was given.
    #[error("step {step}: {source}")]
    Weights {
        /// The step.
        step: usize,
        /// What happened.
        source: WeightError,
    },
    /// A setting is out of range, or something outside the engine failed.
    #[error(transparent)]
    Setting(#[from] Error),
}

fn of_slot(slot: &Option<u32>) -> String {
    slot.map_or_else(String::new, |slot| format!(", slot {slot}"))
}

impl<E> SmcError<E> {
    pub(super) fn at(step: usize) -> impl Fn(WeightError) -> Self {
        move |error| match error {
            WeightError::NotANumber { slot } => Self::NotANumber { step, slot },
            WeightError::PositiveInfinity { slot } => Self::PositiveInfinity { step, slot },
            WeightError::Degenerate { log_evidence } => Self::Degenerate { step, log_evidence },
            WeightError::FrozenReweighted { slot, increment } => Self::FrozenReweighted { step, slot, increment },
            WeightError::Resample(source) => Self::Resample { step, source },
            source => Self::Weights { step, source },
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<SmcError<E>> for Error {
    fn from(error: SmcError<E>) -> Self {
        match error {
            SmcError::Setting(error) => error,
            other => Self::Sampling { source: Box::new(other) },
        }
    }
}
