//! The particle decoder: sequential Monte Carlo over a language model's steps.
//!
//! ```text
//! target over finished texts:  π(x) = p(x) ψ_T(x) / Z          p: the sampling prior,  ψ: a potential of the reward model's scores
//! step t:                      resample; x_t ~ p(· | x₁:t₋₁);  w ← w ψ_t(x₁:t) / ψ_{t-1}(x₁:t₋₁)
//! ```
//! Finished texts keep their weight and take part in resampling. Ẑ, the mean weight, is unbiased for Z at any number of particles; weighted
//! means, and so accuracies, are consistent with a bias of order 1/N, not unbiased.
//!
//! Cost: per step one batch of generations and one of scores, none for finished texts. Not for models whose rewards say nothing before the
//! end: there it is importance sampling with more variance; use [`Potential::terminal`](super::Potential::terminal).
//!
//! Sources: I. Puri et al. 2025, arXiv:2502.01618 (particle filtering with a process reward model); A. K. Lew et al. 2023, arXiv:2306.03081,
//! and J. Loula et al. 2025, arXiv:2504.13139 (sequential Monte Carlo steering with carried weights); P. Del Moral, A. Doucet and A. Jasra
//! 2006, doi:10.1111/j.1467-9868.2006.00553.x.

mod config;
mod model;
mod particles;
mod pin;
mod result;

pub(in crate::reasoning) use config::Weighting;
pub use config::{Base, DecoderConfig, ForcedEnd};
pub use model::{FailedSlot, TextModel};
pub use particles::{Particle, Texts};
pub use result::{Decoded, Evidence, StepRecord, Stopped, WeightedText};

use super::error::ReasoningError;
use super::jsonl::RunHeader;
use super::models::Models;
use super::prefix::Prefix;
use crate::smc::{Smc, SmcError};

/// Decodes by particles; see the [module](self).
///
/// ```
/// use posterity::reasoning::{Decoder, DecoderConfig, Models, Potential, Prefix, TableModel};
/// let table = TableModel::two_step_example();
/// let (mut generator, mut rewards) = (table.clone(), table);
/// let decoder = Decoder::new(DecoderConfig::new(1000, 1).potential(Potential::product()));
/// let decoded = decoder.decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""))?;
/// let evidence = decoded.evidence.unwrap();
/// assert!((evidence.log - 0.357_f64.ln()).abs() < 0.1);
/// # Ok::<(), posterity::reasoning::ReasoningError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Decoder {
    config: DecoderConfig,
}

impl Decoder {
    /// A decoder with these settings.
    #[must_use]
    pub fn new(config: DecoderConfig) -> Self {
        Self { config }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Decodes from a prompt, until every text is finished or the budget is spent.
    ///
    /// # Errors
    /// [`ReasoningError`], with the step and slot where one slot failed. What was paid for is kept by `models`: decoding again with the same
    /// `models` goes on where this one stopped.
    pub fn decode(&self, models: &mut Models<'_>, prompt: &Prefix) -> Result<Decoded, ReasoningError> {
        self.config.validate(models.scale())?;
        let target = self.config.target(&models.sampling_prior().model);
        let prior = models.sampling_prior().clone();
        let model = TextModel::new(models, self.config.clone(), prompt.clone());
        let mut smc = Smc::new(model, self.config.engine.clone())?;
        let mut steps = Vec::new();
        let is_over_budget = loop {
            match smc.step() {
                Ok(Some(info)) if info.t == 0 => {}
                Ok(Some(info)) => steps.push(StepRecord::of(&smc.snapshot(info))),
                Ok(None) => break smc.model().is_over_budget(),
                // The cloud is what it was before the step.
                Err(SmcError::Model { source: ReasoningError::Budget { .. }, .. }) => break true,
                Err(error) => return Err(explained(error, smc.into_model().into_failed())),
            }
        };
        Ok(Decoded::of(smc, steps, target, prior, if is_over_budget { Stopped::Budget } else { Stopped::Finished }))
    }

    /// What a run with these models is, for its [`Journal`](super::Journal) and its [`Trace`](super::Trace).
    #[must_use]
    pub fn header(&self, models: &Models<'_>, prompt: &Prefix) -> RunHeader {
        RunHeader::new("decoder", models, prompt, self.config.seed)
            .target(self.config.target(&models.sampling_prior().model))
            .setting("n_particles", self.config.n_particles)
            .setting("n_candidates", self.config.n_candidates)
            .setting("max_steps", self.config.max_steps)
            .setting("scheme", self.config.engine.weights.scheme.to_string())
            .setting("ess_threshold", self.config.engine.weights.ess_threshold)
            .setting("clip", self.config.potential.least())
            .setting("rejects_forced_end", self.config.forced_end == ForcedEnd::Reject)
            .setting("drop_failed", self.config.engine.kill_failed)
    }
}

/// An error of the engine, with the model call that caused it if one did.
pub(in crate::reasoning) fn explained(error: SmcError<ReasoningError>, failed: Vec<FailedSlot>) -> ReasoningError {
    match error {
        SmcError::SlotFailed { step, slot } | SmcError::Pending { step, slot, .. } => {
            match failed.into_iter().rfind(|failed| failed.step == step && failed.slot == slot as usize) {
                Some(FailedSlot { step, slot, call, error: source }) => ReasoningError::Slot { step, slot, call, source },
                None => error.into(),
            }
        }
        error => error.into(),
    }
}
