//! Student's t distributions: tails heavier than normal.
//!
//! ```text
//! mean field     zᵢ = μᵢ + e^ωᵢ tᵢ,    tᵢ = εᵢ √(ν/χᵢ)                        φ = (μ, ω)
//! multivariate   z = μ + L t,           t = ε √(ν/χ), one χ per draw           φ = (μ, L) as of FullRank
//! ε ~ N(0, I),   χ ~ χ²(ν)
//! ```
//! Where the posterior has heavier tails than a normal distribution, importance weights of a normal approximation have no
//! variance; those of a t whose tails are as heavy are bounded. ν is a setting. Draws move with μ, ω and L as those of the normal
//! families do, with t in place of ε; scores are those of the normal, weighted by (ν + 1)/(ν + tᵢ²) or (ν + d)/(ν + |t|²), which
//! forgets far outliers.
//!
//! *Costs* as [`MeanField`](super::MeanField) and [`FullRank`](super::FullRank), and a χ² variable per coordinate or per draw.
//! *Not* for light tails, where a normal is tighter. Where a coordinate is the logarithm of a scale, the posterior falls double-exponentially towards one side; under tails that
//! are powers the evidence lower bound is then -∞, and ascending it fits the draws that happened to be made: an importance-weighted bound,
//! [`Objective::iwelbo`](crate::vi::Objective::iwelbo), exists there (eight schools: k̂ = 4.7 by the evidence lower bound, 0.3 by the importance-weighted one). *Reference* Domke & Sheldon 2018, <https://arxiv.org/abs/1808.09034>
//! (elliptical families in importance-weighted inference).

use ndarray::Array2;
use rand_distr::{ChiSquared, Distribution};

use super::full_rank::{Normal, add_parameter_score, solve, solve_transposed};
use super::mean_field::IndependentNormal;
use crate::distributions::{digamma_difference, ln_gamma_difference};
use crate::error::{Error, check};
use crate::linalg::dot;
use crate::rng::Stream;
use crate::vi::approximation::{Approximation, Closure, Family, check_start};
use crate::vi::families::{check_evaluation, check_memory};

/// The families of t distributions with given degrees of freedom.
///
/// ```
/// use posterity::{rng::Stream, vi::{Approximation, Family, StudentT}};
/// let q = StudentT::mean_field().degrees_of_freedom(4.0).start(2, 1.0, &mut Stream::new(1))?;
/// // The variance is ν/(ν - 2).
/// assert!((q.covariance().unwrap()[[0, 0]] - 2.0).abs() < 1e-12);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StudentT {
    degrees_of_freedom: f64,
    is_multivariate: bool,
}

impl StudentT {
    /// Independent coordinates.
    #[must_use]
    pub fn mean_field() -> Self {
        Self { degrees_of_freedom: 5.0, is_multivariate: false }
    }

    /// The multivariate t distribution with any scale matrix L L'. Its coordinates are far out together.
    #[must_use]
    pub fn multivariate() -> Self {
        Self { is_multivariate: true, ..Self::mean_field() }
    }

    /// The degrees of freedom ν >= 1; 5. Up to 1 there is no mean, up to 2 no covariance.
    #[must_use]
    pub fn degrees_of_freedom(mut self, degrees_of_freedom: f64) -> Self {
        self.degrees_of_freedom = degrees_of_freedom;
        self
    }
}

impl Family for StudentT {
    fn name(&self) -> String {
        let kind = if self.is_multivariate { "multivariate" } else { "mean-field" };
        format!("{kind} Student t, {} degrees of freedom", self.degrees_of_freedom)
    }

    fn closed_under(&self) -> Closure {
        if self.is_multivariate { Closure::LinearMaps } else { Closure::Scaling }
    }

    fn start(&self, dim: usize, scale: f64, _rng: &mut Stream) -> Result<Box<dyn Approximation>, Error> {
        let nu = self.degrees_of_freedom;
        check::in_range("degrees_of_freedom", nu, nu >= 1.0 && nu.is_finite(), "finite and at least 1")?;
        check_start(dim, scale)?;
        if self.is_multivariate {
            // As for a full-rank normal.
            check::in_range("dimension of a multivariate t", dim as f64, dim <= 1 << 16, "at most 65536")?;
            check_memory("dimension of a multivariate t", dim, dim.checked_mul(dim))?;
            let mut factor = vec![0.0; dim * dim];
            (0..dim).for_each(|i| factor[i * dim + i] = scale);
            let (scratch, law) = (vec![0.0; 2 * dim], Law::new(nu, dim)?);
            return Ok(Box::new(MultivariateT { normal: Normal::new(&vec![0.0; dim], factor)?, law, scratch }));
        }
        Ok(Box::new(IndependentT { normal: IndependentNormal::new(dim, scale)?, law: Law::new(nu, 1)? }))
    }
}

/// The spherical t distribution on ℝᵏ.
#[derive(Debug, Clone, Copy)]
struct Law {
    degrees_of_freedom: f64,
    dim: f64,
    chi_squared: ChiSquared<f64>,
    /// The log density at the origin.
    log_peak: f64,
    entropy: f64,
}

impl Law {
    fn new(nu: f64, dim: usize) -> Result<Self, Error> {
        let rule = "positive and finite";
        let chi_squared =
            ChiSquared::new(nu).map_err(|_| Error::InvalidSetting { setting: "degrees_of_freedom", value: nu, rule })?;
        let k = dim as f64;
        let whole = 0.5 * (nu + k);
        let log_peak = ln_gamma_difference(0.5 * nu, 0.5 * k) - 0.5 * k * (nu * std::f64::consts::PI).ln();
        let entropy = whole * digamma_difference(0.5 * nu, 0.5 * k) - log_peak;
        Ok(Self { degrees_of_freedom: nu, dim: k, chi_squared, log_peak, entropy })
    }

    /// √(ν/χ).
    fn stretch(&self, rng: &mut Stream) -> f64 {
        (self.degrees_of_freedom / self.chi_squared.sample(rng)).sqrt()
    }

    /// The log density where |t|² is this.
    fn log_density(&self, square: f64) -> f64 {
        self.log_peak - 0.5 * (self.degrees_of_freedom + self.dim) * (square / self.degrees_of_freedom).ln_1p()
    }

    /// The weight w in ∇ log density = -w t.
    fn weight(&self, square: f64) -> f64 {
        (self.degrees_of_freedom + self.dim) / (self.degrees_of_freedom + square)
    }

    fn covariance(&self, scale: Option<Array2<f64>>) -> Option<Array2<f64>> {
        let nu = self.degrees_of_freedom;
        if nu > 2.0 { Some(scale? * (nu / (nu - 2.0))) } else { None }
    }
}

/// Independent t distributions: an independent normal whose noise is t.
#[derive(Debug, Clone)]
struct IndependentT {
    normal: IndependentNormal,
    law: Law,
}

impl IndependentT {
    fn log_volume(&self) -> f64 {
        self.normal.parameters[self.normal.sd.len()..].iter().sum()
    }

    /// *Adds* the score in the parameters where the noise is t.
    fn add_parameter_score(&self, i: usize, t: f64, coefficient: f64, location: &mut [f64], log_scale: &mut [f64]) {
        let slope = self.law.weight(t * t) * t;
        location[i] += coefficient * slope / self.normal.sd[i];
        log_scale[i] += coefficient * (slope * t - 1.0);
    }
}

impl Approximation for IndependentT {
    fn dim(&self) -> usize {
        self.normal.dim()
    }

    fn parameters(&self) -> &[f64] {
        self.normal.parameters()
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        self.normal.set_parameters(parameters)
    }

    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        let (dim, log_volume) = (self.dim(), self.log_volume());
        let IndependentNormal { parameters, sd, noise } = &mut self.normal;
        noise.resize(draws.len(), 0.0);
        let rows = draws.chunks_exact_mut(dim).zip(noise.chunks_exact_mut(dim)).zip(log_densities);
        for ((draw, noise), log_density) in rows {
            *log_density = -log_volume;
            for i in 0..dim {
                noise[i] = rng.normal() * self.law.stretch(rng);
                draw[i] = parameters[i] + sd[i] * noise[i];
                *log_density += self.law.log_density(noise[i] * noise[i]);
            }
        }
    }

    fn scores(&mut self, out: &mut [f64]) {
        let dim = self.dim();
        for (out, noise) in out.chunks_exact_mut(dim).zip(self.normal.noise.chunks_exact(dim)) {
            for i in 0..dim {
                out[i] = -self.law.weight(noise[i] * noise[i]) * noise[i] / self.normal.sd[i];
            }
        }
    }

    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]) {
        self.normal.pull_back(cotangents, out);
    }

    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        let (location, log_scale) = out.split_at_mut(self.dim());
        for (&coefficient, noise) in coefficients.iter().zip(self.normal.noise.chunks_exact(self.dim())) {
            noise.iter().enumerate().for_each(|(i, &t)| self.add_parameter_score(i, t, coefficient, location, log_scale));
        }
    }

    fn parameter_scores_at(&mut self, positions: &[f64], coefficients: &[f64], out: &mut [f64]) -> bool {
        let dim = self.dim();
        let (location, log_scale) = out.split_at_mut(dim);
        for (&coefficient, position) in coefficients.iter().zip(positions.chunks_exact(dim)).filter(|(c, _)| **c != 0.0) {
            for i in 0..dim {
                let t = (position[i] - self.normal.parameters[i]) / self.normal.sd[i];
                self.add_parameter_score(i, t, coefficient, location, log_scale);
            }
        }
        true
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        check_evaluation(self.dim(), position, gradient)?;
        let mut log_density = -self.log_volume();
        for i in 0..self.dim() {
            let t = (position[i] - self.normal.parameters[i]) / self.normal.sd[i];
            gradient[i] = -self.law.weight(t * t) * t / self.normal.sd[i];
            log_density += self.law.log_density(t * t);
        }
        Ok(log_density)
    }

    fn entropy(&self) -> Option<f64> {
        Some(self.log_volume() + self.dim() as f64 * self.law.entropy)
    }

    fn entropy_gradient(&self, coefficient: f64, out: &mut [f64]) -> bool {
        self.normal.entropy_gradient(coefficient, out)
    }

    fn mean(&self) -> Option<Vec<f64>> {
        if self.law.degrees_of_freedom > 1.0 { self.normal.mean() } else { None }
    }

    fn covariance(&self) -> Option<Array2<f64>> {
        self.law.covariance(self.normal.covariance())
    }

    fn clone_box(&self) -> Box<dyn Approximation> {
        Box::new(self.clone())
    }
}

/// A multivariate t distribution: a normal whose noise is t.
#[derive(Debug, Clone)]
struct MultivariateT {
    normal: Normal,
    law: Law,
    /// 2 d.
    scratch: Vec<f64>,
}

impl MultivariateT {
    fn log_volume(&self) -> f64 {
        self.normal.log_normaliser - self.normal.log_constant()
    }

    /// *Adds* the score in the parameters where the noise is t.
    fn add_parameter_score(&self, t: &[f64], coefficient: f64, scratch: &mut [f64], out: &mut [f64]) {
        let weight = self.law.weight(dot(t, t));
        add_parameter_score(&self.normal.factor, t, coefficient * weight, scratch, out);
        // That of the normal is less the coefficient on the diagonal, which the weight is not to touch.
        self.normal.entropy_gradient(coefficient * (weight - 1.0), out);
    }
}

impl Approximation for MultivariateT {
    fn dim(&self) -> usize {
        self.normal.dim()
    }

    fn parameters(&self) -> &[f64] {
        self.normal.parameters()
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        self.normal.set_parameters(parameters)
    }

    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        let dim = self.dim();
        self.normal.sample(rng, draws, log_densities);
        let log_volume = self.log_volume();
        let location = &self.normal.parameters;
        let rows = draws.chunks_exact_mut(dim).zip(self.normal.noise.chunks_exact_mut(dim)).zip(log_densities);
        for ((draw, noise), log_density) in rows {
            let stretch = self.law.stretch(rng);
            noise.iter_mut().for_each(|t| *t *= stretch);
            draw.iter_mut().zip(location).for_each(|(z, mu)| *z = mu + (*z - mu) * stretch);
            *log_density = self.law.log_density(dot(noise, noise)) - log_volume;
        }
    }

    fn scores(&mut self, out: &mut [f64]) {
        let dim = self.dim();
        self.normal.scores(out);
        for (out, noise) in out.chunks_exact_mut(dim).zip(self.normal.noise.chunks_exact(dim)) {
            let weight = self.law.weight(dot(noise, noise));
            out.iter_mut().for_each(|x| *x *= weight);
        }
    }

    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]) {
        self.normal.pull_back(cotangents, out);
    }

    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let solved = &mut scratch[self.dim()..];
        for (&coefficient, t) in coefficients.iter().zip(self.normal.noise.chunks_exact(self.dim())) {
            self.add_parameter_score(t, coefficient, solved, out);
        }
        self.scratch = scratch;
    }

    fn parameter_scores_at(&mut self, positions: &[f64], coefficients: &[f64], out: &mut [f64]) -> bool {
        let mut scratch = std::mem::take(&mut self.scratch);
        let (t, solved) = scratch.split_at_mut(self.dim());
        for (&coefficient, position) in coefficients.iter().zip(positions.chunks_exact(t.len())).filter(|(c, _)| **c != 0.0) {
            t.iter_mut().zip(position).zip(&self.normal.parameters).for_each(|((t, x), mu)| *t = x - mu);
            solve(&self.normal.factor, t);
            self.add_parameter_score(t, coefficient, solved, out);
        }
        self.scratch = scratch;
        true
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        check_evaluation(self.dim(), position, gradient)?;
        gradient.iter_mut().zip(position).zip(&self.normal.parameters).for_each(|((t, x), mu)| *t = x - mu);
        solve(&self.normal.factor, gradient);
        let square = dot(gradient, gradient);
        solve_transposed(&self.normal.factor, gradient);
        let weight = self.law.weight(square);
        gradient.iter_mut().for_each(|x| *x *= -weight);
        Ok(self.law.log_density(square) - self.log_volume())
    }

    fn entropy(&self) -> Option<f64> {
        Some(self.log_volume() + self.law.entropy)
    }

    fn entropy_gradient(&self, coefficient: f64, out: &mut [f64]) -> bool {
        self.normal.entropy_gradient(coefficient, out)
    }

    fn mean(&self) -> Option<Vec<f64>> {
        if self.law.degrees_of_freedom > 1.0 { self.normal.mean() } else { None }
    }

    fn covariance(&self) -> Option<Array2<f64>> {
        self.law.covariance(self.normal.covariance())
    }

    fn clone_box(&self) -> Box<dyn Approximation> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vi::families::check::{check_family, check_moments, check_normalised};

    fn start(family: StudentT, dim: usize) -> Box<dyn Approximation> {
        family.start(dim, 0.7, &mut Stream::new(1)).unwrap()
    }

    #[test]
    fn derivatives_agree_with_differences() {
        check_family(&StudentT::mean_field().degrees_of_freedom(3.0), 3);
        check_family(&StudentT::multivariate().degrees_of_freedom(4.0), 3);
        check_family(&StudentT::multivariate(), 1);
    }

    #[test]
    fn densities_integrate_to_one() {
        for family in [StudentT::mean_field(), StudentT::multivariate().degrees_of_freedom(1.5)] {
            let mut q = start(family, 1);
            q.set_parameters(&[1.3, -0.4]).unwrap();
            check_normalised(q.as_mut());
        }
    }

    /// With 10 degrees of freedom the kurtosis is 4, so that the errors that the check allows for hold.
    #[test]
    fn moments_and_entropy_are_those_of_the_draws() {
        let mut q = start(StudentT::mean_field().degrees_of_freedom(10.0), 2);
        q.set_parameters(&[1.0, -2.0, 0.5, -1.0]).unwrap();
        check_moments(q.as_mut());
        let mut q = start(StudentT::multivariate().degrees_of_freedom(10.0), 2);
        q.set_parameters(&[1.0, -2.0, 0.5, -0.8, -1.0]).unwrap();
        check_moments(q.as_mut());
    }

    /// A multivariate density is the product of its coordinates' densities only if they are one; the mean-field one always is.
    #[test]
    fn coordinates_are_far_out_together_or_independently() {
        let log_density = |family: StudentT, dim: usize, x: f64| {
            start(family, dim).log_density_gradient(&vec![x; dim], &mut vec![0.0; dim]).unwrap()
        };
        let (mean_field, multivariate) = (StudentT::mean_field(), StudentT::multivariate());
        let single = log_density(mean_field, 1, 4.0);
        assert!((single - log_density(multivariate, 1, 4.0)).abs() < 1e-12);
        assert!((3.0 * single - log_density(mean_field, 3, 4.0)).abs() < 1e-12);
        assert!(log_density(multivariate, 3, 4.0) > 3.0 * single + 3.0);
    }

    #[test]
    fn moments_exist_as_far_as_they_do() {
        let q = start(StudentT::mean_field().degrees_of_freedom(1.0), 2);
        assert!(q.mean().is_none() && q.covariance().is_none() && q.entropy().is_some());
        let q = start(StudentT::multivariate().degrees_of_freedom(2.0), 2);
        assert!(q.mean().is_some() && q.covariance().is_none());
        for nu in [0.9, f64::NAN, f64::INFINITY] {
            let family = StudentT::mean_field().degrees_of_freedom(nu);
            let found = family.start(1, 1.0, &mut Stream::new(1));
            assert!(matches!(found, Err(Error::InvalidSetting { setting: "degrees_of_freedom", .. })));
        }
    }

    #[test]
    fn it_works_in_five_thousand_dimensions() {
        let mut q = start(StudentT::mean_field(), 5000);
        let (mut draws, mut log_densities) = (vec![0.0; 20 * 5000], vec![0.0; 20]);
        q.sample(&mut Stream::new(2), &mut draws, &mut log_densities);
        let mean = log_densities.iter().sum::<f64>() / 20.0;
        // A coordinate's log density has a variance below 1.5, the mean's standard error is below 20.
        assert!((mean + q.entropy().unwrap()).abs() < 80.0);
    }
}
