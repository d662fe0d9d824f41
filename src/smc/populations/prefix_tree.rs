//! Sequences that share their prefixes.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::Population;

/// Particles that are growing sequences of items, stored as a tree: a child shares everything but its last item with its parent.
///
/// Copying a particle, and thus resampling, costs O(1) whatever its length; a step costs one node per particle, and memory is that of the
/// distinct prefixes. Nodes are freed with their last descendant, without recursion. The same structure holds the genealogy of a
/// path-storing filter: its expected size is O(T + N log N). Source: P. E. Jacob, L. M. Murray and S. Rubenthaler 2015,
/// doi:10.1007/s11222-013-9445-x.
///
/// ```
/// use posterity::smc::populations::{Population, PrefixTree};
/// let mut parents = PrefixTree::default();
/// parents.resize(2);
/// parents.start(0, "the");
/// parents.start(1, "a");
/// let mut children = PrefixTree::default();
/// children.resize(2);
/// children.extend(0, &parents, 0, "cat");
/// children.extend(1, &parents, 0, "dog");
/// assert_eq!(children.path(1), [&"the", &"dog"]);
/// assert_eq!((children.n_items(1), children.last(0)), (2, Some(&"cat")));
/// // Two leaves and the prefix that they share.
/// assert_eq!(children.n_nodes(), 3);
/// ```
pub struct PrefixTree<X> {
    slots: Vec<Option<Arc<Node<X>>>>,
}

struct Node<X> {
    item: X,
    /// Number of items from the root to this one.
    n_items: usize,
    parent: Option<Arc<Node<X>>>,
}

impl<X> Drop for Node<X> {
    /// Frees the chain of nodes that nobody else holds one by one: recursion would overflow the stack on long chains.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut node) = next.and_then(Arc::into_inner) {
            next = node.parent.take();
        }
    }
}

impl<X> PrefixTree<X> {
    /// Makes a slot the sequence of one item.
    ///
    /// # Panics
    /// If there is no such slot, as indexing a slice does.
    pub fn start(&mut self, slot: usize, item: X) {
        self.slots[slot] = Some(Arc::new(Node { item, n_items: 1, parent: None }));
    }

    /// Makes a slot the sequence of slot `parent` of another cloud, longer by one item.
    ///
    /// # Panics
    /// If there is no such slot or parent, as indexing a slice does.
    pub fn extend(&mut self, slot: usize, parents: &Self, parent: usize, item: X) {
        let parent = parents.slots[parent].clone();
        let n_items = parent.as_ref().map_or(0, |node| node.n_items) + 1;
        self.slots[slot] = Some(Arc::new(Node { item, n_items, parent }));
    }

    /// Number of items of a slot's sequence; 0 for an empty slot.
    #[must_use]
    pub fn n_items(&self, slot: usize) -> usize {
        self.node(slot).map_or(0, |node| node.n_items)
    }

    /// The last item of a slot's sequence.
    #[must_use]
    pub fn last(&self, slot: usize) -> Option<&X> {
        self.node(slot).map(|node| &node.item)
    }

    /// The items of a slot's sequence from the last to the first.
    pub fn backwards(&self, slot: usize) -> impl Iterator<Item = &X> {
        std::iter::successors(self.node(slot), |node| node.parent.as_deref()).map(|node| &node.item)
    }

    /// The items of a slot's sequence in order; empty for an empty slot.
    #[must_use]
    pub fn path(&self, slot: usize) -> Vec<&X> {
        let mut items = Vec::with_capacity(self.n_items(slot));
        items.extend(self.backwards(slot));
        items.reverse();
        items
    }

    /// Number of distinct nodes that the slots hold: the number of items stored. Costs a visit to each.
    #[must_use]
    pub fn n_nodes(&self) -> usize {
        let mut seen = HashSet::new();
        for node in self.slots.iter().flatten() {
            let mut next = Some(node);
            // What lies before a node seen has been seen too.
            while let Some(node) = next.filter(|node| seen.insert(Arc::as_ptr(node))) {
                next = node.parent.as_ref();
            }
        }
        seen.len()
    }

    fn node(&self, slot: usize) -> Option<&Node<X>> {
        self.slots.get(slot)?.as_deref()
    }
}

impl<X> Default for PrefixTree<X> {
    fn default() -> Self {
        Self { slots: Vec::new() }
    }
}

/// Shares all nodes.
impl<X> Clone for PrefixTree<X> {
    fn clone(&self) -> Self {
        Self { slots: self.slots.clone() }
    }

    fn clone_from(&mut self, source: &Self) {
        self.slots.clone_from(&source.slots);
    }
}

impl<X: fmt::Debug> fmt::Debug for PrefixTree<X> {
    /// The last item of each slot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..self.slots.len()).map(|slot| self.last(slot))).finish()
    }
}

impl<X: Send + Sync> Population for PrefixTree<X> {
    fn len(&self) -> usize {
        self.slots.len()
    }

    fn resize(&mut self, n: usize) {
        self.slots.resize_with(n, || None);
    }

    fn copy_slot(&mut self, slot: usize, parents: &Self, parent: usize) {
        self.slots[slot].clone_from(&parents.slots[parent]);
    }
}
