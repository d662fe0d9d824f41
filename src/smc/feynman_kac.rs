//! The model's side of the engine, for the whole cloud at once.

use super::populations::Population;
use crate::parallel::Threads;
use crate::rng::{Purpose, Stream};
use crate::weights::{Resample, Status, Weights};

/// A Feynman-Kac model: how a cloud of particles starts and moves, and the log-potentials that weigh it.
///
/// ```text
/// target at step t:  M₀(dx₀) G₀(x₀) Π_s M_s(x_{s-1}, dx_s) G_s(x_{s-1}, x_s) / Z_t
/// ```
/// The engine never looks at particles: it sees increments of log-weights and a status per slot. Most users write a
/// [`StateSpaceModel`](crate::model::StateSpaceModel) instead, and hand it to an adapter such as [`Bootstrap`](super::Bootstrap).
/// One call handles the whole cloud, so that a step is one pass over memory, or one request to a server.
///
/// Filters write their increments in `step`; samplers, whose next potential is chosen from the cloud, write them in `plan`. Source: P. Del
/// Moral, *Feynman-Kac Formulae*, 2004, doi:10.1007/978-1-4684-9393-1; N. Chopin and O. Papaspiliopoulos, *An Introduction to Sequential
/// Monte Carlo*, 2020, doi:10.1007/978-3-030-47845-2.
pub trait FeynmanKac: Send {
    /// Where its particles live.
    type Population: Population;
    /// What can go wrong in its code.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Draws the first particles into every slot of `to` and writes their log G₀.
    ///
    /// # Errors
    /// The model's own; the engine has not started then.
    fn init(&mut self, to: Moved<'_, Self::Population>, streams: Streams, threads: &Threads) -> Result<(), Self::Error>;

    /// Looks at the weighted cloud before step `t` and says what is to be done: stop, resample or not, with how many children. May write
    /// increments of the *current* cloud, which count before resampling, and a look-ahead. The default resamples when the effective sample
    /// size asks for it, and never stops.
    ///
    /// # Errors
    /// The model's own; nothing has changed then.
    fn plan(&mut self, _t: usize, _view: View<'_, Self::Population>, _ahead: Ahead<'_>) -> Result<Plan, Self::Error> {
        Ok(Plan::default())
    }

    /// Moves the named slots from step `t - 1` to `t`, and writes their log G_t and, where it is not live any more, their status.
    ///
    /// Slots that are left [`Status::Pending`] are asked for again with the same streams; what the others got is kept.
    ///
    /// # Errors
    /// The model's own; the engine is then as before, and the step can be made again. A slot with status [`Status::Failed`] is named in
    /// the engine's error.
    fn step(&mut self, from: Move<'_, Self::Population>, to: Moved<'_, Self::Population>) -> Result<(), Self::Error>;
}

/// The weighted cloud, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, P> {
    /// The particles.
    pub population: &'a P,
    /// Their weights.
    pub weights: Weights<'a>,
    /// Status per slot.
    pub status: &'a [Status],
}

/// Where a plan writes what counts before the move.
#[derive(Debug)]
pub struct Ahead<'a> {
    pub(super) n: usize,
    pub(super) log_increments: &'a mut Vec<f64>,
    pub(super) log_eta: &'a mut Vec<f64>,
    pub(super) has_increments: &'a mut bool,
    pub(super) has_eta: &'a mut bool,
}

impl Ahead<'_> {
    /// Increments of the current cloud's log-weights, one per slot, 0 at first. Once asked for, they are applied, unless the plan is to stop.
    pub fn log_increments(&mut self) -> &mut [f64] {
        *self.has_increments = true;
        self.log_increments.clear();
        self.log_increments.resize(self.n, 0.0);
        self.log_increments
    }

    /// The look-ahead log η per slot, 0 at first. Once asked for, ancestors are drawn with weights w e^η, and carry w / e^η on.
    pub fn log_eta(&mut self) -> &mut [f64] {
        *self.has_eta = true;
        self.log_eta.clear();
        self.log_eta.resize(self.n, 0.0);
        self.log_eta
    }
}

/// What is to be done in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// True if there is no such step: the run is over, for now.
    pub stop: bool,
    /// Whether to resample.
    pub resample: Resample,
    /// Number of ancestors to draw; `None` means as many as there are slots.
    pub n_resample: Option<usize>,
    /// Children per ancestor: more than 1 makes a waste-free sampler, and forces resampling.
    pub copies: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { stop: false, resample: Resample::Auto, n_resample: None, copies: 1 }
    }
}

impl Plan {
    /// The plan that ends the run.
    #[must_use]
    pub fn stop() -> Self {
        Self { stop: true, ..Self::default() }
    }
}

/// Where the children come from.
#[derive(Debug)]
pub struct Move<'a, P> {
    /// Step to move to, at least 1.
    pub t: usize,
    /// The parents. Mutable for populations that hand their particles on instead of copying them
    /// ([`Population::is_consumed`]); everything else only reads.
    pub parents: &'a mut P,
    /// Ancestors: the child in slot `c` comes from parent `ancestors[c / copies]`.
    pub ancestors: &'a [u32],
    /// Children per ancestor.
    pub copies: usize,
    /// True if the ancestors were drawn; otherwise every slot goes on from itself.
    pub resampled: bool,
    /// The slots to move.
    pub slots: Slots<'a>,
    /// The parents' weights, increments of the plan included, before resampling.
    pub weights: Weights<'a>,
    /// Random streams of this step.
    pub streams: Streams,
    /// Number of earlier attempts at this step.
    pub attempt: u32,
    /// Threads that may be used.
    pub threads: &'a Threads,
}

/// Where the children go.
#[derive(Debug)]
pub struct Moved<'a, P> {
    /// The children.
    pub children: &'a mut P,
    /// Their log G_t.
    pub log_increments: &'a mut [f64],
    /// Their status, live at first.
    pub status: &'a mut [Status],
}

/// The slots that a step is to move.
#[derive(Debug, Clone, Copy)]
pub enum Slots<'a> {
    /// Slots 0 to n - 1.
    All(usize),
    /// Slots 0 to n - 1 but one, which holds a pinned reference: moving it too does no harm, it is overwritten.
    AllBut(usize, u32),
    /// These.
    Some(&'a [u32]),
}

impl<'a> Slots<'a> {
    /// The slots in order.
    pub fn iter(self) -> impl Iterator<Item = usize> + 'a {
        let (range, but, list) = match self {
            Self::All(n) => (0..n, usize::MAX, [].as_slice()),
            Self::AllBut(n, slot) => (0..n, slot as usize, [].as_slice()),
            Self::Some(list) => (0..0, usize::MAX, list),
        };
        range.filter(move |&slot| slot != but).chain(list.iter().map(|&slot| slot as usize))
    }

    /// Number of slots.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Self::All(n) => n,
            Self::AllBut(n, _) => n - 1,
            Self::Some(list) => list.len(),
        }
    }

    /// True if there is nothing to move.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// True if the slot is to be moved.
    #[must_use]
    pub fn contains(self, slot: usize) -> bool {
        match self {
            Self::All(n) => slot < n,
            Self::AllBut(n, but) => slot < n && slot != but as usize,
            Self::Some(list) => list.iter().any(|&s| s as usize == slot),
        }
    }
}

/// The random streams of one step, keyed by block or by slot: independent of threads and of the order of completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    seed: u64,
    step: u64,
}

impl Streams {
    /// The streams of a step.
    #[must_use]
    pub fn new(seed: u64, step: u64) -> Self {
        Self { seed, step }
    }

    /// The stream of a block of constant size.
    #[must_use]
    pub fn block(&self, block: usize) -> Stream {
        Stream::keyed(self.seed, Purpose::Particle, self.step, block as u64)
    }

    /// The stream of a slot, independent of those of blocks.
    #[must_use]
    pub fn slot(&self, slot: usize) -> Stream {
        Stream::keyed(self.seed, Purpose::Particle, self.step, slot as u64 | 1 << 63)
    }
}
