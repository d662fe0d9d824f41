//! What a run knows about itself.

use serde::{Deserialize, Serialize};

use super::equal;
use crate::error::Result;

/// How the draws came about: enough to repeat the run and to judge its cost.
///
/// Fields that hold one entry per chain may be left empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attributes {
    /// Version of this crate.
    pub version: String,
    /// Name of the sampler.
    pub sampler: String,
    /// Seed of the run.
    pub seed: u64,
    /// Warm-up iterations of each chain.
    pub n_warmup: usize,
    /// Settings of the sampler by name.
    pub settings: Vec<(String, String)>,
    /// Wall time of the warm-up of each chain, in seconds.
    pub warmup_seconds: Vec<f64>,
    /// Wall time of the draws of each chain, in seconds.
    pub sampling_seconds: Vec<f64>,
    /// Gradient evaluations of the warm-up of each chain.
    pub warmup_gradient_evaluations: Vec<u64>,
    /// Gradient evaluations of the draws of each chain.
    pub sampling_gradient_evaluations: Vec<u64>,
    /// Step size of each chain after adaptation.
    pub step_sizes: Vec<f64>,
    /// Diagonal of the inverse mass matrix of each chain after adaptation, in unconstrained coordinates.
    pub inverse_mass_matrices: Vec<Vec<f64>>,
    /// True if the run was ended before all draws that were asked for.
    pub stopped_early: bool,
}

impl Attributes {
    /// Attributes of a run of this version of the crate, everything else empty.
    #[must_use]
    pub fn new(sampler: &str, seed: u64) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sampler: sampler.to_owned(),
            seed,
            n_warmup: 0,
            settings: Vec::new(),
            warmup_seconds: Vec::new(),
            sampling_seconds: Vec::new(),
            warmup_gradient_evaluations: Vec::new(),
            sampling_gradient_evaluations: Vec::new(),
            step_sizes: Vec::new(),
            inverse_mass_matrices: Vec::new(),
            stopped_early: false,
        }
    }

    /// Adds a setting.
    #[must_use]
    pub fn with_setting(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// Checks that what is given per chain is given for every chain.
    pub(super) fn validate(&self, n_chains: usize) -> Result<()> {
        let lengths = [
            self.warmup_seconds.len(),
            self.sampling_seconds.len(),
            self.warmup_gradient_evaluations.len(),
            self.sampling_gradient_evaluations.len(),
            self.step_sizes.len(),
            self.inverse_mass_matrices.len(),
        ];
        lengths
            .into_iter()
            .filter(|&length| length > 0)
            .try_for_each(|length| equal("chains of the attributes", n_chains, length))
    }
}
