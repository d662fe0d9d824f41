//! Sequential Monte Carlo: one engine for particle filters, samplers of static posteriors and conditional sweeps.

pub mod exact;
