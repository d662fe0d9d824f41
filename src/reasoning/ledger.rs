//! What a run costs, and what it may cost.

use serde::{Deserialize, Serialize};

use super::error::{Call, ReasoningError};

/// What a run cost: calls, tokens and seconds, by model.
///
/// Calls that a resumed run took from its journal are counted as in the run that paid for them, so that a resumed run ends with the same
/// ledger, but for seconds and `replayed`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Batches sent to the generator.
    pub generate_batches: u64,
    /// Steps generated.
    pub generations: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// Tokens of prefixes that the generator had to read.
    pub prompt_tokens: u64,
    /// Batches of given text sent to the generator for its log-probabilities.
    pub score_batches: u64,
    /// Tokens of given text whose log-probabilities were asked for.
    pub scored_tokens: u64,
    /// Batches sent to the reward model.
    pub reward_batches: u64,
    /// Passes of the reward model.
    pub reward_calls: u64,
    /// Tokens read by the reward model.
    pub reward_tokens: u64,
    /// Scores that were known already.
    pub cached_rewards: u64,
    /// Slots of calls that failed.
    pub failed: u64,
    /// Generations and scores taken from a journal instead of a model.
    pub replayed: u64,
    /// Seconds in the generator.
    pub generator_seconds: f64,
    /// Seconds in the reward model.
    pub reward_seconds: f64,
    /// Seconds of the whole run.
    pub seconds: f64,
}

impl Ledger {
    /// Seconds that neither model took: the engine's own.
    #[must_use]
    pub fn engine_seconds(&self) -> f64 {
        (self.seconds - self.generator_seconds - self.reward_seconds).max(0.0)
    }

    /// Adds another run's costs.
    pub fn add(&mut self, other: &Self) {
        self.generate_batches += other.generate_batches;
        self.generations += other.generations;
        self.generated_tokens += other.generated_tokens;
        self.prompt_tokens += other.prompt_tokens;
        self.score_batches += other.score_batches;
        self.scored_tokens += other.scored_tokens;
        self.reward_batches += other.reward_batches;
        self.reward_calls += other.reward_calls;
        self.reward_tokens += other.reward_tokens;
        self.cached_rewards += other.cached_rewards;
        self.failed += other.failed;
        self.replayed += other.replayed;
        self.generator_seconds += other.generator_seconds;
        self.reward_seconds += other.reward_seconds;
        self.seconds += other.seconds;
    }
}

/// What a run may cost; `None` is no limit. No batch is sent that would exceed it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Steps generated.
    pub generations: Option<u64>,
    /// Tokens generated. Requests near the limit get a limit of their own; a step that is cut off there is paid for but is no draw from the
    /// sampling prior, so the run ends as it was before that step.
    pub generated_tokens: Option<u64>,
    /// Tokens of given text whose log-probabilities are asked for: those of the steps, as far as they are known before.
    pub scored_tokens: Option<u64>,
    /// Passes of the reward model: at most one per step that is to be scored.
    pub reward_calls: Option<u64>,
}

impl Budget {
    /// Steps to generate.
    #[must_use]
    pub fn generations(limit: u64) -> Self {
        Self { generations: Some(limit), ..Self::default() }
    }

    /// Tokens to generate.
    #[must_use]
    pub fn tokens(limit: u64) -> Self {
        Self { generated_tokens: Some(limit), ..Self::default() }
    }

    /// Checks that `n` more calls, or for [`Call::Score`] tokens, are covered. For generation, returns the limit of tokens per request.
    ///
    /// # Errors
    /// [`ReasoningError::Budget`].
    pub fn check(&self, call: Call, n: u64, ledger: &Ledger) -> Result<Option<u64>, ReasoningError> {
        match call {
            Call::Generate => {
                covers("generations", self.generations, ledger.generations, n)?;
                covers("tokens", self.generated_tokens, ledger.generated_tokens, n)?;
                Ok(self.generated_tokens.map(|limit| (limit - ledger.generated_tokens) / n.max(1)))
            }
            Call::Reward => covers("reward calls", self.reward_calls, ledger.reward_calls, n).map(|()| None),
            Call::Score => covers("scored tokens", self.scored_tokens, ledger.scored_tokens, n).map(|()| None),
        }
    }
}

fn covers(what: &'static str, limit: Option<u64>, spent: u64, n: u64) -> Result<(), ReasoningError> {
    match limit {
        Some(limit) if spent.saturating_add(n) > limit => Err(ReasoningError::Budget { what, limit, spent }),
        _ => Ok(()),
    }
}
