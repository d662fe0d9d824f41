//! Static Hamiltonian Monte Carlo with its warm-up.

use super::adaptive::{AdaptationConfig, TunableKernel, TunedChain, delegate_tuning};
use super::sampler::{Sampler, Transition};
use crate::adaptation::MetricForm;
use crate::error::Error;
use crate::kernels::{self, HmcConfig, HmcInfo, Metric};

/// Hamiltonian Monte Carlo with jittered trajectories of a fixed mean length; step size and metric are learnt in warm-up. See
/// [`kernels::Hmc`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hmc {
    kernel: HmcConfig,
    adaptation: AdaptationConfig,
}

impl Default for Hmc {
    fn default() -> Self {
        Self { kernel: HmcConfig::default(), adaptation: AdaptationConfig::with_target_acceptance(0.8) }
    }
}

impl Hmc {
    /// Length and jitter of the trajectories.
    #[must_use]
    pub fn trajectory(mut self, trajectory: HmcConfig) -> Self {
        self.kernel = trajectory;
        self
    }

    /// Acceptance rate that the step size is tuned to; 0.8.
    #[must_use]
    pub fn target_acceptance(mut self, target_acceptance: f64) -> Self {
        self.adaptation.step_size.target_acceptance = target_acceptance;
        self
    }

    /// Form of the metric.
    #[must_use]
    pub fn metric(mut self, form: MetricForm) -> Self {
        self.adaptation.metric.form = form;
        self
    }
}

impl Sampler for Hmc {
    type Chain = TunedChain<kernels::Hmc>;

    fn name(&self) -> &'static str {
        "hmc"
    }

    fn validate(&self) -> Result<(), Error> {
        self.kernel.validate()?;
        self.adaptation.validate()
    }

    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = self.adaptation.describe();
        settings.push(("trajectory_length".to_owned(), format!("{:?}", self.kernel.length)));
        settings.push(("jitter".to_owned(), self.kernel.jitter.to_string()));
        settings.push(("max_steps".to_owned(), self.kernel.max_steps.to_string()));
        settings.push(("max_energy_error".to_owned(), self.kernel.max_energy_error.to_string()));
        settings
    }

    fn chain(&self, dim: usize, n_warmup: usize) -> Result<Self::Chain, Error> {
        TunedChain::new(kernels::Hmc::new(self.kernel, Metric::identity(dim), 1.0)?, self.adaptation, n_warmup)
    }
}

impl TunableKernel for kernels::Hmc {
    const USES_GRADIENTS: bool = true;
    delegate_tuning!();

    fn record(&self, info: &HmcInfo) -> Transition {
        Transition {
            acceptance_rate: info.acceptance_rate,
            step_size: self.step_size(),
            n_evaluations: info.n_steps as u32,
            n_tuning_evaluations: 0,
            tree_depth: 0,
            reached_max_tree_depth: false,
            diverging: info.diverging,
            energy: info.energy,
            energy_error: info.energy_error,
        }
    }
}
