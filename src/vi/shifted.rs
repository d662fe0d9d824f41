//! A family in other units: moved and stretched.
//!
//! ```text
//! z = c + S u,   u ~ q₀(·; φ),   S diagonal or lower triangular
//! ```
//! Step rules move parameters by about their learning rate; so that one rate suits every direction, the family is stretched to what is known of the posterior before it is fitted.

use ndarray::{Array2, ArrayView2};

use super::approximation::{Approximation, check_position, check_scales};
use crate::error::Error;
use crate::linalg;
use crate::rng::Stream;

/// An approximation around a centre, stretched; its parameters are those of the one within.
#[derive(Debug, Clone)]
pub(super) struct Shifted {
    inner: Box<dyn Approximation>,
    centre: Vec<f64>,
    stretch: Stretch,
    log_volume: f64,
    /// Draws of the latest sample that the parameters still are those of.
    n_draws: usize,
    scratch: Vec<f64>,
}

#[derive(Debug, Clone)]
enum Stretch {
    Diagonal(Vec<f64>),
    /// Lower triangular, d x d row-major, of the given order.
    Lower(Vec<f64>, usize),
}

/// Solves and products on slices whose lengths are known to fit cannot fail.
fn fits(result: Result<(), linalg::LinalgError>) {
    debug_assert!(result.is_ok());
}

impl Stretch {
    /// x ← S x
    fn times(&self, x: &mut [f64]) {
        match self {
            Self::Diagonal(scales) => x.iter_mut().zip(scales).for_each(|(x, s)| *x *= s),
            Self::Lower(factor, n) => fits(linalg::lower_times(factor, *n, x)),
        }
    }

    /// x ← Sᵀ x
    fn transposed_times(&self, x: &mut [f64]) {
        match self {
            Self::Diagonal(_) => self.times(x),
            Self::Lower(factor, n) => fits(linalg::lower_transposed_times(factor, *n, x)),
        }
    }

    /// x ← S⁻¹ x
    fn solve(&self, x: &mut [f64]) {
        match self {
            Self::Diagonal(scales) => x.iter_mut().zip(scales).for_each(|(x, s)| *x /= s),
            Self::Lower(factor, n) => fits(linalg::solve_lower(factor, *n, x)),
        }
    }

    /// x ← S⁻ᵀ x
    fn solve_transposed(&self, x: &mut [f64]) {
        match self {
            Self::Diagonal(_) => self.solve(x),
            Self::Lower(factor, n) => fits(linalg::solve_lower_transposed(factor, *n, x)),
        }
    }
}

impl Shifted {
    /// Around a centre, in units of scales.
    ///
    /// # Errors
    /// [`Error::Dimension`], [`Error::NotFinite`], [`Error::InvalidSetting`] for a scale that is not positive and finite.
    pub(super) fn new(inner: Box<dyn Approximation>, centre: Vec<f64>, scales: &[f64]) -> Result<Self, Error> {
        check_position(inner.dim(), &centre)?;
        check_position(inner.dim(), scales)?;
        check_scales(scales)?;
        let log_volume = scales.iter().map(|s| s.ln()).sum();
        Ok(Self { inner, centre, stretch: Stretch::Diagonal(scales.to_vec()), log_volume, n_draws: 0, scratch: Vec::new() })
    }

    /// Around a centre, in units of a covariance; of its diagonal alone if it is singular to working precision.
    ///
    /// # Errors
    /// As [`Shifted::new`].
    pub(super) fn by(inner: Box<dyn Approximation>, centre: Vec<f64>, covariance: ArrayView2<'_, f64>) -> Result<Self, Error> {
        let dim = inner.dim();
        let scales: Vec<f64> = covariance.diag().iter().map(|variance| variance.sqrt()).collect();
        let mut shifted = Self::new(inner, centre, &scales)?;
        let mut factor: Vec<f64> = covariance.iter().copied().collect();
        if linalg::cholesky_in_place(&mut factor, dim).is_ok() {
            shifted.log_volume = (0..dim).map(|i| factor[i * dim + i].ln()).sum();
            shifted.stretch = Stretch::Lower(factor, dim);
        }
        Ok(shifted)
    }

    /// Writes S⁻¹ (x - c) of every position to the scratch memory.
    fn pull_positions_back(&mut self, positions: &[f64]) {
        self.scratch.clear();
        self.scratch.extend_from_slice(positions);
        for row in self.scratch.chunks_exact_mut(self.centre.len()) {
            row.iter_mut().zip(&self.centre).for_each(|(x, c)| *x -= c);
            self.stretch.solve(row);
        }
    }
}

impl Approximation for Shifted {
    fn dim(&self) -> usize {
        self.centre.len()
    }

    fn parameters(&self) -> &[f64] {
        self.inner.parameters()
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        self.inner.set_parameters(parameters)?;
        self.n_draws = 0;
        Ok(())
    }

    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        self.inner.sample(rng, draws, log_densities);
        self.n_draws = log_densities.len();
        for draw in draws.chunks_exact_mut(self.centre.len()) {
            self.stretch.times(draw);
            draw.iter_mut().zip(&self.centre).for_each(|(x, c)| *x += c);
        }
        log_densities.iter_mut().for_each(|log_density| *log_density -= self.log_volume);
    }

    fn scores(&mut self, out: &mut [f64]) {
        self.inner.scores(out);
        out.chunks_exact_mut(self.centre.len()).take(self.n_draws).for_each(|row| self.stretch.solve_transposed(row));
    }

    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]) {
        self.scratch.clear();
        self.scratch.extend_from_slice(cotangents);
        self.scratch.chunks_exact_mut(self.centre.len()).for_each(|row| self.stretch.transposed_times(row));
        self.inner.pull_back(&self.scratch, out);
    }

    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        self.inner.parameter_scores(coefficients, out);
    }

    fn parameter_scores_at(&mut self, positions: &[f64], coefficients: &[f64], out: &mut [f64]) -> bool {
        self.pull_positions_back(positions);
        self.inner.parameter_scores_at(&self.scratch, coefficients, out)
    }

    fn has_parameter_scores(&self) -> bool {
        self.inner.has_parameter_scores()
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        check_position(self.centre.len(), position)?;
        self.pull_positions_back(position);
        let log_density = self.inner.log_density_gradient(&self.scratch, gradient)?;
        self.stretch.solve_transposed(gradient);
        Ok(log_density - self.log_volume)
    }

    fn is_reparameterised(&self) -> bool {
        self.inner.is_reparameterised()
    }

    fn has_noise_scores(&self) -> bool {
        self.inner.has_noise_scores()
    }

    fn noise_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        self.inner.noise_scores(coefficients, out);
    }

    fn entropy(&self) -> Option<f64> {
        self.inner.entropy().map(|entropy| entropy + self.log_volume)
    }

    fn entropy_gradient(&self, coefficient: f64, out: &mut [f64]) -> bool {
        self.inner.entropy_gradient(coefficient, out)
    }

    fn mean(&self) -> Option<Vec<f64>> {
        let mut mean = self.inner.mean()?;
        self.stretch.times(&mut mean);
        mean.iter_mut().zip(&self.centre).for_each(|(x, c)| *x += c);
        Some(mean)
    }

    fn covariance(&self) -> Option<Array2<f64>> {
        // S C Sᵀ: S from the left on all columns, which are rows of the symmetric C, then on the rows of the transposed.
        let mut covariance = self.inner.covariance()?;
        for _ in 0..2 {
            for mut row in covariance.rows_mut() {
                let mut entries = row.to_vec();
                self.stretch.times(&mut entries);
                row.iter_mut().zip(entries).for_each(|(to, from)| *to = from);
            }
            covariance = covariance.reversed_axes().as_standard_layout().into_owned();
        }
        Some(covariance)
    }

    fn clone_box(&self) -> Box<dyn Approximation> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vi::approximation::Family;
    use crate::vi::families::check::{check_at, check_family};
    use crate::vi::{FullRank, Mixture, normal};
    use ndarray::{Array1, array};

    #[test]
    fn derivatives_agree_with_differences() {
        let inner = FullRank.start(3, 0.7, &mut Stream::new(1)).unwrap();
        let centre = vec![1.0, -20.0, 3.0];
        let parameters: Vec<f64> = (0..9).map(|i| 0.1 * f64::from(i) - 0.4).collect();
        let mut q = Shifted::new(inner.clone(), centre.clone(), &[0.5, 2.0, 0.1]).unwrap();
        check_at(&mut q, &parameters, 3);
        let covariance = array![[1.0, 0.6, 0.1], [0.6, 2.0, -0.2], [0.1, -0.2, 0.5]];
        let mut q = Shifted::by(inner, centre, covariance.view()).unwrap();
        check_at(&mut q, &parameters, 3);
    }

    /// A mixture needs its components' parameter scores at each other's draws, and its components are moved: without them
    /// those of the mixture are those of its weights alone.
    #[test]
    fn mixtures_within_and_of_moved_components() {
        check_family(&Mixture::new(FullRank, 3), 2);
        let inner = Mixture::new(FullRank, 3).start(2, 0.8, &mut Stream::new(3)).unwrap();
        assert!(inner.has_parameter_scores());
        let parameters: Vec<f64> = inner.parameters().iter().enumerate().map(|(i, x)| x + 0.2 * (i as f64).sin()).collect();
        let covariance = array![[1.0, 0.6], [0.6, 2.0]];
        let mut q = Shifted::by(inner, vec![1.0, -2.0], covariance.view()).unwrap();
        assert!(q.has_parameter_scores());
        check_at(&mut q, &parameters, 4);
        let coefficients = [1.0, 0.0];
        let mut out = vec![0.0; parameters.len()];
        assert!(q.parameter_scores_at(&[0.5, -1.0, 2.0, 0.0], &coefficients, &mut out));
    }

    #[test]
    fn scores_without_draws_leave_everything_alone() {
        let inner = normal(&[1.0, 2.0], array![[1.0, 0.5], [0.5, 2.0]].view()).unwrap();
        let mut q = Shifted::new(inner, vec![10.0, 20.0], &[2.0, 3.0]).unwrap();
        let untouched = [1.0; 6];
        let mut out = untouched;
        q.scores(&mut out);
        assert_eq!(out, untouched);
        q.sample(&mut Stream::new(1), &mut [0.0; 4], &mut [0.0; 2]);
        q.scores(&mut out);
        assert!(out[..4].iter().all(|x| *x != 1.0));
        assert_eq!(out[4..], untouched[4..]);
        let parameters = q.parameters().to_vec();
        q.set_parameters(&parameters).unwrap();
        out = untouched;
        q.scores(&mut out);
        assert_eq!(out, untouched);
    }

    #[test]
    fn moments_are_stretched() {
        let inner = normal(&[1.0, 2.0], array![[1.0, 0.5], [0.5, 2.0]].view()).unwrap();
        let q = Shifted::new(inner.clone(), vec![10.0, 20.0], &[2.0, 3.0]).unwrap();
        assert_eq!(q.mean().unwrap(), [12.0, 26.0]);
        let difference = q.covariance().unwrap() - array![[4.0, 3.0], [3.0, 18.0]];
        assert!(difference.iter().all(|x| x.abs() < 1e-12));

        // S = [[2, 0], [1, 3]]
        let q = Shifted::by(inner.clone(), vec![10.0, 20.0], array![[4.0, 2.0], [2.0, 10.0]].view()).unwrap();
        let s = array![[2.0, 0.0], [1.0, 3.0]];
        let exact = s.dot(&array![[1.0, 0.5], [0.5, 2.0]]).dot(&s.t());
        assert!((q.covariance().unwrap() - exact).iter().all(|x| x.abs() < 1e-12));
        assert_eq!(Array1::from(q.mean().unwrap()), s.dot(&array![1.0, 2.0]) + array![10.0, 20.0]);

        // A singular covariance leaves its diagonal.
        let q = Shifted::by(inner, vec![0.0, 0.0], array![[1.0, 1.0], [1.0, 1.0]].view()).unwrap();
        assert_eq!(q.mean().unwrap(), [1.0, 2.0]);
    }
}
