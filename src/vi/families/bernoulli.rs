//! Independent coordinates that are 0 or 1.
//!
//! ```text
//! φ = θ      zᵢ ~ Bernoulli(σ(θᵢ)),   log q(z) = Σᵢ zᵢ θᵢ - log(1 + e^θᵢ),   ∇θ log q = z - σ(θ)
//! ```
//! A draw does not move with θ, so there is no path derivative: gradients are those of
//! [`Estimator::LeaveOneOut`](crate::vi::Estimator::LeaveOneOut) or [`Estimator::WakePhase`](crate::vi::Estimator::WakePhase),
//! and the target gives its log density on {0, 1}ᵈ only. *Costs* d per draw. *Not* where coordinates depend on each other
//! strongly: see [`Mixture`](super::Mixture). *Reference* Mnih & Rezende 2016, <https://arxiv.org/abs/1602.06725>.

use ndarray::Array2;

use crate::error::Error;
use crate::math::{inv_logit, log1p_exp};
use crate::rng::Stream;
use crate::vi::approximation::{Approximation, Closure, Family, check_parameters, check_start};
use crate::vi::families::check_evaluation;

/// The family of independent binary coordinates.
///
/// It has no scale: at the start the logits θ are random, and `scale` is their standard deviation.
///
/// ```
/// use posterity::{rng::Stream, vi::{Approximation, Bernoulli, Family}};
/// let mut q = Bernoulli.start(2, 0.1, &mut Stream::new(1))?;
/// q.set_parameters(&[0.0, 2.0])?;
/// assert_eq!(q.mean().unwrap()[0], 0.5);
/// assert!((q.log_density_gradient(&[1.0, 1.0], &mut [0.0; 2])? - (0.5_f64 / (1.0 + (-2.0_f64).exp())).ln()).abs() < 1e-12);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bernoulli;

impl Family for Bernoulli {
    fn name(&self) -> String {
        "independent Bernoulli".to_owned()
    }

    fn closed_under(&self) -> Closure {
        Closure::Nothing
    }

    fn start(&self, dim: usize, scale: f64, rng: &mut Stream) -> Result<Box<dyn Approximation>, Error> {
        check_start(dim, scale)?;
        let mut q = IndependentBernoulli { parameters: vec![0.0; dim], probabilities: vec![0.5; dim], draws: Vec::new() };
        q.set_parameters(&(0..dim).map(|_| scale * rng.normal()).collect::<Vec<_>>())?;
        Ok(Box::new(q))
    }
}

/// A member of [`Bernoulli`]. Its log density at other positions than 0 and 1 is an error, and its gradient in the position that
/// of the formula, θ.
#[derive(Debug, Clone)]
struct IndependentBernoulli {
    parameters: Vec<f64>,
    /// σ(θ).
    probabilities: Vec<f64>,
    /// n x d.
    draws: Vec<f64>,
}

impl IndependentBernoulli {
    fn add_parameter_scores(&self, positions: &[f64], coefficients: &[f64], out: &mut [f64]) {
        let rows = positions.chunks_exact(self.parameters.len());
        for (&coefficient, row) in coefficients.iter().zip(rows).filter(|(c, _)| **c != 0.0) {
            for ((out, z), probability) in out.iter_mut().zip(row).zip(&self.probabilities) {
                *out += coefficient * (z - probability);
            }
        }
    }
}

impl Approximation for IndependentBernoulli {
    fn dim(&self) -> usize {
        self.parameters.len()
    }

    fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        check_parameters(self.parameters.len(), parameters)?;
        self.parameters.copy_from_slice(parameters);
        self.probabilities.iter_mut().zip(parameters).for_each(|(p, theta)| *p = inv_logit(*theta));
        self.draws.clear();
        Ok(())
    }

    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        for (draw, log_density) in draws.chunks_exact_mut(self.parameters.len()).zip(log_densities) {
            *log_density = 0.0;
            for ((z, theta), probability) in draw.iter_mut().zip(&self.parameters).zip(&self.probabilities) {
                let is_one = rng.uniform() < *probability;
                *z = if is_one { 1.0 } else { 0.0 };
                *log_density -= log1p_exp(if is_one { -theta } else { *theta });
            }
        }
        self.draws.clear();
        self.draws.extend_from_slice(draws);
    }

    fn scores(&mut self, out: &mut [f64]) {
        let dim = self.parameters.len();
        for (row, _) in out.chunks_exact_mut(dim).zip(self.draws.chunks_exact(dim)) {
            row.copy_from_slice(&self.parameters);
        }
    }

    fn pull_back(&mut self, _cotangents: &[f64], _out: &mut [f64]) {}

    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        self.add_parameter_scores(&self.draws, coefficients, out);
    }

    fn parameter_scores_at(&mut self, positions: &[f64], coefficients: &[f64], out: &mut [f64]) -> bool {
        self.add_parameter_scores(positions, coefficients, out);
        true
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        check_evaluation(self.parameters.len(), position, gradient)?;
        let mut log_density = 0.0;
        for (i, (&z, theta)) in position.iter().zip(&self.parameters).enumerate() {
            if z != 0.0 && z != 1.0 {
                return Err(Error::OutsideSupport { variable: format!("position[{i}]"), value: z, support: "0 or 1" });
            }
            log_density -= log1p_exp(if z == 1.0 { -theta } else { *theta });
        }
        gradient.copy_from_slice(&self.parameters);
        Ok(log_density)
    }

    fn is_reparameterised(&self) -> bool {
        false
    }

    fn entropy(&self) -> Option<f64> {
        let terms = self.parameters.iter().zip(&self.probabilities);
        Some(terms.map(|(theta, p)| p * log1p_exp(-theta) + (1.0 - p) * log1p_exp(*theta)).sum())
    }

    fn entropy_gradient(&self, coefficient: f64, out: &mut [f64]) -> bool {
        for ((out, theta), p) in out.iter_mut().zip(&self.parameters).zip(&self.probabilities) {
            *out -= coefficient * theta * p * (1.0 - p);
        }
        true
    }

    fn mean(&self) -> Option<Vec<f64>> {
        Some(self.probabilities.clone())
    }

    fn covariance(&self) -> Option<Array2<f64>> {
        let variances: Vec<f64> = self.probabilities.iter().map(|p| p * (1.0 - p)).collect();
        Some(Array2::from_diag(&ndarray::Array1::from(variances)))
    }

    fn clone_box(&self) -> Box<dyn Approximation> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vi::Mixture;
    use crate::vi::families::check::{check_moments, check_parameter_scores};

    #[test]
    fn probabilities_are_those_of_the_logits() {
        let mut q = Bernoulli.start(3, 1.0, &mut Stream::new(2)).unwrap();
        q.set_parameters(&[-40.0, 0.3, 800.0]).unwrap();
        let p = 1.0 / (1.0 + (-0.3_f64).exp());
        let found = q.log_density_gradient(&[1.0, 0.0, 1.0], &mut [0.0; 3]).unwrap();
        assert!((found - (-40.0 + (1.0 - p).ln())).abs() < 1e-12);
        let outcomes = (0..8).map(|code| [0, 1, 2].map(|bit| f64::from(code >> bit & 1)));
        q.set_parameters(&[-1.0, 0.3, 2.0]).unwrap();
        let total: f64 = outcomes.map(|z| q.log_density_gradient(&z, &mut [0.0; 3]).unwrap().exp()).sum();
        assert!((total - 1.0).abs() < 1e-14);
        check_moments(q.as_mut());
    }

    #[test]
    fn scores_agree_with_differences() {
        check_parameter_scores(Bernoulli.start(3, 1.0, &mut Stream::new(2)).unwrap().as_mut(), 5);
        let mut mixture = Mixture::new(Bernoulli, 2).start(3, 1.0, &mut Stream::new(2)).unwrap();
        assert!(!mixture.is_reparameterised());
        check_parameter_scores(mixture.as_mut(), 5);
        check_moments(mixture.as_mut());
    }

    #[test]
    fn what_is_not_binary_is_an_error() {
        let mut q = Bernoulli.start(2, 1.0, &mut Stream::new(2)).unwrap();
        let mut at = |position: &[f64]| q.log_density_gradient(position, &mut [0.0; 2]);
        assert!(matches!(at(&[0.0, 0.5]), Err(Error::OutsideSupport { value: 0.5, .. })));
        assert!(matches!(at(&[0.0, f64::NAN]), Err(Error::NotFinite { index: 1, .. })));
        assert!(matches!(at(&[0.0]), Err(Error::Dimension { .. })));
        assert!(Bernoulli.start(0, 1.0, &mut Stream::new(2)).is_err());
        assert!(Bernoulli.start(2, -1.0, &mut Stream::new(2)).is_err());
    }
}
