//! What can go wrong between a request and its reply: [`HttpError`], told apart by what helps against it.

use std::time::Duration;

use serde_json::Value;

use crate::reasoning::{CallError, Severity};

/// Why a request to a server has no usable reply.
///
/// The classes are told apart by what helps: waiting ([`RateLimited`](Self::RateLimited), [`Unavailable`](Self::Unavailable),
/// [`Server`](Self::Server), [`Transport`](Self::Transport)), asking once more ([`Malformed`](Self::Malformed)), ending this one text
/// ([`ContextFull`](Self::ContextFull)) or nothing ([`Rejected`](Self::Rejected)). An error that helps itself has been retried before it
/// is seen here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Status 429: too many requests.
    #[error("the server limits requests: {message}")]
    RateLimited {
        /// What the server says.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// Status 503: the server is loading its model, or is full.
    #[error("the server is not available: {message}")]
    Unavailable {
        /// What the server says.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// Another status of 500 and above, or 408: the server, or what stands before it, failed.
    #[error("the server failed with status {status}: {message}")]
    Server {
        /// The status.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// No whole reply came: no connection, a reset, or none in time.
    #[error("no reply: {source}")]
    Transport {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address, the key or the certificate of the server cannot be used.
    #[error("the server cannot be asked: {source}")]
    Setup {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The prompt, or prompt and step, are longer than the model's context.
    #[error("the context is full: {message}")]
    ContextFull {
        /// What the server says.
        message: String,
        /// Tokens of the prompt, where the server says so.
        n_prompt_tokens: Option<u64>,
        /// Length of the context, where the server says so.
        n_context: Option<u64>,
    },
    /// The server refuses the request: a field it does not take, a model it does not have, a key it does not know.
    #[error("the server refuses the request with status {status}: {message}")]
    Rejected {
        /// The status.
        status: u16,
        /// The server's name of the problem.
        kind: Option<String>,
        /// What the server says.
        message: String,
    },
    /// A reply that cannot be read, twice.
    #[error("the reply cannot be used: {0}")]
    Malformed(#[from] Malformed),
    /// The end of a text is to be scored, and the dialect does not know how its token is written.
    #[error("the end of a text can be scored only if its token is named: see `Vllm::end_of_text`")]
    NoEndOfText,
    /// The template makes no prompt of the prefix.
    #[error("the template makes no prompt of this prefix")]
    NoPrompt,
    /// The request was not sent, because another one of its batch had found the server gone.
    #[error("not sent: the server did not answer other requests of the batch")]
    NotSent,
}

/// What is wrong with a reply of status 200.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// It is no JSON.
    #[error("it is no JSON (line {line}, column {column})")]
    Json {
        /// Line of the first error.
        line: usize,
        /// Its column.
        column: usize,
    },
    /// A field is missing, null, or of another type.
    #[error("`{field}` must be {rule}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// A log-probability is absent, no number or above 0.
    #[error("the log-probability of token {index} is {value:?}")]
    LogProbability {
        /// Place of the token in the reply.
        index: usize,
        /// What was found.
        value: Option<f64>,
    },
    /// There are more or fewer of something than asked for.
    #[error("{found} {what} instead of {expected}")]
    Count {
        /// Of what.
        what: &'static str,
        /// Number asked for.
        expected: usize,
        /// Number found.
        found: usize,
    },
    /// The tokens of a text that was given do not spell it.
    #[error("the tokens of the reply do not spell the text that was given")]
    OtherText,
    /// The reply does not say which of several stop strings was met.
    #[error("the reply does not say why the text ended")]
    NoStopReason,
    /// None of the tokens of a judgement is among the most likely ones.
    #[error("no judgement is among the {listed} most likely tokens")]
    NoJudgement {
        /// Number of tokens listed.
        listed: usize,
    },
}

impl HttpError {
    /// True if the same request may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. } | Self::Unavailable { .. } | Self::Server { .. } | Self::Transport { .. } | Self::NotSent
        )
    }

    /// How far it reaches.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Rejected { .. } | Self::Setup { .. } | Self::NoEndOfText => Severity::Fatal,
            Self::ContextFull { .. } | Self::Malformed(_) | Self::NoPrompt => Severity::Slot,
            _ => Severity::Transient,
        }
    }

    /// How long the server asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The class of a reply whose status is no success.
    pub(super) fn of_status(status: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let ErrorBody { message, kind, n_prompt_tokens, n_context, context_full } = ErrorBody::parse(body);
        match status {
            429 => Self::RateLimited { message, retry_after },
            503 => Self::Unavailable { message, retry_after },
            408 | 500.. => Self::Server { status, message },
            400 | 413 | 422 if context_full => Self::ContextFull { message, n_prompt_tokens, n_context },
            _ => Self::Rejected { status, kind, message },
        }
    }
}

impl From<HttpError> for CallError {
    fn from(error: HttpError) -> Self {
        Self::new(error.severity(), error)
    }
}

/// What the four forms of an error body have in common.
struct ErrorBody {
    message: String,
    kind: Option<String>,
    n_prompt_tokens: Option<u64>,
    n_context: Option<u64>,
    context_full: bool,
}

/// Longest message that is kept of a body in no known form.
const MAX_MESSAGE: usize = 500;

impl ErrorBody {
    /// OpenAI's `{"error": {"message", "type", "code"}}`, llama.cpp's with a numeric code, vLLM's former flat one and Ollama's
    /// `{"error": "..."}`.
    fn parse(body: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let inner = value.get("error").filter(|error| error.is_object()).unwrap_or(&value);
        let text = |field: &str| inner.get(field).and_then(Value::as_str).map(str::to_owned);
        let message = text("message")
            .or_else(|| value.get("error").and_then(Value::as_str).map(str::to_owned))
            .unwrap_or_else(|| String::from_utf8_lossy(body).chars().take(MAX_MESSAGE).collect());
        let number = |field: &str| inner.get(field).and_then(Value::as_u64);
        let (kind, code) = (text("type"), text("code"));
        let names = [kind.as_deref(), code.as_deref()];
        let context_full = names.contains(&Some("exceed_context_size_error"))
            || names.contains(&Some("context_length_exceeded"))
            || ["maximum context length", "exceeds the available context size", "longer than the maximum model length"]
                .iter()
                .any(|phrase| message.contains(phrase));
        Self { message, kind, n_prompt_tokens: number("n_prompt_tokens"), n_context: number("n_ctx"), context_full }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_forms_of_an_error_body_are_read() {
        for (status, body, message, kind) in [
            (
                401,
                r#"{"error":{"message":"bad key","type":"auth","param":null,"code":"invalid_api_key"}}"#,
                "bad key",
                Some("auth"),
            ),
            (
                404,
                r#"{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}"#,
                "File Not Found",
                Some("not_found_error"),
            ),
            (
                422,
                r#"{"object":"error","message":"top_k","type":"BadRequestError","param":null,"code":422}"#,
                "top_k",
                Some("BadRequestError"),
            ),
            (404, r#"{"error":"model 'x' not found"}"#, "model 'x' not found", None),
            (403, "<html>Forbidden</html>", "<html>Forbidden</html>", None),
        ] {
            match HttpError::of_status(status, body.as_bytes(), None) {
                HttpError::Rejected { status: found, kind: name, message: text } => {
                    assert_eq!((found, name.as_deref(), text.as_str()), (status, kind, message));
                }
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn a_full_context_is_no_refusal() {
        for body in [
            r#"{"error":{"code":400,"message":"request (145 tokens) exceeds the available context size (112 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":145,"n_ctx":112}}"#,
            r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens","type":"BadRequestError","param":null,"code":400}"#,
            r#"{"error":{"message":"The decoder prompt (length 5000) is longer than the maximum model length of 4096.","type":"BadRequestError","code":400}}"#,
            r#"{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
        ] {
            let error = HttpError::of_status(400, body.as_bytes(), None);
            assert!(matches!(error, HttpError::ContextFull { .. }), "{error}");
            assert_eq!(error.severity(), Severity::Slot);
        }
        let other = HttpError::of_status(400, br#"{"error":{"message":"bad grammar","code":400}}"#, None);
        assert_eq!(other.severity(), Severity::Fatal);
    }
}
