//! Particle Gibbs over texts: a Markov chain whose moves are conditional particle decoders.
//!
//! ```text
//! target over finished texts:  π(x) = p(x) ψ_T(x) / Z                 as of the particle decoder
//! sweep:   text x*  →  a decoder in which one particle is pinned to x*, step by step with its own weights  →  a particle by its weight
//! ```
//! A sweep leaves π invariant with two particles as with two thousand: unlike the particle decoder's, its error vanishes with the number of
//! sweeps at a fixed number of particles, and so at a fixed size of batch. The reference is weighed by the potential of its prefix at each
//! step. (Weighing it by the score of a later step, as if it were known already, moves the invariant law: by .058 in total variation on four
//! texts whose law is known.)
//!
//! Along the genealogy early steps hardly ever change: every particle comes to share the reference's first steps. *Ancestor sampling* draws
//! the reference's past anew before each step, from all the cloud's prefixes, and so costs, per step, a scoring of the reference's remaining
//! steps by language model and reward model after each different prefix: of the order of N T² / 2 steps read, in one batch of each. The
//! language model must be able to score given text.
//!
//! *Cost per sweep.* One particle decoder with N - 1 particles. *Not for* a single answer at a small budget: the first sweep is a particle
//! decoder, and only then does the chain begin to forget it.
//!
//! *References.* C. Andrieu, A. Doucet and R. Holenstein 2010, doi:10.1111/j.1467-9868.2009.00736.x; F. Lindsten, M. I. Jordan and T. B.
//! Schön 2014, arXiv:1401.0604; I. Puri et al. 2025, arXiv:2502.01618, who propose it for reasoning.

mod sweeps;

pub(super) use sweeps::{Start, Sweeps};

use super::decoder::{Decoded, Decoder, DecoderConfig, Particle, Stopped, Weighting};
use super::error::{Call, CallError, ReasoningError};
use super::jsonl::RunHeader;
use super::models::Models;
use super::pool::{Changes, Pool};
use super::prefix::Prefix;
use crate::error::check;
use crate::smc::SweepInfo;

/// Settings of a [`GibbsDecoder`].
#[derive(Debug, Clone)]
pub struct GibbsConfig {
    pub(super) decoder: DecoderConfig,
    pub(super) n_sweeps: usize,
    pub(super) n_burn_in: usize,
    pub(super) ancestor_sampling: bool,
}

impl GibbsConfig {
    /// `n_sweeps` sweeps that are kept, of decoders with these settings; no burn-in, no ancestor sampling.
    #[must_use]
    pub fn new(decoder: DecoderConfig, n_sweeps: usize) -> Self {
        Self { decoder, n_sweeps, n_burn_in: 0, ancestor_sampling: false }
    }

    /// Sweeps before the first that is kept.
    #[must_use]
    pub fn burn_in(mut self, n_burn_in: usize) -> Self {
        self.n_burn_in = n_burn_in;
        self
    }

    /// Draws the reference's past anew at every step; see the [module](self) for what that costs.
    #[must_use]
    pub fn ancestor_sampling(mut self, ancestor_sampling: bool) -> Self {
        self.ancestor_sampling = ancestor_sampling;
        self
    }

    pub(super) fn header(&self, method: &str, models: &Models<'_>, prompt: &Prefix) -> RunHeader {
        let header = Decoder::new(self.decoder.clone()).header(models, prompt);
        let header = RunHeader { method: method.to_owned(), ..header };
        let header = header.setting("n_sweeps", self.n_sweeps).setting("n_burn_in", self.n_burn_in);
        header.setting("ancestor_sampling", self.ancestor_sampling)
    }

    /// Checks the settings against the models.
    ///
    /// # Errors
    /// Those of [`DecoderConfig::validate`]; an invalid setting for fewer than two particles, no sweeps, a resampling scheme without a
    /// conditional form, or several candidates per particle, which a pinned text has not; [`ReasoningError::Call`] if ancestor sampling is
    /// asked of a generator that cannot score.
    pub fn validate(&self, models: &Models<'_>) -> Result<(), ReasoningError> {
        self.decoder.validate(models.scale())?;
        check::at_least("n_sweeps", self.n_sweeps, 1, "at least 1")?;
        let n = self.decoder.n_candidates;
        check::in_range("n_candidates", n as f64, n == 1, "1 in a conditional sweep")?;
        let is_proper = self.decoder.weighting == Weighting::Telescoping;
        check::in_range("weighting", f64::NAN, is_proper, "that of a target, not of a preset that has none")?;
        if self.ancestor_sampling && !models.can_score() {
            let source = CallError::unsupported("scoring of given text, which ancestor sampling needs");
            return Err(ReasoningError::Call { call: Call::Score, index: 0, source });
        }
        Ok(())
    }
}

/// Texts of a Markov chain.
#[derive(Debug)]
pub struct GibbsDecoded {
    /// All texts of the last cloud of every sweep that was kept, by their weights there, each sweep counting the same: the mean of any
    /// function under the chain with the last draw of each sweep integrated out. The same text occurs once. There is no evidence, and no
    /// record of single steps.
    pub decoded: Decoded,
    /// The chain itself: the text after each sweep that was kept.
    pub chain: Vec<Particle>,
    /// What happened in each sweep that was kept.
    pub sweeps: Vec<SweepInfo>,
    /// Per step, in which share of all sweeps the text up to that step changed: near 0 at the first steps, the chain is stuck there.
    pub change_rates: Vec<f64>,
}

/// Decodes by particle Gibbs; see the [module](self).
///
/// ```
/// use posterity::reasoning::{DecoderConfig, GibbsConfig, GibbsDecoder, Models, Potential, Prefix, TableModel};
/// let table = TableModel::two_step_example();
/// let exact = table.enumerate(&Potential::product()).mean(|text| f64::from(text.text() == "AA"));
/// let (mut generator, mut rewards) = (table.clone(), table);
/// let config = GibbsConfig::new(DecoderConfig::new(4, 1).potential(Potential::product()), 1000).ancestor_sampling(true);
/// let gibbs = GibbsDecoder::new(config).decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""))?;
/// let found = gibbs.decoded.mean(|text| f64::from(text.written() == "AA"));
/// // Four standard errors.
/// assert!((found - exact).abs() < 0.05);
/// assert!(gibbs.change_rates[0] > 0.1);
/// # Ok::<(), posterity::reasoning::ReasoningError>(())
/// ```
#[derive(Debug, Clone)]
pub struct GibbsDecoder {
    config: GibbsConfig,
}

impl GibbsDecoder {
    /// A decoder with these settings.
    #[must_use]
    pub fn new(config: GibbsConfig) -> Self {
        Self { config }
    }

    /// Decodes from a prompt. The chain starts at a text of a particle decoder.
    ///
    /// A budget that does not cover another sweep ends the chain: the sweep that was begun is dropped, those before it are returned. If it
    /// does not cover the first decoder, that one's cloud is returned, with unfinished texts in it.
    ///
    /// # Errors
    /// [`ReasoningError`]; what was paid for is kept by `models`.
    pub fn decode(&self, models: &mut Models<'_>, prompt: &Prefix) -> Result<GibbsDecoded, ReasoningError> {
        self.run(models, prompt, None)
    }

    /// Decodes from a finished text after a prompt, such as the last one of an earlier chain or another decoder's best. Sweeps draw the random
    /// numbers that those of [`decode`](Self::decode) draw: an earlier chain goes on only under another seed.
    ///
    /// A budget that does not cover the text's scores leaves no texts at all; otherwise it is as there.
    ///
    /// # Errors
    /// As [`GibbsDecoder::decode`], and an invalid setting if the text is no finished text after the prompt, or has probability zero.
    pub fn decode_from(&self, models: &mut Models<'_>, prompt: &Prefix, start: &Prefix) -> Result<GibbsDecoded, ReasoningError> {
        self.run(models, prompt, Some(start))
    }

    /// What a run with these models is, for its [`Journal`](super::Journal) and its [`Trace`](super::Trace).
    #[must_use]
    pub fn header(&self, models: &Models<'_>, prompt: &Prefix) -> RunHeader {
        self.config.header("particle Gibbs", models, prompt)
    }

    fn run(&self, models: &mut Models<'_>, prompt: &Prefix, start: Option<&Prefix>) -> Result<GibbsDecoded, ReasoningError> {
        self.config.validate(models)?;
        let target = self.config.decoder.target(&models.sampling_prior().model);
        let prior = models.sampling_prior().clone();
        let mut sweeps = Sweeps::new(models, &self.config, prompt)?;
        let (mut pool, mut changes) = (Pool::default(), Changes::default());
        let (mut chain, mut infos) = (Vec::new(), Vec::new());
        let mut stopped = Stopped::Finished;
        match sweeps.start(start, 0)? {
            Start::OverBudget => {
                sweeps.pool_cloud(&mut pool);
                stopped = Stopped::Budget;
            }
            Start::At(mut text) => {
                for sweep in 0..self.config.n_burn_in + self.config.n_sweeps {
                    let before = text.clone();
                    let Some(info) = sweeps.sweep(&mut text, 0, sweep as u64 + 1)? else {
                        stopped = Stopped::Budget;
                        break;
                    };
                    changes.count(prompt.n_steps(), &before, &text);
                    if sweep >= self.config.n_burn_in {
                        sweeps.pool_cloud(&mut pool);
                        chain.push(text.clone());
                        infos.push(info);
                    }
                }
                if chain.is_empty() {
                    pool.add(&text, 1.0);
                }
            }
        }
        let (ledger, failed, n_dropped) = sweeps.finish();
        let decoded = Decoded {
            texts: pool.normalised(),
            evidence: None,
            steps: Vec::new(),
            target,
            prior,
            ledger,
            failed,
            n_dropped,
            stopped,
        };
        Ok(GibbsDecoded { decoded, chain, sweeps: infos, change_rates: changes.rates() })
    }
}
