//! Forward filtering, backward sampling: paths drawn backwards through the clouds of a filter.

use super::backward_kernels::{Exact, Fault, Mcmc, Rejection, Step};
use super::error::SmoothingError;
use super::genealogy::{all_equal, complete_history, draw_last};
use super::guide_table::GuideTable;
use super::paths::Paths;
use super::{BLOCK, stream};
use crate::error::check;
use crate::model::{StateSpaceModel, TransitionDensity};
use crate::parallel::{PerBlock, Threads};
use crate::smc::{Smc, StateSpaceAdapter};

/// How the particle before is drawn, given the state after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackwardSampling {
    /// From all N particles by their backward weights: N transition densities and exponentials per path and step, shared by paths that are
    /// at the same particle.
    ///
    /// Source: S. J. Godsill, A. Doucet and M. West 2004, doi:10.1198/016214504000000151.
    Exact,
    /// From the filter's weights, accepted with probability p / bound; after `max_tries` (0 allowed) the exact way. The same law as
    /// [`BackwardSampling::Exact`]. Needs [`TransitionDensity::log_transition_bound`]. A try costs about as much as ten particles of the
    /// exact
    /// way, so `max_tries` near N / 10 loses at most half.
    ///
    /// Source: R. Douc, A. Garivier, E. Moulines and J. Olsson 2011, doi:10.1214/10-AAP735.
    Rejection {
        /// Tries before the exact way is taken.
        max_tries: usize,
    },
    /// By `n_steps` steps of independent Metropolis-Hastings with the filter's weights as the proposal, started from the particle's own
    /// parent, which follows the law already: consistent with one step, and the cheapest way (two densities per path and step). More
    /// steps make paths less dependent on the genealogy.
    ///
    /// Source: P. Bunch and S. Godsill 2013, doi:10.1109/TSP.2012.2226165; H.-D. Dau and N. Chopin 2023, arXiv:2207.00976.
    Mcmc {
        /// Metropolis-Hastings steps, at least 1.
        n_steps: usize,
    },
}

impl Default for BackwardSampling {
    /// One MCMC step.
    fn default() -> Self {
        Self::Mcmc { n_steps: 1 }
    }
}

/// Clouds and path sets that take less work than this, in transition densities per step, stay on one thread.
const LEAST_TO_SHARE: usize = 10_000;

/// Draws `n_paths` equally weighted paths of the smoothing law from a run that kept its history.
///
/// ```text
/// a_{T-1} ~ W_{T-1}      P(a_t = i | x_{t+1}) ∝ W_t^i p_{t+1}(x_{t+1} | x_t^i)
/// ```
/// W_t are the normalised weights after observation t and before resampling. Paths are independent given the clouds, and the same on any
/// number of threads (those of the run's settings). Memory: the paths, and O(N) beside them. Not for models without a transition density,
/// or with one that knows too few ancestors per state (almost deterministic moves): paths then follow the genealogy whatever the method.
///
/// # Errors
/// [`SmoothingError::NotStarted`], [`SmoothingError::NoHistory`] and [`SmoothingError::HistoryTruncated`] if the run does not have every
/// step; [`SmoothingError::Setting`] if `n_paths` or the number of MCMC steps is 0; [`SmoothingError::NoBound`] and
/// [`SmoothingError::BoundExceeded`] for rejection; [`SmoothingError::NotFinite`] and [`SmoothingError::Unreachable`] if the transition
/// density does not fit the moves that the filter made.
pub fn backward_sample<A>(
    smc: &Smc<A>,
    n_paths: usize,
    method: BackwardSampling,
    seed: u64,
) -> Result<Paths<<A::Model as StateSpaceModel>::State>, SmoothingError>
where
    A: StateSpaceAdapter,
    A::Model: TransitionDensity,
{
    let history = complete_history(smc)?;
    check::at_least("n_paths", n_paths, 1, "at least 1")?;
    if let BackwardSampling::Mcmc { n_steps } = method {
        check::at_least("n_steps", n_steps, 1, "at least 1")?;
    }
    let (model, n_steps) = (smc.model().state_space(), history.len());
    let work = match method {
        BackwardSampling::Exact => n_paths.saturating_mul(smc.config().n_particles),
        _ => n_paths,
    };
    let threads = smc.config().threads.for_at_least(LEAST_TO_SHARE, work);
    let mut table = GuideTable::default();
    let mut states = vec![Default::default(); n_steps * n_paths];
    let mut slots = vec![0; n_paths];
    let mut parents = Parents::new(n_paths);
    let mut coalesced_before = None;
    draw_last(history, seed, &mut slots)?;
    threads.install(|| {
        let generations: Vec<_> = history.generations().collect();
        for t in (0..n_steps).rev() {
            let generation = generations[t];
            if let Some(&next) = generations.get(t + 1) {
                let step = Step { model, t: t + 1, generation, next };
                if method != BackwardSampling::Exact {
                    table.build(&generation.log_weights);
                }
                let draws = Draws { seed, threads: &threads, slots: &mut slots };
                match method {
                    BackwardSampling::Exact => parents.draw_in_order_of_slots(draws, &step, || Exact::new(&step))?,
                    BackwardSampling::Mcmc { n_steps } => {
                        parents.draw(draws, &step, || Mcmc { step: &step, table: &table, n_steps })?
                    }
                    BackwardSampling::Rejection { max_tries } => {
                        let bound = model.log_transition_bound(t + 1).ok_or(SmoothingError::NoBound { step: t + 1 })?;
                        parents.draw(draws, &step, || Rejection::new(&step, &table, bound, max_tries))?;
                    }
                }
            }
            let row = &mut states[t * n_paths..][..n_paths];
            for (state, &slot) in row.iter_mut().zip(&slots) {
                *state = generation.population[slot as usize];
            }
            // Backward sampling can part what has met: what counts is a run of equal rows from step 0.
            coalesced_before = if n_paths > 1 && all_equal(&slots) { coalesced_before.or(Some(t + 1)) } else { None };
        }
        Ok(Paths { first_step: 0, n_paths, states, coalesced_before })
    })
}

/// What draws the slot of a parent for a child.
pub(super) trait DrawParent {
    fn parent(&mut self, child: u32, u: &mut crate::rng::Stream) -> Result<u32, Fault>;
}

/// The slots of the step after, replaced by slots of the step before.
struct Draws<'a> {
    seed: u64,
    threads: &'a Threads,
    slots: &'a mut [u32],
}

/// Scratch memory of one backward step.
struct Parents {
    slots: Vec<u32>,
    order: Vec<u32>,
    faults: Vec<Option<Fault>>,
}

impl Parents {
    fn new(n_paths: usize) -> Self {
        Self { slots: vec![0; n_paths], order: (0..n_paths as u32).collect(), faults: vec![None; n_paths.div_ceil(BLOCK)] }
    }

    /// Replaces every child by its parent, block by block.
    fn draw<M, D: DrawParent>(
        &mut self,
        draws: Draws<'_>,
        step: &Step<'_, M>,
        kernel: impl Fn() -> D + Sync,
    ) -> Result<(), SmoothingError>
    where
        M: TransitionDensity,
    {
        let Draws { seed, threads, slots } = draws;
        self.faults.fill(None);
        let data = (&mut *slots, PerBlock::new(&mut self.faults, BLOCK));
        threads.for_each_block(data, BLOCK, |block, (slots, mut fault)| {
            let (mut rng, mut kernel) = (stream(seed, step.t - 1, block), kernel());
            for slot in slots {
                match kernel.parent(*slot, &mut rng) {
                    Ok(parent) => *slot = parent,
                    Err(found) => return fault.set(Some(found)),
                }
            }
        });
        match self.faults.iter().flatten().next() {
            None => Ok(()),
            Some(fault) => Err(fault.at(step.t)),
        }
    }

    /// The same in the order of the children, so that those of one slot follow each other.
    fn draw_in_order_of_slots<M, D: DrawParent>(
        &mut self,
        draws: Draws<'_>,
        step: &Step<'_, M>,
        kernel: impl Fn() -> D + Sync,
    ) -> Result<(), SmoothingError>
    where
        M: TransitionDensity,
    {
        let children = draws.slots;
        // Paths at one slot are interchangeable: the order among them is fixed, so that results are.
        self.order.sort_unstable_by_key(|&path| (children[path as usize], path));
        let mut sorted = std::mem::take(&mut self.slots);
        for (slot, &path) in sorted.iter_mut().zip(&self.order) {
            *slot = children[path as usize];
        }
        let done = self.draw(Draws { slots: &mut sorted, ..draws }, step, kernel);
        for (&slot, &path) in sorted.iter().zip(&self.order) {
            children[path as usize] = slot;
        }
        self.slots = sorted;
        done
    }
}
