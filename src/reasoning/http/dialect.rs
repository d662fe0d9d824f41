//! What servers have in common: [`Dialect`] turns requests for text into their JSON and reads their replies.

use std::fmt;

use serde_json::Value;

use crate::reasoning::SamplingPrior;

use super::client::HttpRequest;
use super::error::Malformed;

/// The requests and replies of one kind of server.
pub trait Dialect: fmt::Debug + Send + Sync {
    /// Which log-probabilities the server reports.
    fn log_prob_style(&self) -> LogProbStyle;

    /// True if requests must limit the number of tokens.
    fn needs_max_tokens(&self) -> bool {
        false
    }

    /// Most texts that one request may draw from one prompt, independently of each other.
    fn max_siblings(&self) -> usize {
        1
    }

    /// The request for [`CompletionRequest::n`] texts.
    fn complete(&self, request: &CompletionRequest<'_>) -> HttpRequest;

    /// Reads its reply.
    ///
    /// # Errors
    ///
    /// What is wrong with the reply.
    fn read_completions(&self, request: &CompletionRequest<'_>, reply: &Value) -> Result<Vec<Completion>, Malformed>;

    /// The request for the log-probabilities of a given text; `None` if the server cannot tell that of [`ForcedRequest::end`].
    fn force(&self, request: &ForcedRequest<'_>) -> Option<HttpRequest>;

    /// Reads its reply.
    ///
    /// # Errors
    ///
    /// What is wrong with the reply.
    fn read_forced(&self, request: &ForcedRequest<'_>, reply: &Value) -> Result<ForcedText, Malformed>;
}

/// Which log-probabilities a server reports of the tokens that it draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogProbStyle {
    /// Those of the model: before temperature and truncation.
    Raw,
    /// Those of the draw: after temperature and truncation.
    Processed,
}

/// A request for texts that follow a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRequest<'a> {
    /// The prompt, as the model reads it.
    pub prompt: &'a str,
    /// The model and how tokens are drawn.
    pub prior: &'a SamplingPrior,
    /// Most tokens; `None` for as many as the context holds.
    pub max_tokens: Option<u64>,
    /// The most likely token each time.
    pub greedy: bool,
    /// Texts that end the completion.
    pub stop: &'a [String],
    /// Seed of the draw.
    pub seed: u64,
    /// Number of texts.
    pub n: usize,
    /// Number of most likely tokens to list at each place, beside the log-probability of the drawn one; `None` for no
    /// log-probabilities at all.
    pub log_probs: Option<u32>,
}

impl CompletionRequest<'_> {
    /// The temperature: 0 if greedy.
    #[must_use]
    pub fn temperature(&self) -> f64 {
        if self.greedy { 0.0 } else { self.prior.temperature }
    }
}

/// A text that a server wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The text, without the stop string that ended it.
    pub text: String,
    /// Why it ended.
    pub stop: Stop,
    /// Number of its tokens, those of stop string or end included.
    pub n_tokens: u64,
    /// Its tokens, where the server tells them.
    pub token_ids: Option<Vec<u32>>,
    /// Log-probabilities of its tokens, where they were asked for.
    pub log_probs: Option<Vec<f64>>,
    /// The most likely tokens at the first place with their log-probabilities, where they were asked for.
    pub first_top: Vec<(String, f64)>,
    /// Bytes of text and stop string that `log_probs` cover: some servers leave out the tokens of the stop string.
    pub covered: usize,
    /// Tokens of the prompt that were read for it.
    pub prompt_tokens: u64,
}

/// Why a completion ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// At this stop string.
    Text(String),
    /// At the model's end of text.
    End,
    /// At the limit of tokens, or of the context.
    Limit,
}

/// A request for the log-probabilities of a given text.
#[derive(Debug, Clone, PartialEq)]
pub struct ForcedRequest<'a> {
    /// What it follows.
    pub prompt: &'a str,
    /// The model.
    pub model: &'a str,
    /// The text in pieces.
    pub pieces: &'a [&'a str],
    /// True if the model's end of text follows.
    pub end: bool,
}

/// Log-probabilities of a given text under the model itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ForcedText {
    /// Of the tokens of each piece. A token that reaches from one piece into the next belongs to the one where it ends.
    pub pieces: Vec<Vec<f64>>,
    /// Of the end of text, where it was asked for.
    pub end: Option<f64>,
    /// Number of tokens read or written for it.
    pub tokens: u64,
}

/// Tokens with their lengths and log-probabilities, cut into pieces of given lengths.
pub(super) fn cut(tokens: &[(usize, f64)], lengths: impl IntoIterator<Item = usize>) -> Result<Vec<Vec<f64>>, Malformed> {
    let mut rest = tokens.iter();
    let (mut read, mut end) = (0, 0);
    let mut pieces = Vec::new();
    for length in lengths {
        end += length;
        let mut piece = Vec::new();
        // A token that reaches further is the first one of the next piece.
        while let Some(&(length, log_prob)) = rest.as_slice().first()
            && read + length <= end
            && (length > 0 || read < end)
        {
            rest.next();
            read += length;
            piece.push(log_prob);
        }
        pieces.push(piece);
    }
    if read == end && rest.as_slice().is_empty() { Ok(pieces) } else { Err(Malformed::OtherText) }
}

/// How much of a text tokens spell from its start: the number of tokens, and of bytes.
///
/// Tokens that hold a part of a character stand for it as U+FFFD, one or more for each character.
pub(super) fn spelled<'a>(tokens: impl IntoIterator<Item = &'a str>, given: &str) -> (usize, usize) {
    let (mut whole, mut read, mut gap) = ((0, 0), 0, false);
    for (index, token) in tokens.into_iter().enumerate() {
        for (part, literal) in token.split(char::REPLACEMENT_CHARACTER).enumerate() {
            gap |= part > 0;
            if literal.is_empty() {
                continue;
            }
            let rest = &given[read..];
            let start = if gap {
                let broken = rest.char_indices().take_while(|(_, c)| !c.is_ascii());
                let mut ends = broken.map(|(start, c)| start + c.len_utf8());
                ends.find(|&end| rest[end..].starts_with(literal))
            } else {
                rest.starts_with(literal).then_some(0)
            };
            let Some(start) = start else { return whole };
            (read, gap) = (read + start + literal.len(), false);
        }
        if !gap {
            whole = (index + 1, read);
        }
    }
    whole
}

/// A log-probability of a reply. Rounding may leave it slightly above 0.
pub(super) fn log_prob(value: Option<&Value>, index: usize) -> Result<f64, Malformed> {
    let found = value.and_then(Value::as_f64);
    match found {
        Some(value) if value <= 1e-3 => Ok(value.min(0.0)),
        _ => Err(Malformed::LogProbability { index, value: found }),
    }
}

/// A seed that servers keep apart from others: folded to this many bits.
pub(super) fn folded(seed: u64, bits: u32) -> u64 {
    (seed ^ (seed >> bits)) & ((1 << bits) - 1)
}

pub(super) fn text<'a>(value: &'a Value, field: &'static str) -> Result<&'a str, Malformed> {
    value.get(field).and_then(Value::as_str).ok_or(Malformed::Field { field, rule: "a text" })
}

pub(super) fn number(value: &Value, field: &'static str) -> Result<u64, Malformed> {
    value.get(field).and_then(Value::as_u64).ok_or(Malformed::Field { field, rule: "a count" })
}

pub(super) fn array<'a>(value: &'a Value, field: &'static str) -> Result<&'a [Value], Malformed> {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).ok_or(Malformed::Field { field, rule: "an array" })
}

pub(super) fn ids(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_cut_where_they_end() {
        let tokens = [(1, -1.0), (2, -2.0), (2, -3.0), (1, -4.0)];
        assert_eq!(cut(&tokens, [3, 3]), Ok(vec![vec![-1.0, -2.0], vec![-3.0, -4.0]]));
        assert_eq!(cut(&tokens, [4, 2]), Ok(vec![vec![-1.0, -2.0], vec![-3.0, -4.0]]));
        assert_eq!(cut(&tokens, [0, 6, 0]), Ok(vec![vec![], vec![-1.0, -2.0, -3.0, -4.0], vec![]]));
        assert_eq!(cut(&tokens, [3, 2]), Err(Malformed::OtherText));
        assert_eq!(cut(&tokens, [3, 4]), Err(Malformed::OtherText));
    }

    #[test]
    fn tokens_spell_a_text_up_to_what_overhangs() {
        assert_eq!(spelled(["a\n", "\n\n"], "a\n\n"), (1, 2));
        assert_eq!(spelled(["a", ".\n\nSo"], "a.\n\n"), (1, 1));
        assert_eq!(spelled(["a", "", "\n\n"], "a\n\n"), (3, 3));
        // A character of two tokens, and one whose last token holds a letter.
        assert_eq!(spelled(["a \u{FFFD}", "\u{FFFD}", "\n", "\n\n"], "a é\n\n"), (3, 5));
        assert_eq!(spelled(["\u{FFFD}", "\u{FFFD}b", "\n"], "éb\n"), (3, 4));
        assert_eq!(spelled(["\u{FFFD}", "b"], "ab"), (0, 0));
    }

    #[test]
    fn small_seeds_are_kept_and_large_ones_stay_in_range() {
        assert_eq!(folded(7, 31), 7);
        assert!(folded(u64::MAX - 5, 31) < 1 << 31);
        assert_ne!(folded(1 << 40, 31), folded(1 << 41, 31));
    }
}
