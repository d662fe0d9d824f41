//! A generative reward model: the probability of a judgement token.

use crate::error::{Error, Result};
use crate::reasoning::{CallError, RewardModel, RewardScale, SamplingPrior, ScoreRequest, StepScores};

use super::client::HttpClient;
use super::dialect::{CompletionRequest, Dialect, LogProbStyle};
use super::each_step::{Paid, score_each};
use super::error::{HttpError, Malformed};
use super::template::PromptTemplate;

/// A language model that judges a step by one token, as `+` or `-`: r = p(+) / (p(+) + p(−)).
///
/// The template ends where the judgement is to be written. One token is asked for, with the most likely ones listed. If no
/// spelling of a judgement is listed, it gets the probability of the least likely token that is, the most that one spelling can have; if
/// neither judgement is listed, the slot fails.
/// Works on any server with log-probabilities; the dialect must report raw ones.
#[derive(Debug)]
pub struct JudgeReward<D> {
    client: HttpClient,
    dialect: D,
    prior: SamplingPrior,
    template: PromptTemplate,
    good: Vec<String>,
    bad: Vec<String>,
    n_listed: u32,
    floor: Option<f64>,
    paid: Paid,
}

impl<D: Dialect> JudgeReward<D> {
    /// A judge that writes `+` or `-`, with or without a space before it.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] if the dialect reports processed log-probabilities.
    pub fn new(client: HttpClient, dialect: D, model: &str, template: PromptTemplate) -> Result<Self> {
        if dialect.log_prob_style() != LogProbStyle::Raw {
            return Err(Error::Field { field: "log_prob_style".into(), rule: "raw for a judge" });
        }
        let both = |token: &str| vec![token.to_owned(), format!(" {token}")];
        Ok(Self {
            client,
            dialect,
            prior: SamplingPrior::of_model(model),
            template,
            good: both("+"),
            bad: both("-"),
            n_listed: 20,
            floor: None,
            paid: Paid::default(),
        })
    }

    /// Sets the tokens of a good and of a bad judgement; those of one kind are added.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] if either has none.
    pub fn tokens(mut self, good: &[&str], bad: &[&str]) -> Result<Self> {
        let owned = |tokens: &[&str]| tokens.iter().map(|&token| token.to_owned()).collect::<Vec<_>>();
        (self.good, self.bad) = (owned(good), owned(bad));
        if self.good.is_empty() || self.bad.is_empty() {
            return Err(Error::Empty { what: "tokens" });
        }
        Ok(self)
    }

    /// Sets how many of the most likely tokens are listed; 20 without this, which is the most that vLLM allows by default.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] below 2.
    pub fn n_listed(mut self, n: u32) -> Result<Self> {
        if n < 2 {
            return Err(Error::InvalidSetting { setting: "n_listed", value: f64::from(n), rule: "at least 2" });
        }
        self.n_listed = n;
        Ok(self)
    }

    /// Sets the score of prefixes of which the [template](PromptTemplate::partial) makes no prompt. Without it they are errors of their
    /// slot.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] outside \[0, 1\].
    pub fn floor(mut self, score: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&score) {
            return Err(Error::InvalidSetting { setting: "floor", value: score, rule: "in [0, 1]" });
        }
        self.floor = Some(score);
        Ok(self)
    }

    fn request<'a>(&'a self, prompt: &'a str) -> CompletionRequest<'a> {
        CompletionRequest {
            prompt,
            prior: &self.prior,
            max_tokens: Some(1),
            greedy: true,
            stop: &[],
            seed: 0,
            n: 1,
            log_probs: Some(self.n_listed),
        }
    }

    fn judgement(&self, listed: &[(String, f64)]) -> std::result::Result<f64, Malformed> {
        let probability = |tokens: &[String]| {
            let found = listed.iter().filter(|(token, _)| tokens.contains(token)).map(|(_, log_prob)| log_prob.exp());
            found.fold(None, |sum: Option<f64>, p| Some(sum.unwrap_or(0.0) + p))
        };
        let least = listed.iter().map(|(_, log_prob)| log_prob.exp()).fold(1.0, f64::min);
        let (good, bad) = match (probability(&self.good), probability(&self.bad)) {
            (None, None) => return Err(Malformed::NoJudgement { listed: listed.len() }),
            (good, bad) => (good.unwrap_or(least), bad.unwrap_or(least)),
        };
        if good + bad > 0.0 { Ok(good / (good + bad)) } else { Err(Malformed::NoJudgement { listed: listed.len() }) }
    }
}

impl<D: Dialect> RewardModel for JudgeReward<D> {
    fn name(&self) -> String {
        format!("{} as judge", self.prior.model)
    }

    fn scale(&self) -> RewardScale {
        RewardScale::Probability
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<std::result::Result<StepScores, CallError>> {
        let mut paid = std::mem::take(&mut self.paid);
        let scores = score_each(requests, &mut paid, |prefixes| {
            let prompts: Vec<_> = prefixes.iter().map(|prefix| self.template.write(prefix)).collect();
            let call = |prompt: &Option<String>| match prompt {
                Some(prompt) => Ok(self.dialect.complete(&self.request(prompt))),
                None => Err(self.floor.map(|floor| (floor, 0)).ok_or(HttpError::NoPrompt)),
            };
            self.client.post_some(prompts.iter().map(call).collect(), |index, reply| {
                let prompt = prompts[index].as_deref().unwrap_or_default();
                let completions = self.dialect.read_completions(&self.request(prompt), &reply)?;
                let first = completions.first().ok_or(Malformed::Count { what: "choices", expected: 1, found: 0 })?;
                Ok((self.judgement(&first.first_top)?, first.prompt_tokens + first.n_tokens))
            })
        });
        self.paid = paid;
        scores
    }
}
