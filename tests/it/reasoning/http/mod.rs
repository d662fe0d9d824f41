//! Back ends over HTTP, against servers inside the test and, where one runs, a real one.

mod client;
mod fake;
mod llama_cpp;
mod real_server;
mod rewards;
mod vllm;
