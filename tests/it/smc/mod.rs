//! Tests of sequential Monte Carlo.

mod exact;
