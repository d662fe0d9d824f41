//! A small Llama as a generator of steps.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::cache::TokenBatch;
use super::error::LlamaError;
use super::model::{Llama, Outputs};
use super::rows::PrefixRows;
use super::sampling::{self, NextToken};
use super::tokenizer::CharTokenizer;
use crate::reasoning::error::{CallError, Severity};
use crate::reasoning::generator::{ContinuationRequest, ContinuationScore, Extension, SamplingPrior, StepGenerator, StepRequest};
use crate::reasoning::prefix::{Finish, Step};
use crate::rng::{Purpose, Stream};

/// Writes lines with a [`Llama`]: a step ends with a delimiter, at the model's end of text, or at a limit of tokens.
///
/// Every text starts with `<bos>`. Other marks of the vocabulary are never written: the language model is the one whose probabilities are
/// renormalised over the tokens of text and, unless [`LlamaGenerator::without_end`] says otherwise, `<eos>`. A step that fills the context
/// ends with [`Finish::MaxTokens`], and so does the step of a prefix that fills it already, which is empty.
///
/// Keys and values of prefixes are kept from call to call, so a prefix of the calls before costs no tokens of its prompt; equal prefixes
/// of a batch are read once. A step depends on its prefix and seed alone, to the bit.
///
/// ```
/// use posterity::reasoning::llama::{CharTokenizer, Llama, LlamaGenerator};
/// use posterity::reasoning::{Prefix, SamplingPrior, StepGenerator, StepRequest};
///
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/countdown");
/// let model = Llama::load(format!("{folder}/policy.json"), format!("{folder}/policy.safetensors"))?;
/// let tokenizer = CharTokenizer::load(format!("{folder}/vocab.json"))?;
/// let mut generator = LlamaGenerator::new(model, tokenizer, SamplingPrior::of_model("countdown"))?;
///
/// let prompt = Prefix::prompt("25:26,09,11,08,07\n");
/// let requests = [1, 2].map(|seed| StepRequest { prefix: &prompt, seed, greedy: false, max_tokens: None });
/// let mut lines = generator.extend(&requests).into_iter();
/// let first = lines.next().expect("as many replies as requests")?;
/// assert!(first.step.text.ends_with('\n') && first.prompt_tokens == 19);
/// // Read once for both.
/// assert_eq!(lines.next().expect("as many replies as requests")?.prompt_tokens, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LlamaGenerator {
    pub(super) model: Arc<Llama>,
    pub(super) tokenizer: CharTokenizer,
    pub(super) prior: SamplingPrior,
    pub(super) bos: u32,
    pub(super) eos: Option<u32>,
    pub(super) delimiter: u32,
    /// Per token: whether it may be written.
    pub(super) allowed: Vec<bool>,
    answer: Option<AnswerRule>,
    pub(super) rows: PrefixRows,
    pub(super) batch: TokenBatch,
    pub(super) next: NextToken,
}

/// Requests that are scored at once.
const SCORED_AT_ONCE: usize = 64;

type AnswerRule = Box<dyn Fn(&str) -> bool + Send>;

impl fmt::Debug for LlamaGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlamaGenerator").field("config", self.model.config()).field("prior", &self.prior).finish_non_exhaustive()
    }
}

impl LlamaGenerator {
    /// A generator of lines: steps end with a line feed.
    ///
    /// # Errors
    /// [`LlamaError::Config`] for a setting of the prior that is out of range, [`LlamaError::Size`] if model and vocabulary disagree,
    /// [`LlamaError::MissingToken`] for a vocabulary without `<bos>` or line feed.
    pub fn new(model: impl Into<Arc<Llama>>, tokenizer: CharTokenizer, prior: SamplingPrior) -> Result<Self, LlamaError> {
        let model = model.into();
        sampling::validate(&prior)?;
        let found = tokenizer.vocab_size();
        for (what, expected) in [
            ("tokens of the vocabulary", model.config().vocab_size),
            ("outputs of a language model", model.config().output_size()),
        ] {
            if expected != found {
                return Err(LlamaError::Size { what, expected, found });
            }
        }
        let eos = tokenizer.eos();
        let allowed = (0..found as u32).map(|token| tokenizer.character(token).is_some() || Some(token) == eos).collect();
        Ok(Self {
            bos: tokenizer.bos().ok_or_else(|| LlamaError::MissingToken { token: "<bos>".into() })?,
            eos,
            delimiter: tokenizer.id('\n').ok_or_else(|| LlamaError::MissingToken { token: "\n".into() })?,
            allowed,
            answer: None,
            rows: PrefixRows::new(&model, 2),
            batch: TokenBatch::new(),
            next: NextToken::default(),
            model,
            tokenizer,
            prior,
        })
    }

    /// Lets steps end with another character than the line feed.
    ///
    /// # Errors
    /// [`LlamaError::MissingToken`] if the vocabulary does not have it.
    pub fn delimiter(mut self, delimiter: char) -> Result<Self, LlamaError> {
        self.delimiter = self.tokenizer.id(delimiter).ok_or_else(|| LlamaError::MissingToken { token: delimiter.into() })?;
        Ok(self)
    }

    /// Says which complete steps end an answer: they get [`Finish::Answer`].
    #[must_use]
    pub fn answer_when(mut self, rule: impl Fn(&str) -> bool + Send + 'static) -> Self {
        self.answer = Some(Box::new(rule));
        self
    }

    /// Never writes the end of text: the language model is the one without it.
    #[must_use]
    pub fn without_end(mut self) -> Self {
        if let Some(eos) = self.eos {
            self.allowed[eos as usize] = false;
        }
        self
    }

    /// Keeps the keys and values of prefixes that were used in this many calls before the current one; 2 at first. Each distinct text
    /// takes `8 n_layers d_model` bytes per token.
    #[must_use]
    pub fn kept_calls(mut self, n: u64) -> Self {
        self.rows.set_kept_calls(n);
        self
    }

    /// Number of texts whose keys and values are held.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.rows.n_rows()
    }

    /// Why a step ends with a token, if it does.
    pub(super) fn finish(&self, token: u32, text: &str, n_tokens: u64, limit: u64) -> Option<Finish> {
        if Some(token) == self.eos {
            Some(Finish::Eos)
        } else if token == self.delimiter {
            let is_answer = self.answer.as_ref().is_some_and(|rule| rule(text));
            Some(if is_answer { Finish::Answer } else { Finish::Step })
        } else {
            (n_tokens >= limit).then_some(Finish::MaxTokens)
        }
    }

    fn extend_batch(&mut self, requests: &[StepRequest<'_>]) -> Result<Vec<Result<Extension, CallError>>, LlamaError> {
        self.rows.begin();
        let mut drafts: Vec<Draft> = requests.iter().enumerate().map(|(i, request)| Draft::new(i, request)).collect();
        let mut outputs = self.read_prefixes(requests, &mut drafts)?;
        // Requests that wait for a token, with the line of the outputs that it is drawn from.
        let mut waiting: Vec<(usize, usize)> = Vec::with_capacity(requests.len());
        waiting.extend(drafts.iter().enumerate().filter_map(|(i, draft)| Some((i, draft.output?))));
        let n_outputs = self.model.config().output_size();
        loop {
            self.batch.clear();
            let mut going_on = Vec::with_capacity(waiting.len());
            for &(i, line) in &waiting {
                let logits = &outputs[line * n_outputs..(line + 1) * n_outputs];
                if self.draw(&mut drafts[i], logits, requests[i].greedy) {
                    going_on.push(i);
                }
            }
            for &i in &going_on {
                let row = match drafts[i].row {
                    Some(row) => row,
                    None => self.row_for(&mut drafts, i)?,
                };
                if let Some(&token) = drafts[i].tokens.last() {
                    self.batch.push(row, &[token]);
                }
            }
            if going_on.is_empty() {
                break;
            }
            waiting.clear();
            waiting.extend(going_on.into_iter().enumerate().map(|(line, i)| (i, line)));
            let lines = self.model.forward(&self.batch, &mut self.rows.cache, Outputs::Last)?;
            outputs.clear();
            outputs.extend(lines);
        }
        Ok(drafts.into_iter().zip(requests).map(|(draft, request)| self.finished(draft, request)).collect())
    }

    /// Reads the prefixes to their ends, equal ones once; returns the outputs there.
    fn read_prefixes(&mut self, requests: &[StepRequest<'_>], drafts: &mut [Draft]) -> Result<Vec<f32>, LlamaError> {
        let mut seen: HashMap<_, usize> = HashMap::with_capacity(requests.len());
        self.batch.clear();
        for (i, request) in requests.iter().enumerate() {
            let key = request.prefix.key();
            if let Some(&first) = seen.get(&key) {
                let Draft { prefix_row, n_prefix, output, .. } = drafts[first];
                drafts[i] = Draft { first, prefix_row, n_prefix, output, ..Draft::new(i, request) };
            } else {
                let placed = if request.prefix.is_finished() {
                    Err(LlamaError::Finished)
                } else {
                    self.rows.place(request.prefix, &self.tokenizer, self.bos, false)
                };
                match placed {
                    Ok(placed) => {
                        seen.insert(key, i);
                        drafts[i].prefix_row = placed.row;
                        drafts[i].n_prefix = placed.n_tokens;
                        drafts[i].prompt_tokens = placed.n_new as u64;
                        drafts[i].output = Some(self.batch.n_entries());
                        self.batch.push(placed.row, &self.rows.tokens(placed.row)[placed.n_cached..]);
                        self.rows.name(key, placed.row, placed.n_tokens);
                    }
                    Err(error) => drafts[i].error = Some(error),
                }
            }
            let room = (self.model.config().max_positions - drafts[i].n_prefix) as u64;
            let of_prior = self.prior.max_tokens_per_step.unwrap_or(u64::MAX);
            drafts[i].limit = room.min(of_prior).min(request.max_tokens.unwrap_or(u64::MAX));
        }
        if self.batch.n_entries() == 0 {
            return Ok(Vec::new());
        }
        let lines = self.model.forward(&self.batch, &mut self.rows.cache, Outputs::Last)?;
        Ok(lines.iter().copied().collect())
    }

    /// Draws a request's next token; true if its step goes on after it.
    fn draw(&mut self, draft: &mut Draft, logits: &[f32], greedy: bool) -> bool {
        if draft.limit == 0 {
            return false;
        }
        if let Err(error) = self.next.set(logits, &self.allowed, &self.prior) {
            draft.error = Some(error);
            return false;
        }
        let token = if greedy { self.next.most_likely() } else { self.next.draw(draft.stream.uniform()) } as u32;
        draft.log_model += self.next.log_model(token);
        // A greedy step is no draw: it is certain.
        draft.log_sampling += if greedy { 0.0 } else { self.next.log_sampling(token) };
        draft.tokens.push(token);
        draft.text.extend(self.tokenizer.character(token));
        let n_tokens = draft.tokens.len() as u64;
        match self.finish(token, &draft.text, n_tokens, draft.limit) {
            Some(finish) => draft.finish = finish,
            None => return true,
        }
        false
    }

    /// A row for a request whose step goes on: the first one goes on where the prefix was read, the others on copies.
    fn row_for(&mut self, drafts: &mut [Draft], i: usize) -> Result<usize, LlamaError> {
        let Draft { first, prefix_row, n_prefix, .. } = drafts[i];
        let row = if drafts[first].row_is_taken { self.rows.fork(prefix_row, n_prefix)? } else { prefix_row };
        drafts[first].row_is_taken = true;
        drafts[i].row = Some(row);
        Ok(row)
    }

    /// The reply to a request, whose row is named after the new prefix.
    fn finished(&mut self, draft: Draft, request: &StepRequest<'_>) -> Result<Extension, CallError> {
        let is_kept = draft.error.is_none() && !draft.finish.is_final();
        let step = Step {
            text: draft.text,
            finish: draft.finish,
            n_tokens: draft.tokens.len() as u64,
            log_sampling: Some(draft.log_sampling),
            log_model: Some(draft.log_model),
            token_ids: None,
        };
        if let Some(row) = draft.row {
            if is_kept {
                self.rows.append(row, &draft.tokens);
                self.rows.name(request.prefix.extended(step.clone()).key(), row, draft.n_prefix + draft.tokens.len());
            } else {
                self.rows.cache.truncate(row, draft.n_prefix)?;
            }
        }
        match draft.error {
            Some(error) => Err(error.into()),
            None => Ok(Extension { step: Step { token_ids: Some(draft.tokens), ..step }, prompt_tokens: draft.prompt_tokens }),
        }
    }
}

/// A step while it is written.
struct Draft {
    /// The first request of the batch with this prefix, which says below whether a text goes on in the prefix's row.
    first: usize,
    row_is_taken: bool,
    prefix_row: usize,
    n_prefix: usize,
    /// Line of the outputs at the end of the prefix.
    output: Option<usize>,
    row: Option<usize>,
    stream: Stream,
    limit: u64,
    prompt_tokens: u64,
    tokens: Vec<u32>,
    text: String,
    log_sampling: f64,
    log_model: f64,
    finish: Finish,
    error: Option<LlamaError>,
}

impl Draft {
    fn new(i: usize, request: &StepRequest<'_>) -> Self {
        Self {
            first: i,
            row_is_taken: false,
            prefix_row: 0,
            n_prefix: 0,
            output: None,
            row: None,
            stream: Stream::keyed(request.seed, Purpose::Token, 0, 0),
            limit: 0,
            prompt_tokens: 0,
            tokens: Vec::new(),
            text: String::new(),
            log_sampling: 0.0,
            log_model: 0.0,
            finish: Finish::MaxTokens,
            error: None,
        }
    }
}

impl StepGenerator for LlamaGenerator {
    fn sampling_prior(&self) -> SamplingPrior {
        self.prior.clone()
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
        self.extend_batch(requests).unwrap_or_else(|error| all_failed(requests.len(), error))
    }

    fn can_score(&self) -> bool {
        true
    }

    fn score(&mut self, requests: &[ContinuationRequest<'_>]) -> Vec<Result<ContinuationScore, CallError>> {
        // Rows of one part at a time, so that memory stays bounded.
        let parts = requests.chunks(SCORED_AT_ONCE);
        parts.flat_map(|part| self.score_batch(part).unwrap_or_else(|error| all_failed(part.len(), error))).collect()
    }
}

/// One error for all requests of a call.
fn all_failed<T>(n: usize, error: LlamaError) -> Vec<Result<T, CallError>> {
    let error = Arc::new(error);
    (0..n).map(|_| Err(CallError::new(Severity::Fatal, Arc::clone(&error)))).collect()
}
