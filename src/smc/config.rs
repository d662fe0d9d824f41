//! Settings of a run of the engine.

use super::history::Keep;
use crate::error::{Error, check};
use crate::parallel::Threads;
use crate::weights::{Scheme, Scope, WeightConfig};

/// Settings of a run of the engine.
///
/// ```
/// use posterity::smc::SmcConfig;
/// use posterity::weights::Scheme;
/// let config = SmcConfig::new(1000, 42).scheme(Scheme::Ssp).ess_threshold(0.7);
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct SmcConfig {
    pub(super) n_particles: usize,
    pub(super) seed: u64,
    pub(crate) weights: WeightConfig,
    pub(super) keep: Keep,
    pub(super) threads: Threads,
    pub(crate) max_attempts: u32,
    pub(crate) kill_failed: bool,
}

impl SmcConfig {
    /// `n_particles` particles; systematic resampling below an effective sample size of half of them; no history; all threads.
    #[must_use]
    pub fn new(n_particles: usize, seed: u64) -> Self {
        Self {
            n_particles,
            seed,
            weights: WeightConfig::default(),
            keep: Keep::Nothing,
            threads: Threads::shared(),
            max_attempts: 3,
            kill_failed: false,
        }
    }

    /// Resampling scheme.
    #[must_use]
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.weights.scheme = scheme;
        self
    }

    /// Resample when ESS < `fraction` · N: 0 is never, above 1 is always.
    #[must_use]
    pub fn ess_threshold(mut self, fraction: f64) -> Self {
        self.weights.ess_threshold = fraction;
        self
    }

    /// Which slots take part in resampling when some are frozen.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.weights.scope = scope;
        self
    }

    /// How much of the past is kept, for smoothing.
    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// Where the work is done. The result does not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// How often one call of `step` asks for slots that stay [`Status::Pending`](crate::weights::Status::Pending), after step 0, whose slots
    /// must all be there at once.
    #[must_use]
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// Gives slots that [failed](crate::weights::Status::Failed) weight 0 instead of ending the step with an error. They are counted. *The
    /// target is then another one*: that of the particles that do not fail.
    #[must_use]
    pub fn kill_failed(mut self, kill: bool) -> Self {
        self.kill_failed = kill;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`].
    pub fn validate(&self) -> Result<(), Error> {
        let n = self.n_particles;
        check::in_range("n_particles", n as f64, n > 0 && u32::try_from(n).is_ok(), "from 1 to 2^32 - 1")?;
        check::at_least("max_attempts", self.max_attempts as usize, 1, "at least 1")?;
        self.weights.validate()
    }
}
