//! Stochastic volatility: returns whose log variance is a hidden autoregression.

use super::LN_SQRT_2PI;
use crate::math::vectorised::exp_in_place;
use crate::model::{LookAhead, Simulate, StateSpaceModel, TransitionDensity};
use crate::rng::Stream;

/// Returns with a log variance that follows a Gaussian autoregression.
///
/// ```text
/// x₀ ~ N(μ, σ² / (1 - ρ²))      x_t ~ N(μ + ρ (x_{t-1} - μ), σ²)      y_t ~ N(0, exp x_t)
/// ```
/// Source: S. Kim, N. Shephard and S. Chib 1998, doi:10.1111/1467-937X.00050. Needs |ρ| < 1 and σ > 0; nothing is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct StochasticVolatility {
    /// Mean of the log variance, μ.
    pub mu: f64,
    /// Autocorrelation ρ.
    pub rho: f64,
    /// Standard deviation of the innovations, σ.
    pub sigma: f64,
    /// Returns; NaN where missing.
    pub y: Vec<f64>,
}

impl StochasticVolatility {
    fn sigma_initial(&self) -> f64 {
        self.sigma / (1.0 - self.rho * self.rho).sqrt()
    }

    fn mean(&self, from: f64) -> f64 {
        self.mu + self.rho * (from - self.mu)
    }

    fn observation(&self, t: usize) -> Option<f64> {
        self.y.get(t).copied().filter(|y| !y.is_nan())
    }
}

impl StateSpaceModel for StochasticVolatility {
    type State = f64;

    fn n_steps(&self) -> usize {
        self.y.len()
    }

    fn initial(&self, rng: &mut Stream) -> f64 {
        self.mu + self.sigma_initial() * rng.normal()
    }

    fn transition(&self, _t: usize, x: &f64, rng: &mut Stream) -> f64 {
        self.mean(*x) + self.sigma * rng.normal()
    }

    fn log_observation(&self, t: usize, x: &f64) -> f64 {
        self.observation(t).map_or(0.0, |y| -0.5 * (x + y * y * (-x).exp()) - LN_SQRT_2PI)
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
            *x = self.mean(parents[a as usize]) + self.sigma * rng.normal();
        }
        let Some(y) = self.observation(t) else {
            log_increments.fill(0.0);
            return;
        };
        for (w, x) in log_increments.iter_mut().zip(children.iter()) {
            *w = -x;
        }
        exp_in_place(log_increments);
        let square = y * y;
        for (w, x) in log_increments.iter_mut().zip(children) {
            *w = -0.5 * (*x + square * *w) - LN_SQRT_2PI;
        }
    }
}

impl Simulate for StochasticVolatility {
    type Observation = f64;

    fn observe(&self, _t: usize, x: &f64, rng: &mut Stream) -> f64 {
        (0.5 * x).exp() * rng.normal()
    }
}

impl TransitionDensity for StochasticVolatility {
    fn log_initial(&self, x: &f64) -> f64 {
        let z = (x - self.mu) / self.sigma_initial();
        -0.5 * z * z - self.sigma_initial().ln() - LN_SQRT_2PI
    }

    fn log_transition(&self, _t: usize, from: &f64, to: &f64) -> f64 {
        let z = (to - self.mean(*from)) / self.sigma;
        -0.5 * z * z - self.sigma.ln() - LN_SQRT_2PI
    }

    fn log_transition_bound(&self, _t: usize) -> Option<f64> {
        Some(-self.sigma.ln() - LN_SQRT_2PI)
    }
}

impl LookAhead for StochasticVolatility {
    /// The observation's density at the mean of the next state.
    fn log_look_ahead(&self, t: usize, x: &f64) -> f64 {
        self.log_observation(t, &self.mean(*x))
    }
}
