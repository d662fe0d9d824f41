//! Laplace's approximation: the normal distribution with the mode's position and curvature.
//!
//! ```text
//! q = N(x̂, (-∇² log p(x̂))⁻¹),   x̂ = argmax log p
//! ```
//! *Asks* of the target its gradient and products of its Hessian with vectors: those of models are exact, those of hand-written densities differences of gradients. *Costs* an
//! ascent by L-BFGS and d products; a d x d matrix. *Not* for hierarchical models in their centred form, whose density may rise without end, nor where the mode is far from the mass.
//! The mode is that of the unconstrained space, so it depends on the transforms. *Reference* L. Tierney & J. Kadane 1986, <https://doi.org/10.1080/01621459.1986.10478240>.

use ndarray::Array2;

use super::families::normal;
use super::fit::{Fit, Record};
use super::pathfinder::{Ascent, Step};
use crate::error::{Error, check};
use crate::linalg;
use crate::mcmc::{Start, first_point};
use crate::model::{Evaluator, Target};
use crate::parallel::Threads;

/// Pairs that L-BFGS remembers.
const HISTORY: usize = 10;
/// Newton steps at the end of the ascent, at most.
const NEWTON_STEPS: usize = 10;
/// Squared distance to the mode, in standard deviations, at which it counts as found.
const FOUND: f64 = 1e-6;
/// Share of a coordinate's curvature that must remain when all earlier ones are fixed; less is a flat direction.
const FLAT: f64 = 1e-10;
/// Evaluations that one product with the Hessian counts for.
const EVALUATIONS_PER_PRODUCT: u64 = 2;

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
    /// Where the ascent starts; at the densest of eight points drawn uniformly from (-2, 2)ᵈ.
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
    /// [`Error::InvalidSetting`]; [`Error::NoParameters`]; [`Error::NoStartPoint`]; [`Error::Unbounded`] if the density rises without end; [`Error::NotPositiveDefinite`] for the negative
    /// Hessian, with the first coordinate at which it is flat or curved upwards; [`Error::NoMode`] if the ascent ends elsewhere; [`Error::Density`] if the target fails there;
    /// [`Error::NoUsableDraw`] if that is so of the draws at the end.
    pub fn fit<T: Target + ?Sized>(&self, target: &T, seed: u64) -> Result<Fit, Error> {
        self.validate()?;
        if target.dim()? == 0 {
            return Err(Error::NoParameters);
        }
        let mut record = Record::new("Laplace".to_owned(), seed);
        let mut evaluator = target.evaluator()?;
        let (start, n_evaluations) = first_point(target, &mut *evaluator, &self.start, seed, 0)?;
        let mut ascent = Ascent::new(&mut *evaluator, start, HISTORY);
        let mut n_iterations = 0;
        while n_iterations < self.n_iterations {
            n_iterations += 1;
            match ascent.advance()? {
                Step::Moved => {}
                Step::RanOff => return Err(Error::Unbounded { what: "search for the mode", value: ascent.state.log_density }),
                Step::Converged | Step::Stuck => break,
            }
        }
        record.n_gradient_evaluations = u64::from(n_evaluations) + ascent.n_evaluations;
        record.n_iterations = n_iterations;
        let crate::kernels::State { mut position, mut gradient, .. } = ascent.state;
        for _ in 0..NEWTON_STEPS {
            let factor = negative_hessian(&mut *evaluator, &position)?;
            record.n_gradient_evaluations += EVALUATIONS_PER_PRODUCT * position.len() as u64;
            let mut step = gradient.clone();
            linalg::solve_cholesky(&factor, position.len(), &mut step).map_err(|error| error.named(HESSIAN))?;
            let distance: f64 = step.iter().zip(&gradient).map(|(s, g)| s * g).sum();
            if distance <= FOUND {
                let dim = position.len();
                let inverse = linalg::cholesky_inverse(&factor, dim).map_err(|error| error.named(HESSIAN))?;
                let covariance = Array2::from_shape_fn((dim, dim), |(i, j)| inverse[i * dim + j]);
                let approximation = normal(&position, covariance.view())?;
                return Fit::assess(target, approximation, record, self.n_draws, self.threads.clone());
            }
            position.iter_mut().zip(&step).for_each(|(x, s)| *x += s);
            evaluator.log_density_gradient(&position, &mut gradient)?;
            record.n_gradient_evaluations += 1;
        }
        Err(Error::NoMode { n_iterations })
    }
}

const HESSIAN: &str = "negative Hessian at the mode";

/// The Cholesky factor of the negative Hessian, d x d.
fn negative_hessian(evaluator: &mut dyn Evaluator, position: &[f64]) -> Result<Vec<f64>, Error> {
    let dim = position.len();
    let mut hessian = vec![0.0; dim * dim];
    let mut unit = vec![0.0; dim];
    for (j, row) in hessian.chunks_exact_mut(dim).enumerate() {
        unit[j] = 1.0;
        evaluator.hessian_vector(position, &unit, row)?;
        unit[j] = 0.0;
    }
    for i in 0..dim {
        for j in 0..=i {
            let symmetric = -0.5 * (hessian[i * dim + j] + hessian[j * dim + i]);
            hessian[i * dim + j] = symmetric;
            hessian[j * dim + i] = symmetric;
        }
    }
    let curvatures: Vec<f64> = (0..dim).map(|i| hessian[i * dim + i]).collect();
    linalg::cholesky_in_place(&mut hessian, dim).map_err(|error| error.named(HESSIAN))?;
    match (0..dim).find(|&i| !(hessian[i * dim + i].powi(2) > FLAT * curvatures[i])) {
        Some(pivot) => Err(Error::NotPositiveDefinite { what: HESSIAN, pivot }),
        None => Ok(hessian),
    }
}
