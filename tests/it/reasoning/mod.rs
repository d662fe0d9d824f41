//! Decoding of texts: against enumeration, on bad input, and with models behind servers.

mod exact;
#[cfg(feature = "llm-http")]
mod http;
