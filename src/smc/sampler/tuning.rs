//! What the moves learn: the metric from the weighted cloud, the step size from the acceptance of earlier steps.

use super::config::MoveKernel;
use super::particles::Particles;
use crate::error::Error;
use crate::kernels::Metric;
use crate::weights::Weights;

/// Above this dimension only variances are learnt.
const MAX_DENSE_DIM: usize = 100;

/// Weighted mean and covariance (d × d, row-major) of the cloud.
fn moments(particles: &Particles, weights: Weights<'_>) -> (Vec<f64>, Vec<f64>) {
    let dim = particles.dim;
    let weighted = || particles.positions.chunks_exact(dim).zip(weights.relative_weights).filter(|(_, w)| **w > 0.0);
    let mut mean = vec![0.0; dim];
    for (x, w) in weighted() {
        mean.iter_mut().zip(x).for_each(|(m, x)| *m += w * x);
    }
    mean.iter_mut().for_each(|m| *m /= weights.sum_of_weights);
    let mut covariance = vec![0.0; dim * dim];
    let mut deviation = vec![0.0; dim];
    for (x, w) in weighted() {
        deviation.iter_mut().zip(x).zip(&mean).for_each(|((d, x), m)| *d = x - m);
        for (i, row) in covariance.chunks_exact_mut(dim).enumerate() {
            let scaled = w * deviation[i];
            row[..=i].iter_mut().zip(&deviation).for_each(|(c, d)| *c += scaled * d);
        }
    }
    covariance.iter_mut().for_each(|c| *c /= weights.sum_of_weights);
    (mean, covariance)
}

/// The metric whose M⁻¹ is the covariance of the weighted cloud, or the diagonal of it where that is all that can be had: in high
/// dimension, or if fewer particles than coordinates carry weight.
pub(super) fn metric(particles: &Particles, weights: Weights<'_>) -> Result<Metric, Error> {
    let dim = particles.dim;
    let (mean, covariance) = if dim <= MAX_DENSE_DIM { moments(particles, weights) } else { variances_only(particles, weights) };
    if dim <= MAX_DENSE_DIM
        && weights.ess > dim as f64
        && let Ok(metric) = Metric::dense(dim, covariance.clone())
    {
        return Ok(metric);
    }
    let step = if dim <= MAX_DENSE_DIM { dim + 1 } else { 1 };
    // A cloud that has collapsed to a point in some direction still has to move there.
    let variance = |(v, m): (&f64, &f64)| if *v > f64::MIN_POSITIVE { *v } else { (1e-8 * m.abs()).max(1e-8).powi(2) };
    Metric::diagonal(covariance.iter().step_by(step).zip(&mean).map(variance).collect())
}

fn variances_only(particles: &Particles, weights: Weights<'_>) -> (Vec<f64>, Vec<f64>) {
    let dim = particles.dim;
    let (mut mean, mut variance) = (vec![0.0; dim], vec![0.0; dim]);
    for (x, w) in particles.positions.chunks_exact(dim).zip(weights.normalised()) {
        mean.iter_mut().zip(x).for_each(|(m, x)| *m += w * x);
    }
    for (x, w) in particles.positions.chunks_exact(dim).zip(weights.normalised()) {
        variance.iter_mut().zip(x).zip(&mean).for_each(|((v, x), m)| *v += w * (x - m) * (x - m));
    }
    (mean, variance)
}

/// Step size, tuned between steps towards the kernel's best acceptance rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StepSize {
    pub(super) value: f64,
    target: f64,
}

impl StepSize {
    /// The best step size for a normal of the metric's covariance.
    pub(super) fn new(kernel: MoveKernel, dim: usize) -> Self {
        let d = dim.max(1) as f64;
        match kernel {
            // Gelman, Roberts and Gilks 1996; Roberts and Rosenthal 1998; Beskos et al. 2013.
            MoveKernel::RandomWalk => Self { value: 2.38 / d.sqrt(), target: if dim == 1 { 0.44 } else { 0.234 } },
            MoveKernel::Mala => Self { value: 1.4 * d.powf(-1.0 / 6.0), target: 0.574 },
            MoveKernel::Hmc(_) | MoveKernel::Nuts(_) => Self { value: d.powf(-0.25), target: 0.8 },
        }
    }

    /// log ε += acceptance - target, one step of stochastic approximation per move of the whole cloud.
    pub(super) fn learn(&mut self, acceptance_rate: f64) {
        if acceptance_rate.is_finite() {
            self.value = (self.value * (acceptance_rate - self.target).exp()).clamp(1e-300, 1e300);
        }
    }
}
