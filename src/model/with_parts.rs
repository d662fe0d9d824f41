//! Prior and likelihood written by hand, as a target that can be tempered.

use super::density::{LogDensityGradient, check_dimension, check_gradient, check_value};
use super::layout::Variable;
use super::posterior::guard;
use super::target::{Evaluator, LogDensityParts, Target};
use super::values::Values;
use super::with_gradient::{check_size, entries_of};
use crate::error::{DensityError, Error};
use crate::rng::Stream;

/// A log prior density and a log-likelihood on ℝᵈ with hand-written gradients.
///
/// Only the two functions of one position must be written. [`PriorAndLikelihood::log_likelihoods`] is where a likelihood that is faster for
/// many positions at once says so; [`PriorAndLikelihood::sample_prior`] is needed by samplers that start from the prior.
pub trait PriorAndLikelihood: Sync {
    /// Dimension d.
    fn dim(&self) -> usize;

    /// The log prior density at `position`; its gradient is written to `gradient` (both of length d). Evidences are those of a normalised
    /// prior only.
    ///
    /// # Errors
    /// Whatever stands in the way; [`DensityError::Model`] carries an error of your own.
    fn log_prior(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError>;

    /// The log-likelihood at `position`; its gradient is written to `gradient` (both of length d).
    ///
    /// # Errors
    /// As [`PriorAndLikelihood::log_prior`].
    fn log_likelihood(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError>;

    /// Log-likelihoods at many positions, stored one after the other, one per entry of `out`; -∞ for a likelihood of 0, and NaN where it
    /// could not be evaluated.
    ///
    /// # Errors
    /// A fatal error of any position.
    fn log_likelihoods(&self, positions: &[f64], out: &mut [f64]) -> Result<(), DensityError> {
        each(self.dim(), positions, out, |position, gradient| self.log_likelihood(position, gradient))
    }

    /// Log prior densities at many positions, as [`PriorAndLikelihood::log_likelihoods`].
    ///
    /// # Errors
    /// A fatal error of any position.
    fn log_priors(&self, positions: &[f64], out: &mut [f64]) -> Result<(), DensityError> {
        each(self.dim(), positions, out, |position, gradient| self.log_prior(position, gradient))
    }

    /// Writes one exact draw from the prior; returns false if there is none to be had.
    fn sample_prior(&self, _rng: &mut Stream, _position: &mut [f64]) -> bool {
        false
    }

    /// Number of observations, if [`PriorAndLikelihood::log_likelihood_terms`] knows them apart.
    fn n_observations(&self) -> Option<usize> {
        None
    }

    /// Writes the log-likelihood of each observation to `out`, which is empty.
    ///
    /// # Errors
    /// As [`PriorAndLikelihood::log_prior`].
    fn log_likelihood_terms(&self, _position: &[f64], _out: &mut Vec<f64>) -> Result<(), DensityError> {
        Ok(())
    }

    /// The variables, which must have d entries in all; one vector `q` unless said otherwise.
    fn variables(&self) -> Vec<Variable> {
        vec![Variable::new("q", &[self.dim()])]
    }
}

/// One position after the other; a recoverable error gives NaN.
fn each(
    dim: usize,
    positions: &[f64],
    out: &mut [f64],
    f: impl Fn(&[f64], &mut [f64]) -> Result<f64, DensityError>,
) -> Result<(), DensityError> {
    let mut gradient = vec![0.0; dim];
    for (position, value) in positions.chunks_exact(dim.max(1)).zip(out) {
        *value = match f(position, &mut gradient) {
            Ok(value) => value,
            Err(error) if error.is_recoverable() => f64::NAN,
            Err(error) => return Err(error),
        };
    }
    Ok(())
}

/// Makes a [`Target`] of a [`PriorAndLikelihood`].
///
/// ```
/// use posterity::DensityError;
/// use posterity::model::{PriorAndLikelihood, Target, WithParts};
/// use posterity::rng::Stream;
/// /// x ~ N(0, 1), one observation y ~ N(x, 1).
/// struct OneMean { y: f64 }
/// impl PriorAndLikelihood for OneMean {
///     fn dim(&self) -> usize { 1 }
///     fn log_prior(&self, x: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
///         g[0] = -x[0];
///         Ok(-0.5 * x[0] * x[0] - 0.9189385332046727)
///     }
///     fn log_likelihood(&self, x: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
///         g[0] = self.y - x[0];
///         Ok(-0.5 * g[0] * g[0] - 0.9189385332046727)
///     }
///     fn sample_prior(&self, rng: &mut Stream, x: &mut [f64]) -> bool {
///         x[0] = rng.normal();
///         true
///     }
/// }
/// let target = WithParts(OneMean { y: 2.0 });
/// let mut gradient = [0.0];
/// let parts = target.evaluator()?.tempered_gradient(&[1.0], 0.5, &mut gradient)?;
/// assert_eq!((parts.log_prior, gradient[0]), (-0.5 - 0.9189385332046727, -0.5));
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct WithParts<D>(pub D);

impl<D: PriorAndLikelihood> WithParts<D> {
    fn checked_variables(&self) -> Result<Vec<Variable>, Error> {
        check_size(self.0.variables(), self.0.dim())
    }
}

impl<D: PriorAndLikelihood> Target for WithParts<D> {
    fn dim(&self) -> Result<usize, Error> {
        self.checked_variables()?;
        Ok(self.0.dim())
    }

    fn evaluator(&self) -> Result<Box<dyn Evaluator + '_>, Error> {
        let dim = self.dim()?;
        Ok(Box::new(PartsEvaluator { parts: &self.0, scratch: vec![0.0; dim], other: vec![0.0; dim] }))
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

    fn sample_prior(&self, rng: &mut Stream) -> Result<Option<Values>, Error> {
        let mut position = vec![0.0; self.0.dim()];
        if !guard(|| self.0.sample_prior(rng, &mut position))? {
            return Ok(None);
        }
        let mut values = Values::new();
        let mut rest = position.as_slice();
        for variable in self.checked_variables()? {
            let (entries, tail) = rest.split_at(variable.size());
            values.set_array(&variable.name, &variable.shape, entries.to_vec());
            rest = tail;
        }
        Ok(Some(values))
    }
}

struct PartsEvaluator<'d, D> {
    parts: &'d D,
    scratch: Vec<f64>,
    other: Vec<f64>,
}

impl<D: PriorAndLikelihood> LogDensityGradient for PartsEvaluator<'_, D> {
    fn dim(&self) -> usize {
        self.scratch.len()
    }

    fn log_density(&mut self, position: &[f64]) -> Result<f64, DensityError> {
        let parts = self.log_density_parts(position)?;
        check_value(parts.log_prior + parts.log_likelihood)
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let parts = self.tempered_gradient(position, 1.0, gradient)?;
        check_value(parts.log_prior + parts.log_likelihood)
    }
}

impl<D: PriorAndLikelihood> Evaluator for PartsEvaluator<'_, D> {
    fn log_density_parts(&mut self, position: &[f64]) -> Result<LogDensityParts, DensityError> {
        check_dimension(self.scratch.len(), position)?;
        let (parts, scratch) = (self.parts, &mut self.scratch);
        let log_prior = check_value(guard(|| parts.log_prior(position, scratch))??)?;
        let log_likelihood = check_value(guard(|| parts.log_likelihood(position, scratch))??)?;
        Ok(LogDensityParts { log_prior, log_likelihood })
    }

    fn tempered_gradient(
        &mut self,
        position: &[f64],
        inverse_temperature: f64,
        gradient: &mut [f64],
    ) -> Result<LogDensityParts, DensityError> {
        check_dimension(self.scratch.len(), position)?;
        check_dimension(self.scratch.len(), gradient)?;
        let (parts, scratch) = (self.parts, &mut self.scratch);
        let log_prior = check_value(guard(|| parts.log_prior(position, gradient))??)?;
        let log_likelihood = check_value(guard(|| parts.log_likelihood(position, scratch))??)?;
        if inverse_temperature != 0.0 {
            gradient.iter_mut().zip(scratch).for_each(|(g, l)| *g += inverse_temperature * *l);
            check_gradient(log_prior + log_likelihood, gradient)?;
        } else {
            check_gradient(log_prior, gradient)?;
        }
        Ok(LogDensityParts { log_prior, log_likelihood })
    }

    fn log_prior_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        check_dimension(self.scratch.len(), position)?;
        check_dimension(self.scratch.len(), gradient)?;
        let parts = self.parts;
        let value = check_value(guard(|| parts.log_prior(position, gradient))??)?;
        check_gradient(value, gradient)?;
        Ok(value)
    }

    /// By central differences of the gradient: relative error about 1e-9 of the Hessian's scale.
    fn hessian_vector(&mut self, position: &[f64], direction: &[f64], out: &mut [f64]) -> Result<(), DensityError> {
        check_dimension(self.dim(), position)?;
        check_dimension(self.dim(), direction)?;
        check_dimension(self.dim(), out)?;
        let length = direction.iter().map(|v| v * v).sum::<f64>().sqrt();
        if length == 0.0 {
            out.fill(0.0);
            return Ok(());
        }
        // Only how far the position is along the direction matters: one coordinate far away does not coarsen the others.
        let along = position.iter().zip(direction).map(|(x, v)| x * v).sum::<f64>().abs() / length;
        let step = f64::EPSILON.cbrt() * along.max(1.0) / length;
        let at = |sign: f64| -> Vec<f64> { position.iter().zip(direction).map(|(x, v)| x + sign * step * v).collect() };
        self.log_density_gradient(&at(1.0), out)?;
        let mut below = std::mem::take(&mut self.other);
        let done = self.log_density_gradient(&at(-1.0), &mut below);
        out.iter_mut().zip(&below).for_each(|(up, down)| *up = (*up - down) / (2.0 * step));
        self.other = below;
        done.map(|_| ())
    }

    fn n_observations(&self) -> Option<usize> {
        self.parts.n_observations()
    }

    fn log_likelihood_terms(&mut self, position: &[f64], out: &mut Vec<f64>) -> Result<(), DensityError> {
        check_dimension(self.dim(), position)?;
        out.clear();
        let parts = self.parts;
        guard(|| parts.log_likelihood_terms(position, out))??;
        if let Some(expected) = parts.n_observations().filter(|&n| n != out.len()) {
            return Err(DensityError::Length { what: "log-likelihood terms", expected, found: out.len() });
        }
        out.iter().try_for_each(|&term| check_value(term).map(|_| ()))
    }

    fn minibatch_gradient(&mut self, _: &[f64], rows: &[usize], _: &mut [f64]) -> Result<f64, DensityError> {
        Err(DensityError::Length { what: "observation of a minibatch", expected: 0, found: rows.len() })
    }

    fn log_density_parts_batch(
        &mut self,
        positions: &[f64],
        log_priors: &mut [f64],
        log_likelihoods: &mut [f64],
    ) -> Result<(), DensityError> {
        let parts = self.parts;
        guard(|| parts.log_priors(positions, log_priors))??;
        guard(|| parts.log_likelihoods(positions, log_likelihoods))??;
        for value in log_priors.iter_mut().chain(log_likelihoods) {
            if *value == f64::INFINITY {
                *value = f64::NAN;
            }
        }
        Ok(())
    }

    fn log_likelihoods(&mut self, positions: &[f64], out: &mut [f64]) -> Result<(), DensityError> {
        let parts = self.parts;
        guard(|| parts.log_likelihoods(positions, out))?
    }
}
