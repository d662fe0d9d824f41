//! dev
#[path = "it/smc/engine.rs"]
mod engine;
