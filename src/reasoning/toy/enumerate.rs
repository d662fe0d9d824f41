//! Exact answers by enumeration of all texts. Nothing here calls an engine.

use super::table::TableModel;
use crate::reasoning::{Potential, RewardScale};

/// A finished text, with its probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct ExactText {
    /// Its steps, an end of its own included as an empty step.
    pub steps: Vec<String>,
    /// Its probability under the language model at temperature 1.
    pub log_model: f64,
    /// Its probability as it is drawn.
    pub log_sampling: f64,
    /// Scores of its steps.
    pub scores: Vec<f64>,
    /// Its probability under the target.
    pub probability: f64,
}

impl ExactText {
    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        self.steps.concat()
    }
}

/// A target over finished texts, exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct ExactTarget {
    /// Z: the sum of p(x) ψ(x).
    pub evidence: f64,
    /// All texts with their probabilities.
    pub texts: Vec<ExactText>,
}

impl ExactTarget {
    /// The mean of a function of texts.
    pub fn mean(&self, f: impl Fn(&ExactText) -> f64) -> f64 {
        self.texts.iter().map(|text| text.probability * f(text)).sum()
    }

    /// Another target over the same texts, with log-weight `log_weight`.
    #[must_use]
    pub fn reweighted(&self, log_weight: impl Fn(&ExactText) -> f64) -> Self {
        let mut texts = self.texts.clone();
        for text in &mut texts {
            text.probability = log_weight(text).exp();
        }
        normalised(texts)
    }
}

fn normalised(mut texts: Vec<ExactText>) -> ExactTarget {
    let evidence: f64 = texts.iter().map(|text| text.probability).sum();
    for text in &mut texts {
        text.probability /= evidence;
    }
    ExactTarget { evidence, texts }
}

impl TableModel {
    /// All finished texts under p(x) ψ(x), p as it is drawn.
    #[must_use]
    pub fn enumerate(&self, potential: &Potential) -> ExactTarget {
        let mut texts = Vec::new();
        let start = ExactText { steps: Vec::new(), log_model: 0.0, log_sampling: 0.0, scores: Vec::new(), probability: 0.0 };
        let mut open = vec![start];
        while let Some(text) = open.pop() {
            let written = text.text();
            for branch in self.branches(&written, text.steps.len()) {
                let mut next = text.clone();
                next.steps.push(branch.text.clone());
                next.log_model += branch.p.ln();
                next.log_sampling += branch.q.ln();
                let is_finished = branch.finish.is_final();
                next.scores.push(self.reward(&next.text(), is_finished).unwrap_or(f64::NAN));
                if is_finished {
                    let log_psi = potential.log_psi(RewardScale::Probability, &next.scores, true);
                    next.probability = (next.log_sampling + log_psi).exp();
                    texts.push(next);
                } else {
                    open.push(next);
                }
            }
        }
        normalised(texts)
    }
}
