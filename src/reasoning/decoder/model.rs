//! The Feynman-Kac model of texts: a language model proposes, a potential of rewards weighs.

use std::sync::Arc;

use rand::rand_core::Rng;

use super::config::{Base, DecoderConfig, ForcedEnd, Weighting};
use super::particles::{Particle, Texts};
use super::pin::PinnedSteps;
use crate::math::log_sum_exp;
use crate::parallel::Threads;
use crate::reasoning::models::{Draw, Models};
use crate::reasoning::{Call, CallError, Prefix, ReasoningError, Scores, Severity};
use crate::rng::Stream;
use crate::smc::{Ahead, FeynmanKac, Move, Moved, Plan, Streams, View};
use crate::weights::{Resample, Status};

/// Texts as a Feynman-Kac model.
///
/// ```text
/// step 0:  the prompt, log G₀ = 0
/// step t:  x_t ~ q(· | x₁:t₋₁),   log G_t = log ψ_t(x₁:t) - log ψ_{t-1}(x₁:t₋₁) + α log p(x_t | ·) - log q(x_t | ·)
/// ```
/// The last two terms are there when the target holds another language model than the proposal. Finished texts are frozen. A step costs one
/// call of the generator and one of the reward model, whatever the number of particles.
pub struct TextModel<'m, 'a> {
    pub(in crate::reasoning) models: &'m mut Models<'a>,
    pub(in crate::reasoning) config: DecoderConfig,
    pub(in crate::reasoning) prompt: Prefix,
    failed: Vec<FailedSlot>,
    is_over_budget: bool,
    /// What is left of the reference of a conditional sweep.
    pub(super) pinned: PinnedSteps,
}

/// A model call of one slot that failed.
#[derive(Debug)]
pub struct FailedSlot {
    /// The step.
    pub step: usize,
    /// The slot.
    pub slot: usize,
    /// What was asked.
    pub call: Call,
    /// Why it failed.
    pub error: CallError,
}

/// A candidate for a slot's next text.
struct Candidate {
    slot: usize,
    particle: Particle,
    log_increment: f64,
}

impl<'m, 'a> TextModel<'m, 'a> {
    /// Texts that go on from a prompt.
    pub fn new(models: &'m mut Models<'a>, config: DecoderConfig, prompt: Prefix) -> Self {
        Self { models, config, prompt, failed: Vec::new(), is_over_budget: false, pinned: PinnedSteps::default() }
    }

    /// Model calls that failed so far, those that a later attempt mended included.
    #[must_use]
    pub fn failed(&self) -> &[FailedSlot] {
        &self.failed
    }

    /// True if the run stopped because its budget did not cover another step.
    #[must_use]
    pub fn is_over_budget(&self) -> bool {
        self.is_over_budget
    }

    pub(super) fn into_failed(self) -> Vec<FailedSlot> {
        self.failed
    }

    /// The failures so far, which are then forgotten.
    pub(in crate::reasoning) fn take_failed(&mut self) -> Vec<FailedSlot> {
        std::mem::take(&mut self.failed)
    }

    /// The prompt as a particle.
    #[must_use]
    pub fn start(&self) -> Particle {
        Particle { prefix: self.prompt.clone(), scores: Arc::new([]), log_psi: 0.0 }
    }

    /// A text with its last step ended by the limit of steps, if it has reached that.
    pub(in crate::reasoning) fn cut(&self, prefix: Prefix) -> Prefix {
        prefix.cut_at(self.prompt.n_steps().saturating_add(self.config.max_steps))
    }

    /// log G of the last step of a text, after its parent with `log_psi_before`.
    pub(in crate::reasoning) fn log_increment(&self, particle: &Particle, log_psi_before: f64) -> Result<f64, ReasoningError> {
        let Some(step) = particle.prefix.last_step() else { return Ok(0.0) };
        if step.finish.is_forced() && self.config.forced_end == ForcedEnd::Reject {
            return Ok(f64::NEG_INFINITY);
        }
        let base = match self.config.base {
            Base::Sampled => 0.0,
            Base::Power(alpha) => {
                let log_model =
                    step.log_model.ok_or(ReasoningError::NoLogProbability { what: "the model's log-probability of a step" })?;
                let log_sampling = step
                    .log_sampling
                    .ok_or(ReasoningError::NoLogProbability { what: "the log-probability of a step as it was drawn" })?;
                alpha * log_model - log_sampling
            }
        };
        let before = if self.config.weighting == Weighting::Telescoping { log_psi_before } else { 0.0 };
        Ok(base + particle.log_psi - before)
    }

    /// A text with its scores and potential.
    pub(in crate::reasoning) fn particle(&self, prefix: Prefix, scores: Arc<[f64]>) -> Particle {
        let log_psi = self.config.potential.log_psi(self.models.scale(), &scores, prefix.is_finished());
        Particle { prefix, scores, log_psi }
    }

    /// Notes a failure, and what becomes of the slot: it waits for another attempt, or has failed.
    fn note(&mut self, failed: FailedSlot, may_wait: bool, status: &mut [Status]) {
        let waits = may_wait && failed.error.severity() == Severity::Transient;
        if status[failed.slot] != Status::Failed {
            status[failed.slot] = if waits { Status::Pending } else { Status::Failed };
        }
        self.failed.push(failed);
    }

    /// Draws the candidates of some slots: parents and slots in order.
    fn draw(
        &mut self,
        t: usize,
        parents: &[(usize, Particle)],
        streams: Streams,
        may_wait: bool,
        status: &mut [Status],
    ) -> Result<Vec<(usize, Prefix)>, ReasoningError> {
        let k = self.config.n_candidates;
        let mut slots = Vec::with_capacity(parents.len() * k);
        let mut draws = Vec::with_capacity(parents.len() * k);
        for (slot, parent) in parents {
            for c in 0..k {
                slots.push(*slot);
                draws.push(Draw::new(&parent.prefix, draw_seed(streams, *slot, c)));
            }
        }
        if self.config.potential.needs_scores() {
            self.models.check_rewards(&draws, |prefix| self.cut(prefix), [])?;
        }
        let replies = self.models.extend(&draws)?;
        let mut drawn = Vec::with_capacity(replies.len());
        for (slot, reply) in slots.into_iter().zip(replies) {
            match reply {
                Ok(prefix) => drawn.push((slot, self.cut(prefix))),
                Err(error) => self.note(FailedSlot { step: t, slot, call: Call::Generate, error }, may_wait, status),
            }
        }
        // A slot waits until all its candidates are there; those that are will cost nothing then.
        drawn.retain(|&(slot, _)| status[slot] == Status::Live);
        Ok(drawn)
    }

    /// Scores drawn texts and weighs them.
    fn weigh(
        &mut self,
        t: usize,
        drawn: Vec<(usize, Prefix)>,
        parents: &[(usize, Particle)],
        may_wait: bool,
        status: &mut [Status],
    ) -> Result<Vec<Candidate>, ReasoningError> {
        let prefixes: Vec<_> = drawn.iter().map(|(_, prefix)| prefix).collect();
        let replies = if self.config.potential.needs_scores() {
            self.models.score(&prefixes)?
        } else {
            prefixes.iter().map(|_| Ok(Scores::from([]))).collect()
        };
        let mut candidates = Vec::with_capacity(replies.len());
        for ((slot, prefix), reply) in drawn.into_iter().zip(replies) {
            match reply {
                Ok(scores) => {
                    let particle = self.particle(prefix, scores);
                    let parent = parents.binary_search_by_key(&slot, |(slot, _)| *slot);
                    let log_psi_before = parent.map_or(0.0, |place| parents[place].1.log_psi);
                    let log_increment = self.log_increment(&particle, log_psi_before)?;
                    candidates.push(Candidate { slot, particle, log_increment });
                }
                Err(error) => self.note(FailedSlot { step: t, slot, call: Call::Reward, error }, may_wait, status),
            }
        }
        candidates.retain(|candidate| status[candidate.slot] == Status::Live);
        Ok(candidates)
    }

    /// Draws and weighs the candidates of some slots.
    fn advance(
        &mut self,
        t: usize,
        parents: &[(usize, Particle)],
        streams: Streams,
        may_wait: bool,
        status: &mut [Status],
    ) -> Result<Vec<Candidate>, ReasoningError> {
        let drawn = self.draw(t, parents, streams, may_wait, status)?;
        self.weigh(t, drawn, parents, may_wait, status)
    }
}

impl FeynmanKac for TextModel<'_, '_> {
    type Population = Texts;
    type Error = ReasoningError;

    fn init(&mut self, to: Moved<'_, Texts>, _streams: Streams, _threads: &Threads) -> Result<(), ReasoningError> {
        let start = self.start();
        for slot in 0..to.log_increments.len() {
            to.children.set(slot, start.clone());
        }
        to.log_increments.fill(0.0);
        Ok(())
    }

    fn plan(&mut self, t: usize, view: View<'_, Texts>, _ahead: Ahead<'_>) -> Result<Plan, ReasoningError> {
        let to_go = view
            .population
            .iter()
            .zip(view.weights.log_weights)
            .filter(|(text, w)| !text.prefix.is_finished() && **w > f64::NEG_INFINITY);
        self.is_over_budget = false;
        if to_go.count() == 0 {
            return Ok(Plan::stop());
        }
        // The cloud before the first step is N times the prompt: nothing to choose from.
        let resample = if t == 1 { Resample::Never } else { Resample::Auto };
        Ok(Plan { resample, ..Plan::default() })
    }

    fn step(&mut self, from: Move<'_, Texts>, to: Moved<'_, Texts>) -> Result<(), ReasoningError> {
        let mut parents = Vec::new();
        for slot in from.slots.iter() {
            let ancestor = from.ancestors[slot / from.copies] as usize;
            let Some(parent) = from.parents.get(ancestor) else { continue };
            let is_dead = !from.resampled && from.weights.log_weights[ancestor] == f64::NEG_INFINITY;
            if is_dead || parent.prefix.is_finished() {
                // Only the presets that weigh finished texts again leave those live.
                to.log_increments[slot] = if is_dead { 0.0 } else { parent.log_psi };
                to.children.set(slot, parent.clone());
                continue;
            }
            parents.push((slot, parent.clone()));
        }
        // Where failed slots may be dropped, those that failed in every attempt are.
        let may_wait = !self.config.engine.kill_failed || from.attempt + 1 < self.config.engine.max_attempts;
        let candidates = match self.advance(from.t, &parents, from.streams, may_wait, to.status) {
            Err(error) => {
                self.is_over_budget = matches!(error, ReasoningError::Budget { .. });
                return Err(error);
            }
            Ok(candidates) => candidates,
        };
        let is_frozen_at_end = self.config.weighting != (Weighting::PerRound { reweight_finished: true });
        for family in candidates.chunk_by(|a, b| a.slot == b.slot) {
            let slot = family[0].slot;
            let (chosen, log_increment) = choose(family, &mut from.streams.slot(slot));
            to.log_increments[slot] = log_increment;
            if chosen.particle.prefix.is_finished() && is_frozen_at_end {
                to.status[slot] = Status::Frozen;
            }
            to.children.set(slot, chosen.particle.clone());
        }
        Ok(())
    }
}

impl std::fmt::Debug for TextModel<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextModel").field("config", &self.config).field("prompt", &self.prompt).finish_non_exhaustive()
    }
}

/// The seed of a slot's draw: another one for each candidate, the same one in each attempt.
fn draw_seed(streams: Streams, slot: usize, candidate: usize) -> u64 {
    let base = streams.slot(slot).next_u64();
    Stream::keyed(base, crate::rng::Purpose::Particle, candidate as u64, 0).next_u64()
}

/// Draws one of a slot's candidates in proportion to its increment; the slot's increment is their mean.
fn choose<'c>(family: &'c [Candidate], stream: &mut Stream) -> (&'c Candidate, f64) {
    let [only] = family else {
        let logs: Vec<f64> = family.iter().map(|candidate| candidate.log_increment).collect();
        let total = log_sum_exp(&logs);
        let u = stream.uniform();
        let mut sum = 0.0;
        let mut chosen = 0;
        for (i, log) in logs.iter().enumerate() {
            let weight = (log - total).exp();
            if weight > 0.0 {
                chosen = i;
                sum += weight;
                if u < sum {
                    break;
                }
            }
        }
        return (&family[chosen], total - (family.len() as f64).ln());
    };
    (only, only.log_increment)
}
