//! The warm-up that all samplers share: step size by dual averaging, metric by windows.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::sampler::{AdaptiveChain, Transition};
use super::warmup::Tuning;
use crate::adaptation::{
    DrawBuffer, DualAveraging, DualAveragingConfig, MetricEstimateConfig, MetricForm, Windows, covariance_metric,
    estimate_metric, metric_from_gradient,
};
use crate::error::{DensityError, Error};
use crate::kernels::{Kernel, Metric, State, StepSizeSearch, initial_step_size};
use crate::model::LogDensityGradient;
use crate::rng::Stream;

/// A kernel with a step size and a metric.
pub trait TunableKernel: Kernel + Serialize + DeserializeOwned + Send {
    /// True if the kernel uses gradients.
    const USES_GRADIENTS: bool;

    /// The step size.
    fn step_size(&self) -> f64;
    /// Changes the step size.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless it is positive and finite.
    fn set_step_size(&mut self, step_size: f64) -> Result<(), Error>;
    /// The metric.
    fn metric(&self) -> &Metric;
    /// Changes the metric.
    ///
    /// # Errors
    /// [`Error::Dimension`] for another dimension.
    fn set_metric(&mut self, metric: Metric) -> Result<(), Error>;
    /// What is recorded of a transition.
    fn record(&self, info: &Self::Info) -> Transition;
}

/// Settings of the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdaptationConfig {
    /// The search for the step size.
    pub step_size: DualAveragingConfig,
    /// The metric's estimate.
    pub metric: MetricEstimateConfig,
    /// Where trajectories diverge in the last part of the warm-up, or no metric fits the posterior, the target acceptance rate is raised, up to
    /// this; 0.99. At most `step_size.target_acceptance` switches it off.
    pub max_target_acceptance: f64,
}

impl AdaptationConfig {
    /// The default settings with another target acceptance rate.
    #[must_use]
    pub fn with_target_acceptance(target_acceptance: f64) -> Self {
        Self {
            step_size: DualAveragingConfig { target_acceptance, ..DualAveragingConfig::default() },
            metric: MetricEstimateConfig::default(),
            max_target_acceptance: 0.99,
        }
    }

    /// The settings by name.
    pub(super) fn describe(&self) -> Vec<(String, String)> {
        let pair = |name: &str, value: String| (name.to_owned(), value);
        vec![
            pair("target_acceptance", self.step_size.target_acceptance.to_string()),
            pair("max_target_acceptance", self.max_target_acceptance.to_string()),
            pair("metric", format!("{:?}", self.metric.form)),
            pair("metric_cutoff", self.metric.cutoff.to_string()),
            pair("metric_max_dense_dim", self.metric.max_dense_dim.to_string()),
            pair("metric_max_rank", self.metric.max_rank.to_string()),
            pair("dual_averaging_gamma", self.step_size.gamma.to_string()),
            pair("dual_averaging_t0", self.step_size.t0.to_string()),
            pair("dual_averaging_kappa", self.step_size.kappa.to_string()),
            pair("dual_averaging_pull", self.step_size.pull.to_string()),
        ]
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first one out of range.
    pub fn validate(&self) -> Result<(), Error> {
        self.step_size.validate()?;
        self.metric.validate()?;
        crate::error::check::open_unit("max_target_acceptance", self.max_target_acceptance)
    }
}

/// A kernel under adaptation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TunedChain<K> {
    kernel: K,
    config: AdaptationConfig,
    averaging: DualAveraging,
    windows: Windows,
    buffer: DrawBuffer,
    n_warmup: usize,
    divergences: usize,
}

/// Target acceptance rate where no metric makes the posterior round: small steps do not skip narrow places.
const HARD_TARGET_ACCEPTANCE: f64 = 0.95;
/// Numbers kept for the metric's estimate at most: bounds the memory of long vectors.
const MAX_BUFFERED_NUMBERS: usize = 4_000_000;

impl<K: TunableKernel> TunedChain<K> {
    pub(super) fn new(kernel: K, config: AdaptationConfig, n_warmup: usize) -> Result<Self, Error> {
        config.validate()?;
        let averaging = DualAveraging::new(config.step_size, kernel.step_size())?;
        let buffer = DrawBuffer::new(kernel.metric().dim());
        Ok(Self { kernel, config, averaging, windows: Windows::new(n_warmup), buffer, n_warmup, divergences: 0 })
    }

    /// Number of latest draws kept.
    fn capacity(&self) -> usize {
        (MAX_BUFFERED_NUMBERS / self.kernel.metric().dim().max(1)).max(100)
    }

    /// Starts the search for the step size anew, from a step that is accepted about as often as wanted.
    fn restart_step_size(
        &mut self,
        state: &mut State,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
    ) -> Result<u32, Error> {
        let mut counted = Counted { target, n_evaluations: 0 };
        if K::USES_GRADIENTS {
            let search = StepSizeSearch { first: self.kernel.step_size(), ..StepSizeSearch::default() };
            match initial_step_size(&search, state, &mut counted, self.kernel.metric(), rng) {
                Ok(step_size) => self.kernel.set_step_size(step_size)?,
                // A flat density: any step size will do.
                Err(Error::NoStepSize { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.averaging.restart(self.kernel.step_size())?;
        Ok(counted.n_evaluations)
    }

    fn update_metric(
        &mut self,
        iterations: usize,
        state: &mut State,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
    ) -> Result<u32, Error> {
        self.buffer.keep_last(self.windows.window(iterations));
        let mut target_acceptance = self.config.step_size.target_acceptance;
        if K::USES_GRADIENTS {
            let Some(estimate) = estimate_metric(&self.buffer, &self.config.metric)? else { return Ok(0) };
            if estimate.is_hard {
                target_acceptance = target_acceptance.max(HARD_TARGET_ACCEPTANCE.min(self.config.max_target_acceptance));
            }
            self.kernel.set_metric(estimate.metric)?;
        } else {
            let estimate = covariance_metric(&self.buffer, self.config.metric.max_dense_dim)?;
            let Some(metric) = estimate else { return Ok(0) };
            self.kernel.set_metric(metric)?;
        }
        let config = DualAveragingConfig { target_acceptance, ..self.config.step_size };
        self.averaging = DualAveraging::new(config, self.kernel.step_size())?;
        let n_evaluations = self.restart_step_size(state, target, rng)?;
        if iterations == self.windows.end() {
            self.settle_step_size(target_acceptance, self.kernel.step_size())?;
        }
        Ok(n_evaluations)
    }

    /// Searches on with small corrections: the acceptance rate is a concave function of log ε, so that a step size which swings about its
    /// mean is accepted less often than the mean is, and the average would be too small.
    fn settle_step_size(&mut self, target_acceptance: f64, step_size: f64) -> Result<(), Error> {
        let config = DualAveragingConfig { target_acceptance, gamma: 0.4, pull: 1.0, ..self.config.step_size };
        self.averaging = DualAveraging::new(config, step_size)?;
        Ok(())
    }

    /// Raises the target acceptance rate: halfway to 1 from where it is.
    fn raise_target(&mut self) -> Result<(), Error> {
        let target_acceptance = self.averaging.config().target_acceptance;
        let raised = (0.5 * (1.0 + target_acceptance)).min(self.config.max_target_acceptance);
        if raised > target_acceptance {
            self.settle_step_size(raised, self.averaging.final_value())?;
        }
        Ok(())
    }
}

impl<K: TunableKernel> AdaptiveChain for TunedChain<K> {
    fn start(
        &mut self,
        state: &mut State,
        path: &DrawBuffer,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
    ) -> Result<(), Error> {
        if K::USES_GRADIENTS {
            let form = MetricEstimateConfig { form: MetricForm::Diagonal, ..self.config.metric };
            let metric = match estimate_metric(path, &form)? {
                Some(estimate) => estimate.metric,
                None => metric_from_gradient(&state.gradient)?,
            };
            self.kernel.set_metric(metric)?;
        }
        self.restart_step_size(state, target, rng).map(|_| ())
    }

    fn warm_up(
        &mut self,
        iteration: usize,
        state: &mut State,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
    ) -> Result<Transition, Error> {
        let info = self.kernel.step(state, target, rng)?;
        let mut record = self.kernel.record(&info);
        self.averaging.update(record.acceptance_rate);
        self.kernel.set_step_size(self.averaging.current())?;
        let iterations = iteration + 1;
        if iterations <= self.windows.end() {
            let gradient: &[f64] = if K::USES_GRADIENTS { &state.gradient } else { &state.position };
            self.buffer.push(&state.position, gradient);
            if self.buffer.len() > self.capacity() {
                self.buffer.keep_last(self.capacity() * 3 / 4);
            }
            if self.windows.updates_after(iterations) {
                record.n_tuning_evaluations = self.update_metric(iterations, state, target, rng)?;
            }
        } else {
            self.divergences += usize::from(record.diverging);
            let last_part = self.n_warmup - self.windows.end();
            let since = iterations - self.windows.end();
            if K::USES_GRADIENTS && self.divergences > 0 && since.is_multiple_of((last_part / 3).max(1)) && since < last_part {
                self.divergences = 0;
                self.raise_target()?;
            }
        }
        Ok(record)
    }

    fn transition(
        &mut self,
        state: &mut State,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
    ) -> Result<Transition, DensityError> {
        let info = self.kernel.step(state, target, rng)?;
        Ok(self.kernel.record(&info))
    }

    fn finish_warm_up(&mut self) -> Result<(), Error> {
        self.buffer = DrawBuffer::new(self.kernel.metric().dim());
        self.kernel.set_step_size(self.averaging.final_value())
    }

    fn tuning(&self) -> Tuning {
        Tuning { step_size: self.kernel.step_size(), metric: self.kernel.metric().clone() }
    }

    fn set_tuning(&mut self, tuning: &Tuning) -> Result<(), Error> {
        self.kernel.set_metric(tuning.metric.clone())?;
        self.kernel.set_step_size(tuning.step_size)?;
        self.averaging.restart(tuning.step_size)
    }
}

/// Counts evaluations.
pub(super) struct Counted<'a> {
    pub(super) target: &'a mut dyn LogDensityGradient,
    pub(super) n_evaluations: u32,
}

impl LogDensityGradient for Counted<'_> {
    fn dim(&self) -> usize {
        self.target.dim()
    }

    fn log_density(&mut self, position: &[f64]) -> Result<f64, DensityError> {
        self.n_evaluations += 1;
        self.target.log_density(position)
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        self.n_evaluations += 1;
        self.target.log_density_gradient(position, gradient)
    }
}

/// Implements the tuning of [`TunableKernel`] by the kernel's own methods.
macro_rules! delegate_tuning {
    () => {
        fn step_size(&self) -> f64 {
            Self::step_size(self)
        }
        fn set_step_size(&mut self, step_size: f64) -> Result<(), Error> {
            Self::set_step_size(self, step_size)
        }
        fn metric(&self) -> &Metric {
            Self::metric(self)
        }
        fn set_metric(&mut self, metric: Metric) -> Result<(), Error> {
            Self::set_metric(self, metric)
        }
    };
}
pub(super) use delegate_tuning;
