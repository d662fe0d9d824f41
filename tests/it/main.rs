//! Integration tests, in one binary.

mod bad_input;
mod data;
mod harness;
mod kernels;
mod layering;
mod parvi;
#[cfg(feature = "plot")]
mod plot;
mod reasoning;
mod reproducibility;
mod resume;
mod samplers;
mod smc;
mod zoo;
