//! The record of what happened in each step.

use super::super::{Collector, Snapshot, StepInfo};

/// Effective sample size, log-evidence and resampling of every step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    steps: Vec<StepInfo>,
}

impl Trace {
    /// An empty record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What happened, step by step.
    #[must_use]
    pub fn steps(&self) -> &[StepInfo] {
        &self.steps
    }

    /// Effective sample size after each step.
    pub fn ess(&self) -> impl ExactSizeIterator<Item = f64> {
        self.steps.iter().map(|info| info.ess)
    }

    /// Log-evidence up to and including each step.
    pub fn log_evidence(&self) -> impl ExactSizeIterator<Item = f64> {
        self.steps.iter().map(|info| info.log_evidence)
    }

    /// The steps before which ancestors were drawn.
    pub fn resampled(&self) -> impl Iterator<Item = usize> {
        self.steps.iter().filter(|info| info.resampled).map(|info| info.t)
    }
}

impl<P> Collector<P> for Trace {
    fn collect(&mut self, snapshot: &Snapshot<'_, P>) {
        if snapshot.info.t == 0 {
            self.steps.clear();
        }
        self.steps.push(snapshot.info);
    }
}
