//! What can go wrong in smoothing and forecasting.

use crate::error::Error;

/// Why no paths could be drawn from a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SmoothingError {
    /// The run has not made its first step.
    #[error("the run has not started: there is nothing to smooth or to forecast from")]
    NotStarted,
    /// The run kept no history.
    #[error("the run kept no history; smoothing needs `SmcConfig::keep(Keep::All)`")]
    NoHistory,
    /// The oldest generations are gone.
    #[error("the history starts at step {first_step}; smoothing needs `SmcConfig::keep(Keep::All)`")]
    HistoryTruncated {
        /// The oldest step kept.
        first_step: usize,
    },
    /// Rejection needs a bound of the transition density, and the model has none.
    #[error("step {step}: rejection needs a bound, but `log_transition_bound` is None; use `Mcmc` or `Exact`")]
    NoBound {
        /// The step that is moved into.
        step: usize,
    },
    /// The transition density is larger than the bound that the model promised.
    #[error("step {step}: the log transition density {log_density} is above its bound {bound}")]
    BoundExceeded {
        /// The step that is moved into.
        step: usize,
        /// The density found.
        log_density: f64,
        /// The bound promised.
        bound: f64,
    },
    /// A log transition density is NaN or +∞.
    #[error("step {step}: the log transition density is {value}")]
    NotFinite {
        /// The step that is moved into.
        step: usize,
        /// The value found.
        value: f64,
    },
    /// A state of the cloud has transition density 0 from where it came, or from every weighted particle of the step before: transitions
    /// and their density do not belong together, or the density is not one (noise of variance 0).
    #[error("step {step}: a particle cannot be reached from the step before, according to the transition density")]
    Unreachable {
        /// The step that is moved into.
        step: usize,
    },
    /// A setting is out of range.
    #[error(transparent)]
    Setting(#[from] Error),
}

impl From<SmoothingError> for Error {
    fn from(error: SmoothingError) -> Self {
        match error {
            SmoothingError::Setting(error) => error,
            other => Self::Sampling { source: Box::new(other) },
        }
    }
}
