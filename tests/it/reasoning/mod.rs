//! Decoding of texts: against enumeration, on bad input, and with models behind servers.

mod calibration;
mod chi_squared;
mod countdown;
mod evidence;
mod exact;
mod faults;
mod flaky;
#[cfg(feature = "llm-http")]
mod http;
mod journal;
mod lengths;
mod llama;
mod llama_config;
mod metrics;
mod particle_gibbs;
mod power_sampling;
mod presets;
mod robustness;
mod search;
mod selectors;
mod table;
mod tempering;
mod trace;
mod without_replacement;
