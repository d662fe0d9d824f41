//! dev
#[path = "it/reasoning/exact.rs"]
mod exact;
