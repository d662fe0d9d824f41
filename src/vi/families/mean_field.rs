//! Independent normal coordinates.
//!
//! ```text
//! φ = (μ, ω)      z = μ + e^ω ε,   ε ~ N(0, I)
//! ```
//! *Costs* d per draw. *Not* where coordinates are correlated and standard deviations matter: the optimum under KL(q‖p) has the *conditional* ones. *Reference*
//! Kucukelbir et al. 2017, <https://jmlr.org/papers/v18/16-107.html>.

use ndarray::Array2;

use crate::error::Error;
use crate::rng::Stream;
use crate::vi::approximation::{Approximation, Family, check_parameters, check_scales, check_start};
use crate::vi::families::check_evaluation;

/// log √(2π)
pub(crate) const HALF_LOG_TWO_PI: f64 = 0.918_938_533_204_672_8;

/// The family of normal distributions with independent coordinates.
///
/// ```
/// use posterity::{rng::Stream, vi::{Approximation, Family, MeanField}};
/// let q = MeanField.start(3, 0.5, &mut Stream::new(1))?;
/// assert_eq!(q.parameters().len(), 6);
/// assert_eq!(q.covariance().unwrap()[[1, 1]], 0.25);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MeanField;

impl Family for MeanField {
    fn name(&self) -> String {
        "mean-field normal".to_owned()
    }

    fn start(&self, dim: usize, scale: f64, _rng: &mut Stream) -> Result<Box<dyn Approximation>, Error> {
        Ok(Box::new(IndependentNormal::new(dim, scale)?))
    }
}

/// Logarithms of standard deviations below this in size have an exponential that is positive and finite.
const SAFE_EXPONENT: f64 = 700.0;

/// A member of [`MeanField`].
#[derive(Debug, Clone)]
pub(super) struct IndependentNormal {
    pub(super) parameters: Vec<f64>,
    pub(super) sd: Vec<f64>,
    /// ε of the draws, n x d.
    pub(super) noise: Vec<f64>,
}

impl IndependentNormal {
    /// Around the origin, with one standard deviation for all.
    pub(super) fn new(dim: usize, sd: f64) -> Result<Self, Error> {
        check_start(dim, sd)?;
        let mut parameters = vec![0.0; 2 * dim];
        parameters[dim..].fill(sd.ln());
        Ok(Self { sd: vec![sd; dim], parameters, noise: Vec::new() })
    }

    fn log_normaliser(&self) -> f64 {
        let dim = self.sd.len();
        self.parameters[dim..].iter().sum::<f64>() + dim as f64 * HALF_LOG_TWO_PI
    }
}

impl Approximation for IndependentNormal {
    fn dim(&self) -> usize {
        self.sd.len()
    }

    fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        check_parameters(self.parameters.len(), parameters)?;
        let log_scales = &parameters[self.sd.len()..];
        let is_safe = |omega: &f64| omega.abs() < SAFE_EXPONENT;
        log_scales.iter().filter(|omega| !is_safe(omega)).try_for_each(|omega| check_scales(&[omega.exp()]))?;
        self.sd.iter_mut().zip(log_scales).for_each(|(sd, omega)| *sd = omega.exp());
        self.parameters.copy_from_slice(parameters);
        self.noise.clear();
        Ok(())
    }

    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        let dim = self.sd.len();
        self.noise.resize(draws.len(), 0.0);
        rng.fill_normal(&mut self.noise);
        let normaliser = self.log_normaliser();
        let location = &self.parameters[..dim];
        let rows = draws.chunks_exact_mut(dim).zip(self.noise.chunks_exact(dim)).zip(log_densities);
        for ((draw, noise), log_density) in rows {
            let mut square = 0.0;
            for (((draw, noise), location), sd) in draw.iter_mut().zip(noise).zip(location).zip(&self.sd) {
                *draw = location + sd * noise;
                square += noise * noise;
            }
            *log_density = -0.5 * square - normaliser;
        }
    }

    fn scores(&mut self, out: &mut [f64]) {
        let dim = self.sd.len();
        for (out, noise) in out.chunks_exact_mut(dim).zip(self.noise.chunks_exact(dim)) {
            for ((out, noise), sd) in out.iter_mut().zip(noise).zip(&self.sd) {
                *out = -noise / sd;
            }
        }
    }

    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]) {
        let dim = self.sd.len();
        let (location, log_scale) = out.split_at_mut(dim);
        for (cotangent, noise) in cotangents.chunks_exact(dim).zip(self.noise.chunks_exact(dim)) {
            let both = location.iter_mut().zip(log_scale.iter_mut());
            for (((location, log_scale), (cotangent, noise)), sd) in both.zip(cotangent.iter().zip(noise)).zip(&self.sd) {
                *location += cotangent;
                *log_scale += cotangent * noise * sd;
            }
        }
    }

    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        let dim = self.sd.len();
        let (location, log_scale) = out.split_at_mut(dim);
        for (coefficient, noise) in coefficients.iter().zip(self.noise.chunks_exact(dim)) {
            for i in 0..dim {
                location[i] += coefficient * noise[i] / self.sd[i];
                log_scale[i] += coefficient * (noise[i] * noise[i] - 1.0);
            }
        }
    }

    fn parameter_scores_at(&mut self, positions: &[f64], coefficients: &[f64], out: &mut [f64]) -> bool {
        let dim = self.sd.len();
        let (location, log_scale) = out.split_at_mut(dim);
        for (&coefficient, position) in coefficients.iter().zip(positions.chunks_exact(dim)).filter(|(c, _)| **c != 0.0) {
            for i in 0..dim {
                let noise = (position[i] - self.parameters[i]) / self.sd[i];
                location[i] += coefficient * noise / self.sd[i];
                log_scale[i] += coefficient * (noise * noise - 1.0);
            }
        }
        true
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        check_evaluation(self.sd.len(), position, gradient)?;
        let mut square = 0.0;
        for i in 0..self.sd.len() {
            let standardised = (position[i] - self.parameters[i]) / self.sd[i];
            gradient[i] = -standardised / self.sd[i];
            square += standardised * standardised;
        }
        Ok(-0.5 * square - self.log_normaliser())
    }

    fn entropy(&self) -> Option<f64> {
        Some(self.log_normaliser() + 0.5 * self.sd.len() as f64)
    }

    fn entropy_gradient(&self, coefficient: f64, out: &mut [f64]) -> bool {
        out[self.sd.len()..].iter_mut().for_each(|x| *x += coefficient);
        true
    }

    fn mean(&self) -> Option<Vec<f64>> {
        Some(self.parameters[..self.sd.len()].to_vec())
    }

    fn covariance(&self) -> Option<Array2<f64>> {
        let dim = self.sd.len();
        let mut covariance = Array2::zeros((dim, dim));
        covariance.diag_mut().iter_mut().zip(&self.sd).for_each(|(entry, sd)| *entry = sd * sd);
        Some(covariance)
    }

    fn clone_box(&self) -> Box<dyn Approximation> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vi::families::check::check_family;

    #[test]
    fn derivatives_agree_with_differences() {
        check_family(&MeanField, 3);
    }
}
