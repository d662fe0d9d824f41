//! dev
#[path = "it/data.rs"]
mod data;
#[path = "it/smc/filters.rs"]
mod filters;
