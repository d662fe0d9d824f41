//! The two models as every method sees them: each call counted, limited by the budget, cached and kept in the journal.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::error::{Call, CallError, ReasoningError, Severity};
use super::generator::{ContinuationRequest, ContinuationScore, Extension, SamplingPrior, StepGenerator, StepRequest};
use super::journal::{DrawKey, Journal, ScoreKey};
use super::key_map::KeyMap;
use super::ledger::{Budget, Ledger};
use super::prefix::{Finish, Prefix, PrefixKey, Step};
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

    fn key(&self) -> DrawKey {
        (self.prefix.key(), self.seed, self.greedy)
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
    scores: KeyMap<PrefixKey, Scores>,
    /// The extended prefixes.
    drawn: KeyMap<DrawKey, Prefix>,
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
            scores: KeyMap::default(),
            drawn: KeyMap::default(),
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

    /// The reward model's name.
    pub fn reward_name(&self) -> String {
        self.rewards.name()
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

    /// Number of steps of a prefix that are not scored yet.
    pub(super) fn n_unscored(&self, prefix: &Prefix) -> usize {
        prefix.n_steps() - self.known(prefix).len()
    }

    /// Checks that the budget covers the scores of what these draws bring, and of `texts`, before the draws are paid for. `cut` is what becomes
    /// of a text after its draw. Draws and scores that are known already cost nothing, and what texts share is scored once.
    ///
    /// # Errors
    /// [`ReasoningError::Budget`].
    pub(super) fn check_rewards<'p>(
        &self,
        draws: &[Draw<'_>],
        cut: impl Fn(Prefix) -> Prefix,
        texts: impl IntoIterator<Item = &'p Prefix>,
    ) -> Result<(), ReasoningError> {
        let mut seen: HashSet<PrefixKey> = HashSet::new();
        let mut all: Vec<Prefix> = texts.into_iter().filter(|text| seen.insert(text.key())).cloned().collect();
        let mut n_new = 0;
        for draw in draws {
            match self.drawn.get(&draw.key()).map(|extended| cut(extended.clone())) {
                Some(text) if seen.insert(text.key()) => all.push(text),
                Some(_) => {}
                None => {
                    n_new += 1;
                    all.push(draw.prefix.clone());
                }
            }
        }
        // As `score` counts them.
        let n_common = common_part(all.iter()).map_or(0, |common| self.n_unscored(&common));
        let n_steps: usize = all.iter().map(|text| self.n_unscored(text) - n_common).sum();
        self.budget.check(Call::Reward, (n_new + n_common + n_steps) as u64, &self.ledger).map(drop)
    }

    /// Draws one step after each prefix, in one batch; replies are the extended prefixes.
    ///
    /// # Errors
    /// [`ReasoningError::Budget`] before anything is sent, or if the limit of tokens cut a step off: what was cut off counts as spent, but
    /// no step; [`ReasoningError::Call`] if a slot's error is fatal, and [`ReasoningError::Replies`]. What the other slots got is kept, and
    /// a later call for the same draws gets it at no cost.
    pub fn extend(&mut self, draws: &[Draw<'_>]) -> Result<Vec<Result<Prefix, CallError>>, ReasoningError> {
        let keys: Vec<DrawKey> = draws.iter().map(Draw::key).collect();
        let mut first: KeyMap<DrawKey, usize> = KeyMap::default();
        let mut wanted: Vec<usize> = Vec::new();
        for (i, key) in keys.iter().enumerate() {
            if !self.drawn.contains_key(key) && *first.entry(*key).or_insert(i) == i {
                wanted.push(i);
            }
        }
        let mut failed: HashMap<usize, CallError> = HashMap::new();
        if !wanted.is_empty() {
            let left = self.budget.check(Call::Generate, wanted.len() as u64, &self.ledger)?;
            let max_tokens = left.filter(|&left| self.prior.max_tokens_per_step.is_none_or(|limit| left < limit));
            self.ledger.generate_batches += 1;
            let to_ask = self.replay_draws(draws, &wanted, &keys, &mut failed)?;
            self.ask_for_draws(draws, &keys, &to_ask, max_tokens, &mut failed)?;
        }
        stop_if_fatal(Call::Generate, &mut failed)?;
        let replies = keys.iter().map(|key| match self.drawn.get(key) {
            Some(extended) => Ok(extended.clone()),
            None => Err(first.get(key).and_then(|i| failed.get(i)).cloned().unwrap_or_else(no_reply)),
        });
        Ok(replies.collect())
    }

    /// Takes what the journal has; returns what it has not.
    fn replay_draws(
        &mut self,
        draws: &[Draw<'_>],
        wanted: &[usize],
        keys: &[DrawKey],
        failed: &mut HashMap<usize, CallError>,
    ) -> Result<Vec<usize>, ReasoningError> {
        let Some(journal) = self.journal.as_mut() else { return Ok(wanted.to_vec()) };
        journal.keep_failures()?;
        let mut to_ask = Vec::with_capacity(wanted.len());
        for &i in wanted {
            match self.journal.as_mut().and_then(|journal| journal.take_draw(keys[i])) {
                Some(Ok(extension)) => {
                    self.ledger.replayed += 1;
                    self.count_extension(&extension);
                    self.drawn.insert(keys[i], draws[i].prefix.extended(extension.step));
                }
                Some(Err(Refused { error, reply })) => {
                    self.ledger.failed += 1;
                    reply.iter().for_each(|extension| self.count_extension(extension));
                    failed.insert(i, error);
                }
                None => to_ask.push(i),
            }
        }
        Ok(to_ask)
    }

    fn ask_for_draws(
        &mut self,
        draws: &[Draw<'_>],
        keys: &[DrawKey],
        to_ask: &[usize],
        max_tokens: Option<u64>,
        failed: &mut HashMap<usize, CallError>,
    ) -> Result<(), ReasoningError> {
        if to_ask.is_empty() {
            return Ok(());
        }
        let requests: Vec<_> = to_ask
            .iter()
            .map(|&i| StepRequest { prefix: draws[i].prefix, seed: draws[i].seed, greedy: draws[i].greedy, max_tokens })
            .collect();
        let start = Instant::now();
        let replies = self.generator.extend(&requests);
        self.ledger.generator_seconds += start.elapsed().as_secs_f64();
        check_replies(Call::Generate, requests.len(), replies.len())?;
        let mut is_cut = false;
        for (&i, reply) in to_ask.iter().zip(replies) {
            reply.iter().for_each(|extension| self.count_extension(extension));
            match refuse(reply, |extension| check_extension(i, extension)) {
                // No draw from the sampling prior.
                Ok(extension) if is_cut_at(max_tokens, &extension.step) => is_cut = true,
                Ok(extension) => {
                    if let Some(journal) = self.journal.as_mut() {
                        journal.keep_draw(keys[i], &extension)?;
                    }
                    self.drawn.insert(keys[i], draws[i].prefix.extended(extension.step));
                }
                Err(refused) => {
                    self.ledger.failed += 1;
                    if let Some(journal) = self.journal.as_mut() {
                        journal.note_failed_draw(keys[i], &refused);
                    }
                    failed.insert(i, refused.error);
                }
            }
        }
        match self.budget.generated_tokens {
            Some(limit) if is_cut => Err(ReasoningError::Budget { what: "tokens", limit, spent: self.ledger.generated_tokens }),
            _ => Ok(()),
        }
    }

    /// Scores of all steps of each prefix, in one batch of those that are not known. Steps that all of these have in common, as those of a
    /// prompt, are scored in a batch of their own before: once.
    ///
    /// # Errors
    /// As [`Models::extend`]. Scores that are off their scale are errors of their slot.
    pub fn score(&mut self, prefixes: &[&Prefix]) -> Result<Vec<Result<Scores, CallError>>, ReasoningError> {
        let mut wanted: Vec<usize> = Vec::new();
        let mut first: KeyMap<PrefixKey, usize> = KeyMap::default();
        for (i, prefix) in prefixes.iter().enumerate() {
            if prefix.n_steps() == 0 {
                self.scores.entry(prefix.key()).or_insert_with(|| Arc::new([]));
            }
            if !self.scores.contains_key(&prefix.key()) && *first.entry(prefix.key()).or_insert(i) == i {
                wanted.push(i);
            }
        }
        self.ledger.cached_rewards += (prefixes.len() - wanted.len()) as u64;
        let mut failed: HashMap<usize, CallError> = HashMap::new();
        if !wanted.is_empty() {
            let common = common_part(wanted.iter().map(|&i| prefixes[i]));
            let n_common = common.as_ref().map_or(0, |common| self.n_unscored(common));
            // A model may take one pass per step.
            let n_steps: usize = wanted.iter().map(|&i| self.n_unscored(prefixes[i]) - n_common).sum();
            self.budget.check(Call::Reward, (n_common + n_steps) as u64, &self.ledger)?;
            if let (Some(common), true) = (&common, n_common > 0) {
                let failure = self.score_batch(&[common], &[0])?.remove(&0);
                match failure {
                    Some(error) => failed.extend(wanted.drain(..).map(|i| (i, error.clone()))),
                    None => wanted.retain(|&i| !self.scores.contains_key(&prefixes[i].key())),
                }
            }
            if !wanted.is_empty() {
                failed.extend(self.score_batch(prefixes, &wanted)?);
            }
        }
        stop_if_fatal(Call::Reward, &mut failed)?;
        let replies = prefixes.iter().map(|prefix| match self.scores.get(&prefix.key()) {
            Some(scores) => Ok(scores.clone()),
            None => Err(first.get(&prefix.key()).and_then(|i| failed.get(i)).cloned().unwrap_or_else(no_reply)),
        });
        Ok(replies.collect())
    }

    /// Scores the wanted prefixes; returns what failed.
    fn score_batch(&mut self, prefixes: &[&Prefix], wanted: &[usize]) -> Result<HashMap<usize, CallError>, ReasoningError> {
        let mut failed = HashMap::new();
        self.ledger.reward_batches += 1;
        let to_ask = self.replay_rewards(wanted, prefixes, &mut failed)?;
        self.ask_for_rewards(prefixes, &to_ask, &mut failed)?;
        Ok(failed)
    }

    /// As [`Models::replay_draws`].
    fn replay_rewards(
        &mut self,
        wanted: &[usize],
        prefixes: &[&Prefix],
        failed: &mut HashMap<usize, CallError>,
    ) -> Result<Vec<usize>, ReasoningError> {
        let Some(journal) = self.journal.as_mut() else { return Ok(wanted.to_vec()) };
        journal.keep_failures()?;
        let mut to_ask = Vec::with_capacity(wanted.len());
        for &i in wanted {
            match self.journal.as_mut().and_then(|journal| journal.take_rewards(prefixes[i].key())) {
                Some(Ok(scores)) if self.fits(prefixes[i], &scores) => {
                    self.ledger.replayed += 1;
                    self.count_scores(&scores);
                    self.learn(prefixes[i], &scores.scores);
                }
                Some(Err(Refused { error, reply })) => {
                    self.ledger.failed += 1;
                    reply.iter().for_each(|scores| self.count_scores(scores));
                    failed.insert(i, error);
                }
                _ => to_ask.push(i),
            }
        }
        Ok(to_ask)
    }

    fn ask_for_rewards(
        &mut self,
        prefixes: &[&Prefix],
        to_ask: &[usize],
        failed: &mut HashMap<usize, CallError>,
    ) -> Result<(), ReasoningError> {
        if to_ask.is_empty() {
            return Ok(());
        }
        let requests: Vec<_> =
            to_ask.iter().map(|&i| ScoreRequest { prefix: prefixes[i], n_last: self.n_unscored(prefixes[i]) }).collect();
        let start = Instant::now();
        let replies = self.rewards.score(&requests);
        self.ledger.reward_seconds += start.elapsed().as_secs_f64();
        check_replies(Call::Reward, requests.len(), replies.len())?;
        for ((&i, request), reply) in to_ask.iter().zip(&requests).zip(replies) {
            reply.iter().for_each(|scores| self.count_scores(scores));
            match refuse(reply, |scores| check_scores(self.scale, i, request, scores)) {
                Ok(scores) => {
                    if let Some(journal) = self.journal.as_mut() {
                        journal.keep_rewards(prefixes[i].key(), &scores)?;
                    }
                    self.learn(prefixes[i], &scores.scores);
                }
                Err(refused) => {
                    self.ledger.failed += 1;
                    if let Some(journal) = self.journal.as_mut() {
                        journal.note_failed_rewards(prefixes[i].key(), &refused);
                    }
                    failed.insert(i, refused.error);
                }
            }
        }
        Ok(())
    }

    /// Log-probabilities of given steps after given prefixes, in one batch.
    ///
    /// # Errors
    /// As [`Models::extend`]; a generator that cannot score is a fatal error.
    pub fn score_steps(
        &mut self,
        requests: &[ContinuationRequest<'_>],
    ) -> Result<Vec<Result<ContinuationScore, CallError>>, ReasoningError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let n_tokens = requests.iter().flat_map(|request| request.steps).map(|step| step.n_tokens).sum();
        self.budget.check(Call::Score, n_tokens, &self.ledger)?;
        self.ledger.score_batches += 1;
        let mut scores: Vec<Option<ContinuationScore>> = vec![None; requests.len()];
        let mut failed: HashMap<usize, CallError> = HashMap::new();
        if let Some(journal) = self.journal.as_mut() {
            journal.keep_failures()?;
            for (i, request) in requests.iter().enumerate() {
                match journal.take_score(score_key(request)) {
                    Some(Ok(score)) => {
                        self.ledger.replayed += 1;
                        self.ledger.scored_tokens += score.tokens;
                        scores[i] = Some(score);
                    }
                    Some(Err(Refused { error, reply })) => {
                        self.ledger.failed += 1;
                        self.ledger.scored_tokens += reply.map_or(0, |score| score.tokens);
                        failed.insert(i, error);
                    }
                    None => {}
                }
            }
        }
        let to_ask: Vec<usize> = (0..requests.len()).filter(|i| scores[*i].is_none() && !failed.contains_key(i)).collect();
        if !to_ask.is_empty() {
            let asked: Vec<_> = to_ask.iter().map(|&i| requests[i]).collect();
            let start = Instant::now();
            let replies = self.generator.score(&asked);
            self.ledger.generator_seconds += start.elapsed().as_secs_f64();
            check_replies(Call::Score, asked.len(), replies.len())?;
            for (&i, reply) in to_ask.iter().zip(replies) {
                self.ledger.scored_tokens += reply.as_ref().map_or(0, |score| score.tokens);
                match refuse(reply, |score| check_continuation(i, requests[i].steps.len(), score)) {
                    Ok(score) => {
                        if let Some(journal) = self.journal.as_mut() {
                            journal.keep_score(score_key(&requests[i]), &score)?;
                        }
                        scores[i] = Some(score);
                    }
                    Err(refused) => {
                        self.ledger.failed += 1;
                        if let Some(journal) = self.journal.as_mut() {
                            journal.note_failed_score(score_key(&requests[i]), &refused);
                        }
                        failed.insert(i, refused.error);
                    }
                }
            }
        }
        stop_if_fatal(Call::Score, &mut failed)?;
        let replies = scores.into_iter().enumerate();
        Ok(replies.map(|(i, score)| score.ok_or_else(|| failed.remove(&i).unwrap_or_else(no_reply))).collect())
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

    /// True if these scores of a prefix's last steps go on from what is known.
    fn fits(&self, prefix: &Prefix, scores: &StepScores) -> bool {
        let before = prefix.n_steps().checked_sub(scores.scores.len());
        before.is_some_and(|before| self.known(prefix.first_steps(before)).len() == before)
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

/// A reply that is no result.
#[derive(Debug)]
pub(super) struct Refused<T> {
    pub(super) error: CallError,
    /// What was paid for all the same.
    pub(super) reply: Option<T>,
}

fn refuse<T>(reply: Result<T, CallError>, check: impl FnOnce(&T) -> Result<(), CallError>) -> Result<T, Refused<T>> {
    let reply = reply.map_err(|error| Refused { error, reply: None })?;
    match check(&reply) {
        Ok(()) => Ok(reply),
        Err(error) => Err(Refused { error, reply: Some(reply) }),
    }
}

/// True if a limit of tokens that is not the prior's ended this step.
fn is_cut_at(max_tokens: Option<u64>, step: &Step) -> bool {
    step.finish == Finish::MaxTokens && max_tokens.is_some_and(|limit| step.n_tokens >= limit)
}

/// What two or more texts begin with.
fn common_part<'p>(mut texts: impl Iterator<Item = &'p Prefix>) -> Option<Prefix> {
    let (first, second) = (texts.next()?, texts.next()?);
    let common = std::iter::once(second).chain(texts).fold(first, |common, text| common.common_part(text));
    Some(common.clone())
}

fn check_extension(index: usize, extension: &Extension) -> Result<(), CallError> {
    for value in [extension.step.log_sampling, extension.step.log_model].into_iter().flatten() {
        if !is_log_probability(value) {
            return Err(CallError::new(Severity::Slot, ReasoningError::LogProbability { call: Call::Generate, index, value }));
        }
    }
    Ok(())
}

fn check_continuation(index: usize, n_steps: usize, score: &ContinuationScore) -> Result<(), CallError> {
    let refused = |error| CallError::new(Severity::Slot, error);
    for log_probabilities in [&score.log_sampling, &score.log_model] {
        check_replies(Call::Score, n_steps, log_probabilities.len()).map_err(refused)?;
        if let Some(&value) = log_probabilities.iter().find(|value| !is_log_probability(**value)) {
            return Err(refused(ReasoningError::LogProbability { call: Call::Score, index, value }));
        }
    }
    Ok(())
}

/// The prefix of a request, and its text to the end.
fn score_key(request: &ContinuationRequest<'_>) -> ScoreKey {
    (request.prefix.key(), request.prefix.extended_by(request.steps.iter().copied()).key())
}

fn no_reply() -> CallError {
    CallError::new(Severity::Transient, "there is no reply")
}

fn check_scores(scale: RewardScale, index: usize, request: &ScoreRequest<'_>, scores: &StepScores) -> Result<(), CallError> {
    if scores.scores.len() != request.n_last {
        let error = ReasoningError::Replies { call: Call::Reward, expected: request.n_last, found: scores.scores.len() };
        return Err(CallError::new(Severity::Slot, error));
    }
    match scores.scores.iter().find(|score| !scale.contains(**score)) {
        Some(&score) => Err(CallError::new(Severity::Slot, ReasoningError::Score { index, score, scale: scale.name() })),
        None => Ok(()),
    }
}

fn stop_if_fatal(call: Call, failed: &mut HashMap<usize, CallError>) -> Result<(), ReasoningError> {
    let fatal = failed.iter().filter(|(_, error)| error.severity() == Severity::Fatal).map(|(&i, _)| i).min();
    match fatal.and_then(|index| failed.remove(&index).map(|source| (index, source))) {
        Some((index, source)) => Err(ReasoningError::Call { call, index, source }),
        None => Ok(()),
    }
}
