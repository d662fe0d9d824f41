//! The dialect of llama.cpp's server: `POST /completion`.

use serde_json::{Value, json};

use super::client::HttpRequest;
use super::dialect::{
    Completion, CompletionRequest, Dialect, ForcedRequest, ForcedText, LogProbStyle, Stop, array, cut, folded, ids, log_prob,
    number, text,
};
use super::error::Malformed;

/// llama.cpp's own completion endpoint, which unlike its `/v1/completions` tells why a text ended.
///
/// A server has one model, so that the model's name is not sent. Every sampler setting is sent, since the server's defaults cut the
/// distribution (top-k 40, top-p 0.95, min-p 0.05); the order is temperature, top-k, top-p, min-p, each renormalised. vLLM applies min-p
/// before top-k and top-p ([`Vllm`](super::Vllm)), so that the two servers draw from one distribution only where min-p stands alone or is
/// 0. Log-probabilities are the model's own whatever the temperature. The stop string has none, so that a step's log-probability takes a
/// second, short request for its delimiter.
///
/// The server adds its tokeniser's start token where the model file asks for one: it must not stand in the prompt, as it must for vLLM.
///
/// Given text is scored by a grammar that admits nothing else. The grammar leaves the cut into tokens open; the most likely one is
/// taken, token by token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LlamaCpp;

impl Dialect for LlamaCpp {
    fn log_prob_style(&self) -> LogProbStyle {
        LogProbStyle::Raw
    }

    fn complete(&self, request: &CompletionRequest<'_>) -> HttpRequest {
        let prior = request.prior;
        let n_predict = request.max_tokens.map_or(json!(-1), |n| json!(n));
        HttpRequest {
            path: "/completion",
            body: json!({
                "prompt": request.prompt,
                "n_predict": n_predict,
                "stop": request.stop,
                "seed": folded(request.seed, 31),
                "samplers": ["temperature", "top_k", "top_p", "min_p"],
                "temperature": request.temperature(),
                "min_p": prior.min_p,
                "top_k": prior.top_k.unwrap_or(0),
                "top_p": prior.top_p,
                "n_probs": request.log_probs.map_or(0, |n| n.max(1)),
                "post_sampling_probs": false,
                "return_tokens": true,
                "cache_prompt": true,
                "stream": false,
            }),
        }
    }

    fn read_completions(&self, request: &CompletionRequest<'_>, reply: &Value) -> Result<Vec<Completion>, Malformed> {
        let stop = match text(reply, "stop_type")? {
            "eos" => Stop::End,
            "limit" => Stop::Limit,
            "word" => Stop::Text(text(reply, "stopping_word")?.to_owned()),
            _ => return Err(Malformed::NoStopReason),
        };
        let content = text(reply, "content")?;
        let (mut log_probs, mut first_top, mut covered) = (None, Vec::new(), 0);
        if request.log_probs.is_some() {
            let tokens = match reply.get("completion_probabilities") {
                // Left out where the first token was a stop.
                None if matches!(stop, Stop::Text(_)) => &[],
                _ => array(reply, "completion_probabilities")?,
            };
            let mut values = each_log_prob(tokens)?;
            first_top = tokens.first().map_or(Ok(Vec::new()), top)?;
            covered = content.len();
            // As many tokens are left out as the stop string has on its own, and the last one may hold more than that.
            if let Stop::Text(word) = &stop {
                let count;
                (count, covered) = spelled(tokens, &format!("{content}{word}"))?;
                values.truncate(count);
            }
            log_probs = Some(values);
        }
        // The last token may hold more than the stop string.
        let token_ids = reply.get("tokens").and_then(ids).filter(|_| !matches!(stop, Stop::Text(_)));
        Ok(vec![Completion {
            text: content.to_owned(),
            stop,
            n_tokens: number(reply, "tokens_predicted")?,
            token_ids,
            log_probs,
            first_top,
            covered,
            prompt_tokens: prompt_tokens(reply)?,
        }])
    }

    fn force(&self, request: &ForcedRequest<'_>) -> Option<HttpRequest> {
        let given = request.pieces.concat();
        Some(HttpRequest {
            path: "/completion",
            body: json!({
                "prompt": request.prompt,
                // A token is a byte or more; one more for the end of text, which the grammar leaves as the only choice.
                "n_predict": given.len() + 1,
                "grammar": grammar(&given),
                "samplers": ["temperature"],
                "temperature": 0.0,
                "n_probs": 1,
                "post_sampling_probs": false,
                "return_tokens": false,
                "cache_prompt": true,
                "stream": false,
            }),
        })
    }

    fn read_forced(&self, request: &ForcedRequest<'_>, reply: &Value) -> Result<ForcedText, Malformed> {
        if text(reply, "content")? != request.pieces.concat() {
            return Err(Malformed::OtherText);
        }
        let tokens = array(reply, "completion_probabilities")?;
        let log_probs = each_log_prob(tokens)?;
        let ended = text(reply, "stop_type")? == "eos";
        if request.end && !ended {
            return Err(Malformed::Field { field: "stop_type", rule: "`eos`" });
        }
        let n = log_probs.len() - usize::from(ended && !log_probs.is_empty());
        let lengths: Vec<_> =
            tokens[..n].iter().map(|token| array(token, "bytes").map(<[Value]>::len)).collect::<Result<_, _>>()?;
        let spelled: Vec<_> = lengths.into_iter().zip(log_probs.iter().copied()).collect();
        Ok(ForcedText {
            pieces: cut(&spelled, request.pieces.iter().map(|piece| piece.len()))?,
            end: log_probs.get(n).copied().filter(|_| request.end),
            tokens: prompt_tokens(reply)? + number(reply, "tokens_predicted")?,
        })
    }
}

/// Tokens of the prompt that were not in the cache.
fn prompt_tokens(reply: &Value) -> Result<u64, Malformed> {
    let read = reply.get("timings").and_then(|timings| timings.get("prompt_n")).and_then(Value::as_u64);
    read.map_or_else(|| number(reply, "tokens_evaluated"), Ok)
}

/// How much of a text tokens spell from its start, whole characters only: the number of tokens, and of bytes.
fn spelled(tokens: &[Value], given: &str) -> Result<(usize, usize), Malformed> {
    let (mut whole, mut n) = ((0, 0), 0);
    for (index, token) in tokens.iter().enumerate() {
        let bytes = array(token, "bytes")?;
        let same = |(byte, given): (&Value, &u8)| byte.as_u64() == Some(u64::from(*given));
        if !(given.len() >= n + bytes.len() && bytes.iter().zip(&given.as_bytes()[n..]).all(same)) {
            break;
        }
        n += bytes.len();
        if given.is_char_boundary(n) {
            whole = (index + 1, n);
        }
    }
    Ok(whole)
}

fn each_log_prob(tokens: &[Value]) -> Result<Vec<f64>, Malformed> {
    tokens.iter().enumerate().map(|(index, token)| log_prob(token.get("logprob"), index)).collect()
}

fn top(token: &Value) -> Result<Vec<(String, f64)>, Malformed> {
    let listed = array(token, "top_logprobs")?.iter();
    listed.map(|other| Ok((text(other, "token")?.to_owned(), log_prob(other.get("logprob"), 0)?))).collect()
}

/// A grammar whose one sentence is the text.
fn grammar(given: &str) -> String {
    let mut rule = String::from("root ::= \"");
    for c in given.chars() {
        match c {
            '"' | '\\' => rule.extend(['\\', c]),
            '\n' => rule.push_str("\\n"),
            '\r' => rule.push_str("\\r"),
            '\t' => rule.push_str("\\t"),
            c if c.is_control() => rule.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => rule.push(c),
        }
    }
    rule.push('"');
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grammar_escapes_what_ends_or_breaks_a_literal() {
        assert_eq!(grammar("a\"b\\c\nd\u{1}é"), "root ::= \"a\\\"b\\\\c\\nd\\x01é\"");
    }
}
