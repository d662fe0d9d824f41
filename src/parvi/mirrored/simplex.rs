//! Probabilities.

use super::{MirrorMap, SMALLEST, outside};
use crate::error::Error;

/// The simplex of D probabilities in its first d = D - 1 coordinates; the last probability is θ_D = 1 - Σ θₖ. Its mirror map is that of the
/// entropy, ηₖ = ln θₖ - ln θ_D, with inverse softmax.
///
/// ∇²ψ⁻¹ = diag(θ) - θ θ', ∇ ln det ∇²ψ* = 1 - D θ. θₖ is kept at least 1e-300, and the remainder θ_D at least 2 d ε with ε = 2⁻⁵²: smaller ones
/// cannot be told from 0 in 1 - Σ θₖ. So let the last probability be one that is not extremely small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntropicSimplex;

const SUPPORT: &str = "positive, with a sum below 1";

impl MirrorMap for EntropicSimplex {
    fn name(&self) -> String {
        "simplex".to_owned()
    }

    fn validate(&self, _: usize) -> Result<(), Error> {
        Ok(())
    }

    fn dual(&self, primal: &[f64], out: &mut [f64]) -> Result<(), Error> {
        if let Some(index) = primal.iter().position(|&theta| !(theta > 0.0)) {
            return Err(outside(index, primal[index], SUPPORT));
        }
        let rest = 1.0 - primal.iter().sum::<f64>();
        if !(rest > 0.0) {
            return Err(Error::OutsideSupport { variable: "last probability".to_owned(), value: rest, support: "positive" });
        }
        for (theta, eta) in primal.iter().zip(out) {
            *eta = theta.ln() - rest.ln();
        }
        Ok(())
    }

    fn primal(&self, dual: &[f64], out: &mut [f64]) {
        let largest = dual.iter().copied().fold(0.0, f64::max);
        let rest = (-largest).exp();
        let mut total = rest;
        for (eta, theta) in dual.iter().zip(&mut *out) {
            *theta = (eta - largest).exp();
            total += *theta;
        }
        let least = 2.0 * dual.len() as f64 * f64::EPSILON;
        let scale = if rest >= least * total { 1.0 / total } else { (1.0 - least) / (total - rest) };
        out.iter_mut().for_each(|theta| *theta = (*theta * scale).max(SMALLEST));
    }

    fn inverse_hessian_times(&self, primal: &[f64], vector: &[f64], out: &mut [f64]) {
        let mean: f64 = primal.iter().zip(vector).map(|(theta, v)| theta * v).sum();
        for ((theta, v), out) in primal.iter().zip(vector).zip(out) {
            *out = theta * (v - mean);
        }
    }

    fn log_determinant_gradient(&self, primal: &[f64], out: &mut [f64]) {
        let n = primal.len() as f64 + 1.0;
        for (theta, out) in primal.iter().zip(out) {
            *out = 1.0 - n * theta;
        }
    }
}
