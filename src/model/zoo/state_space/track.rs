//! A target that moves in the plane with damped velocity, its position seen with noise: linear and Gaussian.

use super::LN_SQRT_2PI;
use crate::model::{LookAhead, Simulate, StateSpaceModel, TransitionDensity};
use crate::rng::Stream;

/// Damped constant-velocity motion in the plane, with positions observed.
///
/// ```text
/// per axis:  p_t = p + v + ε_p     v_t = damping · v + ε_v     (ε_p, ε_v) ~ N(0, q [1/3 1/2; 1/2 1])     y_t ~ N(p_t, σ_y²)
/// ```
/// The state is (p_x, p_y, v_x, v_y), x₀ ~ N(0, I). Source: Y. Bar-Shalom, X. R. Li and T. Kirubarajan, *Estimation with Applications to
/// Tracking and Navigation*, 2001, doi:10.1002/0471221279.
#[derive(Debug, Clone, PartialEq)]
pub struct Track2d {
    /// Factor of the velocity per step.
    pub damping: f64,
    /// Intensity of the noise, q.
    pub q: f64,
    /// Standard deviation of the observations, σ_y.
    pub sigma_y: f64,
    /// Observed positions; NaN in a component where it is missing.
    pub y: Vec<[f64; 2]>,
}

impl Track2d {
    /// Cholesky factor of the noise of one axis: position from the first normal, velocity from both.
    fn noise(&self) -> [f64; 3] {
        let position = (self.q / 3.0).sqrt();
        let slope = 0.5 * self.q / position;
        [position, slope, (self.q - slope * slope).sqrt()]
    }

    fn moved(&self, x: &[f64; 4], noise: [f64; 3], rng: &mut Stream) -> [f64; 4] {
        let [a, b, c] = noise;
        let (z1, z2, z3, z4) = (rng.normal(), rng.normal(), rng.normal(), rng.normal());
        [x[0] + x[2] + a * z1, x[1] + x[3] + a * z2, self.damping * x[2] + b * z1 + c * z3, self.damping * x[3] + b * z2 + c * z4]
    }
}

impl StateSpaceModel for Track2d {
    type State = [f64; 4];

    fn n_steps(&self) -> usize {
        self.y.len()
    }

    fn initial(&self, rng: &mut Stream) -> [f64; 4] {
        std::array::from_fn(|_| rng.normal())
    }

    fn transition(&self, _t: usize, x: &[f64; 4], rng: &mut Stream) -> [f64; 4] {
        self.moved(x, self.noise(), rng)
    }

    fn log_observation(&self, t: usize, x: &[f64; 4]) -> f64 {
        let Some(y) = self.y.get(t) else { return 0.0 };
        let one = |axis: usize| {
            let z = (y[axis] - x[axis]) / self.sigma_y;
            if y[axis].is_nan() { 0.0 } else { -0.5 * z * z - self.sigma_y.ln() - LN_SQRT_2PI }
        };
        one(0) + one(1)
    }

    fn step_block(
        &self,
        t: usize,
        parents: &[[f64; 4]],
        ancestors: &[u32],
        rng: &mut Stream,
        children: &mut [[f64; 4]],
        log_increments: &mut [f64],
    ) {
        let noise = self.noise();
        for (x, &a) in children.iter_mut().zip(ancestors) {
            *x = self.moved(&parents[a as usize], noise, rng);
        }
        match self.y.get(t) {
            Some(y) if !y[0].is_nan() && !y[1].is_nan() => {
                let half_precision = 0.5 / (self.sigma_y * self.sigma_y);
                let constant = -2.0 * (self.sigma_y.ln() + LN_SQRT_2PI);
                for (w, x) in log_increments.iter_mut().zip(children) {
                    let (r, s) = (y[0] - x[0], y[1] - x[1]);
                    *w = constant - half_precision * (r * r + s * s);
                }
            }
            _ => {
                for (w, x) in log_increments.iter_mut().zip(children) {
                    *w = self.log_observation(t, x);
                }
            }
        }
    }
}

impl Simulate for Track2d {
    type Observation = [f64; 2];

    fn observe(&self, _t: usize, x: &[f64; 4], rng: &mut Stream) -> [f64; 2] {
        [0, 1].map(|axis| x[axis] + self.sigma_y * rng.normal())
    }
}

impl TransitionDensity for Track2d {
    fn log_initial(&self, x: &[f64; 4]) -> f64 {
        x.iter().map(|v| -0.5 * v * v - LN_SQRT_2PI).sum()
    }

    fn log_transition(&self, _t: usize, from: &[f64; 4], to: &[f64; 4]) -> f64 {
        let [a, b, c] = self.noise();
        let axis = |i: usize| {
            let z = (to[i] - from[i] - from[i + 2]) / a;
            let w = (to[i + 2] - self.damping * from[i + 2] - b * z) / c;
            -0.5 * (z * z + w * w) - (a * c).ln() - 2.0 * LN_SQRT_2PI
        };
        axis(0) + axis(1)
    }

    fn log_transition_bound(&self, _t: usize) -> Option<f64> {
        let [a, _, c] = self.noise();
        Some(-2.0 * (a * c).ln() - 4.0 * LN_SQRT_2PI)
    }
}

impl LookAhead for Track2d {
    /// The observation's density at the mean of the next state.
    fn log_look_ahead(&self, t: usize, x: &[f64; 4]) -> f64 {
        self.log_observation(t, &[x[0] + x[2], x[1] + x[3], 0.0, 0.0])
    }
}
