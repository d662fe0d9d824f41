//! The two models as every method sees them: each call counted, limited by the budget, cached and kept in the journal.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::error::{Call, CallError, ReasoningError, Severity};
use super::generator::{ContinuationRequest, ContinuationScore, Extension, SamplingPrior, StepGenerator, StepRequest};
use super::journal::Journal;
use super::ledger::{Budget, Ledger};
use super::prefix::{Prefix, PrefixKey};
use super::reward::{RewardModel, RewardScale, ScoreRequest, StepScores};

/// A draw of one step.
#[derive(Debug, Clone, Copy)]
pub struct Draw<'a> {
    /// What it follows.
    pub prefix: &'a Prefix,
    /// Its seed.
    pub seed: u64,
    /// The most likely tokens instead of a draw.
    pub greedy: bool,
}

impl<'a> Draw<'a> {
    /// A draw from the sampling prior.
    #[must_use]
    pub fn new(prefix: &'a Prefix, seed: u64) -> Self {
        Self { prefix, seed, greedy: false }
    }
}

/// Scores of all steps of a prefix.
pub type Scores = Arc<[f64]>;

/// A language model and a reward model in use: every method calls them through this.
///
/// - Calls are counted in the [`Ledger`] and limited by the [`Budget`] before they are made.
/// - A draw is known by its prefix and seed, a score by its prefix: neither is paid for twice. Reward models are taken to be deterministic.
/// - Replies are checked: a score off its scale or a log-probability above 0 is an error of that slot, never a weight.
/// - With a [`Journal`], every reply is on disk before it is used.
pub struct Models<'a> {
    generator: &'a mut dyn StepGenerator,
    rewards: &'a mut dyn RewardModel,
    prior: SamplingPrior,
    scale: RewardScale,
    budget: Budget,
    ledger: Ledger,
    scores: HashMap<PrefixKey, Scores>,
    drawn: HashMap<(PrefixKey, u64, bool), Extension>,
    journal: Option<&'a mut Journal>,
    started: Instant,
}

impl<'a> Models<'a> {
    /// Two models, with no limit.
    pub fn new(generator: &'a mut dyn StepGenerator, rewards: &'a mut dyn RewardModel) -> Self {
        Self {
            prior: generator.sampling_prior(),
            scale: rewards.scale(),
            generator,
            rewards,
            budget: Budget::default(),
            ledger: Ledger::default(),
            scores: HashMap::new(),
            drawn: HashMap::new(),
            journal: None,
            started: Instant::now(),
        }
    }

    /// Limits the costs.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Keeps every reply in a journal, and takes those that it holds already from there.
    #[must_use]
    pub fn with_journal(mut self, journal: &'a mut Journal) -> Self {
        self.journal = Some(journal);
        self
    }

    /// The distribution of steps.
    pub fn sampling_prior(&self) -> &SamplingPrior {
        &self.prior
    }

    /// What scores are.
    pub fn scale(&self) -> RewardScale {
        self.scale
    }

    /// True if the generator can score given text.
    pub fn can_score(&self) -> bool {
        self.generator.can_score()
    }

    /// The limits.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// The costs so far.
    pub fn ledger(&self) -> Ledger {
        Ledger { seconds: self.started.elapsed().as_secs_f64(), ..self.ledger.clone() }
    }

    /// Draws one step after each prefix, in one batch; replies are the extended prefixes.
    ///
    /// # Errors
    /// [`ReasoningError::Budget`] before anything is sent; [`ReasoningError::Call`] if a slot's error is fatal, and
    /// [`ReasoningError::Replies`]. What the other slots got is kept, and a later call for the same draws gets it at no cost.
    pub fn extend(&mut self, draws: &[Draw<'_>]) -> Result<Vec<Result<Prefix, CallError>>, ReasoningError> {
        let key = |draw: &Draw<'_>| (draw.prefix.key(), draw.seed, draw.greedy);
        let missing: Vec<usize> = (0..draws.len()).filter(|&i| !self.drawn.contains_key(&key(&draws[i]))).collect();
        let max_tokens = self.budget.check(Call::Generate, missing.len() as u64, &self.ledger)?;
        let mut failed: HashMap<usize, CallError> = HashMap::new();
        let mut to_ask = Vec::with_capacity(missing.len());
        for i in missing {
            match self.journal.as_mut().and_then(|journal| journal.take_draw(key(&draws[i]))) {
                Some(extension) => {
                    self.ledger.replayed += 1;
                    self.count_extension(&extension);
                    self.drawn.insert(key(&draws[i]), extension);
                }
                None => to_ask.push(i),
            }
        }
        if !to_ask.is_empty() {
            let requests: Vec<_> = to_ask
                .iter()
                .map(|&i| StepRequest { prefix: draws[i].prefix, seed: draws[i].seed, greedy: draws[i].greedy, max_tokens })
                .collect();
            let start = Instant::now();
            let replies = self.generator.extend(&requests);
            self.ledger.generator_seconds += start.elapsed().as_secs_f64();
            self.ledger.generate_batches += 1;
            check_replies(Call::Generate, requests.len(), replies.len())?;
            for (&i, reply) in to_ask.iter().zip(replies) {
                match reply.and_then(|extension| check_extension(i, extension)) {
                    Ok(extension) => {
                        if let Some(journal) = self.journal.as_mut() {
                            journal.keep_draw(key(&draws[i]), &extension)?;
                        }
                        self.count_extension(&extension);
                        self.drawn.insert(key(&draws[i]), extension);
                    }
                    Err(error) => {
                        self.ledger.failed += 1;
                        failed.insert(i, error);
                    }
                }
            }
        }
        stop_if_fatal(Call::Generate, &mut failed)?;
        Ok((0..draws.len())
            .map(|i| match failed.remove(&i) {
                Some(error) => Err(error),
                None => Ok(draws[i].prefix.extended(self.drawn[&key(&draws[i])].step.clone())),
            })
            .collect())
    }

    /// Scores of all steps of each prefix, in one batch of those that are not known.
    ///
    /// # Errors
    /// As [`Models::extend`]. Scores that are off their scale are errors of their slot.
    pub fn score(&mut self, prefixes: &[&Prefix]) -> Result<Vec<Result<Scores, CallError>>, ReasoningError> {
        let mut wanted: Vec<usize> = Vec::new();
        let mut asked: HashMap<PrefixKey, usize> = HashMap::new();
        for (i, prefix) in prefixes.iter().enumerate() {
            if prefix.n_steps() == 0 {
                self.scores.entry(prefix.key()).or_insert_with(|| Arc::new([]));
            }
            if !self.scores.contains_key(&prefix.key()) && !asked.contains_key(&prefix.key()) && !self.replay_scores(prefix) {
                asked.insert(prefix.key(), i);
                wanted.push(i);
            }
        }
        self.ledger.cached_rewards += (prefixes.len() - wanted.len()) as u64;
        let mut failed: HashMap<usize, CallError> = HashMap::new();
        if !wanted.is_empty() {
            let requests: Vec<_> = wanted
                .iter()
                .map(|&i| ScoreRequest { prefix: prefixes[i], n_last: prefixes[i].n_steps() - self.known(prefixes[i]).len() })
                .collect();
            self.budget.check(Call::Reward, requests.len() as u64, &self.ledger)?;
            let start = Instant::now();
            let replies = self.rewards.score(&requests);
            self.ledger.reward_seconds += start.elapsed().as_secs_f64();
            self.ledger.reward_batches += 1;
            check_replies(Call::Reward, requests.len(), replies.len())?;
            for ((&i, request), reply) in wanted.iter().zip(&requests).zip(replies) {
                match reply.and_then(|scores| check_scores(self.scale, i, request, scores)) {
                    Ok(scores) => {
                        if let Some(journal) = self.journal.as_mut() {
                            journal.keep_scores(prefixes[i].key(), &scores)?;
                        }
                        self.count_scores(&scores);
                        self.learn(prefixes[i], &scores.scores);
                    }
                    Err(error) => {
                        self.ledger.failed += 1;
                        failed.insert(i, error);
                    }
                }
            }
        }
        stop_if_fatal(Call::Reward, &mut failed)?;
        let replies = prefixes.iter().map(|prefix| match self.scores.get(&prefix.key()) {
            Some(scores) => Ok(scores.clone()),
            None => Err(asked
                .get(&prefix.key())
                .and_then(|first| failed.remove(first))
                .unwrap_or_else(|| CallError::new(Severity::Transient, "another slot with the same prefix failed"))),
        });
        Ok(replies.collect())
    }

    /// Log-probabilities of given steps after given prefixes, in one batch.
    ///
    /// # Errors
    /// As [`Models::extend`]; [`ReasoningError::Call`] also if the generator cannot score, and for every slot that fails.
    pub fn score_steps(&mut self, requests: &[ContinuationRequest<'_>]) -> Result<Vec<ContinuationScore>, ReasoningError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let start = Instant::now();
        let replies = self.generator.score(requests);
        self.ledger.generator_seconds += start.elapsed().as_secs_f64();
        self.ledger.score_batches += 1;
        check_replies(Call::Score, requests.len(), replies.len())?;
        let mut scores = Vec::with_capacity(replies.len());
        for (index, (request, reply)) in requests.iter().zip(replies).enumerate() {
            let score = reply.map_err(|source| ReasoningError::Call { call: Call::Score, index, source })?;
            check_replies(Call::Score, request.steps.len(), score.log_sampling.len())?;
            check_replies(Call::Score, request.steps.len(), score.log_model.len())?;
            for &value in score.log_sampling.iter().chain(&score.log_model) {
                if !is_log_probability(value) {
                    return Err(ReasoningError::LogProbability { call: Call::Score, index, value });
                }
            }
            self.ledger.scored_tokens += score.tokens;
            scores.push(score);
        }
        Ok(scores)
    }

    /// Scores of the longest part of a prefix that is known.
    fn known(&self, prefix: &Prefix) -> Scores {
        prefix.lineage().find_map(|part| self.scores.get(&part.key())).cloned().unwrap_or_else(|| Arc::new([]))
    }

    /// Keeps the scores of a prefix's last steps.
    fn learn(&mut self, prefix: &Prefix, last: &[f64]) {
        let first_new = prefix.n_steps().saturating_sub(last.len());
        let mut all = self.known(prefix.first_steps(first_new)).to_vec();
        for (n, &score) in (first_new + 1..).zip(last) {
            all.push(score);
            self.scores.insert(prefix.first_steps(n).key(), all.as_slice().into());
        }
    }

    /// Takes a prefix's scores from the journal; true if it had them.
    fn replay_scores(&mut self, prefix: &Prefix) -> bool {
        let Some(scores) = self.journal.as_mut().and_then(|journal| journal.take_scores(prefix.key())) else { return false };
        if scores.scores.len() != prefix.n_steps() - self.known(prefix).len() {
            return false;
        }
        self.ledger.replayed += 1;
        self.count_scores(&scores);
        self.learn(prefix, &scores.scores);
        true
    }

    fn count_extension(&mut self, extension: &Extension) {
        self.ledger.generations += 1;
        self.ledger.generated_tokens += extension.step.n_tokens;
        self.ledger.prompt_tokens += extension.prompt_tokens;
    }

    fn count_scores(&mut self, scores: &StepScores) {
        self.ledger.reward_calls += scores.calls;
        self.ledger.reward_tokens += scores.tokens;
    }
}

impl std::fmt::Debug for Models<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Models")
            .field("prior", &self.prior)
            .field("scale", &self.scale)
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

fn check_replies(call: Call, expected: usize, found: usize) -> Result<(), ReasoningError> {
    if expected == found { Ok(()) } else { Err(ReasoningError::Replies { call, expected, found }) }
}

fn is_log_probability(value: f64) -> bool {
    // A sum of rounded log-probabilities may lie above 0 by its round-off.
    value <= 1e-6
}

fn check_extension(index: usize, extension: Extension) -> Result<Extension, CallError> {
    for value in [extension.step.log_sampling, extension.step.log_model].into_iter().flatten() {
        if !is_log_probability(value) {
            return Err(CallError::new(Severity::Slot, ReasoningError::LogProbability { call: Call::Generate, index, value }));
        }
    }
    Ok(extension)
}

fn check_scores(
    scale: RewardScale,
    index: usize,
    request: &ScoreRequest<'_>,
    scores: StepScores,
) -> Result<StepScores, CallError> {
    if scores.scores.len() != request.n_last {
        let error = ReasoningError::Replies { call: Call::Reward, expected: request.n_last, found: scores.scores.len() };
        return Err(CallError::new(Severity::Slot, error));
    }
    for &score in &scores.scores {
        let (holds, scale) = match scale {
            RewardScale::Probability => ((0.0..=1.0).contains(&score), "probability"),
            RewardScale::Logit => (!score.is_nan(), "logit"),
            RewardScale::LogProbability => (score <= 0.0, "log-probability"),
            RewardScale::Real => (score.is_finite(), "real number"),
        };
        if !holds {
            return Err(CallError::new(Severity::Slot, ReasoningError::Score { index, score, scale }));
        }
    }
    Ok(scores)
}

fn stop_if_fatal(call: Call, failed: &mut HashMap<usize, CallError>) -> Result<(), ReasoningError> {
    let fatal = failed.iter().filter(|(_, error)| error.severity() == Severity::Fatal).map(|(&i, _)| i).min();
    match fatal.and_then(|index| failed.remove(&index).map(|source| (index, source))) {
        Some((index, source)) => Err(ReasoningError::Call { call, index, source }),
        None => Ok(()),
    }
}
