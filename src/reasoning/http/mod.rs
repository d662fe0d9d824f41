//! Language and reward models behind a server (feature `llm-http`).
//!
//! A [`ServerGenerator`] draws steps, and the rewards [`PoolingReward`], [`JudgeReward`] and [`ForcedTextReward`] score them, all through
//! one [`HttpClient`] that sends the requests of a batch in parallel and retries what may succeed. What differs from server to server is a
//! [`Dialect`]: [`Vllm`] and [`LlamaCpp`].
//!
//! # How to serve a model
//!
//! | for | command |
//! |---|---|
//! | steps, by vLLM | `vllm serve MODEL`, with `--logprobs-mode processed_logprobs` if log q is wanted |
//! | a process reward model, by vLLM | `vllm serve Qwen/Qwen2.5-Math-PRM-7B --runner pooling` |
//! | steps, a judge or a verifier, by llama.cpp | `llama-server -m MODEL.gguf --parallel 16 -c CONTEXT_OF_ALL_SLOTS` |
//! | the models of this repository, by llama.cpp | `scripts/llama_server/with_servers.sh COMMAND` |
//!
//! # What the dialects say
//!
//! | | [`Vllm`] | [`LlamaCpp`] |
//! |---|---|---|
//! | path | `/v1/completions` | `/completion` (`/v1/completions` does not tell a stop string from the end) |
//! | end at a stop string | `stop_reason` is the string | `stop_type` is `word`, `stopping_word` the string |
//! | end of text | `stop_reason` is null, or the number of another end token | `stop_type` is `eos` |
//! | cut off | `finish_reason` is `length` | `stop_type` is `limit` |
//! | the stop string in the text | included, by request | never; added here |
//! | log-probabilities | raw or processed, as the server was started | raw, whatever the temperature |
//! | log-probability of the stop string | reported | not reported: one more request |
//! | seed | 53 bits | 31 bits |
//! | several draws of one prompt | `n` | one request each |
//! | log-probabilities of given text | `echo`; the end of text only by name | a grammar; the end of text included |
//! | full context | 400, "maximum context length" | 400, `exceed_context_size_error`; `limit` in the midst of a step |
//! | prompt tokens that a cache held | `usage.prompt_tokens_details`, if enabled | `timings.prompt_n` |
//!
//! Why a step ended is never guessed: a reply that does not say it is an error.
//!
//! # What happens to errors
//!
//! | class | then |
//! |---|---|
//! | 429, 503, other 5xx, no connection, too slow | sent again, same bytes and seed, after a wait ([`RetryPolicy`]); then [`Severity::Transient`] |
//! | full context | a step is empty and has [`Finish::MaxTokens`]; for a score [`Severity::Slot`] |
//! | a reply that cannot be read, NaN or missing log-probabilities | sent again once; then [`Severity::Slot`] |
//! | other 4xx, bad address or certificate | [`Severity::Fatal`] |
//!
//! Errors are of one slot; the replies of the others are kept. The text of an error is never a step or a score.
//!
//! [`Finish::MaxTokens`]: crate::reasoning::Finish::MaxTokens
//! [`Severity::Transient`]: crate::reasoning::Severity::Transient
//! [`Severity::Slot`]: crate::reasoning::Severity::Slot
//! [`Severity::Fatal`]: crate::reasoning::Severity::Fatal

mod client;
mod dialect;
mod each_step;
mod error;
mod forced;
mod generator;
mod judge;
mod llama_cpp;
mod pooling;
mod retry;
mod template;
mod vllm;

pub use client::{HttpClient, HttpRequest};
pub use dialect::{Completion, CompletionRequest, Dialect, ForcedRequest, ForcedText, LogProbStyle, Stop};
pub use error::{HttpError, Malformed};
pub use forced::{ForcedTextReward, LogisticHead, Span};
pub use generator::ServerGenerator;
pub use judge::JudgeReward;
pub use llama_cpp::LlamaCpp;
pub use pooling::PoolingReward;
pub use retry::RetryPolicy;
pub use template::PromptTemplate;
pub use vllm::Vllm;
