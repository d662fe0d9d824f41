//! Positive numbers.

use super::{MirrorMap, SMALLEST, outside};
use crate::error::Error;

/// Positive coordinates: η = ln θ, the mirror map of the entropy ψ = Σ θₖ ln θₖ - θₖ.
///
/// ∇²ψ⁻¹ = diag(θ), ∇ ln det ∇²ψ* = 1. θ is kept between 1e-300 and 1e300.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PositiveOrthant;

impl MirrorMap for PositiveOrthant {
    fn name(&self) -> String {
        "positive orthant".to_owned()
    }

    fn validate(&self, _: usize) -> Result<(), Error> {
        Ok(())
    }

    fn dual(&self, primal: &[f64], out: &mut [f64]) -> Result<(), Error> {
        for (index, (&theta, eta)) in primal.iter().zip(out).enumerate() {
            if !(theta > 0.0 && theta.is_finite()) {
                return Err(outside(index, theta, "positive and finite"));
            }
            *eta = theta.ln();
        }
        Ok(())
    }

    fn primal(&self, dual: &[f64], out: &mut [f64]) {
        for (&eta, theta) in dual.iter().zip(out) {
            *theta = eta.exp().clamp(SMALLEST, 1.0 / SMALLEST);
        }
    }

    fn inverse_hessian_times(&self, primal: &[f64], vector: &[f64], out: &mut [f64]) {
        for ((theta, v), out) in primal.iter().zip(vector).zip(out) {
            *out = theta * v;
        }
    }

    fn log_determinant_gradient(&self, _: &[f64], out: &mut [f64]) {
        out.fill(1.0);
    }
}
