//! Tests of sequential Monte Carlo.

mod conditional;
mod engine;
mod enumeration;
mod exact;
mod filters;
mod geweke;
mod resampling;
mod weights;
