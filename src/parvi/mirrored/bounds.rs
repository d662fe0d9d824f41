//! Coordinates between two bounds.

use super::{MirrorMap, outside};
use crate::error::{Error, check};

/// Coordinates strictly between bounds a and b: η = ln((θ - a) / (b - θ)), the mirror map of the entropy of both distances,
/// ψ = Σ (θ - a) ln(θ - a) + (b - θ) ln(b - θ).
///
/// ∇²ψ⁻¹ = diag((θ - a)(b - θ) / (b - a)), ∇ ln det ∇²ψ* = -z with z = (2θ - a - b) / (b - a), which is θ scaled to (-1, 1). θ is kept at
/// least one floating-point number away from its bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenBox {
    bounds: Vec<(f64, f64)>,
}

impl OpenBox {
    /// Bounds (a, b) of every coordinate.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless all are finite, b - a is finite, and at least one number lies between a and b; [`Error::Empty`].
    pub fn new(bounds: Vec<(f64, f64)>) -> Result<Self, Error> {
        if bounds.is_empty() {
            return Err(Error::Empty { what: "bounds" });
        }
        for &(a, b) in &bounds {
            check::in_range("lower bound", a, a.is_finite(), "finite")?;
            let holds = a.next_up() < b && (b - a).is_finite();
            check::in_range("upper bound", b, holds, "finite and above the lower bound, with numbers between the two")?;
        }
        Ok(Self { bounds })
    }

    /// The same bounds for `dim` coordinates.
    ///
    /// # Errors
    /// As [`OpenBox::new`].
    pub fn cube(lower: f64, upper: f64, dim: usize) -> Result<Self, Error> {
        Self::new(vec![(lower, upper); dim])
    }
}

impl MirrorMap for OpenBox {
    fn name(&self) -> String {
        "box".to_owned()
    }

    fn validate(&self, dim: usize) -> Result<(), Error> {
        let found = self.bounds.len();
        if found == dim { Ok(()) } else { Err(Error::Dimension { what: "bounds of the box", expected: dim, found }) }
    }

    fn dual(&self, primal: &[f64], out: &mut [f64]) -> Result<(), Error> {
        for (index, ((&theta, &(a, b)), eta)) in primal.iter().zip(&self.bounds).zip(out).enumerate() {
            if !(theta > a && theta < b) {
                return Err(outside(index, theta, "strictly between the bounds of the box"));
            }
            *eta = (theta - a).ln() - (b - theta).ln();
        }
        Ok(())
    }

    fn primal(&self, dual: &[f64], out: &mut [f64]) {
        for ((&eta, &(a, b)), theta) in dual.iter().zip(&self.bounds).zip(out) {
            // From the nearer bound, where small distances are exact.
            let share = 1.0 / (1.0 + eta.abs().exp());
            let near = if eta < 0.0 { a + (b - a) * share } else { b - (b - a) * share };
            *theta = near.clamp(a.next_up(), b.next_down());
        }
    }

    fn inverse_hessian_times(&self, primal: &[f64], vector: &[f64], out: &mut [f64]) {
        for (((theta, v), (a, b)), out) in primal.iter().zip(vector).zip(&self.bounds).zip(out) {
            *out = (theta - a) * ((b - theta) / (b - a)) * v;
        }
    }

    fn log_determinant_gradient(&self, primal: &[f64], out: &mut [f64]) {
        for ((theta, (a, b)), out) in primal.iter().zip(&self.bounds).zip(out) {
            *out = ((b - theta) - (theta - a)) / (b - a);
        }
    }
}
