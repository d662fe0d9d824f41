//! The weight machine itself.

use serde::{Deserialize, Serialize};

use super::cloud::{Cloud, Sum, first_bad};
use super::genealogy::Genealogy;
use super::resampling::{ResampleError, Resampler, Scheme};
use super::{Status, WeightError};
use crate::error::{Error, check};
use crate::math::blocks::BLOCK;
use crate::math::vectorised;
use crate::parallel::Threads;
use crate::rng::{Purpose, Stream};

/// Fewer slots than this are resampled on one thread: the passes are short, and handing them over takes as long.
const LEAST_TO_RESAMPLE_TOGETHER: usize = 32_768;

/// When to resample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Resample {
    /// When the effective sample size falls below its threshold.
    #[default]
    Auto,
    /// In this step.
    Always,
    /// Not in this step.
    Never,
}

/// Which slots take part in resampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Scope {
    /// All of them: a frozen particle competes with its weight, and may die or be copied.
    #[default]
    All,
    /// The live ones among themselves, each then with their mean weight; frozen slots keep particle and weight. Both scopes give unbiased
    /// evidence. A step that changes the number of slots, or has a pinned reference, resamples all of them.
    Live,
}

/// Settings of the weight machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WeightConfig {
    /// Resampling scheme.
    pub scheme: Scheme,
    /// Under [`Resample::Auto`] the cloud is resampled when ESS < `ess_threshold` · N: 0 is never, above 1 is always.
    pub ess_threshold: f64,
    /// Which slots take part.
    pub scope: Scope,
}

impl Default for WeightConfig {
    /// Systematic resampling of all slots below half of the particles.
    fn default() -> Self {
        Self { scheme: Scheme::default(), ess_threshold: 0.5, scope: Scope::All }
    }
}

impl WeightConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a threshold that is negative or not finite.
    pub fn validate(&self) -> Result<(), Error> {
        let t = self.ess_threshold;
        check::in_range("ess_threshold", t, t >= 0.0 && t.is_finite(), "finite and at least 0")
    }
}

/// How many children a resampling makes, and what it is told about the step to come.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Whether to resample.
    pub resample: Resample,
    /// Number of ancestors drawn.
    pub n_resample: usize,
    /// Children per ancestor; more than 1 forces resampling.
    pub copies: usize,
    /// Look-ahead log η per parent: ancestors are drawn with weights w e^η, and carry w / e^η on.
    pub log_eta: Option<&'a [f64]>,
    /// The slot whose particle is a pinned reference, if there is one.
    pub pinned: Option<Pinned<'a>>,
}

/// The reference particle of a conditional sweep.
#[derive(Debug, Clone, Copy)]
pub struct Pinned<'a> {
    /// Its slot among the parents.
    pub slot: u32,
    /// Log of the ratio between the density of the whole reference with another parent's past and that past's own, per parent: if given, the
    /// reference's ancestor is drawn with weights w e^c (ancestor sampling).
    pub log_connection: Option<&'a [f64]>,
}

/// What a [`WeightMachine::select`] decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected {
    /// True if ancestors were drawn; otherwise every slot goes on from itself.
    pub resampled: bool,
    /// Where the pinned reference goes, if there is one.
    pub pinned: Option<u32>,
}

/// Log-weights, log-evidence, effective sample size, resampling and Eve indices of a cloud of slots.
///
/// It knows neither particles nor models: a filter, a sampler, a decoder and a conditional sweep all drive it the same way.
///
/// ```text
/// start(increments)                     log w = log G₀
/// loop: [tilt(increments)]              w ← w G              (samplers: the next temperature)
///       select(...)                     ancestors; w ← mean w (resampled), w ← w / e^η (look-ahead)
///       commit(increments, status)      w ← w G              (filters)
/// log-evidence = offset + log mean w
/// ```
/// `tilt` and `select` are provisional until `commit`: [`WeightMachine::rollback`] forgets them, and an error changes nothing. Weights are
/// carried from step to step and never reset, so the log-evidence is right whenever resampling happens. The sums are taken in blocks of
/// constant length folded in order, and each step has a random stream of its own: the same bits on any number of threads.
///
/// ```
/// use posterity::parallel::Threads;
/// use posterity::weights::{Selection, Resample, WeightConfig, WeightMachine};
/// let threads = Threads::serial();
/// let mut machine = WeightMachine::new(WeightConfig::default(), 1)?;
/// machine.start(&[0.0, 0.0, f64::NEG_INFINITY, 0.0], &threads)?;
/// assert!((machine.ess() - 3.0).abs() < 1e-12);
/// assert!((machine.log_evidence() - 0.75_f64.ln()).abs() < 1e-12);
/// let always = Selection { resample: Resample::Always, n_resample: 4, copies: 1, log_eta: None, pinned: None };
/// machine.select(always, &threads)?;
/// assert!(!machine.ancestors().contains(&2));
/// machine.commit(&[0.0; 4], &threads)?;
/// assert!((machine.log_evidence() - 0.75_f64.ln()).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WeightMachine {
    config: WeightConfig,
    seed: u64,
    step: u64,
    current: Cloud,
    status: Vec<Status>,
    n_frozen: usize,
    genealogy: Genealogy,
    staged: Staged,
    /// What the largest log-weight gained in the last step.
    usual_increment: f64,
    /// Memory of the next cloud; becomes the current one at a commit.
    #[serde(skip)]
    next: Cloud,
    #[serde(skip)]
    resampler: Resampler,
    #[serde(skip)]
    scratch: Scratch,
}

/// What is decided about the next step and not committed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Staged {
    /// The current cloud with the increments of `tilt`.
    tilted: Option<Cloud>,
    #[serde(skip)]
    spare: Option<Cloud>,
    base: Base,
    /// Log-weights of the children before their increments, if they differ.
    log_weights: Vec<f64>,
    offset: f64,
    /// Drawn, if `resampled`.
    ancestors: Vec<u32>,
    /// 0, 1, 2, …: the ancestors if none were drawn.
    identity: Vec<u32>,
    copies: usize,
    resampled: bool,
    selected: bool,
    status: Vec<Status>,
    n_frozen: usize,
}

impl Staged {
    fn ancestors(&self) -> &[u32] {
        if self.resampled { &self.ancestors } else { &self.identity }
    }
}

/// Where the children's log-weights start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
enum Base {
    /// Their parents'.
    #[default]
    Carried,
    /// 0.
    Uniform,
    /// `Staged::log_weights`.
    Vector,
}

#[derive(Debug, Clone, Default)]
struct Scratch {
    log_weights: Vec<f64>,
    weights: Vec<f64>,
    live: Vec<u32>,
    live_ancestors: Vec<u32>,
}

impl WeightMachine {
    /// A machine without slots; [`WeightMachine::start`] gives it some.
    ///
    /// # Errors
    /// As [`WeightConfig::validate`].
    pub fn new(config: WeightConfig, seed: u64) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self {
            config,
            seed,
            step: 0,
            current: Cloud::default(),
            status: Vec::new(),
            n_frozen: 0,
            genealogy: Genealogy::default(),
            staged: Staged::default(),
            usual_increment: 0.0,
            next: Cloud::default(),
            resampler: Resampler::default(),
            scratch: Scratch::default(),
        })
    }

    /// Starts at step 0 with one slot per increment: log w = log G₀. Whatever was before is forgotten.
    ///
    /// # Errors
    /// [`WeightError::Size`], [`WeightError::NotANumber`], [`WeightError::PositiveInfinity`], [`WeightError::Degenerate`].
    pub fn start(&mut self, increments: &[f64], threads: &Threads) -> Result<(), WeightError> {
        let n = increments.len();
        check_size(n)?;
        let sum = Sum { base: None, increments, offset: 0.0, guess: 0.0, log_evidence_before: 0.0 };
        self.usual_increment = self.next.assign(sum, threads)?;
        std::mem::swap(&mut self.next, &mut self.current);
        self.status.clear();
        self.status.resize(n, Status::Live);
        self.n_frozen = 0;
        self.genealogy.start(n);
        self.step = 0;
        self.rollback();
        Ok(())
    }

    /// Number of slots.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current.log_weights.len()
    }

    /// True before [`WeightMachine::start`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of committed steps since the start.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &WeightConfig {
        &self.config
    }

    /// Log-weights per slot, up to a common constant.
    #[must_use]
    pub fn log_weights(&self) -> &[f64] {
        &self.current.log_weights
    }

    /// Weights per slot, up to a common factor; see [`WeightMachine::sum_of_weights`].
    #[must_use]
    pub fn relative_weights(&self) -> &[f64] {
        &self.current.weights
    }

    /// Sum of [`WeightMachine::relative_weights`]: divide by it to normalise.
    #[must_use]
    pub fn sum_of_weights(&self) -> f64 {
        self.current.sum()
    }

    /// Effective sample size (Σw)² / Σw², from 1 to the number of slots.
    #[must_use]
    pub fn ess(&self) -> f64 {
        self.current.ess()
    }

    /// Log of the evidence estimate, log Z. Z itself is unbiased.
    #[must_use]
    pub fn log_evidence(&self) -> f64 {
        self.current.log_evidence()
    }

    /// The committed weights.
    #[must_use]
    pub fn weights(&self) -> Weights<'_> {
        Weights::of(&self.current)
    }

    /// Forgets everything but the settings and the memory: the machine is without slots, and has another seed.
    pub fn reset(&mut self, seed: u64) {
        self.seed = seed;
        self.step = 0;
        self.current.clear();
        self.status.clear();
        self.n_frozen = 0;
        self.genealogy.start(0);
        self.rollback();
    }

    /// True if every slot is frozen.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.n_frozen == self.len()
    }

    /// True if some child in [`WeightMachine::staged_status`] is frozen.
    #[must_use]
    pub fn is_any_staged_frozen(&self) -> bool {
        self.staged.n_frozen > 0
    }

    /// Status per slot.
    #[must_use]
    pub fn status(&self) -> &[Status] {
        &self.status
    }

    /// Eve indices and the variance estimate made of them.
    #[must_use]
    pub fn genealogy(&self) -> &Genealogy {
        &self.genealogy
    }

    /// An estimate of the variance of Ẑ/Z from this one run; see [`Genealogy::relative_variance`].
    #[must_use]
    pub fn relative_variance(&self) -> f64 {
        self.genealogy.relative_variance(&self.current.weights)
    }

    /// Multiplies the current weights by exp(increments), provisionally.
    ///
    /// # Errors
    /// As [`WeightMachine::start`], and [`WeightError::Length`].
    pub fn tilt(&mut self, increments: &[f64], threads: &Threads) -> Result<(), WeightError> {
        check_length("increments", self.len(), increments)?;
        if self.n_frozen > 0 {
            check_frozen(&self.status, increments)?;
        }
        let mut cloud = self.staged.tilted.take().or_else(|| self.staged.spare.take()).unwrap_or_default();
        let sum = Sum {
            base: Some(&self.current.log_weights),
            increments,
            offset: self.current.offset,
            guess: self.current.largest(),
            log_evidence_before: self.current.log_evidence(),
        };
        match cloud.assign(sum, threads) {
            Ok(_) => {
                self.staged.tilted = Some(cloud);
                Ok(())
            }
            Err(error) => {
                self.staged.spare = Some(cloud);
                Err(error)
            }
        }
    }

    /// Makes a provisional [`WeightMachine::tilt`] the current weights, without a move.
    pub fn commit_tilt(&mut self) {
        if let Some(mut cloud) = self.staged.tilted.take() {
            std::mem::swap(&mut cloud, &mut self.current);
            self.staged.spare = Some(cloud);
        }
        self.staged.selected = false;
    }

    /// The weights after a provisional [`WeightMachine::tilt`], or the current ones.
    #[must_use]
    pub fn tilted(&self) -> Weights<'_> {
        Weights::of(self.source())
    }

    fn source(&self) -> &Cloud {
        self.staged.tilted.as_ref().unwrap_or(&self.current)
    }

    /// Decides whether to resample and draws ancestors, provisionally. Both are in [`WeightMachine::ancestors`].
    ///
    /// # Errors
    /// [`WeightError::Resample`], [`WeightError::Length`] of a look-ahead or connection, [`WeightError::Degenerate`] and its like if
    /// these leave no weight.
    pub fn select(&mut self, selection: Selection<'_>, threads: &Threads) -> Result<Selected, WeightError> {
        let n = self.len();
        let Selection { resample, n_resample, copies, log_eta, pinned } = selection;
        let n_children = n_resample.checked_mul(copies).filter(|&n| n > 0 && u32::try_from(n).is_ok());
        let n_children = n_children.ok_or(WeightError::Size(n_resample.saturating_mul(copies)))?;
        if let Some(log_eta) = log_eta {
            check_length("log_eta", n, log_eta)?;
        }
        if pinned.is_some() && copies > 1 {
            return Err(WeightError::PinnedCopies { copies });
        }
        let ess = match log_eta {
            None => self.source().ess(),
            Some(log_eta) => self.look_ahead(log_eta)?,
        };
        let forced = copies > 1 || n_children != n;
        let resampled = match resample {
            _ if forced => true,
            Resample::Always => true,
            Resample::Never => false,
            Resample::Auto => ess < self.config.ess_threshold * n as f64,
        };
        self.staged.copies = copies;
        self.staged.offset = self.source().offset;
        let slot = if resampled {
            match self.config.scope {
                Scope::Live if pinned.is_none() && self.n_frozen > 0 && !forced => {
                    self.resample_live(log_eta, threads)?;
                    None
                }
                _ => self.resample_all(n_resample, log_eta, pinned, threads)?,
            }
        } else {
            self.staged.base = Base::Carried;
            if self.staged.identity.len() != n {
                self.staged.identity.clear();
                self.staged.identity.extend(0..n as u32);
            }
            match pinned {
                // The reference goes on from its new ancestor, and the particle that was there without it.
                Some(Pinned { slot, log_connection: Some(c) }) => {
                    let mut rng = Stream::keyed(self.seed, Purpose::Resampling, self.step + 1, 0);
                    Some(self.draw_ancestor(slot, c, &mut rng)?)
                }
                _ => pinned.map(|p| p.slot),
            }
        };
        self.staged.resampled = resampled;
        self.staged.selected = true;
        self.stage_status();
        Ok(Selected { resampled, pinned: slot })
    }

    /// Ancestors drawn by [`WeightMachine::select`]: child `c` comes from parent `ancestors[c / copies]`.
    #[must_use]
    pub fn ancestors(&self) -> &[u32] {
        self.staged.ancestors()
    }

    /// Children per ancestor.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.staged.copies.max(1)
    }

    /// Status that the children inherit.
    #[must_use]
    pub fn staged_status(&self) -> &[Status] {
        &self.staged.status
    }

    /// True between a [`WeightMachine::select`] and its commit or rollback.
    #[must_use]
    pub fn is_selected(&self) -> bool {
        self.staged.selected
    }

    /// Forgets what [`WeightMachine::tilt`] and [`WeightMachine::select`] prepared.
    pub fn rollback(&mut self) {
        if let Some(cloud) = self.staged.tilted.take() {
            self.staged.spare = Some(cloud);
        }
        self.staged.selected = false;
    }

    /// Ends the step: the children's weights are multiplied by exp(increments), one per child.
    ///
    /// # Errors
    /// As [`WeightMachine::start`], [`WeightError::Length`], and [`WeightError::FrozenReweighted`] for a child of a frozen slot with an
    /// increment other than 0. The selection stays as it is, so that the move can be made again.
    pub fn commit(&mut self, increments: &[f64], threads: &Threads) -> Result<(), WeightError> {
        if !self.staged.selected {
            return Err(WeightError::NotSelected);
        }
        let n_children = self.ancestors().len() * self.copies();
        check_length("increments", n_children, increments)?;
        if self.staged.n_frozen > 0 {
            check_frozen(&self.staged.status, increments)?;
        }
        let source = self.staged.tilted.as_ref().unwrap_or(&self.current);
        let (base, before) = match self.staged.base {
            Base::Uniform => (None, 0.0),
            Base::Vector => (Some(self.staged.log_weights.as_slice()), 0.0),
            Base::Carried => (Some(source.log_weights.as_slice()), source.largest()),
        };
        let sum = Sum {
            base,
            increments,
            offset: self.staged.offset,
            guess: before + self.usual_increment,
            log_evidence_before: self.current.log_evidence(),
        };
        self.usual_increment = self.next.assign(sum, threads)? - before;
        std::mem::swap(&mut self.next, &mut self.current);
        if self.staged.resampled {
            let threads = threads.for_at_least(LEAST_TO_RESAMPLE_TOGETHER, n_children);
            self.genealogy.resampled(&self.staged.ancestors, self.staged.copies, &threads);
        }
        std::mem::swap(&mut self.status, &mut self.staged.status);
        self.n_frozen = self.staged.n_frozen;
        self.step += 1;
        self.rollback();
        Ok(())
    }

    /// Freezes slots after a commit: they are never moved again and get no increment.
    ///
    /// # Errors
    /// [`WeightError::Length`].
    pub fn set_status(&mut self, status: &[Status]) -> Result<(), WeightError> {
        check_length("status", self.len(), status)?;
        self.status.copy_from_slice(status);
        self.n_frozen = count_frozen(status);
        Ok(())
    }

    fn stage_status(&mut self) {
        let Staged { status, ancestors, identity, resampled, copies, n_frozen, .. } = &mut self.staged;
        let ancestors = if *resampled { ancestors } else { identity };
        status.clear();
        *n_frozen = 0;
        if self.n_frozen == 0 {
            status.resize(ancestors.len() * *copies, Status::Live);
        } else {
            status.extend(ancestors.iter().flat_map(|&a| std::iter::repeat_n(self.status[a as usize], *copies)));
            *n_frozen = count_frozen(status);
        }
    }

    /// Writes w e^η relative to its largest to `scratch.weights`, the logarithms to `scratch.log_weights`; returns the ESS.
    fn look_ahead(&mut self, log_eta: &[f64]) -> Result<f64, WeightError> {
        let source = self.staged.tilted.as_ref().unwrap_or(&self.current);
        let Scratch { log_weights, weights, .. } = &mut self.scratch;
        log_weights.resize(log_eta.len(), 0.0);
        weights.resize(log_eta.len(), 0.0);
        let largest = vectorised::add_max(&source.log_weights, log_eta, log_weights);
        if largest == f64::NEG_INFINITY {
            return Err(WeightError::Degenerate { log_evidence: self.current.log_evidence() });
        }
        if !largest.is_finite() {
            return Err(first_bad(log_eta));
        }
        let (mut sum, mut squares) = (0.0, 0.0);
        for (x, w) in log_weights.chunks(BLOCK).zip(weights.chunks_mut(BLOCK)) {
            let (_, s, q) = vectorised::max_exp(x, largest, w);
            sum += s;
            squares += q;
        }
        if sum.is_nan() {
            return Err(first_bad(log_eta));
        }
        Ok(sum * sum / squares)
    }

    fn resample_all(
        &mut self,
        n_resample: usize,
        log_eta: Option<&[f64]>,
        pinned: Option<Pinned<'_>>,
        threads: &Threads,
    ) -> Result<Option<u32>, WeightError> {
        let mut rng = Stream::keyed(self.seed, Purpose::Resampling, self.step + 1, 0);
        // Taken before an ancestor of the reference is drawn, which uses the same memory.
        let log_sum_ahead = log_eta.map(|_| crate::math::log_sum_exp(&self.scratch.log_weights));
        let parent = match pinned {
            None => None,
            Some(Pinned { slot, log_connection: None }) => Some(slot),
            Some(Pinned { slot, log_connection: Some(c) }) => Some(self.draw_ancestor(slot, c, &mut rng)?),
        };
        let source = self.staged.tilted.as_ref().unwrap_or(&self.current);
        if let Some(parent) = parent {
            // Judged on the log scale: a weight of positive density may be too small for the other one.
            let n_parents = source.log_weights.len();
            if !source.log_weights.get(parent as usize).is_some_and(|w| *w > f64::NEG_INFINITY) {
                return Err(ResampleError::Parent { parent, n_parents }.into());
            }
        }
        let weights = if log_eta.is_some() { &self.scratch.weights } else { &source.weights };
        let ancestors = &mut self.staged.ancestors;
        ancestors.resize(n_resample, 0);
        let threads = &threads.for_at_least(LEAST_TO_RESAMPLE_TOGETHER, n_resample);
        let slot = match parent {
            None => {
                self.resampler.resample(self.config.scheme, weights, ancestors, &mut rng, threads)?;
                None
            }
            Some(parent) => {
                Some(self.resampler.resample_conditional(self.config.scheme, weights, parent, ancestors, &mut rng, threads)?)
            }
        };
        match log_eta.zip(log_sum_ahead) {
            None => {
                // log mean w goes to the offset, and every child starts at 0.
                self.staged.offset = source.log_evidence();
                self.staged.base = Base::Uniform;
            }
            Some((log_eta, log_sum)) => {
                let log_mean = log_sum - (source.log_weights.len() as f64).ln();
                self.staged.offset = source.offset + log_mean;
                let copies = self.staged.copies;
                let carried = ancestors.iter().flat_map(|&a| std::iter::repeat_n(-log_eta[a as usize], copies));
                self.staged.log_weights.clear();
                self.staged.log_weights.extend(carried);
                self.staged.base = Base::Vector;
            }
        }
        Ok(slot)
    }

    /// The new ancestor of the reference, drawn with weights w e^c.
    fn draw_ancestor(&mut self, slot: u32, log_connection: &[f64], rng: &mut Stream) -> Result<u32, WeightError> {
        check_length("log_connection", self.len(), log_connection)?;
        let source = self.staged.tilted.as_ref().unwrap_or(&self.current);
        let mut draw = [slot];
        let mut weights = std::mem::take(&mut self.scratch.log_weights);
        weights.resize(log_connection.len(), 0.0);
        let largest = vectorised::add_max(&source.log_weights, log_connection, &mut weights);
        let result = if largest == f64::NEG_INFINITY {
            Err(WeightError::Degenerate { log_evidence: self.current.log_evidence() })
        } else if !largest.is_finite() {
            Err(first_bad(log_connection))
        } else {
            for w in weights.iter_mut() {
                *w -= largest;
            }
            vectorised::exp_in_place(&mut weights);
            let scheme = Scheme::Multinomial;
            self.resampler.resample(scheme, &weights, &mut draw, rng, &Threads::serial()).map_err(WeightError::from)
        };
        self.scratch.log_weights = weights;
        result.map(|()| draw[0])
    }

    /// Resamples the live slots among themselves.
    fn resample_live(&mut self, log_eta: Option<&[f64]>, threads: &Threads) -> Result<(), WeightError> {
        let mut rng = Stream::keyed(self.seed, Purpose::Resampling, self.step + 1, 0);
        let source = self.staged.tilted.as_ref().unwrap_or(&self.current);
        let n = source.log_weights.len();
        let Scratch { log_weights, weights, live, live_ancestors } = &mut self.scratch;
        live.clear();
        live.extend((0..n as u32).filter(|&i| self.status[i as usize] == Status::Live));
        self.staged.ancestors.clear();
        self.staged.ancestors.extend(0..n as u32);
        self.staged.log_weights.clear();
        self.staged.log_weights.extend_from_slice(&source.log_weights);
        self.staged.base = Base::Vector;
        log_weights.clear();
        log_weights.extend(live.iter().map(|&i| source.log_weights[i as usize] + log_eta.map_or(0.0, |eta| eta[i as usize])));
        let log_mean = crate::math::log_sum_exp(log_weights) - (live.len() as f64).ln();
        if log_mean == f64::NEG_INFINITY || live.is_empty() {
            // No live slot has weight: there is nothing to choose from, and nothing to gain.
            return Ok(());
        }
        let largest = vectorised::max(log_weights);
        weights.clear();
        weights.extend(log_weights.iter().map(|w| (w - largest).exp()));
        live_ancestors.resize(live.len(), 0);
        self.resampler.resample(self.config.scheme, weights, live_ancestors, &mut rng, threads)?;
        for (&slot, &a) in live.iter().zip(live_ancestors.iter()) {
            let parent = live[a as usize];
            self.staged.ancestors[slot as usize] = parent;
            self.staged.log_weights[slot as usize] = log_mean - log_eta.map_or(0.0, |eta| eta[parent as usize]);
        }
        Ok(())
    }
}

/// Weights of a cloud, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// Log-weights per slot, up to a common constant.
    pub log_weights: &'a [f64],
    /// Weights per slot, up to a common factor.
    pub relative_weights: &'a [f64],
    /// Sum of the relative weights.
    pub sum_of_weights: f64,
    /// Effective sample size.
    pub ess: f64,
    /// Log-evidence estimate.
    pub log_evidence: f64,
}

impl<'a> Weights<'a> {
    fn of(cloud: &'a Cloud) -> Self {
        Self {
            log_weights: &cloud.log_weights,
            relative_weights: &cloud.weights,
            sum_of_weights: cloud.sum(),
            ess: cloud.ess(),
            log_evidence: cloud.log_evidence(),
        }
    }

    /// Weights that sum to 1.
    pub fn normalised(self) -> impl ExactSizeIterator<Item = f64> + 'a {
        let total = self.sum_of_weights;
        self.relative_weights.iter().map(move |w| w / total)
    }
}

fn check_frozen(status: &[Status], increments: &[f64]) -> Result<(), WeightError> {
    let bad = status.iter().zip(increments).position(|(s, v)| *s == Status::Frozen && *v != 0.0);
    match bad {
        None => Ok(()),
        Some(slot) => Err(WeightError::FrozenReweighted { slot: slot as u32, increment: increments[slot] }),
    }
}

fn count_frozen(status: &[Status]) -> usize {
    status.iter().filter(|s| **s == Status::Frozen).count()
}

fn check_size(n: usize) -> Result<(), WeightError> {
    if n > 0 && u32::try_from(n).is_ok() { Ok(()) } else { Err(WeightError::Size(n)) }
}

fn check_length<T>(what: &'static str, expected: usize, slice: &[T]) -> Result<(), WeightError> {
    if slice.len() == expected { Ok(()) } else { Err(WeightError::Length { what, expected, found: slice.len() }) }
}
