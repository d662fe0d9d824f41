//! Random-walk Metropolis with Gaussian proposals shaped by a metric, for any density on ℝᵈ.
//!
//! ```text
//! q* ~ N(q, ε² M⁻¹)
//! accept with probability min(1, π(q*) / π(q))
//! ```
//! *Asks* a log density only; the gradient in the state is dropped by a move. *Costs* one evaluation. With M⁻¹ the target's covariance,
//! ε = 2.38/√d and an acceptance rate of 0.234 are best for large d, 0.44 for d = 1.
//! *References* Metropolis et al. 1953, <https://doi.org/10.1063/1.1699114>; Roberts, Gelman & Gilks 1997,
//! <https://doi.org/10.1214/aoap/1034625254>. *Not* where a gradient can be had, nor for d beyond some tens: it needs O(d) evaluations per
//! independent draw at best.

use serde::{Deserialize, Serialize};

use super::{Kernel, Metric, State, axpy, tuned_by_step_size_and_metric};
use crate::error::{DensityError, Error, check};
use crate::model::LogDensityGradient;
use crate::rng::Stream;

/// What happened in one transition of [`RandomWalk`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RandomWalkInfo {
    /// Probability with which the proposal was accepted.
    pub acceptance_rate: f64,
    /// True if the state moved.
    pub accepted: bool,
    /// True if the density at the proposal failed recoverably (zero density is an ordinary rejection here).
    pub failed: bool,
}

/// Random-walk Metropolis.
///
/// ```
/// use posterity::kernels::{Kernel, Metric, RandomWalk, State};
/// use posterity::model::FromFn;
/// use posterity::rng::Stream;
/// // An indicator function needs no gradient: uniform on [0, 1].
/// let mut target = FromFn::new(1, |q: &[f64], _: &mut [f64]| {
///     Ok(if q[0] >= 0.0 && q[0] <= 1.0 { 0.0 } else { f64::NEG_INFINITY })
/// });
/// let mut walk = RandomWalk::new(Metric::identity(1), 0.5)?;
/// let mut state = State::new(&mut target, vec![0.2])?;
/// let mut rng = Stream::new(1);
/// let mut mean = 0.0;
/// for _ in 0..5000 {
///     walk.step(&mut state, &mut target, &mut rng)?;
///     mean += state.position[0] / 5000.0;
/// }
/// assert!((mean - 0.5).abs() < 0.05);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RandomWalk {
    metric: Metric,
    step_size: f64,
    #[serde(skip)]
    scratch: Scratch,
}

#[derive(Debug, Clone, Default)]
struct Scratch {
    momentum: Vec<f64>,
    direction: Vec<f64>,
    proposal: Vec<f64>,
}

impl Scratch {
    fn new(dim: usize) -> Self {
        Self { momentum: vec![0.0; dim], direction: vec![0.0; dim], proposal: vec![0.0; dim] }
    }
}

impl RandomWalk {
    /// A kernel with the given tuning.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a step size that is not positive and finite.
    pub fn new(metric: Metric, step_size: f64) -> Result<Self, Error> {
        check::positive("step_size", step_size)?;
        let scratch = Scratch::new(metric.dim());
        Ok(Self { metric, step_size, scratch })
    }
}

tuned_by_step_size_and_metric!(RandomWalk);

impl Kernel for RandomWalk {
    type Info = RandomWalkInfo;

    fn step(
        &mut self,
        state: &mut State,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
    ) -> Result<RandomWalkInfo, DensityError> {
        let dim = self.metric.dim();
        state.check(dim)?;
        if self.scratch.proposal.len() != dim {
            self.scratch = Scratch::new(dim); // after deserialisation
        }
        let Scratch { momentum, direction, proposal } = &mut self.scratch;
        // p ~ N(0, M) makes M⁻¹ p ~ N(0, M⁻¹).
        self.metric.sample_momentum(rng, momentum);
        self.metric.velocity(momentum, direction);
        proposal.copy_from_slice(&state.position);
        axpy(self.step_size, direction, proposal);

        let (log_density, failed) = match target.log_density(proposal) {
            Ok(value) => (value, false),
            Err(error) if error.is_recoverable() => (f64::NEG_INFINITY, true),
            Err(error) => return Err(error),
        };
        let acceptance_rate = (log_density - state.log_density).exp().min(1.0);
        let accepted = rng.uniform() < acceptance_rate;
        if accepted {
            state.position.copy_from_slice(proposal);
            state.log_density = log_density;
            state.gradient.clear();
        }
        Ok(RandomWalkInfo { acceptance_rate, accepted, failed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Mala;
    use crate::kernels::invariance::{assert_error_paths, skewed};

    #[test]
    fn proposals_have_the_metrics_covariance() {
        // On a flat density every proposal is accepted: increments have covariance ε² M⁻¹ = 4 (2 0.5; 0.5 1). The standard error of an
        // entry is below sqrt(2)·8/sqrt(20,000) = 0.08; five of them.
        let mut flat = crate::model::FromFn::new(2, |_: &[f64], _: &mut [f64]| Ok(0.0));
        let mut walk = RandomWalk::new(Metric::dense(2, vec![2.0, 0.5, 0.5, 1.0]).unwrap(), 2.0).unwrap();
        let mut rng = Stream::new(9);
        let (n, mut sums) = (20_000, [0.0; 3]);
        for _ in 0..n {
            let mut state = State { position: vec![0.0; 2], log_density: 0.0, gradient: vec![] };
            walk.step(&mut state, &mut flat, &mut rng).unwrap();
            let q = &state.position;
            sums.iter_mut().zip([q[0] * q[0], q[0] * q[1], q[1] * q[1]]).for_each(|(s, x)| *s += x / f64::from(n));
        }
        for (found, expected) in sums.into_iter().zip([8.0, 2.0, 4.0]) {
            assert!((found - expected).abs() < 0.4, "{found} {expected}");
        }
    }

    #[test]
    fn a_gradient_kernel_may_follow() {
        let mut walk = RandomWalk::new(Metric::identity(3), 0.3).unwrap();
        let mut mala = Mala::new(Metric::identity(3), 0.3).unwrap();
        let (mut rng, mut state) = (Stream::new(1), State::new(&mut skewed(), vec![0.0; 3]).unwrap());
        while !walk.step(&mut state, &mut skewed(), &mut rng).unwrap().accepted {}
        assert!(state.gradient.is_empty());
        mala.step(&mut state, &mut skewed(), &mut rng).unwrap();
        assert_eq!(state, State::new(&mut skewed(), state.position.clone()).unwrap());
    }

    #[test]
    fn errors_reject_or_end() {
        assert_error_paths(|dim| RandomWalk::new(Metric::identity(dim), 1.0).unwrap(), |info| !info.accepted);
        assert!(RandomWalk::new(Metric::identity(1), f64::INFINITY).is_err());
    }
}
