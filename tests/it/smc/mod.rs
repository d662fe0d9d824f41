//! Tests of sequential Monte Carlo.

mod resampling;
