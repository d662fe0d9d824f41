//! Tests of sequential Monte Carlo.

mod collectors;
mod engine;
mod exact;
mod populations;
mod smoothing;
