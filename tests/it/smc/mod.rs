//! Tests of sequential Monte Carlo.
