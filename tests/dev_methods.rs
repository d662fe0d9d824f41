//! dev
#[path = "it/reasoning/chi_squared.rs"]
mod chi_squared;
#[path = "it/reasoning/evidence.rs"]
mod evidence;
#[path = "it/reasoning/exact.rs"]
mod exact;
#[path = "it/reasoning/flaky.rs"]
mod flaky;
#[path = "it/reasoning/lengths.rs"]
mod lengths;
#[path = "it/reasoning/particle_gibbs.rs"]
mod particle_gibbs;
#[path = "it/reasoning/power_sampling.rs"]
mod power_sampling;
#[path = "it/reasoning/tempering.rs"]
mod tempering;
#[path = "it/reasoning/without_replacement.rs"]
mod without_replacement;
