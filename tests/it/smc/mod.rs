//! Tests of sequential Monte Carlo.

mod blocks;
mod collectors;
mod conditional;
mod engine;
mod enumeration;
mod exact;
mod filters;
mod geweke;
mod pmmh;
mod populations;
mod resampling;
mod samplers;
mod smoothing;
mod weights;
