//! Laplace's approximation: the normal distribution with the mode's position and curvature.
//!
//! ```text
//! q = N(x̂, (-∇² log p(x̂))⁻¹),   x̂ = argmax log p
//! ```
//! *Asks* of the target its gradient and products of its Hessian with vectors: those of models are exact, those of hand-written densities differences of gradients. *Costs* a
//! search by L-BFGS (argmin's, started anew where its line search fails), then a Newton step or a few, of d products each; a d x d matrix. *Not* for hierarchical models in their
//! centred form, whose density may rise without end, nor where the mode is far from the mass. The mode is that of the unconstrained space, so it depends on the transforms; of
//! several modes it is the one that the start leads to.
//! *Reference* L. Tierney & J. Kadane 1986, <https://doi.org/10.1080/01621459.1986.10478240>.

use ndarray::Array2;

use super::families::{check_memory, normal};
use super::fit::{Fit, Record};
use super::hessian::{EVALUATIONS_PER_PRODUCT, negative_hessian};
use crate::error::{Error, check};
use crate::kernels::State;
use crate::linalg;
use crate::mcmc::{Goal, Start, descend, first_point};
use crate::model::{Evaluator, Target};
use crate::parallel::Threads;

/// Newton steps at the end of the search, at most.
const NEWTON_STEPS: usize = 10;
/// Squared distance to the mode, in standard deviations, at which it counts as found: steps go on while they bring it nearer.
const FOUND: f64 = 1e-6;
/// Squared distance at which they need not.
const EXACT: f64 = 1e-12;
/// Share of a coordinate's curvature that must remain when all earlier ones follow it; less is a flat direction.
const FLAT: f64 = 1e-10;
/// The Hessian, its inverse, that as a matrix, and its factor.
const MATRICES: usize = 4;

/// Laplace's approximation.
///
/// ```
/// use ndarray::array;
/// use posterity::model::{WithGradient, zoo::analytic::Gaussian};
/// use posterity::vi::Laplace;
/// let covariance = array![[1.0, 0.3], [0.3, 0.5]];
/// let target = WithGradient(Gaussian::new(array![1.0, -2.0], &covariance)?);
/// let fit = Laplace::default().fit(&target, 1)?;
/// let difference = fit.approximation().covariance().unwrap() - covariance;
/// assert!(difference.iter().all(|x| x.abs() < 1e-6));
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Laplace {
    start: Start,
    n_iterations: usize,
    n_draws: usize,
    threads: Threads,
}

impl Default for Laplace {
    fn default() -> Self {
        Self { start: Start::Search, n_iterations: 1000, n_draws: 4000, threads: Threads::shared() }
    }
}

impl Laplace {
    /// Where the search starts; at the densest of eight points drawn uniformly from (-2, 2)ᵈ.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Iterations of L-BFGS at most; 1000.
    #[must_use]
    pub fn n_iterations(mut self, n_iterations: usize) -> Self {
        self.n_iterations = n_iterations;
        self
    }

    /// Number of weighted draws at the end; 4000.
    #[must_use]
    pub fn n_draws(mut self, n_draws: usize) -> Self {
        self.n_draws = n_draws;
        self
    }

    /// Where the draws at the end are evaluated; on all threads.
    #[must_use]
    pub fn threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// Checks all settings.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first one out of range.
    pub fn validate(&self) -> Result<(), Error> {
        check::at_least("n_iterations", self.n_iterations, 1, "at least 1")?;
        check::at_least("n_draws", self.n_draws, 1, "at least 1")
    }

    /// Fits a target.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], also for a dimension whose matrices do not fit into memory; [`Error::NoParameters`]; [`Error::NoStartPoint`]; [`Error::Unbounded`] if the density rises without end; [`Error::NotPositiveDefinite`] for the negative
    /// Hessian, with the first coordinate at which it is flat or curved upwards; [`Error::NoMode`] if the search ends elsewhere; [`Error::Density`] if the target fails there;
    /// [`Error::NoUsableDraw`] if that is so of the draws at the end.
    pub fn fit<T: Target + ?Sized>(&self, target: &T, seed: u64) -> Result<Fit, Error> {
        self.validate()?;
        let dim = target.dim()?;
        if dim == 0 {
            return Err(Error::NoParameters);
        }
        check_memory("dimension", dim, dim.checked_mul(dim).and_then(|n| n.checked_mul(MATRICES)))?;
        let mut record = Record::new("Laplace".to_owned(), seed);
        let mut evaluator = target.evaluator()?;
        let (start, n_evaluations) = first_point(target, &mut *evaluator, &self.start, seed, 0)?;
        let descent = descend(&mut *evaluator, start, Goal::Mode, self.n_iterations)?;
        if descent.ran_off {
            return Err(Error::Unbounded { what: "search for the mode", value: descent.state.log_density });
        }
        let n_iterations = descent.n_iterations;
        record.n_gradient_evaluations = u64::from(n_evaluations) + u64::from(descent.n_evaluations);
        record.n_iterations = n_iterations;
        let State { mut position, mut gradient, .. } = descent.state;
        let mut before = f64::INFINITY;
        for steps_left in (0..NEWTON_STEPS).rev() {
            let factor = match curvature_factor(&mut *evaluator, &position) {
                // Steps that led here, or a search cut short, had no mode to tell the curvature of.
                Err(Error::NotPositiveDefinite { .. }) if before.is_finite() || n_iterations == self.n_iterations => {
                    return Err(Error::NoMode { n_iterations });
                }
                factor => factor?,
            };
            record.n_gradient_evaluations += EVALUATIONS_PER_PRODUCT * position.len() as u64;
            let mut step = gradient.clone();
            linalg::solve_cholesky(&factor, position.len(), &mut step).map_err(|error| error.named(HESSIAN))?;
            let distance: f64 = step.iter().zip(&gradient).map(|(s, g)| s * g).sum();
            position.iter_mut().zip(&step).for_each(|(x, s)| *x += s);
            let is_best = distance <= EXACT || distance > 0.25 * before || steps_left == 0;
            if distance <= FOUND && is_best {
                let dim = position.len();
                let inverse = linalg::cholesky_inverse(&factor, dim).map_err(|error| error.named(HESSIAN))?;
                let covariance = Array2::from_shape_fn((dim, dim), |(i, j)| inverse[i * dim + j]);
                let approximation = normal(&position, covariance.view())?;
                return Fit::assess(target, approximation, record, self.n_draws, self.threads.clone());
            }
            before = distance;
            evaluator.log_density_gradient(&position, &mut gradient)?;
            record.n_gradient_evaluations += 1;
        }
        Err(Error::NoMode { n_iterations })
    }
}

const HESSIAN: &str = "negative Hessian at the mode";

/// The Cholesky factor of the negative Hessian, d x d.
fn curvature_factor(evaluator: &mut dyn Evaluator, position: &[f64]) -> Result<Vec<f64>, Error> {
    let dim = position.len();
    let mut hessian = vec![0.0; dim * dim];
    negative_hessian(evaluator, position, &mut hessian)?;
    let curvatures: Vec<f64> = (0..dim).map(|i| hessian[i * dim + i]).collect();
    linalg::cholesky_in_place(&mut hessian, dim).map_err(|error| error.named(HESSIAN))?;
    match (0..dim).find(|&i| !(hessian[i * dim + i].powi(2) > FLAT * curvatures[i])) {
        Some(pivot) => Err(Error::NotPositiveDefinite { what: HESSIAN, pivot }),
        None => Ok(hessian),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DensityError;
    use crate::model::{Density, WithGradient};
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A density from a closure, with a count of its evaluations.
    struct Closure<F>(usize, F, AtomicU64);

    impl<F: Fn(&[f64], &mut [f64]) -> f64 + Sync> Density for Closure<F> {
        fn dim(&self) -> usize {
            self.0
        }
        fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
            self.2.fetch_add(1, Ordering::Relaxed);
            Ok((self.1)(position, gradient))
        }
    }

    fn target<F: Fn(&[f64], &mut [f64]) -> f64 + Sync>(dim: usize, f: F) -> WithGradient<Closure<F>> {
        WithGradient(Closure(dim, f, AtomicU64::new(0)))
    }

    /// The logarithm of a Gamma(3, 1/2) variable, and a normal one of standard deviation 0.1 around its square.
    fn bent(q: &[f64], g: &mut [f64]) -> f64 {
        let (x, away) = (q[0], (q[1] - q[0] * q[0]) / 0.01);
        g.copy_from_slice(&[3.0 - 0.5 * x.exp() + 2.0 * x * away, -away]);
        3.0 * x - 0.5 * x.exp() - 0.5 * 0.01 * away * away
    }

    /// At the mode (m, m²), m = ln 6, the covariance is (1/3, 2m/3; 2m/3, 0.01 + 4m²/3). One iteration of L-BFGS leaves the way to Newton's steps.
    #[test]
    fn mode_and_curvature_of_a_bent_density_are_exact() {
        let target = target(2, bent);
        let m = 6.0_f64.ln();
        let covariance = [[1.0 / 3.0, 2.0 * m / 3.0], [2.0 * m / 3.0, 0.01 + 4.0 * m * m / 3.0]];
        let near = Start::Positions(vec![vec![1.7, 2.8]]);
        let fits = (0..20).map(|seed| Laplace::default().n_draws(10).fit(&target, seed));
        for fit in fits.chain([Laplace::default().start(near).n_iterations(1).n_draws(10).fit(&target, 1)]) {
            let fit = fit.unwrap();
            let (mean, found) = (fit.approximation().mean().unwrap(), fit.approximation().covariance().unwrap());
            // Products of the Hessian are differences of gradients.
            assert!((mean[0] - m).abs() < 1e-7 && (mean[1] - m * m).abs() < 1e-7, "{mean:?}");
            for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                assert!((found[[i, j]] - covariance[i][j]).abs() < 1e-4, "{found}");
            }
        }
    }

    /// At 10⁹ with a standard deviation of 0.01 positions are exact to 1e-5 standard deviations: Newton's steps come no nearer.
    #[test]
    fn rounding_of_far_positions_is_no_failure() {
        let target = target(1, |q, g| {
            let z = (q[0] - 1e9 - 1.0 / 3.0) / 0.01;
            g[0] = -z / 0.01;
            -0.5 * z * z
        });
        for seed in 0..5 {
            let fit = Laplace::default().n_draws(10).fit(&target, seed).unwrap();
            let away = fit.approximation().mean().unwrap()[0] - 1e9 - 1.0 / 3.0;
            assert!(away.abs() < 1e-6, "{away}");
        }
    }

    #[test]
    fn every_evaluation_is_counted() {
        // With few iterations Newton's steps are several.
        for n_iterations in [1000, 20] {
            let target = target(2, bent);
            let fit = Laplace::default().n_iterations(n_iterations).n_draws(10).fit(&target, 3).unwrap();
            let counted = fit.n_gradient_evaluations() + fit.n_density_evaluations();
            assert_eq!(counted, target.0.2.load(Ordering::Relaxed));
            assert!(fit.n_gradient_evaluations() < 100 && fit.n_iterations() < 60);
        }
    }

    /// Newton's steps on x⁵⁰ shorten x by 1/49 each.
    #[test]
    fn an_ascent_that_ends_short_of_the_mode_is_an_error() {
        let target = target(1, |q, g| {
            g[0] = -50.0 * q[0].powi(49);
            -q[0].powi(50)
        });
        let fit = Laplace::default().start(Start::Positions(vec![vec![1.5]])).n_iterations(1).fit(&target, 1);
        assert!(matches!(fit, Err(Error::NoMode { n_iterations: 1 })), "{fit:?}");
    }

    /// A curvature of 1e-13 in one direction beside one of 1 in the other: whatever rounding makes of the last pivot, positive or not, it is flat. One of 1e-6 is not.
    #[test]
    fn a_direction_that_is_flat_but_for_rounding_is_named() {
        for tilt in [1.0, 1.1, 0.7, 0.3] {
            let fit = |curvature: f64| {
                let target = target(2, move |q, g| {
                    let (across, along) = (q[0] - tilt * q[1], tilt * q[0] + q[1]);
                    g.copy_from_slice(&[-across - curvature * tilt * along, tilt * across - curvature * along]);
                    -0.5 * (across * across + curvature * along * along)
                });
                Laplace::default().n_draws(10).fit(&target, 1)
            };
            let flat = fit(1e-13);
            assert!(matches!(flat, Err(Error::NotPositiveDefinite { pivot: 1, .. })), "{flat:?}");
            assert!(fit(1e-6).is_ok());
        }
    }

    #[test]
    fn values_that_overflow_on_the_way_up_are_unbounded() {
        for slope in [1.0, -3.0] {
            let target = target(2, move |q, g| {
                g.copy_from_slice(&[slope * (slope * q[0]).exp(), -q[1]]);
                (slope * q[0]).exp() - 0.5 * q[1] * q[1]
            });
            let fit = Laplace::default().fit(&target, 1);
            assert!(matches!(fit, Err(Error::Unbounded { .. })), "{fit:?}");
        }
    }
}
