//! Decoding of reasoning steps.

#[cfg(feature = "llm-http")]
mod http;
