//! Runs chains: start, warm-up, draws, checkpoints, and the collection of results.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::adaptive::Counted;
use super::assemble;
use super::checkpoint;
use super::run::{Progress, Run};
use super::sampler::{AdaptiveChain, Sampler, Transition};
use super::start::start_state;
use super::warmup::{WarmChain, Warmup};
use crate::draws::Draws;
use crate::error::Error;
use crate::kernels::State;
use crate::model::{Evaluator, Target, Values, Variable};
use crate::parallel::map_indexed;
use crate::rng::{Purpose, Stream};

/// One chain with all it has made: what a checkpoint holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Chain<C> {
    /// Iterations done, warm-up included.
    iteration: usize,
    kernel: C,
    state: State,
    rng: Stream,
    pub(super) made: Made,
}

/// What a chain has made so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Made {
    /// Constrained values, draw by draw.
    pub(super) constrained: Vec<f64>,
    /// Generated quantities of every draw.
    pub(super) generated: Vec<Values>,
    /// Log-likelihoods of the observations, draw by draw.
    pub(super) log_likelihood: Vec<f64>,
    pub(super) log_densities: Vec<f64>,
    pub(super) transitions: Vec<Transition>,
    pub(super) warmup_log_densities: Vec<f64>,
    pub(super) warmup_transitions: Vec<Transition>,
    /// Evaluations of the search for a start point.
    pub(super) start_evaluations: u32,
    pub(super) warmup_seconds: f64,
    pub(super) sampling_seconds: f64,
}

impl<C: AdaptiveChain> Chain<C> {
    pub(super) fn tuning(&self) -> super::warmup::Tuning {
        self.kernel.tuning()
    }

    pub(super) fn n_draws(&self) -> usize {
        self.made.transitions.len()
    }
}

/// Everything that the chains of one run share.
struct Shared<'a, S, T: ?Sized> {
    sampler: &'a S,
    target: &'a T,
    run: &'a Run,
    n_warmup: usize,
    n_draws: usize,
    fingerprint: u64,
    variables: Vec<Variable>,
    /// Entries of all variables.
    n_entries: usize,
    /// Set when a chain fails, to end the others.
    failed: AtomicBool,
    observers: Vec<std::sync::Arc<dyn super::run::Observer>>,
}

pub(super) fn sample<S: Sampler, T: Target + ?Sized>(sampler: &S, target: &T, run: &Run) -> Result<Draws, Error> {
    let chains = run_chains(sampler, target, run, run.warmup_to_make(), run.n_draws)?;
    let made = chains.iter().map(Chain::n_draws).min().unwrap_or(0);
    if made == 0 {
        return Err(Error::Stopped { iterations: chains.iter().map(|c| c.iteration).min().unwrap_or(0) });
    }
    assemble::draws(sampler, target, run, chains, made)
}

pub(super) fn warm_up<S: Sampler, T: Target + ?Sized>(sampler: &S, target: &T, run: &Run) -> Result<Warmup, Error> {
    let chains = run_chains(sampler, target, run, run.n_warmup, 0)?;
    if let Some(iterations) = chains.iter().map(|c| c.iteration).min().filter(|&i| i < run.n_warmup) {
        return Err(Error::Stopped { iterations });
    }
    let chains = chains.into_iter().map(|c| WarmChain { tuning: c.tuning(), position: c.state.position }).collect();
    Ok(Warmup { chains })
}

fn run_chains<S: Sampler, T: Target + ?Sized>(
    sampler: &S,
    target: &T,
    run: &Run,
    n_warmup: usize,
    n_draws: usize,
) -> Result<Vec<Chain<S::Chain>>, Error> {
    run.validate()?;
    sampler.validate()?;
    let dim = target.dim()?;
    if dim == 0 {
        return Err(Error::NoParameters);
    }
    if let Some(warmup) = &run.warmup
        && let Some(chain) = warmup.chains.iter().find(|c| c.position.len() != dim)
    {
        return Err(Error::Dimension { what: "dimension of the warm-up", expected: dim, found: chain.position.len() });
    }
    let variables = target.variables()?;
    assemble::check_layout(target, &variables, run.n_chains)?;
    let mut fingerprint = 0;
    if let Some(directory) = &run.checkpoint {
        fs::create_dir_all(directory).map_err(|source| Error::Io { path: directory.clone(), source })?;
        fingerprint = fingerprint_of(sampler, target, run, n_warmup)?;
    }
    let shared = Shared {
        sampler,
        target,
        run,
        n_warmup,
        n_draws,
        fingerprint,
        n_entries: variables.iter().map(Variable::size).sum(),
        variables,
        failed: AtomicBool::new(false),
        observers: run.observers(n_warmup + n_draws),
    };
    let chains = map_indexed(run.n_chains, run.threads, |index| {
        let result = shared.run_chain(index);
        if result.is_err() {
            shared.failed.store(true, Ordering::Relaxed);
        }
        result
    });
    chains.into_iter().collect()
}

impl<S: Sampler, T: Target + ?Sized> Shared<'_, S, T> {
    fn run_chain(&self, index: usize) -> Result<Chain<S::Chain>, Error> {
        let mut evaluator = self.target.evaluator()?;
        let file = self.run.checkpoint.as_ref().map(|directory| checkpoint::path(directory, index));
        let saved = match &file {
            Some(path) => checkpoint::load(path, self.fingerprint)?,
            None => None,
        };
        let at = |iteration| move |source: Error| Error::Chain { chain: index, iteration, source: Box::new(source) };
        let mut chain = match saved {
            Some(chain) => chain,
            None => self.new_chain(index, evaluator.as_mut())?,
        };
        let mut clock = Clock::start();
        let mut saved_at = Instant::now();
        let mut divergences = chain.made.transitions.iter().filter(|t| t.diverging).count();
        while chain.iteration < self.n_warmup + self.n_draws {
            if self.failed.load(Ordering::Relaxed) || self.run.is_stopped() {
                break;
            }
            let warming_up = chain.iteration < self.n_warmup;
            self.advance(index, &mut chain, evaluator.as_mut()).map_err(at(chain.iteration))?;
            let seconds = if warming_up { &mut chain.made.warmup_seconds } else { &mut chain.made.sampling_seconds };
            *seconds += clock.lap();
            divergences += usize::from(!warming_up && chain.made.transitions.last().is_some_and(|t| t.diverging));
            self.report(index, chain.iteration, divergences);
            if let Some(path) = &file
                && saved_at.elapsed() >= self.run.checkpoint_every
            {
                checkpoint::save(path, self.fingerprint, &chain)?;
                saved_at = Instant::now();
            }
        }
        if let Some(path) = &file {
            checkpoint::save(path, self.fingerprint, &chain)?;
        }
        Ok(chain)
    }

    fn new_chain(&self, index: usize, evaluator: &mut dyn Evaluator) -> Result<Chain<S::Chain>, Error> {
        let mut kernel = self.sampler.chain(evaluator.dim(), self.n_warmup)?;
        let warm = self.run.warmup.as_ref().and_then(|w| w.chains.get(index % w.chains.len().max(1)));
        // A reused warm-up has used up step 0 of the stream.
        let mut rng = Stream::keyed(self.run.seed, Purpose::Chain, u64::from(warm.is_some()), index as u64);
        let mut made = Made::default();
        let began = Instant::now();
        let state = match warm {
            Some(warm) => {
                kernel.set_tuning(&warm.tuning)?;
                made.start_evaluations = 1;
                State::new(evaluator, warm.position.clone())?
            }
            None => {
                let mut start = start_state(self.target, evaluator, &self.run.start, self.run.seed, index)?;
                let mut counted = Counted { target: evaluator, n_evaluations: start.n_evaluations };
                kernel.start(&mut start.state, &start.path, &mut counted, &mut rng)?;
                made.start_evaluations = counted.n_evaluations;
                start.state
            }
        };
        made.warmup_seconds = began.elapsed().as_secs_f64();
        Ok(Chain { iteration: 0, kernel, state, rng, made })
    }

    /// One iteration.
    fn advance(&self, index: usize, chain: &mut Chain<S::Chain>, evaluator: &mut dyn Evaluator) -> Result<(), Error> {
        let Chain { iteration, kernel, state, rng, made } = chain;
        if *iteration < self.n_warmup {
            let transition = kernel.warm_up(*iteration, state, evaluator, rng)?;
            made.warmup_transitions.push(transition);
            made.warmup_log_densities.push(state.log_density);
            *iteration += 1;
            if *iteration == self.n_warmup {
                kernel.finish_warm_up()?;
            }
            return Ok(());
        }
        let transition = kernel.transition(state, evaluator, rng)?;
        let draw = (*iteration - self.n_warmup) as u64;
        let n_before = made.constrained.len();
        self.target.constrain(&state.position, &mut made.constrained)?;
        let found = made.constrained.len() - n_before;
        if found != self.n_entries {
            return Err(Error::Dimension { what: "entries of the variables", expected: self.n_entries, found });
        }
        let generated =
            self.target.generated(&state.position, &mut Stream::keyed(self.run.seed, Purpose::Generated, draw, index as u64))?;
        if draw == 0 {
            let generated = generated.iter().map(|(variable, _)| self.target.label(variable.clone()));
            let all: Vec<Variable> = self.variables.iter().cloned().chain(generated).collect();
            assemble::check_layout(self.target, &all, self.run.n_chains)?;
        }
        made.generated.push(generated);
        if self.run.keep_log_likelihood {
            let mut terms = Vec::new();
            evaluator.log_likelihood_terms(&state.position, &mut terms)?;
            if made.log_likelihood.len() != terms.len() * draw as usize {
                let expected = made.log_likelihood.len() / draw.max(1) as usize;
                return Err(Error::Dimension { what: "terms of the log-likelihood", expected, found: terms.len() });
            }
            made.log_likelihood.append(&mut terms);
        }
        made.transitions.push(transition);
        made.log_densities.push(state.log_density);
        *iteration += 1;
        Ok(())
    }

    fn report(&self, chain: usize, iteration: usize, divergences: usize) {
        let progress = Progress {
            chain,
            n_chains: self.run.n_chains,
            iteration,
            n_iterations: self.n_warmup + self.n_draws,
            warming_up: iteration <= self.n_warmup && self.n_warmup > 0,
            divergences,
        };
        for observer in &self.observers {
            observer.iteration(progress);
        }
    }
}

/// Measures laps.
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let lap: Duration = now - self.0;
        self.0 = now;
        lap.as_secs_f64()
    }
}

/// A number that differs between runs with different results: seed, sizes, sampler, names of the model, and its log density at a point
/// where it is positive, if one is found.
fn fingerprint_of<S: Sampler, T: Target + ?Sized>(sampler: &S, target: &T, run: &Run, n_warmup: usize) -> Result<u64, Error> {
    let mut evaluator = target.evaluator()?;
    let value = [0.1, 0.01, 0.0, 1.0].into_iter().find_map(|scale| {
        let probe: Vec<f64> = (0..evaluator.dim()).map(|i| scale * ((i % 7) as f64 - 3.0)).collect();
        evaluator.log_density(&probe).ok().filter(|value| value.is_finite())
    });
    let value = value.map_or(0, f64::to_bits);
    let key = (
        env!("CARGO_PKG_VERSION"),
        sampler.name(),
        sampler.settings(),
        (run.seed, run.n_chains as u64, n_warmup as u64, run.n_draws as u64, run.keep_log_likelihood),
        target.variables()?,
        value,
        run.start.fingerprint(),
        &run.warmup,
    );
    let bytes = postcard::to_stdvec(&key).map_err(|_| Error::NotFinite { what: "fingerprint", index: 0, value: f64::NAN })?;
    Ok(checkpoint::hash(&bytes))
}
