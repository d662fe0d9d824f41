//! Densities with a hand-written gradient as targets.

use super::density::{LogDensityGradient, check_dimension, check_gradient, check_value};
use super::layout::Variable;
use super::target::{Evaluator, LogDensityParts, Target};
use super::values::Values;
use crate::error::{DensityError, Error};

/// A log density on ℝᵈ with a hand-written gradient.
pub trait Density: Sync {
    /// Dimension d.
    fn dim(&self) -> usize;

    /// The log density up to a constant at `position`; its gradient is written to `gradient` (both of length d).
    ///
    /// # Errors
    /// Whatever stands in the way; [`DensityError::Model`] carries an error of your own.
    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError>;

    /// The variables, which must have d entries in all; one vector `q` unless said otherwise.
    fn variables(&self) -> Vec<Variable> {
        vec![Variable::new("q", &[self.dim()])]
    }
}

/// Makes a [`Target`] of a [`Density`]. All of the density counts as prior when tempering; [`WithParts`](super::WithParts) knows the two apart.
///
/// ```
/// use posterity::model::{Density, Target, WithGradient};
/// use posterity::DensityError;
/// struct StandardNormal;
/// impl Density for StandardNormal {
///     fn dim(&self) -> usize { 1 }
///     fn log_density_gradient(&self, q: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
///         g[0] = -q[0];
///         Ok(-0.5 * q[0] * q[0])
///     }
/// }
/// let target = WithGradient(StandardNormal);
/// assert_eq!(target.evaluator().unwrap().log_density(&[2.0]).unwrap(), -2.0);
/// ```
#[derive(Debug, Clone)]
pub struct WithGradient<D>(pub D);

impl<D: Density> WithGradient<D> {
    fn checked_variables(&self) -> Result<Vec<Variable>, Error> {
        check_size(self.0.variables(), self.0.dim())
    }
}

/// The variables, if they have `expected` entries in all.
pub(super) fn check_size(variables: Vec<Variable>, expected: usize) -> Result<Vec<Variable>, Error> {
    let found = variables.iter().map(Variable::size).sum();
    if found == expected { Ok(variables) } else { Err(Error::Dimension { what: "entries of the variables", expected, found }) }
}

/// The entries of these variables, one after the other.
pub(super) fn entries_of(variables: &[Variable], values: &Values) -> Result<Vec<f64>, Error> {
    let mut position = Vec::with_capacity(variables.iter().map(Variable::size).sum());
    for variable in variables {
        let entries = values.get(&variable.name).ok_or_else(|| Error::MissingVariable { name: variable.name.clone() })?;
        if entries.len() != variable.size() {
            return Err(Error::Dimension { what: "start value", expected: variable.size(), found: entries.len() });
        }
        position.extend_from_slice(entries);
    }
    Ok(position)
}

impl<D: Density> Target for WithGradient<D> {
    fn dim(&self) -> Result<usize, Error> {
        self.checked_variables()?;
        Ok(self.0.dim())
    }

    fn evaluator(&self) -> Result<Box<dyn Evaluator + '_>, Error> {
        let scratch = vec![0.0; self.dim()?];
        Ok(Box::new(DensityEvaluator { density: &self.0, scratch }))
    }

    fn variables(&self) -> Result<Vec<Variable>, Error> {
        self.checked_variables()
    }

    fn constrain(&self, position: &[f64], out: &mut Vec<f64>) -> Result<(), Error> {
        check_dimension(self.0.dim(), position)?;
        out.extend_from_slice(position);
        Ok(())
    }

    fn unconstrain(&self, values: &Values) -> Result<Vec<f64>, Error> {
        entries_of(&self.checked_variables()?, values)
    }

    fn coordinate_name(&self, index: usize) -> String {
        let names = self.0.variables().iter().flat_map(Variable::element_names).nth(index);
        names.unwrap_or_else(|| format!("q[{index}]"))
    }
}

struct DensityEvaluator<'d, D> {
    density: &'d D,
    scratch: Vec<f64>,
}

impl<D: Density> LogDensityGradient for DensityEvaluator<'_, D> {
    fn dim(&self) -> usize {
        self.scratch.len()
    }

    fn log_density(&mut self, position: &[f64]) -> Result<f64, DensityError> {
        check_dimension(self.scratch.len(), position)?;
        let (density, scratch) = (self.density, &mut self.scratch);
        check_value(super::posterior::guard(|| density.log_density_gradient(position, scratch))??)
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        check_dimension(self.scratch.len(), position)?;
        check_dimension(self.scratch.len(), gradient)?;
        let density = self.density;
        let value = super::posterior::guard(|| density.log_density_gradient(position, gradient))??;
        check_value(value)?;
        check_gradient(value, gradient)?;
        Ok(value)
    }
}

impl<D: Density> Evaluator for DensityEvaluator<'_, D> {
    fn log_density_parts(&mut self, position: &[f64]) -> Result<LogDensityParts, DensityError> {
        Ok(LogDensityParts { log_prior: self.log_density(position)?, log_likelihood: 0.0 })
    }

    fn tempered_gradient(&mut self, position: &[f64], _: f64, gradient: &mut [f64]) -> Result<LogDensityParts, DensityError> {
        Ok(LogDensityParts { log_prior: self.log_density_gradient(position, gradient)?, log_likelihood: 0.0 })
    }

    /// By central differences of the gradient: relative error about 1e-9 of the Hessian's scale.
    fn hessian_vector(&mut self, position: &[f64], direction: &[f64], out: &mut [f64]) -> Result<(), DensityError> {
        check_dimension(self.dim(), direction)?;
        let norm = direction.iter().map(|v| v * v).sum::<f64>().sqrt();
        if norm == 0.0 {
            out.fill(0.0);
            return Ok(());
        }
        // Only how far the position is along the direction matters: one coordinate far away does not coarsen the others.
        let along = position.iter().zip(direction).map(|(x, v)| x * v).sum::<f64>().abs() / norm;
        let h = 6e-6 * along.max(1.0) / norm;
        let moved = |sign: f64| -> Vec<f64> { position.iter().zip(direction).map(|(x, v)| x + sign * h * v).collect() };
        let mut below = vec![0.0; self.dim()];
        self.log_density_gradient(&moved(1.0), out)?;
        self.log_density_gradient(&moved(-1.0), &mut below)?;
        for (out, below) in out.iter_mut().zip(&below) {
            *out = (*out - below) / (2.0 * h);
        }
        Ok(())
    }

    fn log_likelihood_terms(&mut self, _: &[f64], out: &mut Vec<f64>) -> Result<(), DensityError> {
        out.clear();
        Ok(())
    }

    fn minibatch_gradient(&mut self, _: &[f64], rows: &[usize], _: &mut [f64]) -> Result<f64, DensityError> {
        Err(DensityError::Length { what: "observation of a minibatch", expected: 0, found: rows.len() })
    }
}
