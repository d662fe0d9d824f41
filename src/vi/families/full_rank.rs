//! The normal distribution with any covariance.
//!
//! ```text
//! φ = (μ, rows of L with log Lᵢᵢ in place of Lᵢᵢ)      z = μ + L ε,   ε ~ N(0, I)
//! ```
//! *Costs* d² per draw and d (d + 3) / 2 parameters. *Not* in many hundred dimensions: see [`LowRank`](super::LowRank). *Reference* Kucukelbir et al. 2017,
//! <https://jmlr.org/papers/v18/16-107.html>; the diagonal stands as its logarithm, so that every parameter vector is a distribution.

use ndarray::{Array2, ArrayView2};

use super::mean_field::HALF_LOG_TWO_PI;
use crate::error::Error;
use crate::linalg::{self, dot};
use crate::rng::Stream;
use crate::vi::approximation::{Approximation, Closure, Family, check_finite, check_parameters, check_scales, check_start};
use crate::vi::families::{check_evaluation, check_memory};

/// The family of all normal distributions, on at most 65 536 dimensions.
///
/// ```
/// use posterity::{rng::Stream, vi::{Approximation, Family, FullRank}};
/// let q = FullRank.start(3, 0.5, &mut Stream::new(1))?;
/// assert_eq!(q.parameters().len(), 9);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FullRank;

impl Family for FullRank {
    fn name(&self) -> String {
        "full-rank normal".to_owned()
    }

    fn closed_under(&self) -> Closure {
        Closure::LinearMaps
    }

    fn start(&self, dim: usize, scale: f64, _rng: &mut Stream) -> Result<Box<dyn Approximation>, Error> {
        check_start(dim, scale)?;
        // Memory beyond this is not there to be had: the factor alone takes 32 GB.
        crate::error::check::in_range("dimension of a full-rank normal", dim as f64, dim <= 1 << 16, "at most 65536")?;
        check_memory("dimension of a full-rank normal", dim, dim.checked_mul(dim))?;
        let mut factor = vec![0.0; dim * dim];
        (0..dim).for_each(|i| factor[i * dim + i] = scale);
        Ok(Box::new(Normal::new(&vec![0.0; dim], factor)?))
    }
}

/// The normal distribution N(mean, covariance) on ℝᵈ, a member of [`FullRank`].
///
/// ```
/// use ndarray::array;
/// use posterity::{rng::Stream, vi::normal};
/// let mut q = normal(&[1.0, -1.0], array![[2.0, 0.5], [0.5, 1.0]].view())?;
/// let mut gradient = [0.0; 2];
/// q.log_density_gradient(&[1.0, -1.0], &mut gradient)?;
/// assert_eq!(gradient, [0.0, 0.0]);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// # Errors
/// [`Error::NoParameters`], [`Error::Dimension`], [`Error::NotFinite`], [`Error::NotPositiveDefinite`]; [`Error::NotSymmetric`] beyond rounding.
pub fn normal(mean: &[f64], covariance: ArrayView2<'_, f64>) -> Result<Box<dyn Approximation>, Error> {
    let dim = mean.len();
    for found in [covariance.nrows(), covariance.ncols()] {
        if found != dim {
            return Err(Error::Dimension { what: "order of the covariance", expected: dim, found });
        }
    }
    for ((row, column), entry) in covariance.indexed_iter() {
        let scale = (covariance[[row, row]] * covariance[[column, column]]).abs().sqrt();
        // What inverting a matrix of condition 10⁸ leaves.
        if (entry - covariance[[column, row]]).abs() > 1e-8 * scale {
            return Err(Error::NotSymmetric { what: "covariance", row, column });
        }
    }
    let mut factor: Vec<f64> = covariance.iter().copied().collect();
    linalg::cholesky_in_place(&mut factor, dim).map_err(|error| error.named("covariance"))?;
    Ok(Box::new(Normal::new(mean, factor)?))
}

/// A member of [`FullRank`].
#[derive(Debug, Clone)]
pub(crate) struct Normal {
    pub(super) parameters: Vec<f64>,
    dim: usize,
    /// L, d x d, zero above the diagonal.
    pub(super) factor: Vec<f64>,
    /// Sum of the logarithms of L's diagonal, and of the normalising constants.
    pub(super) log_normaliser: f64,
    /// ε of the draws, n x d.
    pub(super) noise: Vec<f64>,
    /// Cotangents of the draws, n x d.
    scratch: Vec<f64>,
}

impl Normal {
    /// From the mean and the lower Cholesky factor of the covariance, d x d row-major and zero above the diagonal.
    pub(crate) fn new(mean: &[f64], factor: Vec<f64>) -> Result<Self, Error> {
        let dim = mean.len();
        check_start(dim, 1.0)?;
        let mut parameters = mean.to_vec();
        for i in 0..dim {
            let row = &factor[i * dim..=i * dim + i];
            check_scales(&row[i..])?;
            parameters.extend_from_slice(&row[..i]);
            parameters.push(row[i].ln());
        }
        check_finite("parameters of the approximation", &parameters)?;
        let mut normal = Self { parameters, dim, factor, log_normaliser: 0.0, noise: Vec::new(), scratch: Vec::new() };
        normal.log_normaliser = normal.normaliser();
        Ok(normal)
    }

    fn normaliser(&self) -> f64 {
        let log_diagonal = (0..self.dim).map(|i| self.parameters[self.dim + i * (i + 1) / 2 + i]);
        log_diagonal.sum::<f64>() + self.log_constant()
    }

    /// The part of the normaliser that no parameter changes.
    pub(super) fn log_constant(&self) -> f64 {
        self.dim as f64 * HALF_LOG_TWO_PI
    }

    fn location(&self) -> &[f64] {
        &self.parameters[..self.dim]
    }
}

impl Approximation for Normal {
    fn dim(&self) -> usize {
        self.dim
    }

    fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        check_parameters(self.parameters.len(), parameters)?;
        let dim = self.dim;
        let diagonal = |i: usize| parameters[dim + i * (i + 1) / 2 + i].exp();
        (0..dim).try_for_each(|i| check_scales(&[diagonal(i)]))?;
        for i in 0..dim {
            let start = dim + i * (i + 1) / 2;
            self.factor[i * dim..i * dim + i].copy_from_slice(&parameters[start..start + i]);
            self.factor[i * dim + i] = diagonal(i);
        }
        self.parameters.copy_from_slice(parameters);
        self.log_normaliser = self.normaliser();
        self.noise.clear();
        Ok(())
    }

    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        let dim = self.dim;
        self.noise.resize(draws.len(), 0.0);
        rng.fill_normal(&mut self.noise);
        // Row by row of L for all draws: each is read once.
        for i in 0..dim {
            let row = &self.factor[i * dim..=i * dim + i];
            for (draw, noise) in draws.chunks_exact_mut(dim).zip(self.noise.chunks_exact(dim)) {
                draw[i] = self.parameters[i] + dot(row, noise);
            }
        }
        for (noise, log_density) in self.noise.chunks_exact(dim).zip(log_densities) {
            *log_density = -0.5 * dot(noise, noise) - self.log_normaliser;
        }
    }

    fn scores(&mut self, out: &mut [f64]) {
        let written = out.len().min(self.noise.len());
        let out = &mut out[..written];
        out.iter_mut().zip(&self.noise).for_each(|(s, noise)| *s = -noise);
        solve_transposed_rows(&self.factor, self.dim, out);
    }

    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]) {
        let dim = self.dim;
        let (location, mut rows) = out.split_at_mut(dim);
        for i in 0..dim {
            let (row, rest) = rows.split_at_mut(i + 1);
            let (row, diagonal) = row.split_at_mut(i);
            for (cotangent, noise) in cotangents.chunks_exact(dim).zip(self.noise.chunks_exact(dim)) {
                let c = cotangent[i];
                location[i] += c;
                row.iter_mut().zip(noise).for_each(|(entry, noise)| *entry += c * noise);
                diagonal[0] += c * noise[i] * self.factor[i * dim + i];
            }
            rows = rest;
        }
    }

    /// L⁻ᵀ ε, the negative score, does for the density what a cotangent does for a draw, but for the normaliser.
    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        let dim = self.dim;
        let mut scaled = std::mem::take(&mut self.scratch);
        scaled.clear();
        for (coefficient, noise) in coefficients.iter().zip(self.noise.chunks_exact(dim)) {
            scaled.extend(noise.iter().map(|noise| coefficient * noise));
        }
        solve_transposed_rows(&self.factor, dim, &mut scaled);
        self.pull_back(&scaled, out);
        let total: f64 = coefficients[..scaled.len() / dim].iter().sum();
        self.entropy_gradient(-total, out);
        self.scratch = scaled;
    }

    fn parameter_scores_at(&mut self, positions: &[f64], coefficients: &[f64], out: &mut [f64]) -> bool {
        self.scratch.resize(self.scratch.len().max(2 * self.dim), 0.0);
        let (noise, rest) = self.scratch.split_at_mut(self.dim);
        let solved = &mut rest[..self.dim];
        for (&coefficient, position) in coefficients.iter().zip(positions.chunks_exact(self.dim)).filter(|(c, _)| **c != 0.0) {
            for ((noise, x), location) in noise.iter_mut().zip(position).zip(&self.parameters) {
                *noise = x - location;
            }
            solve(&self.factor, noise);
            add_parameter_score(&self.factor, noise, coefficient, solved, out);
        }
        true
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        check_evaluation(self.dim, position, gradient)?;
        for i in 0..self.dim {
            gradient[i] = position[i] - self.location()[i];
        }
        solve(&self.factor, gradient);
        let square = dot(gradient, gradient);
        solve_transposed(&self.factor, gradient);
        gradient.iter_mut().for_each(|x| *x = -*x);
        Ok(-0.5 * square - self.log_normaliser)
    }

    fn entropy(&self) -> Option<f64> {
        Some(self.log_normaliser + 0.5 * self.dim as f64)
    }

    fn entropy_gradient(&self, coefficient: f64, out: &mut [f64]) -> bool {
        (0..self.dim).for_each(|i| out[self.dim + i * (i + 1) / 2 + i] += coefficient);
        true
    }

    fn mean(&self) -> Option<Vec<f64>> {
        Some(self.location().to_vec())
    }

    fn covariance(&self) -> Option<Array2<f64>> {
        let dim = self.dim;
        let row = |i: usize| &self.factor[i * dim..(i + 1) * dim];
        Some(Array2::from_shape_fn((dim, dim), |(i, j)| dot(&row(i)[..=i.min(j)], row(j))))
    }

    fn clone_box(&self) -> Box<dyn Approximation> {
        Box::new(self.clone())
    }
}

/// *Adds* c ∇φ log q of the draw with this noise to `out`.
pub(super) fn add_parameter_score(factor: &[f64], noise: &[f64], coefficient: f64, scratch: &mut [f64], out: &mut [f64]) {
    let dim = noise.len();
    scratch.copy_from_slice(noise);
    solve_transposed(factor, scratch);
    let (location, mut rows) = out.split_at_mut(dim);
    for i in 0..dim {
        let by_location = coefficient * scratch[i];
        location[i] += by_location;
        let (row, rest) = rows.split_at_mut(i + 1);
        for j in 0..i {
            row[j] += by_location * noise[j];
        }
        row[i] += by_location * noise[i] * factor[i * dim + i] - coefficient;
        rows = rest;
    }
}

/// Solves L x = b in place, for a factor of the right size.
pub(super) fn solve(factor: &[f64], x: &mut [f64]) {
    let n = x.len();
    for i in 0..n {
        let row = &factor[i * n..=i * n + i];
        x[i] = (x[i] - dot(row, &x[..i])) / row[i];
    }
}

/// Solves L' x = b in place, for a factor of the right size.
pub(super) fn solve_transposed(factor: &[f64], x: &mut [f64]) {
    solve_transposed_rows(factor, x.len(), x);
}

/// Solves L' x = b in place for every row of n right-hand sides, row by row of L.
fn solve_transposed_rows(factor: &[f64], dim: usize, rows: &mut [f64]) {
    for i in (0..dim).rev() {
        let row = &factor[i * dim..=i * dim + i];
        for x in rows.chunks_exact_mut(dim) {
            let (unknown, known) = x.split_at_mut(i);
            known[0] /= row[i];
            for (unknown, entry) in unknown.iter_mut().zip(row) {
                *unknown -= known[0] * entry;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vi::families::check::check_family;
    use ndarray::array;

    #[test]
    fn derivatives_agree_with_differences() {
        check_family(&FullRank, 3);
    }

    #[test]
    fn moments_are_those_given() {
        let covariance = array![[2.0, 0.5, -0.3], [0.5, 1.0, 0.1], [-0.3, 0.1, 0.7]];
        let q = normal(&[1.0, 2.0, 3.0], covariance.view()).unwrap();
        assert_eq!(q.mean().unwrap(), [1.0, 2.0, 3.0]);
        assert!((q.covariance().unwrap() - &covariance).iter().all(|error| error.abs() < 1e-14));
        assert!(matches!(normal(&[0.0], array![[0.0]].view()), Err(Error::NotPositiveDefinite { pivot: 0, .. })));
        assert!(matches!(normal(&[f64::NAN], array![[1.0]].view()), Err(Error::NotFinite { index: 0, .. })));
        let large = FullRank.start(65_537, 1.0, &mut Stream::new(1));
        assert!(matches!(large, Err(Error::InvalidSetting { setting: "dimension of a full-rank normal", .. })));
        assert!(matches!(normal(&[], array![[1.0]].view()), Err(Error::Dimension { .. })));
    }
}
