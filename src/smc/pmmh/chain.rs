//! One chain: start, warm-up, draws.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::Pmmh;
use crate::error::{DensityError, Error, StartFailure};
use crate::mcmc::{Observer, Progress, Run, Start};
use crate::model::{ModelFamily, StateSpaceModel, Target};
use crate::rng::{Purpose, Stream};
use crate::smc::blocks::{
    AdaptiveWalk, Block, Exact, FamilyState, FilterEvidence, Outcome, Product, PseudoMarginal, Pullback, RandomLogWeight,
    Weighted, WeightedPoint,
};
use crate::smc::{StateSpaceAdapter, StateValues};

/// Start points with positive estimated density of which a chain takes the best.
const CANDIDATES: usize = 8;
/// Points tried before giving up.
const ATTEMPTS: usize = 100;

/// A path of states with the log-likelihood estimate that it came with.
type Likelihood<F> = Weighted<Vec<FamilyState<F>>>;
/// Where a chain is.
type Place<F> = WeightedPoint<Vec<f64>, (Weighted<()>, Likelihood<F>)>;

/// What is kept of an iteration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Iteration {
    pub(super) lp: f64,
    pub(super) log_likelihood: f64,
    pub(super) acceptance_rate: f64,
    pub(super) outcome: Outcome,
    pub(super) degenerate: bool,
}

/// What a chain has made.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) warmup: Vec<Iteration>,
    pub(super) draws: Vec<Iteration>,
    /// Constrained values, draw by draw.
    pub(super) constrained: Vec<f64>,
    /// Sum of the unconstrained positions of the draws.
    pub(super) sum_of_positions: Vec<f64>,
    /// Paths, draw by draw.
    pub(super) states: Vec<f64>,
    pub(super) forecasts: Vec<f64>,
    /// Length of every path.
    pub(super) n_steps: usize,
    pub(super) scale: f64,
    pub(super) variances: Vec<f64>,
    pub(super) warmup_seconds: f64,
    pub(super) sampling_seconds: f64,
}

/// Everything that the chains of one run share.
pub(super) struct Shared<'a, T: ?Sized, F: ?Sized> {
    settings: &'a Pmmh,
    prior: &'a T,
    family: &'a F,
    run: &'a Run,
    /// Set when a chain fails, to end the others.
    failed: AtomicBool,
    observers: Vec<Arc<dyn Observer>>,
}

/// What goes wrong with a position, as an error of a density.
fn density_error(error: Error) -> DensityError {
    match error {
        Error::Density(error) => error,
        other => DensityError::Model { recoverable: false, source: Arc::new(other) },
    }
}

impl<'a, T, F> Shared<'a, T, F>
where
    T: Target + ?Sized,
    F: ModelFamily + ?Sized,
    F::Model: StateSpaceAdapter,
    FamilyState<F>: StateValues,
{
    pub(super) fn new(settings: &'a Pmmh, prior: &'a T, family: &'a F, run: &'a Run) -> Self {
        let observers = run.observers(run.n_warmup + run.n_draws);
        Self { settings, prior, family, run, failed: AtomicBool::new(false), observers }
    }

    pub(super) fn run_chain(&self, index: usize) -> Result<Made, Error> {
        let result = self.chain(index);
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn chain(&self, index: usize) -> Result<Made, Error> {
        let mut evaluator = self.prior.evaluator()?;
        let evidence = FilterEvidence::new(self.family, self.settings.filter.clone())?;
        let log_prior = Exact(|position: &Vec<f64>| evaluator.log_density(position));
        let constrain = |position: &Vec<f64>, out: &mut Vec<f64>| self.prior.constrain(position, out).map_err(density_error);
        let likelihood = Pullback::new(constrain, evidence);
        let walk = AdaptiveWalk::new(self.prior.dim()?, self.settings.target_acceptance)?;
        let mut kernel = PseudoMarginal::new(walk, Product(log_prior, likelihood));

        let mut clock = Instant::now();
        let mut place = self.start(index, kernel.weight_mut())?;
        let mut made = Made { n_steps: place.auxiliary.1.auxiliary.len(), ..Made::default() };
        made.sum_of_positions.resize(place.point.len(), 0.0);
        let mut rng = Stream::keyed(self.run.seed, Purpose::Chain, 0, index as u64);
        let n_warmup = self.run.n_warmup;
        for iteration in 0..n_warmup + self.run.n_draws {
            if self.failed.load(Ordering::Relaxed) || self.run.is_stopped() {
                break;
            }
            let at = |source| Error::Chain { chain: index, iteration, source: Box::new(source) };
            if iteration == n_warmup {
                made.warmup_seconds = clock.elapsed().as_secs_f64();
                clock = Instant::now();
            }
            let n_degenerate = kernel.weight().1.weight().n_degenerate();
            let info = kernel.step(&mut place, &mut rng).map_err(at)?;
            let done = Iteration {
                lp: place.log_weight,
                log_likelihood: place.auxiliary.1.log_weight,
                acceptance_rate: info.acceptance_rate,
                outcome: info.outcome,
                degenerate: kernel.weight().1.weight().n_degenerate() > n_degenerate,
            };
            if iteration < n_warmup {
                kernel.proposal_mut().learn(&place.point, info.acceptance_rate);
                made.warmup.push(done);
            } else {
                self.keep(&place, index, &mut made).map_err(at)?;
                made.draws.push(done);
            }
            self.report(index, iteration + 1);
        }
        let seconds = if made.draws.is_empty() { &mut made.warmup_seconds } else { &mut made.sampling_seconds };
        *seconds = clock.elapsed().as_secs_f64();
        made.scale = kernel.proposal().scale();
        made.variances = kernel.proposal().variances();
        Ok(made)
    }

    /// Writes a draw down.
    fn keep(&self, place: &Place<F>, index: usize, made: &mut Made) -> Result<(), Error> {
        let path = &place.auxiliary.1.auxiliary;
        if path.len() != made.n_steps {
            return Err(Error::Dimension {
                what: "steps of the models of one family",
                expected: made.n_steps,
                found: path.len(),
            });
        }
        let first = made.constrained.len();
        self.prior.constrain(&place.point, &mut made.constrained)?;
        made.sum_of_positions.iter_mut().zip(&place.point).for_each(|(sum, x)| *sum += x);
        if self.settings.keep_states {
            path.iter().for_each(|x| x.write(&mut made.states));
        }
        if self.settings.n_forecast > 0 {
            let model = self.family.at(&made.constrained[first..])?;
            let mut rng = Stream::keyed(self.run.seed, Purpose::Predictive, made.draws.len() as u64, index as u64);
            let mut x = path.last().copied().unwrap_or_default();
            for t in made.n_steps..made.n_steps + self.settings.n_forecast {
                x = model.state_space().transition(t, &x, &mut rng);
                x.write(&mut made.forecasts);
            }
        }
        Ok(())
    }

    fn report(&self, chain: usize, iteration: usize) {
        let (n_warmup, n_chains) = (self.run.n_warmup, self.run.n_chains);
        let progress = Progress {
            chain,
            n_chains,
            iteration,
            n_iterations: n_warmup + self.run.n_draws,
            warming_up: iteration <= n_warmup && n_warmup > 0,
            divergences: 0,
        };
        self.observers.iter().for_each(|observer| observer.iteration(progress));
    }

    /// Where the chain starts: as the run says, or the best of a few candidates.
    fn start<W>(&self, index: usize, weight: &mut W) -> Result<Place<F>, Error>
    where
        W: RandomLogWeight<Vec<f64>, Auxiliary = (Weighted<()>, Likelihood<F>)>,
    {
        let mut rng = Stream::keyed(self.run.seed, Purpose::Start, 0, index as u64);
        let given = match &self.run.start {
            Start::Search => None,
            Start::Values(all) => Some(self.prior.unconstrain(pick(all, index)?)?),
            Start::Positions(all) => Some(pick(all, index)?.clone()),
        };
        let attempts = if given.is_some() { 1 } else { ATTEMPTS };
        let (mut best, mut n_found, mut position) = (None::<Place<F>>, 0, Vec::new());
        let mut cause = StartFailure::ZeroDensity;
        for attempt in 0..attempts {
            position = match &given {
                Some(position) => position.clone(),
                None => self.candidate(attempt, &mut rng)?,
            };
            match WeightedPoint::draw(position.clone(), weight, &mut rng) {
                Ok(Some(place)) => {
                    n_found += 1;
                    if best.as_ref().is_none_or(|best| place.log_weight > best.log_weight) {
                        best = Some(place);
                    }
                }
                Ok(None) => cause = StartFailure::ZeroDensity,
                Err(error) if error.is_recoverable() => cause = StartFailure::Failed(error),
                Err(error) => return Err(error.into()),
            }
            if n_found == CANDIDATES {
                break;
            }
        }
        let value = position.first().copied().unwrap_or(f64::NAN);
        best.ok_or_else(|| Error::NoStartPoint { attempts, parameter: self.prior.coordinate_name(0), value, cause })
    }

    /// A draw from the prior, or a point uniform around the origin, closer after failures.
    fn candidate(&self, attempt: usize, rng: &mut Stream) -> Result<Vec<f64>, Error> {
        if let Some(values) = self.prior.sample_prior(rng)? {
            return self.prior.unconstrain(&values);
        }
        let radius = 2.0 * 0.5_f64.powi((attempt / 20) as i32);
        Ok((0..self.prior.dim()?).map(|_| radius * (2.0 * rng.uniform() - 1.0)).collect())
    }
}

fn pick<X>(all: &[X], chain: usize) -> Result<&X, Error> {
    let index = if all.len() == 1 { 0 } else { chain };
    all.get(index).ok_or(Error::Dimension { what: "start points, one or one per chain", expected: chain + 1, found: all.len() })
}
