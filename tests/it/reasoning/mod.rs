//! Decoding of texts: against enumeration, on bad input, and with models behind servers.

mod countdown;
mod exact;
#[cfg(feature = "llm-http")]
mod http;
mod llama;
mod presets;
mod search;
mod selectors;
mod table;
