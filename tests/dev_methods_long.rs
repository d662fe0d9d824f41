//! dev
#[path = "it/reasoning/chi_squared.rs"]
mod chi_squared;
#[path = "it/reasoning/exact.rs"]
mod exact;
#[path = "/tmp/s/lengths_long.rs"]
mod lengths;
