//! When two answers are the same.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::AnswerRule;
use super::extract::braced;
use super::number::Rational;

/// A closure that compares two answers.
type Comparison = dyn Fn(&str, &str) -> bool + Send + Sync;

/// A way to compare answers. All but [`Equivalence::Custom`] compare normalised texts first: without the marks of LaTeX (`$`, `\text{}`,
/// `\left`, `\,` ...), without a full stop at the end, and with blanks only between words.
#[derive(Clone)]
pub enum Equivalence {
    /// The same text.
    Exact,
    /// The same text, or the same rational number: 1/2, 0.5, 0.50 and `\frac12`.
    Rational,
    /// The same text, or two numbers with |a - b| <= `absolute` + `relative` · max(|a|, |b|).
    Numeric {
        /// Relative tolerance.
        relative: f64,
        /// Absolute tolerance.
        absolute: f64,
    },
    /// What a closure says.
    Custom(Arc<Comparison>),
}

impl Equivalence {
    /// True if two answers are the same.
    #[must_use]
    pub fn holds(&self, a: &str, b: &str) -> bool {
        if let Self::Custom(are_equivalent) = self {
            return are_equivalent(a, b);
        }
        let (a, b) = (normalised(a), normalised(b));
        a == b
            || match self {
                Self::Rational => Rational::parse(&a).zip(Rational::parse(&b)).is_some_and(|(a, b)| a == b),
                Self::Numeric { relative, absolute } => {
                    number(&a).zip(number(&b)).is_some_and(|(a, b)| (a - b).abs() <= absolute + relative * a.abs().max(b.abs()))
                }
                Self::Exact | Self::Custom(_) => false,
            }
    }
}

impl fmt::Debug for Equivalence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("Exact"),
            Self::Rational => f.write_str("Rational"),
            Self::Numeric { relative, absolute } => {
                f.debug_struct("Numeric").field("relative", relative).field("absolute", absolute).finish()
            }
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

fn number(text: &str) -> Option<f64> {
    Rational::parse(text).map(Rational::to_f64).or_else(|| text.parse().ok()).filter(|x: &f64| x.is_finite())
}

/// An answer without the marks that carry no meaning.
fn normalised(answer: &str) -> String {
    let mut text = answer.trim().to_owned();
    for mark in ["$", "\\(", "\\)", "\\[", "\\]", "\\left", "\\right", "\\!", "\\,", "\\;", "\\ "] {
        text = text.replace(mark, if mark == "\\ " { " " } else { "" });
    }
    text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("\\%", "%");
    for command in ["\\text", "\\mathrm", "\\textbf", "\\mathbf"] {
        while let Some((before, rest)) = text.split_once(&format!("{command}{{")) {
            let rest = format!("{{{rest}");
            let Some((content, after)) = braced(&rest) else { break };
            text = format!("{before}{content}{after}");
        }
    }
    let text = text.trim().trim_end_matches('.');
    let chars: Vec<char> = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    let is_word = |i: usize| chars.get(i).is_some_and(|c| c.is_alphanumeric());
    (0..chars.len()).filter(|&i| chars[i] != ' ' || (i > 0 && is_word(i - 1) && is_word(i + 1))).map(|i| chars[i]).collect()
}

/// The class of each answer, numbered by first appearance; `None` where there is no answer.
///
/// Two answers are in one class if a chain of pairwise equivalent answers *among the given ones* links them: with a tolerance, 1.0 and 1.2
/// may be joined by a 1.1. One comparison per pair of different answers at most.
///
/// ```
/// use posterity::reasoning::{Answers, answer_classes};
/// let answers = ["1/2", "3", "0.5"].map(|text| Some(text.to_owned()));
/// assert_eq!(answer_classes(&answers, &Answers::last_number()), [Some(0), Some(1), Some(0)]);
/// ```
#[must_use]
pub fn answer_classes(answers: &[Option<String>], rule: &dyn AnswerRule) -> Vec<Option<usize>> {
    let mut distinct: Vec<&str> = Vec::new();
    let mut place: HashMap<&str, usize> = HashMap::new();
    let places: Vec<Option<usize>> = answers
        .iter()
        .map(|answer| {
            answer.as_deref().map(|answer| {
                *place.entry(answer).or_insert_with(|| {
                    distinct.push(answer);
                    distinct.len() - 1
                })
            })
        })
        .collect();
    // The smallest place in each class stands for it.
    let mut class: Vec<usize> = (0..distinct.len()).collect();
    for j in 0..distinct.len() {
        for i in 0..j {
            let (a, b) = (class[i].min(class[j]), class[i].max(class[j]));
            if a != b && rule.are_equivalent(distinct[i], distinct[j]) {
                for c in &mut class[..=j] {
                    if *c == b {
                        *c = a;
                    }
                }
            }
        }
    }
    let mut number = vec![0; class.len()];
    let mut n_classes = 0;
    for i in 0..class.len() {
        if class[i] == i {
            number[i] = n_classes;
            n_classes += 1;
        }
    }
    places.into_iter().map(|place| place.map(|place| number[class[place]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_do_not_matter_and_words_do() {
        let exact = Equivalence::Exact;
        assert!(exact.holds(r"$\text{New  York}$.", "New York"));
        assert!(!exact.holds("New York", "NewYork"));
        assert!(exact.holds("x + 1", "x+1"));
        assert!(exact.holds(r"\left( \dfrac{1}{2} \right)", r"(\frac{1}{2})"));
        assert!(!exact.holds("0.5", "1/2"));
        assert!(Equivalence::Rational.holds(r"$\tfrac12$", "0.50"));
        assert!(!Equivalence::Rational.holds("x", "y"));
        let numeric = Equivalence::Numeric { relative: 0.0, absolute: 0.1 };
        assert!(numeric.holds("1", "1.1") && !numeric.holds("1", "1.2") && !numeric.holds("1", "x"));
        assert!(!Equivalence::Numeric { relative: f64::NAN, absolute: 0.1 }.holds("1", "1.1"));
    }
}
