//! The Metropolis-adjusted Langevin algorithm, preconditioned by a metric, for smooth densities on ℝᵈ.
//!
//! ```text
//! q* ~ N(q + ε²/2 M⁻¹ ∇log π(q), ε² M⁻¹)
//! accept with probability min(1, π(q*) g(q | q*) / (π(q) g(q* | q))),  g the density of the proposal
//! ```
//! This is Hamiltonian Monte Carlo with one leapfrog step, ε M^−½ times the noise being the momentum's share of the move; the ratio of
//! proposals is then the ratio of kinetic energies, and is computed as such.
//!
//! *Asks* a log density and its gradient. *Costs* one gradient. Best at an acceptance rate of 0.574.
//! *References* Roberts & Tweedie 1996, <https://doi.org/10.2307/3318418>; Roberts & Rosenthal 1998,
//! <https://doi.org/10.1111/1467-9868.00123>. *Not* where longer trajectories pay, which is most correlated posteriors: it diffuses.

use serde::{Deserialize, Serialize};

use super::{Kernel, Metric, PhasePoint, State, tuned_by_step_size_and_metric};
use crate::error::{DensityError, Error, check};
use crate::model::LogDensityGradient;
use crate::rng::Stream;

/// What happened in one transition of [`Mala`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MalaInfo {
    /// Probability with which the proposal was accepted.
    pub acceptance_rate: f64,
    /// True if the state moved.
    pub accepted: bool,
    /// True if the density at the proposal is zero or could not be evaluated.
    pub diverging: bool,
}

/// The Metropolis-adjusted Langevin algorithm.
///
/// ```
/// use posterity::kernels::{Kernel, Mala, Metric, State};
/// use posterity::model::FromFn;
/// use posterity::rng::Stream;
/// let mut target = FromFn::new(1, |q: &[f64], g: &mut [f64]| { g[0] = -q[0]; Ok(-0.5 * q[0] * q[0]) });
/// let mut mala = Mala::new(Metric::identity(1), 0.5)?;
/// let mut state = State::new(&mut target, vec![0.0])?;
/// let info = mala.step(&mut state, &mut target, &mut Stream::new(1))?;
/// assert!(info.acceptance_rate > 0.9);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mala {
    metric: Metric,
    step_size: f64,
    #[serde(skip)]
    scratch: PhasePoint,
}

impl Mala {
    /// A kernel with the given tuning.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a step size that is not positive and finite.
    pub fn new(metric: Metric, step_size: f64) -> Result<Self, Error> {
        check::positive("step_size", step_size)?;
        let scratch = PhasePoint::new(metric.dim());
        Ok(Self { metric, step_size, scratch })
    }
}

tuned_by_step_size_and_metric!(Mala);

impl Kernel for Mala {
    type Info = MalaInfo;

    fn step(
        &mut self,
        state: &mut State,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
    ) -> Result<MalaInfo, DensityError> {
        let point = self.scratch.for_dimension(self.metric.dim());
        state.check_with_gradient(self.metric.dim(), target)?;
        point.start(state, &self.metric, rng);
        let initial_energy = point.energy();
        let energy = point.leapfrog(target, &self.metric, self.step_size)?;
        let acceptance_rate = (initial_energy - energy).exp().min(1.0);
        let accepted = rng.uniform() < acceptance_rate;
        if accepted {
            point.write_to(state);
        }
        Ok(MalaInfo { acceptance_rate, accepted, diverging: energy == f64::INFINITY })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::invariance::{assert_error_paths, log_density, skewed};

    #[test]
    fn acceptance_is_the_ratio_with_proposal_densities() {
        // The textbook formula, on a diagonal metric.
        let (step, variances) = (0.6, [0.5, 2.0, 1.0]);
        let mut mala = Mala::new(Metric::diagonal(variances.to_vec()).unwrap(), step).unwrap();
        let log_proposal = |from: &[f64], to: &[f64]| {
            let mut gradient = [0.0; 3];
            log_density(from, &mut gradient);
            (0..3)
                .map(|i| {
                    let mean = from[i] + 0.5 * step * step * variances[i] * gradient[i];
                    -(to[i] - mean).powi(2) / (2.0 * step * step * variances[i])
                })
                .sum::<f64>()
        };
        let (mut rng, mut compared) = (Stream::new(4), 0);
        for _ in 0..100 {
            let before = State::new(&mut skewed(), vec![rng.normal(), rng.normal(), rng.normal()]).unwrap();
            let mut after = before.clone();
            let info = mala.step(&mut after, &mut skewed(), &mut rng).unwrap();
            if info.accepted {
                let (x, y) = (&before.position, &after.position);
                let log_ratio = after.log_density + log_proposal(y, x) - before.log_density - log_proposal(x, y);
                assert!((info.acceptance_rate - log_ratio.exp().min(1.0)).abs() < 1e-10);
                compared += usize::from(info.acceptance_rate < 1.0);
            }
        }
        assert!(compared > 10);
    }

    #[test]
    fn errors_reject_or_end() {
        assert_error_paths(|dim| Mala::new(Metric::identity(dim), 1.0).unwrap(), |info| info.diverging);
        assert!(matches!(Mala::new(Metric::identity(1), 0.0), Err(Error::InvalidSetting { setting: "step_size", .. })));
    }
}
