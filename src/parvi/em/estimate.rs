//! What expectation maximisation by particles leaves behind.

use ndarray::{Array2, ArrayView2};

use crate::model::Values;
use crate::parvi::Particles;

/// An estimate of a model's parameters, and particles for the latent variables given it.
#[derive(Debug, Clone)]
pub struct EmEstimate {
    pub(super) parameters: Values,
    pub(super) average: Values,
    pub(super) coordinates: Vec<String>,
    pub(super) trace: Array2<f64>,
    pub(super) particles: Particles,
}

impl EmEstimate {
    /// The parameters after the last iteration, constrained, by name.
    #[must_use]
    pub fn parameters(&self) -> &Values {
        &self.parameters
    }

    /// The mean of the later iterates of the parameters: at least the last half of the run. It is taken in unconstrained coordinates, then
    /// constrained. Under minibatches it is the better estimate.
    #[must_use]
    pub fn average(&self) -> &Values {
        &self.average
    }

    /// The parameters in unconstrained coordinates at the start and after every iteration, of shape (iteration, coordinate).
    #[must_use]
    pub fn trace(&self) -> ArrayView2<'_, f64> {
        self.trace.view()
    }

    /// Names of the columns of the trace.
    #[must_use]
    pub fn coordinates(&self) -> &[String] {
        &self.coordinates
    }

    /// All variables of the model at each particle: the latent ones differ, the parameters are the same in all.
    #[must_use]
    pub fn particles(&self) -> &Particles {
        &self.particles
    }
}
