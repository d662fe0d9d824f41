//! Decoding of a language model's reasoning steps as inference.

mod error;
mod generator;
#[cfg(feature = "llm-http")]
pub mod http;
mod prefix;
mod reward;

pub use error::{Call, CallError, ReasoningError, Severity};
pub use generator::{ContinuationRequest, ContinuationScore, Extension, SamplingPrior, StepGenerator, StepRequest};
pub use prefix::{Finish, Prefix, PrefixKey, Step};
pub use reward::{RewardModel, RewardScale, ScoreRequest, StepScores};
