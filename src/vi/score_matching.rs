//! The loop of the fits that match scores: draw a batch from a normal distribution, evaluate gradients there, move the distribution so that its scores agree with them.

use ndarray::Array2;

use super::approximation::{Approximation, Closure};
use super::families::{HALF_LOG_TWO_PI, Normal};
use super::fit::Record;
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
}

/// How a batch moves the distribution.
pub(super) trait Matching {
    /// Replaces mean and covariance; iterations count from 0.
    fn update(&self, batch: &Batch, iteration: usize, mean: &mut [f64], covariance: &mut Array2<f64>) -> Result<(), Error>;
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
    let mut state = State::new(target, settings, record)?;
    let first_averaged = settings.n_iterations - (settings.averaged_share * settings.n_iterations as f64).floor() as usize;
    let mut average: Option<(f64, Vec<f64>, Array2<f64>)> = None;
    let (mut n_reverted, mut n_quiet) = (0_usize, 0);
    for iteration in 0..settings.n_iterations {
        let step = state.step(matching, settings.batch_size, iteration, record);
        let change = step.map_err(|source| Error::Iteration { iteration: iteration + 1, source: Box::new(source) })?;
        n_reverted += usize::from(change.is_none());
        n_quiet = if change.is_some_and(|change| change <= settings.tolerance) { n_quiet + 1 } else { 0 };
        if n_quiet == SETTLED_ITERATIONS {
            average = None;
            break;
        }
        if iteration >= first_averaged {
            let (n, mean, covariance) = average.get_or_insert_with(|| (0.0, state.mean.clone(), state.covariance.clone()));
            *n += 1.0;
            mean.iter_mut().zip(&state.mean).for_each(|(a, x)| *a += (x - *a) / *n);
            covariance.zip_mut_with(&state.covariance, |a, x| *a += (x - *a) / *n);
        }
    }
    if let Some((_, mean, covariance)) = average {
        state.mean = mean;
        state.factor = factor_of(&covariance).map_err(|error| error.named("average of covariances"))?;
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

/// The matrix with this lower factor.
fn covariance_of(factor: &[f64], dim: usize) -> Array2<f64> {
    let row = |i: usize| &factor[i * dim..=i * dim + i];
    Array2::from_shape_fn((dim, dim), |(i, j)| row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum())
}

/// The distribution under way. Its covariance and the factor take d² entries each, an update as many again, and their average once more.
struct State<'t> {
    evaluator: Box<dyn Evaluator + 't>,
    seed: u64,
    mean: Vec<f64>,
    covariance: Array2<f64>,
    /// Lower Cholesky factor of the covariance.
    factor: Vec<f64>,
}

impl<'t> State<'t> {
    fn new<T: Target + ?Sized>(target: &'t T, settings: &MatchingSettings, record: &mut Record) -> Result<Self, Error> {
        let dim = target.dim()?;
        if dim == 0 {
            return Err(Error::NoParameters);
        }
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
        let batch = self.batch(batch_size, iteration, record)?;
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
    fn batch(&mut self, batch_size: usize, iteration: usize, record: &mut Record) -> Result<Batch, Error> {
        let dim = self.mean.len();
        let log_normaliser: f64 = (0..dim).map(|i| self.factor[i * dim + i].ln()).sum::<f64>() + dim as f64 * HALF_LOG_TWO_PI;
        let mut cause = StartFailure::ZeroDensity;
        let (mut draw, mut gradient) = (vec![0.0; dim], vec![0.0; dim]);
        for attempt in 0..REDRAWS {
            let width = 0.5_f64.powi(attempt as i32);
            let mut rng = Stream::keyed(self.seed, Purpose::Variational, iteration as u64 + 1, attempt as u64);
            let (mut draws, mut gradients, mut bound) = (Vec::new(), Vec::new(), 0.0);
            for _ in 0..batch_size {
                rng.fill_normal(&mut draw);
                let square: f64 = draw.iter().map(|x| x * x).sum();
                linalg::lower_times(&self.factor, dim, &mut draw).map_err(|error| error.named("draw"))?;
                draw.iter_mut().zip(&self.mean).for_each(|(x, m)| *x = m + width * *x);
                record.n_gradient_evaluations += 1;
                let value = if draw.iter().all(|x| x.is_finite()) {
                    self.evaluator.log_density_gradient(&draw, &mut gradient)
                } else {
                    Err(DensityError::NotANumber)
                };
                match value {
                    Ok(value) if value.is_finite() => {
                        draws.extend_from_slice(&draw);
                        gradients.extend_from_slice(&gradient);
                        bound += value + 0.5 * width * width * square + log_normaliser;
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
                let shape = |values: Vec<f64>| {
                    let found = values.len();
                    Array2::from_shape_vec((n, dim), values).map_err(|_| Error::Dimension {
                        what: "batch",
                        expected: n * dim,
                        found,
                    })
                };
                return Ok(Batch { draws: shape(draws)?, gradients: shape(gradients)? });
            }
        }
        Err(Error::NoUsableDraw { n_draws: REDRAWS * batch_size, cause })
    }
}
