//! Tests of sequential Monte Carlo.

mod collectors;
mod conditional;
mod engine;
mod enumeration;
mod exact;
mod filters;
mod geweke;
mod populations;
mod resampling;
mod samplers;
mod smoothing;
mod weights;
