//! Prefixes: a prompt and the steps written after it.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::jsonl::number;

/// Why a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// At the delimiter of steps: more may follow.
    Step,
    /// At the model's end of text.
    Eos,
    /// At the pattern that ends an answer.
    Answer,
    /// At the limit of tokens, or because the context is full.
    MaxTokens,
    /// At the limit of steps, by the decoder.
    MaxSteps,
}

impl Finish {
    /// True if nothing follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        self != Self::Step
    }

    /// True if the text was cut off: the model itself had not finished.
    #[must_use]
    pub fn is_forced(self) -> bool {
        matches!(self, Self::MaxTokens | Self::MaxSteps)
    }
}

/// One step of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its text, delimiter included.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// Number of its tokens.
    pub n_tokens: u64,
    /// Its tokens, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ids: Option<Vec<u32>>,
    /// Its log-probability under the distribution it was drawn from (temperature and truncation included), where that is known.
    #[serde(default, with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub log_sampling: Option<f64>,
    /// Its log-probability under the language model itself, at temperature 1 and without truncation, where that is known.
    #[serde(default, with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub log_model: Option<f64>,
}

impl Step {
    /// A step of one token with no known log-probability.
    #[must_use]
    pub fn new(text: impl Into<String>, finish: Finish) -> Self {
        Self { text: text.into(), finish, n_tokens: 1, token_ids: None, log_sampling: None, log_model: None }
    }
}

/// Names a prefix by its content: the same prompt and steps give the same key in every run and on every machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PrefixKey(u128);

impl PrefixKey {
    fn chain(parent: Option<Self>, text: &str, finish: Finish) -> Self {
        let mut hasher = SipHasher13::new();
        hasher.write(&parent.map_or(0, |key| key.0).to_le_bytes());
        hasher.write(&[finish as u8]);
        hasher.write(text.as_bytes());
        Self(hasher.finish128().as_u128())
    }
}

impl fmt::Display for PrefixKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for PrefixKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<PrefixKey> for String {
    fn from(key: PrefixKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for PrefixKey {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}

/// A prompt and the steps written after it. Prefixes share what they have in common: a clone is one handle, an extension one node.
///
/// ```
/// use posterity::reasoning::{Finish, Prefix, Step};
/// let prompt = Prefix::prompt("2+2=");
/// let answer = prompt.extended(Step::new("4", Finish::Eos));
/// assert_eq!((answer.text().as_str(), answer.written().as_str(), answer.n_steps()), ("2+2=4", "4", 1));
/// assert!(answer.is_finished() && !prompt.is_finished());
/// ```
#[derive(Clone)]
pub struct Prefix(Arc<Node>);

struct Node {
    parent: Option<Prefix>,
    /// The prompt, at the root.
    step: Step,
    key: PrefixKey,
    n_steps: usize,
}

impl Prefix {
    /// A prompt.
    #[must_use]
    pub fn prompt(text: impl Into<String>) -> Self {
        let step = Step { n_tokens: 0, ..Step::new(text, Finish::Step) };
        let key = PrefixKey::chain(None, &step.text, step.finish);
        Self(Arc::new(Node { parent: None, step, key, n_steps: 0 }))
    }

    /// This prefix and one more step.
    #[must_use]
    pub fn extended(&self, step: Step) -> Self {
        let key = PrefixKey::chain(Some(self.0.key), &step.text, step.finish);
        Self(Arc::new(Node { parent: Some(self.clone()), step, key, n_steps: self.0.n_steps + 1 }))
    }

    /// This prefix and several more steps.
    #[must_use]
    pub fn extended_by<'a>(&self, steps: impl IntoIterator<Item = &'a Step>) -> Self {
        steps.into_iter().fold(self.clone(), |prefix, step| prefix.extended(step.clone()))
    }

    /// Its content's key.
    #[must_use]
    pub fn key(&self) -> PrefixKey {
        self.0.key
    }

    /// Number of steps after the prompt.
    #[must_use]
    pub fn n_steps(&self) -> usize {
        self.0.n_steps
    }

    /// The prefix without its last step; `None` for a prompt.
    #[must_use]
    pub fn parent(&self) -> Option<&Self> {
        self.0.parent.as_ref()
    }

    /// The last step; `None` for a prompt.
    #[must_use]
    pub fn last_step(&self) -> Option<&Step> {
        self.0.parent.as_ref().map(|_| &self.0.step)
    }

    /// The first `n` steps of this prefix; the whole of it if it has no more.
    #[must_use]
    pub fn first_steps(&self, n: usize) -> &Self {
        self.lineage().find(|prefix| prefix.n_steps() <= n).unwrap_or(self)
    }

    /// This text; its last step is ended by the limit if it has `n_max` steps and would go on.
    pub(super) fn cut_at(self, n_max: usize) -> Self {
        match (self.parent(), self.last_step()) {
            (Some(parent), Some(step)) if step.finish == Finish::Step && self.n_steps() >= n_max => {
                parent.extended(Step { finish: Finish::MaxSteps, ..step.clone() })
            }
            _ => self,
        }
    }

    /// This prefix, its parent, and so on to the prompt.
    pub fn lineage(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |prefix| prefix.parent())
    }

    /// What this prefix and another one of the same prompt begin with; the prompt of this one if they have nothing in common.
    pub(super) fn common_part<'a>(&'a self, other: &'a Self) -> &'a Self {
        let n_steps = self.n_steps().min(other.n_steps());
        let (mut a, mut b) = (self.first_steps(n_steps), other.first_steps(n_steps));
        while a != b
            && let (Some(parent_a), Some(parent_b)) = (a.parent(), b.parent())
        {
            (a, b) = (parent_a, parent_b);
        }
        a
    }

    /// The steps in order.
    #[must_use]
    pub fn steps(&self) -> Vec<&Step> {
        let mut steps: Vec<_> = self.lineage().filter_map(Self::last_step).collect();
        steps.reverse();
        steps
    }

    /// The prompt's text.
    #[must_use]
    pub fn prompt_text(&self) -> &str {
        &self.first_steps(0).0.step.text
    }

    /// What was written after the prompt.
    #[must_use]
    pub fn written(&self) -> String {
        self.steps().into_iter().map(|step| step.text.as_str()).collect()
    }

    /// Prompt and steps.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.prompt_text().to_owned();
        text.push_str(&self.written());
        text
    }

    /// Why the last step ended; `None` for a prompt.
    #[must_use]
    pub fn finish(&self) -> Option<Finish> {
        self.last_step().map(|step| step.finish)
    }

    /// True if no step can follow.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finish().is_some_and(Finish::is_final)
    }

    /// Tokens written after the prompt.
    #[must_use]
    pub fn n_tokens(&self) -> u64 {
        self.lineage().filter_map(Self::last_step).map(|step| step.n_tokens).sum()
    }
}

impl PartialEq for Prefix {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Prefix {}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefix").field("key", &self.key()).field("text", &self.text()).field("finish", &self.finish()).finish()
    }
}

impl Drop for Node {
    /// Without recursion, which would overflow the stack for long texts of one-token steps.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut node) = next.and_then(|prefix| Arc::into_inner(prefix.0)) {
            next = node.parent.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_depend_on_every_step_on_its_end_and_on_where_steps_are_cut() {
        let prompt = Prefix::prompt("p");
        let ab = prompt.extended(Step::new("a", Finish::Step)).extended(Step::new("b", Finish::Step));
        let same = prompt.extended(Step::new("a", Finish::Step)).extended(Step { n_tokens: 7, ..Step::new("b", Finish::Step) });
        let ended = prompt.extended(Step::new("a", Finish::Step)).extended(Step::new("b", Finish::Eos));
        let whole = prompt.extended(Step::new("ab", Finish::Step));
        assert_eq!(ab, same);
        assert_ne!(ab, ended);
        assert_ne!(ab, whole);
        assert_eq!(ab.text(), whole.text());
        assert_eq!(ab.first_steps(1).text(), "pa");
        // Keys name prefixes in files that outlive the program.
        assert_eq!(ab.key().to_string(), "d6f0286a2a8abc1973e8decd01a2849c");
    }

    #[test]
    fn a_very_long_prefix_is_dropped_without_recursion() {
        let mut prefix = Prefix::prompt("");
        for _ in 0..300_000 {
            prefix = prefix.extended(Step::new("x", Finish::Step));
        }
        assert_eq!(prefix.n_steps(), 300_000);
    }
}
