//! Decoding of texts: against enumeration, on bad input, and with models behind servers.

mod calibration;
mod countdown;
mod exact;
mod exact;
#[cfg(feature = "llm-http")]
mod http;
mod llama;
mod metrics;
mod presets;
mod search;
mod selectors;
mod table;
