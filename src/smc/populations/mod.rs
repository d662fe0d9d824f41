//! Storage of particles: what the engine keeps of a cloud between steps.
//!
//! | population | particles | a child costs |
//! |---|---|---|
//! | `Vec<X>` | `X: Copy`, small | a copy |
//! | [`Columns`] | D numbers in separate columns | a number per column |
//! | [`Owned`] | anything that can be cloned: nested filters, buffers | nothing for a parent's last child, a clone for the others |
//! | [`PrefixTree`] | sequences that grow at the end: texts, paths | a node; prefixes are shared |
//!
//! [`Population`] is the trait that they share, for storage of one's own.

mod columns;
mod owned;
mod population;
mod prefix_tree;

pub use columns::Columns;
pub use owned::Owned;
pub use population::Population;
pub use prefix_tree::PrefixTree;
