//! A particle decoder whose texts are all different: several candidates per text, the best spread of which is kept, without replacement.
//!
//! ```text
//! step t:  resample the texts to N without replacement, unbiased;  draw several next steps after each text, which share its weight;
//!          w ← w ψ_t / ψ_{t-1};  texts that came out the same become one, with the sum of their weights
//! Ẑ = Σ w
//! ```
//! The target is that of the [particle decoder](super::Decoder), and Ẑ is unbiased for the same Z. Copies of a text cost as much as
//! other texts and say the same until they part; here there are none, and for a model with few likely steps the cloud holds many more texts.
//!
//! *Cost per step.* One batch of generations and one of scores, each of at most N times the number of candidates: the candidates that finished
//! texts leave are given to the others. *Not for* models whose steps are hardly ever the same: there a [`Decoder`](super::Decoder) with N times
//! as many particles costs the same.
//!
//! *References.* P. Fearnhead and P. Clifford 2003, doi:10.1111/1467-9868.00421; A. K. Lew et al. 2023, arXiv:2306.03081, who steer language
//! models that way.

use std::collections::HashMap;

use rand::rand_core::Rng;

use super::decoder::{
    Decoded, Decoder, DecoderConfig, Evidence, FailedSlot, Particle, StepRecord, Stopped, TextModel, WeightedText, Weighting,
};
use super::error::{Call, ReasoningError};
use super::jsonl::RunHeader;
use super::models::{Draw, Models};
use super::prefix::{Prefix, PrefixKey};
use super::retry;
use crate::error::check;
use crate::math::{log_add_exp, log_sum_exp};
use crate::rng::{Purpose, Stream};
use crate::smc::SmcError;
use crate::weights::resampling::resample_without_replacement;

/// Decodes without replacement; see the [module](self).
///
/// Of the settings, the resampling scheme and its threshold are not used; the number of candidates is that per text.
///
/// ```
/// use posterity::reasoning::{DecoderConfig, Models, Potential, Prefix, TableModel, WithoutReplacement};
/// let table = TableModel::two_step_example();
/// let (mut generator, mut rewards) = (table.clone(), table);
/// let decoder = WithoutReplacement::new(DecoderConfig::new(4, 1).n_candidates(100).potential(Potential::product()));
/// let decoded = decoder.decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""))?;
/// assert_eq!(decoded.texts.len(), 4);
/// assert!((decoded.evidence.unwrap().log - 0.357_f64.ln()).abs() < 0.2);
/// # Ok::<(), posterity::reasoning::ReasoningError>(())
/// ```
#[derive(Debug, Clone)]
pub struct WithoutReplacement {
    config: DecoderConfig,
}

/// A text, the log of its weight, and its place in the cloud before.
#[derive(Debug, Clone)]
struct Item {
    particle: Particle,
    log_weight: f64,
    ancestor: u32,
}

/// A next text of a kept one.
struct Candidate {
    slot: usize,
    parent: usize,
    /// Log of its share of the parent's weight.
    share: f64,
    particle: Particle,
}

impl WithoutReplacement {
    /// A decoder with these settings.
    #[must_use]
    pub fn new(config: DecoderConfig) -> Self {
        Self { config }
    }

    /// Decodes from a prompt, until every text is finished or the budget is spent. At the end there are at most N texts times the number of
    /// candidates. The evidence has no standard error: run again with other seeds.
    ///
    /// # Errors
    /// [`ReasoningError`]: bad settings; a model call that failed too often; weights that are all zero.
    pub fn decode(&self, models: &mut Models<'_>, prompt: &Prefix) -> Result<Decoded, ReasoningError> {
        self.config.validate(models.scale())?;
        let is_proper = self.config.weighting == Weighting::Telescoping;
        check::in_range("weighting", f64::NAN, is_proper, "that of a target, not of a preset that has none")?;
        let target = self.config.target(&models.sampling_prior().model);
        let prior = models.sampling_prior().clone();
        let mut model = TextModel::new(models, self.config.clone(), prompt.clone());
        let mut items = vec![Item { particle: model.start(), log_weight: 0.0, ancestor: 0 }];
        let (mut steps, mut failed) = (Vec::new(), Vec::new());
        let mut stopped = Stopped::Finished;
        for t in 1.. {
            if items.iter().all(|item| item.particle.prefix.is_finished()) {
                break;
            }
            let (kept, resampled) = self.resample(&items, t)?;
            if kept.iter().all(|item| item.particle.prefix.is_finished()) {
                items = kept;
                break;
            }
            match self.expand(&mut model, &kept, t) {
                Ok((expanded, dropped)) => {
                    items = expanded;
                    failed.extend(dropped);
                }
                Err(ReasoningError::Budget { .. }) => {
                    stopped = Stopped::Budget;
                    break;
                }
                Err(error) => return Err(error),
            }
            if items.is_empty() {
                let log_evidence = steps.last().map_or(0.0, |record: &StepRecord| record.log_evidence);
                return Err(SmcError::Degenerate { step: t, log_evidence }.into());
            }
            steps.push(record(t, &items, resampled));
        }
        let log_weights: Vec<f64> = items.iter().map(|item| item.log_weight).collect();
        let log_evidence = log_sum_exp(&log_weights);
        let texts = items.iter().map(|item| WeightedText {
            prefix: item.particle.prefix.clone(),
            weight: (item.log_weight - log_evidence).exp(),
            scores: item.particle.scores.to_vec(),
            log_psi: item.particle.log_psi,
        });
        Ok(Decoded {
            texts: texts.collect(),
            evidence: Some(Evidence { log: log_evidence, standard_error: None }),
            steps,
            target,
            prior,
            ledger: model.models.ledger(),
            n_dropped: failed.len(),
            failed,
            stopped,
        })
    }

    /// What a run with these models is, for its [`Journal`](super::Journal) and its [`Trace`](super::Trace).
    #[must_use]
    pub fn header(&self, models: &Models<'_>, prompt: &Prefix) -> RunHeader {
        RunHeader { method: "without replacement".to_owned(), ..Decoder::new(self.config.clone()).header(models, prompt) }
    }

    /// At most N texts, each with its place in the cloud; true if some were left out.
    fn resample(&self, items: &[Item], t: usize) -> Result<(Vec<Item>, bool), ReasoningError> {
        let log_weights: Vec<f64> = items.iter().map(|item| item.log_weight).collect();
        let mut rng = Stream::keyed(self.config.seed, Purpose::Resampling, t as u64, 0);
        let kept = resample_without_replacement(&log_weights, self.config.n_particles, &mut rng)
            .map_err(|source| SmcError::Resample { step: t, source })?;
        let resampled = kept.indices.len() < items.len();
        let pairs = kept.indices.iter().zip(&kept.log_weights);
        let kept = pairs.map(|(&i, &log_weight)| Item { log_weight, ancestor: i as u32, ..items[i].clone() });
        Ok((kept.collect(), resampled))
    }

    /// The texts one step later, and the calls that failed for good.
    fn expand(
        &self,
        model: &mut TextModel<'_, '_>,
        kept: &[Item],
        t: usize,
    ) -> Result<(Vec<Item>, Vec<FailedSlot>), ReasoningError> {
        let mut failed = Vec::new();
        let drawn = self.draw(model, kept, t, &mut failed)?;
        let weighed = self.weigh(model, drawn, t, &mut failed)?;
        let mut cloud = Cloud::default();
        for item in kept.iter().filter(|item| item.particle.prefix.is_finished()) {
            cloud.add(item.clone());
        }
        for Candidate { parent, particle, share, .. } in weighed {
            let parent = &kept[parent];
            let log_weight = parent.log_weight + share + model.log_increment(&particle, parent.particle.log_psi)?;
            if log_weight.is_nan() || log_weight == f64::INFINITY {
                return Err(bad_weight(t, parent.ancestor, log_weight).into());
            }
            if log_weight > f64::NEG_INFINITY {
                cloud.add(Item { particle, log_weight, ancestor: parent.ancestor });
            }
        }
        Ok((cloud.items, failed))
    }

    /// Draws the candidates in one batch. The places that finished texts leave are shared by the others.
    fn draw(
        &self,
        model: &mut TextModel<'_, '_>,
        kept: &[Item],
        t: usize,
        failed: &mut Vec<FailedSlot>,
    ) -> Result<Vec<Candidate>, ReasoningError> {
        let open: Vec<usize> = (0..kept.len()).filter(|&i| !kept[i].particle.prefix.is_finished()).collect();
        let n_draws = (self.config.n_particles - (kept.len() - open.len())) * self.config.n_candidates;
        let mut places = Vec::with_capacity(n_draws);
        for (rank, &parent) in open.iter().enumerate() {
            let n = n_draws / open.len() + usize::from(rank < n_draws % open.len());
            places.extend(std::iter::repeat_n((parent, -(n as f64).ln()), n));
        }
        let seed = |i: usize| Stream::keyed(self.config.seed, Purpose::Particle, t as u64, i as u64).next_u64();
        let draws: Vec<_> =
            places.iter().enumerate().map(|(i, &(parent, _))| Draw::new(&kept[parent].particle.prefix, seed(i))).collect();
        model.models.check_rewards(&draws, |text| model.cut(text), [])?;
        let replies = retry::extend(model.models, &draws, self.config.engine.max_attempts, |_, _| ())?;
        let mut drawn = Vec::with_capacity(replies.len());
        for (slot, ((parent, share), reply)) in places.into_iter().zip(replies).enumerate() {
            match reply {
                Ok(prefix) => {
                    let particle = Particle { prefix: model.cut(prefix), ..model.start() };
                    drawn.push(Candidate { slot, parent, share, particle });
                }
                Err(error) => failed.push(self.failure(FailedSlot { step: t, slot, call: Call::Generate, error })?),
            }
        }
        Ok(drawn)
    }

    /// Scores the candidates in one batch, each text once.
    fn weigh(
        &self,
        model: &mut TextModel<'_, '_>,
        drawn: Vec<Candidate>,
        t: usize,
        failed: &mut Vec<FailedSlot>,
    ) -> Result<Vec<Candidate>, ReasoningError> {
        let prefixes: Vec<&Prefix> = drawn.iter().map(|candidate| &candidate.particle.prefix).collect();
        let replies = retry::score(model.models, &prefixes, self.config.engine.max_attempts, |_, _| ())?;
        let mut weighed = Vec::with_capacity(drawn.len());
        for (candidate, reply) in drawn.into_iter().zip(replies) {
            match reply {
                Ok(scores) => {
                    weighed.push(Candidate { particle: model.particle(candidate.particle.prefix, scores), ..candidate })
                }
                Err(error) => {
                    failed.push(self.failure(FailedSlot { step: t, slot: candidate.slot, call: Call::Reward, error })?);
                }
            }
        }
        Ok(weighed)
    }

    /// The failure, to be noted, if candidates that fail are dropped; otherwise it is the run's error.
    fn failure(&self, slot: FailedSlot) -> Result<FailedSlot, ReasoningError> {
        if self.config.engine.kill_failed {
            return Ok(slot);
        }
        Err(ReasoningError::Call { call: slot.call, index: slot.slot, source: slot.error })
    }
}

fn bad_weight(step: usize, slot: u32, log_weight: f64) -> SmcError<ReasoningError> {
    if log_weight.is_nan() { SmcError::NotANumber { step, slot } } else { SmcError::PositiveInfinity { step, slot } }
}

/// Texts that are all different.
#[derive(Default)]
struct Cloud {
    items: Vec<Item>,
    places: HashMap<PrefixKey, usize>,
}

impl Cloud {
    /// Adds a text, or its weight to that of the same text.
    fn add(&mut self, item: Item) {
        let place = *self.places.entry(item.particle.prefix.key()).or_insert(self.items.len());
        match self.items.get_mut(place) {
            Some(known) => known.log_weight = log_add_exp(known.log_weight, item.log_weight),
            None => self.items.push(item),
        }
    }
}

fn record(step: usize, items: &[Item], resampled: bool) -> StepRecord {
    let log_weights: Vec<f64> = items.iter().map(|item| item.log_weight).collect();
    let log_evidence = log_sum_exp(&log_weights);
    let weights: Vec<f64> = log_weights.iter().map(|w| (w - log_evidence).exp()).collect();
    StepRecord {
        step,
        ess: 1.0 / weights.iter().map(|w| w * w).sum::<f64>(),
        log_evidence,
        resampled,
        n_unfinished: items.iter().filter(|item| !item.particle.prefix.is_finished()).count(),
        n_distinct: items.len(),
        ancestors: items.iter().map(|item| item.ancestor).collect(),
        texts: items.iter().map(|item| item.particle.prefix.clone()).collect(),
        weights,
        scores: items.iter().map(|item| item.particle.scores.last().copied().unwrap_or(f64::NAN)).collect(),
    }
}
