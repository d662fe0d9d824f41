//! A target slow enough for its evaluations to be shared out to threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use posterity::DensityError;
use posterity::Error;
use posterity::model::{Evaluator, LogDensityGradient, LogDensityParts, Target, Values, Variable};

/// Another target, with a pause in every derivative, which counts its evaluators: one serves a run on one thread, one each block of a cloud that is
/// shared out.
pub(crate) struct Slow<T> {
    target: T,
    n_evaluators: AtomicUsize,
}

impl<T: Target> Slow<T> {
    pub(crate) fn new(target: T) -> Self {
        Self { target, n_evaluators: AtomicUsize::new(0) }
    }

    /// Evaluators asked for since the last call.
    pub(crate) fn take_n_evaluators(&self) -> usize {
        self.n_evaluators.swap(0, Ordering::Relaxed)
    }
}

impl<T: Target> Target for Slow<T> {
    fn dim(&self) -> Result<usize, Error> {
        self.target.dim()
    }

    fn evaluator(&self) -> Result<Box<dyn Evaluator + '_>, Error> {
        self.n_evaluators.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(SlowEvaluator(self.target.evaluator()?)))
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
        self.target.unconstrain(values)
    }
}

struct SlowEvaluator<'t>(Box<dyn Evaluator + 't>);

/// 50 particles take 5e-4 s or more; sharing begins at 1e-4.
fn pause() {
    std::thread::sleep(Duration::from_micros(10));
}

impl LogDensityGradient for SlowEvaluator<'_> {
    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn log_density(&mut self, position: &[f64]) -> Result<f64, DensityError> {
        self.0.log_density(position)
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        pause();
        self.0.log_density_gradient(position, gradient)
    }
}

impl Evaluator for SlowEvaluator<'_> {
    fn log_density_parts(&mut self, position: &[f64]) -> Result<LogDensityParts, DensityError> {
        self.0.log_density_parts(position)
    }

    fn tempered_gradient(
        &mut self,
        position: &[f64],
        inverse_temperature: f64,
        gradient: &mut [f64],
    ) -> Result<LogDensityParts, DensityError> {
        self.0.tempered_gradient(position, inverse_temperature, gradient)
    }

    fn hessian_vector(&mut self, position: &[f64], direction: &[f64], out: &mut [f64]) -> Result<(), DensityError> {
        pause();
        self.0.hessian_vector(position, direction, out)
    }

    fn n_observations(&self) -> Option<usize> {
        self.0.n_observations()
    }

    fn log_likelihood_terms(&mut self, position: &[f64], out: &mut Vec<f64>) -> Result<(), DensityError> {
        self.0.log_likelihood_terms(position, out)
    }

    fn minibatch_gradient(&mut self, position: &[f64], rows: &[usize], gradient: &mut [f64]) -> Result<f64, DensityError> {
        pause();
        self.0.minibatch_gradient(position, rows, gradient)
    }
}
