//! The ways to draw one parent backwards.

use super::backward::DrawParent;
use super::error::SmoothingError;
use super::guide_table::GuideTable;
use crate::math::vectorised;
use crate::model::TransitionDensity;
use crate::rng::Stream;
use crate::smc::Generation;

/// The move into step t, seen backwards.
pub(super) struct Step<'a, M: TransitionDensity> {
    pub(super) model: &'a M,
    pub(super) t: usize,
    /// The cloud of step t - 1.
    pub(super) generation: &'a Generation<Vec<M::State>>,
    /// The cloud of step t.
    pub(super) next: &'a Generation<Vec<M::State>>,
}

impl<M: TransitionDensity> Step<'_, M> {
    fn log_transition(&self, parent: usize, child: u32) -> Result<f64, Fault> {
        let value = self.model.log_transition(self.t, &self.generation.population[parent], &self.next.population[child as usize]);
        if value < f64::INFINITY { Ok(value) } else { Err(Fault::NotFinite(value)) }
    }
}

/// What is wrong with a transition density.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    NotFinite(f64),
    Unreachable,
    BoundExceeded { log_density: f64, bound: f64 },
}

impl Fault {
    pub(super) fn at(self, step: usize) -> SmoothingError {
        match self {
            Self::NotFinite(value) => SmoothingError::NotFinite { step, value },
            Self::Unreachable => SmoothingError::Unreachable { step },
            Self::BoundExceeded { log_density, bound } => SmoothingError::BoundExceeded { step, log_density, bound },
        }
    }
}

/// Independent Metropolis-Hastings from the genealogy.
pub(super) struct Mcmc<'a, M: TransitionDensity> {
    pub(super) step: &'a Step<'a, M>,
    pub(super) table: &'a GuideTable,
    pub(super) n_steps: usize,
}

impl<M: TransitionDensity> DrawParent for Mcmc<'_, M> {
    #[inline]
    fn parent(&mut self, child: u32, rng: &mut Stream) -> Result<u32, Fault> {
        let mut parent = self.step.next.parent(child as usize).unwrap_or(0);
        let mut log_density = self.step.log_transition(parent, child)?;
        if log_density == f64::NEG_INFINITY {
            return Err(Fault::Unreachable);
        }
        for _ in 0..self.n_steps {
            let proposal = self.table.slot(rng.uniform());
            let proposed = self.step.log_transition(proposal, child)?;
            let log_ratio = proposed - log_density;
            if log_ratio >= 0.0 || rng.uniform() < log_ratio.exp() {
                (parent, log_density) = (proposal, proposed);
            }
        }
        Ok(parent as u32)
    }
}

/// Rejection from the filter's weights.
pub(super) struct Rejection<'a, M: TransitionDensity> {
    table: &'a GuideTable,
    bound: f64,
    max_tries: usize,
    otherwise: Exact<'a, M>,
}

/// Slack of a bound, relative to 1 + |bound|: a few roundings of a density written in another form than its bound.
const SLACK: f64 = 1e-12;

impl<'a, M: TransitionDensity> Rejection<'a, M> {
    pub(super) fn new(step: &'a Step<'a, M>, table: &'a GuideTable, bound: f64, max_tries: usize) -> Self {
        Self { table, bound, max_tries, otherwise: Exact::new(step) }
    }
}

impl<M: TransitionDensity> DrawParent for Rejection<'_, M> {
    #[inline]
    fn parent(&mut self, child: u32, rng: &mut Stream) -> Result<u32, Fault> {
        let bound = self.bound;
        for _ in 0..self.max_tries {
            let proposal = self.table.slot(rng.uniform());
            let log_density = self.otherwise.step.log_transition(proposal, child)?;
            if !(log_density - bound <= SLACK * (1.0 + bound.abs())) {
                return Err(Fault::BoundExceeded { log_density, bound });
            }
            if rng.uniform() < (log_density - bound).exp() {
                return Ok(proposal as u32);
            }
        }
        self.otherwise.parent(child, rng)
    }
}

/// Inversion of the backward weights of all particles.
pub(super) struct Exact<'a, M: TransitionDensity> {
    step: &'a Step<'a, M>,
    /// The child whose weights are at hand.
    child: Option<u32>,
    log_weights: Vec<f64>,
    weights: Vec<f64>,
    /// Sums of the weights in chunks of `CHUNK`.
    sums: Vec<f64>,
    total: f64,
}

/// Weights per partial sum: the search goes by chunks first.
const CHUNK: usize = 128;

impl<'a, M: TransitionDensity> Exact<'a, M> {
    pub(super) fn new(step: &'a Step<'a, M>) -> Self {
        Self { step, child: None, log_weights: Vec::new(), weights: Vec::new(), sums: Vec::new(), total: 0.0 }
    }

    /// Computes the backward weights of a child, relative to the largest.
    fn weigh(&mut self, child: u32) -> Result<(), Fault> {
        let Step { model, t, generation, next } = self.step;
        let n = generation.log_weights.len();
        self.log_weights.resize(n, 0.0);
        self.weights.resize(n, 0.0);
        model.log_transition_block(*t, &generation.population, &next.population[child as usize], &mut self.weights);
        let largest = vectorised::add_max(&generation.log_weights, &self.weights, &mut self.log_weights);
        if largest == f64::NEG_INFINITY {
            return Err(Fault::Unreachable);
        }
        if !(largest < f64::INFINITY) {
            let bad = self.weights.iter().find(|v| v.is_nan() || **v == f64::INFINITY);
            return Err(Fault::NotFinite(bad.copied().unwrap_or(largest)));
        }
        self.sums.clear();
        let chunks = self.log_weights.chunks(CHUNK).zip(self.weights.chunks_mut(CHUNK));
        self.sums.extend(chunks.map(|(log_weights, weights)| vectorised::max_exp(log_weights, largest, weights).1));
        self.total = self.sums.iter().sum();
        self.child = Some(child);
        Ok(())
    }

    /// The slot at a uniform number in [0, 1), never one of weight 0.
    fn slot(&self, u: f64) -> usize {
        let mut rest = u * self.total;
        // What rounding lets through belongs to the last positive weight seen.
        let mut last = 0;
        for ((index, weights), &sum) in self.weights.chunks(CHUNK).enumerate().zip(&self.sums) {
            if rest < sum {
                for (i, &w) in weights.iter().enumerate() {
                    if w > 0.0 {
                        last = index * CHUNK + i;
                    }
                    if rest < w {
                        return last;
                    }
                    rest -= w;
                }
                return last;
            }
            rest -= sum;
            if sum > 0.0 {
                last = index * CHUNK + weights.iter().rposition(|w| *w > 0.0).unwrap_or(0);
            }
        }
        last
    }
}

impl<M: TransitionDensity> DrawParent for Exact<'_, M> {
    #[inline]
    fn parent(&mut self, child: u32, rng: &mut Stream) -> Result<u32, Fault> {
        if self.child != Some(child) {
            self.weigh(child)?;
        }
        Ok(self.slot(rng.uniform()) as u32)
    }
}
