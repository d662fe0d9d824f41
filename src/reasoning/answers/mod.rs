//! Answers: what a text says in the end, and when two texts say the same.
//!
//! Methods return texts; what is judged is answers. An [`AnswerRule`] finds them and says which are equivalent, a [`Selector`] chooses one
//! among weighted texts. A text that was cut off, or is not finished at all, has no answer unless the rule says so: a number in the middle of
//! a derivation is none.

mod equivalence;
mod extract;
mod number;
mod selector;

use std::fmt;
use std::sync::Arc;

use super::prefix::{Finish, Prefix};

pub use equivalence::{Equivalence, answer_classes};
pub use extract::Extract;
pub use selector::{Selection, Selector};

/// Where the answer of a text stands, and when two answers are the same.
///
/// ```
/// use posterity::reasoning::AnswerRule;
///
/// /// The last word, in any case.
/// struct LastWord;
/// impl AnswerRule for LastWord {
///     fn extract(&self, text: &str) -> Option<String> {
///         text.split_whitespace().last().map(str::to_owned)
///     }
///     fn are_equivalent(&self, a: &str, b: &str) -> bool {
///         a.eq_ignore_ascii_case(b)
///     }
/// }
/// assert_eq!(LastWord.extract("it is Yes").as_deref(), Some("Yes"));
/// ```
pub trait AnswerRule: Send + Sync {
    /// The answer in what was written after a prompt; `None` if there is none.
    fn extract(&self, text: &str) -> Option<String>;

    /// True if two answers are the same: reflexive and symmetric. Where it is not transitive, answers count as the same that are linked by a
    /// chain of equivalent ones, see [`answer_classes`].
    fn are_equivalent(&self, a: &str, b: &str) -> bool {
        a == b
    }

    /// True if a text that ended so may have an answer; at first, only texts that the model itself ended.
    fn accepts(&self, finish: Finish) -> bool {
        finish.is_final() && !finish.is_forced()
    }

    /// The answer of a text, if it ended and has one.
    fn answer(&self, text: &Prefix) -> Option<String> {
        text.finish().filter(|&finish| self.accepts(finish)).and_then(|_| self.extract(&text.written()))
    }
}

/// A closure that finds answers.
pub(super) type Extractor = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The usual rules: one way to find answers, one to compare them.
///
/// ```
/// use posterity::reasoning::{AnswerRule, Answers};
/// let rule = Answers::boxed();
/// assert_eq!(rule.extract(r"so \boxed{1} or, in all, $\boxed{\frac{1}{2}}$.").as_deref(), Some(r"\frac{1}{2}"));
/// assert!(rule.are_equivalent(r"\frac12", "0.5") && !rule.are_equivalent("0.5", "0.501"));
/// assert!(Answers::last_number().numeric(0.01, 0.0).are_equivalent("100", "100.5"));
/// ```
#[derive(Clone)]
pub struct Answers {
    extract: Extract,
    equivalence: Equivalence,
    accepts_cut: bool,
}

impl Answers {
    /// Answers found by `extract` and compared by `equivalence`, in texts that the model itself ended.
    #[must_use]
    pub fn new(extract: Extract, equivalence: Equivalence) -> Self {
        Self { extract, equivalence, accepts_cut: false }
    }

    /// The content of the last `\boxed{}`, compared as rational numbers where it is one.
    #[must_use]
    pub fn boxed() -> Self {
        Self::new(Extract::Boxed, Equivalence::Rational)
    }

    /// The last number, compared as a rational one.
    #[must_use]
    pub fn last_number() -> Self {
        Self::new(Extract::LastNumber, Equivalence::Rational)
    }

    /// The letter of one of `n_choices` choices, from A.
    #[must_use]
    pub fn choice(n_choices: u8) -> Self {
        Self::new(Extract::Choice { n_choices }, Equivalence::Exact)
    }

    /// The last line that is not empty.
    #[must_use]
    pub fn last_line() -> Self {
        Self::new(Extract::LastLine, Equivalence::Exact)
    }

    /// What a closure finds, compared exactly.
    #[must_use]
    pub fn by(extract: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::new(Extract::Custom(Arc::new(extract)), Equivalence::Exact)
    }

    /// Compares normalised texts.
    #[must_use]
    pub fn exact(mut self) -> Self {
        self.equivalence = Equivalence::Exact;
        self
    }

    /// Compares rational numbers.
    #[must_use]
    pub fn rational(mut self) -> Self {
        self.equivalence = Equivalence::Rational;
        self
    }

    /// Compares numbers up to |a - b| <= `absolute` + `relative` · max(|a|, |b|).
    #[must_use]
    pub fn numeric(mut self, relative: f64, absolute: f64) -> Self {
        self.equivalence = Equivalence::Numeric { relative, absolute };
        self
    }

    /// Compares by a closure, which gets answers as they were found.
    #[must_use]
    pub fn equivalent_if(mut self, are_equivalent: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        self.equivalence = Equivalence::Custom(Arc::new(are_equivalent));
        self
    }

    /// Accepts answers of texts that a limit cut off, too.
    #[must_use]
    pub fn accept_cut(mut self, accepts_cut: bool) -> Self {
        self.accepts_cut = accepts_cut;
        self
    }
}

impl AnswerRule for Answers {
    fn extract(&self, text: &str) -> Option<String> {
        self.extract.extract(text)
    }

    fn are_equivalent(&self, a: &str, b: &str) -> bool {
        self.equivalence.holds(a, b)
    }

    fn accepts(&self, finish: Finish) -> bool {
        finish.is_final() && (self.accepts_cut || !finish.is_forced())
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("extract", &self.extract)
            .field("equivalence", &self.equivalence)
            .field("accepts_cut", &self.accepts_cut)
            .finish()
    }
}
