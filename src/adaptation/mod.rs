//! Rules that tune a kernel from what its transitions report; they know nothing of densities.

mod dual_averaging;

pub use dual_averaging::{DualAveraging, DualAveragingConfig};
