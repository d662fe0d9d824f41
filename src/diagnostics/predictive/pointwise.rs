//! Where pointwise log likelihoods come from: a table, kept draws, a function, or a target evaluated again.

use std::fmt::{self, Debug, Formatter};
use std::ops::Range;

use ndarray::{ArrayView2, Axis};

use crate::diagnostics::Psis;
use crate::diagnostics::chains::Chains;
use crate::diagnostics::discrepancy::rows;
use crate::diagnostics::ess::ess;
use crate::draws::Draws;
use crate::error::{DensityError, Error, Result, check};
use crate::model::Target;
use crate::parallel::map_indexed;

/// Bytes of log likelihoods held at a time unless something else is asked for.
const MEMORY: usize = 64 << 20;
/// Draws that one evaluator works on.
const DRAWS_PER_TASK: usize = 64;
/// Draws evaluated before their terms are put in place.
const DRAWS_PER_WAVE: usize = 1024;
/// Observations that one task works on.
const OBSERVATIONS_PER_TASK: usize = 16;

/// Log likelihoods log p(yᵢ | θₛ) of N observations at S draws, handed out a block of observations at a time: the S × N table need not be in
/// memory.
///
/// Draws are independent draws of the posterior unless [`in_chains`](Self::in_chains) or [`weighted`](Self::weighted) says otherwise.
///
/// ```
/// use posterity::diagnostics::{Loo, PointwiseLogLikelihood};
/// use posterity::rng::Stream;
/// // y ~ N(mu, 1) with a flat prior: mu | y ~ N(mean, 1/N), and y[i] | all others ~ N(their mean, 1 + 1/(N - 1)).
/// let y = [0.3, -1.2, 2.1, 0.8];
/// let mut stream = Stream::new(1);
/// let mu: Vec<f64> = (0..4000).map(|_| 0.5 + 0.5 * stream.normal()).collect();
/// let log_normal = |x: f64, variance: f64| -0.5 * (x * x / variance + (std::f64::consts::TAU * variance).ln());
/// let mut terms = PointwiseLogLikelihood::from_fn(y.len(), mu.len(), |i, out: &mut [f64]| {
///     out.iter_mut().zip(&mu).for_each(|(term, mu)| *term = log_normal(y[i] - mu, 1.0));
///     Ok(())
/// })?;
/// let loo = Loo::new(&mut terms)?;
/// let exact = log_normal(y[0] - (2.0 - y[0]) / 3.0, 4.0 / 3.0);
/// assert!((loo.pointwise()[0].elpd - exact).abs() < 4.0 * loo.pointwise()[0].mcse);
/// # Ok::<(), posterity::Error>(())
/// ```
pub struct PointwiseLogLikelihood<'a> {
    n_observations: usize,
    n_draws: usize,
    efficiency: Efficiency,
    weights: Option<Weights<'a>>,
    memory: usize,
    source: Box<Source<'a>>,
}

/// Fills a row of S terms for every observation of a range.
type Source<'a> = dyn FnMut(Range<usize>, &mut [f64]) -> Result<()> + 'a;

/// Effective sample size per draw.
#[derive(Debug, Clone, Copy)]
enum Efficiency {
    Known(f64),
    /// To be estimated from this number of chains.
    Chains(usize),
}

/// Weights of draws that are none of the posterior.
#[derive(Debug)]
pub(super) struct Weights<'a> {
    /// As given.
    pub(super) log_ratios: &'a [f64],
    pub(super) smoothed: Psis,
}

impl<'a> PointwiseLogLikelihood<'a> {
    /// From a function that writes the terms of one observation at all draws; it is called once for each observation, in their order.
    ///
    /// # Errors
    /// [`Error::Empty`] without observations or draws.
    pub fn from_fn(
        n_observations: usize,
        n_draws: usize,
        mut source: impl FnMut(usize, &mut [f64]) -> Result<()> + 'a,
    ) -> Result<Self> {
        Self::new(n_observations, n_draws, move |observations, out| {
            let mut rows = out.chunks_exact_mut(n_draws);
            observations.zip(&mut rows).try_for_each(|(observation, row)| source(observation, row))
        })
    }

    /// From a table of shape (draw, observation).
    ///
    /// # Errors
    /// [`Error::Empty`].
    pub fn from_array(terms: ArrayView2<'a, f64>) -> Result<Self> {
        let (n_draws, n_observations) = terms.dim();
        Self::new(n_observations, n_draws, move |observations, out| {
            for (draw, row) in terms.axis_iter(Axis(0)).enumerate() {
                for (i, observation) in observations.clone().enumerate() {
                    out[i * n_draws + draw] = row[observation];
                }
            }
            Ok(())
        })
    }

    /// From what a run kept, in its chains: see [`Run::keep_log_likelihood`](crate::mcmc::Run::keep_log_likelihood). Every element of every
    /// variable of [`Draws::log_likelihood`] is an observation.
    ///
    /// # Errors
    /// [`Error::NoLogLikelihood`] if nothing was kept, [`Error::Empty`].
    pub fn from_draws(draws: &'a Draws) -> Result<Self> {
        let values = draws.log_likelihood().ok_or(Error::NoLogLikelihood)?.values();
        let (n_chains, n_draws, n_observations) = values.dim();
        let source = move |observations: Range<usize>, out: &mut [f64]| {
            let size = n_chains * n_draws;
            for (draw, row) in values.rows().into_iter().enumerate() {
                for (i, observation) in observations.clone().enumerate() {
                    out[i * size + draw] = row[observation];
                }
            }
            Ok(())
        };
        Self::new(n_observations, n_chains * n_draws, source)?.in_chains(n_chains)
    }

    /// From a target, evaluated at positions of shape (draw, coordinate) in its unconstrained coordinates, as
    /// [`unconstrained_draws`](crate::diagnostics::unconstrained_draws) gives them. There are as many observations as the target has terms at
    /// the first of them.
    ///
    /// Terms are evaluated S · ⌈8 S N / memory⌉ times, all N at once: [`memory`](Self::memory) says how many bytes of them may be held. The
    /// threads that evaluate them need up to as much again.
    ///
    /// # Errors
    /// [`Error::NoObservations`] if the target's likelihood has no terms; [`Error::Empty`], [`Error::NotFinite`] or [`Error::Dimension`] for the
    /// positions; [`Error::Position`] where terms cannot be evaluated, of the estimates too.
    pub fn from_target<T: Target + ?Sized>(target: &'a T, positions: ArrayView2<'a, f64>) -> Result<Self> {
        let (n_draws, found) = positions.dim();
        let dim = target.dim()?;
        let positions = rows("positions", positions)?;
        if found != dim {
            return Err(Error::Dimension { what: "coordinates of the positions", expected: dim, found });
        }
        let mut terms = Vec::new();
        let at = |source| Error::Position { index: 0, source };
        target.evaluator()?.log_likelihood_terms(&positions[..dim], &mut terms).map_err(at)?;
        let n_observations = terms.len();
        if n_observations == 0 {
            return Err(Error::NoObservations);
        }
        Self::new(n_observations, n_draws, move |observations, out| {
            for wave in (0..n_draws).step_by(DRAWS_PER_WAVE) {
                let end = n_draws.min(wave + DRAWS_PER_WAVE);
                let parts = map_indexed((end - wave).div_ceil(DRAWS_PER_TASK), None, |part| {
                    let first = wave + part * DRAWS_PER_TASK;
                    let positions = &positions[first * dim..end.min(first + DRAWS_PER_TASK) * dim];
                    terms_of(target, positions, first, &observations, n_observations)
                });
                for (part, terms) in parts.into_iter().enumerate() {
                    let first = wave + part * DRAWS_PER_TASK;
                    for (i, row) in terms?.chunks_exact(observations.len()).enumerate() {
                        row.iter().enumerate().for_each(|(observation, term)| out[observation * n_draws + first + i] = *term);
                    }
                }
            }
            Ok(())
        })
    }

    fn new(
        n_observations: usize,
        n_draws: usize,
        source: impl FnMut(Range<usize>, &mut [f64]) -> Result<()> + 'a,
    ) -> Result<Self> {
        for (what, n) in [("the observations of a log likelihood", n_observations), ("the draws of a log likelihood", n_draws)] {
            if n == 0 {
                return Err(Error::Empty { what });
            }
        }
        let efficiency = Efficiency::Known(1.0);
        Ok(Self { n_observations, n_draws, efficiency, weights: None, memory: MEMORY, source: Box::new(source) })
    }

    /// Declares the draws to be those of chains of equal length, one after the other. The relative efficiency that a tail's length depends on is
    /// then the effective sample size for the mean of the observation's likelihood, per draw; Monte Carlo standard errors come from that for
    /// the estimate itself. With fewer than 4 draws per chain draws count as independent.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for 0 chains, [`Error::Dimension`] if the number of draws is no multiple of `n_chains`.
    pub fn in_chains(mut self, n_chains: usize) -> Result<Self> {
        check::at_least("n_chains", n_chains, 1, "at least 1")?;
        if !self.n_draws.is_multiple_of(n_chains) {
            let expected = self.n_draws.next_multiple_of(n_chains);
            return Err(Error::Dimension { what: "draws of chains of equal length", expected, found: self.n_draws });
        }
        self.efficiency = Efficiency::Chains(n_chains);
        Ok(self)
    }

    /// Declares the effective sample size per draw, the same for every observation.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless it is positive and finite.
    pub fn relative_efficiency(mut self, relative_efficiency: f64) -> Result<Self> {
        check::positive("relative_efficiency", relative_efficiency)?;
        self.efficiency = Efficiency::Known(relative_efficiency);
        Ok(self)
    }

    /// Declares the draws to be those of another distribution q, as of a variational fit or a weighted cloud, with their log weights
    /// log p(θₛ, y) - log q(θₛ) up to a constant: Magnusson, Andersen, Jonasson & Vehtari (2019), <https://arxiv.org/abs/1904.10679>.
    ///
    /// # Errors
    /// [`Error::Dimension`] unless there is one per draw, and as [`Psis::new`].
    pub fn weighted(mut self, log_weights: &'a [f64]) -> Result<Self> {
        if log_weights.len() != self.n_draws {
            return Err(Error::Dimension { what: "log weights of the draws", expected: self.n_draws, found: log_weights.len() });
        }
        self.weights = Some(Weights { log_ratios: log_weights, smoothed: Psis::new(log_weights)? });
        Ok(self)
    }

    /// Bytes of log likelihoods held at a time, 64 MiB unless said otherwise; at least the terms of one observation are held.
    /// Scratch memory, up to half as much, comes on top.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Number of observations, at least 1.
    #[must_use]
    pub fn n_observations(&self) -> usize {
        self.n_observations
    }

    /// Number of draws, of all chains together, at least 1.
    #[must_use]
    pub fn n_draws(&self) -> usize {
        self.n_draws
    }

    /// Calls `f(scratch, terms, sample)` for every observation, and `finish(scratch)` for every group of them that shared one, in their order.
    ///
    /// # Errors
    /// What the source reports; [`Error::Observation`] for a term that is not finite, or with what `f` reports.
    pub(super) fn map<S: Default + Send, R: Send>(
        &mut self,
        f: impl Fn(&mut S, &[f64], Sample<'_>) -> Result<R> + Sync,
        mut finish: impl FnMut(S),
    ) -> Result<Vec<R>> {
        let n_draws = self.n_draws;
        let at_a_time = (self.memory / (n_draws * size_of::<f64>())).clamp(1, self.n_observations);
        let mut terms = vec![0.0; at_a_time * n_draws];
        let mut results = Vec::with_capacity(self.n_observations);
        for start in (0..self.n_observations).step_by(at_a_time) {
            let observations = start..self.n_observations.min(start + at_a_time);
            let terms = &mut terms[..observations.len() * n_draws];
            (self.source)(observations.clone(), terms)?;
            let sample = self.sample();
            let parts = map_indexed(observations.len().div_ceil(OBSERVATIONS_PER_TASK), None, |part| -> Result<(Vec<R>, S)> {
                let mut scratch = S::default();
                let first = part * OBSERVATIONS_PER_TASK;
                let rows = terms.chunks_exact(n_draws).enumerate().skip(first).take(OBSERVATIONS_PER_TASK);
                let results = rows.map(|(i, row)| {
                    let result = all_finite(row).and_then(|()| f(&mut scratch, row, sample));
                    result.map_err(|source| Error::Observation { index: start + i, source: Box::new(source) })
                });
                let results = results.collect::<Result<Vec<R>>>()?;
                Ok((results, scratch))
            });
            for part in parts {
                let (part, scratch) = part?;
                results.extend(part);
                finish(scratch);
            }
        }
        Ok(results)
    }

    pub(super) fn sample(&self) -> Sample<'_> {
        Sample { efficiency: self.efficiency, weights: self.weights.as_ref() }
    }
}

/// What is known of the draws.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'a> {
    efficiency: Efficiency,
    pub(super) weights: Option<&'a Weights<'a>>,
}

impl Sample<'_> {
    /// Effective sample size per draw for the mean of a quantity; 1 where it cannot be estimated.
    pub(super) fn efficiency(&self, values: &[f64]) -> f64 {
        let n_chains = match self.efficiency {
            Efficiency::Known(efficiency) => return efficiency,
            Efficiency::Chains(n_chains) => n_chains,
        };
        let view = ArrayView2::from_shape((n_chains, values.len() / n_chains), values).ok();
        let ess = view.and_then(Chains::new).and_then(|chains| ess(&chains.split()));
        ess.map_or(1.0, |ess| ess / values.len() as f64)
    }
}

impl Debug for PointwiseLogLikelihood<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("PointwiseLogLikelihood")
            .field("n_observations", &self.n_observations)
            .field("n_draws", &self.n_draws)
            .field("efficiency", &self.efficiency)
            .field("weighted", &self.weights.is_some())
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

fn all_finite(terms: &[f64]) -> Result<()> {
    match terms.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(Error::NotFinite { what: "log likelihoods", index, value: terms[index] }),
        None => Ok(()),
    }
}

/// The terms of some observations at some positions, the first of which has this index, position by position.
fn terms_of<T: Target + ?Sized>(
    target: &T,
    positions: &[f64],
    first: usize,
    observations: &Range<usize>,
    n_observations: usize,
) -> Result<Vec<f64>> {
    let mut evaluator = target.evaluator()?;
    let dim = evaluator.dim();
    let mut terms = Vec::with_capacity(n_observations);
    let mut out = Vec::with_capacity(positions.len() / dim * observations.len());
    for (i, position) in positions.chunks_exact(dim).enumerate() {
        let at = |source| Error::Position { index: first + i, source };
        evaluator.log_likelihood_terms(position, &mut terms).map_err(at)?;
        if terms.len() != n_observations {
            let (expected, found) = (n_observations, terms.len());
            return Err(at(DensityError::Length { what: "log-likelihood terms", expected, found }));
        }
        out.extend_from_slice(&terms[observations.clone()]);
    }
    Ok(out)
}
