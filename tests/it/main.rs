//! Integration tests, in one binary.

mod bad_input;
mod calibration;
mod data;
mod harness;
mod kernels;
mod layering;
mod loo;
mod parvi;
#[cfg(feature = "plot")]
mod plot;
mod reasoning;
mod reproducibility;
mod resume;
mod samplers;
mod smc;
mod vi;
mod zoo;
