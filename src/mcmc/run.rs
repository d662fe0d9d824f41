//! What a run is: how many chains and draws, from which seed and start, and how it is watched, saved and stopped.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Error, check};
use crate::mcmc::warmup::Warmup;
use crate::model::Values;

/// Settings of a run, whatever the sampler.
///
/// ```
/// use posterity::mcmc::Run;
/// let run = Run::new(42).chains(4).warmup(500).draws(2000).threads(2);
/// ```
#[derive(Debug, Clone)]
pub struct Run {
    pub(crate) seed: u64,
    pub(crate) n_chains: usize,
    pub(crate) n_warmup: usize,
    pub(crate) n_draws: usize,
    pub(crate) threads: Option<usize>,
    pub(crate) start: Start,
    pub(crate) warmup: Option<Warmup>,
    /// Where chains are saved.
    pub(crate) checkpoint: Option<PathBuf>,
    pub(crate) checkpoint_every: Duration,
    pub(crate) stop: Option<StopFlag>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) progress_bar: bool,
    pub(crate) keep_log_likelihood: bool,
}

/// Where chains start.
#[derive(Debug, Clone, Default)]
pub enum Start {
    /// Every chain at its own point, found by search around the origin of the unconstrained space.
    #[default]
    Search,
    /// At constrained values by name; one entry for all chains, or one per chain.
    Values(Vec<Values>),
    /// At unconstrained positions; one entry for all chains, or one per chain.
    Positions(Vec<Vec<f64>>),
}

impl Start {
    /// A text that differs between different starts.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{self:?}")
    }
}

/// A flag that ends a run from outside, as from a signal handler or another thread. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to end after the iterations under way.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True if the flag is raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where a chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Index of the chain.
    pub chain: usize,
    /// Number of chains.
    pub n_chains: usize,
    /// Iterations done, warm-up included.
    pub iteration: usize,
    /// Iterations in all.
    pub n_iterations: usize,
    /// True during warm-up.
    pub warming_up: bool,
    /// Divergences after warm-up so far.
    pub divergences: usize,
}

/// Is told how a run proceeds, from the chains' own threads, after every iteration.
pub trait Observer: std::fmt::Debug + Send + Sync {
    /// One iteration of one chain is done.
    fn iteration(&self, progress: Progress);
}

impl Run {
    /// Four chains of 1000 warm-up iterations and 1000 draws.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            n_chains: 4,
            n_warmup: 1000,
            n_draws: 1000,
            threads: None,
            start: Start::Search,
            warmup: None,
            checkpoint: None,
            checkpoint_every: Duration::from_secs(5),
            stop: None,
            observer: None,
            progress_bar: false,
            keep_log_likelihood: false,
        }
    }

    /// Number of chains; 4.
    #[must_use]
    pub fn chains(mut self, n_chains: usize) -> Self {
        self.n_chains = n_chains;
        self
    }

    /// Warm-up iterations per chain; 1000.
    #[must_use]
    pub fn warmup(mut self, n_warmup: usize) -> Self {
        self.n_warmup = n_warmup;
        self
    }

    /// Draws per chain; 1000.
    #[must_use]
    pub fn draws(mut self, n_draws: usize) -> Self {
        self.n_draws = n_draws;
        self
    }

    /// Largest number of threads; all of the machine's unless said. The result does not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Where chains start; by search unless said.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Goes on from the tuning and positions that an earlier run's warm-up ended with, instead of warming up: see
    /// [`Sampler::warm_up`](super::Sampler::warm_up).
    #[must_use]
    pub fn reuse(mut self, warmup: Warmup) -> Self {
        self.warmup = Some(warmup);
        self
    }

    /// Saves every chain to this directory every few seconds, and resumes from there if it holds chains of the same run: the result is
    /// bit for bit that of an uninterrupted run, also if the process was killed.
    #[must_use]
    pub fn checkpoint(mut self, directory: impl Into<PathBuf>) -> Self {
        self.checkpoint = Some(directory.into());
        self
    }

    /// How often a checkpoint is written; every 5 seconds. Nothing without [`Run::checkpoint`].
    #[must_use]
    pub fn checkpoint_every(mut self, every: Duration) -> Self {
        self.checkpoint_every = every;
        self
    }

    /// A flag that ends the run early. The draws made so far come back, and say so; in warm-up it is [`Error::Stopped`].
    #[must_use]
    pub fn stop_flag(mut self, stop: &StopFlag) -> Self {
        self.stop = Some(stop.clone());
        self
    }

    /// Who is told about every iteration.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Shows a progress bar on the terminal, if the feature `progress` is on.
    #[must_use]
    pub fn progress_bar(mut self) -> Self {
        self.progress_bar = true;
        self
    }

    /// Keeps the log-likelihood of every observation at every draw, for leave-one-out cross-validation. It takes memory: chains × draws ×
    /// observations.
    #[must_use]
    pub fn keep_log_likelihood(mut self) -> Self {
        self.keep_log_likelihood = true;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        check::at_least("chains", self.n_chains, 1, "at least 1")?;
        check::at_least("draws", self.n_draws, 1, "at least 1")?;
        for (setting, n) in [("chains", self.n_chains), ("draws", self.n_draws), ("warmup", self.n_warmup)] {
            check::in_range(setting, n as f64, u32::try_from(n).is_ok(), "below 2^32")?;
        }
        if let Some(threads) = self.threads {
            check::at_least("threads", threads, 1, "at least 1")?;
        }
        let n_starts = match &self.start {
            Start::Search => 1,
            Start::Values(all) => all.len(),
            Start::Positions(all) => all.len(),
        };
        if n_starts != 1 && n_starts != self.n_chains {
            return Err(Error::Dimension {
                what: "start points, one or one per chain",
                expected: self.n_chains,
                found: n_starts,
            });
        }
        if self.warmup.as_ref().is_some_and(|w| w.chains.is_empty()) {
            return Err(Error::Empty { what: "warm-up" });
        }
        Ok(())
    }

    /// Who is told about iterations.
    pub(crate) fn observers(&self, n_iterations: usize) -> Vec<Arc<dyn Observer>> {
        #[cfg_attr(not(feature = "progress"), allow(unused_mut))]
        let mut observers: Vec<Arc<dyn Observer>> = self.observer.iter().cloned().collect();
        #[cfg(feature = "progress")]
        if self.progress_bar {
            observers.push(Arc::new(super::progress::Bar::new(self.n_chains, n_iterations)));
        }
        let _ = n_iterations;
        observers
    }

    /// Warm-up iterations that will be made.
    pub(crate) fn warmup_to_make(&self) -> usize {
        if self.warmup.is_some() { 0 } else { self.n_warmup }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(StopFlag::is_raised)
    }
}
