//! Storage of particles.

/// A cloud of particles in numbered slots.
///
/// The engine keeps two: the children are written into one while their parents are read from the other. `Vec<X>` of a `Copy` type is one,
/// with no allocation per step.
pub trait Population: Clone + Default + Send {
    /// Number of slots.
    fn len(&self) -> usize;

    /// True if there are no slots.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Changes the number of slots; what they hold is then not specified.
    fn resize(&mut self, n: usize);

    /// Makes the particle in `slot` a copy of the one in slot `parent` of another cloud.
    fn copy_slot(&mut self, slot: usize, parents: &Self, parent: usize);

    /// True if making children took something out of this cloud, so that a failed step cannot be made again.
    fn is_consumed(&self) -> bool {
        false
    }
}

impl<X: Copy + Default + Send> Population for Vec<X> {
    fn len(&self) -> usize {
        self.len()
    }

    fn resize(&mut self, n: usize) {
        self.resize(n, X::default());
    }

    fn copy_slot(&mut self, slot: usize, parents: &Self, parent: usize) {
        self[slot] = parents[parent];
    }
}
