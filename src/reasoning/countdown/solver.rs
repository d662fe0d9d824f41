//! What can be reached from some numbers.

use std::collections::HashMap;

use super::line::{LARGEST, Line, Operation, legal_lines};
use super::problem::ProblemError;

/// Exact answers about what can be reached, remembered from problem to problem.
///
/// Six numbers cost some milliseconds the first time. What is remembered are multisets of numbers with the set of what they reach, 24 bytes
/// each.
#[derive(Debug, Clone, Default)]
pub struct Solver {
    /// By the sorted numbers, one per byte: bit t is set if t is reached.
    reachable: HashMap<u64, u128>,
}

impl Solver {
    /// A solver that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The last numbers of all runs of right lines: bit t of the result is set if t is one.
    ///
    /// # Errors
    /// [`ProblemError::Size`] for no or more than 8 numbers, [`ProblemError::Number`] for one outside 1..=99.
    pub fn reachable(&mut self, left: &[u8]) -> Result<u128, ProblemError> {
        if !(1..=8).contains(&left.len()) {
            return Err(ProblemError::Size { found: left.len() });
        }
        if let Some(&number) = left.iter().find(|number| !(1..=LARGEST).contains(number)) {
            return Err(ProblemError::Number { number });
        }
        let mut sorted = [0; 8];
        sorted[..left.len()].copy_from_slice(left);
        sorted[..left.len()].sort_unstable();
        Ok(self.reached(sorted, left.len()))
    }

    /// From the first `n` numbers, in ascending order; the others are 0.
    fn reached(&mut self, sorted: [u8; 8], n: usize) -> u128 {
        if n == 1 {
            return 1 << sorted[0];
        }
        let key = u64::from_le_bytes(sorted);
        if let Some(&known) = self.reachable.get(&key) {
            return known;
        }
        let mut reached = 0;
        for j in 1..n {
            for i in 0..j {
                let (a, b) = (sorted[j], sorted[i]);
                for result in Operation::ALL.into_iter().filter_map(|operation| operation.apply(a, b)) {
                    let mut left = [0; 8];
                    let mut n_left = 0;
                    for k in (0..n).filter(|&k| k != i && k != j) {
                        left[n_left] = sorted[k];
                        n_left += 1;
                    }
                    left[n_left] = result;
                    left[..=n_left].sort_unstable();
                    reached |= self.reached(left, n - 1);
                }
            }
        }
        self.reachable.insert(key, reached);
        reached
    }

    /// True if the target can be reached.
    ///
    /// # Errors
    /// Those of [`Solver::reachable`].
    pub fn is_solvable(&mut self, target: u8, left: &[u8]) -> Result<bool, ProblemError> {
        Ok(target <= LARGEST && self.reachable(left)? >> target & 1 == 1)
    }

    /// All solutions as texts of the task write them (the other numbers in their order), neighbours with their first lines in common.
    ///
    /// # Errors
    /// Those of [`Solver::reachable`].
    pub fn solutions(&mut self, target: u8, left: &[u8]) -> Result<Vec<Vec<Line>>, ProblemError> {
        let mut found = Vec::new();
        if self.is_solvable(target, left)? {
            self.collect(target, left, &mut Vec::new(), &mut found)?;
        }
        Ok(found)
    }

    fn collect(
        &mut self,
        target: u8,
        left: &[u8],
        before: &mut Vec<Line>,
        found: &mut Vec<Vec<Line>>,
    ) -> Result<(), ProblemError> {
        if left.len() == 1 {
            found.push(before.clone());
            return Ok(());
        }
        for line in legal_lines(left) {
            if self.is_solvable(target, &line.left)? {
                let left = line.left.clone();
                before.push(line);
                self.collect(target, &left, before, found)?;
                before.pop();
            }
        }
        Ok(())
    }
}
