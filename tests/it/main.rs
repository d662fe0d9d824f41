//! Integration tests, in one binary.

mod kernels;
mod layering;
