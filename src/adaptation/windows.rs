//! The schedule of a warm-up.

use serde::{Deserialize, Serialize};

/// When a warm-up re-estimates the metric, and from which draws.
///
/// The metric is estimated anew after windows that grow by half; each estimate uses the later two thirds of the draws so far, so that
/// the way from the start point is forgotten. In the last part the metric stands still and only the step size is tuned.
///
/// ```
/// use posterity::adaptation::Windows;
/// let windows = Windows::new(1000);
/// assert!(windows.updates_after(20));
/// assert_eq!(windows.window(600), 400);
/// assert!(!windows.updates_after(900));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    updates: Vec<usize>,
    end: usize,
}

impl Windows {
    /// The schedule of a warm-up of `n_warmup` iterations.
    #[must_use]
    pub fn new(n_warmup: usize) -> Self {
        let end = n_warmup - n_warmup * 15 / 100;
        let mut updates = Vec::new();
        let mut next = 10;
        while next < end {
            updates.push(next);
            next += (next / 2).max(10);
        }
        // The last estimate counts: it comes at the end, and not soon after another one.
        if updates.last().is_some_and(|&last| last + last / 4 > end) {
            updates.pop();
        }
        if end >= 10 {
            updates.push(end);
        }
        Self { updates, end }
    }

    /// True if the metric is estimated anew after this many iterations.
    #[must_use]
    pub fn updates_after(&self, iterations: usize) -> bool {
        self.updates.binary_search(&iterations).is_ok()
    }

    /// Number of latest draws to use after this many iterations.
    #[must_use]
    pub fn window(&self, iterations: usize) -> usize {
        iterations - iterations / 3
    }

    /// Iterations after which the metric stands still.
    #[must_use]
    pub fn end(&self) -> usize {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_grow_and_end_before_the_warm_up() {
        for n in [0, 1, 5, 20, 50, 100, 300, 1000, 5000] {
            let windows = Windows::new(n);
            assert!(windows.updates.windows(2).all(|w| w[0] < w[1]), "{windows:?}");
            assert!(windows.updates.iter().all(|&u| u <= windows.end));
            assert!(windows.end <= n);
            if n >= 20 {
                assert_eq!(windows.updates.last(), Some(&windows.end));
                assert!(windows.end < n);
            }
        }
    }
}
