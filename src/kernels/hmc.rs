//! Hamiltonian Monte Carlo with a trajectory of given length, for smooth densities on ℝᵈ.
//!
//! ```text
//! p ~ N(0, M),  L ~ number of steps, jittered
//! (q*, p*) = L leapfrog steps from (q, p)
//! accept q* with probability min(1, exp(H(q, p) − H(q*, p*)))
//! ```
//! Jitter matters: a fixed L that fits a period of some direction never moves along it.
//!
//! *Asks* a log density and its gradient. *Costs* L gradients. *References* Duane et al. 1987,
//! <https://doi.org/10.1016/0370-2693(87)91197-X>; Neal 2011, <https://arxiv.org/abs/1206.1901>.
//! *Not* where the right trajectory length is unknown or differs between regions: [`Nuts`](super::Nuts) finds it.

use serde::{Deserialize, Serialize};

use super::{Kernel, Metric, PhasePoint, State, tuned_by_step_size_and_metric};
use crate::error::{DensityError, Error, check};
use crate::model::LogDensityGradient;
use crate::rng::Stream;

/// Mean length of a trajectory of [`Hmc`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum TrajectoryLength {
    /// A number of leapfrog steps.
    Steps(usize),
    /// An integration time: number of steps × step size.
    Time(f64),
}

/// Settings of [`Hmc`] beside step size and metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HmcConfig {
    /// Mean length of the trajectory; a time of π/2, optimal for a standard normal.
    pub length: TrajectoryLength,
    /// The length of each trajectory is the mean times a factor uniform on \[1 − jitter, 1 + jitter\]; in \[0, 1\]; 0.5.
    pub jitter: f64,
    /// Largest number of steps of a trajectory, a bound on the cost while the step size is tuned; 1024.
    pub max_steps: usize,
    /// Energy error above which a trajectory counts as divergent; 1000.
    pub max_energy_error: f64,
}

impl Default for HmcConfig {
    fn default() -> Self {
        Self {
            length: TrajectoryLength::Time(std::f64::consts::FRAC_PI_2),
            jitter: 0.5,
            max_steps: 1024,
            max_energy_error: 1000.0,
        }
    }
}

impl HmcConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first one out of range.
    pub fn validate(&self) -> Result<(), Error> {
        match self.length {
            TrajectoryLength::Steps(steps) => check::at_least("length in steps", steps, 1, "at least 1")?,
            TrajectoryLength::Time(time) => check::positive("length in time", time)?,
        }
        check::in_range("jitter", self.jitter, self.jitter >= 0.0 && self.jitter <= 1.0, "in [0, 1]")?;
        check::at_least("max_steps", self.max_steps, 1, "at least 1")?;
        check::positive("max_energy_error", self.max_energy_error)
    }

    /// Number of steps for a uniform number u on [0, 1).
    fn n_steps(&self, step_size: f64, u: f64) -> usize {
        let mean = match self.length {
            TrajectoryLength::Steps(steps) => steps as f64,
            TrajectoryLength::Time(time) => time / step_size,
        };
        // The cast saturates, also for an infinite quotient.
        let steps = (mean * (1.0 + self.jitter * (2.0 * u - 1.0))).round() as usize;
        steps.clamp(1, self.max_steps)
    }
}

/// What happened in one transition of [`Hmc`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HmcInfo {
    /// min(1, exp(H₀ − H)) at the end of the trajectory; 0 if it could not be followed to its end.
    pub acceptance_rate: f64,
    /// True if the state moved.
    pub accepted: bool,
    /// Leapfrog steps made: gradient evaluations.
    pub n_steps: usize,
    /// True if the energy error exceeded the threshold somewhere, or a point could not be evaluated.
    pub diverging: bool,
    /// Energy H of the new state, with the momentum it was found with.
    pub energy: f64,
    /// H − H₀ at the end of the trajectory, whether accepted or not.
    pub energy_error: f64,
}

/// Hamiltonian Monte Carlo with a static, jittered trajectory.
///
/// ```
/// use posterity::kernels::{Hmc, HmcConfig, Kernel, Metric, State};
/// use posterity::model::FromFn;
/// use posterity::rng::Stream;
/// let mut target = FromFn::new(1, |q: &[f64], g: &mut [f64]| { g[0] = -q[0]; Ok(-0.5 * q[0] * q[0]) });
/// let mut hmc = Hmc::new(HmcConfig::default(), Metric::identity(1), 0.5)?;
/// let mut state = State::new(&mut target, vec![0.0])?;
/// let info = hmc.step(&mut state, &mut target, &mut Stream::new(1))?;
/// assert!(info.acceptance_rate > 0.8 && !info.diverging);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hmc {
    config: HmcConfig,
    metric: Metric,
    step_size: f64,
    #[serde(skip)]
    scratch: PhasePoint,
}

impl Hmc {
    /// A kernel with the given tuning.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a setting or step size out of range.
    pub fn new(config: HmcConfig, metric: Metric, step_size: f64) -> Result<Self, Error> {
        config.validate()?;
        check::positive("step_size", step_size)?;
        let scratch = PhasePoint::new(metric.dim());
        Ok(Self { config, metric, step_size, scratch })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &HmcConfig {
        &self.config
    }
}

tuned_by_step_size_and_metric!(Hmc);

impl Kernel for Hmc {
    type Info = HmcInfo;

    fn step(
        &mut self,
        state: &mut State,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
    ) -> Result<HmcInfo, DensityError> {
        let point = self.scratch.for_dimension(self.metric.dim());
        state.check_with_gradient(self.metric.dim(), target)?;
        point.start(state, &self.metric, rng);
        let initial_energy = point.energy();
        let length = self.config.n_steps(self.step_size, rng.uniform());
        let (mut n_steps, mut energy, mut diverging) = (0, initial_energy, false);
        // Only an infinite energy ends the trajectory early: a finite one may come down again, and the kernel stays exactly reversible.
        while n_steps < length && energy < f64::INFINITY {
            energy = point.leapfrog(target, &self.metric, self.step_size)?;
            n_steps += 1;
            diverging |= energy - initial_energy > self.config.max_energy_error;
        }
        let energy_error = energy - initial_energy;
        let acceptance_rate = (-energy_error).exp().min(1.0);
        let accepted = rng.uniform() < acceptance_rate;
        if accepted {
            point.write_to(state);
        }
        let energy = if accepted { energy } else { initial_energy };
        Ok(HmcInfo { acceptance_rate, accepted, n_steps, diverging, energy, energy_error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::invariance::{assert_error_paths, skewed};

    #[test]
    fn length_is_jittered_and_bounded() {
        let config = HmcConfig { length: TrajectoryLength::Steps(10), jitter: 0.5, max_steps: 12, ..HmcConfig::default() };
        assert_eq!((config.n_steps(0.1, 0.0), config.n_steps(0.1, 0.5), config.n_steps(0.1, 0.999)), (5, 10, 12));
        let config = HmcConfig { length: TrajectoryLength::Time(1.0), jitter: 0.0, ..config };
        assert_eq!((config.n_steps(0.25, 0.3), config.n_steps(9.0, 0.3), config.n_steps(1e-320, 0.3)), (4, 1, 12));
    }

    #[test]
    fn info_agrees_with_the_state() {
        let mut hmc = Hmc::new(HmcConfig::default(), Metric::identity(3), 0.4).unwrap();
        let mut state = State::new(&mut skewed(), vec![0.0; 3]).unwrap();
        let mut rng = Stream::new(3);
        let mut n_accepted = 0;
        for _ in 0..200 {
            let before = state.clone();
            let info = hmc.step(&mut state, &mut skewed(), &mut rng).unwrap();
            assert_eq!(info.accepted, before != state);
            assert_eq!(state, State::new(&mut skewed(), state.position.clone()).unwrap());
            n_accepted += usize::from(info.accepted);
        }
        assert!(n_accepted > 100);
    }

    #[test]
    fn errors_reject_or_end() {
        assert_error_paths(
            |dim| {
                Hmc::new(HmcConfig { length: TrajectoryLength::Steps(3), ..HmcConfig::default() }, Metric::identity(dim), 0.5)
                    .unwrap()
            },
            |info| info.diverging,
        );
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let good = HmcConfig::default();
        for (config, name) in [
            (HmcConfig { length: TrajectoryLength::Steps(0), ..good }, "length in steps"),
            (HmcConfig { length: TrajectoryLength::Time(f64::NAN), ..good }, "length in time"),
            (HmcConfig { jitter: 1.5, ..good }, "jitter"),
            (HmcConfig { max_steps: 0, ..good }, "max_steps"),
            (HmcConfig { max_energy_error: -1.0, ..good }, "max_energy_error"),
        ] {
            assert!(matches!(config.validate(), Err(Error::InvalidSetting { setting, .. }) if setting == name));
        }
        assert!(Hmc::new(good, Metric::identity(1), f64::NAN).is_err());
    }
}
