//! One path to a mode, and the best of the normal distributions along it.

use super::lbfgs::{Ascent, Step};
use super::score::{Best, Score};
use super::spiked_normal::SpikedNormal;
use crate::error::{Error, StartFailure};
use crate::mcmc::{Start, first_point};
use crate::model::{Evaluator, Target};
use crate::rng::{Purpose, Stream};
use crate::vi::approximation::Approximation;

/// Iterations without a better distribution after which a path ends: it has passed the mass, on the way to a pole of the density.
const PATIENCE: usize = 100;

/// Pairs remembered, unless told otherwise.
const PAIRS_PER_DIMENSION: usize = 2;
const FEWEST_PAIRS: usize = 10;
const MOST_PAIRS: usize = 80;
/// Dimensions times squared pairs at most, unless there are few pairs: an iterate costs a decomposition of that order.
const MOST_WORK: f64 = 1e6;

/// Settings of a path.
#[derive(Debug, Clone, Copy)]
pub(in crate::vi) struct PathSettings {
    /// Pairs of steps and gradient differences; `None` for as many as [`PathSettings::history`] says.
    pub(super) history: Option<usize>,
    pub(super) n_iterations: usize,
    pub(in crate::vi) n_bound_draws: usize,
}

impl Default for PathSettings {
    fn default() -> Self {
        Self { history: None, n_iterations: 1000, n_bound_draws: 25 }
    }
}

impl PathSettings {
    /// Pairs for this number of dimensions. From d pairs of conjugate steps a normal target's covariance is exact; line searches that are not quite exact take more.
    pub(super) fn history(&self, dim: usize) -> usize {
        let affordable = (MOST_WORK / dim as f64).sqrt() as usize;
        self.history.unwrap_or_else(|| dim.saturating_mul(PAIRS_PER_DIMENSION).min(affordable).clamp(FEWEST_PAIRS, MOST_PAIRS))
    }
}

/// What a path leaves behind.
#[derive(Debug)]
pub(in crate::vi) struct Path {
    /// The best normal distribution on the way.
    pub(in crate::vi) normal: SpikedNormal,
    pub(in crate::vi) score: Score,
    /// Bounds of all normal distributions on the way.
    pub(super) bounds: Vec<f64>,
    pub(super) n_failed: u64,
}

/// Evaluations of a path, whatever became of it.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::vi) struct PathCost {
    pub(in crate::vi) n_gradient_evaluations: u64,
    pub(in crate::vi) n_density_evaluations: u64,
}

/// Follows one path from its start to its end.
///
/// # Errors
/// Beside the result: [`Error::Density`] for a fatal error. Inside: [`Error::NoStartPoint`]; [`Error::NoUsableDraw`] if none of the normal distributions on the way has draws of positive density;
/// [`Error::Unbounded`] if the path left all bounds, better and better.
pub(in crate::vi) fn follow<T: Target + ?Sized>(
    target: &T,
    settings: PathSettings,
    start: &Start,
    seed: u64,
    index: usize,
) -> (Result<Path, Error>, PathCost) {
    let mut cost = PathCost::default();
    let path = target.evaluator().and_then(|mut evaluator| {
        let (state, n_evaluations) = first_point(target, &mut *evaluator, start, seed, index)?;
        cost.n_gradient_evaluations = u64::from(n_evaluations);
        climb(evaluator, target, settings, state, &Keys { seed, index }, &mut cost)
    });
    (path, cost)
}

/// Whose random draws these are.
struct Keys {
    seed: u64,
    index: usize,
}

fn climb<T: Target + ?Sized>(
    mut evaluator: Box<dyn Evaluator + '_>,
    target: &T,
    settings: PathSettings,
    state: crate::kernels::State,
    keys: &Keys,
    cost: &mut PathCost,
) -> Result<Path, Error> {
    let mut bound_estimate = BoundEstimate::new(target, state.position.len(), settings.n_bound_draws)?;
    let history = settings.history(state.position.len());
    let mut ascent = Ascent::new(&mut *evaluator, state, history);
    let before = cost.n_gradient_evaluations;
    let mut bounds = Vec::new();
    let mut best = Best::new(settings.n_bound_draws);
    let (mut best_is_last, mut best_iteration) = (false, 0);
    let (mut n_failed, mut ran_off) = (0, false);
    let mut cause = StartFailure::ZeroDensity;
    let mut newton = vec![0.0; ascent.state.position.len()];
    for iteration in 1..=settings.n_iterations {
        let step = ascent.advance()?;
        cost.n_gradient_evaluations = before + ascent.n_evaluations;
        // The start counts where nothing else does: a density that is flat, or at its maximum already.
        ran_off = step == Step::RanOff;
        if ran_off || (step != Step::Moved && iteration > 1) {
            break;
        }
        ascent.inverse_hessian.times(&ascent.state.gradient, &mut newton);
        let mean: Vec<f64> = ascent.state.position.iter().zip(&newton).map(|(x, d)| x + d).collect();
        best_is_last = false;
        // Rounding can leave no distribution at all; the next iterate has another one.
        let Ok(mut normal) = ascent.inverse_hessian.normal(&mean) else { continue };
        let mut rng = Stream::keyed(keys.seed, Purpose::Pathfinder, iteration as u64, keys.index as u64);
        let (score, failure) = bound_estimate.of(&mut normal, &mut rng)?;
        cost.n_density_evaluations += settings.n_bound_draws as u64;
        n_failed += (settings.n_bound_draws - score.n_usable) as u64;
        cause = failure.unwrap_or(cause);
        if score.n_usable > 0 {
            bounds.push(score.bound);
        }
        best_is_last = best.offer(normal, score);
        if best_is_last {
            best_iteration = iteration;
        }
        if step != Step::Moved || iteration >= best_iteration + PATIENCE {
            break;
        }
    }
    match best.into_inner() {
        Some(_) if ran_off && best_is_last => Err(Error::Unbounded { what: "path", value: ascent.state.log_density }),
        Some((normal, score)) => Ok(Path { normal, score, bounds, n_failed }),
        None if ran_off => Err(Error::Unbounded { what: "path", value: ascent.state.log_density }),
        None => Err(Error::NoUsableDraw { n_draws: n_failed as usize, cause }),
    }
}

/// Most coordinates of the draws for one bound: 8 GB.
const MOST_ENTRIES: usize = 1 << 30;

/// Estimates bounds by few draws.
struct BoundEstimate<'t> {
    evaluator: Box<dyn Evaluator + 't>,
    draws: Vec<f64>,
    log_densities: Vec<f64>,
    log_ratios: Vec<f64>,
}

impl<'t> BoundEstimate<'t> {
    fn new<T: Target + ?Sized>(target: &'t T, dim: usize, n_draws: usize) -> Result<Self, Error> {
        let entries = n_draws.checked_mul(dim).filter(|n| *n <= MOST_ENTRIES).ok_or(Error::InvalidSetting {
            setting: "n_bound_draws",
            value: n_draws as f64,
            rule: "so few that they fit into memory",
        })?;
        Ok(Self {
            evaluator: target.evaluator()?,
            draws: vec![0.0; entries],
            log_densities: vec![0.0; n_draws],
            log_ratios: Vec::with_capacity(n_draws),
        })
    }

    /// The mean log ratio over the draws of positive density, and why the last of the others is none.
    fn of(&mut self, normal: &mut SpikedNormal, rng: &mut Stream) -> Result<(Score, Option<StartFailure>), Error> {
        normal.sample(rng, &mut self.draws, &mut self.log_densities);
        let mut failure = None;
        self.log_ratios.clear();
        for (draw, log_density) in self.draws.chunks_exact(normal.dim()).zip(&self.log_densities) {
            if !draw.iter().all(|x| x.is_finite()) {
                continue;
            }
            match self.evaluator.log_density(draw) {
                Ok(value) if value.is_finite() => self.log_ratios.push(value - log_density),
                Ok(_) => failure = Some(StartFailure::ZeroDensity),
                Err(error) if error.is_recoverable() => failure = Some(StartFailure::Failed(error)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok((Score::new(&self.log_ratios), failure))
    }
}
