//! Conditional sweeps over texts, one after the other, on one pair of models.

use rand::rand_core::Rng;

use super::GibbsConfig;
use crate::error::check;
use crate::reasoning::decoder::{FailedSlot, Particle, TextModel};
use crate::reasoning::pool::Pool;
use crate::reasoning::{Call, Ledger, Models, Potential, Prefix, ReasoningError};
use crate::rng::{Purpose, Stream};
use crate::smc::{ConditionalSmc, PathSampling, SmcError, SweepInfo};

/// Where a chain starts.
pub(in crate::reasoning) enum Start {
    At(Particle),
    /// Nowhere: the budget did not cover a first text.
    OverBudget,
}

/// The kernel of conditional sweeps.
pub(in crate::reasoning) struct Sweeps<'m, 'a> {
    kernel: ConditionalSmc<TextModel<'m, 'a>>,
    seed: u64,
    n_dropped: usize,
}

impl<'m, 'a> Sweeps<'m, 'a> {
    pub(in crate::reasoning) fn new(
        models: &'m mut Models<'a>,
        config: &GibbsConfig,
        prompt: &Prefix,
    ) -> Result<Self, ReasoningError> {
        let model = TextModel::new(models, config.decoder.clone(), prompt.clone());
        let path_sampling = if config.ancestor_sampling { PathSampling::Ancestor } else { PathSampling::Genealogy };
        let kernel = ConditionalSmc::with_engine(model, config.decoder.engine.clone(), path_sampling)?;
        Ok(Self { kernel, seed: config.decoder.seed, n_dropped: 0 })
    }

    /// Sweeps have another potential from now on.
    pub(in crate::reasoning) fn set_potential(&mut self, potential: &Potential) {
        self.kernel.model_mut().config.potential = potential.clone();
    }

    /// A text weighed by the present potential.
    pub(in crate::reasoning) fn weighed(&self, text: &Particle) -> Particle {
        self.kernel.model().particle(text.prefix.clone(), text.scores.clone())
    }

    /// The given text with its scores, or one of a particle decoder.
    pub(in crate::reasoning) fn start(&mut self, given: Option<&Prefix>, chain: u64) -> Result<Start, ReasoningError> {
        let seed = self.sweep_seed(chain, 0);
        let model = self.kernel.model_mut();
        if let Some(prefix) = given {
            let scores = match model.models.score(&[prefix])?.pop() {
                Some(Ok(scores)) => scores,
                Some(Err(source)) => return Err(ReasoningError::Call { call: Call::Reward, index: 0, source }),
                None => return Err(ReasoningError::Replies { call: Call::Reward, expected: 1, found: 0 }),
            };
            let text = model.particle(prefix.clone(), scores);
            let log_weight = model.log_increment(&text, 0.0)?;
            check::in_range("start", log_weight, log_weight > f64::NEG_INFINITY, "a text of positive probability")?;
            return Ok(Start::At(text));
        }
        let path = match self.kernel.first_path(seed) {
            Err(SmcError::Model { source: ReasoningError::Budget { .. }, .. }) => return Ok(Start::OverBudget),
            path => path?,
        };
        self.n_dropped += self.kernel.engine().summary().n_killed;
        Ok(match path {
            Some(text) if !self.kernel.model().is_over_budget() => Start::At(text),
            _ => Start::OverBudget,
        })
    }

    /// Replaces the text by a new one; `None` if the budget ended before the sweep did: the text is then as before.
    pub(in crate::reasoning) fn sweep(
        &mut self,
        text: &mut Particle,
        chain: u64,
        sweep: u64,
    ) -> Result<Option<SweepInfo>, ReasoningError> {
        let mut path = Some(text.clone());
        let seed = self.sweep_seed(chain, sweep);
        let info = match self.kernel.sweep(&mut path, seed) {
            Ok(info) => info,
            Err(SmcError::Model { source: ReasoningError::Budget { .. }, .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.n_dropped += self.kernel.engine().summary().n_killed;
        if self.kernel.model().is_over_budget() {
            return Ok(None);
        }
        if let Some(new) = path {
            *text = new;
        }
        Ok(Some(info))
    }

    /// Adds the last cloud's texts by their weights, which sum to 1.
    pub(in crate::reasoning) fn pool_cloud(&self, pool: &mut Pool) {
        let view = self.kernel.engine().view();
        for (text, weight) in view.population.iter().zip(view.weights.normalised()) {
            pool.add(text, weight);
        }
    }

    /// Costs, failed calls, and the number of particles dropped for them.
    pub(in crate::reasoning) fn finish(mut self) -> (Ledger, Vec<FailedSlot>, usize) {
        let model = self.kernel.model_mut();
        (model.models.ledger(), model.take_failed(), self.n_dropped)
    }

    fn sweep_seed(&self, chain: u64, sweep: u64) -> u64 {
        Stream::keyed(self.seed, Purpose::Chain, sweep, chain).next_u64()
    }
}
