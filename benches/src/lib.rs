//! Benchmarks of the crate `posterity`; see the `benches/` targets.
