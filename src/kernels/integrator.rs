//! The leapfrog integrator: a reversible, volume-preserving map of phase space that nearly conserves energy.
//!
//! ```text
//! H(q, p) = −log π(q) + ½ pᵀ M⁻¹ p
//! p ← p + ε/2 ∇log π(q)        q ← q + ε M⁻¹ p        p ← p + ε/2 ∇log π(q)
//! ```
//! *Cost* one gradient and one product with M⁻¹. The energy error over a fixed time is O(ε²).
//! *Reference* Leimkuhler & Reich 2004, <https://doi.org/10.1017/CBO9780511614118>.

use super::{Metric, State, axpy, dot};
use crate::error::DensityError;
use crate::model::LogDensityGradient;
use crate::rng::Stream;

/// A point in phase space with what the integrator keeps there; all vectors have length d.
#[derive(Debug, Clone, Default)]
pub(super) struct PhasePoint {
    /// q.
    pub(super) position: Vec<f64>,
    /// p.
    pub(super) momentum: Vec<f64>,
    /// M⁻¹ p.
    pub(super) velocity: Vec<f64>,
    /// ∇log π(q).
    pub(super) gradient: Vec<f64>,
    /// M⁻¹ ∇log π(q), with which the velocity is updated along with the momentum; unused by a diagonal metric.
    acceleration: Vec<f64>,
    /// log π(q).
    pub(super) log_density: f64,
    /// ½ pᵀ M⁻¹ p.
    kinetic_energy: f64,
}

impl PhasePoint {
    /// Memory for a point of dimension `dim`, at the origin.
    pub(super) fn new(dim: usize) -> Self {
        let zeros = || vec![0.0; dim];
        Self {
            position: zeros(),
            momentum: zeros(),
            velocity: zeros(),
            gradient: zeros(),
            acceleration: zeros(),
            log_density: 0.0,
            kinetic_energy: 0.0,
        }
    }

    /// Moves to `state` with a fresh momentum. The state has dimension d and a gradient.
    pub(super) fn start(&mut self, state: &State, metric: &Metric, rng: &mut Stream) {
        self.position.copy_from_slice(&state.position);
        self.gradient.copy_from_slice(&state.gradient);
        self.log_density = state.log_density;
        metric.sample_momentum(rng, &mut self.momentum);
        self.complete(metric);
    }

    /// Computes what follows from momentum and gradient.
    fn complete(&mut self, metric: &Metric) {
        self.kinetic_energy = metric.kinetic_energy(&self.momentum, &mut self.velocity);
        if !matches!(metric, Metric::Diagonal(_)) {
            metric.velocity(&self.gradient, &mut self.acceleration);
        }
    }

    /// Becomes a copy of `other`, without allocating.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.position.copy_from_slice(&other.position);
        self.momentum.copy_from_slice(&other.momentum);
        self.velocity.copy_from_slice(&other.velocity);
        self.gradient.copy_from_slice(&other.gradient);
        self.acceleration.copy_from_slice(&other.acceleration);
        self.log_density = other.log_density;
        self.kinetic_energy = other.kinetic_energy;
    }

    /// This point, resized if it has another dimension (as after deserialisation of its owner).
    pub(super) fn for_dimension(&mut self, dim: usize) -> &mut Self {
        if self.position.len() != dim {
            *self = Self::new(dim);
        }
        self
    }

    /// Writes position, log density and gradient to `state`, of the same dimension.
    pub(super) fn write_to(&self, state: &mut State) {
        state.position.copy_from_slice(&self.position);
        state.gradient.copy_from_slice(&self.gradient);
        state.log_density = self.log_density;
    }

    /// The energy H; +∞ where the density is zero or could not be evaluated, never NaN.
    pub(super) fn energy(&self) -> f64 {
        let energy = self.kinetic_energy - self.log_density;
        if energy.is_nan() { f64::INFINITY } else { energy }
    }

    /// Makes one leapfrog step and returns the energy at its end; a negative step size goes back in time.
    ///
    /// Where the density is zero or fails recoverably, or the position overflows, the energy is +∞ and the point cannot be used further.
    ///
    /// # Errors
    /// Fatal errors of the density.
    pub(super) fn leapfrog(
        &mut self,
        target: &mut dyn LogDensityGradient,
        metric: &Metric,
        step_size: f64,
    ) -> Result<f64, DensityError> {
        let half = 0.5 * step_size;
        let finite = self.kick_and_drift(metric, half, step_size);
        self.log_density = if finite {
            match target.log_density_gradient(&self.position, &mut self.gradient) {
                Ok(value) => value,
                Err(error) if error.is_recoverable() => f64::NEG_INFINITY,
                Err(error) => return Err(error),
            }
        } else {
            f64::NEG_INFINITY
        };
        if self.log_density == f64::NEG_INFINITY {
            return Ok(f64::INFINITY);
        }
        self.kick(metric, half);
        Ok(self.energy())
    }

    /// p ← p + half ∇, q ← q + ε M⁻¹ p; false if the position is no longer finite. One pass over memory where the metric allows it.
    fn kick_and_drift(&mut self, metric: &Metric, half: f64, step_size: f64) -> bool {
        if let Metric::Diagonal(diagonal) = metric {
            let mut finite = true;
            let coordinates = diagonal.variances().iter().zip(&mut self.momentum).zip(&self.gradient).zip(&mut self.position);
            for (((variance, p), g), q) in coordinates {
                *p += half * g;
                *q += step_size * (variance * *p);
                finite &= q.is_finite();
            }
            return finite;
        }
        axpy(half, &self.gradient, &mut self.momentum);
        axpy(half, &self.acceleration, &mut self.velocity);
        axpy(step_size, &self.velocity, &mut self.position);
        self.position.iter().all(|q| q.is_finite())
    }

    /// p ← p + half ∇, then velocity and kinetic energy of the new momentum.
    fn kick(&mut self, metric: &Metric, half: f64) {
        if let Metric::Diagonal(diagonal) = metric {
            let coordinates = diagonal.variances().iter().zip(&mut self.momentum).zip(&self.gradient).zip(&mut self.velocity);
            for (((variance, p), g), v) in coordinates {
                *p += half * g;
                *v = variance * *p;
            }
            self.kinetic_energy = 0.5 * dot(&self.momentum, &self.velocity);
        } else {
            metric.velocity(&self.gradient, &mut self.acceleration);
            axpy(half, &self.gradient, &mut self.momentum);
            axpy(half, &self.acceleration, &mut self.velocity);
            self.kinetic_energy = 0.5 * dot(&self.momentum, &self.velocity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::invariance::skewed;

    fn start(metric: &Metric) -> PhasePoint {
        let mut target = skewed();
        let state = State::new(&mut target, vec![0.4, -0.3, 0.8]).unwrap();
        let mut point = PhasePoint::new(3);
        point.start(&state, metric, &mut Stream::new(5));
        point
    }

    fn metrics() -> [Metric; 3] {
        [
            Metric::diagonal(vec![0.5, 2.0, 1.0]).unwrap(),
            Metric::dense(3, vec![1.0, 0.3, 0.1, 0.3, 2.0, -0.4, 0.1, -0.4, 0.7]).unwrap(),
            Metric::low_rank(vec![1.0, 2.0, 0.5], vec![0.6, 0.0, 0.8], vec![4.0]).unwrap(),
        ]
    }

    #[test]
    fn it_runs_backwards() {
        for metric in metrics() {
            let (before, mut point) = (start(&metric), start(&metric));
            for step in [0.1, -0.1] {
                for _ in 0..50 {
                    point.leapfrog(&mut skewed(), &metric, step).unwrap();
                }
            }
            for (a, b) in before.position.iter().chain(&before.momentum).zip(point.position.iter().chain(&point.momentum)) {
                assert!((a - b).abs() < 1e-10);
            }
        }
    }

    #[test]
    fn velocity_stays_the_metrics_product() {
        for metric in metrics() {
            let mut point = start(&metric);
            for _ in 0..1000 {
                point.leapfrog(&mut skewed(), &metric, 0.1).unwrap();
            }
            let mut velocity = [0.0; 3];
            let energy = metric.kinetic_energy(&point.momentum, &mut velocity);
            assert!((energy - point.kinetic_energy).abs() < 1e-11);
            velocity.iter().zip(&point.velocity).for_each(|(a, b)| assert!((a - b).abs() < 1e-11));
        }
    }

    #[test]
    fn energy_error_is_of_second_order() {
        for metric in metrics() {
            let error = |n: i32| {
                let mut point = start(&metric);
                let before = point.energy();
                for _ in 0..n {
                    point.leapfrog(&mut skewed(), &metric, 1.0 / f64::from(n)).unwrap();
                }
                point.energy() - before
            };
            // Next order: the ratio of errors is 4 + O(ε²) with ε = 1/64.
            let ratio = error(64) / error(128);
            assert!((ratio - 4.0).abs() < 0.05, "{ratio}");
        }
    }

    #[test]
    fn volume_is_preserved() {
        // The Jacobian of one step by central differences: its determinant is 1 (error O(h²) = 1e-8 or so).
        let metric = &metrics()[1];
        let step = |shift: usize, h: f64| {
            let mut point = start(metric);
            if shift < 3 {
                point.position[shift] += h
            } else {
                point.momentum[shift - 3] += h
            }
            let state = State::new(&mut skewed(), point.position.clone()).unwrap();
            point.gradient.copy_from_slice(&state.gradient);
            point.complete(metric);
            point.leapfrog(&mut skewed(), metric, 0.4).unwrap();
            [point.position, point.momentum].concat()
        };
        let h = 1e-5;
        let mut jacobian: Vec<Vec<f64>> =
            (0..6).map(|i| step(i, h).iter().zip(step(i, -h)).map(|(a, b)| (a - b) / (2.0 * h)).collect()).collect();
        let mut determinant = 1.0;
        for i in 0..6 {
            let pivot = (i..6).max_by(|&a, &b| jacobian[a][i].abs().total_cmp(&jacobian[b][i].abs())).unwrap();
            if pivot != i {
                jacobian.swap(pivot, i);
                determinant = -determinant;
            }
            determinant *= jacobian[i][i];
            for k in i + 1..6 {
                let factor = jacobian[k][i] / jacobian[i][i];
                for j in i..6 {
                    jacobian[k][j] -= factor * jacobian[i][j];
                }
            }
        }
        assert!((determinant - 1.0).abs() < 1e-7, "{determinant}");
    }

    #[test]
    fn zero_density_and_overflow_are_infinite_energy() {
        let metric = Metric::identity(3);
        let mut point = start(&metric);
        point.momentum[0] = 1e200;
        point.complete(&metric);
        assert_eq!(point.leapfrog(&mut skewed(), &metric, 1e200).unwrap(), f64::INFINITY);
    }
}
