//! What all searches do with texts: draw a step, cut at the limit, score, try again after failures, and put the result together.

use std::collections::{HashMap, HashSet};

use rand::rand_core::Rng;

use super::Search;
use crate::reasoning::models::{Draw, Models};
use crate::reasoning::{
    Call, CallError, Decoded, FailedSlot, Finish, Particle, Prefix, PrefixKey, ReasoningError, Scores, Severity, Step,
    StepRecord, Stopped, WeightedText,
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

    /// True if the budget covers a step of `n_draws` generations and `n_scores` scores; if not, the search is over.
    pub(super) fn covers(&mut self, n_draws: usize, n_scores: usize) -> bool {
        let (budget, ledger) = (self.models.budget(), self.models.ledger());
        let is_covered = budget.check(Call::Generate, n_draws as u64, &ledger).is_ok()
            && budget.check(Call::Reward, n_scores as u64, &ledger).is_ok();
        if !is_covered {
            self.stopped = Stopped::Budget;
        }
        is_covered
    }

    /// True if the budget did not cover a step.
    pub(super) fn is_over_budget(&self) -> bool {
        self.stopped == Stopped::Budget
    }

    /// Draws one step after each text, by slot: those that failed for good are missing.
    pub(super) fn extend(
        &mut self,
        step: usize,
        parents: &[(usize, Prefix)],
        greedy: bool,
    ) -> Result<Vec<(usize, Prefix)>, ReasoningError> {
        let seed = self.search.seed;
        let children = self.insist(step, Call::Generate, parents, |models, parents| {
            let draws: Vec<_> =
                parents.iter().map(|(slot, prefix)| Draw { prefix, seed: draw_seed(seed, step, *slot), greedy }).collect();
            models.extend(&draws)
        })?;
        Ok(children.into_iter().map(|(slot, child)| (slot, self.cut(child))).collect())
    }

    /// Scores texts, by slot: those that failed for good are missing.
    pub(super) fn score(&mut self, step: usize, texts: &[(usize, Prefix)]) -> Result<Vec<(usize, Particle)>, ReasoningError> {
        let scores = self.insist(step, Call::Reward, texts, |models, texts| {
            let prefixes: Vec<_> = texts.iter().map(|(_, prefix)| prefix).collect();
            models.score(&prefixes)
        })?;
        let mut scores: HashMap<usize, Scores> = scores.into_iter().collect();
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
        Ok(particles)
    }

    /// Draws and scores one step after each parent: those that failed for good are missing.
    pub(super) fn expand(&mut self, step: usize, parents: &[Parent]) -> Result<Vec<Candidate>, ReasoningError> {
        let slots: Vec<_> = parents.iter().map(|parent| (parent.slot, parent.prefix.clone())).collect();
        let children = self.extend(step, &slots, false)?;
        let candidates: Vec<Candidate> =
            (0..).zip(self.score(step, &children)?).map(|(place, (slot, text))| Candidate { slot, place, text }).collect();
        let places: HashMap<usize, u32> = parents.iter().map(|parent| (parent.slot, parent.place)).collect();
        self.record(
            step,
            step > 1,
            candidates.iter().map(|candidate| places[&candidate.slot]).collect(),
            candidates.iter().map(|candidate| candidate.text.prefix.clone()).collect(),
            candidates.iter().map(|candidate| candidate.text.scores.last().copied().unwrap_or(f64::NAN)).collect(),
        );
        Ok(candidates)
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

    /// Calls a model for some slots, and again for those that failed transiently.
    fn insist<T>(
        &mut self,
        step: usize,
        call: Call,
        slots: &[(usize, Prefix)],
        mut ask: impl FnMut(&mut Models<'a>, &[(usize, Prefix)]) -> Result<Vec<Result<T, CallError>>, ReasoningError>,
    ) -> Result<Vec<(usize, T)>, ReasoningError> {
        let mut replies: Vec<(usize, T)> = Vec::with_capacity(slots.len());
        let mut open = slots.to_vec();
        for attempt in 1..=self.search.max_attempts {
            if open.is_empty() {
                break;
            }
            let is_last = attempt == self.search.max_attempts;
            let mut again = Vec::new();
            for ((slot, prefix), reply) in open.iter().zip(ask(self.models, &open)?) {
                match reply {
                    Ok(reply) => replies.push((*slot, reply)),
                    Err(error) if error.severity() == Severity::Transient && !is_last => {
                        again.push((*slot, prefix.clone()));
                        self.failed.push(FailedSlot { step, slot: *slot, call, error });
                    }
                    Err(error) if self.search.drop_failed => {
                        self.n_dropped += 1;
                        self.failed.push(FailedSlot { step, slot: *slot, call, error });
                    }
                    Err(source) => return Err(ReasoningError::Slot { step, slot: *slot, call, source }),
                }
            }
            open = again;
        }
        replies.sort_by_key(|(slot, _)| *slot);
        Ok(replies)
    }

    /// A text with its last step ended by the limit of steps, if it has reached that.
    fn cut(&self, prefix: Prefix) -> Prefix {
        match (prefix.parent(), prefix.last_step()) {
            (Some(parent), Some(step))
                if step.finish == Finish::Step && prefix.n_steps() - self.prompt.n_steps() >= self.search.max_steps =>
            {
                parent.extended(Step { finish: Finish::MaxSteps, ..step.clone() })
            }
            _ => prefix,
        }
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

/// The seed of a slot's draw, the same one in each attempt.
fn draw_seed(seed: u64, step: usize, slot: usize) -> u64 {
    let base = Stream::keyed(seed, Purpose::Particle, step as u64, slot as u64).next_u64();
    Stream::keyed(base, Purpose::Particle, 0, 0).next_u64()
}
