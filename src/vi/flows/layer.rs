//! What a flow asks of its layers.

use std::fmt::Debug;

use crate::error::Error;
use crate::rng::Stream;

/// An invertible map of ℝᵈ with parameters, applied to n points at once.
///
/// Points, cotangents and scores are d x n, a row per *coordinate*: all loops run over the draws. A layer keeps what it needs of a batch in the `memory` that it is handed, of
/// [`n_rows`](Layer::n_rows) rows of length n; [`forward`](Layer::forward) fills it for the others.
pub(super) trait Layer: Debug + Send + Sync {
    /// Number of parameters.
    fn n_parameters(&self) -> usize;

    /// Parameters under which the layer is the identity.
    fn start(&self, rng: &mut Stream, parameters: &mut [f64]);

    /// Refuses parameters, finite ones, under which the layer is not an invertible map.
    fn check(&self, _parameters: &[f64]) -> Result<(), Error> {
        Ok(())
    }

    /// Takes on parameters that passed the check.
    fn set(&mut self, parameters: &[f64]);

    /// Rows of memory.
    fn n_rows(&self) -> usize;

    /// Moves points, and adds log |det ∂f/∂z| of each to `log_determinants`, of length n.
    fn forward(&mut self, points: &mut [f64], log_determinants: &mut [f64], memory: &mut [f64]);

    /// Turns cotangents c of the points that came out into those of the points that went in, and adds to `gradient` the derivatives in the parameters, both of
    /// Σᵢ cᵢ · f(zᵢ) + kᵢ log |det ∂f/∂z(zᵢ)|, for n coefficients k.
    fn backward(&mut self, cotangents: &mut [f64], coefficients: &[f64], memory: &mut [f64], gradient: &mut [f64]);

    /// Turns scores s of the points that went in into those of the points that came out: (∂f/∂z)⁻ᵀ (s - ∇z log |det ∂f/∂z|).
    fn push_scores(&mut self, scores: &mut [f64], memory: &mut [f64]);

    /// Moves points back.
    fn invert(&mut self, points: &mut [f64], memory: &mut [f64]);

    /// A copy.
    fn clone_box(&self) -> Box<dyn Layer>;
}

impl Clone for Box<dyn Layer> {
    fn clone(&self) -> Self {
        (**self).clone_box()
    }
}

/// out += c x
#[inline]
pub(super) fn add_scaled(out: &mut [f64], c: f64, x: &[f64]) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out += c * x);
}
