//! Beta distributions of probabilities and a Dirichlet distribution of a simplex, on the unconstrained scales of the transforms.
//!
//! ```text
//! φ = ln α                                                gₖ ~ Gamma(αₖ, 1),   k = 1 .. K
//! uₖ = ln gₖ - ln (gₖ₊₁ + .. + gK) + ln (K - k)           the stick-breaking coordinates of x = g / Σ g
//! log q(u) = Σₖ αₖ ln sₖ + Aₖ₊₁ ln (1 - sₖ) - ln B(αₖ, Aₖ₊₁),   sₖ = xₖ / (xₖ + .. + xK),   Aₖ = αₖ + .. + αK
//! ```
//! A beta distribution is that of K = 2, where u is the logit. The logarithms make every parameter vector a distribution. *Costs* K gamma draws per draw, not 2 (K - 1) as independent sticks would, and one implicit derivative each. *Not* with a
//! [`FamilyStart`](crate::vi::FamilyStart): shifted or stretched logits are not those of beta variables.

use ndarray::{Array1, Array2};

use super::gamma_draw::{GammaDraw, Reparameterisation, check_shapes, shape_of};
use crate::error::Error;
use crate::math::{digamma, inv_logit, ln_beta, log_add_exp, log1p_exp, trigamma};
use crate::rng::Stream;
use crate::vi::approximation::{Approximation, Closure, Family, check_parameters, check_start};
use crate::vi::families::check_evaluation;

/// The family of independent beta distributions, for coordinates that are logits of probabilities, as [`Space::probability`](crate::model::Space::probability)
/// has them.
///
/// The parameters are ln a, ln b of the first coordinate, then of the second one, and so on.
///
/// ```
/// use posterity::{rng::Stream, vi::{Approximation, Beta, Family}};
/// let mut q = Beta::default().start(2, 0.5, &mut Stream::new(1))?;
/// assert_eq!(q.parameters().len(), 4);
/// // Beta(3, 1) has the log density ln 3 + 2 ln p, on the logit scale with ln p (1 - p) beside it.
/// q.set_parameters(&[3f64.ln(), 0.0, 3f64.ln(), 0.0])?;
/// let log_density = q.log_density_gradient(&[0.0, 0.0], &mut [0.0; 2])?;
/// assert!((log_density - 2.0 * (3f64 / 16.0).ln()).abs() < 1e-12);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beta {
    reparameterisation: Reparameterisation,
}

/// The family of Dirichlet distributions, for the K - 1 coordinates of a simplex of K entries, as [`Space::simplex`](crate::model::Space::simplex) has them by
/// [`transforms::simplex`](crate::transforms::simplex).
///
/// The parameters are ln αₖ. All coordinates together are one simplex; a model with more than one takes a [`Product`](crate::vi::Product).
///
/// ```
/// use posterity::prelude::*;
/// use posterity::vi::{Dirichlet, Vi};
///
/// struct Shares(Vec<u64>);
///
/// impl Model for Shares {
///     type Parameters<T: Real> = Vec<T>;
///     fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Vec<T> { space.simplex("share", 3) }
///     fn log_prior<T: Real>(&self, share: &Vec<T>, lp: &mut LogP<T>) { lp.dirichlet(share, &[1.0, 1.0, 1.0]) }
///     fn log_likelihood<T: Real>(&self, share: &Vec<T>, lp: &mut LogP<T>) { lp.categorical(&self.0, share) }
/// }
///
/// let fit = Vi::new(Dirichlet::default()).initial_scale(0.5).n_iterations(2000).fit(&Shares(vec![0, 0, 0, 2, 0, 1]), 1)?;
/// // The posterior is Dirichlet(5, 2, 2).
/// assert!((fit.approximation().parameters()[0].exp() - 5.0).abs() < 0.1);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dirichlet {
    reparameterisation: Reparameterisation,
}

impl Beta {
    /// How draws depend on the parameters; implicitly.
    #[must_use]
    pub fn reparameterisation(mut self, reparameterisation: Reparameterisation) -> Self {
        self.reparameterisation = reparameterisation;
        self
    }
}

impl Dirichlet {
    /// How draws depend on the concentrations; implicitly.
    #[must_use]
    pub fn reparameterisation(mut self, reparameterisation: Reparameterisation) -> Self {
        self.reparameterisation = reparameterisation;
        self
    }
}

impl Family for Beta {
    fn name(&self) -> String {
        format!("beta{}", self.reparameterisation.name())
    }

    fn closed_under(&self) -> Closure {
        Closure::Nothing
    }

    fn start(&self, dim: usize, scale: f64, _rng: &mut Stream) -> Result<Box<dyn Approximation>, Error> {
        check_start(dim, scale)?;
        Ok(Box::new(Simplices::new(dim, 2, scale, self.reparameterisation)?))
    }
}

impl Family for Dirichlet {
    fn name(&self) -> String {
        format!("Dirichlet{}", self.reparameterisation.name())
    }

    fn closed_under(&self) -> Closure {
        Closure::Nothing
    }

    fn start(&self, dim: usize, scale: f64, _rng: &mut Stream) -> Result<Box<dyn Approximation>, Error> {
        check_start(dim, scale)?;
        Ok(Box::new(Simplices::new(1, dim + 1, scale, self.reparameterisation)?))
    }
}

/// The beta distribution that breaks one piece off a stick: Beta(αₖ, Aₖ₊₁), on the logit scale.
#[derive(Debug, Clone, Copy)]
struct Stick {
    a: f64,
    b: f64,
    log_beta: f64,
}

impl Stick {
    fn new(a: f64, b: f64) -> Self {
        Self { a, b, log_beta: ln_beta(a, b) }
    }

    fn log_density(&self, logit: f64) -> f64 {
        -self.a * log1p_exp(-logit) - self.b * log1p_exp(logit) - self.log_beta
    }

    fn score(&self, logit: f64) -> f64 {
        self.a * inv_logit(-logit) - self.b * inv_logit(logit)
    }

    fn entropy(&self) -> f64 {
        let total = digamma(self.a + self.b);
        self.log_beta - self.a * (digamma(self.a) - total) - self.b * (digamma(self.b) - total)
    }

    /// Derivatives of the entropy by a and b.
    fn entropy_gradient(&self) -> (f64, f64) {
        let total = (self.a + self.b) * trigamma(self.a + self.b);
        (total - self.a * trigamma(self.a), total - self.b * trigamma(self.b))
    }
}

/// Dirichlet distributions of several simplices of the same size, one after the other.
#[derive(Debug, Clone)]
struct Simplices {
    /// ln α, a row of K per simplex.
    parameters: Vec<f64>,
    concentrations: Vec<f64>,
    /// ψ(αₖ) - ψ(A₁) = E ln xₖ, a row of K per simplex.
    mean_logs: Vec<f64>,
    /// A row of K - 1 per simplex.
    sticks: Vec<Stick>,
    /// ln (K - k), k = 1 .. K-1
    offsets: Vec<f64>,
    reparameterisation: Reparameterisation,
    /// g of the draws, a row of all K per simplex and draw.
    draws: Vec<GammaDraw>,
    /// u of the draws without the offsets.
    logits: Vec<f64>,
}

impl Simplices {
    fn new(n_simplices: usize, size: usize, scale: f64, reparameterisation: Reparameterisation) -> Result<Self, Error> {
        reparameterisation.validate()?;
        // The first stick has the scale; the others, of the same order, up to √2 of it.
        let rest = (size - 1) as f64;
        let concentration = shape_of(scale * scale, |c| trigamma(c) + trigamma(c * rest));
        let parameters = vec![concentration.ln(); n_simplices * size];
        let mut approximation = Self {
            concentrations: vec![concentration; parameters.len()],
            mean_logs: vec![0.0; parameters.len()],
            sticks: vec![Stick::new(1.0, 1.0); n_simplices * (size - 1)],
            offsets: (1..size).rev().map(|k| (k as f64).ln()).collect(),
            reparameterisation,
            draws: Vec::new(),
            logits: Vec::new(),
            parameters: parameters.clone(),
        };
        approximation.set_parameters(&parameters)?;
        Ok(approximation)
    }

    /// K
    fn size(&self) -> usize {
        self.offsets.len() + 1
    }

    /// *Adds* c ∇φ log q at a position, whose k-th coordinate of each simplex is the logit plus this.
    fn add_parameter_scores(&self, position: &[f64], offset: impl Fn(usize) -> f64, coefficient: f64, out: &mut [f64]) {
        let size = self.size();
        for (i, row) in position.chunks_exact(size - 1).enumerate() {
            let mut log_rest = 0.0;
            for k in 0..size {
                let logit = row.get(k).map(|x| x - offset(k));
                let log_share = log_rest - logit.map_or(0.0, |logit| log1p_exp(-logit));
                log_rest -= logit.map_or(0.0, log1p_exp);
                let j = i * size + k;
                out[j] += coefficient * self.concentrations[j] * (log_share - self.mean_logs[j]);
            }
        }
    }
}

/// Stick-breaking logits of the gamma variables of one simplex.
fn break_sticks(log_values: impl DoubleEndedIterator<Item = f64>, logits: &mut [f64]) {
    let mut backwards = log_values.rev();
    let mut rest = backwards.next().unwrap_or(0.0);
    for (log_value, logit) in backwards.zip(logits.iter_mut().rev()) {
        *logit = log_value - rest;
        rest = log_add_exp(log_value, rest);
    }
}

impl Approximation for Simplices {
    fn dim(&self) -> usize {
        self.sticks.len()
    }

    fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        check_parameters(self.parameters.len(), parameters)?;
        check_shapes(parameters)?;
        let size = self.size();
        self.parameters.copy_from_slice(parameters);
        self.concentrations.iter_mut().zip(parameters).for_each(|(alpha, parameter)| *alpha = parameter.exp());
        let rows = self.concentrations.chunks_exact(size).zip(self.sticks.chunks_exact_mut(size - 1));
        for ((alphas, sticks), mean_logs) in rows.zip(self.mean_logs.chunks_exact_mut(size)) {
            let mut rest = alphas[size - 1];
            for (alpha, stick) in alphas.iter().zip(sticks).rev() {
                *stick = Stick::new(*alpha, rest);
                rest += alpha;
            }
            let total = digamma(rest);
            mean_logs.iter_mut().zip(alphas).for_each(|(mean, alpha)| *mean = digamma(*alpha) - total);
        }
        self.draws.clear();
        self.logits.clear();
        Ok(())
    }

    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        let (size, dim) = (self.size(), self.sticks.len());
        self.logits.resize(draws.len(), 0.0);
        self.draws.clear();
        let rows = draws.chunks_exact_mut(dim).zip(self.logits.chunks_exact_mut(dim));
        for ((row, logits), log_density) in rows.zip(log_densities) {
            for (alphas, logits) in self.concentrations.chunks_exact(size).zip(logits.chunks_exact_mut(size - 1)) {
                let first = self.draws.len();
                self.draws.extend(alphas.iter().map(|&alpha| self.reparameterisation.draw(alpha, rng)));
                break_sticks(self.draws[first..].iter().map(GammaDraw::log_value), logits);
            }
            for ((x, logit), offset) in row.iter_mut().zip(&*logits).zip(self.offsets.iter().cycle()) {
                *x = logit + offset;
            }
            *log_density = self.sticks.iter().zip(&*logits).map(|(stick, logit)| stick.log_density(*logit)).sum();
        }
    }

    fn scores(&mut self, out: &mut [f64]) {
        for ((out, logit), stick) in out.iter_mut().zip(&self.logits).zip(self.sticks.iter().cycle()) {
            *out = stick.score(*logit);
        }
    }

    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]) {
        let size = self.size();
        let simplices = cotangents.chunks_exact(size - 1).zip(self.logits.chunks_exact(size - 1));
        let n_simplices = self.sticks.len() / (size - 1);
        for (row, ((cotangents, logits), draws)) in simplices.zip(self.draws.chunks_exact(size)).enumerate() {
            let first = row % n_simplices * size;
            let columns = self.concentrations[first..].iter().zip(&mut out[first..]);
            // Σ of the cotangents of earlier sticks, times their shares of what is left here.
            let mut earlier = 0.0;
            for (k, (draw, (alpha, out))) in draws.iter().zip(columns).enumerate() {
                let by_log_value = match (cotangents.get(k), logits.get(k)) {
                    (Some(cotangent), Some(&logit)) => {
                        let by_log_value = cotangent - inv_logit(logit) * earlier;
                        earlier = earlier * inv_logit(-logit) + cotangent;
                        by_log_value
                    }
                    _ => -earlier,
                };
                if by_log_value != 0.0 {
                    *out += by_log_value * alpha * draw.log_derivative();
                }
            }
        }
    }

    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        for (&coefficient, logits) in coefficients.iter().zip(self.logits.chunks_exact(self.sticks.len())) {
            self.add_parameter_scores(logits, |_| 0.0, coefficient, out);
        }
    }

    fn parameter_scores_at(&mut self, positions: &[f64], coefficients: &[f64], out: &mut [f64]) -> bool {
        let rows = positions.chunks_exact(self.sticks.len());
        for (&coefficient, position) in coefficients.iter().zip(rows).filter(|(c, _)| **c != 0.0) {
            self.add_parameter_scores(position, |k| self.offsets[k], coefficient, out);
        }
        true
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        check_evaluation(self.sticks.len(), position, gradient)?;
        let mut total = 0.0;
        let coordinates = position.iter().zip(gradient).zip(&self.sticks).zip(self.offsets.iter().cycle());
        for (((x, gradient), stick), offset) in coordinates {
            total += stick.log_density(x - offset);
            *gradient = stick.score(x - offset);
        }
        Ok(total)
    }

    fn has_noise_scores(&self) -> bool {
        self.reparameterisation.has_noise_scores()
    }

    fn noise_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        for (coefficient, draws) in coefficients.iter().zip(self.draws.chunks_exact(self.parameters.len())) {
            for ((out, alpha), draw) in out.iter_mut().zip(&self.concentrations).zip(draws) {
                *out += coefficient * alpha * draw.noise_score();
            }
        }
    }

    fn entropy(&self) -> Option<f64> {
        Some(self.sticks.iter().map(Stick::entropy).sum())
    }

    fn entropy_gradient(&self, coefficient: f64, out: &mut [f64]) -> bool {
        let size = self.size();
        let rows = self.sticks.chunks_exact(size - 1).zip(self.concentrations.chunks_exact(size));
        for ((sticks, alphas), out) in rows.zip(out.chunks_exact_mut(size)) {
            let mut by_rest = 0.0;
            for (k, (alpha, out)) in alphas.iter().zip(out).enumerate() {
                let (by_a, by_b) = sticks.get(k).map_or((0.0, 0.0), Stick::entropy_gradient);
                *out += coefficient * alpha * (by_a + by_rest);
                by_rest += by_b;
            }
        }
        true
    }

    fn mean(&self) -> Option<Vec<f64>> {
        let means = self.sticks.iter().zip(self.offsets.iter().cycle());
        Some(means.map(|(stick, offset)| digamma(stick.a) - digamma(stick.b) + offset).collect())
    }

    /// Diagonal, since sticks are broken independently.
    fn covariance(&self) -> Option<Array2<f64>> {
        let variances: Array1<f64> = self.sticks.iter().map(|stick| trigamma(stick.a) + trigamma(stick.b)).collect();
        Some(Array2::from_diag(&variances))
    }

    fn clone_box(&self) -> Box<dyn Approximation> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autodiff::{Accumulator, Value};
    use crate::vi::families::check::{check_at, check_family};

    #[test]
    fn derivatives_at_fixed_noise_agree_with_differences() {
        for augmentation in [0, 1, 3] {
            let rejection = Reparameterisation::AcceptanceRejection { augmentation };
            check_family(&Beta::default().reparameterisation(rejection), 2);
            check_family(&Dirichlet::default().reparameterisation(rejection), 3);
            let mut q = Dirichlet::default().reparameterisation(rejection).start(2, 1.0, &mut Stream::new(1)).unwrap();
            check_at(q.as_mut(), &[-1.0, 3.0, 0.5], 1);
        }
    }

    /// A step along implicit derivatives changes ln gₖ by d ln gₖ/dαₖ and nothing else.
    #[test]
    fn implicit_derivatives_go_through_the_sticks() {
        const H: f64 = 1e-6;
        let mut q = Simplices::new(2, 3, 1.0, Reparameterisation::Implicit).unwrap();
        q.set_parameters(&[0.2, 1.0, -0.5, 3.0, -1.0, 0.7]).unwrap();
        q.sample(&mut Stream::new(2), &mut [0.0; 4], &mut [0.0]);
        let cotangents = [1.0, -0.4, 0.3, 2.0];
        let mut found = [0.0; 6];
        q.pull_back(&cotangents, &mut found);
        for k in 0..6 {
            let at = |step: f64| -> f64 {
                let mut logits = [0.0; 4];
                for i in 0..2 {
                    let moved = (0..3).map(|j| {
                        let draw = q.draws[3 * i + j];
                        let moves = if 3 * i + j == k { step * q.concentrations[k] * draw.log_derivative() } else { 0.0 };
                        draw.log_value() + moves
                    });
                    break_sticks(moved, &mut logits[2 * i..2 * i + 2]);
                }
                logits.iter().zip(cotangents).map(|(x, c)| x * c).sum()
            };
            let difference = (at(H) - at(-H)) / (2.0 * H);
            assert!((found[k] - difference).abs() < 1e-8 * difference.abs().max(1.0), "{}: {} and {difference}", k, found[k]);
        }
    }

    /// The density is the Dirichlet's, times the Jacobian of the transform; without the Jacobian it would be off by more than 1.
    #[test]
    fn the_density_is_that_of_the_simplex_transform() {
        let alphas = [0.7, 2.0, 1.3, 5.0];
        let mut q = Dirichlet::default().start(3, 1.0, &mut Stream::new(1)).unwrap();
        q.set_parameters(&alphas.map(f64::ln)).unwrap();
        let position = [0.4, -1.2, 2.0];
        let mut jacobian = Accumulator::new();
        let x: Vec<f64> = crate::transforms::simplex(&position.map(Value), &mut jacobian).into_iter().map(f64::from).collect();
        let expected = crate::distributions::Dirichlet::new(alphas.to_vec()).unwrap().ln_pdf(&x).unwrap() + jacobian.value();
        let found = q.log_density_gradient(&position, &mut [0.0; 3]).unwrap();
        assert!((found - expected).abs() < 1e-12 && jacobian.value().abs() > 1.0, "{found} and {expected}");
    }

    #[test]
    fn a_start_is_at_the_centre_with_about_the_scale_asked_for() {
        for scale in [0.01, 0.1, 1.0] {
            let q = Beta::default().start(2, scale, &mut Stream::new(1)).unwrap();
            approx::assert_relative_eq!(q.covariance().unwrap()[[1, 1]], scale * scale, max_relative = 1e-8);
            let q = Dirichlet::default().start(9, scale, &mut Stream::new(1)).unwrap();
            let covariance = q.covariance().unwrap();
            assert!(covariance.diag().iter().all(|v| (1.0..2.0).contains(&(v / (scale * scale * 0.999)))));
            // The mean of a log ratio is off the ratio's logarithm by half a variance.
            assert!(q.mean().unwrap().iter().all(|m| m.abs() <= scale * scale));
        }
    }
}
