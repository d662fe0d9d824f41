//! How a prefix is written out for a reward model.

use std::fmt;

use crate::reasoning::Prefix;

type Write = Box<dyn Fn(&Prefix) -> Option<String> + Send + Sync>;

/// Writes a prefix as the prompt of a reward model.
///
/// ```
/// use posterity::reasoning::http::PromptTemplate;
/// use posterity::reasoning::{Finish, Prefix, Step};
/// let prefix = Prefix::prompt("1+1?").extended(Step::new("It is 2.\n\n", Finish::Step));
/// let judge = PromptTemplate::new(|prefix| format!("Q: {}\nA: {}\nGood? ", prefix.prompt_text(), prefix.written().trim_end()));
/// assert_eq!(judge.write(&prefix).as_deref(), Some("Q: 1+1?\nA: It is 2.\nGood? "));
/// let tagged = PromptTemplate::tagged("<user>", "</user>", "<step>", "<end>");
/// assert_eq!(tagged.write(&prefix).as_deref(), Some("<user>1+1?</user>It is 2.<step><end>"));
/// ```
pub struct PromptTemplate(Write);

impl fmt::Debug for PromptTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PromptTemplate")
    }
}

impl PromptTemplate {
    /// Any function of a prefix.
    pub fn new(write: impl Fn(&Prefix) -> String + Send + Sync + 'static) -> Self {
        Self(Box::new(move |prefix| Some(write(prefix))))
    }

    /// A function that makes no prompt of some prefixes. Those are not sent, and are errors of their slot, or get the floor of a
    /// [`JudgeReward`](super::JudgeReward).
    pub fn partial(write: impl Fn(&Prefix) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Box::new(write))
    }

    /// The text as it is.
    #[must_use]
    pub fn plain() -> Self {
        Self::new(Prefix::text)
    }

    /// The prompt between `before` and `after`, then each step without the space around it and with `tag` behind it, then `end`.
    #[must_use]
    pub fn tagged(before: &str, after: &str, tag: &str, end: &str) -> Self {
        let [before, after, tag, end] = [before, after, tag, end].map(str::to_owned);
        Self::new(move |prefix| {
            let mut text = format!("{before}{}{after}", prefix.prompt_text());
            for step in prefix.steps() {
                text.push_str(step.text.trim());
                text.push_str(&tag);
            }
            text + &end
        })
    }

    /// That of Qwen2.5-Math-PRM-7B and -72B (Zhang et al. 2025, arXiv 2501.07301): the prompt is the question alone.
    #[must_use]
    pub fn qwen_math_prm() -> Self {
        Self::tagged(
            "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n<|im_start|>user\n",
            "<|im_end|>\n<|im_start|>assistant\n",
            "<extra_0>",
            "<|im_end|><|endoftext|>",
        )
    }

    /// Writes a prefix; `None` where it makes no prompt.
    #[must_use]
    pub fn write(&self, prefix: &Prefix) -> Option<String> {
        (self.0)(prefix)
    }
}
