//! How many ancestors the newest generation still has.

use crate::smc::History;

impl<P> History<P> {
    /// Number of particles of step `t` that have descendants of positive weight in the newest generation; `None` if step t is not kept.
    ///
    /// Where it is 1 the genealogy has coalesced, and paths read off it ([`genealogy`](super::genealogy)) are all the same. Costs one pass
    /// over the
    /// generations from t on.
    #[must_use]
    pub fn n_distinct_ancestors(&self, t: usize) -> Option<usize> {
        self.generation(t)?;
        let newest = self.generations().next_back()?;
        let mut alive: Vec<bool> = newest.log_weights.iter().map(|w| *w > f64::NEG_INFINITY).collect();
        let last = self.first_step() + self.len() - 1;
        for step in (t + 1..=last).rev() {
            let (child, parent) = (self.generation(step)?, self.generation(step - 1)?);
            let mut has_children = vec![false; parent.log_weights.len()];
            for slot in (0..alive.len()).filter(|&slot| alive[slot]) {
                if let Some(mark) = child.parent(slot).and_then(|parent| has_children.get_mut(parent)) {
                    *mark = true;
                }
            }
            alive = has_children;
        }
        Some(alive.iter().filter(|a| **a).count())
    }
}
