//! The cloud of texts.

use crate::reasoning::{Prefix, Scores};
use crate::smc::Population;

/// A text in the making: handles only, so that a copy is two counts.
#[derive(Debug, Clone)]
pub struct Particle {
    /// The text.
    pub prefix: Prefix,
    /// Scores of its steps.
    pub scores: Scores,
    /// log ψ of it.
    pub log_psi: f64,
}

/// Texts by slot.
#[derive(Debug, Clone, Default)]
pub struct Texts(Vec<Option<Particle>>);

impl Texts {
    /// The text of a slot, if it was filled.
    #[must_use]
    pub fn get(&self, slot: usize) -> Option<&Particle> {
        self.0.get(slot)?.as_ref()
    }

    /// Fills a slot; without effect if there is no such slot.
    pub fn set(&mut self, slot: usize, particle: Particle) {
        if let Some(place) = self.0.get_mut(slot) {
            *place = Some(particle);
        }
    }

    /// The texts of all filled slots, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Particle> {
        self.0.iter().flatten()
    }
}

impl Population for Texts {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn resize(&mut self, n: usize) {
        self.0.resize(n, None);
    }

    fn copy_slot(&mut self, slot: usize, parents: &Self, parent: usize) {
        self.0[slot].clone_from(&parents.0[parent]);
    }
}
