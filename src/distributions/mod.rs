//! Probability distributions: log densities as fused nodes, and sampling.

mod family;
mod normal;

pub(crate) use family::{Statement, continuous1, continuous2, continuous3, counts1, counts2, counts3};
pub use normal::Normal;
