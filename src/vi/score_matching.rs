//! The loop of the fits that match scores: draw a batch from a normal distribution, evaluate gradients there, and Hessians where they are asked for, move the distribution so that its scores
//! agree with them.

use ndarray::Array2;

use super::approximation::{Approximation, Closure};
use super::families::{HALF_LOG_TWO_PI, Normal, check_memory};
use super::fit::Record;
use super::hessian::{EVALUATIONS_PER_PRODUCT, negative_hessian};
use super::start::FamilyStart;
use super::warning::Warning;
use crate::error::{DensityError, Error, StartFailure, check};
use crate::linalg;
use crate::model::{Evaluator, Target};
use crate::parallel::Threads;
use crate::rng::{Purpose, Stream};

/// Times that a batch is drawn anew, each time half as wide, if the target cannot be evaluated at any of it.
const REDRAWS: usize = 10;
/// Iterations in a row that must change little before the fit counts as settled.
const SETTLED_ITERATIONS: usize = 3;
/// What is added to the diagonal of a covariance, relative to it, if it has no Cholesky factor.
const JITTER: f64 = 1e-10;
/// Change between the halves of the averaged iterations that counts as rest, in nats.
const SETTLED: f64 = 0.1;
/// Square matrices of memory: the covariance, its factor and the former one, the averages of two halves, and what an update takes; more with Hessians.
const MATRICES: usize = 7;
const MATRICES_WITH_HESSIANS: usize = 12;
/// Matrices with a row per draw.
const BATCHES: usize = 5;
/// A mean or variance beyond this has left all bounds.
const OUT_OF_BOUNDS: f64 = 1e150;

/// Settings that these fits share.
#[derive(Debug, Clone)]
pub(super) struct MatchingSettings {
    pub(super) batch_size: usize,
    pub(super) n_iterations: usize,
    pub(super) tolerance: f64,
    pub(super) averaged_share: f64,
    pub(super) start: FamilyStart,
    pub(super) n_draws: usize,
    pub(super) threads: Threads,
}

impl MatchingSettings {
    pub(super) fn validate(&self) -> Result<(), Error> {
        check::at_least("batch_size", self.batch_size, 1, "at least 1")?;
        check::at_least("n_iterations", self.n_iterations, 1, "at least 1")?;
        check::in_range("tolerance", self.tolerance, self.tolerance >= 0.0, "at least 0")?;
        let share = self.averaged_share;
        check::in_range("averaged_share", share, (0.0..=0.9).contains(&share), "in [0, 0.9]")?;
        check::at_least("n_draws", self.n_draws, 1, "at least 1")
    }
}

/// The usable draws of a batch, B x d, with the gradients of the log density there.
pub(super) struct Batch {
    pub(super) draws: Array2<f64>,
    pub(super) gradients: Array2<f64>,
    /// For methods of second order.
    pub(super) curvature: Option<Curvature>,
}

/// Second derivatives at the draws of a batch.
pub(super) struct Curvature {
    /// The mean of the negative Hessians, d x d.
    pub(super) mean: Array2<f64>,
    /// The negative Hessian of each draw times the draw's distance from the mean of the distribution, B x d.
    pub(super) images: Array2<f64>,
}

/// How a batch moves the distribution.
pub(super) trait Matching {
    /// Whether batches come with their curvature, and in pairs that mirror each other at the mean.
    fn is_second_order(&self) -> bool {
        false
    }

    /// How far an iteration goes of the whole way, in (0, 1]: rest is judged by the whole way.
    fn rate(&self, _iteration: usize) -> f64 {
        1.0
    }

    /// Replaces mean and covariance; iterations count from 0.
    fn update(&self, batch: &Batch, iteration: usize, mean: &mut [f64], covariance: &mut Array2<f64>) -> Result<(), Error>;
}

/// A running mean of distributions.
#[derive(Debug, Clone)]
struct Average {
    n: f64,
    mean: Vec<f64>,
    covariance: Array2<f64>,
}

impl Average {
    fn new(dim: usize) -> Self {
        Self { n: 0.0, mean: vec![0.0; dim], covariance: Array2::zeros((dim, dim)) }
    }

    fn push(&mut self, mean: &[f64], covariance: &Array2<f64>, weight: f64) {
        self.n += weight;
        let share = weight / self.n;
        self.mean.iter_mut().zip(mean).for_each(|(a, x)| *a += (x - *a) * share);
        self.covariance.zip_mut_with(covariance, |a, x| *a += (x - *a) * share);
    }

    fn factor(&self) -> Result<Vec<f64>, Error> {
        factor_of(&self.covariance).map_err(|error| error.named("average of covariances"))
    }
}

/// Runs to the end, or until the distribution rests; its evaluations and bounds go to the record.
///
/// # Errors
/// [`Error::NoParameters`], [`Error::Dimension`], [`Error::NotFinite`] or [`Error::InvalidSetting`] for a start; [`Error::Iteration`] with [`Error::NoUsableDraw`],
/// [`Error::Density`], [`Error::Unbounded`] or an error of the update.
pub(super) fn run<T: Target + ?Sized>(
    target: &T,
    matching: &dyn Matching,
    settings: &MatchingSettings,
    record: &mut Record,
) -> Result<Box<dyn Approximation>, Error> {
    let mut state = State::new(target, matching, settings, record)?;
    // The distributions of the last iterations in two halves, at least the last one and the one before it.
    let n_averaged = (settings.averaged_share * settings.n_iterations as f64).floor() as usize;
    let window = n_averaged.max(2);
    let (first, middle) = ((settings.n_iterations + 1).saturating_sub(window), settings.n_iterations + 1 - window / 2);
    let mut halves = [Average::new(state.mean.len()), Average::new(state.mean.len())];
    if first == 0 {
        halves[0].push(&state.mean, &state.covariance, 1.0);
    }
    let (mut n_reverted, mut n_quiet) = (0_usize, 0);
    for iteration in 0..settings.n_iterations {
        let step = state.step(matching, settings.batch_size, iteration, record);
        let change = step.map_err(|source| Error::Iteration { iteration: iteration + 1, source: Box::new(source) })?;
        n_reverted += usize::from(change.is_none());
        let is_quiet = change.is_some_and(|change| change <= settings.tolerance * matching.rate(iteration));
        n_quiet = if is_quiet { n_quiet + 1 } else { 0 };
        if n_quiet == SETTLED_ITERATIONS {
            break;
        }
        if iteration + 1 >= first {
            halves[usize::from(iteration + 1 >= middle)].push(&state.mean, &state.covariance, 1.0);
        }
    }
    let has_rested = n_quiet == SETTLED_ITERATIONS;
    if !has_rested {
        let [mut average, last] = halves;
        let divergence = divergence(&average, &last)?;
        if !(divergence <= SETTLED) {
            record.warnings.push(Warning::NotSettled { divergence, n_iterations: settings.n_iterations });
        }
        if n_averaged >= window {
            average.push(&last.mean, &last.covariance, last.n);
            state.factor = average.factor()?;
            state.mean = average.mean;
        }
    }
    let n_iterations = record.bounds.len();
    record.n_iterations = n_iterations;
    record.settings.push(("n_iterations".to_owned(), n_iterations.to_string()));
    record.settings.push(("n_reverted".to_owned(), n_reverted.to_string()));
    if 10 * n_reverted > n_iterations {
        record.warnings.push(Warning::Reverted { n_reverted, n_iterations });
    }
    if record.n_failed > 0 {
        let n_draws = (n_iterations * settings.batch_size) as u64;
        record.warnings.push(Warning::FailedDraws { n_failed: record.n_failed, n_draws: n_draws.max(record.n_failed) });
    }
    Ok(Box::new(Normal::new(&state.mean, state.factor)?))
}

/// The lower Cholesky factor, row-major.
fn factor_of(covariance: &Array2<f64>) -> Result<Vec<f64>, linalg::LinalgError> {
    let mut factor: Vec<f64> = covariance.iter().copied().collect();
    linalg::cholesky_in_place(&mut factor, covariance.nrows())?;
    Ok(factor)
}

/// The symmetrised Kullback-Leibler divergence of two normal distributions: (tr S⁻¹T + tr T⁻¹S)/2 - d, and half the difference of the means in both metrics.
fn divergence(one: &Average, other: &Average) -> Result<f64, Error> {
    let dim = one.mean.len();
    let (factors, mut column) = ([one.factor()?, other.factor()?], vec![0.0; dim]);
    let mut total = -2.0 * dim as f64;
    for [in_metric, of] in [[&factors[0], &factors[1]], [&factors[1], &factors[0]]] {
        for j in 0..=dim {
            match j.checked_sub(1) {
                Some(j) => (0..dim).for_each(|i| column[i] = of[i * dim + j]),
                None => (0..dim).for_each(|i| column[i] = one.mean[i] - other.mean[i]),
            }
            linalg::solve_lower(in_metric, dim, &mut column).map_err(|error| error.named("average of covariances"))?;
            total += column.iter().map(|x| x * x).sum::<f64>();
        }
    }
    Ok(0.5 * total)
}

/// The matrix with this lower factor.
fn covariance_of(factor: &[f64], dim: usize) -> Array2<f64> {
    let row = |i: usize| &factor[i * dim..=i * dim + i];
    Array2::from_shape_fn((dim, dim), |(i, j)| row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum())
}

/// The distribution under way. Its covariance and the factor take d² entries each, an update as many again, and the averages twice as many.
struct State<'t> {
    evaluator: Box<dyn Evaluator + 't>,
    seed: u64,
    mean: Vec<f64>,
    covariance: Array2<f64>,
    /// Lower Cholesky factor of the covariance.
    factor: Vec<f64>,
}

impl<'t> State<'t> {
    fn new<T: Target + ?Sized>(
        target: &'t T,
        matching: &dyn Matching,
        settings: &MatchingSettings,
        record: &mut Record,
    ) -> Result<Self, Error> {
        let dim = target.dim()?;
        if dim == 0 {
            return Err(Error::NoParameters);
        }
        let n_matrices = if matching.is_second_order() { MATRICES_WITH_HESSIANS } else { MATRICES };
        check_memory("dimension", dim, dim.checked_mul(dim).and_then(|n| n.checked_mul(n_matrices)))?;
        let batch_size = settings.batch_size;
        check_memory("batch_size", batch_size, batch_size.checked_mul(dim).and_then(|n| n.checked_mul(BATCHES)))?;
        let (mean, scales) = match settings.start.resolve(target, true, Closure::Scaling, record)? {
            Some(frame) => (frame.centre, frame.scales),
            None => (vec![0.0; dim], vec![1.0; dim]),
        };
        super::approximation::check_position(dim, &mean)?;
        super::approximation::check_position(dim, &scales)?;
        super::approximation::check_scales(&scales)?;
        let mut factor = vec![0.0; dim * dim];
        let mut covariance = Array2::zeros((dim, dim));
        for (i, scale) in scales.iter().enumerate() {
            factor[i * dim + i] = *scale;
            covariance[[i, i]] = scale * scale;
        }
        Ok(Self { evaluator: target.evaluator()?, seed: record.seed, mean, covariance, factor })
    }

    /// One batch and the move that it makes: how much, in standard deviations and correlations, or `None` if it had to be taken back.
    fn step(
        &mut self,
        matching: &dyn Matching,
        batch_size: usize,
        iteration: usize,
        record: &mut Record,
    ) -> Result<Option<f64>, Error> {
        let batch = self.batch(matching.is_second_order(), batch_size, iteration, record)?;
        let (before, old) = (self.mean.clone(), self.factor.clone());
        match self.update(matching, &batch, iteration) {
            Ok(factor) => self.factor = factor,
            Err(Error::NotPositiveDefinite { .. } | Error::NotFinite { .. } | Error::NoConvergence { .. }) => {
                self.mean = before;
                self.covariance = covariance_of(&self.factor, self.mean.len());
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        Ok(Some(self.change(&before, &old)))
    }

    /// Moves mean and covariance; returns the factor of the latter.
    fn update(&mut self, matching: &dyn Matching, batch: &Batch, iteration: usize) -> Result<Vec<f64>, Error> {
        matching.update(batch, iteration, &mut self.mean, &mut self.covariance)?;
        if let Some(&value) = self.mean.iter().chain(self.covariance.diag()).find(|x| x.abs() > OUT_OF_BOUNDS) {
            return Err(Error::Unbounded { what: "approximation", value });
        }
        if let Some(index) = self.mean.iter().position(|x| !x.is_finite()) {
            return Err(Error::NotFinite { what: "mean", index, value: self.mean[index] });
        }
        for i in 0..self.mean.len() {
            for j in 0..i {
                let symmetric = 0.5 * (self.covariance[[i, j]] + self.covariance[[j, i]]);
                self.covariance[[i, j]] = symmetric;
                self.covariance[[j, i]] = symmetric;
            }
        }
        let factor = factor_of(&self.covariance).or_else(|_| {
            self.covariance.diag_mut().iter_mut().for_each(|x| *x *= 1.0 + JITTER);
            factor_of(&self.covariance)
        });
        factor.map_err(|error| error.named("covariance"))
    }

    /// The largest change of the mean in standard deviations, or of the factor in those of its rows.
    fn change(&self, mean: &[f64], factor: &[f64]) -> f64 {
        let dim = mean.len();
        let mut change = 0.0_f64;
        for i in 0..dim {
            let sd = self.covariance[[i, i]].sqrt();
            let rows = self.factor[i * dim..=i * dim + i].iter().zip(&factor[i * dim..=i * dim + i]);
            let of_row = rows.map(|(new, old)| (new - old).abs()).fold((self.mean[i] - mean[i]).abs(), f64::max);
            change = change.max(of_row / sd);
        }
        change
    }

    /// Draws at which the target can be evaluated, with their gradients.
    fn batch(&mut self, is_second_order: bool, batch_size: usize, iteration: usize, record: &mut Record) -> Result<Batch, Error> {
        let dim = self.mean.len();
        let log_normaliser: f64 = (0..dim).map(|i| self.factor[i * dim + i].ln()).sum::<f64>() + dim as f64 * HALF_LOG_TWO_PI;
        let mut cause = StartFailure::ZeroDensity;
        let (mut offset, mut draw, mut gradient) = (vec![0.0; dim], vec![0.0; dim], vec![0.0; dim]);
        let mut hessian = vec![0.0; if is_second_order { dim * dim } else { 0 }];
        for attempt in 0..REDRAWS {
            let width = 0.5_f64.powi(attempt as i32);
            let mut rng = Stream::keyed(self.seed, Purpose::Variational, iteration as u64 + 1, attempt as u64);
            let (mut draws, mut gradients, mut bound, mut square) = (Vec::new(), Vec::new(), 0.0, 0.0);
            let (mut images, mut sum) = (Vec::new(), vec![0.0; hessian.len()]);
            for index in 0..batch_size {
                if is_second_order && index % 2 == 1 {
                    offset.iter_mut().for_each(|x| *x = -*x);
                } else {
                    rng.fill_normal(&mut offset);
                    square = offset.iter().map(|x| x * x).sum();
                    linalg::lower_times(&self.factor, dim, &mut offset).map_err(|error| error.named("draw"))?;
                    offset.iter_mut().for_each(|x| *x *= width);
                }
                draw.iter_mut().zip(self.mean.iter().zip(&offset)).for_each(|(x, (m, o))| *x = m + o);
                match self.evaluate(&draw, &mut gradient, &mut hessian, record) {
                    Ok(value) if value.is_finite() => {
                        draws.extend_from_slice(&draw);
                        gradients.extend_from_slice(&gradient);
                        bound += value + 0.5 * width * width * square + log_normaliser;
                        sum.iter_mut().zip(&hessian).for_each(|(s, h)| *s += h);
                        images.extend(
                            hessian.chunks_exact(dim).map(|row| row.iter().zip(&offset).map(|(h, o)| h * o).sum::<f64>()),
                        );
                    }
                    Ok(_) => cause = StartFailure::ZeroDensity,
                    Err(error) if error.is_recoverable() => cause = StartFailure::Failed(error),
                    Err(error) => return Err(error.into()),
                }
            }
            let n = draws.len() / dim;
            record.n_failed += (batch_size - n) as u64;
            if n > 0 {
                record.bounds.push(bound / n as f64);
                let shape = |n: usize, values: Vec<f64>| {
                    let found = values.len();
                    Array2::from_shape_vec((n, dim), values).map_err(|_| Error::Dimension {
                        what: "batch",
                        expected: n * dim,
                        found,
                    })
                };
                let curvature = if is_second_order {
                    sum.iter_mut().for_each(|x| *x /= n as f64);
                    Some(Curvature { mean: shape(dim, sum)?, images: shape(n, images)? })
                } else {
                    None
                };
                return Ok(Batch { draws: shape(n, draws)?, gradients: shape(n, gradients)?, curvature });
            }
        }
        Err(Error::NoUsableDraw { n_draws: REDRAWS * batch_size, cause })
    }

    /// The log density with its gradient and, unless it has no entries, its negative Hessian.
    fn evaluate(
        &mut self,
        draw: &[f64],
        gradient: &mut [f64],
        hessian: &mut [f64],
        record: &mut Record,
    ) -> Result<f64, DensityError> {
        record.n_gradient_evaluations += 1;
        if draw.iter().any(|x| !x.is_finite()) {
            return Err(DensityError::NotANumber);
        }
        let value = self.evaluator.log_density_gradient(draw, gradient)?;
        if !hessian.is_empty() && value.is_finite() {
            record.n_gradient_evaluations += EVALUATIONS_PER_PRODUCT * draw.len() as u64;
            negative_hessian(&mut *self.evaluator, draw, hessian)?;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// By hand, for determinants 5 and 3.5.
    #[test]
    fn divergences_are_those_of_normal_distributions() {
        let of = |mean: [f64; 2], covariance: Array2<f64>| Average { n: 1.0, mean: mean.to_vec(), covariance };
        let (one, other) = (of([1.0, 0.0], array![[2.0, 1.0], [1.0, 3.0]]), of([0.0, 2.0], array![[4.0, -0.5], [-0.5, 0.9375]]));
        // S⁻¹ = [[3, -1], [-1, 2]] / 5, T⁻¹ = [[0.9375, 0.5], [0.5, 4]] / 3.5.
        let traces = (12.0 + 1.0 + 1.875) / 5.0 + (1.875 + 1.0 + 12.0) / 3.5;
        let squares = (3.0 + 4.0 + 8.0) / 5.0 + (0.9375 - 2.0 + 16.0) / 3.5;
        let expected = 0.5 * (traces - 4.0 + squares);
        assert!((divergence(&one, &other).unwrap() - expected).abs() < 1e-13);
        assert!((divergence(&other, &one).unwrap() - expected).abs() < 1e-13);
        assert!(divergence(&one, &one).unwrap().abs() < 1e-14);
    }

    #[test]
    fn averages_of_two_halves_are_those_of_all() {
        let mut halves = [Average::new(1), Average::new(1)];
        for (i, x) in [1.0, 2.0, 6.0].into_iter().enumerate() {
            halves[usize::from(i > 0)].push(&[x], &array![[10.0 * x]], 1.0);
        }
        let [mut all, last] = halves;
        all.push(&last.mean, &last.covariance, last.n);
        assert!((all.mean[0] - 3.0).abs() < 1e-15 && (all.covariance[[0, 0]] - 30.0).abs() < 1e-14);
    }
}
