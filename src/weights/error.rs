//! What can go wrong in the weight machine.

use super::resampling::ResampleError;

/// Why weights could not be updated or resampled. The machine is then as it was before the call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// The log-weight increment of a slot is NaN.
    #[error("slot {slot}: the log-weight increment is NaN")]
    NotANumber {
        /// The first such slot.
        slot: u32,
    },
    /// The log-weight increment of a slot is +∞.
    #[error("slot {slot}: the log-weight increment is +inf")]
    PositiveInfinity {
        /// The first such slot.
        slot: u32,
    },
    /// Every weight is zero.
    #[error("all weights are zero (log-evidence before: {log_evidence})")]
    Degenerate {
        /// Log-evidence before the update.
        log_evidence: f64,
    },
    /// A frozen slot got an increment other than 0.
    #[error("frozen slot {slot}: the log-weight increment is {increment}, but must be 0")]
    FrozenReweighted {
        /// The slot.
        slot: u32,
        /// Its increment.
        increment: f64,
    },
    /// A slice has another length than there are slots.
    #[error("{what}: expected {expected}, found {found}")]
    Length {
        /// The slice.
        what: &'static str,
        /// The length that fits.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// There are no slots, or more than an index of 32 bits can name.
    #[error("the number of particles is {0}, but must be from 1 to 2^32 - 1")]
    Size(usize),
    /// A pinned reference cannot have several children.
    #[error("a step with a pinned reference makes {copies} children per ancestor, but must make 1")]
    PinnedCopies {
        /// Children per ancestor.
        copies: usize,
    },
    /// A step is committed that was not selected.
    #[error("nothing is selected that could be committed")]
    NotSelected,
    /// Resampling failed.
    #[error(transparent)]
    Resample(#[from] ResampleError),
}
