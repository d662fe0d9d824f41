//! Texts pinned to a reference: what conditional sweeps ask of the model.
//!
//! ```text
//! reference x*₁:L after prefix x₁:t₋₁:   P(k) ∝ w_{t-1}^k  γ_L(x₁:t₋₁^k ∘ x*_t:L) / γ_{t-1}(x₁:t₋₁^k),    γ_t(x₁:t) = p(x₁:t) ψ_t(x₁:t)
//! ```
//! Language models and potentials see the whole prefix, so the ratio holds the log-probability of all the reference's steps to come, and the
//! potential of the whole text, after each other prefix. The familiar p(x*_t | x_{t-1}^k) of state-space models is another ratio, and a
//! kernel with it has another invariant law.
//!
//! A text that has ended stays as it is while the cloud goes on: as if it were followed by empty steps for good. So a reference that has
//! ended can be attached to ended texts only, one that goes on to texts that go on.

use std::collections::HashMap;

use super::config::Base;
use super::model::TextModel;
use super::particles::{Particle, Texts};
use crate::error::{Error, check};
use crate::reasoning::{
    Call, ContinuationRequest, ContinuationScore, Finish, Prefix, PrefixKey, ReasoningError, Scores, Step, retry,
};
use crate::smc::Pin;
use crate::weights::Status;

/// The steps of a reference that are still to come, as they are after the prefix that the reference is attached to.
#[derive(Debug, Default)]
pub(super) struct PinnedSteps {
    /// Step of the first of `steps`.
    first: usize,
    steps: Vec<Step>,
    /// The same steps after each prefix of the cloud, scored before step `scored_at`.
    scored: HashMap<PrefixKey, Vec<Step>>,
    scored_at: usize,
}

impl PinnedSteps {
    fn of(prompt: &Prefix, reference: &Prefix) -> Self {
        let steps = reference.steps().into_iter().skip(prompt.n_steps()).cloned().collect();
        Self { first: 1, steps, ..Self::default() }
    }

    /// The steps from `t` on.
    fn rest(&self, t: usize) -> &[Step] {
        self.steps.get(t.saturating_sub(self.first)..).unwrap_or_default()
    }

    /// Attaches the steps from `t` on to a prefix of the cloud.
    fn attach(&mut self, t: usize, parent: PrefixKey) -> Option<&Step> {
        if self.scored_at == t
            && let Some(steps) = self.scored.remove(&parent)
        {
            (self.first, self.steps) = (t, steps);
        }
        self.rest(t).first()
    }
}

/// Unfinished texts that are the same, by slot: each is scored once.
fn distinct(parents: &Texts) -> Vec<(&Particle, Vec<usize>)> {
    let mut groups: Vec<(&Particle, Vec<usize>)> = Vec::new();
    let mut places: HashMap<PrefixKey, usize> = HashMap::new();
    for slot in 0..crate::smc::Population::len(parents) {
        let Some(parent) = parents.get(slot).filter(|p| !p.prefix.is_finished() && p.log_psi > f64::NEG_INFINITY) else {
            continue;
        };
        let place = *places.entry(parent.prefix.key()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, slots)) => slots.push(slot),
            None => groups.push((parent, vec![slot])),
        }
    }
    groups
}

/// A step as the generator wrote it: one at which the decoder cut the text off did not end there.
fn uncut(step: &Step) -> Step {
    let finish = if step.finish == Finish::MaxSteps { Finish::Step } else { step.finish };
    Step { finish, ..step.clone() }
}

impl TextModel<'_, '_> {
    /// Scores of one text, asked for again after transient failures.
    pub(in crate::reasoning) fn scores(&mut self, text: &Prefix) -> Result<Scores, ReasoningError> {
        match retry::score(self.models, &[text], self.config.engine.max_attempts, |_, _| ())?.pop() {
            Some(Ok(scores)) => Ok(scores),
            Some(Err(source)) => Err(ReasoningError::Call { call: Call::Reward, index: 0, source }),
            None => Err(ReasoningError::Replies { call: Call::Reward, expected: 1, found: 0 }),
        }
    }

    /// The density of given steps under the target's language model, and the steps with their log-probabilities.
    fn rescored(&self, steps: &[Step], score: &ContinuationScore) -> (f64, Vec<Step>) {
        let sum = |logs: &[f64]| logs.iter().sum::<f64>();
        let log_density = match self.config.base {
            Base::Sampled => sum(&score.log_sampling),
            Base::Power(0.0) => 0.0,
            Base::Power(alpha) => alpha * sum(&score.log_model),
        };
        let logs = score.log_sampling.iter().zip(&score.log_model);
        let rescored = steps.iter().zip(logs).map(|(step, (&log_sampling, &log_model))| Step {
            log_sampling: Some(log_sampling),
            log_model: Some(log_model),
            ..step.clone()
        });
        (log_density, rescored.collect())
    }
}

impl Pin for TextModel<'_, '_> {
    /// A finished text.
    type Path = Option<Particle>;

    fn check_path(&self, path: &Option<Particle>) -> Result<(), Error> {
        let Some(text) = path else { return Err(Error::Empty { what: "reference" }) };
        let n_steps = text.prefix.n_steps();
        let is_after_prompt = text.prefix.first_steps(self.prompt.n_steps()) == &self.prompt && n_steps > self.prompt.n_steps();
        check::in_range("reference", n_steps as f64, is_after_prompt, "a text that goes on from the prompt")?;
        check::in_range("reference", n_steps as f64, text.prefix.is_finished(), "a finished text")?;
        let is_short = n_steps - self.prompt.n_steps() <= self.config.max_steps;
        check::in_range("reference", n_steps as f64, is_short, "a text of at most max_steps steps")
    }

    /// A text holds its past: the last cloud's particle is the path.
    fn copy_state(&self, t: usize, population: &Texts, slot: usize, path: &mut Option<Particle>) {
        let text = population.get(slot).filter(|text| text.prefix.is_finished());
        if let Some(text) = text.filter(|text| text.prefix.n_steps() - self.prompt.n_steps() <= t) {
            *path = Some(text.clone());
        }
    }

    fn pin(
        &mut self,
        t: usize,
        parents: Option<(&Texts, u32)>,
        children: &mut Texts,
        slot: usize,
        reference: &Option<Particle>,
    ) -> Result<(f64, Status), ReasoningError> {
        let Some((parents, ancestor)) = parents else {
            if let Some(text) = reference {
                self.pinned = PinnedSteps::of(&self.prompt, &text.prefix);
            }
            children.set(slot, self.start());
            return Ok((0.0, Status::Live));
        };
        let Some(parent) = parents.get(ancestor as usize) else { return Ok((f64::NEG_INFINITY, Status::Frozen)) };
        if parent.prefix.is_finished() {
            children.set(slot, parent.clone());
            return Ok((0.0, Status::Frozen));
        }
        let Some(step) = self.pinned.attach(t, parent.prefix.key()) else {
            // Never an ancestor: a reference that has ended has density zero after a text that has not.
            children.set(slot, parent.clone());
            return Ok((f64::NEG_INFINITY, Status::Frozen));
        };
        let prefix = parent.prefix.extended(step.clone());
        let scores = self.scores(&prefix)?;
        let particle = self.particle(prefix, scores);
        let log_increment = self.log_increment(&particle, parent.log_psi)?;
        let status = if particle.prefix.is_finished() { Status::Frozen } else { Status::Live };
        children.set(slot, particle);
        Ok((log_increment, status))
    }

    fn log_connection(
        &mut self,
        t: usize,
        parents: &Texts,
        _reference: &Option<Particle>,
        out: &mut [f64],
    ) -> Result<bool, ReasoningError> {
        if !self.models.can_score() {
            return Ok(false);
        }
        out.fill(f64::NEG_INFINITY);
        let steps = self.pinned.rest(t).to_vec();
        if steps.is_empty() {
            for (slot, out) in out.iter_mut().enumerate() {
                if parents.get(slot).is_some_and(|parent| parent.prefix.is_finished()) {
                    *out = 0.0;
                }
            }
            return Ok(true);
        }
        let groups = distinct(parents);
        if let [(_, slots)] = groups.as_slice() {
            // All of them have the reference's own past.
            for &slot in slots {
                out[slot] = 0.0;
            }
            return Ok(true);
        }
        let asked: Vec<Step> = steps.iter().map(uncut).collect();
        let asked: Vec<&Step> = asked.iter().collect();
        let requests: Vec<_> =
            groups.iter().map(|(parent, _)| ContinuationRequest { prefix: &parent.prefix, steps: &asked }).collect();
        let scores = retry::score_steps(self.models, &requests, self.config.engine.max_attempts, |_, _| ())?;
        self.pinned.scored.clear();
        self.pinned.scored_at = t;
        let mut possible = Vec::new();
        for (index, ((parent, slots), score)) in groups.iter().zip(scores).enumerate() {
            let score = score.map_err(|source| ReasoningError::Call { call: Call::Score, index, source })?;
            let (log_density, steps) = self.rescored(&steps, &score);
            if log_density > f64::NEG_INFINITY {
                possible.push((*parent, slots, log_density, parent.prefix.extended_by(&steps)));
            }
            self.pinned.scored.insert(parent.prefix.key(), steps);
        }
        let texts: Vec<&Prefix> = possible.iter().map(|(.., text)| text).collect();
        let rewards = retry::score(self.models, &texts, self.config.engine.max_attempts, |_, _| ())?;
        for (index, ((parent, slots, log_density, text), reply)) in possible.iter().zip(rewards).enumerate() {
            let scores = reply.map_err(|source| ReasoningError::Call { call: Call::Reward, index, source })?;
            let log_psi = self.particle(text.clone(), scores).log_psi;
            for &slot in *slots {
                out[slot] = log_density + log_psi - parent.log_psi;
            }
        }
        Ok(true)
    }
}
