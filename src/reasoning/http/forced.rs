//! A reward from how well a verifier language model can predict the step.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::reasoning::{CallError, Prefix, RewardModel, RewardScale, ScoreRequest, StepScores};

use super::client::HttpClient;
use super::dialect::{Dialect, ForcedRequest, LogProbStyle};
use super::each_step::{Paid, score_each};
use super::error::HttpError;
use super::generator::force_all;
use super::template::PromptTemplate;

/// A logistic model over log-probabilities of tokens, clipped from below:
///
/// ```text
/// logit = b + w_min · max(min, clip_min) + w_sum · max(sum, clip_sum) + w_last · max(last, clip_last)
/// ```
///
/// where `min` is the least log-probability of a token and `sum` the sum over the tokens that are looked at, and `last` the sum over those
/// of the last step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LogisticHead {
    /// Weight of the least log-probability.
    pub w_min: f64,
    /// Weight of the sum.
    pub w_sum: f64,
    /// Weight of the last step's sum.
    pub w_last: f64,
    /// Intercept.
    pub b: f64,
    /// Least value of the least log-probability.
    pub clip_min: f64,
    /// Least value of the sum.
    pub clip_sum: f64,
    /// Least value of the last step's sum.
    pub clip_last: f64,
}

impl LogisticHead {
    /// The logit for tokens of which the last `n_last` belong to the last step. Without tokens all three features are 0.
    #[must_use]
    pub fn logit(&self, log_probs: &[f64], n_last: usize) -> f64 {
        let least = log_probs.iter().copied().fold(0.0, f64::min);
        let sum: f64 = log_probs.iter().sum();
        let last: f64 = log_probs[log_probs.len() - n_last.min(log_probs.len())..].iter().sum();
        self.b
            + self.w_min * least.max(self.clip_min)
            + self.w_sum * sum.max(self.clip_sum)
            + self.w_last * last.max(self.clip_last)
    }

    fn validate(&self) -> Result<()> {
        let clips = [("clip_min", self.clip_min), ("clip_sum", self.clip_sum), ("clip_last", self.clip_last)];
        for (setting, value) in
            [("w_min", self.w_min), ("w_sum", self.w_sum), ("w_last", self.w_last), ("b", self.b)].into_iter().chain(clips)
        {
            if !value.is_finite() {
                return Err(Error::InvalidSetting { setting, value, rule: "finite" });
            }
        }
        Ok(())
    }
}

/// Which tokens the features are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Those of the last step.
    LastStep,
    /// Those of all steps so far.
    AllSteps,
}

/// A verifier language model as reward: it is made to write the steps, and a [`LogisticHead`] turns the log-probabilities of their tokens
/// into a logit.
///
/// One request per step that is scored. Serves where no reward model can be served but a language model can: llama.cpp.
#[derive(Debug)]
pub struct ForcedTextReward<D> {
    client: HttpClient,
    dialect: D,
    model: String,
    head: LogisticHead,
    span: Span,
    template: PromptTemplate,
    paid: Paid,
}

impl<D: Dialect> ForcedTextReward<D> {
    /// A reward over the tokens of the last step, which follow the plain text of the steps before.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] if the head has a number that is not finite; [`Error::Field`] if the dialect reports processed
    /// log-probabilities.
    pub fn new(client: HttpClient, dialect: D, model: &str, head: LogisticHead) -> Result<Self> {
        head.validate()?;
        if dialect.log_prob_style() != LogProbStyle::Raw {
            return Err(Error::Field { field: "log_prob_style".into(), rule: "raw for a verifier" });
        }
        let template = PromptTemplate::plain();
        Ok(Self { client, dialect, model: model.to_owned(), head, span: Span::LastStep, template, paid: Paid::default() })
    }

    /// Sets which tokens are looked at.
    #[must_use]
    pub fn span(mut self, span: Span) -> Self {
        self.span = span;
        self
    }

    /// Sets how what precedes the tokens is written out.
    #[must_use]
    pub fn template(mut self, template: PromptTemplate) -> Self {
        self.template = template;
        self
    }
}

impl<D: Dialect> RewardModel for ForcedTextReward<D> {
    fn name(&self) -> String {
        format!("{} as verifier", self.model)
    }

    fn scale(&self) -> RewardScale {
        RewardScale::Logit
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<std::result::Result<StepScores, CallError>> {
        let mut paid = std::mem::take(&mut self.paid);
        let scores = score_each(requests, &mut paid, |prefixes| {
            let given: Vec<_> = prefixes.iter().map(|prefix| self.given(prefix)).collect();
            let asked: Vec<_> = given
                .iter()
                .map(|(prompt, pieces)| ForcedRequest {
                    prompt: prompt.as_deref().unwrap_or_default(),
                    model: &self.model,
                    // Nothing is asked where there is no prompt.
                    pieces: if prompt.is_some() { pieces } else { &[] },
                    end: false,
                })
                .collect();
            let forced = force_all(&self.client, &self.dialect, &asked);
            let logits = forced.into_iter().zip(&given).map(|(forced, (prompt, _))| {
                prompt.as_ref().ok_or(HttpError::NoPrompt)?;
                let forced = forced?;
                let n_last = forced.pieces.last().map_or(0, Vec::len);
                Ok((self.head.logit(&forced.pieces.concat(), n_last), forced.tokens))
            });
            logits.collect()
        });
        self.paid = paid;
        scores
    }
}

impl<D> ForcedTextReward<D> {
    /// What precedes the tokens, and the texts whose tokens they are.
    fn given<'a>(&self, prefix: &'a Prefix) -> (Option<String>, Vec<&'a str>) {
        let n_steps = prefix.n_steps();
        let n_before = match self.span {
            Span::LastStep => n_steps.saturating_sub(1),
            Span::AllSteps => 0,
        };
        let pieces = prefix.steps().into_iter().skip(n_before).map(|step| step.text.as_str()).collect();
        (self.template.write(prefix.first_steps(n_before)), pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: LogisticHead =
        LogisticHead { w_min: 0.5, w_sum: 0.25, w_last: 2.0, b: 3.0, clip_min: -20.0, clip_sum: -40.0, clip_last: -20.0 };

    #[test]
    fn features_are_minimum_sum_and_last_step() {
        assert_eq!(HEAD.logit(&[-1.0, -4.0, -0.5], 1), 3.0 - 2.0 - 5.5 * 0.25 - 1.0);
        assert_eq!(HEAD.logit(&[-1.0, -4.0, -0.5], 3), 3.0 - 2.0 - 5.5 * 0.25 - 11.0);
        assert_eq!(HEAD.logit(&[f64::NEG_INFINITY], 1), 3.0 - 10.0 - 10.0 - 40.0);
        assert_eq!(HEAD.logit(&[], 0), 3.0);
    }

    #[test]
    fn a_head_must_be_finite() {
        assert!(LogisticHead { w_sum: f64::NAN, ..HEAD }.validate().is_err());
        assert!(HEAD.validate().is_ok());
    }
}
