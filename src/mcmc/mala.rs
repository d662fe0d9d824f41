//! The Metropolis-adjusted Langevin algorithm with its warm-up.

use super::adaptive::{AdaptationConfig, TunableKernel, TunedChain, delegate_tuning};
use super::sampler::{Sampler, Transition};
use crate::adaptation::MetricForm;
use crate::error::Error;
use crate::kernels::{self, MalaInfo, Metric};

/// MALA, preconditioned by the metric; step size and metric are learnt in warm-up. See [`kernels::Mala`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mala {
    adaptation: AdaptationConfig,
}

impl Default for Mala {
    /// Target acceptance 0.574, optimal in high dimension (Roberts & Rosenthal 1998, <https://doi.org/10.1111/1467-9868.00123>).
    fn default() -> Self {
        let mut adaptation = AdaptationConfig::with_target_acceptance(0.574);
        adaptation.max_target_acceptance = 0.574;
        Self { adaptation }
    }
}

impl Mala {
    /// Acceptance rate that the step size is tuned to; 0.574.
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

impl Sampler for Mala {
    type Chain = TunedChain<kernels::Mala>;

    fn name(&self) -> &'static str {
        "mala"
    }

    fn validate(&self) -> Result<(), Error> {
        self.adaptation.validate()
    }

    fn settings(&self) -> Vec<(String, String)> {
        self.adaptation.describe()
    }

    fn chain(&self, dim: usize, n_warmup: usize) -> Result<Self::Chain, Error> {
        TunedChain::new(kernels::Mala::new(Metric::identity(dim), 1.0)?, self.adaptation, n_warmup)
    }
}

impl TunableKernel for kernels::Mala {
    const USES_GRADIENTS: bool = true;
    delegate_tuning!();

    fn record(&self, info: &MalaInfo) -> Transition {
        Transition {
            acceptance_rate: info.acceptance_rate,
            step_size: self.step_size(),
            n_evaluations: 1,
            n_tuning_evaluations: 0,
            tree_depth: 0,
            reached_max_tree_depth: false,
            diverging: info.diverging,
            energy: f64::NAN,
            energy_error: f64::NAN,
            max_energy_error: f64::NAN,
        }
    }
}
