//! The engine: it drives a Feynman-Kac model and the weight machine, step by step.

use std::fmt;

use super::config::SmcConfig;
use super::error::SmcError;
use super::feynman_kac::{Ahead, FeynmanKac, Move, Moved, Plan, Slots, Streams, View};
use super::history::History;
use super::populations::Population;
use crate::parallel::Threads;
use crate::weights::{Pinned, Selection, Status, WeightMachine};

/// Clouds smaller than this are weighed on one thread: handing the work over would cost more than doing it.
const LEAST_TO_SHARE: usize = 4096;

/// What happened in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepInfo {
    /// The step.
    pub t: usize,
    /// Effective sample size after it.
    pub ess: f64,
    /// Log-evidence up to and including it.
    pub log_evidence: f64,
    /// True if ancestors were drawn before the move.
    pub resampled: bool,
}

/// What happened in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SmcSummary {
    /// Steps made, the first included.
    pub n_steps: usize,
    /// Log of the evidence estimate; the evidence itself is unbiased.
    pub log_evidence: f64,
    /// Estimate of the relative variance of the evidence from this one run
    /// ([`Genealogy::relative_variance`](crate::weights::Genealogy::relative_variance)); meant for multinomial resampling, and 1 once the
    /// genealogy has coalesced.
    pub relative_variance: f64,
    /// Effective sample size of the last cloud.
    pub ess: f64,
    /// Smallest effective sample size of all steps.
    pub least_ess: f64,
    /// Number of steps before which ancestors were drawn.
    pub n_resampled: usize,
    /// First particles that still have descendants.
    pub n_families: usize,
    /// Slots killed because they failed ([`SmcConfig::kill_failed`]).
    pub n_killed: usize,
}

/// The cloud after a step, for collectors.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a, P> {
    /// What happened.
    pub info: StepInfo,
    /// Particles and weights.
    pub view: View<'a, P>,
    /// Where the particles came from: slot `c` from slot `ancestors[c / copies]` of the cloud before; empty at step 0.
    pub ancestors: &'a [u32],
    /// Children per ancestor.
    pub copies: usize,
}

/// Something that looks at the cloud after every step, such as a running smoother or a plot. Closures over [`Snapshot`] are collectors.
pub trait Collector<P> {
    /// Looks at the cloud after a step.
    fn collect(&mut self, snapshot: &Snapshot<'_, P>);
}

impl<P, F: FnMut(&Snapshot<'_, P>)> Collector<P> for F {
    fn collect(&mut self, snapshot: &Snapshot<'_, P>) {
        self(snapshot);
    }
}

/// Sequential Monte Carlo over a [`FeynmanKac`] model.
///
/// [`Smc::step`] makes one step, [`Smc::run`] all that are left. After an error the cloud is what it was before the step, and calling again
/// makes the same step again; after the last step of a model more may follow, when it has got more data ([`Smc::model_mut`]).
///
/// ```
/// use posterity::model::zoo::Ar1;
/// use posterity::smc::{Bootstrap, Smc, SmcConfig};
/// let model = Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 1.0, y: vec![-1.45, 0.99, 1.2, f64::NAN, 0.3] };
/// let mut filter = Smc::new(Bootstrap(model), SmcConfig::new(10_000, 1))?;
/// let summary = filter.run()?;
/// // The Kalman filter's answer is -7.3116.
/// assert!((summary.log_evidence + 7.3116).abs() < 0.05);
/// # Ok::<(), posterity::Error>(())
/// ```
pub struct Smc<M: FeynmanKac> {
    model: M,
    config: SmcConfig,
    machine: WeightMachine,
    parents: M::Population,
    children: M::Population,
    log_increments: Vec<f64>,
    status: Vec<Status>,
    slots: Vec<u32>,
    ahead_increments: Vec<f64>,
    ahead_eta: Vec<f64>,
    connection: Vec<f64>,
    pending: Option<PendingMove>,
    started: bool,
    consumed: Option<usize>,
    history: History<M::Population>,
    least_ess: f64,
    n_killed: usize,
    pinned: Option<u32>,
}

/// A move that is decided and not committed.
#[derive(Debug, Clone, Copy)]
struct PendingMove {
    resampled: bool,
    pinned: Option<u32>,
    attempt: u32,
    /// True if `slots` lists what is left to move.
    partial: bool,
}

/// How the reference of a conditional sweep enters the engine.
pub(super) trait Reference<M: FeynmanKac> {
    /// Where it starts. A fixed slot would be wrong for schemes that depend on the order of slots.
    fn first_slot(&self) -> u32;

    fn pin(
        &mut self,
        model: &mut M,
        t: usize,
        parents: Option<(&M::Population, u32)>,
        children: &mut M::Population,
        slot: usize,
    ) -> Result<(f64, Status), M::Error>;

    /// True if `out` was filled.
    fn log_connection(&mut self, model: &mut M, t: usize, parents: &M::Population, out: &mut [f64]) -> Result<bool, M::Error>;
}

type Pinning<'a, M> = Option<&'a mut (dyn Reference<M> + Send)>;

impl<M: FeynmanKac> Smc<M> {
    /// An engine that has not started.
    ///
    /// # Errors
    /// As [`SmcConfig::validate`].
    pub fn new(model: M, config: SmcConfig) -> Result<Self, SmcError<M::Error>> {
        config.validate()?;
        Ok(Self {
            machine: WeightMachine::new(config.weights, config.seed)?,
            history: History::new(config.keep),
            model,
            config,
            parents: M::Population::default(),
            children: M::Population::default(),
            log_increments: Vec::new(),
            status: Vec::new(),
            slots: Vec::new(),
            ahead_increments: Vec::new(),
            ahead_eta: Vec::new(),
            connection: Vec::new(),
            pending: None,
            started: false,
            consumed: None,
            least_ess: f64::INFINITY,
            n_killed: 0,
            pinned: None,
        })
    }

    /// Makes the next step; `None` if there is none.
    ///
    /// # Errors
    /// Any [`SmcError`]. The cloud is then as before, and calling again makes the same step again, with the same ancestors, unless the
    /// population was consumed.
    pub fn step(&mut self) -> Result<Option<StepInfo>, SmcError<M::Error>> {
        self.step_on_threads(None)
    }

    /// Makes all steps that are left.
    ///
    /// # Errors
    /// As [`Smc::step`].
    pub fn run(&mut self) -> Result<SmcSummary, SmcError<M::Error>> {
        let threads = self.threads();
        threads.install(|| {
            while self.step_with(None)?.is_some() {}
            Ok(self.summary())
        })
    }

    /// Makes all steps that are left, and shows each cloud to the collector.
    ///
    /// # Errors
    /// As [`Smc::step`].
    pub fn run_with(&mut self, collector: &mut dyn Collector<M::Population>) -> Result<SmcSummary, SmcError<M::Error>> {
        while let Some(info) = self.step()? {
            collector.collect(&self.snapshot(info));
        }
        Ok(self.summary())
    }

    /// Starts afresh with another seed; memory is kept.
    pub fn restart(&mut self, seed: u64) {
        self.config.seed = seed;
        self.machine.reset(seed);
        self.parents.resize(0);
        self.started = false;
        self.pending = None;
        self.consumed = None;
        self.history.clear();
        self.least_ess = f64::INFINITY;
        self.n_killed = 0;
        self.pinned = None;
    }

    /// The model.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The model, to give it more data or to mend what failed.
    pub fn model_mut(&mut self) -> &mut M {
        &mut self.model
    }

    /// The model and the generations kept, at once.
    pub(super) fn model_and_history(&mut self) -> (&mut M, &History<M::Population>) {
        (&mut self.model, &self.history)
    }

    /// Gives the model back.
    pub fn into_model(self) -> M {
        self.model
    }

    /// The settings.
    pub fn config(&self) -> &SmcConfig {
        &self.config
    }

    /// Particles and weights; empty before the first step.
    pub fn view(&self) -> View<'_, M::Population> {
        View { population: &self.parents, weights: self.machine.weights(), status: self.machine.status() }
    }

    /// The cloud after the step that `info` tells of, which must be the last one made, and none tried since.
    pub fn snapshot(&self, info: StepInfo) -> Snapshot<'_, M::Population> {
        let (ancestors, copies) = if info.t == 0 { (&[][..], 1) } else { (self.machine.ancestors(), self.machine.copies()) };
        Snapshot { info, view: self.view(), ancestors, copies }
    }

    /// The weight machine: log-weights, evidence, genealogy.
    pub fn machine(&self) -> &WeightMachine {
        &self.machine
    }

    /// The generations that [`SmcConfig::keep`] asked for.
    pub fn history(&self) -> &History<M::Population> {
        &self.history
    }

    /// The slot of the pinned reference in the present cloud, in a conditional sweep.
    pub(super) fn pinned_slot(&self) -> Option<u32> {
        self.pinned
    }

    /// What happened so far.
    pub fn summary(&self) -> SmcSummary {
        let started = self.started;
        SmcSummary {
            n_steps: if started { self.machine.step() as usize + 1 } else { 0 },
            log_evidence: if started { self.machine.log_evidence() } else { 0.0 },
            relative_variance: if started { self.machine.relative_variance() } else { 0.0 },
            ess: if started { self.machine.ess() } else { 0.0 },
            least_ess: if started { self.least_ess } else { 0.0 },
            n_resampled: self.machine.genealogy().n_resampled(),
            n_families: self.machine.genealogy().n_families(),
            n_killed: self.n_killed,
        }
    }

    fn threads(&self) -> Threads {
        self.config.threads.for_at_least(LEAST_TO_SHARE, self.config.n_particles)
    }

    pub(super) fn step_on_threads(&mut self, reference: Pinning<'_, M>) -> Result<Option<StepInfo>, SmcError<M::Error>> {
        let threads = self.threads();
        threads.install(|| self.step_with(reference))
    }

    fn step_with(&mut self, mut reference: Pinning<'_, M>) -> Result<Option<StepInfo>, SmcError<M::Error>> {
        if let Some(step) = self.consumed {
            return Err(SmcError::Consumed { step });
        }
        if !self.started {
            return self.start(reference).map(Some);
        }
        let t = self.machine.step() as usize + 1;
        let move_ = match self.pending {
            Some(pending) => pending,
            None => match self.decide(t, &mut reference)? {
                None => return Ok(None),
                Some(pending) => pending,
            },
        };
        self.pending = Some(move_);
        if let Err(error) = self.make_move(t, &mut reference) {
            let is_lost = !matches!(error, SmcError::Pending { .. });
            if is_lost && self.parents.is_consumed() {
                self.consumed = Some(t);
            }
            return Err(error);
        }
        let resampled = move_.resampled;
        self.pending = None;
        self.pinned = move_.pinned;
        Ok(Some(self.finish(t, resampled)))
    }

    fn finish(&mut self, t: usize, resampled: bool) -> StepInfo {
        let ess = self.machine.ess();
        self.least_ess = self.least_ess.min(ess);
        let (ancestors, copies) = if t == 0 { (&[][..], 1) } else { (self.machine.ancestors(), self.machine.copies()) };
        self.history.push(&self.parents, self.machine.log_weights(), ancestors, copies);
        StepInfo { t, ess, log_evidence: self.machine.log_evidence(), resampled }
    }

    fn start(&mut self, reference: Pinning<'_, M>) -> Result<StepInfo, SmcError<M::Error>> {
        let n = self.config.n_particles;
        self.children.resize(n);
        self.log_increments.resize(n, 0.0);
        self.status.clear();
        self.status.resize(n, Status::Live);
        let to = Moved { children: &mut self.children, log_increments: &mut self.log_increments, status: &mut self.status };
        let done = self.model.init(to, Streams::new(self.config.seed, 0), &self.config.threads);
        self.check_model(0, done)?;
        if let Some(reference) = reference {
            let slot = reference.first_slot();
            let pinned = reference.pin(&mut self.model, 0, None, &mut self.children, slot as usize);
            let (log_g, status) = pinned.map_err(|source| SmcError::Model { step: 0, slot: Some(slot), source })?;
            (self.log_increments[slot as usize], self.status[slot as usize]) = (log_g, status);
            self.pinned = Some(slot);
        }
        let n_killed = self.settle_failed(0, |_, _| ())?;
        if let Some(slot) = self.status.iter().position(|s| *s == Status::Pending) {
            return Err(SmcError::Pending { step: 0, slot: slot as u32, attempts: 1 });
        }
        let threads = self.threads();
        self.machine.start(&self.log_increments, &threads).map_err(SmcError::at(0))?;
        self.n_killed = n_killed;
        self.machine.set_status(&self.status).map_err(SmcError::at(0))?;
        std::mem::swap(&mut self.parents, &mut self.children);
        self.started = true;
        Ok(self.finish(0, false))
    }

    /// Asks the model for its plan, and draws ancestors.
    fn decide(&mut self, t: usize, reference: &mut Pinning<'_, M>) -> Result<Option<PendingMove>, SmcError<M::Error>> {
        let threads = self.threads();
        self.machine.rollback();
        let (mut has_increments, mut has_eta) = (false, false);
        let view = View { population: &self.parents, weights: self.machine.weights(), status: self.machine.status() };
        let ahead = Ahead {
            n: self.machine.len(),
            log_increments: &mut self.ahead_increments,
            log_eta: &mut self.ahead_eta,
            has_increments: &mut has_increments,
            has_eta: &mut has_eta,
        };
        let plan = self.model.plan(t, view, ahead).map_err(|source| SmcError::Model { step: t, slot: None, source })?;
        let Plan { stop, resample, n_resample, copies } = plan;
        let step = SmcError::at(t);
        if stop || self.machine.is_frozen() {
            return Ok(None);
        }
        if has_increments {
            self.machine.tilt(&self.ahead_increments, &threads).map_err(&step)?;
        }
        let mut connected = false;
        if let (Some(reference), Some(_)) = (reference.as_deref_mut(), self.pinned) {
            self.connection.resize(self.machine.len(), 0.0);
            let filled = reference.log_connection(&mut self.model, t, &self.parents, &mut self.connection);
            connected = filled.map_err(|source| SmcError::Model { step: t, slot: self.pinned, source })?;
        }
        let pinned = self.pinned.map(|slot| Pinned { slot, log_connection: connected.then_some(self.connection.as_slice()) });
        let selection = Selection {
            resample,
            n_resample: n_resample.unwrap_or(self.machine.len()),
            copies,
            log_eta: has_eta.then_some(self.ahead_eta.as_slice()),
            pinned,
        };
        let selected = self.machine.select(selection, &threads).map_err(step)?;
        Ok(Some(PendingMove { resampled: selected.resampled, pinned: selected.pinned, attempt: 0, partial: false }))
    }

    /// Moves what is left to move, and commits.
    fn make_move(&mut self, t: usize, reference: &mut Pinning<'_, M>) -> Result<(), SmcError<M::Error>> {
        let Some(PendingMove { resampled, pinned, attempt, partial }) = self.pending else { return Ok(()) };
        let copies = self.machine.copies();
        let n_children = self.machine.ancestors().len() * copies;
        if !partial {
            self.children.resize(n_children);
            self.log_increments.resize(n_children, 0.0);
            self.status.clear();
            self.status.extend_from_slice(self.machine.staged_status());
            if self.machine.is_any_staged_frozen() {
                self.carry_frozen(pinned);
            }
        }
        let is_listed = partial || self.machine.is_any_staged_frozen();
        let mut first = attempt;
        loop {
            let is_again = partial || first > attempt;
            if is_again {
                for &slot in &self.slots {
                    self.status[slot as usize] = Status::Live;
                }
            }
            let slots = match pinned {
                _ if is_listed || is_again => Slots::Some(&self.slots),
                Some(slot) => Slots::AllBut(n_children, slot),
                None => Slots::All(n_children),
            };
            let skip = matches!(slots, Slots::Some([]));
            let from = Move {
                t,
                parents: &mut self.parents,
                ancestors: self.machine.ancestors(),
                copies,
                resampled,
                slots,
                weights: self.machine.tilted(),
                streams: Streams::new(self.config.seed, t as u64),
                attempt: first,
                threads: &self.config.threads,
            };
            let to = Moved { children: &mut self.children, log_increments: &mut self.log_increments, status: &mut self.status };
            let done = if skip { Ok(()) } else { self.model.step(from, to) };
            first += 1;
            // What earlier attempts brought is kept if this one failed.
            self.pending = Some(PendingMove { resampled, pinned, attempt: first, partial: is_again });
            self.check_model(t, done)?;
            let waiting = Status::Pending.is_any(&self.status);
            if !waiting {
                break;
            }
            self.slots.clear();
            self.slots.extend((0..n_children as u32).filter(|&i| self.status[i as usize] == Status::Pending));
            if first - attempt >= self.config.max_attempts {
                self.pending = Some(PendingMove { resampled, pinned, attempt: first, partial: true });
                return Err(SmcError::Pending { step: t, slot: self.slots[0], attempts: first });
            }
        }
        // Every slot has been moved: if it does not end well, all are moved again.
        self.pending = Some(PendingMove { resampled, pinned, attempt: first, partial: false });
        if let (Some(reference), Some(slot)) = (reference.as_deref_mut(), pinned) {
            let ancestor = self.machine.ancestors()[slot as usize / copies];
            let done = reference.pin(&mut self.model, t, Some((&self.parents, ancestor)), &mut self.children, slot as usize);
            let (log_g, status) = done.map_err(|source| SmcError::Model { step: t, slot: Some(slot), source })?;
            (self.log_increments[slot as usize], self.status[slot as usize]) = (log_g, status);
        }
        let mut n_killed = 0;
        if Status::Failed.is_any(&self.status) {
            let ancestors: Vec<u32> = self.machine.ancestors().to_vec();
            let parents = std::mem::take(&mut self.parents);
            let settled = self.settle_failed(t, |children, slot| {
                children.copy_slot(slot, &parents, ancestors[slot / copies] as usize);
            });
            self.parents = parents;
            n_killed = settled?;
        }
        let threads = self.threads();
        self.machine.commit(&self.log_increments, &threads).map_err(SmcError::at(t))?;
        self.n_killed += n_killed;
        if Status::Frozen.is_any(&self.status) {
            self.machine.set_status(&self.status).map_err(SmcError::at(t))?;
        }
        std::mem::swap(&mut self.parents, &mut self.children);
        Ok(())
    }

    /// Copies frozen particles to their slots, and lists the others.
    fn carry_frozen(&mut self, pinned: Option<u32>) {
        let (ancestors, copies) = (self.machine.ancestors(), self.machine.copies());
        self.slots.clear();
        for slot in 0..self.status.len() {
            if self.status[slot] == Status::Frozen {
                self.log_increments[slot] = 0.0;
                self.children.copy_slot(slot, &self.parents, ancestors[slot / copies] as usize);
            } else if pinned != Some(slot as u32) {
                self.slots.push(slot as u32);
            }
        }
    }

    /// Passes the model's result on, with the slot that it marked as failed.
    fn check_model(&self, step: usize, done: Result<(), M::Error>) -> Result<(), SmcError<M::Error>> {
        done.map_err(|source| {
            let slot = self.status.iter().position(|s| *s == Status::Failed).map(|slot| slot as u32);
            SmcError::Model { step, slot, source }
        })
    }

    /// Kills failed slots if the settings say so, and counts them; otherwise they are an error.
    fn settle_failed(
        &mut self,
        step: usize,
        mut fill: impl FnMut(&mut M::Population, usize),
    ) -> Result<usize, SmcError<M::Error>> {
        let mut n_killed = 0;
        let Some(first) = self.status.iter().position(|s| *s == Status::Failed) else { return Ok(n_killed) };
        if !self.config.kill_failed {
            return Err(SmcError::SlotFailed { step, slot: first as u32 });
        }
        for slot in first..self.status.len() {
            if self.status[slot] == Status::Failed {
                self.status[slot] = Status::Frozen;
                self.log_increments[slot] = f64::NEG_INFINITY;
                fill(&mut self.children, slot);
                n_killed += 1;
            }
        }
        Ok(n_killed)
    }
}

impl<M: FeynmanKac> fmt::Debug for Smc<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smc").field("config", &self.config).field("summary", &self.summary()).finish_non_exhaustive()
    }
}
