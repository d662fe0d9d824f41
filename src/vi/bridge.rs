//! From an approximation to the posterior: what SMC samplers travel along.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::approximation::Approximation;
use crate::error::{DensityError, Error};
use crate::model::{Evaluator, LogDensityGradient, LogDensityParts, Target, Values, Variable};
use crate::rng::Stream;

/// A target with the density p of another one, whose prior is an approximation q and whose likelihood is p/q.
///
/// ```text
/// γ_λ(z) = q(z)^(1-λ) p(z)^λ
/// ```
/// An [`SmcSampler`](crate::smc::sampler::SmcSampler) so starts at q instead of the model's prior: fewer steps, where q is near, and exact whatever q is, as long as q covers the posterior. The log
/// evidence is that of p. Draws of the prior carry, beside the target's variables, their unconstrained coordinates as `bridge position`. [`Fit::bridge`](super::Fit::bridge) makes one.
#[derive(Debug)]
pub struct Bridge<'t, T: ?Sized> {
    target: &'t T,
    approximation: Box<dyn Approximation>,
    /// The one that draws: what a draw needs is not allocated again and again, and no draw depends on those before.
    sampler: Mutex<Box<dyn Approximation>>,
}

/// A draw of q in a bridge's values, as unconstrained coordinates: constrained values may be on the edge of their support by rounding, from where no way leads back.
const POSITION: &str = "bridge position";

impl<T: ?Sized> Clone for Bridge<'_, T> {
    fn clone(&self) -> Self {
        Self { target: self.target, approximation: self.approximation.clone(), sampler: Mutex::new(self.approximation.clone()) }
    }
}

impl<'t, T: Target + ?Sized> Bridge<'t, T> {
    /// The bridge from an approximation to a target.
    ///
    /// # Errors
    /// [`Error::Dimension`] if their dimensions differ.
    pub fn new(target: &'t T, mut approximation: Box<dyn Approximation>) -> Result<Self, Error> {
        let (expected, found) = (target.dim()?, approximation.dim());
        if expected != found {
            return Err(Error::Dimension { what: "dimension of the approximation", expected, found });
        }
        // Evaluators copy the approximation, with the memory of its latest draws: one will do.
        approximation.sample(&mut Stream::new(0), &mut vec![0.0; found], &mut [0.0]);
        let sampler = Mutex::new(approximation.clone());
        Ok(Self { target, approximation, sampler })
    }
}

impl<T: Target + ?Sized> Target for Bridge<'_, T> {
    fn dim(&self) -> Result<usize, Error> {
        self.target.dim()
    }

    fn evaluator(&self) -> Result<Box<dyn Evaluator + '_>, Error> {
        let scratch = vec![0.0; self.approximation.dim()];
        Ok(Box::new(BridgeEvaluator { target: self.target.evaluator()?, approximation: self.approximation.clone(), scratch }))
    }

    fn variables(&self) -> Result<Vec<Variable>, Error> {
        self.target.variables()
    }

    fn coords(&self) -> BTreeMap<String, Vec<String>> {
        self.target.coords()
    }

    fn constrain(&self, position: &[f64], out: &mut Vec<f64>) -> Result<(), Error> {
        self.target.constrain(position, out)
    }

    fn unconstrain(&self, values: &Values) -> Result<Vec<f64>, Error> {
        match values.get(POSITION) {
            Some(position) => Ok(position.to_vec()),
            None => self.target.unconstrain(values),
        }
    }

    fn coordinate_name(&self, index: usize) -> String {
        self.target.coordinate_name(index)
    }

    fn label(&self, variable: Variable) -> Variable {
        self.target.label(variable)
    }

    fn sample_prior(&self, rng: &mut Stream) -> Result<Option<Values>, Error> {
        let mut position = vec![0.0; self.approximation.dim()];
        self.sampler.lock().unwrap_or_else(PoisonError::into_inner).sample(rng, &mut position, &mut [0.0]);
        let mut constrained = Vec::new();
        self.target.constrain(&position, &mut constrained)?;
        let mut values = Values::new();
        let mut rest = constrained.as_slice();
        for variable in self.target.variables()? {
            let (entries, tail) = rest.split_at(variable.size().min(rest.len()));
            values.set_array(&variable.name, &variable.shape, entries.to_vec());
            rest = tail;
        }
        values.set_array(POSITION, &[position.len()], position);
        Ok(Some(values))
    }

    fn generated(&self, position: &[f64], rng: &mut Stream) -> Result<Values, Error> {
        self.target.generated(position, rng)
    }

    fn predict(&self, position: &[f64], rng: &mut Stream) -> Result<Values, Error> {
        self.target.predict(position, rng)
    }
}

struct BridgeEvaluator<'e> {
    target: Box<dyn Evaluator + 'e>,
    approximation: Box<dyn Approximation>,
    /// ∇ log q
    scratch: Vec<f64>,
}

impl BridgeEvaluator<'_> {
    /// log q, its gradient written to the scratch memory.
    fn log_approximation(&mut self, position: &[f64]) -> Result<f64, DensityError> {
        self.approximation
            .log_density_gradient(position, &mut self.scratch)
            .map_err(|error| DensityError::Model { recoverable: true, source: Arc::new(error) })
    }
}

impl LogDensityGradient for BridgeEvaluator<'_> {
    fn dim(&self) -> usize {
        self.target.dim()
    }

    fn log_density(&mut self, position: &[f64]) -> Result<f64, DensityError> {
        self.target.log_density(position)
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        self.target.log_density_gradient(position, gradient)
    }
}

impl Evaluator for BridgeEvaluator<'_> {
    fn log_density_parts(&mut self, position: &[f64]) -> Result<LogDensityParts, DensityError> {
        let log_density = self.target.log_density(position)?;
        let log_prior = self.log_approximation(position)?;
        Ok(LogDensityParts { log_prior, log_likelihood: log_density - log_prior })
    }

    fn tempered_gradient(
        &mut self,
        position: &[f64],
        inverse_temperature: f64,
        gradient: &mut [f64],
    ) -> Result<LogDensityParts, DensityError> {
        let log_density = self.target.log_density_gradient(position, gradient)?;
        let log_prior = self.log_approximation(position)?;
        for (g, q) in gradient.iter_mut().zip(&self.scratch) {
            *g = q + inverse_temperature * (*g - q);
        }
        Ok(LogDensityParts { log_prior, log_likelihood: log_density - log_prior })
    }

    fn hessian_vector(&mut self, position: &[f64], direction: &[f64], out: &mut [f64]) -> Result<(), DensityError> {
        self.target.hessian_vector(position, direction, out)
    }

    /// One term, of the ratio p/q as a whole.
    fn log_likelihood_terms(&mut self, position: &[f64], out: &mut Vec<f64>) -> Result<(), DensityError> {
        out.clear();
        out.push(self.log_density_parts(position)?.log_likelihood);
        Ok(())
    }

    fn minibatch_gradient(&mut self, _position: &[f64], rows: &[usize], _gradient: &mut [f64]) -> Result<f64, DensityError> {
        Err(DensityError::Length { what: "minibatch of a bridge", expected: 0, found: rows.len() })
    }
}
