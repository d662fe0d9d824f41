//! The distributions on the way from the prior to the posterior, as densities that kernels can move under.

use crate::error::DensityError;
use crate::model::{Evaluator, LogDensityGradient, LogDensityParts};

/// A distribution on the way.
#[derive(Debug, Clone, Copy)]
pub(super) enum Partial<'a> {
    /// Prior × likelihood to this power.
    Power(f64),
    /// Prior × likelihood of these observations.
    Rows(&'a [usize]),
}

impl Partial<'_> {
    /// Power of the log-likelihood that counts.
    fn exponent(self) -> f64 {
        match self {
            Self::Power(lambda) => lambda,
            Self::Rows(_) => 1.0,
        }
    }

    /// log p + λ log L; a likelihood of 0 stays 0 at every λ, so that 0 · ∞ never arises.
    pub(super) fn log_density(self, log_prior: f64, log_likelihood: f64) -> f64 {
        if log_likelihood == f64::NEG_INFINITY || log_prior == f64::NEG_INFINITY {
            f64::NEG_INFINITY
        } else {
            log_prior + self.exponent() * log_likelihood
        }
    }

    /// Writes the parts at many positions; NaN where the density could not be evaluated.
    pub(super) fn evaluate(
        self,
        evaluator: &mut dyn Evaluator,
        positions: &[f64],
        log_prior: &mut [f64],
        log_likelihood: &mut [f64],
    ) -> Result<(), DensityError> {
        let Self::Rows(rows) = self else {
            return evaluator.log_density_parts_batch(positions, log_prior, log_likelihood);
        };
        let dim = evaluator.dim().max(1);
        for (position, out) in positions.chunks_exact(dim).zip(log_prior.iter_mut().zip(log_likelihood)) {
            (*out.0, *out.1) = match evaluator.log_density_parts_of_rows(position, rows) {
                Ok(parts) => (parts.log_prior, parts.log_likelihood),
                Err(error) if error.is_recoverable() => (f64::NAN, f64::NAN),
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }
}

/// One chain's view of a distribution on the way.
pub(super) struct PartialDensity<'a, 'e> {
    pub(super) partial: Partial<'a>,
    pub(super) evaluator: &'a mut (dyn Evaluator + 'e),
    pub(super) n_evaluations: u64,
    /// Evaluations that failed recoverably.
    pub(super) n_failed: u64,
    /// Where the density was evaluated last, and what it was.
    last: Vec<f64>,
    last_parts: LogDensityParts,
}

impl<'a, 'e> PartialDensity<'a, 'e> {
    pub(super) fn new(partial: Partial<'a>, evaluator: &'a mut (dyn Evaluator + 'e)) -> Self {
        let last_parts = LogDensityParts { log_prior: f64::NAN, log_likelihood: f64::NAN };
        Self { partial, evaluator, n_evaluations: 0, n_failed: 0, last: Vec::new(), last_parts }
    }

    /// The parts at a position where a kernel has stopped.
    pub(super) fn parts(&mut self, position: &[f64]) -> Result<LogDensityParts, DensityError> {
        if self.last != position {
            self.log_density(position)?;
        }
        Ok(self.last_parts)
    }

    fn remember(&mut self, position: &[f64], parts: Result<LogDensityParts, DensityError>) -> Result<f64, DensityError> {
        let value = parts.and_then(|parts| self.value(position, parts));
        self.n_failed += u64::from(value.as_ref().is_err_and(DensityError::is_recoverable));
        value
    }

    fn value(&mut self, position: &[f64], parts: LogDensityParts) -> Result<f64, DensityError> {
        self.last.clear();
        self.last.extend_from_slice(position);
        self.last_parts = parts;
        let value = self.partial.log_density(parts.log_prior, parts.log_likelihood);
        if value.is_nan() {
            Err(DensityError::NotANumber)
        } else if value == f64::INFINITY {
            Err(DensityError::PositiveInfinity)
        } else {
            Ok(value)
        }
    }
}

impl LogDensityGradient for PartialDensity<'_, '_> {
    fn dim(&self) -> usize {
        self.evaluator.dim()
    }

    fn log_density(&mut self, position: &[f64]) -> Result<f64, DensityError> {
        self.n_evaluations += 1;
        let parts = match self.partial {
            Partial::Power(_) => self.evaluator.log_density_parts(position),
            Partial::Rows(rows) => self.evaluator.log_density_parts_of_rows(position, rows),
        };
        self.remember(position, parts)
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        self.n_evaluations += 1;
        let parts = match self.partial {
            Partial::Power(lambda) => self.evaluator.tempered_gradient(position, lambda, gradient),
            Partial::Rows(rows) => self.evaluator.gradient_of_rows(position, rows, gradient),
        };
        self.remember(position, parts)
    }
}
