//! Markov kernels that leave a density invariant, and what they share: the metric, the integrator, the search for a step size.
//!
//! A kernel moves a [`State`] in place. It owns its tuning (step size, [`Metric`], settings) and its scratch memory, so that a transition
//! allocates nothing; kernel, state and random stream are serialisable values, and together they determine the future of a chain.
//!
//! Errors of the density inside a transition: a recoverable one
//! ([`DensityError::is_recoverable`](crate::error::DensityError::is_recoverable)) and a log density of -∞ reject the point and are
//! counted in the kernel's info; a fatal one is returned, and the state stays what it was.

mod hmc;
mod integrator;
#[cfg(test)]
mod invariance;
mod mala;
mod metric;
mod nuts;
mod random_walk;
mod step_size;

use serde::{Deserialize, Serialize};

pub use hmc::{Hmc, HmcConfig, HmcInfo, TrajectoryLength};
pub use mala::{Mala, MalaInfo};
pub use metric::{DenseMetric, DiagonalMetric, LowRankMetric, Metric};
pub use nuts::{Nuts, NutsConfig, NutsInfo};
pub use random_walk::{RandomWalk, RandomWalkInfo};
pub use step_size::{StepSizeSearch, initial_step_size};

use integrator::PhasePoint;

use crate::error::DensityError;
use crate::model::LogDensityGradient;
use crate::rng::Stream;

/// Position, log density and gradient: what every gradient kernel's next step needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Position in ℝᵈ.
    pub position: Vec<f64>,
    /// Log density there; kernels ask for a finite one.
    pub log_density: f64,
    /// Its gradient, of length d; empty if the last move was made without gradients (the next gradient kernel then evaluates it).
    pub gradient: Vec<f64>,
}

impl State {
    /// The state at `position`. Its log density may be -∞: a chain cannot start there, and its first transition says so.
    ///
    /// # Errors
    /// What the density reports.
    ///
    /// ```
    /// use posterity::kernels::State;
    /// use posterity::model::FromFn;
    /// let mut target = FromFn::new(1, |q: &[f64], g: &mut [f64]| { g[0] = -q[0]; Ok(-0.5 * q[0] * q[0]) });
    /// let state = State::new(&mut target, vec![2.0])?;
    /// assert_eq!((state.log_density, state.gradient), (-2.0, vec![-2.0]));
    /// # Ok::<(), posterity::DensityError>(())
    /// ```
    pub fn new(target: &mut dyn LogDensityGradient, position: Vec<f64>) -> Result<Self, DensityError> {
        let mut gradient = vec![0.0; position.len()];
        let log_density = target.log_density_gradient(&position, &mut gradient)?;
        Ok(Self { position, log_density, gradient })
    }

    /// Checks that a kernel of dimension `dim` can start here.
    fn check(&self, dim: usize) -> Result<(), DensityError> {
        if self.position.len() != dim {
            return Err(DensityError::Dimension { expected: dim, found: self.position.len() });
        }
        if self.log_density.is_finite() {
            Ok(())
        } else {
            Err(DensityError::Rejected { reason: "the chain's current state has zero density" })
        }
    }

    /// Checks as [`State::check`], and evaluates the gradient if it is not known.
    fn check_with_gradient(&mut self, dim: usize, target: &mut dyn LogDensityGradient) -> Result<(), DensityError> {
        self.check(dim)?;
        if self.gradient.len() != dim {
            self.gradient.resize(dim, 0.0);
            if let Err(error) = target.log_density_gradient(&self.position, &mut self.gradient) {
                self.gradient.clear();
                return Err(error);
            }
        }
        Ok(())
    }
}

/// A Markov kernel that leaves the target's density invariant.
pub trait Kernel {
    /// What happened in one transition.
    type Info;

    /// Makes one transition from `state`, in place.
    ///
    /// # Errors
    /// A fatal error of the density, [`DensityError::Dimension`] if state and kernel do not fit together, and
    /// [`DensityError::Rejected`] if the state itself has zero density. An error ends the chain; `state` is unchanged.
    fn step(
        &mut self,
        state: &mut State,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
    ) -> Result<Self::Info, DensityError>;
}

/// log(eᵃ + eᵇ), b finite.
fn log_add_exp(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    high + (low - high).exp().ln_1p()
}

/// x·y, in eight lanes.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (mut xs, mut ys) = (x.chunks_exact(8), y.chunks_exact(8));
    for (a, b) in (&mut xs).zip(&mut ys) {
        for i in 0..8 {
            lanes[i] += a[i] * b[i];
        }
    }
    let tail: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f64>() + tail
}

/// y += a x.
fn axpy(a: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// Access to the tuning of a kernel with the fields `step_size` and `metric`.
macro_rules! tuned_by_step_size_and_metric {
    ($kernel:ty) => {
        impl $kernel {
            /// The step size ε.
            #[must_use]
            pub fn step_size(&self) -> f64 {
                self.step_size
            }

            /// The metric.
            #[must_use]
            pub fn metric(&self) -> &Metric {
                &self.metric
            }

            /// Changes the step size.
            ///
            /// # Errors
            /// [`Error::InvalidSetting`] unless it is positive and finite.
            pub fn set_step_size(&mut self, step_size: f64) -> Result<(), Error> {
                check::positive("step_size", step_size)?;
                self.step_size = step_size;
                Ok(())
            }

            /// Changes the metric.
            ///
            /// # Errors
            /// [`Error::Dimension`] if the new one has another dimension.
            pub fn set_metric(&mut self, metric: Metric) -> Result<(), Error> {
                if metric.dim() != self.metric.dim() {
                    let (expected, found) = (self.metric.dim(), metric.dim());
                    return Err(Error::Dimension { what: "dimension of the metric", expected, found });
                }
                self.metric = metric;
                Ok(())
            }
        }
    };
}
use tuned_by_step_size_and_metric;
