//! Decoding of texts: against enumeration, on bad input, and with models behind servers.

mod countdown;
mod exact;
mod faults;
#[cfg(feature = "llm-http")]
mod http;
mod journal;
mod llama;
mod calibration;
mod metrics;
mod presets;
mod robustness;
mod search;
mod selectors;
mod table;
mod chi_squared;
mod evidence;
mod flaky;
mod lengths;
mod particle_gibbs;
mod power_sampling;
mod tempering;
mod without_replacement;
