//! Decoding of texts: against enumeration, and on bad input.

mod chi_squared;
mod evidence;
mod exact;
mod flaky;
mod lengths;
mod particle_gibbs;
mod power_sampling;
mod tempering;
mod without_replacement;
