//! Published recipes of particle decoding, as their papers and programs have them: for comparison and reproduction, not for use.
//!
//! They differ in what they sample, which none of them says. [`Preset::target`] does, and `Display` prints it:
//!
//! ```text
//! puri2025_paper   p(x) prod_t exp(r_t)                                     weights are a softmax of scores, not of their logs
//! puri2025_code    p(x) prod_t psi_t · psi_T^(rounds after the end)         psi_t = odds(r_t)
//! its_hub_2025     the same, and its weights once more on top of it
//! ```
//! The power of the last two grows with each round that a text has been finished for: early ends are rewarded exponentially. As rounds last
//! until all texts are finished, the power depends on the run too, and the weights estimate no evidence. What is right under the same scores
//! is [`Decoder`] with a [`Potential`]: the increments telescope, finished texts are frozen, and weights are used once.
//!
//! Sources: I. Puri et al. 2025, arXiv:2502.01618, its program (`probabilistic-inference-scaling`), and `its_hub`, both as of 2025.

use std::fmt;

use super::answers::{AnswerRule, Selection, Selector};
use super::decoder::{Decoded, Decoder, DecoderConfig, StepRecord, WeightedText, Weighting};
use super::error::ReasoningError;
use super::jsonl::RunHeader;
use super::models::Models;
use super::potential::{Link, Potential};
use super::prefix::Prefix;
use crate::math::softmax_in_place;
use crate::rng::{Purpose, Stream};
use crate::weights::Scheme;

/// What happens to the texts of the last round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastRound {
    /// They keep their weights.
    Weighted,
    /// They are resampled once more.
    Resampled,
    /// They are resampled once more, and then weighted by the same weights again.
    ResampledAndWeighted,
}

/// A published recipe: a decoder, what is done after its last round, and how the answer is chosen.
///
/// ```
/// use posterity::reasoning::{Preset, puri2025_paper};
/// let preset: Preset = puri2025_paper(16, 1);
/// assert_eq!(preset.to_string(), "puri2025_paper: samples p(x) prod_t exp(r_t)");
/// ```
#[derive(Debug, Clone)]
pub struct Preset {
    name: &'static str,
    config: DecoderConfig,
    last_round: LastRound,
    selector: Selector,
}

/// Algorithm 1 of Puri et al. 2025 as it is written: multinomial resampling in each round by the softmax of the scores themselves, finished
/// texts kept; the answer is the one with the largest last score. (The authors draw steps at temperature 0.8.)
#[must_use]
pub fn puri2025_paper(n_particles: usize, seed: u64) -> Preset {
    let potential = Potential::product().link(Link::Exp);
    Preset::new("puri2025_paper", DecoderConfig::new(n_particles, seed).potential(potential), LastRound::Weighted)
}

/// The program of Puri et al. 2025 with `--resample-inactive`, as in every script of theirs: multinomial resampling of all texts in each round,
/// the last included, by the odds of the last score, finished texts again and again; the answer is the one with the largest last score.
#[must_use]
pub fn puri2025_code(n_particles: usize, seed: u64) -> Preset {
    let config = DecoderConfig::new(n_particles, seed).potential(Potential::last().link(Link::Odds).clip(2.2e-16));
    Preset::new("puri2025_code", reweighting(config), LastRound::Resampled)
}

/// The particle filter of its_hub in 2025: as [`puri2025_code`], but for another limit of the odds, and with the weights of the last round used
/// a second time on the texts that were resampled by them. The answer is the one of largest weight; the package also draws one by weight
/// ([`Selector::Sample`]).
#[must_use]
pub fn its_hub_2025(n_particles: usize, seed: u64) -> Preset {
    let config = DecoderConfig::new(n_particles, seed).potential(Potential::last().link(Link::Odds).clip(1e-7));
    let preset = Preset::new("its_hub_2025", reweighting(config), LastRound::ResampledAndWeighted);
    Preset { selector: Selector::MaxWeight, ..preset }
}

fn reweighting(config: DecoderConfig) -> DecoderConfig {
    DecoderConfig { weighting: Weighting::PerRound { reweight_finished: true }, ..config }
}

impl Preset {
    fn new(name: &'static str, config: DecoderConfig, last_round: LastRound) -> Self {
        let config = config.scheme(Scheme::Multinomial).ess_threshold(2.0);
        Self { name, config, last_round, selector: Selector::MaxReward }
    }

    /// Texts are cut off after this many steps; 40 at first, as the authors have it.
    #[must_use]
    pub fn max_steps(mut self, max_steps: usize) -> Self {
        self.config = self.config.max_steps(max_steps);
        self
    }

    /// The settings of the decoder.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// How the recipe chooses its answer.
    #[must_use]
    pub fn selector(&self) -> Selector {
        self.selector
    }

    /// What the texts of the last round are distributed as, for many particles; `prior` names the sampling prior.
    #[must_use]
    pub fn target(&self, prior: &str) -> String {
        let target = self.config.target(prior);
        match self.last_round {
            LastRound::Weighted | LastRound::Resampled => target,
            LastRound::ResampledAndWeighted => format!("{target}, weighted by psi_T once more"),
        }
    }

    /// What a run with these models is, for its [`Journal`](super::Journal) and its [`Trace`](super::Trace).
    #[must_use]
    pub fn header(&self, models: &Models<'_>, prompt: &Prefix) -> RunHeader {
        let header = Decoder::new(self.config.clone()).header(models, prompt);
        RunHeader { method: self.name.to_owned(), ..header }.target(self.target(&models.sampling_prior().model))
    }

    /// Decodes by the recipe. Where it resamples after the last round, the texts are those drawn then, with the weights that the recipe gives
    /// them: their places are not those of the last [`StepRecord`](super::StepRecord).
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn decode(&self, models: &mut Models<'_>, prompt: &Prefix) -> Result<Decoded, ReasoningError> {
        let mut decoded = Decoder::new(self.config.clone()).decode(models, prompt)?;
        decoded.target = self.target(&decoded.prior.model);
        if self.last_round != LastRound::Weighted {
            decoded.evidence = None;
            if is_idle(&decoded.steps) {
                decoded.steps.pop();
            } else {
                decoded.texts = self.resampled(&decoded.texts);
            }
            self.reweight(&mut decoded.texts);
        }
        Ok(decoded)
    }

    /// The answer that the recipe gives; `None` if no text has one.
    #[must_use]
    pub fn select(&self, decoded: &Decoded, rule: &dyn AnswerRule) -> Option<Selection> {
        self.selector.select(&decoded.texts, rule)
    }

    /// As many texts, drawn independently in proportion to their weights.
    fn resampled(&self, texts: &[WeightedText]) -> Vec<WeightedText> {
        let mut stream = Stream::keyed(self.config.seed, Purpose::Resampling, u64::MAX, 0);
        let last = texts.iter().rposition(|text| text.weight > 0.0).unwrap_or(0);
        let draw = |mut u: f64| {
            let drawn = texts.iter().position(|text| {
                u -= text.weight;
                u < 0.0
            });
            texts[drawn.unwrap_or(last)].clone()
        };
        texts.iter().map(|_| draw(stream.uniform())).collect()
    }

    /// Gives texts that were resampled the weights that the recipe goes on with.
    fn reweight(&self, texts: &mut [WeightedText]) {
        let mut weights: Vec<f64> = match self.last_round {
            LastRound::ResampledAndWeighted => texts.iter().map(|text| text.log_psi).collect(),
            LastRound::Weighted | LastRound::Resampled => vec![0.0; texts.len()],
        };
        softmax_in_place(&mut weights);
        for (text, weight) in texts.iter_mut().zip(weights) {
            text.weight = weight;
        }
    }
}

/// True if resampling left only finished texts, so that the last round drew nothing: the programs stop before it, right after resampling.
fn is_idle(steps: &[StepRecord]) -> bool {
    let [.., before, last] = steps else { return false };
    let is_copy = |(text, ancestor): (&Prefix, &u32)| before.texts.get(*ancestor as usize) == Some(text);
    last.resampled && last.texts.iter().zip(&last.ancestors).all(is_copy)
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: samples {}", self.name, self.target("p"))
    }
}
