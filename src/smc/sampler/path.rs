//! The path from the prior to the posterior, as a Feynman-Kac model.

use std::fmt;

use super::config::{MoveKernel, Moves, Schedule, SmcSampler};
use super::moves::{CHAINS, Families, FirstError, Mover, Tally};
use super::partial::Partial;
use super::particles::Particles;
use super::result::Stage;
use super::schedule::{Advance, advance, effective_sample_size};
use super::tuning::{StepSize, metric};
use super::variance::log_mean_variance;
use crate::error::{DensityError, Error};
use crate::math::vectorised;
use crate::model::{Evaluator, Target};
use crate::rng::{Purpose, Stream};
use crate::smc::{Ahead, FeynmanKac, Move, Moved, Plan, Population, Streams, View};
use crate::weights::Resample;

/// Particles per block when observations are added.
const ROWS_BLOCK: usize = 256;

/// The Feynman-Kac model of an [`SmcSampler`] for one target.
///
/// G₀ = 1 and M₀ is the prior. The increment of step t is written in `plan`, from the likelihoods that the cloud has kept, and the kernel of
/// step t leaves the distribution that it leads to invariant; the increments written in `step` are 0. See the
/// [module](crate::smc::sampler) for the algorithm.
pub struct PosteriorPath<'t, T: ?Sized> {
    target: &'t T,
    config: SmcSampler,
    dim: usize,
    /// 0, 1, …: all observations, for data tempering.
    rows: Vec<usize>,
    stages: Vec<Stage>,
    step_size: StepSize,
    /// Chain length of the present cloud.
    chain_length: usize,
    increments: Vec<f64>,
    scratch: Vec<f64>,
    streams: Vec<Stream>,
    n_failed_draws: u64,
}

impl<'t, T: Target + ?Sized> PosteriorPath<'t, T> {
    pub(super) fn new(config: SmcSampler, target: &'t T) -> Result<Self, Error> {
        config.validate()?;
        let dim = target.dim()?;
        if dim == 0 {
            return Err(Error::NoParameters);
        }
        let first = target.sample_prior(&mut Stream::keyed(0, Purpose::Prior, 0, 0))?.ok_or(Error::NoPriorSampler)?;
        let rows = match config.schedule {
            Schedule::Data { .. } => match target.evaluator()?.n_observations() {
                Some(n) if n > 0 => (0..n).collect(),
                _ => return Err(Error::NoObservations),
            },
            _ => Vec::new(),
        };
        if !rows.is_empty() && config.kernel != MoveKernel::RandomWalk {
            let position = target.unconstrain(&first)?;
            let found = target.evaluator()?.gradient_of_rows(&position, &rows[..1], &mut vec![0.0; dim]);
            if let Err(DensityError::Length { .. }) = found {
                return Err(Error::NoRowGradients);
            }
        }
        Ok(Self {
            step_size: StepSize::new(config.kernel, dim),
            target,
            config,
            dim,
            rows,
            stages: Vec::new(),
            chain_length: 1,
            increments: Vec::new(),
            scratch: Vec::new(),
            streams: Vec::new(),
            n_failed_draws: 0,
        })
    }

    /// What happened in each step so far.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Prior draws whose density failed recoverably; they count as impossible.
    #[must_use]
    pub fn n_failed_draws(&self) -> u64 {
        self.n_failed_draws
    }

    fn inverse_temperature(&self) -> f64 {
        self.stages.last().map_or(0.0, |s| s.inverse_temperature)
    }

    fn n_added(&self) -> usize {
        self.stages.last().and_then(|s| s.n_observations).unwrap_or(0)
    }

    fn is_complete(&self) -> bool {
        match self.config.schedule {
            Schedule::Data { .. } => self.n_added() == self.rows.len(),
            _ => self.inverse_temperature() >= 1.0,
        }
    }

    /// Writes the increments of the next power of the likelihood; returns that power.
    fn temper(&mut self, t: usize, view: &View<'_, Particles>) -> Result<f64, Error> {
        let lambda = self.inverse_temperature();
        let log_likelihood = &view.population.log_likelihood;
        let goal = match &self.config.schedule {
            Schedule::Ladder(ladder) => Advance::To(ladder.get(t - 1).copied().unwrap_or(1.0)),
            _ => advance(view.weights.log_weights, log_likelihood, lambda, self.config.ess_target * view.weights.ess),
        };
        let next = match goal {
            Advance::To(next) => next,
            Advance::DropImpossible => lambda,
            Advance::Stalled => return Err(Error::Stalled { steps: t - 1, inverse_temperature: lambda }),
        };
        let delta = next - lambda;
        let increment = |&l: &f64| if l == f64::NEG_INFINITY { l } else { delta * l };
        self.increments.clear();
        self.increments.extend(log_likelihood.iter().map(increment));
        Ok(next)
    }

    /// Adds observations until the effective sample size has fallen, or there are no more; writes the increments. Returns the number of
    /// observations that count, and the log-evidence after every batch.
    fn add_rows(&mut self, batch: usize, view: &View<'_, Particles>) -> Result<(usize, Vec<(usize, f64)>), Error> {
        let Self { target, config, rows, increments, scratch, .. } = self;
        let mut n_added = self.stages.last().and_then(|s| s.n_observations).unwrap_or(0);
        let least = config.ess_target * view.weights.ess;
        let before = log_sum(view.weights.log_weights, scratch);
        let mut running = Vec::new();
        let dim = self.dim;
        increments.clear();
        // A prior draw that is impossible stays so.
        let impossible = |&l: &f64| if l == f64::NEG_INFINITY { l } else { 0.0 };
        increments.extend(view.population.log_likelihood.iter().map(impossible));
        while n_added < rows.len() {
            let next = (n_added + batch).min(rows.len());
            let new = &rows[n_added..next];
            let error = FirstError::default();
            // The extent of the increments decides; positions are looked up by block.
            config.threads.for_each_block(increments.as_mut_slice(), ROWS_BLOCK, |block, increments: &mut [f64]| {
                let positions = &view.population.positions[block * ROWS_BLOCK * dim..];
                error.watch(block, || {
                    let mut evaluator = target.evaluator()?;
                    for (increment, position) in increments.iter_mut().zip(positions.chunks_exact(dim)) {
                        if *increment > f64::NEG_INFINITY {
                            *increment += likelihood_of_rows(&mut *evaluator, position, new)?;
                        }
                    }
                    Ok(())
                });
            });
            error.into_result()?;
            n_added = next;
            scratch.clear();
            scratch.extend(view.weights.log_weights.iter().zip(&*increments).map(|(w, g)| w + g));
            let (ess, after) = effective_sample_size(scratch);
            running.push((n_added, view.weights.log_evidence + after - before));
            if !(ess >= least) {
                break;
            }
        }
        Ok((n_added, running))
    }

    /// Draws one block of the first particles.
    fn draw_prior(&self, families: &mut Families<'_>, bad: &mut [f64]) -> Result<(), Error> {
        let Families { positions, log_prior, log_likelihood, streams, tallies, dim, .. } = families;
        let mut evaluator = self.target.evaluator()?;
        for (position, rng) in positions.chunks_exact_mut(*dim).zip(streams.iter_mut()) {
            let values = self.target.sample_prior(rng)?.ok_or(Error::NoPriorSampler)?;
            let drawn = self.target.unconstrain(&values)?;
            if drawn.len() != *dim {
                return Err(DensityError::Dimension { expected: *dim, found: drawn.len() }.into());
            }
            position.copy_from_slice(&drawn);
        }
        if self.rows.is_empty() {
            Partial::Power(1.0).evaluate(&mut *evaluator, positions, log_prior, log_likelihood)?;
        } else {
            let mut gradient = vec![0.0; *dim];
            for (slot, position) in positions.chunks_exact(*dim).enumerate() {
                (log_prior[slot], log_likelihood[slot]) = match evaluator.log_prior_gradient(position, &mut gradient) {
                    Ok(log_prior) => (log_prior, 0.0),
                    Err(error) if error.is_recoverable() => {
                        tallies[slot].n_failed += 1;
                        (f64::NEG_INFINITY, f64::NEG_INFINITY)
                    }
                    Err(error) => return Err(error.into()),
                };
            }
        }
        for (slot, position) in positions.chunks_exact(*dim).enumerate() {
            tallies[slot].n_evaluations += 1;
            let value = log_prior[slot] + log_likelihood[slot];
            if value.is_nan() || value == f64::INFINITY {
                // The batch does not say why.
                match evaluator.log_density_parts(position) {
                    Err(DensityError::PositiveInfinity) => bad[slot] = f64::INFINITY,
                    Ok(_) | Err(DensityError::NotANumber) => bad[slot] = f64::NAN,
                    Err(error) if error.is_recoverable() => {
                        (log_prior[slot], log_likelihood[slot]) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
                        tallies[slot].n_failed += 1;
                    }
                    Err(error) => return Err(error.into()),
                }
            } else if log_prior[slot] == f64::NEG_INFINITY {
                log_likelihood[slot] = f64::NEG_INFINITY;
            }
        }
        Ok(())
    }
}

/// The log-likelihood of some observations; 0 likelihood where the model rejects the point.
fn likelihood_of_rows(evaluator: &mut dyn Evaluator, position: &[f64], rows: &[usize]) -> Result<f64, DensityError> {
    match evaluator.log_density_parts_of_rows(position, rows) {
        Ok(parts) => Ok(parts.log_likelihood),
        Err(DensityError::NotANumber) => Ok(f64::NAN),
        Err(DensityError::PositiveInfinity) => Ok(f64::INFINITY),
        Err(error) if error.is_recoverable() => Ok(f64::NEG_INFINITY),
        Err(error) => Err(error),
    }
}

/// Log of the sum of exponentials.
fn log_sum(log_weights: &[f64], scratch: &mut Vec<f64>) -> f64 {
    scratch.clear();
    scratch.extend_from_slice(log_weights);
    effective_sample_size(scratch).1
}

impl<T: Target + ?Sized> FeynmanKac for PosteriorPath<'_, T> {
    type Population = Particles;
    type Error = Error;

    fn init(&mut self, to: Moved<'_, Particles>, streams: Streams, _: &crate::parallel::Threads) -> Result<(), Error> {
        let n = to.log_increments.len();
        if n != self.config.n_particles {
            return Err(Error::Dimension { what: "particles of the engine", expected: self.config.n_particles, found: n });
        }
        self.stages.clear();
        self.step_size = StepSize::new(self.config.kernel, self.dim);
        self.chain_length = 1;
        to.children.set_dim(self.dim);
        to.log_increments.fill(0.0);
        let mut slot_streams: Vec<Stream> = (0..n).map(|slot| streams.slot(slot)).collect();
        let mut tallies = vec![Tally::default(); n];
        let error = FirstError::default();
        let families = Families::of(to.children, 1, &mut slot_streams, &mut tallies);
        self.config.threads.for_each_block((families, &mut *to.log_increments), CHAINS, |block, (mut families, bad)| {
            error.watch(block, || self.draw_prior(&mut families, bad));
        });
        error.into_result()?;
        self.n_failed_draws = tallies.iter().map(|t| t.n_failed).sum();
        Ok(())
    }

    fn plan(&mut self, t: usize, view: View<'_, Particles>, mut ahead: Ahead<'_>) -> Result<Plan, Error> {
        // A step that failed may be planned again.
        self.stages.truncate(t - 1);
        if self.is_complete() {
            return Ok(Plan::stop());
        }
        if t > self.config.max_steps {
            return Err(Error::Stalled { steps: t - 1, inverse_temperature: self.inverse_temperature() });
        }
        let (inverse_temperature, n_observations, running) = match self.config.schedule {
            Schedule::Data { batch } => {
                let (n, running) = self.add_rows(batch, &view)?;
                (1.0, Some(n), running)
            }
            _ => (self.temper(t, &view)?, None, Vec::new()),
        };
        ahead.log_increments().copy_from_slice(&self.increments);
        let before = log_sum(view.weights.log_weights, &mut self.scratch);
        self.scratch.clear();
        self.scratch.extend(view.weights.log_weights.iter().zip(&self.increments).map(|(w, g)| w + g));
        let (ess, after) = effective_sample_size(&mut self.scratch);
        let waste_free = matches!(self.config.moves, Moves::WasteFree { .. });
        // Waste-free clouds have equal weights, so the scratch holds the increments relative to the largest.
        let usable = waste_free && after > f64::NEG_INFINITY && !vectorised::max(&self.increments).is_nan();
        let log_factor_variance = usable.then(|| log_mean_variance(&mut self.scratch, self.chain_length));
        self.stages.push(Stage {
            inverse_temperature,
            n_observations,
            ess,
            log_evidence: view.weights.log_evidence + after - before,
            log_factor_variance,
            running_log_evidence: running,
            ..Stage::default()
        });
        Ok(match (self.config.moves, &self.config.schedule) {
            (Moves::WasteFree { length }, _) => {
                let n_resample = Some(self.config.n_particles / length);
                Plan { stop: false, resample: Resample::Always, n_resample, copies: length }
            }
            (_, Schedule::Ladder(_)) => Plan::default(),
            _ => Plan { resample: Resample::Always, ..Plan::default() },
        })
    }

    fn step(&mut self, from: Move<'_, Particles>, to: Moved<'_, Particles>) -> Result<(), Error> {
        let Move { parents, ancestors, copies, weights, streams, threads, .. } = from;
        let children = to.children;
        children.set_dim(self.dim);
        for (family, &ancestor) in ancestors.iter().enumerate() {
            let (slot, parent) = (family * copies, ancestor as usize);
            children.copy_slot(slot, parents, parent);
            if !self.rows.is_empty() {
                children.log_likelihood[slot] += self.increments[parent];
            }
        }
        to.log_increments.fill(0.0);
        let SmcSampler { kernel, moves, .. } = self.config;
        let mover = Mover { kernel, moves, metric: metric(parents, weights)?, step_size: self.step_size.value };
        let partial = match self.config.schedule {
            Schedule::Data { .. } if self.n_added() < self.rows.len() => Partial::Rows(&self.rows[..self.n_added()]),
            _ => Partial::Power(self.inverse_temperature()),
        };
        self.streams.clear();
        self.streams.extend((0..ancestors.len()).map(|family| streams.slot(family)));
        let (tally, n_moves) = mover.move_cloud(self.target, partial, children, copies, &mut self.streams, threads)?;
        let acceptance_rate = tally.acceptance / tally.n_moves as f64;
        if let Some(stage) = self.stages.last_mut() {
            stage.acceptance_rate = acceptance_rate;
            stage.step_size = mover.step_size;
            stage.n_moves = n_moves;
            stage.n_evaluations = tally.n_evaluations;
            stage.n_failed = tally.n_failed;
        }
        self.step_size.learn(acceptance_rate);
        self.chain_length = copies;
        Ok(())
    }
}

impl<T: ?Sized> fmt::Debug for PosteriorPath<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PosteriorPath").field("config", &self.config).field("stages", &self.stages).finish_non_exhaustive()
    }
}
