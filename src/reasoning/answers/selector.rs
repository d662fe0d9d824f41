//! Which answer to give, among weighted texts.

use serde::{Deserialize, Serialize};

use super::AnswerRule;
use super::equivalence::answer_classes;
use crate::error::{Error, check};
use crate::reasoning::WeightedText;
use crate::rng::{Purpose, Stream};

/// How an answer is chosen among weighted texts.
///
/// Texts of weight 0 and texts without an answer are never chosen. Answers are grouped by [`answer_classes`]; a class's text is its member
/// that counts most. **Ties** go to the class (or text) that comes first, where sums that differ by a relative 1e-9 are tied. Where texts are exchangeable, as
/// independent ones are, two classes of equally many texts are equally likely to come first: the rule then is a fair coin that needs no
/// seed.
///
/// | selector | on independent texts |
/// |---|---|
/// | [`Selector::MaxReward`] | best-of-N |
/// | [`Selector::RewardWeightedVote`] | weighted best-of-N |
/// | [`Selector::Majority`] | self-consistency (X. Wang et al. 2022, arXiv:2203.11171) |
///
/// ```
/// use posterity::reasoning::{Answers, Finish, Prefix, Selector, Step, WeightedText};
/// let text = |answer: &str, weight: f64, score: f64| WeightedText {
///     prefix: Prefix::prompt("").extended(Step::new(answer, Finish::Eos)),
///     weight,
///     scores: vec![score],
///     log_psi: score.ln(),
/// };
/// let texts = [text("1/2", 0.3, 0.6), text("7", 0.4, 0.9), text("0.5", 0.3, 0.5)];
/// let choose = |selector: Selector| selector.select(&texts, &Answers::last_number()).unwrap().answer;
/// assert_eq!(choose(Selector::WeightedVote), "1/2");
/// assert_eq!(choose(Selector::MaxReward), "7");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// A text drawn in proportion to its weight.
    Sample {
        /// Seed of the draw.
        seed: u64,
    },
    /// The text of largest weight.
    MaxWeight,
    /// The text with the largest last score.
    MaxReward,
    /// The class with the largest sum of weights: for weighted particles, the most probable answer under their target.
    WeightedVote,
    /// The class with the largest sum of ψ, the potential that the method ran with: for [`Potential::last`](crate::reasoning::Potential::last)
    /// of probabilities, the sum of last scores. Weights do not count, and texts that were not scored count 0.
    RewardWeightedVote,
    /// The class of most texts. Weights do not count.
    Majority,
    /// Among the classes with at least this share of the weights, the one whose best text has the largest last score; the weighted vote if no
    /// class has. A simplification of Best-of-Majority (Q. Di et al. 2025, arXiv:2510.03199), which returns the k best of them.
    BestOfMajority {
        /// The least share, in \[0, 1\].
        threshold: f64,
    },
}

/// The answer that was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The answer, as its text has it.
    pub answer: String,
    /// Place of the text among those given.
    pub index: usize,
    /// The class's share of what was summed over all texts, those without an answer included: of ψ for [`Selector::RewardWeightedVote`], of
    /// texts for [`Selector::Majority`], of weights for all others.
    pub share: f64,
}

/// Sums that differ by less than this, relatively, are equal.
const ROUND_OFF: f64 = 1e-9;

impl Selector {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a threshold outside \[0, 1\].
    pub fn validate(&self) -> Result<(), Error> {
        match *self {
            Self::BestOfMajority { threshold } => {
                check::in_range("threshold", threshold, (0.0..=1.0).contains(&threshold), "in [0, 1]")
            }
            _ => Ok(()),
        }
    }

    /// Chooses an answer; `None` if no text with a weight above 0 has one, or if the settings are not [valid](Self::validate).
    pub fn select(&self, texts: &[WeightedText], rule: &dyn AnswerRule) -> Option<Selection> {
        self.validate().ok()?;
        let has_weight = |text: &WeightedText| text.weight > 0.0;
        let answers: Vec<_> = texts.iter().map(|text| if has_weight(text) { rule.answer(&text.prefix) } else { None }).collect();
        let classes = answer_classes(&answers, rule);
        let weights: Vec<f64> = texts.iter().map(|text| if has_weight(text) { text.weight } else { 0.0 }).collect();
        let rewards: Vec<f64> = texts.iter().map(|text| text.reward().unwrap_or(f64::NAN)).collect();
        let by_weight = Ballot { classes: &classes, counts: &weights };
        let (index, share) = match *self {
            Self::Sample { seed } => {
                let index = by_weight.draw(Stream::keyed(seed, Purpose::Particle, 0, 0).uniform())?;
                (index, by_weight.share(index))
            }
            Self::MaxWeight => {
                let index = first_largest(&weights, |i| classes[i].is_some())?;
                (index, by_weight.share(index))
            }
            Self::MaxReward => {
                let index = first_largest(&rewards, |i| classes[i].is_some())?;
                (index, by_weight.share(index))
            }
            Self::WeightedVote => by_weight.winner()?,
            Self::RewardWeightedVote => Ballot { classes: &classes, counts: &potentials(texts) }.winner()?,
            Self::Majority => {
                let ones: Vec<f64> = weights.iter().map(|&weight| f64::from(weight > 0.0)).collect();
                Ballot { classes: &classes, counts: &ones }.winner()?
            }
            Self::BestOfMajority { threshold } => {
                let is_frequent = |i: usize| classes[i].is_some() && by_weight.share(i) >= threshold - ROUND_OFF;
                match first_largest(&rewards, is_frequent) {
                    Some(index) => (index, by_weight.share(index)),
                    None => by_weight.winner()?,
                }
            }
        };
        answers[index].clone().map(|answer| Selection { answer, index, share })
    }
}

/// ψ of all texts of positive weight, relative to the largest.
fn potentials(texts: &[WeightedText]) -> Vec<f64> {
    let has_weight = |text: &&WeightedText| text.weight > 0.0;
    let largest = texts.iter().filter(has_weight).map(|text| text.log_psi).fold(f64::NEG_INFINITY, f64::max);
    let relative = |text: &WeightedText| if text.log_psi > f64::NEG_INFINITY { (text.log_psi - largest).exp() } else { 0.0 };
    texts.iter().map(|text| if text.weight > 0.0 { relative(text) } else { 0.0 }).collect()
}

/// What each text counts, and for which class.
struct Ballot<'a> {
    classes: &'a [Option<usize>],
    counts: &'a [f64],
}

impl Ballot<'_> {
    fn sum(&self, class: usize) -> f64 {
        self.classes.iter().zip(self.counts).filter(|(c, _)| **c == Some(class)).map(|(_, count)| count).sum()
    }

    /// The share of a text's class in all counts.
    fn share(&self, index: usize) -> f64 {
        let total: f64 = self.counts.iter().sum();
        self.classes[index].map_or(0.0, |class| self.sum(class) / total)
    }

    /// The text that counts most in the class that counts most, and that class's share.
    fn winner(&self) -> Option<(usize, f64)> {
        let n_classes = self.classes.iter().flatten().max().map_or(0, |class| class + 1);
        let sums: Vec<f64> = (0..n_classes).map(|class| self.sum(class)).collect();
        let class = first_largest_sum(&sums)?;
        let index = first_largest(self.counts, |i| self.classes[i] == Some(class))?;
        Some((index, self.share(index)))
    }

    /// A text with an answer, in proportion to its count.
    fn draw(&self, u: f64) -> Option<usize> {
        let open: Vec<usize> = (0..self.counts.len()).filter(|&i| self.classes[i].is_some() && self.counts[i] > 0.0).collect();
        let mut rest = u * open.iter().map(|&i| self.counts[i]).sum::<f64>();
        let drawn = open.iter().find(|&&i| {
            rest -= self.counts[i];
            rest < 0.0
        });
        drawn.or(open.last()).copied()
    }
}

/// The first of the largest values among the eligible, NaN left out.
fn first_largest(values: &[f64], is_eligible: impl Fn(usize) -> bool) -> Option<usize> {
    let eligible = (0..values.len()).filter(|&i| !values[i].is_nan() && is_eligible(i));
    eligible.reduce(|best, next| if values[next] > values[best] { next } else { best })
}

/// The first of the largest positive sums, up to round-off.
fn first_largest_sum(sums: &[f64]) -> Option<usize> {
    let largest = sums.iter().copied().fold(0.0, f64::max);
    sums.iter().position(|&sum| sum > 0.0 && sum >= largest * (1.0 - ROUND_OFF))
}
