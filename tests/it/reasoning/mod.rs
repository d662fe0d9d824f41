//! Decoding of texts: against enumeration, on bad input, and with models behind servers.

mod countdown;
mod exact;
mod faults;
#[cfg(feature = "llm-http")]
mod http;
mod journal;
mod llama;
mod presets;
mod robustness;
mod search;
mod selectors;
mod table;
mod trace;
