//! A small Llama in plain Rust, so that reasoning can be decoded offline: a language model that proposes steps and a value model that
//! judges them, both read from safetensors files of some hundred kilobytes.
//!
//! [`Llama`] is the forward pass over ragged batches and a [`KvCache`] whose rows can be gathered by ancestors, as resampling does.
//!
//! [`LlamaGenerator`] and [`LlamaReward`] put it behind the traits of a decoder.
//!
//! Do not use it for large models: it runs on one thread and keeps the weights in single precision.

mod cache;
mod config;
mod error;
mod generator;
mod model;
mod reward;
mod rows;
mod sampling;
mod scoring;
mod tokenizer;
mod weights;

pub use cache::{KvCache, TokenBatch};
pub use config::LlamaConfig;
pub use error::LlamaError;
pub use generator::LlamaGenerator;
pub use model::{Llama, Outputs};
pub use reward::LlamaReward;
pub use tokenizer::CharTokenizer;
