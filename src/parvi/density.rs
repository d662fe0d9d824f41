//! Scores of a whole cloud.

use std::sync::Mutex;
use std::time::Instant;

use crate::error::{DensityError, Error};
use crate::model::{Evaluator, Minibatch, Target};
use crate::parallel::Threads;

/// A density as flows see it: derivatives at every particle of a cloud at once.
pub trait CloudDensity {
    /// Coordinates of a particle, d.
    fn dim(&self) -> usize;

    /// The gradient of the log density at each position; both slices hold N · d numbers, particle by particle.
    ///
    /// # Errors
    /// [`Error::Particle`] with the first particle whose log density or gradient is not finite.
    fn scores(&mut self, positions: &[f64], out: &mut [f64]) -> Result<(), Error>;

    /// The Hessian of the log density at each position times the vector in the same place.
    ///
    /// # Errors
    /// As [`CloudDensity::scores`].
    fn hessian_vectors(&mut self, positions: &[f64], vectors: &[f64], out: &mut [f64]) -> Result<(), Error>;

    /// Where loops over particles may run.
    fn threads(&self) -> &Threads;
}

/// Particles that one call works on, by one evaluator.
const BLOCK: usize = 16;

/// Seconds that the derivatives of a whole cloud take from which they are shared out to threads; results do not depend on it.
const WORTH_SHARING: f64 = 1e-4;

#[derive(Debug, Clone, Copy)]
enum Derivative {
    Score,
    HessianVector,
}

/// The density of a target, or an estimate of it from a minibatch of its observations.
pub(super) struct TargetDensity<'t, T: ?Sized> {
    target: &'t T,
    dim: usize,
    threads: Threads,
    /// On one thread one evaluator serves the whole run.
    evaluator: Box<dyn Evaluator + 't>,
    /// Whether the first cloud took long enough, for scores and for Hessians times vectors; not known before.
    worth_sharing: [Option<bool>; 2],
    seed: u64,
    minibatch: Option<Minibatch>,
    pub(super) iteration: usize,
    pub(super) n_evaluations: u64,
}

impl<T: Target + ?Sized> std::fmt::Debug for TargetDensity<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("TargetDensity");
        debug.field("dim", &self.dim).field("iteration", &self.iteration).finish_non_exhaustive()
    }
}

impl<'t, T: Target + ?Sized> TargetDensity<'t, T> {
    pub(super) fn new(target: &'t T, threads: Threads, seed: u64, minibatch: Option<usize>) -> Result<Self, Error> {
        let evaluator = target.evaluator()?;
        let minibatch = match minibatch {
            None => None,
            Some(size) => Minibatch::new(&*evaluator, size)?,
        };
        let dim = target.dim()?;
        Ok(Self { target, dim, threads, evaluator, worth_sharing: [None; 2], seed, minibatch, iteration: 0, n_evaluations: 0 })
    }

    /// Draws this iteration's observations, which all particles share.
    pub(super) fn start_iteration(&mut self, iteration: usize) {
        self.iteration = iteration;
        if let Some(minibatch) = &mut self.minibatch {
            minibatch.draw(self.seed, iteration);
        }
    }

    /// For one kind of derivative, calls `one(evaluator, particle, out)` for every particle, and returns the failure of the first one that has one.
    fn for_each(
        &mut self,
        kind: Derivative,
        out: &mut [f64],
        one: impl Fn(&mut dyn Evaluator, usize, &mut [f64]) -> Result<(), DensityError> + Sync,
    ) -> Result<(), Error> {
        let dim = self.dim;
        let run = |evaluator: &mut dyn Evaluator, first: usize, out: &mut [f64]| {
            for (i, out) in out.chunks_exact_mut(dim).enumerate() {
                one(evaluator, first + i, out).map_err(|error| (first + i, error))?;
            }
            Ok::<(), (usize, DensityError)>(())
        };
        self.n_evaluations += (out.len() / dim) as u64;
        let iteration = self.iteration;
        let failed = |(particle, source)| Error::Particle { particle, iteration, source };
        let worth_sharing = &mut self.worth_sharing[kind as usize];
        if *worth_sharing != Some(true) || self.threads.count() == 1 {
            let began = Instant::now();
            run(&mut *self.evaluator, 0, out).map_err(failed)?;
            worth_sharing.get_or_insert_with(|| began.elapsed().as_secs_f64() > WORTH_SHARING);
            return Ok(());
        }
        let target = self.target;
        let first_failure: Mutex<Option<(usize, DensityError)>> = Mutex::new(None);
        self.threads.for_each_block(out, BLOCK * dim, |block, out| {
            let first = block * BLOCK;
            let done = match target.evaluator() {
                Ok(mut evaluator) => run(&mut *evaluator, first, out),
                Err(Error::Density(error)) => Err((first, error)),
                Err(other) => Err((first, DensityError::Model { recoverable: false, source: std::sync::Arc::new(other) })),
            };
            if let Err((particle, error)) = done {
                let mut slot = first_failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if slot.as_ref().is_none_or(|(earlier, _)| particle < *earlier) {
                    *slot = Some((particle, error));
                }
            }
        });
        match first_failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            None => Ok(()),
            Some(failure) => Err(failed(failure)),
        }
    }
}

impl<T: Target + ?Sized> CloudDensity for TargetDensity<'_, T> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn scores(&mut self, positions: &[f64], out: &mut [f64]) -> Result<(), Error> {
        let dim = self.dim;
        let rows = self.minibatch.take();
        let chosen = rows.as_ref().map(Minibatch::rows);
        let result = self.for_each(Derivative::Score, out, |evaluator, i, out| {
            let position = &positions[i * dim..(i + 1) * dim];
            let log_density = match chosen {
                None => evaluator.log_density_gradient(position, out)?,
                Some(rows) => evaluator.minibatch_gradient(position, rows, out)?,
            };
            if log_density == f64::NEG_INFINITY {
                return Err(DensityError::Rejected { reason: "the log density is -inf, a gradient does not exist" });
            }
            Ok(())
        });
        self.minibatch = rows;
        result
    }

    fn hessian_vectors(&mut self, positions: &[f64], vectors: &[f64], out: &mut [f64]) -> Result<(), Error> {
        let dim = self.dim;
        self.for_each(Derivative::HessianVector, out, |evaluator, i, out| {
            let range = i * dim..(i + 1) * dim;
            evaluator.hessian_vector(&positions[range.clone()], &vectors[range], out)
        })
    }

    fn threads(&self) -> &Threads {
        &self.threads
    }
}
