//! The normal distribution whose covariance is diagonal but for a few directions: linear in d in memory and time.
//!
//! ```text
//! Σ = diag(a) (I + W diag(λ - 1) Wᵀ) diag(a),   WᵀW = I, k columns      φ = (μ, log a), W and λ fixed
//! z = μ + a ∘ (ε + W (√λ - 1) Wᵀ ε),   ε ~ N(0, I)
//! ```
//! *Costs* d k per draw. The directions are no parameters: what climbs a bound from here moves and stretches the distribution, coordinate by coordinate.

use ndarray::Array2;

use crate::error::Error;
use crate::rng::Stream;
use crate::vi::approximation::{Approximation, check_finite, check_parameters, check_position, check_scales, check_start};
use crate::vi::families::{HALF_LOG_TWO_PI, check_evaluation};

/// A normal distribution on ℝᵈ with k directions in which it is wider or narrower than its diagonal says.
#[derive(Debug, Clone)]
pub(in crate::vi) struct SpikedNormal {
    /// μ, log a
    parameters: Vec<f64>,
    /// a
    scales: Vec<f64>,
    /// Wᵀ: orthonormal rows of length d.
    directions: Vec<f64>,
    /// λ
    eigenvalues: Vec<f64>,
    log_normaliser: f64,
    /// (z - μ) / a of the draws, n x d.
    standardised: Vec<f64>,
    scratch: Vec<f64>,
}

impl SpikedNormal {
    /// From the mean, the scales a, k orthonormal rows of length d and their eigenvalues λ.
    ///
    /// # Errors
    /// [`Error::NoParameters`], [`Error::Dimension`], [`Error::NotFinite`], [`Error::InvalidSetting`] for a scale or eigenvalue that is not positive and finite.
    pub(in crate::vi) fn new(mean: &[f64], scales: Vec<f64>, directions: Vec<f64>, eigenvalues: Vec<f64>) -> Result<Self, Error> {
        let dim = mean.len();
        check_start(dim, 1.0)?;
        check_position(dim, mean)?;
        check_position(dim, &scales)?;
        check_scales(&scales)?;
        check_scales(&eigenvalues)?;
        let (expected, found) = (eigenvalues.len() * dim, directions.len());
        if expected != found {
            return Err(Error::Dimension { what: "directions of the approximation", expected, found });
        }
        check_finite("directions of the approximation", &directions)?;
        let parameters: Vec<f64> = mean.iter().copied().chain(scales.iter().map(|a| a.ln())).collect();
        let mut normal = Self {
            parameters,
            scales,
            directions,
            eigenvalues,
            log_normaliser: 0.0,
            standardised: Vec::new(),
            scratch: vec![0.0; dim],
        };
        normal.log_normaliser = normal.normaliser();
        Ok(normal)
    }

    fn normaliser(&self) -> f64 {
        let dim = self.scales.len();
        let log_scales: f64 = self.parameters[dim..].iter().sum();
        log_scales + 0.5 * self.eigenvalues.iter().map(|l| l.ln()).sum::<f64>() + dim as f64 * HALF_LOG_TWO_PI
    }

    /// The marginal variances.
    pub(in crate::vi) fn variances(&self) -> Vec<f64> {
        let mut variances = vec![1.0; self.scales.len()];
        for (direction, eigenvalue) in self.directions.chunks_exact(variances.len()).zip(&self.eigenvalues) {
            variances.iter_mut().zip(direction).for_each(|(v, w)| *v += (eigenvalue - 1.0) * w * w);
        }
        // Where λ is tiny, rounding alone could make a variance negative.
        variances.iter_mut().zip(&self.scales).for_each(|(v, a)| *v = v.max(f64::EPSILON) * a * a);
        variances
    }
}

/// Replaces x by (I + W diag(f(λ) - 1) Wᵀ) x.
fn stretch(directions: &[f64], eigenvalues: &[f64], f: impl Fn(f64) -> f64, x: &mut [f64]) {
    for (direction, &eigenvalue) in directions.chunks_exact(x.len()).zip(eigenvalues) {
        let projection: f64 = direction.iter().zip(x.iter()).map(|(w, x)| w * x).sum();
        let factor = (f(eigenvalue) - 1.0) * projection;
        x.iter_mut().zip(direction).for_each(|(x, w)| *x += factor * w);
    }
}

impl Approximation for SpikedNormal {
    fn dim(&self) -> usize {
        self.scales.len()
    }

    fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        check_parameters(self.parameters.len(), parameters)?;
        let scales: Vec<f64> = parameters[self.scales.len()..].iter().map(|x| x.exp()).collect();
        check_scales(&scales)?;
        self.parameters.copy_from_slice(parameters);
        self.scales = scales;
        self.log_normaliser = self.normaliser();
        self.standardised.clear();
        Ok(())
    }

    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        let dim = self.scales.len();
        self.standardised.resize(draws.len(), 0.0);
        rng.fill_normal(&mut self.standardised);
        let rows = draws.chunks_exact_mut(dim).zip(self.standardised.chunks_exact_mut(dim)).zip(log_densities);
        for ((draw, row), log_density) in rows {
            *log_density = -0.5 * row.iter().map(|x| x * x).sum::<f64>() - self.log_normaliser;
            stretch(&self.directions, &self.eigenvalues, f64::sqrt, row);
            for i in 0..dim {
                draw[i] = self.parameters[i] + self.scales[i] * row[i];
            }
        }
    }

    fn scores(&mut self, out: &mut [f64]) {
        let dim = self.scales.len();
        for (out, row) in out.chunks_exact_mut(dim).zip(self.standardised.chunks_exact(dim)) {
            out.copy_from_slice(row);
            stretch(&self.directions, &self.eigenvalues, f64::recip, out);
            out.iter_mut().zip(&self.scales).for_each(|(x, a)| *x = -*x / a);
        }
    }

    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]) {
        let dim = self.scales.len();
        let (location, log_scale) = out.split_at_mut(dim);
        for (cotangent, row) in cotangents.chunks_exact(dim).zip(self.standardised.chunks_exact(dim)) {
            for i in 0..dim {
                location[i] += cotangent[i];
                log_scale[i] += cotangent[i] * self.scales[i] * row[i];
            }
        }
    }

    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        let dim = self.scales.len();
        let (location, log_scale) = out.split_at_mut(dim);
        for (coefficient, row) in coefficients.iter().zip(self.standardised.chunks_exact(dim)) {
            self.scratch.copy_from_slice(row);
            stretch(&self.directions, &self.eigenvalues, f64::recip, &mut self.scratch);
            for i in 0..dim {
                location[i] += coefficient * self.scratch[i] / self.scales[i];
                log_scale[i] += coefficient * (row[i] * self.scratch[i] - 1.0);
            }
        }
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        let dim = self.scales.len();
        check_evaluation(dim, position, gradient)?;
        for i in 0..dim {
            self.scratch[i] = (position[i] - self.parameters[i]) / self.scales[i];
        }
        gradient.copy_from_slice(&self.scratch);
        stretch(&self.directions, &self.eigenvalues, f64::recip, gradient);
        let square: f64 = gradient.iter().zip(&self.scratch).map(|(x, y)| x * y).sum();
        gradient.iter_mut().zip(&self.scales).for_each(|(x, a)| *x = -*x / a);
        Ok(-0.5 * square - self.log_normaliser)
    }

    fn entropy(&self) -> Option<f64> {
        Some(self.log_normaliser + 0.5 * self.scales.len() as f64)
    }

    fn entropy_gradient(&self, coefficient: f64, out: &mut [f64]) -> bool {
        out[self.scales.len()..].iter_mut().for_each(|x| *x += coefficient);
        true
    }

    fn mean(&self) -> Option<Vec<f64>> {
        Some(self.parameters[..self.scales.len()].to_vec())
    }

    /// Takes d² entries of memory, as nothing else here does.
    fn covariance(&self) -> Option<Array2<f64>> {
        let dim = self.scales.len();
        let mut covariance = Array2::<f64>::eye(dim);
        for (direction, eigenvalue) in self.directions.chunks_exact(dim).zip(&self.eigenvalues) {
            for ((i, j), entry) in covariance.indexed_iter_mut() {
                *entry += (eigenvalue - 1.0) * direction[i] * direction[j];
            }
        }
        covariance.diag_mut().iter_mut().for_each(|v| *v = v.max(f64::EPSILON));
        covariance.indexed_iter_mut().for_each(|((i, j), entry)| *entry *= self.scales[i] * self.scales[j]);
        Some(covariance)
    }

    fn clone_box(&self) -> Box<dyn Approximation> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vi::families::check::check_at;
    use crate::vi::normal;

    fn example() -> SpikedNormal {
        let directions = vec![0.6, 0.0, 0.8, 0.0, 1.0, 0.0];
        SpikedNormal::new(&[1.0, -2.0, 0.5], vec![0.5, 2.0, 1.5], directions, vec![3.0, 0.2]).unwrap()
    }

    #[test]
    fn derivatives_agree_with_differences() {
        let mut q = example();
        let parameters: Vec<f64> = q.parameters().iter().map(|x| x + 0.1).collect();
        check_at(&mut q, &parameters, 5);
    }

    #[test]
    fn it_is_the_dense_normal_of_its_moments() {
        let mut q = example();
        let covariance = q.covariance().unwrap();
        // (1 + 2 · 0.36) / 4, (1 - 0.8) · 4, (1 + 2 · 0.64) · 2.25; and 2 · 0.48 · 0.75 beside the diagonal
        let expected = ndarray::array![[0.43, 0.0, 0.72], [0.0, 0.8, 0.0], [0.72, 0.0, 5.13]];
        assert!((&covariance - &expected).iter().all(|e| e.abs() < 1e-12), "{covariance}");
        assert!(q.variances().iter().zip(covariance.diag()).all(|(a, b)| (a - b).abs() < 1e-12));
        let mut dense = normal(&q.mean().unwrap(), covariance.view()).unwrap();
        let (mut g, mut h) = ([0.0; 3], [0.0; 3]);
        let found = q.log_density_gradient(&[0.3, 0.1, -2.0], &mut g).unwrap();
        let expected = dense.log_density_gradient(&[0.3, 0.1, -2.0], &mut h).unwrap();
        assert!((found - expected).abs() < 1e-12 && g.iter().zip(&h).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!((q.entropy().unwrap() - dense.entropy().unwrap()).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        let new = |scale: f64, eigenvalue: f64| SpikedNormal::new(&[0.0], vec![scale], vec![1.0], vec![eigenvalue]);
        assert!(new(1.0, 2.0).is_ok());
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(new(bad, 1.0).is_err() && new(1.0, bad).is_err());
        }
        assert!(matches!(SpikedNormal::new(&[], vec![], vec![], vec![]), Err(Error::NoParameters)));
    }
}
