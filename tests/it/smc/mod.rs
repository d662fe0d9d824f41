//! Tests of sequential Monte Carlo.

mod collectors;
mod engine;
mod exact;
mod filters;
mod populations;
mod resampling;
mod smoothing;
mod weights;
