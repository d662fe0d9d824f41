//! dev
#[path = "it/smc/resampling.rs"]
mod resampling;
#[path = "it/smc/weights.rs"]
mod weights;
