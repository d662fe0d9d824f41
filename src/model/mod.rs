//! What a user writes, and the faces under which algorithms see it.

mod density;
mod layout;

pub use density::{FromFn, LogDensityGradient};
pub use layout::Variable;
