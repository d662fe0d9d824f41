//! What all searches do with texts: draw a step, cut at the limit, score, try again after failures, and put the result together.

use std::collections::{HashMap, HashSet};

use rand::rand_core::Rng;

use super::Search;
use crate::reasoning::models::{Draw, Models};
use crate::reasoning::{
    Call, CallError, Decoded, FailedSlot, Particle, Prefix, PrefixKey, ReasoningError, Scores, StepRecord, Stopped, WeightedText,
    retry,
};
use crate::rng::{Purpose, Stream};

/// What a candidate goes on from.
pub(super) struct Parent {
    slot: usize,
    /// Its own place in the record of the step before.
    place: u32,
    prefix: Prefix,
}

impl Parent {
    pub(super) fn prompt(slot: usize, prompt: &Prefix) -> Self {
        Self { slot, place: slot as u32, prefix: prompt.clone() }
    }
}

/// A text that a step brought.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) slot: usize,
    /// Its place in the step's record.
    pub(super) place: u32,
    pub(super) text: Particle,
}

impl Candidate {
    pub(super) fn is_finished(&self) -> bool {
        self.text.prefix.is_finished()
    }

    /// This text as the parent of a slot's next candidate.
    pub(super) fn parent(&self, slot: usize) -> Parent {
        Parent { slot, place: self.place, prefix: self.text.prefix.clone() }
    }
}

/// The models in use by one search.
pub(super) struct Run<'s, 'm, 'a> {
    search: &'s Search,
    models: &'m mut Models<'a>,
    prompt: Prefix,
    steps: Vec<StepRecord>,
    failed: Vec<FailedSlot>,
    n_dropped: usize,
    stopped: Stopped,
}

impl<'s, 'm, 'a> Run<'s, 'm, 'a> {
    pub(super) fn new(search: &'s Search, models: &'m mut Models<'a>, prompt: &Prefix) -> Self {
        Self {
            search,
            models,
            prompt: prompt.clone(),
            steps: Vec::new(),
            failed: Vec::new(),
            n_dropped: 0,
            stopped: Stopped::Finished,
        }
    }

    /// True if the budget did not cover a step.
    pub(super) fn is_over_budget(&self) -> bool {
        self.stopped == Stopped::Budget
    }

    /// Draws one step after each text, by slot: those that failed for good are missing. `None` if the budget does not cover that, or would
    /// not cover the scores of what comes out and of `others` (nothing is scored without those): the search is then over.
    pub(super) fn extend(
        &mut self,
        step: usize,
        parents: &[(usize, Prefix)],
        greedy: bool,
        others: Option<&[(usize, Prefix)]>,
    ) -> Result<Option<Vec<(usize, Prefix)>>, ReasoningError> {
        let Self { search, models, failed, .. } = self;
        let n_max = self.prompt.n_steps().saturating_add(search.max_steps);
        let draws: Vec<_> =
            parents.iter().map(|(slot, prefix)| Draw { prefix, seed: draw_seed(search.seed, step, *slot), greedy }).collect();
        let covered = others.map_or(Ok(()), |others| {
            models.check_rewards(&draws, |text| text.cut_at(n_max), others.iter().map(|(_, text)| text))
        });
        let note = |i: usize, error| failed.push(FailedSlot { step, slot: parents[i].0, call: Call::Generate, error });
        let replies = covered.and_then(|()| retry::extend(models, &draws, search.max_attempts, note));
        let Some(replies) = self.unless_over_budget(replies)? else { return Ok(None) };
        let children = self.settle(step, Call::Generate, parents, replies)?;
        Ok(Some(children.into_iter().map(|(slot, child)| (slot, child.cut_at(n_max))).collect()))
    }

    /// Scores texts, by slot: those that failed for good are missing. `None` if the budget does not cover that.
    pub(super) fn score(
        &mut self,
        step: usize,
        texts: &[(usize, Prefix)],
    ) -> Result<Option<Vec<(usize, Particle)>>, ReasoningError> {
        let Self { search, models, failed, .. } = self;
        let prefixes: Vec<_> = texts.iter().map(|(_, prefix)| prefix).collect();
        let note = |i: usize, error| failed.push(FailedSlot { step, slot: texts[i].0, call: Call::Reward, error });
        let replies = retry::score(models, &prefixes, search.max_attempts, note);
        let Some(replies) = self.unless_over_budget(replies)? else { return Ok(None) };
        let mut scores: HashMap<usize, Scores> = self.settle(step, Call::Reward, texts, replies)?.into_iter().collect();
        let scale = self.models.scale();
        let mut particles = Vec::with_capacity(texts.len());
        for (slot, prefix) in texts {
            let Some(scores) = scores.remove(slot) else { continue };
            let log_psi = self.search.potential.log_psi(scale, &scores, prefix.is_finished());
            if !(log_psi < f64::INFINITY) {
                return Err(ReasoningError::Score { index: *slot, score: log_psi, scale: "logarithm of a potential" });
            }
            particles.push((*slot, Particle { prefix: prefix.clone(), scores, log_psi }));
        }
        Ok(Some(particles))
    }

    /// Draws and scores one step after each parent: those that failed for good are missing. `None` if the budget does not cover that.
    pub(super) fn expand(&mut self, step: usize, parents: &[Parent]) -> Result<Option<Vec<Candidate>>, ReasoningError> {
        let slots: Vec<_> = parents.iter().map(|parent| (parent.slot, parent.prefix.clone())).collect();
        let Some(children) = self.extend(step, &slots, false, Some(&[]))? else { return Ok(None) };
        let Some(scored) = self.score(step, &children)? else { return Ok(None) };
        let candidates: Vec<Candidate> = (0..).zip(scored).map(|(place, (slot, text))| Candidate { slot, place, text }).collect();
        let places: HashMap<usize, u32> = parents.iter().map(|parent| (parent.slot, parent.place)).collect();
        self.record(
            step,
            step > 1,
            candidates.iter().map(|candidate| places[&candidate.slot]).collect(),
            candidates.iter().map(|candidate| candidate.text.prefix.clone()).collect(),
            candidates.iter().map(|candidate| candidate.text.scores.last().copied().unwrap_or(f64::NAN)).collect(),
        );
        Ok(Some(candidates))
    }

    /// Keeps what a step brought.
    pub(super) fn record(&mut self, step: usize, resampled: bool, mut ancestors: Vec<u32>, texts: Vec<Prefix>, scores: Vec<f64>) {
        if step == 1 {
            // The first texts go on from copies of the prompt, as many as there are texts.
            ancestors = (0..).take(texts.len()).collect();
        }
        let distinct: HashSet<PrefixKey> = texts.iter().map(Prefix::key).collect();
        self.steps.push(StepRecord {
            step,
            ess: texts.len() as f64,
            log_evidence: f64::NAN,
            resampled,
            n_unfinished: texts.iter().filter(|text| !text.is_finished()).count(),
            n_distinct: distinct.len(),
            ancestors,
            weights: vec![1.0 / texts.len() as f64; texts.len()],
            texts,
            scores,
        });
    }

    /// What a batch brought; `None`, and the end of the search, if the budget did not cover it.
    fn unless_over_budget<T>(&mut self, result: Result<T, ReasoningError>) -> Result<Option<T>, ReasoningError> {
        match result {
            Err(ReasoningError::Budget { .. }) => {
                self.stopped = Stopped::Budget;
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    /// Replies by slot, without those that failed in every attempt.
    fn settle<T>(
        &mut self,
        step: usize,
        call: Call,
        slots: &[(usize, Prefix)],
        replies: Vec<Result<T, CallError>>,
    ) -> Result<Vec<(usize, T)>, ReasoningError> {
        let mut settled = Vec::with_capacity(slots.len());
        for (&(slot, _), reply) in slots.iter().zip(replies) {
            match reply {
                Ok(reply) => settled.push((slot, reply)),
                Err(error) if self.search.drop_failed => {
                    self.n_dropped += 1;
                    self.failed.push(FailedSlot { step, slot, call, error });
                }
                Err(source) => return Err(ReasoningError::Slot { step, slot, call, source }),
            }
        }
        Ok(settled)
    }

    /// The result: these texts with equal weights.
    pub(super) fn finish(self, texts: Vec<Particle>) -> Decoded {
        let weight = 1.0 / texts.len() as f64;
        let texts = texts
            .into_iter()
            .map(|text| WeightedText { prefix: text.prefix, weight, scores: text.scores.to_vec(), log_psi: text.log_psi })
            .collect();
        let prior = self.models.sampling_prior().clone();
        Decoded {
            texts,
            evidence: None,
            steps: self.steps,
            target: self.search.target(&prior.model),
            prior,
            ledger: self.models.ledger(),
            failed: self.failed,
            n_dropped: self.n_dropped,
            stopped: self.stopped,
        }
    }
}

/// The seed of a slot's draw, the same at every attempt: with another one, the text would depend on what fails.
fn draw_seed(seed: u64, step: usize, slot: usize) -> u64 {
    let base = Stream::keyed(seed, Purpose::Particle, step as u64, slot as u64).next_u64();
    Stream::keyed(base, Purpose::Particle, 0, 0).next_u64()
}
