//! Potentials: what the scores of a prefix amount to.

use std::fmt;
use std::sync::Arc;

use super::reward::RewardScale;
use crate::error::{Error, check};
use crate::math::{inv_logit, log_inv_logit, log1m_exp, logit};

/// How a score enters the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// ℓ(r) = r, a probability.
    Probability,
    /// ℓ(r) = r / (1 - r).
    Odds,
    /// ℓ(r) = e^r; the only link of scores that are no probabilities.
    Exp,
}

/// A function of the scores of all steps, and of whether the text is finished, to log ψ.
pub type LogPotential = dyn Fn(&[f64], bool) -> f64 + Send + Sync;

/// How the scores of a prefix's steps become one number.
#[derive(Clone)]
enum Aggregate {
    Product,
    Last,
    Min,
    Final,
    Nothing,
    Custom { name: String, log_psi: Arc<LogPotential> },
}

/// The potential ψ_t of a prefix: a non-negative function of the scores r₁ … r_t of its steps, with ψ₀ = 1.
///
/// ```text
/// target of finished texts:   π(x) ∝ p(x) ψ_T(x)
/// increment of step t:        log ψ_t(x₁:t) - log ψ_{t-1}(x₁:t₋₁)
/// ```
/// The increments telescope: what a target is depends on ψ at finished texts alone, and the potentials of unfinished ones only guide the
/// particles there. (Multiplying the weight with a prefix's whole score in each round, instead, counts early steps again and again.)
///
/// | potential | ψ_t |
/// |---|---|
/// | [`Potential::product`] | Π ℓ(r_s)^β |
/// | [`Potential::last`] | ℓ(r_t)^β: with a model that judges whole prefixes, or estimates their value |
/// | [`Potential::min`] | min ℓ(r_s)^β |
/// | [`Potential::terminal`] | 1 until the text is finished, then ℓ(r_T)^β: importance sampling |
/// | [`Potential::custom`] | anything |
///
/// ```
/// use posterity::reasoning::{Link, Potential, RewardScale};
/// let potential = Potential::last().link(Link::Odds).inverse_temperature(0.5);
/// assert_eq!(potential.log_psi(RewardScale::Logit, &[3.0, 1.0], false), 0.5);
/// assert_eq!(potential.formula(), "odds(r_T)^0.5");
/// ```
#[derive(Clone)]
pub struct Potential {
    aggregate: Aggregate,
    link: Link,
    inverse_temperature: f64,
    clip: f64,
}

impl Potential {
    fn new(aggregate: Aggregate) -> Self {
        Self { aggregate, link: Link::Probability, inverse_temperature: 1.0, clip: 1e-9 }
    }

    /// The product of all steps' scores.
    #[must_use]
    pub fn product() -> Self {
        Self::new(Aggregate::Product)
    }

    /// The last step's score. With a reward model that estimates the probability of a correct answer this is the natural twist: exact, it
    /// would leave no variance at all.
    #[must_use]
    pub fn last() -> Self {
        Self::new(Aggregate::Last)
    }

    /// The least score of all steps.
    #[must_use]
    pub fn min() -> Self {
        Self::new(Aggregate::Min)
    }

    /// Nothing until the text is finished, then its last score.
    #[must_use]
    pub fn terminal() -> Self {
        Self::new(Aggregate::Final)
    }

    /// A function of the scores, as the reward model gives them, and of whether the text is finished, to log ψ. `name` is its formula.
    #[must_use]
    pub fn custom(name: impl Into<String>, log_psi: impl Fn(&[f64], bool) -> f64 + Send + Sync + 'static) -> Self {
        Self::new(Aggregate::Custom { name: name.into(), log_psi: Arc::new(log_psi) })
    }

    /// No reward at all: ψ = 1, plain sampling. A [`Decoder`](super::Decoder) does not ask the reward model then, and its texts have no scores.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Aggregate::Nothing)
    }

    /// True if it is a function of the scores; only [`Potential::none`] is not.
    #[must_use]
    pub fn needs_scores(&self) -> bool {
        !matches!(self.aggregate, Aggregate::Nothing)
    }

    /// How a score enters; [`Link::Probability`] at first.
    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// The power β of ψ; 1 at first.
    #[must_use]
    pub fn inverse_temperature(mut self, beta: f64) -> Self {
        self.inverse_temperature = beta;
        self
    }

    /// The present power β.
    #[must_use]
    pub fn beta(&self) -> f64 {
        self.inverse_temperature
    }

    /// Keeps probabilities above `clip` and odds between those of `clip` and 1 - `clip`; 1e-9 at first. With 0, a score of 0 has weight 0,
    /// and odds of a score of 1 are an error.
    #[must_use]
    pub fn clip(mut self, clip: f64) -> Self {
        self.clip = clip;
        self
    }

    /// The distance of probabilities from 0, and of those in odds from 0 and 1.
    pub(super) fn least(&self) -> f64 {
        self.clip
    }

    /// Checks the settings against a reward model's scale.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`].
    pub fn validate(&self, scale: RewardScale) -> Result<(), Error> {
        let beta = self.inverse_temperature;
        check::in_range("inverse_temperature", beta, beta >= 0.0 && beta.is_finite(), "finite and not negative")?;
        check::in_range("clip", self.clip, (0.0..0.5).contains(&self.clip), "in [0, 0.5)")?;
        let is_custom = matches!(self.aggregate, Aggregate::Custom { .. } | Aggregate::Nothing);
        let fits = is_custom || scale != RewardScale::Real || self.link == Link::Exp;
        check::in_range("link", f64::NAN, fits, "exp for scores that are no probabilities")
    }

    /// log ψ of a prefix with these scores, on the reward model's scale; 0 for a prefix without steps.
    #[must_use]
    pub fn log_psi(&self, scale: RewardScale, scores: &[f64], is_finished: bool) -> f64 {
        let (Some(&last), true) = (scores.last(), self.inverse_temperature != 0.0) else { return 0.0 };
        let log_link = |&score: &f64| self.log_link(scale, score);
        let log_psi = match &self.aggregate {
            Aggregate::Product => scores.iter().map(log_link).sum(),
            Aggregate::Last => log_link(&last),
            Aggregate::Min => scores.iter().map(log_link).fold(f64::INFINITY, f64::min),
            Aggregate::Final if is_finished => log_link(&last),
            Aggregate::Final | Aggregate::Nothing => 0.0,
            Aggregate::Custom { log_psi, .. } => log_psi(scores, is_finished),
        };
        self.inverse_temperature * log_psi
    }

    /// The log of the link of one score.
    #[must_use]
    pub fn log_link(&self, scale: RewardScale, score: f64) -> f64 {
        let limit = if self.clip > 0.0 { logit(1.0 - self.clip) } else { f64::INFINITY };
        match (scale, self.link) {
            (RewardScale::Real, _) => score,
            (RewardScale::Probability, Link::Exp) => score,
            (RewardScale::Probability, Link::Probability) => score.max(self.clip).ln(),
            (RewardScale::Probability, Link::Odds) => logit(score.max(self.clip).min(1.0 - self.clip)),
            (RewardScale::Logit, Link::Odds) => score.max(-limit).min(limit),
            (RewardScale::Logit, Link::Probability) => log_inv_logit(score.max(-limit)),
            (RewardScale::Logit, Link::Exp) => inv_logit(score),
            (RewardScale::LogProbability, Link::Exp) => score.exp(),
            (RewardScale::LogProbability, Link::Probability) => score.max(self.clip.ln()),
            (RewardScale::LogProbability, Link::Odds) => (score - log1m_exp(score)).max(-limit).min(limit),
        }
    }

    /// ψ of a finished text as a formula of its scores r₁ … r_T.
    #[must_use]
    pub fn formula(&self) -> String {
        let link = |of: &str| match self.link {
            Link::Probability => of.to_owned(),
            Link::Odds => format!("odds({of})"),
            Link::Exp => format!("exp({of})"),
        };
        let formula = match &self.aggregate {
            Aggregate::Product => format!("prod_t {}", link("r_t")),
            Aggregate::Last | Aggregate::Final => link("r_T"),
            Aggregate::Min => format!("min_t {}", link("r_t")),
            Aggregate::Nothing => return "1".to_owned(),
            Aggregate::Custom { name, .. } => name.clone(),
        };
        match self.inverse_temperature {
            1.0 => formula,
            beta if formula.contains(' ') => format!("({formula})^{beta}"),
            beta => format!("{formula}^{beta}"),
        }
    }
}

impl fmt::Debug for Potential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Potential").field("formula", &self.formula()).field("clip", &self.clip).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn potentials() -> Vec<Potential> {
        [Potential::product(), Potential::last(), Potential::min(), Potential::terminal()]
            .into_iter()
            .flat_map(|p| [Link::Probability, Link::Odds, Link::Exp].map(|link| p.clone().link(link).inverse_temperature(0.7)))
            .collect()
    }

    #[test]
    fn the_scale_of_scores_does_not_matter() {
        let r = [0.9, 0.2, 0.6];
        let logits = r.map(logit);
        let logs = r.map(f64::ln);
        for potential in potentials() {
            for finished in [false, true] {
                let psi = potential.log_psi(RewardScale::Probability, &r, finished);
                for (scale, scores) in [(RewardScale::Logit, logits), (RewardScale::LogProbability, logs)] {
                    let other = potential.log_psi(scale, &scores, finished);
                    assert!((psi - other).abs() < 1e-12, "{potential:?} {scale:?} {psi} {other}");
                }
            }
        }
    }

    #[test]
    fn formulas_by_hand() {
        let r = [0.9, 0.2, 0.5];
        let psi = |potential: Potential, finished| potential.log_psi(RewardScale::Probability, &r, finished).exp();
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-14, "{found} {expected}");
        close(psi(Potential::product(), false), 0.09);
        close(psi(Potential::product().link(Link::Odds), false), 9.0 * 0.25);
        close(psi(Potential::product().link(Link::Exp), false), 1.6_f64.exp());
        close(psi(Potential::last().inverse_temperature(2.0), false), 0.25);
        close(psi(Potential::min(), false), 0.2);
        close(psi(Potential::terminal(), false), 1.0);
        close(psi(Potential::terminal(), true), 0.5);
        close(psi(Potential::product().inverse_temperature(0.0), false), 1.0);
        close(psi(Potential::none(), true), 1.0);
        assert_eq!(Potential::product().log_psi(RewardScale::Probability, &[], false), 0.0);
    }

    #[test]
    fn extreme_scores_stay_within_the_clip() {
        for potential in potentials() {
            let extremes = [
                (RewardScale::Probability, [0.0, 1.0]),
                (RewardScale::Logit, [f64::NEG_INFINITY, f64::INFINITY]),
                (RewardScale::LogProbability, [f64::NEG_INFINITY, 0.0]),
            ];
            for (scale, scores) in extremes {
                for score in scores {
                    let psi = potential.log_psi(scale, &[score], true);
                    assert!(psi.is_finite(), "{potential:?} {scale:?} {score} {psi}");
                }
            }
        }
        assert_eq!(Potential::last().clip(0.0).log_psi(RewardScale::Probability, &[0.0], true), f64::NEG_INFINITY);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let refused = |potential: Potential, scale| assert!(potential.validate(scale).is_err(), "{potential:?}");
        refused(Potential::last().inverse_temperature(f64::NAN), RewardScale::Probability);
        refused(Potential::last().inverse_temperature(-1.0), RewardScale::Probability);
        refused(Potential::last().clip(f64::NAN), RewardScale::Probability);
        refused(Potential::last(), RewardScale::Real);
        assert!(Potential::last().link(Link::Exp).validate(RewardScale::Real).is_ok());
    }
}
