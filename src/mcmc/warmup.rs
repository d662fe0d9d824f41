//! What a warm-up ends with.

use serde::{Deserialize, Serialize};

use crate::kernels::Metric;

/// Tuning of one chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// Step size.
    pub step_size: f64,
    /// Metric.
    pub metric: Metric,
}

/// The tuning and last position of every chain after a warm-up: a serialisable value that later runs of the same model go on from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Warmup {
    pub(crate) chains: Vec<WarmChain>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WarmChain {
    pub(crate) tuning: Tuning,
    pub(crate) position: Vec<f64>,
}

impl Warmup {
    /// Number of chains.
    #[must_use]
    pub fn n_chains(&self) -> usize {
        self.chains.len()
    }

    /// Tuning of a chain.
    #[must_use]
    pub fn tuning(&self, chain: usize) -> Option<&Tuning> {
        self.chains.get(chain).map(|c| &c.tuning)
    }

    /// Unconstrained position of a chain at the end of its warm-up.
    #[must_use]
    pub fn position(&self, chain: usize) -> Option<&[f64]> {
        self.chains.get(chain).map(|c| c.position.as_slice())
    }
}
