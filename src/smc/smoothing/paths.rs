//! A set of equally weighted paths.

use std::fmt;

/// Equally weighted paths of states (or observations) over consecutive steps: draws from a smoothing law or a forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Paths<S> {
    pub(super) first_step: usize,
    pub(super) n_paths: usize,
    /// Step by step: entry (t - first_step) · n_paths + i is path i at step t.
    pub(super) states: Vec<S>,
    pub(super) coalesced_before: Option<usize>,
}

impl<S> Paths<S> {
    pub(crate) fn new(first_step: usize, n_paths: usize, states: Vec<S>) -> Self {
        Self { first_step, n_paths, states, coalesced_before: None }
    }

    /// Number of paths.
    #[must_use]
    pub fn n_paths(&self) -> usize {
        self.n_paths
    }

    /// Number of steps of every path.
    #[must_use]
    pub fn n_steps(&self) -> usize {
        self.states.len() / self.n_paths.max(1)
    }

    /// The first step.
    #[must_use]
    pub fn first_step(&self) -> usize {
        self.first_step
    }

    /// All paths at a step (`n_paths` values), or `None` outside the steps that they have.
    #[must_use]
    pub fn at(&self, step: usize) -> Option<&[S]> {
        let row = step.checked_sub(self.first_step)?;
        self.states.chunks_exact(self.n_paths.max(1)).nth(row)
    }

    /// The steps in order, each with the values of all paths.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = &[S]> {
        self.states.chunks_exact(self.n_paths.max(1))
    }

    /// One path, from its first step on; empty if there is no such path.
    pub fn path(&self, index: usize) -> impl ExactSizeIterator<Item = &S> {
        // An index past the last path must not run into the next step.
        let start = if index < self.n_paths { index } else { self.states.len() };
        self.states.get(start..).unwrap_or_default().iter().step_by(self.n_paths.max(1))
    }

    /// All paths.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = impl ExactSizeIterator<Item = &S>> {
        (0..self.n_paths).map(|i| self.path(i))
    }

    /// Mean of a function of the state, per step.
    #[must_use]
    pub fn mean(&self, f: impl Fn(&S) -> f64) -> Vec<f64> {
        self.steps().map(|row| mean(row, &f)).collect()
    }

    /// Variance of a function of the state, per step, with divisor `n_paths` - 1; NaN for a single path.
    #[must_use]
    pub fn variance(&self, f: impl Fn(&S) -> f64) -> Vec<f64> {
        let of_row = |row: &[S]| {
            let centre = mean(row, &f);
            row.iter().map(|x| (f(x) - centre).powi(2)).sum::<f64>() / (row.len() as f64 - 1.0)
        };
        self.steps().map(of_row).collect()
    }

    /// `Some(t)` if all paths are one and the same before step t, so that nothing is known there about the spread of the smoothing law: the
    /// genealogy has coalesced. `None` if they differ from the first step on.
    #[must_use]
    pub fn coalesced_before(&self) -> Option<usize> {
        self.coalesced_before
    }
}

/// The mean, about the first value, so that equal values have exactly their own.
fn mean<S>(row: &[S], f: impl Fn(&S) -> f64) -> f64 {
    let Some(first) = row.first().map(&f) else { return f64::NAN };
    first + row.iter().map(|x| f(x) - first).sum::<f64>() / row.len() as f64
}

impl<S> fmt::Display for Paths<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.n_steps() {
            0 => write!(f, "{} paths without steps", self.n_paths)?,
            n => write!(f, "{} paths over steps {} to {}", self.n_paths, self.first_step, self.first_step + n - 1)?,
        }
        match self.coalesced_before {
            None => Ok(()),
            Some(t) => write!(
                f,
                "; before step {t} they are one and the same path: their spread there means nothing, backward sampling would renew it"
            ),
        }
    }
}
