//! Independent gamma distributions of positive parameters, on the scale of their logarithms.
//!
//! ```text
//! φ = (ln m, ln a)      u = ln m - ln a + ln g,   g ~ Gamma(a, 1)        e^u ~ Gamma(shape a, mean m)
//! log q(u) = -a (e^w - 1 - w) + a ln a - a - ln Γ(a),   w = u - ln m
//! ```
//! Shape and mean are orthogonal in the Fisher information, and their logarithms make every parameter vector a distribution: no floor is needed. *Costs* per draw and coordinate a gamma draw and, for implicit
//! derivatives, [one of its quantile](crate::math::gamma_log_quantile_derivative). *Not* with a [`FamilyStart`](crate::vi::FamilyStart) whose scales are not 1: stretched logarithms are not those of gamma variables.

use ndarray::Array2;

use super::gamma_draw::{GammaDraw, Reparameterisation, check_shapes, shape_of};
use crate::error::Error;
use crate::math::special::{digamma_rest, stirling_rest};
use crate::math::{digamma, ln_gamma, trigamma};
use crate::rng::Stream;
use crate::vi::approximation::{Approximation, Closure, Family, check_parameters, check_start};
use crate::vi::families::check_evaluation;
use crate::vi::families::mean_field::HALF_LOG_TWO_PI;

/// The family of independent gamma distributions, for coordinates that are logarithms of positive parameters, as
/// [`Space::positive`](crate::model::Space::positive) has them.
///
/// The parameters are the logarithms of the means, then those of the shapes.
///
/// ```
/// use posterity::prelude::*;
/// use posterity::vi::{self, Vi};
///
/// struct Counts(Vec<u64>);
///
/// impl Model for Counts {
///     type Parameters<T: Real> = T;
///     fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> T { space.positive("rate") }
///     fn log_prior<T: Real>(&self, rate: &T, lp: &mut LogP<T>) { lp.gamma(rate, &2.0, &1.0) }
///     fn log_likelihood<T: Real>(&self, rate: &T, lp: &mut LogP<T>) { lp.poisson(&self.0, rate) }
/// }
///
/// let fit = Vi::new(vi::Gamma::default()).n_iterations(3000).fit(&Counts(vec![3, 0, 2, 4]), 1)?;
/// // The posterior is Gamma(2 + 9, rate 1 + 4).
/// let shape = fit.approximation().parameters()[1].exp();
/// assert!((shape - 11.0).abs() < 0.1);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gamma {
    reparameterisation: Reparameterisation,
}

impl Gamma {
    /// How draws depend on the shapes; implicitly.
    #[must_use]
    pub fn reparameterisation(mut self, reparameterisation: Reparameterisation) -> Self {
        self.reparameterisation = reparameterisation;
        self
    }
}

impl Family for Gamma {
    fn name(&self) -> String {
        format!("gamma{}", self.reparameterisation.name())
    }

    fn closed_under(&self) -> Closure {
        Closure::Nothing
    }

    fn start(&self, dim: usize, scale: f64, _rng: &mut Stream) -> Result<Box<dyn Approximation>, Error> {
        check_start(dim, scale)?;
        self.reparameterisation.validate()?;
        let shape = shape_of(scale * scale, trigamma);
        let mut parameters = vec![log_minus_digamma(shape); 2 * dim];
        parameters[dim..].fill(shape.ln());
        let mut approximation = IndependentGamma {
            parameters,
            coordinates: vec![Coordinate::new(shape); dim],
            reparameterisation: self.reparameterisation,
            draws: Vec::new(),
        };
        let parameters = approximation.parameters.clone();
        approximation.set_parameters(&parameters)?;
        Ok(Box::new(approximation))
    }
}

/// What depends on the shape of a coordinate.
#[derive(Debug, Clone, Copy)]
struct Coordinate {
    shape: f64,
    /// a ln a - a - ln Γ(a)
    log_normaliser: f64,
    /// ln a - ψ(a)
    log_minus_digamma: f64,
}

impl Coordinate {
    fn new(shape: f64) -> Self {
        let log_normaliser = if shape < 10.0 {
            shape * shape.ln() - shape - ln_gamma(shape)
        } else {
            0.5 * shape.ln() - HALF_LOG_TWO_PI - stirling_rest(shape)
        };
        Self { shape, log_normaliser, log_minus_digamma: log_minus_digamma(shape) }
    }

    /// Log density and score of w = u - ln m.
    fn log_density(&self, w: f64) -> (f64, f64) {
        let excess = w.exp_m1();
        (self.log_normaliser - self.shape * (excess - w), -self.shape * excess)
    }
}

/// ln a - ψ(a), without its cancellation.
fn log_minus_digamma(shape: f64) -> f64 {
    if shape < 10.0 { shape.ln() - digamma(shape) } else { 0.5 / shape + digamma_rest(shape) }
}

/// A member of [`Gamma`].
#[derive(Debug, Clone)]
struct IndependentGamma {
    parameters: Vec<f64>,
    coordinates: Vec<Coordinate>,
    reparameterisation: Reparameterisation,
    /// g of the draws, n x d.
    draws: Vec<GammaDraw>,
}

impl IndependentGamma {
    /// Draws with the constants of their coordinates, and w.
    fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = (GammaDraw, Coordinate, f64)>> {
        let log_shapes = &self.parameters[self.coordinates.len()..];
        self.draws.chunks_exact(self.coordinates.len()).map(move |row| {
            let columns = row.iter().zip(&self.coordinates).zip(log_shapes);
            columns.map(|((draw, coordinate), log_shape)| (*draw, *coordinate, draw.log_value() - log_shape))
        })
    }
}

impl Approximation for IndependentGamma {
    fn dim(&self) -> usize {
        self.coordinates.len()
    }

    fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        check_parameters(self.parameters.len(), parameters)?;
        let log_shapes = &parameters[self.coordinates.len()..];
        check_shapes(log_shapes)?;
        for (coordinate, log_shape) in self.coordinates.iter_mut().zip(log_shapes) {
            *coordinate = Coordinate::new(log_shape.exp());
        }
        self.parameters.copy_from_slice(parameters);
        self.draws.clear();
        Ok(())
    }

    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        let dim = self.coordinates.len();
        self.draws.clear();
        for (row, total) in draws.chunks_exact_mut(dim).zip(log_densities) {
            *total = 0.0;
            for i in 0..dim {
                let coordinate = &self.coordinates[i];
                let draw = self.reparameterisation.draw(coordinate.shape, rng);
                let w = draw.log_value() - self.parameters[dim + i];
                row[i] = self.parameters[i] + w;
                *total += coordinate.log_density(w).0;
                self.draws.push(draw);
            }
        }
    }

    fn scores(&mut self, out: &mut [f64]) {
        for (out, row) in out.chunks_exact_mut(self.coordinates.len()).zip(self.rows()) {
            out.iter_mut().zip(row).for_each(|(out, (_, coordinate, w))| *out = coordinate.log_density(w).1);
        }
    }

    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]) {
        let (log_means, log_shapes) = out.split_at_mut(self.coordinates.len());
        for (cotangents, row) in cotangents.chunks_exact(self.coordinates.len()).zip(self.rows()) {
            for (i, (cotangent, (draw, coordinate, _))) in cotangents.iter().zip(row).enumerate() {
                log_means[i] += cotangent;
                if *cotangent != 0.0 {
                    log_shapes[i] += cotangent * (coordinate.shape * draw.log_derivative() - 1.0);
                }
            }
        }
    }

    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        let (log_means, log_shapes) = out.split_at_mut(self.coordinates.len());
        for (coefficient, row) in coefficients.iter().zip(self.rows()) {
            for (i, (_, Coordinate { shape, log_minus_digamma, .. }, w)) in row.enumerate() {
                let excess = w.exp_m1();
                log_means[i] += coefficient * shape * excess;
                log_shapes[i] += coefficient * shape * (w - excess + log_minus_digamma);
            }
        }
    }

    fn parameter_scores_at(&mut self, positions: &[f64], coefficients: &[f64], out: &mut [f64]) -> bool {
        let dim = self.coordinates.len();
        let (log_means, log_shapes) = out.split_at_mut(dim);
        for (&coefficient, position) in coefficients.iter().zip(positions.chunks_exact(dim)).filter(|(c, _)| **c != 0.0) {
            for (i, Coordinate { shape, log_minus_digamma, .. }) in self.coordinates.iter().enumerate() {
                let w = position[i] - self.parameters[i];
                let excess = w.exp_m1();
                log_means[i] += coefficient * shape * excess;
                log_shapes[i] += coefficient * shape * (w - excess + log_minus_digamma);
            }
        }
        true
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        check_evaluation(self.coordinates.len(), position, gradient)?;
        let mut total = 0.0;
        for (i, coordinate) in self.coordinates.iter().enumerate() {
            let (log_density, score) = coordinate.log_density(position[i] - self.parameters[i]);
            total += log_density;
            gradient[i] = score;
        }
        Ok(total)
    }

    fn has_noise_scores(&self) -> bool {
        self.reparameterisation.has_noise_scores()
    }

    fn noise_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        let log_shapes = &mut out[self.coordinates.len()..];
        for (coefficient, row) in coefficients.iter().zip(self.rows()) {
            for (out, (draw, coordinate, _)) in log_shapes.iter_mut().zip(row) {
                *out += coefficient * coordinate.shape * draw.noise_score();
            }
        }
    }

    fn entropy(&self) -> Option<f64> {
        let entropy = |c: &Coordinate| c.shape * c.log_minus_digamma - c.log_normaliser;
        Some(self.coordinates.iter().map(entropy).sum())
    }

    fn entropy_gradient(&self, coefficient: f64, out: &mut [f64]) -> bool {
        for (out, Coordinate { shape, .. }) in out[self.coordinates.len()..].iter_mut().zip(&self.coordinates) {
            *out += coefficient * shape * (1.0 - shape * trigamma(*shape));
        }
        true
    }

    fn mean(&self) -> Option<Vec<f64>> {
        Some(self.coordinates.iter().zip(&self.parameters).map(|(c, log_mean)| log_mean - c.log_minus_digamma).collect())
    }

    fn covariance(&self) -> Option<Array2<f64>> {
        let variances = self.coordinates.iter().map(|c| trigamma(c.shape)).collect();
        Some(Array2::from_diag(&ndarray::Array1::from_vec(variances)))
    }

    fn clone_box(&self) -> Box<dyn Approximation> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vi::families::check::{check_at, check_family};

    const REJECTION: Reparameterisation = Reparameterisation::AcceptanceRejection { augmentation: 2 };

    #[test]
    fn derivatives_at_fixed_noise_agree_with_differences() {
        for augmentation in [0, 2] {
            check_family(&Gamma::default().reparameterisation(Reparameterisation::AcceptanceRejection { augmentation }), 3);
        }
        let mut q = Gamma::default().reparameterisation(REJECTION).start(2, 1.0, &mut Stream::new(1)).unwrap();
        check_at(q.as_mut(), &[0.3, -2.0, -0.5, 6.0], 1);
    }

    #[test]
    fn a_start_has_the_mean_and_the_scale_asked_for() {
        for scale in [1e-3, 0.1, 1.0, 30.0] {
            let q = Gamma::default().start(2, scale, &mut Stream::new(1)).unwrap();
            assert!(q.mean().unwrap()[1].abs() < 1e-12 * scale.max(1.0));
            approx::assert_relative_eq!(q.covariance().unwrap()[[1, 1]], scale * scale, max_relative = 1e-8);
        }
        assert!(Gamma::default().start(0, 1.0, &mut Stream::new(1)).is_err());
        let augmentation = 1001;
        let excessive = Gamma::default().reparameterisation(Reparameterisation::AcceptanceRejection { augmentation });
        assert!(excessive.start(1, 1.0, &mut Stream::new(1)).is_err());
    }

    /// Where the draws of a shape move by v = du/dφ, the density obeys ∂q/∂φ + ∂(q v)/∂u = 0: implicit derivatives are the ones without noise scores for which this
    /// holds at every point. The derivative of the rejection sampler, put in its place, is off by more than 0.2 at a small draw of shape 1.1: by the score of the noise.
    #[test]
    fn implicit_derivatives_transport_the_density() {
        const H: f64 = 1e-5;
        let residual = |shape: f64, log_value: f64, velocity: &dyn Fn(f64) -> f64| {
            let coordinate = Coordinate::new(shape);
            let w = log_value - shape.ln();
            let by_shape = w - w.exp_m1() + coordinate.log_minus_digamma;
            let divergence = (velocity(log_value + H) - velocity(log_value - H)) / (2.0 * H);
            // In the coordinate ln g, where the density by the shape has the further slope of ln a.
            let score = coordinate.log_density(w).1;
            by_shape - score / shape + divergence + velocity(log_value) * score
        };
        for shape in [0.05, 0.8, 2.5, 35.0_f64] {
            for offset in [-1.5, -0.2, 0.4, 1.5] {
                let log_value = shape.ln() + offset / f64::sqrt(shape);
                let implicit = |x: f64| crate::math::gamma_log_quantile_derivative(shape, x);
                let found = residual(shape, log_value, &implicit);
                assert!(found.abs() < 1e-6, "shape {shape} at {log_value}: {found}");
            }
        }
        let rejection = |x: f64| {
            // d ln h/da at fixed noise, shape 1.1.
            let rate: f64 = 1.0 / (1.1 - 1.0 / 3.0);
            let root = ((x - (1.0 / rate).ln()) / 3.0).exp();
            rate - 1.5 * rate * (root - 1.0) / root
        };
        assert!(residual(1.1, -3.0, &rejection).abs() > 0.2);
    }

    #[test]
    fn large_shapes_keep_their_digits() {
        // At shape 1e10 a normal distribution of ln g is exact to 1e-5.
        let mut q = Gamma::default().start(1, 0.1, &mut Stream::new(1)).unwrap();
        q.set_parameters(&[0.7, 1e10_f64.ln()]).unwrap();
        let normal_entropy = HALF_LOG_TWO_PI + 0.5 - 0.5 * 1e10_f64.ln();
        assert!((q.entropy().unwrap() - normal_entropy).abs() < 1e-5);
        let mut gradient = [0.0];
        q.entropy_gradient(1.0, &mut [0.0, 0.0]);
        let found = q.log_density_gradient(&[0.7 + 2e-5], &mut gradient).unwrap();
        assert!((found - (0.5 * 1e10_f64.ln() - HALF_LOG_TWO_PI - 2.0)).abs() < 1e-4);
        assert!(q.set_parameters(&[0.0, 60.0]).is_err() && q.set_parameters(&[0.0, -60.0]).is_err());
    }
}
