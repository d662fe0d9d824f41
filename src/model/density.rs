//! The face that kernels and engines see of a density: a position in, a log density and its gradient out.

use crate::error::DensityError;

/// A log density on ℝᵈ with its gradient, evaluated through `&mut self` so that an implementation can own scratch memory.
///
/// Kernels take `&mut dyn LogDensityGradient`. One evaluator belongs to one chain.
///
/// The value is a log density up to an additive constant: finite, or `-inf` for zero density (the gradient is then meaningless).
/// NaN and `+inf` never come back as values; they are [`DensityError`]s.
pub trait LogDensityGradient {
    /// Number of unconstrained coordinates, d.
    fn dim(&self) -> usize;

    /// Log density at `position` (length d).
    ///
    /// # Errors
    /// [`DensityError::Dimension`] for a position of another length; otherwise what the density reports.
    fn log_density(&mut self, position: &[f64]) -> Result<f64, DensityError>;

    /// Log density at `position`, its gradient written to `gradient` (both of length d).
    ///
    /// # Errors
    /// As [`LogDensityGradient::log_density`], and [`DensityError::GradientNotFinite`].
    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError>;
}

/// A closure over `(position, gradient) -> log density` seen as a [`LogDensityGradient`]; no checks beyond the dimension and
/// finiteness.
///
/// ```
/// use posterity::model::{FromFn, LogDensityGradient};
/// let mut standard_normal = FromFn::new(1, |q: &[f64], g: &mut [f64]| { g[0] = -q[0]; Ok(-0.5 * q[0] * q[0]) });
/// let mut gradient = [0.0];
/// assert_eq!(standard_normal.log_density_gradient(&[2.0], &mut gradient).unwrap(), -2.0);
/// assert_eq!(gradient, [-2.0]);
/// ```
#[derive(Debug, Clone)]
pub struct FromFn<F> {
    density: F,
    scratch: Vec<f64>,
}

impl<F> FromFn<F>
where
    F: FnMut(&[f64], &mut [f64]) -> Result<f64, DensityError>,
{
    /// A density of dimension `dim` from a closure that writes the gradient and returns the log density.
    pub fn new(dim: usize, density: F) -> Self {
        Self { density, scratch: vec![0.0; dim] }
    }
}

impl<F> LogDensityGradient for FromFn<F>
where
    F: FnMut(&[f64], &mut [f64]) -> Result<f64, DensityError>,
{
    fn dim(&self) -> usize {
        self.scratch.len()
    }

    fn log_density(&mut self, position: &[f64]) -> Result<f64, DensityError> {
        check_dimension(self.dim(), position)?;
        check_value((self.density)(position, &mut self.scratch)?)
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        check_dimension(self.dim(), position)?;
        check_dimension(self.dim(), gradient)?;
        let value = check_value((self.density)(position, gradient)?)?;
        check_gradient(value, gradient)?;
        Ok(value)
    }
}

pub(crate) fn check_dimension(expected: usize, position: &[f64]) -> Result<(), DensityError> {
    if position.len() == expected { Ok(()) } else { Err(DensityError::Dimension { expected, found: position.len() }) }
}

pub(crate) fn check_value(value: f64) -> Result<f64, DensityError> {
    if value.is_nan() {
        Err(DensityError::NotANumber)
    } else if value == f64::INFINITY {
        Err(DensityError::PositiveInfinity)
    } else {
        Ok(value)
    }
}

/// Checks a gradient where the density is positive.
pub(crate) fn check_gradient(value: f64, gradient: &[f64]) -> Result<(), DensityError> {
    if value == f64::NEG_INFINITY {
        return Ok(());
    }
    match gradient.iter().position(|g| !g.is_finite()) {
        Some(index) => Err(DensityError::GradientNotFinite { index, value: gradient[index] }),
        None => Ok(()),
    }
}
