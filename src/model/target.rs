//! What algorithms see: a target with names, and evaluators of it.

use std::collections::BTreeMap;

use super::density::LogDensityGradient;
use super::layout::Variable;
use super::values::Values;
use crate::error::{DensityError, Error};
use crate::rng::Stream;

/// A log density apart into its two parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogDensityParts {
    /// Log prior density, log-Jacobians of the transforms included.
    pub log_prior: f64,
    /// Log-likelihood.
    pub log_likelihood: f64,
}

/// A target distribution: dimension, names, and one evaluator per chain.
///
/// Every [`Model`](super::Model) is one, and so is [`WithGradient`](super::WithGradient) of a hand-written density.
pub trait Target: Sync {
    /// Number of unconstrained coordinates.
    ///
    /// # Errors
    /// [`Error::DuplicateVariable`], or what else makes the description of the parameters impossible.
    fn dim(&self) -> Result<usize, Error>;

    /// An evaluator with its own scratch memory.
    ///
    /// # Errors
    /// As [`Target::dim`].
    fn evaluator(&self) -> Result<Box<dyn Evaluator + '_>, Error>;

    /// The constrained variables in the order of [`Target::constrain`], with their dimensions named.
    ///
    /// # Errors
    /// As [`Target::dim`].
    fn variables(&self) -> Result<Vec<Variable>, Error>;

    /// Coordinates along named dimensions.
    fn coords(&self) -> BTreeMap<String, Vec<String>> {
        BTreeMap::new()
    }

    /// Appends the constrained values at a position, in row-major order, variable by variable.
    ///
    /// # Errors
    /// [`DensityError::Dimension`] inside [`Error::Density`] for a position of another length.
    fn constrain(&self, position: &[f64], out: &mut Vec<f64>) -> Result<(), Error>;

    /// The position of constrained values.
    ///
    /// # Errors
    /// [`Error::MissingVariable`], [`Error::OutsideSupport`].
    fn unconstrain(&self, values: &Values) -> Result<Vec<f64>, Error>;

    /// Which variable an unconstrained coordinate belongs to.
    fn coordinate_name(&self, index: usize) -> String {
        format!("q[{index}]")
    }

    /// A generated or simulated variable with its dimensions named.
    fn label(&self, variable: Variable) -> Variable {
        variable
    }

    /// One exact draw of the constrained parameters from the prior, or `None` if the target offers none.
    ///
    /// # Errors
    /// What the model's code makes go wrong.
    fn sample_prior(&self, _rng: &mut Stream) -> Result<Option<Values>, Error> {
        Ok(None)
    }

    /// Generated quantities at a position; empty if the target has none.
    ///
    /// # Errors
    /// As [`Target::constrain`].
    fn generated(&self, _position: &[f64], _rng: &mut Stream) -> Result<Values, Error> {
        Ok(Values::new())
    }

    /// One set of simulated observations at a position; empty if the target cannot simulate.
    ///
    /// # Errors
    /// As [`Target::constrain`].
    fn predict(&self, _position: &[f64], _rng: &mut Stream) -> Result<Values, Error> {
        Ok(Values::new())
    }
}

/// One chain's view of a target: log density and gradient, and its parts.
pub trait Evaluator: LogDensityGradient {
    /// Log prior (with Jacobians) and log-likelihood at a position.
    ///
    /// # Errors
    /// As [`LogDensityGradient::log_density`].
    fn log_density_parts(&mut self, position: &[f64]) -> Result<LogDensityParts, DensityError>;

    /// The parts, and the gradient of log prior + `inverse_temperature` · log-likelihood.
    ///
    /// # Errors
    /// As [`LogDensityGradient::log_density_gradient`].
    fn tempered_gradient(
        &mut self,
        position: &[f64],
        inverse_temperature: f64,
        gradient: &mut [f64],
    ) -> Result<LogDensityParts, DensityError>;

    /// Log prior density (with Jacobians) and its gradient, of a model without evaluating the likelihood: it need not exist everywhere that
    /// the prior does.
    ///
    /// # Errors
    /// As [`LogDensityGradient::log_density_gradient`].
    fn log_prior_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        Ok(self.tempered_gradient(position, 0.0, gradient)?.log_prior)
    }

    /// The Hessian of the log density times a direction.
    ///
    /// # Errors
    /// As [`LogDensityGradient::log_density_gradient`].
    fn hessian_vector(&mut self, position: &[f64], direction: &[f64], out: &mut [f64]) -> Result<(), DensityError>;

    /// Number of observations, where the likelihood is a sum over them.
    fn n_observations(&self) -> Option<usize> {
        None
    }

    /// The log-likelihood of each observation, written to `out`.
    ///
    /// # Errors
    /// As [`LogDensityGradient::log_density`].
    fn log_likelihood_terms(&mut self, position: &[f64], out: &mut Vec<f64>) -> Result<(), DensityError>;

    /// Log density and gradient with the likelihood estimated from some observations: their sum times N / number of rows.
    ///
    /// # Errors
    /// [`DensityError::Length`] if the model does not say how many observations there are, or a row is none of them.
    fn minibatch_gradient(&mut self, position: &[f64], rows: &[usize], gradient: &mut [f64]) -> Result<f64, DensityError>;

    /// Log prior and log-likelihood at many positions, stored one after the other; both outputs have one entry per position. Samplers that move
    /// many particles at once call this and nothing else, so a density that is faster for many positions than for one overrides it.
    ///
    /// # Errors
    /// A fatal error of any position; a recoverable one gives `NaN` in both outputs.
    fn log_density_parts_batch(
        &mut self,
        positions: &[f64],
        log_priors: &mut [f64],
        log_likelihoods: &mut [f64],
    ) -> Result<(), DensityError> {
        let dim = self.dim();
        let outputs = log_priors.iter_mut().zip(log_likelihoods);
        for (position, (log_prior, log_likelihood)) in positions.chunks_exact(dim.max(1)).zip(outputs) {
            (*log_prior, *log_likelihood) = match self.log_density_parts(position) {
                Ok(parts) => (parts.log_prior, parts.log_likelihood),
                Err(error) if error.is_recoverable() => (f64::NAN, f64::NAN),
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }

    /// Log prior, and the log-likelihood of some observations: the sum of their terms.
    ///
    /// # Errors
    /// As [`Evaluator::log_likelihood_terms`]; [`DensityError::Length`] if a row is no observation.
    fn log_density_parts_of_rows(&mut self, position: &[f64], rows: &[usize]) -> Result<LogDensityParts, DensityError> {
        let log_prior = self.log_density_parts(position)?.log_prior;
        let mut terms = Vec::new();
        self.log_likelihood_terms(position, &mut terms)?;
        let mut log_likelihood = 0.0;
        for &row in rows {
            let length = || DensityError::Length { what: "observation of a subset", expected: terms.len(), found: row };
            log_likelihood += terms.get(row).ok_or_else(length)?;
        }
        Ok(LogDensityParts { log_prior, log_likelihood })
    }

    /// The parts as [`Evaluator::log_density_parts_of_rows`] gives them, and the gradient of their sum.
    ///
    /// # Errors
    /// As [`Evaluator::minibatch_gradient`].
    fn gradient_of_rows(
        &mut self,
        position: &[f64],
        rows: &[usize],
        gradient: &mut [f64],
    ) -> Result<LogDensityParts, DensityError> {
        let mut prior_gradient = vec![0.0; gradient.len()];
        let log_prior = self.log_prior_gradient(position, &mut prior_gradient)?;
        if rows.is_empty() {
            gradient.copy_from_slice(&prior_gradient);
            return Ok(LogDensityParts { log_prior, log_likelihood: 0.0 });
        }
        // The minibatch counts N / n times.
        let share = rows.len() as f64 / self.n_observations().unwrap_or(0) as f64;
        let log_likelihood = share * (self.minibatch_gradient(position, rows, gradient)? - log_prior);
        for (g, prior) in gradient.iter_mut().zip(prior_gradient) {
            *g = prior + share * (*g - prior);
        }
        Ok(LogDensityParts { log_prior, log_likelihood })
    }

    /// Log-likelihoods at many positions, stored one after the other; `out` has one entry per position.
    ///
    /// # Errors
    /// A fatal error of any position; a recoverable one gives `NaN` in `out`.
    fn log_likelihoods(&mut self, positions: &[f64], out: &mut [f64]) -> Result<(), DensityError> {
        let dim = self.dim();
        for (position, value) in positions.chunks_exact(dim.max(1)).zip(out) {
            *value = match self.log_density_parts(position) {
                Ok(parts) => parts.log_likelihood,
                Err(error) if error.is_recoverable() => f64::NAN,
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }
}
