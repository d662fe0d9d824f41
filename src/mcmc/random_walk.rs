//! Random-walk Metropolis with its warm-up.

use super::adaptive::{AdaptationConfig, TunableKernel, TunedChain, delegate_tuning};
use super::sampler::{Sampler, Transition};
use crate::error::Error;
use crate::kernels::{self, Metric, RandomWalkInfo};

/// Random-walk Metropolis with normal proposals of the shape of the posterior's covariance, learnt in warm-up. See
/// [`kernels::RandomWalk`]. It uses no gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomWalk {
    adaptation: AdaptationConfig,
}

impl Default for RandomWalk {
    /// Target acceptance 0.234, optimal in high dimension (Gelman, Gilks & Roberts 1997, <https://doi.org/10.1214/aoap/1034625254>).
    fn default() -> Self {
        let mut adaptation = AdaptationConfig::with_target_acceptance(0.234);
        adaptation.max_target_acceptance = 0.234;
        Self { adaptation }
    }
}

impl RandomWalk {
    /// Acceptance rate that the step size is tuned to; 0.234.
    #[must_use]
    pub fn target_acceptance(mut self, target_acceptance: f64) -> Self {
        self.adaptation.step_size.target_acceptance = target_acceptance;
        self
    }
}

impl Sampler for RandomWalk {
    type Chain = TunedChain<kernels::RandomWalk>;

    fn name(&self) -> &'static str {
        "random_walk"
    }

    fn validate(&self) -> Result<(), Error> {
        self.adaptation.validate()
    }

    fn settings(&self) -> Vec<(String, String)> {
        self.adaptation.describe()
    }

    fn chain(&self, dim: usize, n_warmup: usize) -> Result<Self::Chain, Error> {
        // 2.38/√d times the posterior's covariance is the optimal scale for a normal.
        let step_size = 2.38 / (dim.max(1) as f64).sqrt();
        TunedChain::new(kernels::RandomWalk::new(Metric::identity(dim), step_size)?, self.adaptation, n_warmup)
    }
}

impl TunableKernel for kernels::RandomWalk {
    const USES_GRADIENTS: bool = false;
    delegate_tuning!();

    fn record(&self, info: &RandomWalkInfo) -> Transition {
        Transition {
            acceptance_rate: info.acceptance_rate,
            step_size: self.step_size(),
            n_evaluations: 1,
            n_tuning_evaluations: 0,
            tree_depth: 0,
            reached_max_tree_depth: false,
            diverging: info.failed,
            energy: f64::NAN,
            energy_error: f64::NAN,
            max_energy_error: f64::NAN,
        }
    }
}
