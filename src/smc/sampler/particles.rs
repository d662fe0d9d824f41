//! The cloud of an SMC sampler.

use crate::smc::Population;

/// Positions with their log prior and log-likelihood: one array each, a particle per slot.
///
/// After a waste-free move, slots `m · P` to `(m + 1) · P - 1` hold the states of chain `m` in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Particles {
    pub(super) dim: usize,
    pub(super) positions: Vec<f64>,
    pub(super) log_prior: Vec<f64>,
    pub(super) log_likelihood: Vec<f64>,
}

impl Particles {
    /// Number of unconstrained coordinates, d; 0 before the first particles are made.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Unconstrained positions, one after the other: N × d, row-major.
    #[must_use]
    pub fn positions(&self) -> &[f64] {
        &self.positions
    }

    /// The position in a slot; empty if there is no such slot.
    #[must_use]
    pub fn position(&self, slot: usize) -> &[f64] {
        self.positions.get(slot * self.dim..(slot + 1) * self.dim).unwrap_or(&[])
    }

    /// Log prior density per slot, log-Jacobians of the transforms included.
    #[must_use]
    pub fn log_prior(&self) -> &[f64] {
        &self.log_prior
    }

    /// Log-likelihood per slot: of all observations under tempering, of those added so far under data tempering.
    #[must_use]
    pub fn log_likelihood(&self) -> &[f64] {
        &self.log_likelihood
    }

    /// Makes room for positions of this dimension in the present number of slots.
    pub(super) fn set_dim(&mut self, dim: usize) {
        self.dim = dim;
        self.positions.resize(self.log_prior.len() * dim, 0.0);
    }
}

impl Population for Particles {
    fn len(&self) -> usize {
        self.log_prior.len()
    }

    fn resize(&mut self, n: usize) {
        self.positions.resize(n * self.dim, 0.0);
        self.log_prior.resize(n, 0.0);
        self.log_likelihood.resize(n, 0.0);
    }

    fn copy_slot(&mut self, slot: usize, parents: &Self, parent: usize) {
        let dim = self.dim;
        self.positions[slot * dim..(slot + 1) * dim].copy_from_slice(parents.position(parent));
        self.log_prior[slot] = parents.log_prior[parent];
        self.log_likelihood[slot] = parents.log_likelihood[parent];
    }
}
