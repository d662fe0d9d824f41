//! A target that circles between two sensors, which see only its direction.

use std::f64::consts::{PI, TAU};

use super::{LN_SQRT_2PI, log_normal};
use crate::model::{LookAhead, Simulate, StateSpaceModel, TransitionDensity};
use crate::rng::Stream;

/// Bearings-only tracking with two sensors and a target drawn towards (0, 5).
///
/// ```text
/// p_t ~ N(p + v, 0.01²)        v_t ~ N(damping · v - pull · (p - (0, 5)), σ_x²)
/// b_t ~ N(direction of p_t from (-10, -10) and from (10, -10), σ_y²), wrapped to the circle
/// ```
/// The state is (p_x, p_y, v_x, v_y), x₀ ~ N((0, 5, 0, 0), diag(1, 1, 0.01, 0.01)).
#[derive(Debug, Clone, PartialEq)]
pub struct Bearings {
    /// Factor of the velocity per step.
    pub damping: f64,
    /// Strength of the pull towards the centre.
    pub pull: f64,
    /// Standard deviation of the velocity's noise, σ_x.
    pub sigma_x: f64,
    /// Standard deviation of a bearing, in radians, σ_y.
    pub sigma_y: f64,
    /// Bearings in radians from both sensors; NaN where missing.
    pub y: Vec<[f64; 2]>,
}

/// Standard deviation of the position's noise.
const SIGMA_POSITION: f64 = 0.01;
const CENTRE: [f64; 2] = [0.0, 5.0];
const SENSORS: [[f64; 2]; 2] = [[-10.0, -10.0], [10.0, -10.0]];
const INITIAL_MEAN: [f64; 4] = [0.0, 5.0, 0.0, 0.0];
const INITIAL_SD: [f64; 4] = [1.0, 1.0, 0.1, 0.1];

impl Bearings {
    /// Bearings of a position from both sensors.
    #[must_use]
    pub fn bearings(x: &[f64; 4]) -> [f64; 2] {
        SENSORS.map(|s| (x[1] - s[1]).atan2(x[0] - s[0]))
    }

    fn mean_velocity(&self, x: &[f64; 4]) -> [f64; 2] {
        [0, 1].map(|i| self.damping * x[i + 2] - self.pull * (x[i] - CENTRE[i]))
    }
}

impl StateSpaceModel for Bearings {
    type State = [f64; 4];

    fn n_steps(&self) -> usize {
        self.y.len()
    }

    fn initial(&self, rng: &mut Stream) -> [f64; 4] {
        std::array::from_fn(|i| INITIAL_MEAN[i] + INITIAL_SD[i] * rng.normal())
    }

    fn transition(&self, _t: usize, x: &[f64; 4], rng: &mut Stream) -> [f64; 4] {
        let v = self.mean_velocity(x).map(|mean| mean + self.sigma_x * rng.normal());
        let p = [0, 1].map(|i| x[i] + x[i + 2] + SIGMA_POSITION * rng.normal());
        [p[0], p[1], v[0], v[1]]
    }

    fn log_observation(&self, t: usize, x: &[f64; 4]) -> f64 {
        let Some(y) = self.y.get(t) else { return 0.0 };
        let expected = Self::bearings(x);
        let one = |i: usize| {
            // The difference of two angles, in [-π, π).
            let difference = (y[i] - expected[i] + PI).rem_euclid(TAU) - PI;
            if y[i].is_nan() { 0.0 } else { log_normal(difference, 0.0, self.sigma_y) }
        };
        one(0) + one(1)
    }
}

impl Simulate for Bearings {
    type Observation = [f64; 2];

    /// Bearings in [-π, π).
    fn observe(&self, _t: usize, x: &[f64; 4], rng: &mut Stream) -> [f64; 2] {
        Self::bearings(x).map(|b| (b + self.sigma_y * rng.normal() + PI).rem_euclid(TAU) - PI)
    }
}

impl TransitionDensity for Bearings {
    fn log_initial(&self, x: &[f64; 4]) -> f64 {
        (0..4).map(|i| log_normal(x[i], INITIAL_MEAN[i], INITIAL_SD[i])).sum()
    }

    fn log_transition(&self, _t: usize, from: &[f64; 4], to: &[f64; 4]) -> f64 {
        let v = self.mean_velocity(from);
        let one = |i: usize| log_normal(to[i + 2], v[i], self.sigma_x) + log_normal(to[i], from[i] + from[i + 2], SIGMA_POSITION);
        one(0) + one(1)
    }

    fn log_transition_bound(&self, _t: usize) -> Option<f64> {
        Some(-2.0 * (self.sigma_x * SIGMA_POSITION).ln() - 4.0 * LN_SQRT_2PI)
    }
}

impl LookAhead for Bearings {
    /// The observation's density at the mean of the next state.
    fn log_look_ahead(&self, t: usize, x: &[f64; 4]) -> f64 {
        self.log_observation(t, &[x[0] + x[2], x[1] + x[3], 0.0, 0.0])
    }
}
