//! Conditional sequential Monte Carlo: a Markov kernel on whole paths, exact for any number of particles.
//!
//! ```text
//! reference x*₀..x*_{T-1}  →  a particle filter in which one particle is pinned to x* and the others are free  →  a new path
//!
//! genealogy   a particle of the last cloud, drawn by its weight, and its ancestors
//! ancestor    the same, but at every step the reference gets a new ancestor first:   P(k) ∝ w_{t-1}^k p(x*_t | x_{t-1}^k)
//! backward    after the filter, at every step from the last to the first:            P(k) ∝ w_t^k p(x_{t+1} | x_t^k)
//! ```
//! [`ConditionalSmc`] leaves the law of the paths given the data invariant, with two particles as with two thousand: the number decides how
//! far a sweep moves, not whether it is right. Alternated with a draw of the parameters it is [particle Gibbs](super::ParticleGibbs).
//!
//! The slots of reference and ancestors are drawn together, by the law of the scheme given the reference's ancestor, and the reference
//! starts in a slot drawn uniformly. Both matter: overwriting a slot of sorted ancestors, or a fixed first slot under stratified
//! resampling, moves the invariant law by up to several percent. Adaptive resampling is as exact as resampling at every step. The example
//! `enumerate_csmc` multiplies the kernel out on small models.
//!
//! *Cost per sweep.* One particle filter of N particles that keeps its history, N T states; ancestor and backward sampling add N T
//! transition densities. No memory is allocated after the first sweep.
//!
//! *When not to use.* Along the genealogy early states hardly ever change unless N grows with T: choose ancestor or backward sampling, whose
//! update rates do not fall with T. Both are stuck where transitions are (nearly) deterministic.
//!
//! *References.* C. Andrieu, A. Doucet and R. Holenstein 2010, doi:10.1111/j.1467-9868.2009.00736.x (conditional SMC); N. Whiteley 2010, in
//! its discussion (backward sampling); F. Lindsten, M. I. Jordan and T. B. Schön 2014, arXiv:1401.0604 (ancestor sampling); N. Chopin and
//! S. S. Singh 2015, arXiv:1304.1887 (schemes).

use std::fmt;

use rand::RngExt;

use super::conditional_model::Pin;
use super::config::SmcConfig;
use super::engine::{Reference, Smc};
use super::error::SmcError;
use super::history::{History, Keep};
use crate::error::{Error, check};
use crate::math::vectorised;
use crate::parallel::Threads;
use crate::rng::{Purpose, Stream};
use crate::weights::{ResampleError, Scheme, Status};

/// How a sweep chooses its path; see the [module](ConditionalSmc).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathSampling {
    /// A particle of the last cloud and its ancestors.
    Genealogy,
    /// The same, with the reference's ancestor drawn anew at every step.
    Ancestor,
    /// Every state anew, from the last to the first.
    #[default]
    Backward,
}

/// Settings of [`ConditionalSmc`].
#[derive(Debug, Clone)]
pub struct ConditionalConfig {
    n_particles: usize,
    scheme: Scheme,
    ess_threshold: f64,
    path_sampling: PathSampling,
    threads: Threads,
}

impl ConditionalConfig {
    /// `n_particles` particles, the reference included; multinomial resampling at every step; backward sampling; all threads.
    #[must_use]
    pub fn new(n_particles: usize) -> Self {
        // ESS < 2 N always holds.
        let ess_threshold = 2.0;
        let (scheme, path_sampling) = (Scheme::Multinomial, PathSampling::default());
        Self { n_particles, scheme, ess_threshold, path_sampling, threads: Threads::shared() }
    }

    /// Resampling scheme: one [that has a conditional form](Scheme::has_conditional).
    #[must_use]
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// Resample when ESS < `fraction` · N: 0 is never, above 1 is always.
    #[must_use]
    pub fn ess_threshold(mut self, fraction: f64) -> Self {
        self.ess_threshold = fraction;
        self
    }

    /// How the path is chosen.
    #[must_use]
    pub fn path_sampling(mut self, path_sampling: PathSampling) -> Self {
        self.path_sampling = path_sampling;
        self
    }

    /// Where the work is done. The result does not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for fewer than two particles (the path would never change) or a threshold out of range, and
    /// [`ResampleError::NoConditional`] inside [`Error::Sampling`] for a scheme without a conditional form.
    pub fn validate(&self) -> Result<(), Error> {
        check_engine(self.n_particles, self.scheme)?;
        self.engine().validate()
    }

    fn engine(&self) -> SmcConfig {
        let config = SmcConfig::new(self.n_particles, 0).scheme(self.scheme).ess_threshold(self.ess_threshold);
        config.keep(Keep::All).threads(self.threads.clone())
    }
}

fn check_engine(n_particles: usize, scheme: Scheme) -> Result<(), Error> {
    check::at_least("n_particles", n_particles, 2, "at least 2 in a conditional sweep")?;
    if scheme.has_conditional() { Ok(()) } else { Err(ResampleError::NoConditional { scheme }.into()) }
}

/// What happened in a sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SweepInfo {
    /// Log of the evidence estimate of the cloud, reference included. Not unbiased: in equilibrium the mean of its inverse is that of the
    /// evidence.
    pub log_evidence: f64,
    /// Effective sample size of the last cloud.
    pub ess: f64,
    /// Smallest effective sample size of all steps.
    pub least_ess: f64,
    /// Number of steps before which ancestors were drawn.
    pub n_resampled: usize,
    /// Number of steps whose state comes from another particle than the reference.
    pub n_updated: usize,
}

/// A Markov kernel on the paths of a model that leaves their law given the data invariant.
///
/// ```text
/// sweep: path  →  particle filter with the path pinned  →  path
/// ```
/// It runs any model with [`Pin`], such as [`Bootstrap`](super::Bootstrap), [`Guided`](super::Guided) or
/// [`Auxiliary`](super::Auxiliary) over a model with transition densities.
///
/// ```
/// use posterity::model::zoo::Ar1;
/// use posterity::smc::{Bootstrap, ConditionalConfig, ConditionalSmc};
/// let model = Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 1.0, y: vec![-1.45, 0.99, 1.2, f64::NAN, 0.3] };
/// let mut kernel = ConditionalSmc::new(Bootstrap(model), ConditionalConfig::new(20))?;
/// let mut path = kernel.first_path(1)?;
/// let (mut mean, n_sweeps) = (0.0, 2000);
/// for seed in 0..n_sweeps {
///     kernel.sweep(&mut path, seed)?;
///     mean += path[4] / n_sweeps as f64;
/// }
/// // The Kalman filter's answer is 0.4080; five standard errors.
/// assert!((mean - 0.4080).abs() < 0.1);
/// assert!(kernel.update_rates().iter().all(|rate| *rate > 0.5));
/// # Ok::<(), posterity::Error>(())
/// ```
pub struct ConditionalSmc<M: Pin> {
    smc: Smc<M>,
    path_sampling: PathSampling,
    /// Slot of the reference per step.
    reference_slots: Vec<u32>,
    /// Slot of the new path per step.
    slots: Vec<u32>,
    draft: M::Path,
    connection: Vec<f64>,
    weights: Vec<f64>,
    n_updates: Vec<u64>,
    n_sweeps: u64,
}

impl<M: Pin> ConditionalSmc<M> {
    /// The kernel for a model.
    ///
    /// # Errors
    /// As [`ConditionalConfig::validate`].
    pub fn new(model: M, config: ConditionalConfig) -> Result<Self, SmcError<M::Error>> {
        config.validate()?;
        Self::with_engine(model, config.engine(), config.path_sampling)
    }

    /// The kernel for a model, with settings of the engine of one's own; its seed is that of each sweep.
    ///
    /// # Errors
    /// As [`ConditionalConfig::validate`].
    pub(crate) fn with_engine(model: M, engine: SmcConfig, path_sampling: PathSampling) -> Result<Self, SmcError<M::Error>> {
        check_engine(engine.n_particles, engine.weights.scheme)?;
        Ok(Self {
            smc: Smc::new(model, engine.keep(Keep::All))?,
            path_sampling,
            reference_slots: Vec::new(),
            slots: Vec::new(),
            draft: M::Path::default(),
            connection: Vec::new(),
            weights: Vec::new(),
            n_updates: Vec::new(),
            n_sweeps: 0,
        })
    }

    /// A path to start from, drawn from a particle filter without a reference.
    ///
    /// # Errors
    /// Any [`SmcError`].
    pub fn first_path(&mut self, seed: u64) -> Result<M::Path, SmcError<M::Error>> {
        self.smc.restart(seed);
        self.smc.run()?;
        self.draft = M::Path::default();
        self.draw_path(seed)?;
        Ok(self.draft.clone())
    }

    /// Replaces the path by a new one. A sequence of sweeps needs a different seed for each.
    ///
    /// # Errors
    /// [`Error::Dimension`] inside [`SmcError::Setting`] for a path of another length; [`SmcError::Resample`] or [`SmcError::Degenerate`]
    /// for one of zero density; [`SmcError::NoConnection`]; any other [`SmcError`]. The path is then as before.
    pub fn sweep(&mut self, path: &mut M::Path, seed: u64) -> Result<SweepInfo, SmcError<M::Error>> {
        self.smc.model().check_path(path)?;
        self.smc.restart(seed);
        self.reference_slots.clear();
        let first_slot = Stream::keyed(seed, Purpose::Resampling, 0, 0).random_range(0..self.smc.config().n_particles as u32);
        let ancestor_sampling = self.path_sampling == PathSampling::Ancestor;
        let mut reference = PinnedPath::new(&*path, first_slot, ancestor_sampling);
        let mut least_ess = f64::INFINITY;
        while let Some(info) = self.smc.step_on_threads(Some(&mut reference))? {
            least_ess = least_ess.min(info.ess);
            if reference.refused {
                return Err(SmcError::NoConnection { step: info.t });
            }
            // The reference is in the cloud from the first step to the last.
            self.reference_slots.push(self.smc.pinned_slot().unwrap_or(0));
        }
        self.draft.clone_from(path);
        self.draw_path(seed)?;
        std::mem::swap(path, &mut self.draft);

        self.n_sweeps += 1;
        self.n_updates.resize(self.slots.len(), 0);
        let mut n_updated = 0;
        for ((new, old), count) in self.slots.iter().zip(&self.reference_slots).zip(&mut self.n_updates) {
            let updated = new != old;
            *count += u64::from(updated);
            n_updated += usize::from(updated);
        }
        let machine = self.smc.machine();
        Ok(SweepInfo {
            log_evidence: machine.log_evidence(),
            ess: machine.ess(),
            least_ess,
            n_resampled: machine.genealogy().n_resampled(),
            n_updated,
        })
    }

    /// Per step, the fraction of sweeps so far whose state came from another particle than the reference; NaN before the first sweep.
    ///
    /// Rates near 1 - 1/N are the best there is; rates near 0 at the first steps say that the number of particles is too small for
    /// [`PathSampling::Genealogy`].
    #[must_use]
    pub fn update_rates(&self) -> Vec<f64> {
        self.n_updates.iter().map(|&n| n as f64 / self.n_sweeps as f64).collect()
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &M {
        self.smc.model()
    }

    /// The model, to change its parameters or data between sweeps.
    pub fn model_mut(&mut self) -> &mut M {
        self.smc.model_mut()
    }

    /// The engine with the cloud of the last sweep and its history.
    #[must_use]
    pub fn engine(&self) -> &Smc<M> {
        &self.smc
    }

    /// Draws a path from the history into `draft`.
    fn draw_path(&mut self, seed: u64) -> Result<(), SmcError<M::Error>> {
        let log_evidence = self.smc.machine().log_evidence();
        let (model, history) = self.smc.model_and_history();
        let n_steps = history.len();
        // Resampling uses the steps before this one.
        let mut rng = Stream::keyed(seed, Purpose::Resampling, n_steps as u64, 0);
        self.slots.clear();
        self.slots.resize(n_steps, 0);
        let mut later = None;
        for t in (0..n_steps).rev() {
            let Some(generation) = history.generation(t) else { continue };
            let slot = match later {
                None => draw(&generation.log_weights, None, &mut self.weights, &mut rng).map_err(|e| e.at(t, log_evidence))?,
                Some(_) if self.path_sampling == PathSampling::Backward => {
                    self.connection.resize(generation.log_weights.len(), 0.0);
                    let connected = model.log_connection(t + 1, &generation.population, &self.draft, &mut self.connection);
                    if !connected.map_err(|source| SmcError::Model { step: t + 1, slot: None, source })? {
                        return Err(SmcError::NoConnection { step: t + 1 });
                    }
                    draw(&generation.log_weights, Some(&self.connection), &mut self.weights, &mut rng)
                        .map_err(|e| e.at(t, log_evidence))?
                }
                Some(slot) => parent(history, t + 1, slot),
            };
            model.copy_state(t, &generation.population, slot, &mut self.draft);
            self.slots[t] = slot as u32;
            later = Some(slot);
        }
        Ok(())
    }
}

impl<M: Pin> fmt::Debug for ConditionalSmc<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("ConditionalSmc");
        f.field("smc", &self.smc).field("path_sampling", &self.path_sampling).field("n_sweeps", &self.n_sweeps);
        f.finish_non_exhaustive()
    }
}

/// A reference path, pinned.
pub(super) struct PinnedPath<'a, R> {
    path: &'a R,
    first_slot: u32,
    ancestor_sampling: bool,
    /// True if the model could not connect other particles to the reference.
    refused: bool,
}

impl<'a, R> PinnedPath<'a, R> {
    /// `first_slot` is to be drawn uniformly from all slots.
    pub(super) fn new(path: &'a R, first_slot: u32, ancestor_sampling: bool) -> Self {
        Self { path, first_slot, ancestor_sampling, refused: false }
    }
}

impl<M: Pin> Reference<M> for PinnedPath<'_, M::Path> {
    fn first_slot(&self) -> u32 {
        self.first_slot
    }

    fn pin(
        &mut self,
        model: &mut M,
        t: usize,
        parents: Option<(&M::Population, u32)>,
        children: &mut M::Population,
        slot: usize,
    ) -> Result<(f64, Status), M::Error> {
        model.pin(t, parents, children, slot, self.path)
    }

    fn log_connection(&mut self, model: &mut M, t: usize, parents: &M::Population, out: &mut [f64]) -> Result<bool, M::Error> {
        if !self.ancestor_sampling {
            return Ok(false);
        }
        let connected = model.log_connection(t, parents, self.path, out)?;
        self.refused |= !connected;
        Ok(connected)
    }
}

/// Why no slot could be drawn.
#[derive(Debug, Clone, Copy)]
enum NoDraw {
    NoWeight,
    NotFinite(usize, f64),
}

impl NoDraw {
    fn at<E>(self, step: usize, log_evidence: f64) -> SmcError<E> {
        match self {
            Self::NoWeight => SmcError::Degenerate { step, log_evidence },
            Self::NotFinite(slot, value) if value.is_nan() => SmcError::NotANumber { step, slot: slot as u32 },
            Self::NotFinite(slot, _) => SmcError::PositiveInfinity { step, slot: slot as u32 },
        }
    }
}

/// A slot drawn with weights exp(log_weights + connection).
fn draw(log_weights: &[f64], connection: Option<&[f64]>, weights: &mut Vec<f64>, rng: &mut Stream) -> Result<usize, NoDraw> {
    weights.clear();
    weights.extend_from_slice(log_weights);
    if let Some(connection) = connection {
        for (w, c) in weights.iter_mut().zip(connection) {
            *w += c;
        }
    }
    let bad = weights.iter().position(|w| w.is_nan() || *w == f64::INFINITY);
    if let Some(slot) = bad {
        return Err(NoDraw::NotFinite(slot, weights[slot]));
    }
    let largest = vectorised::max(weights);
    if largest == f64::NEG_INFINITY {
        return Err(NoDraw::NoWeight);
    }
    for w in weights.iter_mut() {
        *w -= largest;
    }
    vectorised::exp_in_place(weights);
    let mut rest = rng.uniform() * weights.iter().sum::<f64>();
    let mut chosen = 0;
    for (slot, &w) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
        // Rounding may leave a rest after the last slot: the last one of positive weight is then chosen.
        chosen = slot;
        if rest < w {
            break;
        }
        rest -= w;
    }
    Ok(chosen)
}

/// The parent of a slot of step `t`, which has one: every generation after the first does.
fn parent<P: super::Population>(history: &History<P>, t: usize, slot: usize) -> usize {
    history.generation(t).and_then(|generation| generation.parent(slot)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_drawn_by_weight_and_bad_weights_are_named() {
        let mut rng = Stream::new(1);
        let mut scratch = Vec::new();
        let mut counts = [0_u32; 3];
        for _ in 0..10_000 {
            let slot = draw(&[0.0, 0.0, f64::NEG_INFINITY], Some(&[3.0_f64.ln(), 0.0, 5.0]), &mut scratch, &mut rng).unwrap();
            counts[slot] += 1;
        }
        // 3 : 1 : 0; the standard error of the first count is 43.
        assert!(counts[0].abs_diff(7500) < 220 && counts[2] == 0, "{counts:?}");
        let bad = draw(&[0.0, 1.0], Some(&[0.0, f64::NAN]), &mut scratch, &mut rng);
        assert!(matches!(bad, Err(NoDraw::NotFinite(1, _))));
        assert!(matches!(draw(&[f64::NEG_INFINITY], None, &mut scratch, &mut rng), Err(NoDraw::NoWeight)));
    }
}
