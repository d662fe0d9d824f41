//! A small Llama with one output as a reward model.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::cache::{KvCache, TokenBatch};
use super::error::LlamaError;
use super::model::{Llama, Outputs};
use super::tokenizer::CharTokenizer;
use crate::reasoning::error::{CallError, Severity};
use crate::reasoning::prefix::Prefix;
use crate::reasoning::reward::{RewardModel, RewardScale, ScoreRequest, StepScores};

/// Texts that are read at once.
const READ_AT_ONCE: usize = 64;

/// What a prefix is to the reward model: a text, or none for a prefix that it cannot judge.
type Input = Box<dyn Fn(&Prefix) -> Option<String> + Send>;

/// Judges prefixes with a [`Llama`] that has one output: the logit at the last token of a text that is made from the prefix.
///
/// Equal texts of a call are read once; what they cost is told with the first. A prefix that makes no text gets a floor.
///
/// ```
/// use posterity::reasoning::countdown;
/// use posterity::reasoning::llama::{CharTokenizer, Llama, LlamaReward};
/// use posterity::reasoning::{Finish, Prefix, RewardModel, ScoreRequest, Step};
///
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/countdown");
/// let model = Llama::load(format!("{folder}/reward.json"), format!("{folder}/reward.safetensors"))?;
/// let tokenizer = CharTokenizer::load(format!("{folder}/vocab.json"))?;
/// let mut reward = LlamaReward::new(model, tokenizer, countdown::reward_text, -12.0)?;
///
/// let last_line = |text| Prefix::prompt("25:17,08\n").extended(Step::new(text, Finish::Answer));
/// let prefixes = [last_line("17+08=25\n"), last_line("17-08=09\n"), last_line("17-08=\n")];
/// let mut logits = Vec::new();
/// for scores in reward.score(&prefixes.each_ref().map(|prefix| ScoreRequest { prefix, n_last: 1 })) {
///     logits.push(scores?.scores[0]);
/// }
/// // The last is no line of the task.
/// assert!(logits[0] > 0.0 && logits[1] < 0.0 && logits[2] == -12.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LlamaReward {
    name: String,
    model: Arc<Llama>,
    tokenizer: CharTokenizer,
    bos: u32,
    input: Input,
    floor: f64,
    cache: KvCache,
    batch: TokenBatch,
}

impl fmt::Debug for LlamaReward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlamaReward").field("config", self.model.config()).field("floor", &self.floor).finish_non_exhaustive()
    }
}

impl LlamaReward {
    /// A reward model with the text that it judges a prefix by, and the logit of prefixes that make none.
    ///
    /// # Errors
    /// [`LlamaError::Size`] if the model has more than one output or disagrees with the vocabulary, [`LlamaError::MissingToken`] for a
    /// vocabulary without `<bos>`, [`LlamaError::Config`] for a floor that is NaN or infinite.
    pub fn new(
        model: impl Into<Arc<Llama>>,
        tokenizer: CharTokenizer,
        input: impl Fn(&Prefix) -> Option<String> + Send + 'static,
        floor: f64,
    ) -> Result<Self, LlamaError> {
        let model = model.into();
        for (what, expected, found) in [
            ("outputs of a reward model", 1, model.config().output_size()),
            ("tokens of the vocabulary", model.config().vocab_size, tokenizer.vocab_size()),
        ] {
            if expected != found {
                return Err(LlamaError::Size { what, expected, found });
            }
        }
        if !floor.is_finite() {
            return Err(LlamaError::Config { field: "floor", value: floor, rule: "finite" });
        }
        let bos = tokenizer.bos().ok_or_else(|| LlamaError::MissingToken { token: "<bos>".into() })?;
        let cache = model.new_cache();
        let name = "llama reward model".to_owned();
        Ok(Self { name, model, tokenizer, bos, input: Box::new(input), floor, cache, batch: TokenBatch::new() })
    }

    /// Names the model, for what runs record.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Logits of texts, all different.
    fn judge(&mut self, texts: &[Vec<u32>]) -> Result<Vec<f64>, LlamaError> {
        let mut logits = Vec::with_capacity(texts.len());
        for part in texts.chunks(READ_AT_ONCE) {
            self.batch.clear();
            for (row, tokens) in part.iter().enumerate() {
                if row == self.cache.n_rows() {
                    self.cache.push_row();
                }
                self.cache.truncate(row, 0)?;
                self.batch.push(row, tokens);
            }
            let outputs = self.model.forward(&self.batch, &mut self.cache, Outputs::Last)?;
            logits.extend(outputs.iter().map(|&x| f64::from(x)));
        }
        Ok(logits)
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>, LlamaError> {
        let mut tokens = vec![self.bos];
        self.tokenizer.encode_to(text, &mut tokens)?;
        let (needed, limit) = (tokens.len(), self.model.config().max_positions);
        if needed > limit { Err(LlamaError::ContextFull { needed, limit }) } else { Ok(tokens) }
    }
}

/// A reply before the model was asked.
struct Draft {
    /// Per step, which of the call's texts judges it; none for the floor.
    judged: Vec<Option<usize>>,
    /// What is read for this request.
    cost: StepScores,
}

impl RewardModel for LlamaReward {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn scale(&self) -> RewardScale {
        RewardScale::Logit
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        let mut texts = Vec::new();
        let mut by_text: HashMap<String, usize> = HashMap::new();
        let mut drafts: Vec<Result<Draft, CallError>> = Vec::with_capacity(requests.len());
        for request in requests {
            let mut cost = StepScores { scores: Vec::new(), calls: 0, tokens: 0 };
            let judged = request.prefixes().into_iter().map(|prefix| {
                let Some(text) = (self.input)(prefix) else { return Ok(None) };
                if let Some(&known) = by_text.get(&text) {
                    return Ok(Some(known));
                }
                let tokens = self.tokens(&text)?;
                (cost.calls, cost.tokens) = (cost.calls + 1, cost.tokens + tokens.len() as u64);
                texts.push(tokens);
                by_text.insert(text, texts.len() - 1);
                Ok(Some(texts.len() - 1))
            });
            let judged: Result<Vec<_>, LlamaError> = judged.collect();
            drafts.push(judged.map(|judged| Draft { judged, cost }).map_err(CallError::from));
        }
        let logits = self.judge(&texts).map_err(Arc::new);
        let replies = drafts.into_iter().map(|draft| {
            let Draft { judged, cost } = draft?;
            let logits = logits.as_ref().map_err(|error| CallError::new(Severity::Fatal, Arc::clone(error)))?;
            let scores: Vec<f64> = judged.into_iter().map(|text| text.map_or(self.floor, |text| logits[text])).collect();
            if scores.iter().any(|score| !score.is_finite()) {
                return Err(LlamaError::Output.into());
            }
            Ok(StepScores { scores, ..cost })
        });
        replies.collect()
    }
}
