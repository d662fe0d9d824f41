//! Integration tests, in one binary.

mod data;
mod kernels;
mod layering;
mod zoo;
