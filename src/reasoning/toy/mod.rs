//! Table models: language and reward models small enough to enumerate every text, for tests and for trying out methods.

mod enumerate;
mod table;

pub use enumerate::{ExactTarget, ExactText};
pub use table::{EndRule, TableModel, TableRow};
