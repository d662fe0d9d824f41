//! What proposes steps: a language model behind a trait.

use serde::{Deserialize, Serialize};

use super::error::CallError;
use super::jsonl::number;
use super::prefix::{Prefix, Step};

/// A language model that extends a batch of prefixes by one step each.
///
/// A step is what the implementation says: a line, a paragraph, a block of tokens. Slots fail one by one: an error in one place of the
/// reply leaves the others as they are. Text of an error message is never a step.
///
/// ```
/// use posterity::reasoning::{CallError, Extension, Finish, SamplingPrior, Step, StepGenerator, StepRequest};
/// use posterity::rng::Stream;
///
/// /// Writes heads or tails until it writes an end.
/// struct Coin;
/// impl StepGenerator for Coin {
///     fn sampling_prior(&self) -> SamplingPrior {
///         SamplingPrior::of_model("coin")
///     }
///     fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
///         requests
///             .iter()
///             .map(|request| {
///                 let u = Stream::new(request.seed).uniform();
///                 let (text, finish) = if u < 0.4 { ("H", Finish::Step) } else if u < 0.8 { ("T", Finish::Step) } else { ("", Finish::Eos) };
///                 Ok(Extension::new(Step::new(text, finish)))
///             })
///             .collect()
///     }
/// }
/// ```
pub trait StepGenerator: Send {
    /// The distribution that steps are drawn from. It is part of the target, and is recorded in every result.
    fn sampling_prior(&self) -> SamplingPrior;

    /// Draws one step after each prefix: as many replies as requests, in their order.
    ///
    /// A step depends on its request alone (prefix and seed), not on the others of the batch, as far as the model can promise that.
    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>>;

    /// True if [`StepGenerator::score`] works: full-path ancestor sampling and power sampling need it.
    fn can_score(&self) -> bool {
        false
    }

    /// Log-probabilities of given steps after given prefixes: as many replies as requests.
    fn score(&mut self, requests: &[ContinuationRequest<'_>]) -> Vec<Result<ContinuationScore, CallError>> {
        requests.iter().map(|_| Err(CallError::unsupported("scoring of given text"))).collect()
    }
}

/// A request for one step.
#[derive(Debug, Clone, Copy)]
pub struct StepRequest<'a> {
    /// What it follows; not finished.
    pub prefix: &'a Prefix,
    /// Seed of this draw. Two requests with the same prefix and seed may get the same step.
    pub seed: u64,
    /// The most likely token each time, instead of a draw.
    pub greedy: bool,
    /// At most this many tokens, where a budget asks for it. A step that is cut off for it has
    /// [`Finish::MaxTokens`](super::Finish::MaxTokens).
    pub max_tokens: Option<u64>,
}

/// A step, and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Extension {
    /// The step.
    pub step: Step,
    /// Tokens of the prefix that had to be read for it; 0 where a cache held them.
    pub prompt_tokens: u64,
}

impl Extension {
    /// A step that cost no tokens of its prompt.
    #[must_use]
    pub fn new(step: Step) -> Self {
        Self { step, prompt_tokens: 0 }
    }
}

/// A request for the log-probabilities of given steps.
#[derive(Debug, Clone, Copy)]
pub struct ContinuationRequest<'a> {
    /// What they follow.
    pub prefix: &'a Prefix,
    /// The steps, in order.
    pub steps: &'a [&'a Step],
}

/// Log-probabilities of given steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContinuationScore {
    /// Per step, under the sampling prior; −∞ where that cannot write it.
    #[serde(with = "number::list")]
    pub log_sampling: Vec<f64>,
    /// Per step, under the model itself.
    #[serde(with = "number::list")]
    pub log_model: Vec<f64>,
    /// Tokens read.
    pub tokens: u64,
}

/// The distribution that steps are drawn from: a language model and what is done to it before a token is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplingPrior {
    /// The language model.
    pub model: String,
    /// Temperature; 0 is greedy.
    pub temperature: f64,
    /// Nucleus: the smallest set of tokens with this much probability; 1 keeps all.
    pub top_p: f64,
    /// The k most likely tokens only.
    pub top_k: Option<u32>,
    /// Only tokens with at least this share of the most likely one's probability; 0 keeps all.
    pub min_p: f64,
    /// Limit of tokens per step.
    pub max_tokens_per_step: Option<u64>,
}

impl SamplingPrior {
    /// The model as it is: temperature 1, nothing cut off.
    #[must_use]
    pub fn of_model(model: impl Into<String>) -> Self {
        Self { model: model.into(), temperature: 1.0, top_p: 1.0, top_k: None, min_p: 0.0, max_tokens_per_step: None }
    }

    /// True if a step's probability is the model's own.
    #[must_use]
    pub fn is_model(&self) -> bool {
        self.temperature == 1.0 && self.top_p >= 1.0 && self.top_k.is_none() && self.min_p <= 0.0
    }
}

impl<G: StepGenerator + ?Sized> StepGenerator for Box<G> {
    fn sampling_prior(&self) -> SamplingPrior {
        (**self).sampling_prior()
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
        (**self).extend(requests)
    }

    fn can_score(&self) -> bool {
        (**self).can_score()
    }

    fn score(&mut self, requests: &[ContinuationRequest<'_>]) -> Vec<Result<ContinuationScore, CallError>> {
        (**self).score(requests)
    }
}
