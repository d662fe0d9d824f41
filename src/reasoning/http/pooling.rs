//! A discriminative process reward model behind vLLM: `POST /pooling`.

use serde_json::{Value, json};

use crate::reasoning::{CallError, RewardModel, RewardScale, ScoreRequest, StepScores};

use super::client::{HttpClient, HttpRequest};
use super::dialect::{array, number};
use super::error::{HttpError, Malformed};
use super::template::PromptTemplate;

/// A reward model that vLLM serves with `--runner pooling` (formerly `--task reward`): one row of class probabilities per step tag.
///
/// One request scores all steps of a prefix. The reply must have exactly one row per step: a server that pools every token, or one that
/// cut a long text, is found out. The text is never truncated; one that is too long is an error of its slot.
///
/// ```no_run
/// use posterity::reasoning::http::{HttpClient, PoolingReward, PromptTemplate};
/// let client = HttpClient::new("http://127.0.0.1:8001")?;
/// let reward = PoolingReward::new(client, "Qwen/Qwen2.5-Math-PRM-7B", PromptTemplate::qwen_math_prm());
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug)]
pub struct PoolingReward {
    client: HttpClient,
    model: String,
    template: PromptTemplate,
    task: Option<String>,
    column: usize,
}

impl PoolingReward {
    /// A reward model whose rows are \[P(bad), P(good)\].
    #[must_use]
    pub fn new(client: HttpClient, model: &str, template: PromptTemplate) -> Self {
        Self { client, model: model.to_owned(), template, task: None, column: 1 }
    }

    /// Names the pooling task, as in `token_classify`, for servers that offer several.
    #[must_use]
    pub fn task(mut self, task: &str) -> Self {
        self.task = Some(task.to_owned());
        self
    }

    /// Sets the column of a row that holds the probability of a good step; 1 without this.
    #[must_use]
    pub fn column(mut self, column: usize) -> Self {
        self.column = column;
        self
    }

    fn call(&self, request: &ScoreRequest<'_>) -> Result<HttpRequest, HttpError> {
        let mut body = json!({
            "model": self.model,
            "input": self.template.write(request.prefix).ok_or(HttpError::NoPrompt)?,
            "encoding_format": "float",
            "add_special_tokens": false,
        });
        if let Some(task) = &self.task {
            body["task"] = json!(task);
        }
        Ok(HttpRequest { path: "/pooling", body })
    }

    fn read(&self, request: &ScoreRequest<'_>, reply: &Value) -> Result<StepScores, Malformed> {
        let data = array(reply, "data")?.first().ok_or(Malformed::Count { what: "data", expected: 1, found: 0 })?;
        let rows = array(data, "data")?;
        let n_steps = request.prefix.n_steps();
        if rows.len() != n_steps {
            return Err(Malformed::Count { what: "rows", expected: n_steps, found: rows.len() });
        }
        let usage = reply.get("usage").ok_or(Malformed::Field { field: "usage", rule: "an object" })?;
        let score = |row: &Value| {
            let value = row.get(self.column).and_then(Value::as_f64).filter(|value| (0.0..=1.0).contains(value));
            value.ok_or(Malformed::Field { field: "data", rule: "rows of probabilities" })
        };
        Ok(StepScores {
            scores: rows[n_steps - request.n_last.min(n_steps)..].iter().map(score).collect::<Result<_, _>>()?,
            calls: 1,
            tokens: number(usage, "prompt_tokens")?,
        })
    }
}

impl RewardModel for PoolingReward {
    fn name(&self) -> String {
        self.model.clone()
    }

    fn scale(&self) -> RewardScale {
        RewardScale::Probability
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        let calls = requests.iter().map(|request| self.call(request).map_err(Err)).collect();
        let scores = self.client.post_some(calls, |index, reply| self.read(&requests[index], &reply));
        scores.into_iter().map(|score| score.map_err(CallError::from)).collect()
    }
}
