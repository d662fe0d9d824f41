//! What a decoder returns.

use serde::{Deserialize, Serialize};

use super::model::{FailedSlot, TextModel};
use super::particles::Texts;
use crate::error::Error;
use crate::reasoning::{Ledger, Prefix, PrefixKey, SamplingPrior};
use crate::smc::{Smc, Snapshot};

/// A text with its weight.
#[derive(Debug, Clone)]
pub struct WeightedText {
    /// The text.
    pub prefix: Prefix,
    /// Normalised weight.
    pub weight: f64,
    /// Scores of its steps, on the reward model's scale.
    pub scores: Vec<f64>,
    /// log ψ of it; NaN if it was not scored.
    pub log_psi: f64,
}

impl WeightedText {
    /// The last step's score; `None` if there is no step.
    #[must_use]
    pub fn reward(&self) -> Option<f64> {
        self.scores.last().copied()
    }
}

/// An estimate of log Z.
///
/// ```
/// use posterity::reasoning::Evidence;
/// let run = |z: f64| Evidence { log: z.ln(), standard_error: None };
/// let both = Evidence::of_runs(&[run(1.0), run(3.0)])?;
/// assert!((both.log - 2.0_f64.ln()).abs() < 1e-12);
/// assert!((both.standard_error.unwrap() - 0.5).abs() < 1e-12);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// log Ẑ; Ẑ itself is unbiased.
    pub log: f64,
    /// Its standard error, estimated from this one run's genealogy
    /// ([`Genealogy::relative_variance`](crate::weights::Genealogy::relative_variance)).
    ///
    /// It is meant for multinomial resampling. Under systematic, stratified and SSP resampling it is too small, and where they resample in
    /// every step there is mostly none: `None` if the estimate of the variance is not positive, or the genealogy has
    /// coalesced. [`Evidence::of_runs`] has one for any scheme.
    pub standard_error: Option<f64>,
}

impl Evidence {
    pub(in crate::reasoning) fn of(log: f64, relative_variance: f64) -> Self {
        let is_known = relative_variance > 0.0 && relative_variance < 1.0;
        Self { log, standard_error: is_known.then(|| relative_variance.sqrt()) }
    }

    /// The estimate of independent runs of the same decoder, under any scheme: the log of the mean of their Ẑ, which is unbiased again, with the
    /// standard error that their spread gives. One run has the error that it has; runs that all found nothing have none.
    ///
    /// # Errors
    /// [`Error::Empty`] without runs, [`Error::NotFinite`] for an estimate that is NaN or +∞.
    pub fn of_runs(runs: &[Self]) -> Result<Self, Error> {
        if let Some((index, run)) = runs.iter().enumerate().find(|(_, run)| !(run.log < f64::INFINITY)) {
            return Err(Error::NotFinite { what: "log-evidence of runs", index, value: run.log });
        }
        let largest = runs.iter().map(|run| run.log).fold(f64::NEG_INFINITY, f64::max);
        match runs {
            [] => Err(Error::Empty { what: "runs" }),
            [run] => Ok(*run),
            _ if largest == f64::NEG_INFINITY => Ok(Self { log: largest, standard_error: None }),
            _ => {
                let n = runs.len() as f64;
                let ratio = |run: &Self| (run.log - largest).exp();
                let mean = runs.iter().map(ratio).sum::<f64>() / n;
                let variance = runs.iter().map(|run| (ratio(run) - mean).powi(2)).sum::<f64>() / (n - 1.0);
                Ok(Self { log: largest + mean.ln(), standard_error: Some((variance / n).sqrt() / mean) })
            }
        }
    }
}

/// What happened in one step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// The step, from 1.
    pub step: usize,
    /// Effective sample size after it.
    pub ess: f64,
    /// Log-evidence up to it.
    pub log_evidence: f64,
    /// True if ancestors were drawn before it.
    pub resampled: bool,
    /// Texts that are not finished after it.
    pub n_unfinished: usize,
    /// Number of different texts after it.
    pub n_distinct: usize,
    /// Slot `i` came from slot `ancestors[i]` of the step before.
    pub ancestors: Vec<u32>,
    /// The text in each slot: a handle, which texts share with what they go on from.
    pub texts: Vec<Prefix>,
    /// Normalised weights.
    pub weights: Vec<f64>,
    /// The last score of each slot's text; NaN where it has none.
    pub scores: Vec<f64>,
}

impl StepRecord {
    pub(super) fn of(snapshot: &Snapshot<'_, Texts>) -> Self {
        let texts = snapshot.view.population;
        let mut distinct: Vec<PrefixKey> = texts.iter().map(|text| text.prefix.key()).collect();
        distinct.sort_unstable();
        distinct.dedup();
        Self {
            step: snapshot.info.t,
            ess: snapshot.info.ess,
            log_evidence: snapshot.info.log_evidence,
            resampled: snapshot.info.resampled,
            n_unfinished: texts.iter().filter(|text| !text.prefix.is_finished()).count(),
            n_distinct: distinct.len(),
            ancestors: snapshot.ancestors.to_vec(),
            texts: texts.iter().map(|text| text.prefix.clone()).collect(),
            weights: snapshot.view.weights.normalised().collect(),
            scores: texts.iter().map(|text| text.scores.last().copied().unwrap_or(f64::NAN)).collect(),
        }
    }
}

/// Why a decoder stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Every text is finished.
    Finished,
    /// The budget did not cover another step: some texts are unfinished.
    Budget,
}

/// Texts with weights, and everything a run knows of itself.
#[derive(Debug)]
pub struct Decoded {
    /// Texts with weights that sum to 1.
    pub texts: Vec<WeightedText>,
    /// The estimate of log Z, for methods that have one.
    pub evidence: Option<Evidence>,
    /// The steps: effective sample sizes, ancestors, weights.
    pub steps: Vec<StepRecord>,
    /// The target as a formula.
    pub target: String,
    /// The distribution that steps were drawn from.
    pub prior: SamplingPrior,
    /// The costs.
    pub ledger: Ledger,
    /// Model calls that failed, those that a later attempt mended included.
    pub failed: Vec<FailedSlot>,
    /// Number of particles that were dropped because their model calls failed.
    pub n_dropped: usize,
    /// Why it stopped.
    pub stopped: Stopped,
}

impl Decoded {
    pub(super) fn of(
        smc: Smc<TextModel<'_, '_>>,
        steps: Vec<StepRecord>,
        target: String,
        prior: SamplingPrior,
        stopped: Stopped,
    ) -> Self {
        let summary = smc.summary();
        let view = smc.view();
        let texts = view
            .population
            .iter()
            .zip(view.weights.normalised())
            .map(|(text, weight)| WeightedText {
                prefix: text.prefix.clone(),
                weight,
                scores: text.scores.to_vec(),
                log_psi: text.log_psi,
            })
            .collect();
        let model = smc.into_model();
        Self {
            texts,
            evidence: Some(Evidence::of(summary.log_evidence, summary.relative_variance)),
            steps,
            target,
            prior,
            ledger: model.models.ledger(),
            stopped,
            n_dropped: summary.n_killed,
            failed: model.into_failed(),
        }
    }

    /// The weighted mean of a function of texts: consistent for its mean under the target, with a bias of order 1/N.
    pub fn mean(&self, f: impl Fn(&Prefix) -> f64) -> f64 {
        self.texts.iter().filter(|text| text.weight > 0.0).map(|text| text.weight * f(&text.prefix)).sum()
    }
}
