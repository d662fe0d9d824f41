//! Particles that are dear to clone.

use std::ops::{Index, IndexMut};

use super::Population;
use crate::smc::Slots;

/// Particles that move to their last child, and are cloned for the others: for particles with memory of their own, such as nested filters.
///
/// A step over n children with d distinct ancestors makes n - d clones. The parents are gone then ([`Population::is_consumed`]): a step
/// that fails after [`Owned::hand_on`] cannot be made again, and the engine answers
/// [`SmcError::Consumed`](crate::smc::SmcError::Consumed) from then on. Slots that stay pending are no failure: they keep their particles.
///
/// ```
/// use posterity::smc::Slots;
/// use posterity::smc::populations::{Owned, Population};
/// let mut parents: Owned<String> = ["a", "b", "c"].into_iter().map(String::from).collect();
/// let mut children = Owned::default();
/// children.resize(3);
/// children.hand_on(&mut parents, &[2, 0, 2], 1, Slots::All(3));
/// children[1].push('!');
/// assert_eq!(children.iter().collect::<Vec<_>>(), ["c", "a!", "c"]);
/// assert!(parents.is_consumed());
/// ```
#[derive(Debug, Clone)]
pub struct Owned<X> {
    slots: Vec<Option<X>>,
    is_consumed: bool,
    /// How many children of a parent are still to come.
    uses: Vec<u32>,
}

impl<X> Owned<X> {
    /// The particle of a slot; `None` if it was handed on, or the slot was not filled yet.
    #[must_use]
    pub fn get(&self, slot: usize) -> Option<&X> {
        self.slots.get(slot)?.as_ref()
    }

    /// The particle of a slot, to be changed.
    pub fn get_mut(&mut self, slot: usize) -> Option<&mut X> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Fills a slot.
    ///
    /// # Panics
    /// If there is no such slot, as indexing a slice does.
    pub fn set(&mut self, slot: usize, particle: X) {
        self.slots[slot] = Some(particle);
    }

    /// The particles of all filled slots, in order.
    pub fn iter(&self) -> impl Iterator<Item = &X> {
        self.slots.iter().flatten()
    }

    /// The particles of all filled slots, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut X> {
        self.slots.iter_mut().flatten()
    }
}

impl<X: Clone> Owned<X> {
    /// Fills each of the named slots c with the particle of parent `ancestors[c / copies]`, as [`Move`](crate::smc::Move) names them: a
    /// clone,
    /// but for the parent's last child, which gets the particle itself.
    ///
    /// In a later attempt at a step the parent of a pending slot is gone already, and the slot keeps what it holds.
    ///
    /// # Panics
    /// If a slot or an ancestor is out of range.
    pub fn hand_on(&mut self, parents: &mut Self, ancestors: &[u32], copies: usize, slots: Slots<'_>) {
        let copies = copies.max(1);
        parents.uses.clear();
        parents.uses.resize(parents.slots.len(), 0);
        for slot in slots.iter() {
            parents.uses[ancestors[slot / copies] as usize] += 1;
        }
        for slot in slots.iter() {
            let parent = ancestors[slot / copies] as usize;
            let uses = &mut parents.uses[parent];
            *uses -= 1;
            let particle = if *uses == 0 { parents.slots[parent].take() } else { parents.slots[parent].clone() };
            if particle.is_some() {
                self.slots[slot] = particle;
                parents.is_consumed = true;
            }
        }
    }
}

impl<X> Default for Owned<X> {
    fn default() -> Self {
        Self { slots: Vec::new(), is_consumed: false, uses: Vec::new() }
    }
}

impl<X> FromIterator<X> for Owned<X> {
    fn from_iter<I: IntoIterator<Item = X>>(particles: I) -> Self {
        Self { slots: particles.into_iter().map(Some).collect(), ..Self::default() }
    }
}

/// Panics where [`Owned::get`] returns `None`.
impl<X> Index<usize> for Owned<X> {
    type Output = X;

    fn index(&self, slot: usize) -> &X {
        match &self.slots[slot] {
            Some(particle) => particle,
            None => panic!("slot {slot} is empty: its particle was handed on, or never set"),
        }
    }
}

/// Panics where [`Owned::get_mut`] returns `None`.
impl<X> IndexMut<usize> for Owned<X> {
    fn index_mut(&mut self, slot: usize) -> &mut X {
        match &mut self.slots[slot] {
            Some(particle) => particle,
            None => panic!("slot {slot} is empty: its particle was handed on, or never set"),
        }
    }
}

impl<X: Clone + Send> Population for Owned<X> {
    fn len(&self) -> usize {
        self.slots.len()
    }

    /// Empties every slot, so that what the old particles hold is freed.
    fn resize(&mut self, n: usize) {
        self.slots.clear();
        self.slots.resize_with(n, || None);
        self.is_consumed = false;
    }

    /// Clones, and leaves the slot as it is if the parent was handed on.
    fn copy_slot(&mut self, slot: usize, parents: &Self, parent: usize) {
        if let Some(particle) = parents.get(parent) {
            self.slots[slot] = Some(particle.clone());
        }
    }

    fn is_consumed(&self) -> bool {
        self.is_consumed
    }
}
