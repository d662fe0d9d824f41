//! The model trait, and its evaluation by automatic differentiation.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::density::{LogDensityGradient, check_dimension, check_gradient, check_value};
use super::labels::Labels;
use super::layout::Variable;
use super::log_p::LogP;
use super::space::{Record, Space};
use super::target::{Evaluator, LogDensityParts, Target};
use super::values::Values;
use crate::autodiff::{Accumulator, Dual, Element, Real, Tape, Value};
use crate::error::{DensityError, Error};
use crate::rng::Stream;

/// A Bayesian model: parameters, prior and likelihood, written once over any [`Real`].
///
/// ```
/// use posterity::autodiff::Real;
/// use posterity::model::{LogP, Model, Space};
///
/// struct Measurement { y: Vec<f64> }
/// struct Parameters<T> { mu: T, sigma: T }
///
/// impl Model for Measurement {
///     type Parameters<T: Real> = Parameters<T>;
///     fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Parameters<T> {
///         Parameters { mu: space.real("mu"), sigma: space.positive("sigma") }
///     }
///     fn log_prior<T: Real>(&self, p: &Parameters<T>, lp: &mut LogP<T>) {
///         lp.normal(&p.mu, &0.0, &10.0);
///     }
///     fn log_likelihood<T: Real>(&self, p: &Parameters<T>, lp: &mut LogP<T>) {
///         lp.normal(&self.y, &p.mu, &p.sigma);
///     }
/// }
/// ```
pub trait Model: Sync {
    /// The parameters as the model's own code wants them.
    type Parameters<T: Real>;

    /// Declares the parameters. Called for every evaluation: names, shapes and order must not change.
    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Self::Parameters<T>;

    /// Log prior density of the constrained parameters. A parameter without a statement has a flat prior on its support.
    fn log_prior<T: Real>(&self, parameters: &Self::Parameters<T>, lp: &mut LogP<T>);

    /// Log-likelihood.
    fn log_likelihood<T: Real>(&self, parameters: &Self::Parameters<T>, lp: &mut LogP<T>);

    /// Number of observations, if every statement of the likelihood runs over all of them. Needed for minibatches and data tempering;
    /// with it, pointwise terms of several statements about one observation are added.
    fn n_observations(&self) -> Option<usize> {
        None
    }

    /// Names dimensions and coordinates for the results.
    fn labels(&self, _labels: &mut Labels) {}

    /// Quantities computed from each draw, kept beside the parameters.
    fn generated(&self, _parameters: &Self::Parameters<Value>, _rng: &mut Stream, _out: &mut Values) {}

    /// Simulates one set of observations given parameters, for prior and posterior predictive draws.
    fn predict(&self, _parameters: &Self::Parameters<Value>, _rng: &mut Stream, _out: &mut Values) {}

    /// One exact draw of the constrained parameters from the prior, by name; returns false if the model offers none (prior draws are then
    /// made by MCMC).
    fn sample_prior(&self, _rng: &mut Stream, _out: &mut Values) -> bool {
        false
    }
}

impl<M: Model> Target for M {
    fn dim(&self) -> Result<usize, Error> {
        Ok(describe(self)?.unconstrained.len())
    }

    fn evaluator(&self) -> Result<Box<dyn Evaluator + '_>, Error> {
        Ok(Box::new(Posterior::new(self)?))
    }

    fn variables(&self) -> Result<Vec<Variable>, Error> {
        let mut labels = Labels::default();
        self.labels(&mut labels);
        Ok(describe(self)?.variables.into_iter().map(|v| labels.apply(v)).collect())
    }

    fn coords(&self) -> BTreeMap<String, Vec<String>> {
        let mut labels = Labels::default();
        self.labels(&mut labels);
        labels.all_coords().clone()
    }

    fn constrain(&self, position: &[f64], out: &mut Vec<f64>) -> Result<(), Error> {
        let mut record = Record::default();
        parameters_at(self, position, Some(&mut record))?;
        out.append(&mut record.constrained);
        Ok(())
    }

    fn unconstrain(&self, values: &Values) -> Result<Vec<f64>, Error> {
        guarded(|| {
            let mut jacobian = Accumulator::<Value>::new();
            let mut record = Record::default();
            let mut space = Space::inverse(values, &mut jacobian, &mut record);
            self.parameters(&mut space);
            space.finish()?;
            Ok(record.unconstrained)
        })?
    }

    fn coordinate_name(&self, index: usize) -> String {
        let Ok(record) = describe(self) else { return format!("q[{index}]") };
        let mut start = 0;
        for (variable, &n) in record.variables.iter().zip(&record.coordinates) {
            if index < start + n {
                return match n {
                    1 => variable.name.clone(),
                    _ => format!("{}[{}]", variable.name, index - start),
                };
            }
            start += n;
        }
        format!("q[{index}]")
    }

    fn label(&self, variable: Variable) -> Variable {
        let mut labels = Labels::default();
        self.labels(&mut labels);
        labels.apply(variable)
    }

    fn sample_prior(&self, rng: &mut Stream) -> Result<Option<Values>, Error> {
        guarded(|| {
            let mut out = Values::new();
            Model::sample_prior(self, rng, &mut out).then_some(out)
        })
    }

    fn generated(&self, position: &[f64], rng: &mut Stream) -> Result<Values, Error> {
        let parameters = parameters_at(self, position, None)?;
        guarded(|| {
            let mut out = Values::new();
            Model::generated(self, &parameters, rng, &mut out);
            out
        })
    }

    fn predict(&self, position: &[f64], rng: &mut Stream) -> Result<Values, Error> {
        let parameters = parameters_at(self, position, None)?;
        guarded(|| {
            let mut out = Values::new();
            Model::predict(self, &parameters, rng, &mut out);
            out
        })
    }
}

/// Runs the model's code; a panic becomes an error.
fn guarded<R>(f: impl FnOnce() -> R) -> Result<R, Error> {
    guard(f).map_err(Error::from)
}

pub(super) fn guard<R>(f: impl FnOnce() -> R) -> Result<R, DensityError> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let message = payload
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        DensityError::Panicked { message }
    })
}

/// Names, shapes and number of coordinates, found by declaring the parameters at the origin.
fn describe<M: Model + ?Sized>(model: &M) -> Result<Record, Error> {
    guarded(|| {
        let mut jacobian = Accumulator::<Value>::new();
        let mut record = Record::default();
        let mut space = Space::recording(None, &mut jacobian, &mut record);
        model.parameters(&mut space);
        space.finish()?;
        Ok(record)
    })?
}

fn parameters_at<M: Model + ?Sized>(
    model: &M,
    position: &[f64],
    record: Option<&mut Record>,
) -> Result<M::Parameters<Value>, Error> {
    guarded(|| {
        let coordinates: Vec<Value> = position.iter().map(|&x| Value(x)).collect();
        let mut jacobian = Accumulator::<Value>::new();
        let mut space = match record {
            Some(record) => Space::recording(Some(&coordinates), &mut jacobian, record),
            None => Space::at(&coordinates, &mut jacobian),
        };
        let parameters = model.parameters(&mut space);
        space.finish()?;
        Ok(parameters)
    })?
}

/// The posterior of a model as a log density on ℝᵈ: owns the tape and all scratch memory.
#[derive(Debug)]
pub struct Posterior<'m, M> {
    model: &'m M,
    dim: usize,
    tape: Tape<f64>,
    dual_tape: Tape<Dual>,
    dual_gradient: Vec<Dual>,
    values: Vec<Value>,
}

impl<'m, M: Model> Posterior<'m, M> {
    /// An evaluator of the model's posterior.
    ///
    /// # Errors
    /// What [`Target::dim`] reports.
    pub fn new(model: &'m M) -> Result<Self, Error> {
        Ok(Self {
            model,
            dim: describe(model)?.unconstrained.len(),
            tape: Tape::new(),
            dual_tape: Tape::new(),
            dual_gradient: Vec::new(),
            values: Vec::new(),
        })
    }

    /// The rows, if they all are observations.
    fn rows<'r>(&self, chosen: &'r [usize]) -> Result<Rows<'r>, DensityError> {
        let n_observations = self.model.n_observations().unwrap_or(0);
        match chosen.iter().copied().find(|&row| row >= n_observations) {
            None => Ok(Rows { chosen, n_observations }),
            Some(found) => Err(DensityError::Length { what: "observation of a subset", expected: n_observations, found }),
        }
    }

    fn parts_of_values(&mut self, position: &[f64]) -> Result<LogDensityParts, DensityError> {
        check_dimension(self.dim, position)?;
        self.values.clear();
        self.values.extend(position.iter().map(|&x| Value(x)));
        let (model, values) = (self.model, &self.values);
        let (prior, likelihood) = guard(|| statements(model, values, LogP::sum()))??;
        Ok(LogDensityParts { log_prior: prior.value(), log_likelihood: likelihood.accumulator().value() })
    }
}

/// Prior with Jacobians, and the parameters.
fn prior_statements<M: Model, T: Real>(model: &M, coordinates: &[T]) -> Result<(Accumulator<T>, M::Parameters<T>), DensityError> {
    let mut prior = Accumulator::new();
    let mut space = Space::at(coordinates, &mut prior);
    let parameters = model.parameters(&mut space);
    space.finish().map_err(|error| match error {
        Error::Density(error) => error,
        other => DensityError::Model { recoverable: false, source: std::sync::Arc::new(other) },
    })?;
    let mut lp = LogP::continuing(prior);
    model.log_prior(&parameters, &mut lp);
    match lp.take_error() {
        Some(error) => Err(error),
        None => Ok((lp.into_accumulator(), parameters)),
    }
}

/// Prior with Jacobians, and the likelihood in the sink given.
fn statements<M: Model, T: Real>(
    model: &M,
    coordinates: &[T],
    mut likelihood: LogP<T>,
) -> Result<(Accumulator<T>, LogP<T>), DensityError> {
    let (prior, parameters) = prior_statements(model, coordinates)?;
    model.log_likelihood(&parameters, &mut likelihood);
    match likelihood.take_error() {
        Some(error) => Err(error),
        None => Ok((prior, likelihood)),
    }
}

/// Runs the statements on a tape and sweeps back; the likelihood counts `weight` times.
fn on_tape<M: Model, E: Element>(
    model: &M,
    tape: &mut Tape<E>,
    position: &[E],
    rows: Option<Rows<'_>>,
    weight: f64,
    gradient: &mut [E],
) -> Result<LogDensityParts, DensityError> {
    guard(|| {
        let mut coordinates = Vec::with_capacity(position.len());
        let tape = tape.variables(position, &mut coordinates);
        let sink = rows.map_or_else(LogP::sum, |r| LogP::for_rows(r.chosen.to_vec(), r.n_observations));
        let (prior, likelihood) = statements(model, &coordinates, sink)?;
        let (log_prior, prior) = prior.into_parts();
        let (log_likelihood, likelihood) = likelihood.into_accumulator().into_parts();
        // Without weight, not even an infinite derivative of the likelihood counts.
        let n_sinks = if weight == 0.0 { 1 } else { 2 };
        tape.backward_sinks(&[(&prior, 1.0), (&likelihood, weight)][..n_sinks], gradient);
        Ok(LogDensityParts { log_prior: log_prior.value(), log_likelihood: log_likelihood.value() })
    })?
}

/// Some of the observations.
#[derive(Debug, Clone, Copy)]
struct Rows<'a> {
    chosen: &'a [usize],
    n_observations: usize,
}

/// Sum of the parts, checked: -∞ in one and +∞ in the other is no density.
fn total(parts: LogDensityParts, weight: f64) -> Result<f64, DensityError> {
    check_value(parts.log_prior)?;
    check_value(parts.log_likelihood)?;
    let likelihood = if weight == 0.0 { 0.0 } else { weight * parts.log_likelihood };
    check_value(parts.log_prior + likelihood)
}

impl<M: Model> LogDensityGradient for Posterior<'_, M> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn log_density(&mut self, position: &[f64]) -> Result<f64, DensityError> {
        total(self.parts_of_values(position)?, 1.0)
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let parts = self.tempered_gradient(position, 1.0, gradient)?;
        Ok(parts.log_prior + parts.log_likelihood)
    }
}

impl<M: Model> Evaluator for Posterior<'_, M> {
    fn log_density_parts(&mut self, position: &[f64]) -> Result<LogDensityParts, DensityError> {
        let parts = self.parts_of_values(position)?;
        total(parts, 1.0)?;
        Ok(parts)
    }

    fn tempered_gradient(
        &mut self,
        position: &[f64],
        inverse_temperature: f64,
        gradient: &mut [f64],
    ) -> Result<LogDensityParts, DensityError> {
        check_dimension(self.dim, position)?;
        check_dimension(self.dim, gradient)?;
        let parts = on_tape(self.model, &mut self.tape, position, None, inverse_temperature, gradient)?;
        let value = total(parts, inverse_temperature)?;
        check_gradient(value, gradient)?;
        Ok(parts)
    }

    fn log_prior_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        check_dimension(self.dim, position)?;
        check_dimension(self.dim, gradient)?;
        let (model, tape) = (self.model, &mut self.tape);
        let value = guard(|| {
            let mut coordinates = Vec::with_capacity(position.len());
            let tape = tape.variables(position, &mut coordinates);
            let (value, sink) = prior_statements(model, &coordinates)?.0.into_parts();
            tape.backward_sinks(&[(&sink, 1.0)], gradient);
            Ok::<f64, DensityError>(value)
        })??;
        check_value(value)?;
        check_gradient(value, gradient)?;
        Ok(value)
    }

    fn hessian_vector(&mut self, position: &[f64], direction: &[f64], out: &mut [f64]) -> Result<(), DensityError> {
        check_dimension(self.dim, position)?;
        check_dimension(self.dim, direction)?;
        check_dimension(self.dim, out)?;
        let duals: Vec<Dual> =
            position.iter().zip(direction).map(|(&value, &tangent)| Dual { value, tangents: [tangent] }).collect();
        self.dual_gradient.resize(self.dim, Dual::from(0.0));
        let parts = on_tape(self.model, &mut self.dual_tape, &duals, None, 1.0, &mut self.dual_gradient)?;
        total(parts, 1.0)?;
        for (out, dual) in out.iter_mut().zip(&self.dual_gradient) {
            *out = dual.tangents[0];
        }
        check_gradient(0.0, out)
    }

    fn n_observations(&self) -> Option<usize> {
        self.model.n_observations()
    }

    fn log_likelihood_terms(&mut self, position: &[f64], out: &mut Vec<f64>) -> Result<(), DensityError> {
        check_dimension(self.dim, position)?;
        self.values.clear();
        self.values.extend(position.iter().map(|&x| Value(x)));
        let (model, values) = (self.model, &self.values);
        let sink = LogP::pointwise(model.n_observations());
        let (_, likelihood) = guard(|| statements(model, values, sink))??;
        out.clear();
        out.append(&mut likelihood.into_terms());
        out.iter().try_for_each(|&term| check_value(term).map(|_| ()))
    }

    fn log_density_parts_of_rows(&mut self, position: &[f64], rows: &[usize]) -> Result<LogDensityParts, DensityError> {
        check_dimension(self.dim, position)?;
        let rows = self.rows(rows)?;
        self.values.clear();
        self.values.extend(position.iter().map(|&x| Value(x)));
        let (model, values) = (self.model, &self.values);
        let sink = LogP::for_rows(rows.chosen.to_vec(), rows.n_observations);
        let (prior, likelihood) = guard(|| statements(model, values, sink))??;
        let parts = LogDensityParts { log_prior: prior.value(), log_likelihood: likelihood.accumulator().value() };
        total(parts, 1.0)?;
        Ok(parts)
    }

    fn gradient_of_rows(
        &mut self,
        position: &[f64],
        rows: &[usize],
        gradient: &mut [f64],
    ) -> Result<LogDensityParts, DensityError> {
        check_dimension(self.dim, position)?;
        check_dimension(self.dim, gradient)?;
        let rows = self.rows(rows)?;
        let parts = on_tape(self.model, &mut self.tape, position, Some(rows), 1.0, gradient)?;
        check_gradient(total(parts, 1.0)?, gradient)?;
        Ok(parts)
    }

    fn minibatch_gradient(&mut self, position: &[f64], rows: &[usize], gradient: &mut [f64]) -> Result<f64, DensityError> {
        check_dimension(self.dim, position)?;
        check_dimension(self.dim, gradient)?;
        let n_observations = self.model.n_observations().unwrap_or(0);
        let bad = rows.iter().copied().find(|&row| row >= n_observations);
        if let Some(found) = bad.or((rows.is_empty()).then_some(0)) {
            return Err(DensityError::Length { what: "observation of a minibatch", expected: n_observations, found });
        }
        let weight = n_observations as f64 / rows.len() as f64;
        let rows = Rows { chosen: rows, n_observations };
        let parts = on_tape(self.model, &mut self.tape, position, Some(rows), weight, gradient)?;
        let value = total(parts, weight)?;
        check_gradient(value, gradient)?;
        Ok(value)
    }
}
