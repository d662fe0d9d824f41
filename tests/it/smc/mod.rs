//! Tests of sequential Monte Carlo.

mod engine;
mod exact;
mod filters;
mod resampling;
mod weights;
