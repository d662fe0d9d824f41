//! An autoregression seen through noise: the Kalman filter knows everything about it.

use super::{LN_SQRT_2PI, log_normal};
use crate::model::{LookAhead, Proposal, Simulate, StateSpaceModel, TransitionDensity};
use crate::rng::Stream;

/// A stationary Gaussian autoregression observed with Gaussian noise.
///
/// ```text
/// x₀ ~ N(0, σ_x² / (1 - ρ²))      x_t ~ N(ρ x_{t-1}, σ_x²)      y_t ~ N(x_t, σ_y²)
/// ```
/// Its [`Proposal`] and [`LookAhead`] are the optimal ones: p(x_t | x_{t-1}, y_t) and p(y_t | x_{t-1}). Needs |ρ| < 1 and positive standard
/// deviations; nothing is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Ar1 {
    /// Autocorrelation ρ.
    pub rho: f64,
    /// Standard deviation of the innovations, σ_x.
    pub sigma_x: f64,
    /// Standard deviation of the observations, σ_y.
    pub sigma_y: f64,
    /// Observations; NaN where missing.
    pub y: Vec<f64>,
}

impl Ar1 {
    /// Standard deviation of x₀.
    #[must_use]
    pub fn sigma_initial(&self) -> f64 {
        self.sigma_x / (1.0 - self.rho * self.rho).sqrt()
    }

    fn observation(&self, t: usize) -> Option<f64> {
        self.y.get(t).copied().filter(|y| !y.is_nan())
    }

    /// Mean and standard deviation of x given a prior N(mean, sd²) and the observation of step t.
    fn updated(&self, t: usize, mean: f64, sd: f64) -> (f64, f64) {
        let Some(y) = self.observation(t) else { return (mean, sd) };
        let (prior, noise) = (sd * sd, self.sigma_y * self.sigma_y);
        let gain = prior / (prior + noise);
        (mean + gain * (y - mean), (gain * noise).sqrt())
    }

    /// log p(y_t) when x_t ~ N(mean, sd²).
    fn log_predictive(&self, t: usize, mean: f64, sd: f64) -> f64 {
        self.observation(t).map_or(0.0, |y| log_normal(y, mean, sd.hypot(self.sigma_y)))
    }
}

impl StateSpaceModel for Ar1 {
    type State = f64;

    fn n_steps(&self) -> usize {
        self.y.len()
    }

    fn initial(&self, rng: &mut Stream) -> f64 {
        self.sigma_initial() * rng.normal()
    }

    fn transition(&self, _t: usize, x: &f64, rng: &mut Stream) -> f64 {
        self.rho * x + self.sigma_x * rng.normal()
    }

    fn log_observation(&self, t: usize, x: &f64) -> f64 {
        self.observation(t).map_or(0.0, |y| log_normal(y, *x, self.sigma_y))
    }

    fn step_block(
        &self,
        t: usize,
        parents: &[f64],
        ancestors: &[u32],
        rng: &mut Stream,
        children: &mut [f64],
        log_increments: &mut [f64],
    ) {
        for (x, &a) in children.iter_mut().zip(ancestors) {
            *x = self.rho * parents[a as usize] + self.sigma_x * rng.normal();
        }
        match self.observation(t) {
            None => log_increments.fill(0.0),
            Some(y) => {
                let (half_precision, constant) = (0.5 / (self.sigma_y * self.sigma_y), -self.sigma_y.ln() - LN_SQRT_2PI);
                for (w, x) in log_increments.iter_mut().zip(children) {
                    let residual = y - *x;
                    *w = constant - half_precision * residual * residual;
                }
            }
        }
    }
}

impl Simulate for Ar1 {
    type Observation = f64;

    fn observe(&self, _t: usize, x: &f64, rng: &mut Stream) -> f64 {
        x + self.sigma_y * rng.normal()
    }
}

impl TransitionDensity for Ar1 {
    fn log_initial(&self, x: &f64) -> f64 {
        log_normal(*x, 0.0, self.sigma_initial())
    }

    fn log_transition(&self, _t: usize, from: &f64, to: &f64) -> f64 {
        log_normal(*to, self.rho * from, self.sigma_x)
    }

    fn log_transition_bound(&self, _t: usize) -> Option<f64> {
        Some(-self.sigma_x.ln() - LN_SQRT_2PI)
    }

    fn log_transition_block(&self, _t: usize, from: &[f64], to: &f64, out: &mut [f64]) {
        let (half_precision, constant) = (0.5 / (self.sigma_x * self.sigma_x), -self.sigma_x.ln() - LN_SQRT_2PI);
        for (out, from) in out.iter_mut().zip(from) {
            let residual = to - self.rho * from;
            *out = constant - half_precision * residual * residual;
        }
    }
}

impl Proposal for Ar1 {
    fn propose_initial(&self, rng: &mut Stream) -> f64 {
        let (mean, sd) = self.updated(0, 0.0, self.sigma_initial());
        mean + sd * rng.normal()
    }

    fn log_proposal_initial(&self, x: &f64) -> f64 {
        let (mean, sd) = self.updated(0, 0.0, self.sigma_initial());
        log_normal(*x, mean, sd)
    }

    fn propose(&self, t: usize, from: &f64, rng: &mut Stream) -> f64 {
        let (mean, sd) = self.updated(t, self.rho * from, self.sigma_x);
        mean + sd * rng.normal()
    }

    fn log_proposal(&self, t: usize, from: &f64, to: &f64) -> f64 {
        let (mean, sd) = self.updated(t, self.rho * from, self.sigma_x);
        log_normal(*to, mean, sd)
    }

    fn log_weight_initial(&self, _x: &f64) -> f64 {
        self.log_predictive(0, 0.0, self.sigma_initial())
    }

    fn log_weight(&self, t: usize, from: &f64, _to: &f64) -> f64 {
        self.log_predictive(t, self.rho * from, self.sigma_x)
    }
}

impl LookAhead for Ar1 {
    fn log_look_ahead(&self, t: usize, x: &f64) -> f64 {
        self.log_predictive(t, self.rho * x, self.sigma_x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_of_the_weight_is_the_ratio_of_densities() {
        let model = Ar1 { rho: 0.7, sigma_x: 0.8, sigma_y: 0.3, y: vec![0.4, -1.2, f64::NAN] };
        for t in [1, 2] {
            let (from, to) = (0.9, -0.5);
            let ratio = model.log_transition(t, &from, &to) + model.log_observation(t, &to) - model.log_proposal(t, &from, &to);
            // A handful of roundings of terms below 20.
            assert!((ratio - model.log_weight(t, &from, &to)).abs() < 1e-13);
            assert_eq!(model.log_look_ahead(t, &from), model.log_weight(t, &from, &to));
        }
        let ratio = model.log_initial(&0.2) + model.log_observation(0, &0.2) - model.log_proposal_initial(&0.2);
        assert!((ratio - model.log_weight_initial(&0.2)).abs() < 1e-13);
    }
}
