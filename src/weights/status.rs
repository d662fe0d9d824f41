//! What a slot is doing.

use serde::{Deserialize, Serialize};

/// Status of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Status {
    /// It moves in the next step.
    #[default]
    Live,
    /// It is finished: never moved again, with increments of exactly 0, but still weighed and resampled.
    Frozen,
    /// Its move is not done; the same step is to be asked for it again.
    Pending,
    /// Its move cannot be done.
    Failed,
}

impl Status {
    /// True if some slot has this status; one pass without branches.
    #[must_use]
    pub fn is_any(self, slots: &[Self]) -> bool {
        slots.chunks(4096).any(|chunk| chunk.iter().fold(false, |seen, status| seen | (*status == self)))
    }
}
