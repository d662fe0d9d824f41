//! Tests of sequential Monte Carlo.

mod blocks;
mod engine;
mod exact;
mod pmmh;
mod resampling;
