//! Settings of the particle decoder.

use crate::error::{Error, check};
use crate::reasoning::{Potential, RewardScale};
use crate::smc::SmcConfig;
use crate::weights::Scheme;

/// Which language model the target holds, when it is not the one that steps are drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Base {
    /// The sampling prior itself.
    Sampled,
    /// p(x)^α of the model at temperature 1, by importance weights p^α / q: both log-probabilities must be known.
    Power(f64),
}

/// What a text is worth that the decoder cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForcedEnd {
    /// The cut is part of the model: its last score counts as that of a finished text.
    Accept,
    /// Nothing: the target is that of texts that end by themselves.
    Reject,
}

/// How scores become increments. Anything but [`Weighting::Telescoping`] is there to reproduce what others published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::reasoning) enum Weighting {
    /// log ψ_t - log ψ_{t-1}; finished texts are frozen.
    Telescoping,
    /// log ψ_t in each round, as if it were the increment.
    PerRound {
        /// Finished texts are weighted again in each round.
        reweight_finished: bool,
    },
}

/// Settings of a [`Decoder`](super::Decoder).
///
/// ```
/// use posterity::reasoning::{DecoderConfig, Link, Potential};
/// let config = DecoderConfig::new(16, 42).potential(Potential::last()).max_steps(8);
/// assert_eq!(config.target("p"), "p(x) r_T");
/// ```
#[derive(Debug, Clone)]
pub struct DecoderConfig {
    pub(in crate::reasoning) engine: SmcConfig,
    pub(in crate::reasoning) seed: u64,
    pub(in crate::reasoning) n_particles: usize,
    pub(in crate::reasoning) potential: Potential,
    pub(in crate::reasoning) max_steps: usize,
    pub(in crate::reasoning) n_candidates: usize,
    pub(in crate::reasoning) base: Base,
    pub(in crate::reasoning) forced_end: ForcedEnd,
    pub(in crate::reasoning) weighting: Weighting,
}

impl DecoderConfig {
    /// `n_particles` particles under ψ_t = r_t; systematic resampling in every step; at most 40 steps.
    #[must_use]
    pub fn new(n_particles: usize, seed: u64) -> Self {
        Self {
            engine: SmcConfig::new(n_particles, seed).ess_threshold(2.0),
            seed,
            n_particles,
            potential: Potential::last(),
            max_steps: 40,
            n_candidates: 1,
            base: Base::Sampled,
            forced_end: ForcedEnd::Accept,
            weighting: Weighting::Telescoping,
        }
    }

    /// The potential ψ.
    #[must_use]
    pub fn potential(mut self, potential: Potential) -> Self {
        self.potential = potential;
        self
    }

    /// Resampling scheme.
    #[must_use]
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.engine = self.engine.scheme(scheme);
        self
    }

    /// Resample when ESS < `fraction` · N: 0 is never, above 1 is always.
    #[must_use]
    pub fn ess_threshold(mut self, fraction: f64) -> Self {
        self.engine = self.engine.ess_threshold(fraction);
        self
    }

    /// Texts are cut off after this many steps.
    #[must_use]
    pub fn max_steps(mut self, max_steps: usize) -> Self {
        self.max_steps = max_steps;
        self
    }

    /// Candidates per particle and step, of which one is drawn in proportion to ψ; the increment is then the mean of theirs: a look-ahead
    /// that costs `n_candidates` generations and scores per particle and step.
    #[must_use]
    pub fn n_candidates(mut self, n_candidates: usize) -> Self {
        self.n_candidates = n_candidates;
        self
    }

    /// Which language model the target holds.
    #[must_use]
    pub fn base(mut self, base: Base) -> Self {
        self.base = base;
        self
    }

    /// What texts are worth that were cut off.
    #[must_use]
    pub fn forced_end(mut self, forced_end: ForcedEnd) -> Self {
        self.forced_end = forced_end;
        self
    }

    /// How often a slot is asked for while its failures are transient; see [`SmcConfig::max_attempts`]. The seed of its draw stays: drawn
    /// anew, a text would be conditional on not failing.
    #[must_use]
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.engine = self.engine.max_attempts(max_attempts);
        self
    }

    /// Drops particles whose model call failed for good, instead of ending the run. They are counted, and *the target is then another one*:
    /// that of the texts that do not fail.
    #[must_use]
    pub fn drop_failed(mut self, drop: bool) -> Self {
        self.engine = self.engine.kill_failed(drop);
        self
    }

    /// The target over finished texts x as a formula; `prior` names the sampling prior.
    #[must_use]
    pub fn target(&self, prior: &str) -> String {
        let base = match self.base {
            Base::Sampled => format!("{prior}(x)"),
            Base::Power(1.0) => "p_model(x)".to_owned(),
            Base::Power(alpha) => format!("p_model(x)^{alpha}"),
        };
        let psi = self.potential.formula();
        match self.weighting {
            Weighting::Telescoping if psi == "1" => base,
            Weighting::Telescoping => format!("{base} {psi}"),
            Weighting::PerRound { reweight_finished: false } => format!("{base} prod_t psi_t, psi_T = {psi}"),
            Weighting::PerRound { reweight_finished: true } => {
                format!("{base} prod_t psi_t · psi_T^(rounds after the end), psi_T = {psi}")
            }
        }
    }

    /// Checks the settings against a reward model's scale.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`].
    pub fn validate(&self, scale: RewardScale) -> Result<(), Error> {
        self.engine.validate()?;
        self.potential.validate(scale)?;
        check::at_least("max_steps", self.max_steps, 1, "at least 1")?;
        check::at_least("n_candidates", self.n_candidates, 1, "at least 1")?;
        if let Base::Power(alpha) = self.base {
            check::in_range("alpha", alpha, alpha >= 0.0 && alpha.is_finite(), "finite and not negative")?;
        }
        Ok(())
    }
}
