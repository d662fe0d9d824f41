//! Draws of the prior, and simulated observations.

use std::collections::BTreeMap;

use ndarray::Array3;

use super::nuts::Nuts;
use super::run::Run;
use super::sampler::Sampler;
use crate::draws::{Attributes, Draws, Group, SampleStats};
use crate::error::{DensityError, Error};
use crate::model::{Evaluator, LogDensityGradient, LogDensityParts, Target, Values, Variable};
use crate::rng::{Purpose, Stream};

/// One set of simulated observations per draw, by the model's [`predict`](crate::model::Model::predict): posterior predictive draws if `draws`
/// are from the posterior, prior predictive ones if they are [`prior_draws`]. Hand them to [`Draws::with_predictive`].
///
/// # Errors
/// [`Error::UnknownVariable`] if the draws are of another model, [`Error::NoSimulator`] if the model simulates nothing,
/// [`Error::OutsideSupport`].
pub fn posterior_predictive<T: Target + ?Sized>(target: &T, draws: &Draws, seed: u64) -> Result<Group, Error> {
    let parameters = target.variables()?;
    let mut simulated = Vec::with_capacity(draws.n_chains() * draws.n_draws());
    for chain in 0..draws.n_chains() {
        for draw in 0..draws.n_draws() {
            let mut values = Values::new();
            for variable in &parameters {
                let entries = draws.variable(&variable.name)?;
                let entries = entries.index_axis(ndarray::Axis(0), chain);
                let entries = entries.index_axis(ndarray::Axis(0), draw);
                values.set_array(&variable.name, &variable.shape, entries.iter().copied().collect());
            }
            let position = target.unconstrain(&values)?;
            let mut rng = Stream::keyed(seed, Purpose::Predictive, draw as u64, chain as u64);
            simulated.push(target.predict(&position, &mut rng)?);
        }
    }
    group_of(target, &simulated, draws.n_chains())
}

/// Draws from the prior: exact and independent where the model offers [`sample_prior`](crate::model::Model::sample_prior), by NUTS on the
/// prior otherwise. An improper prior cannot be drawn from; the summary of such a run warns.
///
/// # Errors
/// As [`Sampler::sample`], and [`Error::MissingVariable`] or [`Error::OutsideSupport`] for a prior draw that is no parameter value.
pub fn prior_draws<T: Target + ?Sized>(target: &T, run: Run) -> Result<Draws, Error> {
    run.validate()?;
    if target.dim()? == 0 {
        return Err(Error::NoParameters);
    }
    let mut exact = Vec::new();
    'chains: for chain in 0..run.n_chains {
        for draw in 0..run.n_draws {
            let mut rng = Stream::keyed(run.seed, Purpose::Prior, draw as u64, chain as u64);
            let Some(values) = target.sample_prior(&mut rng)? else { break 'chains };
            // There and back: checks support and completeness.
            target.unconstrain(&values)?;
            exact.push(values);
        }
    }
    if exact.len() < run.n_chains * run.n_draws {
        return Nuts::default().sample(&PriorOnly(target), run);
    }
    let stats = SampleStats::new(run.n_chains, run.n_draws);
    let mut draws = Draws::new(group_of(target, &exact, run.n_chains)?, stats, Attributes::new("prior", run.seed))?;
    for (dimension, coordinates) in target.coords() {
        draws = draws.with_coords(&dimension, coordinates)?;
    }
    Ok(draws)
}

/// The variables of the first set of values, for all of them.
fn group_of<T: Target + ?Sized>(target: &T, all: &[Values], n_chains: usize) -> Result<Group, Error> {
    let Some(first) = all.first().filter(|v| !v.is_empty()) else {
        return Err(Error::NoSimulator);
    };
    let variables: Vec<Variable> = first.iter().map(|(v, _)| target.label(v.clone())).collect();
    let n_columns = variables.iter().map(Variable::size).sum();
    let n_draws = all.len() / n_chains;
    let mut rows = Vec::with_capacity(all.len() * n_columns);
    for values in all {
        for variable in &variables {
            let entries = values.get(&variable.name).ok_or_else(|| Error::MissingVariable { name: variable.name.clone() })?;
            if entries.len() != variable.size() {
                return Err(Error::Dimension { what: "simulated variable", expected: variable.size(), found: entries.len() });
            }
            rows.extend_from_slice(entries);
        }
    }
    let found = rows.len();
    let values = Array3::from_shape_vec((n_chains, n_draws, n_columns), rows).map_err(|_| Error::Dimension {
        what: "simulated values",
        expected: n_chains * n_draws * n_columns,
        found,
    })?;
    Group::new(variables, values)
}

/// A target without its likelihood.
struct PriorOnly<'t, T: ?Sized>(&'t T);

impl<T: Target + ?Sized> Target for PriorOnly<'_, T> {
    fn dim(&self) -> Result<usize, Error> {
        self.0.dim()
    }

    fn evaluator(&self) -> Result<Box<dyn Evaluator + '_>, Error> {
        let evaluator = self.0.evaluator()?;
        let scratch = vec![0.0; evaluator.dim()];
        Ok(Box::new(PriorEvaluator { evaluator, scratch }))
    }

    fn variables(&self) -> Result<Vec<Variable>, Error> {
        self.0.variables()
    }

    fn coords(&self) -> BTreeMap<String, Vec<String>> {
        self.0.coords()
    }

    fn constrain(&self, position: &[f64], out: &mut Vec<f64>) -> Result<(), Error> {
        self.0.constrain(position, out)
    }

    fn unconstrain(&self, values: &Values) -> Result<Vec<f64>, Error> {
        self.0.unconstrain(values)
    }

    fn coordinate_name(&self, index: usize) -> String {
        self.0.coordinate_name(index)
    }
}

struct PriorEvaluator<'e> {
    evaluator: Box<dyn Evaluator + 'e>,
    scratch: Vec<f64>,
}

impl LogDensityGradient for PriorEvaluator<'_> {
    fn dim(&self) -> usize {
        self.evaluator.dim()
    }

    fn log_density(&mut self, position: &[f64]) -> Result<f64, DensityError> {
        self.evaluator.log_prior_gradient(position, &mut self.scratch)
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        self.evaluator.log_prior_gradient(position, gradient)
    }
}

impl Evaluator for PriorEvaluator<'_> {
    fn log_density_parts(&mut self, position: &[f64]) -> Result<LogDensityParts, DensityError> {
        Ok(LogDensityParts { log_prior: self.log_density(position)?, log_likelihood: 0.0 })
    }

    fn tempered_gradient(&mut self, position: &[f64], _: f64, gradient: &mut [f64]) -> Result<LogDensityParts, DensityError> {
        Ok(LogDensityParts { log_prior: self.log_density_gradient(position, gradient)?, log_likelihood: 0.0 })
    }

    fn hessian_vector(&mut self, position: &[f64], direction: &[f64], out: &mut [f64]) -> Result<(), DensityError> {
        self.evaluator.hessian_vector(position, direction, out)
    }

    fn log_likelihood_terms(&mut self, _: &[f64], out: &mut Vec<f64>) -> Result<(), DensityError> {
        out.clear();
        Ok(())
    }

    fn minibatch_gradient(&mut self, position: &[f64], _: &[usize], gradient: &mut [f64]) -> Result<f64, DensityError> {
        self.log_density_gradient(position, gradient)
    }
}
