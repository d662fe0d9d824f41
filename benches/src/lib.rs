//! What the benchmarks share: gradients written by hand, data, and a stopwatch that compares two functions.

pub mod cases;
pub mod hand_written;
pub mod stopwatch;
