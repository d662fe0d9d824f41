//! The no-U-turn sampler with its warm-up: the default for smooth posteriors.

use super::adaptive::{AdaptationConfig, TunableKernel, TunedChain, delegate_tuning};
use super::sampler::{Sampler, Transition};
use crate::adaptation::MetricForm;
use crate::error::Error;
use crate::kernels::{self, Metric, NutsConfig, NutsInfo};

/// The no-U-turn sampler: multinomial NUTS whose step size and metric are learnt in warm-up. See [`kernels::Nuts`].
///
/// | setting | default | meaning |
/// |---|---|---|
/// | `target_acceptance` | 0.8 | acceptance rate that the step size is tuned to; raised by itself if warm-up diverges |
/// | `max_tree_depth` | 10 | at most 2^depth − 1 gradients per draw |
/// | `metric` | automatic | diagonal, low-rank or dense, by the trajectory length on held-out warm-up draws |
///
/// ```
/// use posterity::mcmc::{Nuts, Run, Sampler};
/// use posterity::model::{Density, WithGradient};
/// # use posterity::DensityError;
/// struct Normal;
/// impl Density for Normal {
///     fn dim(&self) -> usize { 2 }
///     fn log_density_gradient(&self, q: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
///         (g[0], g[1]) = (-q[0], -q[1] / 9.0);
///         Ok(-0.5 * (q[0] * q[0] + q[1] * q[1] / 9.0))
///     }
/// }
/// let draws = Nuts::default().sample(&WithGradient(Normal), Run::new(1))?;
/// assert_eq!((draws.n_chains(), draws.n_draws()), (4, 1000));
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nuts {
    kernel: NutsConfig,
    adaptation: AdaptationConfig,
}

impl Default for Nuts {
    fn default() -> Self {
        Self { kernel: NutsConfig::default(), adaptation: AdaptationConfig::with_target_acceptance(0.8) }
    }
}

impl Nuts {
    /// Acceptance rate that the step size is tuned to.
    #[must_use]
    pub fn target_acceptance(mut self, target_acceptance: f64) -> Self {
        self.adaptation.step_size.target_acceptance = target_acceptance;
        self
    }

    /// Largest number of doublings of a trajectory.
    #[must_use]
    pub fn max_tree_depth(mut self, max_tree_depth: usize) -> Self {
        self.kernel.max_tree_depth = max_tree_depth;
        self
    }

    /// Form of the metric.
    #[must_use]
    pub fn metric(mut self, form: MetricForm) -> Self {
        self.adaptation.metric.form = form;
        self
    }

    /// All settings of the warm-up.
    #[must_use]
    pub fn adaptation(mut self, adaptation: AdaptationConfig) -> Self {
        self.adaptation = adaptation;
        self
    }
}

impl Sampler for Nuts {
    type Chain = TunedChain<kernels::Nuts>;

    fn name(&self) -> &'static str {
        "nuts"
    }

    fn validate(&self) -> Result<(), Error> {
        self.kernel.validate()?;
        self.adaptation.validate()
    }

    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = self.adaptation.describe();
        settings.push(("max_tree_depth".to_owned(), self.kernel.max_tree_depth.to_string()));
        settings.push(("max_energy_error".to_owned(), self.kernel.max_energy_error.to_string()));
        settings
    }

    fn chain(&self, dim: usize, n_warmup: usize) -> Result<Self::Chain, Error> {
        TunedChain::new(kernels::Nuts::new(self.kernel, Metric::identity(dim), 1.0)?, self.adaptation, n_warmup)
    }
}

impl TunableKernel for kernels::Nuts {
    const USES_GRADIENTS: bool = true;
    delegate_tuning!();

    fn record(&self, info: &NutsInfo) -> Transition {
        Transition {
            acceptance_rate: info.acceptance_rate,
            step_size: self.step_size(),
            n_evaluations: info.n_steps as u32,
            n_tuning_evaluations: 0,
            tree_depth: info.tree_depth as u32,
            reached_max_tree_depth: info.reached_max_tree_depth,
            diverging: info.diverging,
            energy: info.energy,
            energy_error: info.energy_error,
            max_energy_error: info.max_energy_error,
        }
    }
}
