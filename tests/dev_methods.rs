//! dev
#[path = "it/reasoning/exact.rs"]
mod exact;
#[path = "it/reasoning/particle_gibbs.rs"]
mod particle_gibbs;
