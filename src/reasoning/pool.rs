//! Weighted texts of several clouds or chains, added up.

use std::collections::HashMap;

use super::decoder::{Particle, WeightedText};
use super::prefix::PrefixKey;

/// Weighted texts, in the order in which they were first seen; weights of the same text are added.
#[derive(Debug, Default)]
pub(super) struct Pool {
    texts: Vec<WeightedText>,
    places: HashMap<PrefixKey, usize>,
}

impl Pool {
    /// Adds a text; without effect if its weight is 0.
    pub(super) fn add(&mut self, text: &Particle, weight: f64) {
        if weight <= 0.0 {
            return;
        }
        self.push(WeightedText { prefix: text.prefix.clone(), weight, scores: text.scores.to_vec(), log_psi: text.log_psi });
    }

    fn push(&mut self, text: WeightedText) {
        let place = *self.places.entry(text.prefix.key()).or_insert(self.texts.len());
        match self.texts.get_mut(place) {
            Some(known) => known.weight += text.weight,
            None => self.texts.push(text),
        }
    }

    /// Adds all of another pool.
    pub(super) fn add_all(&mut self, other: Self) {
        for text in other.texts {
            self.push(text);
        }
    }

    /// The texts, with weights that sum to 1.
    pub(super) fn normalised(mut self) -> Vec<WeightedText> {
        let total: f64 = self.texts.iter().map(|text| text.weight).sum();
        for text in &mut self.texts {
            text.weight /= total;
        }
        self.texts
    }
}

/// Per step, how often the text up to it changed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    n_changed: Vec<u64>,
    n_moves: u64,
}

impl Changes {
    /// Counts a move between two texts of the same prompt, which has `n_prompt` steps.
    pub(super) fn count(&mut self, n_prompt: usize, before: &Particle, after: &Particle) {
        self.n_moves += 1;
        let n_steps = before.prefix.n_steps().max(after.prefix.n_steps()) - n_prompt;
        if self.n_changed.len() < n_steps {
            self.n_changed.resize(n_steps, 0);
        }
        let shorter = before.prefix.n_steps().min(after.prefix.n_steps());
        let (mut a, mut b) = (before.prefix.first_steps(shorter), after.prefix.first_steps(shorter));
        let n_common = loop {
            match (a == b, a.parent(), b.parent()) {
                (false, Some(parent_a), Some(parent_b)) => (a, b) = (parent_a, parent_b),
                _ => break a.n_steps(),
            }
        };
        for count in &mut self.n_changed[(n_common.max(n_prompt) - n_prompt).min(n_steps)..n_steps] {
            *count += 1;
        }
    }

    /// Shares of all moves.
    pub(super) fn rates(&self) -> Vec<f64> {
        self.n_changed.iter().map(|&n| n as f64 / self.n_moves as f64).collect()
    }
}
