//! Moves of a whole cloud: chains in blocks of constant size, each block with an evaluator of its own.

use std::sync::Mutex;

use super::config::{MoveKernel, Moves};
use super::partial::{Partial, PartialDensity};
use super::particles::Particles;
use crate::error::{DensityError, Error};
use crate::kernels::{Hmc, Kernel, Mala, Metric, Nuts, State};
use crate::model::{Evaluator, Target};
use crate::parallel::{Cut, Threads};
use crate::rng::Stream;

/// Chains per block: enough for a batch of likelihoods to pay, few enough to share out fifty chains.
pub(super) const CHAINS: usize = 16;

/// Slots with their random streams, in families of `copies` neighbours.
pub(super) struct Families<'a> {
    pub(super) positions: &'a mut [f64],
    pub(super) log_prior: &'a mut [f64],
    pub(super) log_likelihood: &'a mut [f64],
    pub(super) streams: &'a mut [Stream],
    pub(super) tallies: &'a mut [Tally],
    pub(super) copies: usize,
    pub(super) dim: usize,
}

/// What happened in one chain.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// Sum of acceptance probabilities.
    pub(super) acceptance: f64,
    pub(super) n_moves: u64,
    pub(super) n_evaluations: u64,
    /// Points that could not be evaluated.
    pub(super) n_failed: u64,
}

impl Tally {
    pub(super) fn add(mut self, other: &Self) -> Self {
        self.acceptance += other.acceptance;
        self.n_moves += other.n_moves;
        self.n_evaluations += other.n_evaluations;
        self.n_failed += other.n_failed;
        self
    }
}

impl<'a> Families<'a> {
    pub(super) fn of(particles: &'a mut Particles, copies: usize, streams: &'a mut [Stream], tallies: &'a mut [Tally]) -> Self {
        let Particles { dim, positions, log_prior, log_likelihood } = particles;
        Self { positions, log_prior, log_likelihood, streams, tallies, copies, dim: *dim }
    }
}

impl Cut for Families<'_> {
    fn extent(&self) -> usize {
        self.streams.len()
    }

    fn cut(self, at: usize) -> (Self, Self) {
        let Self { copies, dim, .. } = self;
        let (positions, positions_rest) = self.positions.split_at_mut(at * copies * dim);
        let (log_prior, log_prior_rest) = self.log_prior.split_at_mut(at * copies);
        let (log_likelihood, log_likelihood_rest) = self.log_likelihood.split_at_mut(at * copies);
        let (streams, streams_rest) = self.streams.split_at_mut(at);
        let (tallies, tallies_rest) = self.tallies.split_at_mut(at);
        let rest = Self {
            positions: positions_rest,
            log_prior: log_prior_rest,
            log_likelihood: log_likelihood_rest,
            streams: streams_rest,
            tallies: tallies_rest,
            copies,
            dim,
        };
        (Self { positions, log_prior, log_likelihood, streams, tallies, copies, dim }, rest)
    }
}

/// The first error in the order of blocks, whatever the order in which they are worked on.
#[derive(Debug, Default)]
pub(super) struct FirstError(Mutex<Option<(usize, Error)>>);

impl FirstError {
    /// Does the work of a block, and keeps its error.
    pub(super) fn watch(&self, block: usize, job: impl FnOnce() -> Result<(), Error>) {
        if let Err(error) = job()
            && let Ok(mut first) = self.0.lock()
            && first.as_ref().is_none_or(|(b, _)| block < *b)
        {
            *first = Some((block, error));
        }
    }

    pub(super) fn into_result(self) -> Result<(), Error> {
        match self.0.into_inner() {
            Ok(Some((_, error))) => Err(error),
            _ => Ok(()),
        }
    }
}

/// A kernel with its tuning.
#[derive(Debug, Clone)]
pub(super) struct Mover {
    pub(super) kernel: MoveKernel,
    pub(super) moves: Moves,
    pub(super) metric: Metric,
    pub(super) step_size: f64,
}

impl Mover {
    /// Moves the whole cloud, whose families' first slots hold where their chains start; returns the tally of all chains, and the number of
    /// moves of each.
    pub(super) fn move_cloud<T: Target + ?Sized>(
        &self,
        target: &T,
        partial: Partial<'_>,
        children: &mut Particles,
        copies: usize,
        streams: &mut [Stream],
        threads: &Threads,
    ) -> Result<(Tally, usize), Error> {
        let mut tallies = vec![Tally::default(); streams.len()];
        let mut run = |n_moves, children: &mut Particles, tallies: &mut [Tally]| {
            self.run(target, partial, n_moves, Families::of(children, copies, streams, tallies), threads)
        };
        let n_moves = match self.moves {
            Moves::WasteFree { .. } => copies.saturating_sub(1),
            Moves::Standard { n_moves } => n_moves,
            Moves::Adaptive { max_moves, min_growth } => {
                let start = children.positions.clone();
                let variances = self.metric.variances();
                let (mut distance, mut made) = (0.0, 0);
                while made < max_moves {
                    run(1, children, &mut tallies)?;
                    made += 1;
                    let before = distance;
                    distance = squared_distance(&start, &children.positions, &variances);
                    if !(distance > before * (1.0 + min_growth)) {
                        break;
                    }
                }
                return Ok((tallies.iter().fold(Tally::default(), Tally::add), made));
            }
        };
        run(n_moves, children, &mut tallies)?;
        Ok((tallies.iter().fold(Tally::default(), Tally::add), n_moves))
    }

    /// Moves every family, whose first slot holds where its chain starts, `n_moves` times: from each slot to the next one, or in place if
    /// there is but one.
    fn run<T: Target + ?Sized>(
        &self,
        target: &T,
        partial: Partial<'_>,
        n_moves: usize,
        families: Families<'_>,
        threads: &Threads,
    ) -> Result<(), Error> {
        let error = FirstError::default();
        threads.for_each_block(families, CHAINS, |block, mut families| {
            error.watch(block, || {
                let mut evaluator = target.evaluator()?;
                match self.kernel {
                    MoveKernel::RandomWalk => self.walk(&mut families, partial, &mut *evaluator, n_moves)?,
                    MoveKernel::Mala => {
                        let kernel = Mala::new(self.metric.clone(), self.step_size)?;
                        chains(kernel, |info| info.acceptance_rate, &mut families, partial, &mut *evaluator, n_moves)?;
                    }
                    MoveKernel::Hmc(config) => {
                        let kernel = Hmc::new(config, self.metric.clone(), self.step_size)?;
                        chains(kernel, |info| info.acceptance_rate, &mut families, partial, &mut *evaluator, n_moves)?;
                    }
                    MoveKernel::Nuts(config) => {
                        let kernel = Nuts::new(config, self.metric.clone(), self.step_size)?;
                        chains(kernel, |info| info.acceptance_rate, &mut families, partial, &mut *evaluator, n_moves)?;
                    }
                }
                Ok(())
            });
        });
        error.into_result()
    }

    /// Random-walk Metropolis, all chains of the block in step, so that each round is one batch.
    fn walk(
        &self,
        families: &mut Families<'_>,
        partial: Partial<'_>,
        evaluator: &mut dyn Evaluator,
        n_moves: usize,
    ) -> Result<(), DensityError> {
        let Families { positions, log_prior, log_likelihood, streams, tallies, copies, dim } = families;
        let (copies, dim, n) = (*copies, *dim, streams.len());
        let (mut momentum, mut direction) = (vec![0.0; dim], vec![0.0; dim]);
        let (mut proposals, mut prior, mut likelihood) = (vec![0.0; n * dim], vec![0.0; n], vec![0.0; n]);
        for round in 0..n_moves {
            let (from, to) = if copies > 1 { (round, round + 1) } else { (0, 0) };
            for (chain, (proposal, rng)) in proposals.chunks_exact_mut(dim).zip(streams.iter_mut()).enumerate() {
                self.metric.sample_momentum(rng, &mut momentum);
                self.metric.velocity(&momentum, &mut direction);
                let slot = chain * copies + from;
                for ((y, x), v) in proposal.iter_mut().zip(&positions[slot * dim..(slot + 1) * dim]).zip(&direction) {
                    *y = x + self.step_size * v;
                }
            }
            partial.evaluate(evaluator, &proposals, &mut prior, &mut likelihood)?;
            for (chain, (rng, tally)) in streams.iter_mut().zip(tallies.iter_mut()).enumerate() {
                let (old, new) = (chain * copies + from, chain * copies + to);
                let now = partial.log_density(log_prior[old], log_likelihood[old]);
                // A particle of zero density, which carries no weight, stays where it is and teaches nothing.
                let dead = now == f64::NEG_INFINITY;
                let proposed = partial.log_density(prior[chain], likelihood[chain]);
                let failed = !(proposed < f64::INFINITY);
                let rate = if failed || dead { 0.0 } else { (proposed - now).exp().min(1.0) };
                if rng.uniform() < rate {
                    positions[new * dim..(new + 1) * dim].copy_from_slice(&proposals[chain * dim..(chain + 1) * dim]);
                    (log_prior[new], log_likelihood[new]) = (prior[chain], likelihood[chain]);
                } else if new != old {
                    positions.copy_within(old * dim..(old + 1) * dim, new * dim);
                    (log_prior[new], log_likelihood[new]) = (log_prior[old], log_likelihood[old]);
                }
                tally.acceptance += rate;
                tally.n_moves += u64::from(!dead);
                tally.n_evaluations += 1;
                tally.n_failed += u64::from(failed);
            }
        }
        Ok(())
    }
}

/// Chains of a gradient kernel, one after the other.
fn chains<K: Kernel>(
    mut kernel: K,
    acceptance_rate: impl Fn(&K::Info) -> f64,
    families: &mut Families<'_>,
    partial: Partial<'_>,
    evaluator: &mut dyn Evaluator,
    n_moves: usize,
) -> Result<(), DensityError> {
    let Families { positions, log_prior, log_likelihood, streams, tallies, copies, dim } = families;
    let (copies, dim) = (*copies, *dim);
    let mut density = PartialDensity::new(partial, evaluator);
    for (chain, (rng, tally)) in streams.iter_mut().zip(tallies.iter_mut()).enumerate() {
        let mut slot = chain * copies;
        let mut parts = (log_prior[slot], log_likelihood[slot]);
        let mut state = State {
            position: positions[slot * dim..(slot + 1) * dim].to_vec(),
            log_density: partial.log_density(parts.0, parts.1),
            gradient: Vec::new(),
        };
        // A particle of zero density, which carries no weight, stays where it is and teaches nothing.
        let dead = state.log_density == f64::NEG_INFINITY;
        (density.n_evaluations, density.n_failed) = (0, 0);
        for _ in 0..n_moves {
            if !dead {
                match kernel.step(&mut state, &mut density, rng) {
                    Ok(info) => tally.acceptance += acceptance_rate(&info),
                    // The gradient at the start of the chain: it stays.
                    Err(error) if error.is_recoverable() => {}
                    Err(error) => return Err(error),
                }
                tally.n_moves += 1;
            }
            if state.position != positions[slot * dim..(slot + 1) * dim] {
                let found = density.parts(&state.position)?;
                parts = (found.log_prior, found.log_likelihood);
            }
            slot += usize::from(copies > 1);
            positions[slot * dim..(slot + 1) * dim].copy_from_slice(&state.position);
            (log_prior[slot], log_likelihood[slot]) = parts;
        }
        tally.n_evaluations += density.n_evaluations;
        tally.n_failed += density.n_failed;
    }
    Ok(())
}

/// Sum over particles of the squared distance between two clouds, in units of these variances.
fn squared_distance(a: &[f64], b: &[f64], variances: &[f64]) -> f64 {
    let dim = variances.len();
    let one = |(a, b): (&[f64], &[f64])| a.iter().zip(b).zip(variances).map(|((a, b), v)| (a - b) * (a - b) / v).sum::<f64>();
    a.chunks_exact(dim).zip(b.chunks_exact(dim)).map(one).sum()
}
