//! The task, the language model and the reward models.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use posterity::reasoning::countdown::{self, ExactValue, Problem, Split};
use posterity::reasoning::llama::{CharTokenizer, Llama, LlamaGenerator, LlamaReward};
use posterity::reasoning::{
    Answers, CallError, Prefix, PrefixKey, RewardModel, RewardScale, SamplingPrior, ScoreRequest, StepGenerator, StepScores,
};

use posterity::rng::Stream;

use crate::AnyError;
use crate::arguments::Reward;

/// The score of a text that the reward model cannot read: a logit.
const FLOOR: f64 = -12.0;

/// The weights, read once and shared by all threads.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    policy: Arc<Llama>,
    reward: Option<Arc<Llama>>,
    kind: Reward,
    noise: f64,
    tokenizer: CharTokenizer,
}

impl Setting {
    pub(crate) fn load(kind: Reward, noise: f64) -> Result<Self, AnyError> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/countdown");
        let file = |name: &str| -> PathBuf { folder.join(name) };
        let load = |name: &str| Llama::load(file(&format!("{name}.json")), file(&format!("{name}.safetensors"))).map(Arc::new);
        let reward = match kind {
            Reward::Model => Some(load("reward")?),
            Reward::Weak => Some(load("reward_weak")?),
            Reward::Exact | Reward::Likelihood => None,
        };
        Ok(Self { policy: load("policy")?, reward, kind, noise, tokenizer: CharTokenizer::load(file("vocab.json"))? })
    }

    /// A generator of lines at temperature 1.
    pub(crate) fn generator(&self) -> Result<impl StepGenerator + use<>, AnyError> {
        let generator = LlamaGenerator::new(self.policy.clone(), self.tokenizer.clone(), SamplingPrior::of_model("p"))?;
        Ok(generator.without_end().answer_when(countdown::is_answer))
    }

    pub(crate) fn rewards(&self) -> Result<Box<dyn RewardModel>, AnyError> {
        Ok(match (&self.reward, self.kind) {
            (Some(model), _) => {
                let rewards = LlamaReward::new(model.clone(), self.tokenizer.clone(), countdown::reward_text, FLOOR)?;
                if self.noise > 0.0 { Box::new(Noisy { rewards, sd: self.noise }) } else { Box::new(rewards) }
            }
            (None, Reward::Likelihood) => Box::new(Likelihood),
            (None, _) => Box::new(Remembered { rewards: ExactValue::new(self.generator()?)?, known: HashMap::new() }),
        })
    }
}

/// A reward model made worse: a normal error, the same each time, on every logit.
#[derive(Debug)]
struct Noisy<R> {
    rewards: R,
    sd: f64,
}

impl<R: RewardModel> RewardModel for Noisy<R> {
    fn scale(&self) -> RewardScale {
        self.rewards.scale()
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        let mut replies = self.rewards.score(requests);
        for (request, reply) in requests.iter().zip(&mut replies) {
            let Ok(scores) = reply else { continue };
            for (prefix, score) in request.prefixes().iter().zip(&mut scores.scores) {
                *score += self.sd * Stream::new(low_bits(prefix)).normal();
            }
        }
        replies
    }
}

/// Rewards that are remembered from run to run: exact values are dear.
#[derive(Debug)]
struct Remembered<R> {
    rewards: R,
    known: HashMap<PrefixKey, StepScores>,
}

impl<R: RewardModel> RewardModel for Remembered<R> {
    fn scale(&self) -> RewardScale {
        self.rewards.scale()
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        let is_new = |request: &&ScoreRequest<'_>| {
            self.known.get(&request.prefix.key()).is_none_or(|scores| scores.scores.len() < request.n_last)
        };
        let new: Vec<ScoreRequest<'_>> = requests.iter().filter(is_new).copied().collect();
        let mut replies = self.rewards.score(&new).into_iter();
        let mut score = |request: &ScoreRequest<'_>| {
            if let Some(scores) = self.known.get(&request.prefix.key()).filter(|scores| scores.scores.len() >= request.n_last) {
                let last = scores.scores[scores.scores.len() - request.n_last..].to_vec();
                return Ok(StepScores { calls: request.n_last as u64, tokens: scores.tokens, scores: last });
            }
            let scores = replies.next().unwrap_or_else(|| Err(CallError::unsupported("as many replies as requests")))?;
            self.known.insert(request.prefix.key(), scores.clone());
            Ok(scores)
        };
        requests.iter().map(&mut score).collect()
    }
}

/// The policy's own likelihood of a text, which knows nothing that the policy does not.
#[derive(Debug)]
struct Likelihood;

impl RewardModel for Likelihood {
    fn scale(&self) -> RewardScale {
        RewardScale::LogProbability
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        let log_p = |prefix: &Prefix| {
            let sum: f64 = prefix.steps().iter().map(|step| step.log_model.unwrap_or(f64::NAN)).sum();
            sum.min(0.0)
        };
        requests.iter().map(|request| Ok(StepScores::each(request, log_p))).collect()
    }
}

pub(crate) fn problems(validation: bool, n_numbers: usize, first: usize, count: usize) -> Result<Vec<Problem>, AnyError> {
    let split = if validation { Split::Validation } else { Split::Test };
    (first..first + count).map(|index| Ok(Problem::random(split, n_numbers, index as u64)?)).collect()
}

/// The answer of a text is the number that is left.
pub(crate) fn answers() -> Answers {
    Answers::by(|text| countdown::answer(text).map(|answer| answer.to_string()))
}

/// A seed from a prefix's content.
fn low_bits(prefix: &Prefix) -> u64 {
    prefix.key().to_string().bytes().fold(0, |seed, digit| (seed << 4) ^ u64::from(digit) ^ (seed >> 60))
}
