//! Tests of sequential Monte Carlo.

mod engine;
mod exact;
mod resampling;
