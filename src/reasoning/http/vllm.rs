//! The dialect of vLLM: `POST /v1/completions`.

use serde_json::{Value, json};

use super::client::HttpRequest;
use super::dialect::{
    Completion, CompletionRequest, Dialect, ForcedRequest, ForcedText, LogProbStyle, Stop, array, cut, folded, ids, log_prob,
    number, spelled, text,
};
use super::error::Malformed;

/// vLLM's completion endpoint.
///
/// The prompt is sent as it is, and no start token is added: it must stand in the prompt, as chat templates write it, unlike for
/// [`LlamaCpp`](super::LlamaCpp), whose server adds it ([`Vllm::add_special_tokens`] does the same here). Every sampler
/// setting is sent, since a checkpoint's `generation_config.json` may change the defaults. The prior must limit the tokens per step; prompt
/// and limit together must fit the context, else the text ends there. The order is temperature, min-p, top-k, top-p; that of llama.cpp has
/// min-p last.
///
/// Given text is scored by echo. The end of text can be scored only if its token's text is known ([`Vllm::end_of_text`]). vLLM reads a
/// prompt whose log-probabilities are asked for without its prefix cache. The echoed tokens must spell the text: a character that the
/// tokeniser splits over several tokens (a rare letter, an emoji) comes back as U+FFFD from some versions, and scoring it is an error of
/// its slot.
///
/// vLLM cuts a text behind its stop string, not its last token. Where that token holds more, the log-probability of what it leaves of the
/// step is asked for as given text. The log-probabilities of the draw cannot be had so: such a step has none if the prior is not the model
/// itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Vllm {
    style: LogProbStyle,
    add_special_tokens: bool,
    end_of_text: Option<String>,
    max_siblings: usize,
}

impl Default for Vllm {
    /// Raw log-probabilities, as vLLM reports without `--logprobs-mode`.
    fn default() -> Self {
        Self { style: LogProbStyle::Raw, add_special_tokens: false, end_of_text: None, max_siblings: 64 }
    }
}

/// What vLLM writes for −∞, which JSON cannot hold.
const MINUS_INFINITY: f64 = -9999.0;

impl Vllm {
    /// Says what the server was started with: raw for `--logprobs-mode raw_logprobs`, processed for `processed_logprobs`.
    #[must_use]
    pub fn log_probs(mut self, style: LogProbStyle) -> Self {
        self.style = style;
        self
    }

    /// Lets the server add its tokeniser's start token to each prompt.
    #[must_use]
    pub fn add_special_tokens(mut self) -> Self {
        self.add_special_tokens = true;
        self
    }

    /// Names the token that ends a text, as in `<|im_end|>`.
    #[must_use]
    pub fn end_of_text(mut self, token: &str) -> Self {
        self.end_of_text = Some(token.to_owned());
        self
    }

    fn given(&self, request: &ForcedRequest<'_>) -> Option<String> {
        let mut given = request.prompt.to_owned();
        given.extend(request.pieces.iter().copied());
        if request.end {
            given.push_str(self.end_of_text.as_deref()?);
        }
        Some(given)
    }
}

impl Dialect for Vllm {
    fn log_prob_style(&self) -> LogProbStyle {
        self.style
    }

    /// Without it vLLM writes 16 tokens, and null, which should mean what the context holds, makes some versions fail.
    fn needs_max_tokens(&self) -> bool {
        true
    }

    fn max_siblings(&self) -> usize {
        self.max_siblings
    }

    fn complete(&self, request: &CompletionRequest<'_>) -> HttpRequest {
        let prior = request.prior;
        let mut body = json!({
            "model": prior.model,
            "prompt": request.prompt,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature(),
            "top_p": prior.top_p,
            "top_k": prior.top_k.map_or(-1, i64::from),
            "min_p": prior.min_p,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "n": request.n,
            "seed": folded(request.seed, 53),
            "stop": request.stop,
            "include_stop_str_in_output": true,
            "skip_special_tokens": true,
            "add_special_tokens": self.add_special_tokens,
            "return_token_ids": true,
            "echo": false,
            "stream": false,
        });
        if let Some(listed) = request.log_probs {
            body["logprobs"] = json!(listed);
        }
        HttpRequest { path: "/v1/completions", body }
    }

    fn read_completions(&self, request: &CompletionRequest<'_>, reply: &Value) -> Result<Vec<Completion>, Malformed> {
        let choices = array(reply, "choices")?;
        if choices.len() != request.n {
            return Err(Malformed::Count { what: "choices", expected: request.n, found: choices.len() });
        }
        let prompt_tokens = fresh_prompt_tokens(reply)?;
        let mut completions = Vec::with_capacity(request.n);
        for index in 0..request.n {
            let choice = choices
                .iter()
                .find(|choice| choice.get("index").and_then(Value::as_u64) == Some(index as u64))
                .ok_or(Malformed::Field { field: "index", rule: "0, 1, ... in some order" })?;
            let read = if index == 0 { prompt_tokens } else { 0 };
            completions.push(self.read_choice(request, reply, choice, read)?);
        }
        Ok(completions)
    }

    fn force(&self, request: &ForcedRequest<'_>) -> Option<HttpRequest> {
        Some(HttpRequest {
            path: "/v1/completions",
            body: json!({
                "model": request.model,
                "prompt": self.given(request)?,
                "max_tokens": 1,
                "temperature": 0.0,
                "n": 1,
                "logprobs": 0,
                "echo": true,
                "add_special_tokens": self.add_special_tokens,
                "skip_special_tokens": false,
                "stream": false,
            }),
        })
    }

    fn read_forced(&self, request: &ForcedRequest<'_>, reply: &Value) -> Result<ForcedText, Malformed> {
        let choices = array(reply, "choices")?;
        let choice = choices.first().ok_or(Malformed::Count { what: "choices", expected: 1, found: 0 })?;
        let log_probs = choice.get("logprobs").ok_or(Malformed::Field { field: "logprobs", rule: "an object" })?;
        let (tokens, values) = (array(log_probs, "tokens")?, array(log_probs, "token_logprobs")?);
        let usage = reply.get("usage").ok_or(Malformed::Field { field: "usage", rule: "an object" })?;
        let n_prompt = usize::try_from(number(usage, "prompt_tokens")?).unwrap_or(usize::MAX);
        if tokens.len() != values.len() || tokens.len() < n_prompt {
            return Err(Malformed::Count { what: "token_logprobs", expected: tokens.len().max(n_prompt), found: values.len() });
        }
        let end = self.end_of_text.as_deref().filter(|_| request.end).unwrap_or_default();
        let given = request.pieces.concat() + end;
        // From the back, since a start token that the server adds is no part of the text.
        let (mut left, mut from) = (given.len(), n_prompt);
        let mut spelled = Vec::new();
        while left > 0 {
            from = from.checked_sub(1).ok_or(Malformed::OtherText)?;
            let token = tokens[from].as_str().ok_or(Malformed::Field { field: "tokens", rule: "texts" })?;
            // A token that begins in the prompt ends in the first piece.
            if !given[..left].ends_with(token) && !token.ends_with(&given[..left]) {
                return Err(Malformed::OtherText);
            }
            let length = token.len().min(left);
            spelled.push((length, bounded(log_prob(values.get(from), from)?)));
            left -= length;
        }
        let lengths = request.pieces.iter().map(|piece| piece.len()).chain([end.len()]);
        spelled.reverse();
        let mut pieces = cut(&spelled, lengths)?;
        let end = pieces.pop().filter(|_| request.end).map(|tokens| tokens.iter().sum());
        Ok(ForcedText { pieces, end, tokens: n_prompt as u64 + 1 })
    }
}

impl Vllm {
    fn read_choice(
        &self,
        request: &CompletionRequest<'_>,
        reply: &Value,
        choice: &Value,
        prompt_tokens: u64,
    ) -> Result<Completion, Malformed> {
        let mut written = text(choice, "text")?.to_owned();
        let stop = match (text(choice, "finish_reason")?, choice.get("stop_reason")) {
            ("length", _) => Stop::Limit,
            ("stop", Some(Value::String(word))) => Stop::Text(word.clone()),
            // A number is one of the checkpoint's other end tokens: no stop tokens were asked for.
            ("stop", Some(Value::Null | Value::Number(_))) => Stop::End,
            _ => return Err(Malformed::NoStopReason),
        };
        if let Stop::Text(word) = &stop
            && written.ends_with(word.as_str())
        {
            written.truncate(written.len() - word.len());
        }
        let mut token_ids = choice.get("token_ids").and_then(ids);
        let n_ids = token_ids.as_ref().map(|ids| ids.len() as u64);
        let full = written.clone() + if let Stop::Text(word) = &stop { word } else { "" };
        let mut covered = full.len();
        let (mut log_probs, mut first_top, mut n_values) = (None, Vec::new(), None);
        if request.log_probs.is_some() {
            let reported = choice.get("logprobs").ok_or(Malformed::Field { field: "logprobs", rule: "an object" })?;
            let values = array(reported, "token_logprobs")?.iter().enumerate();
            let mut values: Vec<_> =
                values.map(|(index, value)| log_prob(Some(value), index).map(bounded)).collect::<Result<_, _>>()?;
            if values.is_empty() {
                return Err(Malformed::Field { field: "token_logprobs", rule: "one entry per token" });
            }
            n_values = Some(values.len() as u64);
            if let Stop::Text(_) = stop {
                let tokens = array(reported, "tokens")?;
                if tokens.len() != values.len() {
                    return Err(Malformed::Count { what: "tokens", expected: values.len(), found: tokens.len() });
                }
                // The text is cut behind the stop string, the last token is not.
                let count;
                (count, covered) = spelled(tokens.iter().map_while(Value::as_str), &full);
                values.truncate(count);
            }
            log_probs = Some(values);
            if let Some(listed) = reported.get("top_logprobs").and_then(|top| top.get(0)).and_then(Value::as_object) {
                for (token, value) in listed {
                    first_top.push((token.clone(), bounded(log_prob(Some(value), 0)?)));
                }
            }
        }
        // Without log-probabilities it is not known whether the last token holds more than the stop string.
        if matches!(stop, Stop::Text(_)) && (n_values.is_none() || covered < full.len()) {
            token_ids = None;
        }
        let n_tokens = match n_ids.or(n_values) {
            Some(n) => n,
            None => {
                let usage = reply.get("usage").ok_or(Malformed::Field { field: "usage", rule: "an object" })?;
                number(usage, "completion_tokens")?.div_ceil(request.n as u64)
            }
        };
        Ok(Completion { text: written, stop, n_tokens, token_ids, log_probs, first_top, covered, prompt_tokens })
    }
}

/// Tokens of the prompt that were not in the prefix cache, where the server tells that.
fn fresh_prompt_tokens(reply: &Value) -> Result<u64, Malformed> {
    let usage = reply.get("usage").ok_or(Malformed::Field { field: "usage", rule: "an object" })?;
    let cached = usage.get("prompt_tokens_details").and_then(|details| details.get("cached_tokens")).and_then(Value::as_u64);
    Ok(number(usage, "prompt_tokens")?.saturating_sub(cached.unwrap_or(0)))
}

fn bounded(log_prob: f64) -> f64 {
    if log_prob <= MINUS_INFINITY { f64::NEG_INFINITY } else { log_prob }
}
