//! Past generations, kept for smoothing.

use std::collections::VecDeque;

use super::populations::Population;

/// How much of the past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Nothing: memory does not grow with the number of steps.
    #[default]
    Nothing,
    /// The last generations, this many.
    Last(usize),
    /// Every generation.
    All,
}

/// The cloud of one step.
#[derive(Debug, Clone, Default)]
pub struct Generation<P> {
    /// The particles.
    pub population: P,
    /// Their log-weights, increments of the step included, up to a constant.
    pub log_weights: Vec<f64>,
    /// Where they came from: slot `c` from slot `ancestors[c / copies]` of the generation before; empty at step 0.
    pub ancestors: Vec<u32>,
    /// Children per ancestor.
    pub copies: usize,
}

impl<P> Generation<P> {
    /// The parent of a slot, in the generation before.
    #[must_use]
    pub fn parent(&self, slot: usize) -> Option<usize> {
        self.ancestors.get(slot / self.copies.max(1)).map(|&a| a as usize)
    }
}

/// The generations kept so far, the oldest first.
#[derive(Debug, Clone)]
pub struct History<P> {
    keep: Keep,
    generations: VecDeque<Generation<P>>,
    /// Memory of earlier runs.
    spare: Vec<Generation<P>>,
    n_seen: usize,
}

impl<P: Population> History<P> {
    pub(super) fn new(keep: Keep) -> Self {
        Self { keep, generations: VecDeque::new(), spare: Vec::new(), n_seen: 0 }
    }

    pub(super) fn clear(&mut self) {
        // Handed out again from the end: each step gets its own old memory.
        self.spare.extend(self.generations.drain(..).rev());
        self.n_seen = 0;
    }

    pub(super) fn push(&mut self, population: &P, log_weights: &[f64], ancestors: &[u32], copies: usize) {
        let room = match self.keep {
            Keep::Nothing | Keep::Last(0) => 0,
            Keep::Last(n) => n,
            Keep::All => usize::MAX,
        };
        self.n_seen += 1;
        if room == 0 {
            return;
        }
        // The memory of the generation that is dropped serves the new one.
        let recycled = if self.generations.len() >= room { self.generations.pop_front() } else { self.spare.pop() };
        let mut generation = recycled.unwrap_or_default();
        generation.population.clone_from(population);
        generation.log_weights.clear();
        generation.log_weights.extend_from_slice(log_weights);
        generation.ancestors.clear();
        generation.ancestors.extend_from_slice(ancestors);
        generation.copies = copies;
        self.generations.push_back(generation);
    }
}

impl<P> History<P> {
    /// Number of generations kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.generations.len()
    }

    /// True if nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.generations.is_empty()
    }

    /// Step of the oldest generation kept.
    #[must_use]
    pub fn first_step(&self) -> usize {
        self.n_seen - self.generations.len()
    }

    /// The generation of a step, if it is kept.
    #[must_use]
    pub fn generation(&self, t: usize) -> Option<&Generation<P>> {
        self.generations.get(t.checked_sub(self.first_step())?)
    }

    /// The generations from the oldest kept to the newest.
    pub fn generations(&self) -> impl DoubleEndedIterator<Item = &Generation<P>> + ExactSizeIterator {
        self.generations.iter()
    }

    /// The slots of a particle of the newest generation and of its ancestors, from the oldest generation kept to the newest. Empty if there
    /// is no such slot.
    #[must_use]
    pub fn lineage(&self, slot: usize) -> Vec<usize> {
        let Some(newest) = self.generations.back() else { return Vec::new() };
        if slot >= newest.log_weights.len() {
            return Vec::new();
        }
        let mut slots = vec![slot; self.generations.len()];
        for i in (1..self.generations.len()).rev() {
            // Every generation after step 0 has parents.
            slots[i - 1] = self.generations[i].parent(slots[i]).unwrap_or(0);
        }
        slots
    }
}
