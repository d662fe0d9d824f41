//! A first step size for Hamiltonian kernels: the scale at which one leapfrog step is accepted about 80 % of the time.
//!
//! ```text
//! a = [exp(H₀ − H(one leapfrog step)) > threshold]
//! while that holds as at the start: ε ← 2 ε if a, else ε ← ε / 2, with a fresh momentum each time
//! ```
//! Dual averaging needs only the order of magnitude. *Costs* one gradient per trial. *Reference* Hoffman & Gelman 2014, algorithm 4,
//! <https://jmlr.org/papers/v15/hoffman14a.html>, with the threshold 0.8 as in Stan.

use serde::{Deserialize, Serialize};

use super::{Metric, PhasePoint, State};
use crate::error::{Error, check};
use crate::model::LogDensityGradient;
use crate::rng::Stream;

/// Settings of [`initial_step_size`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepSizeSearch {
    /// Step size tried first; 1.
    pub first: f64,
    /// Acceptance probability to cross, in (0, 1); 0.8.
    pub threshold: f64,
    /// Largest number of trials; 100.
    pub max_trials: usize,
}

impl Default for StepSizeSearch {
    fn default() -> Self {
        Self { first: 1.0, threshold: 0.8, max_trials: 100 }
    }
}

impl StepSizeSearch {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first one out of range.
    pub fn validate(&self) -> Result<(), Error> {
        check::positive("first", self.first)?;
        check::open_unit("threshold", self.threshold)?;
        check::at_least("max_trials", self.max_trials, 1, "at least 1")
    }
}

/// Finds a step size by doubling or halving until the acceptance of one leapfrog step crosses the threshold.
///
/// The state keeps its position. Zero density and recoverable errors at a trial's end count as rejection.
///
/// # Errors
/// [`Error::InvalidSetting`] for a setting, [`Error::Density`] for a fatal error of the density or a state of zero density,
/// [`Error::NoStepSize`] if the threshold is not crossed: the density is flat, or fails everywhere around the state.
///
/// ```
/// use posterity::kernels::{Metric, State, StepSizeSearch, initial_step_size};
/// use posterity::model::FromFn;
/// use posterity::rng::Stream;
/// let mut target = FromFn::new(1, |q: &[f64], g: &mut [f64]| { g[0] = -1e6 * q[0]; Ok(-5e5 * q[0] * q[0]) });
/// let mut state = State::new(&mut target, vec![0.0])?;
/// let search = StepSizeSearch::default();
/// let step_size = initial_step_size(&search, &mut state, &mut target, &Metric::identity(1), &mut Stream::new(1))?;
/// assert!(step_size > 1e-4 && step_size < 1e-2); // the target's scale is 1e-3
/// # Ok::<(), posterity::Error>(())
/// ```
pub fn initial_step_size(
    search: &StepSizeSearch,
    state: &mut State,
    target: &mut dyn LogDensityGradient,
    metric: &Metric,
    rng: &mut Stream,
) -> Result<f64, Error> {
    search.validate()?;
    state.check_with_gradient(metric.dim(), target)?;
    let mut point = PhasePoint::new(metric.dim());
    let mut step_size = search.first;
    let mut at_first = None;
    for _ in 0..search.max_trials {
        point.start(state, metric, rng);
        let before = point.energy();
        let accepts = before - point.leapfrog(target, metric, step_size)? > search.threshold.ln();
        let direction = *at_first.get_or_insert(accepts);
        if direction != accepts {
            return Ok(step_size);
        }
        let next = if direction { 2.0 * step_size } else { 0.5 * step_size };
        if !(next > 0.0 && next.is_finite()) {
            break;
        }
        step_size = next;
    }
    Err(Error::NoStepSize { step_size, max_trials: search.max_trials })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DensityError;
    use crate::model::FromFn;

    fn search(density: impl FnMut(&[f64], &mut [f64]) -> Result<f64, DensityError>, start: f64) -> Result<f64, Error> {
        let mut target = FromFn::new(1, density);
        let mut state = State { position: vec![start], log_density: 0.0, gradient: vec![] };
        initial_step_size(&StepSizeSearch::default(), &mut state, &mut target, &Metric::identity(1), &mut Stream::new(2))
    }

    fn normal(sd: f64) -> impl FnMut(&[f64], &mut [f64]) -> Result<f64, DensityError> {
        move |q, g| {
            g[0] = -q[0] / (sd * sd);
            Ok(-0.5 * (q[0] / sd).powi(2))
        }
    }

    #[test]
    fn it_finds_the_scale() {
        // One step of size ε = c·sd from 0 has H − H₀ = c⁴ z²/8·(1 + …): it crosses at c of order 1 to 4.
        for exponent in [-150, -6, 0, 6] {
            let sd = 10_f64.powi(exponent);
            let found = StepSizeSearch { max_trials: 1000, ..StepSizeSearch::default() };
            let mut target = FromFn::new(1, normal(sd));
            let mut state = State::new(&mut target, vec![0.0]).unwrap();
            let step = initial_step_size(&found, &mut state, &mut target, &Metric::identity(1), &mut Stream::new(2)).unwrap();
            assert!(step > 0.1 * sd && step < 20.0 * sd, "{step} at {sd}");
        }
    }

    #[test]
    fn failures_around_the_state_halve() {
        let zero = |q: &[f64], g: &mut [f64]| {
            g[0] = -q[0];
            Ok(if q[0].abs() > 0.01 { f64::NEG_INFINITY } else { 0.0 })
        };
        assert!(search(zero, 0.0).unwrap() < 0.1);
        let failing = |q: &[f64], g: &mut [f64]| {
            g[0] = 0.0;
            if q[0].abs() > 0.01 { Err(DensityError::NotANumber) } else { Ok(0.0) }
        };
        assert!(search(failing, 0.0).unwrap() < 0.1);
    }

    #[test]
    fn hopeless_densities_are_named() {
        let flat = |_: &[f64], g: &mut [f64]| {
            g[0] = 0.0;
            Ok(0.0)
        };
        assert!(matches!(search(flat, 0.0), Err(Error::NoStepSize { step_size, .. }) if step_size > 1e20));
        let isolated = |q: &[f64], g: &mut [f64]| {
            g[0] = 0.0;
            if q[0] == 1.0 { Ok(0.0) } else { Err(DensityError::NotANumber) }
        };
        // Halving 100 times moves less than the spacing of floats at 1: the step then counts as accepted.
        assert!(search(isolated, 1.0).unwrap() < 1e-14);
        let fatal = |_: &[f64], _: &mut [f64]| Err(DensityError::Panicked { message: "no".into() });
        assert!(matches!(search(fatal, 0.0), Err(Error::Density(DensityError::Panicked { .. }))));
    }
}
