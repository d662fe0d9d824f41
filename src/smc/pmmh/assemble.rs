//! From chains to [`Draws`].

use ndarray::{Array2, Array3, s};

use super::chain::{Iteration, Made};
use super::{Pmmh, pilot};
use crate::draws::{Attributes, Draws, Group, SampleStats, StatValues};
use crate::error::Error;
use crate::mcmc::Run;
use crate::model::{ModelFamily, Target, Variable};
use crate::smc::blocks::{FamilyState, Outcome};
use crate::smc::{StateSpaceAdapter, StateValues};

/// Some variables, and where a chain has their values, draw by draw.
type Part = (Vec<Variable>, fn(&Made) -> &[f64]);

/// The draws that every chain has made.
pub(super) fn draws<T, F>(settings: &Pmmh, prior: &T, family: &F, run: &Run, chains: Vec<Made>) -> Result<Draws, Error>
where
    T: Target + ?Sized,
    F: ModelFamily + ?Sized,
    F::Model: StateSpaceAdapter,
    FamilyState<F>: StateValues,
{
    let n = chains.iter().map(|c| c.draws.len()).min().unwrap_or(0);
    if n == 0 {
        return Err(Error::Stopped { iterations: chains.iter().map(|c| c.warmup.len() + c.draws.len()).min().unwrap_or(0) });
    }
    let shape = <FamilyState<F>>::SHAPE;
    let n_steps = chains.first().map_or(0, |c| c.n_steps);
    if let Some(other) = chains.iter().find(|c| c.n_steps != n_steps) {
        return Err(Error::Dimension { what: "steps of the models of one family", expected: n_steps, found: other.n_steps });
    }
    let parameters = prior.variables()?;
    let mut parts: Vec<Part> = vec![(parameters, |made| &made.constrained)];
    let of_states = |name: &str, n: usize| Variable::new(name, &[&[n], shape].concat());
    if settings.keep_states {
        parts.push((vec![of_states("x", n_steps)], |made| &made.states));
    }
    if settings.n_forecast > 0 {
        parts.push((vec![of_states("x_forecast", settings.n_forecast)], |made| &made.forecasts));
    }
    let posterior = posterior(&parts, &chains, n)?;

    let n_warmup = chains.iter().map(|c| c.warmup.len()).min().unwrap_or(0);
    let mut attributes = attributes(settings, run, &chains, n);
    describe_noise(settings, prior, family, run, &chains, &mut attributes)?;
    let mut draws = Draws::new(posterior, sample_stats(&chains, n, |made| &made.draws)?, attributes)?;
    if n_warmup > 0 {
        draws = draws.with_warmup_stats(sample_stats(&chains, n_warmup, |made| &made.warmup)?)?;
    }
    for (dimension, coordinates) in prior.coords() {
        draws = draws.with_coords(&dimension, coordinates)?;
    }
    Ok(draws)
}

/// Variables part after part; each part's values lie in the chains draw by draw.
fn posterior(parts: &[Part], chains: &[Made], n: usize) -> Result<Group, Error> {
    let sizes: Vec<usize> = parts.iter().map(|(variables, _)| variables.iter().map(Variable::size).sum()).collect();
    let mut values = Array3::zeros((chains.len(), n, sizes.iter().sum()));
    for (c, chain) in chains.iter().enumerate() {
        let mut first = 0;
        for ((_, of), &size) in parts.iter().zip(&sizes) {
            for (draw, row) in of(chain).chunks_exact(size.max(1)).take(n).enumerate() {
                values.slice_mut(s![c, draw, first..first + size]).iter_mut().zip(row).for_each(|(to, from)| *to = *from);
            }
            first += size;
        }
    }
    Group::new(parts.iter().flat_map(|(variables, _)| variables.iter().cloned()).collect(), values)
}

fn sample_stats(chains: &[Made], n: usize, of: fn(&Made) -> &Vec<Iteration>) -> Result<SampleStats, Error> {
    let shape = (chains.len(), n);
    let float = |f: fn(&Iteration) -> f64| StatValues::Float(Array2::from_shape_fn(shape, |(c, i)| f(&of(&chains[c])[i])));
    let flag = |f: fn(&Iteration) -> bool| StatValues::Flag(Array2::from_shape_fn(shape, |(c, i)| f(&of(&chains[c])[i])));
    let mut stats = SampleStats::new(chains.len(), n);
    stats.push("lp", float(|i| i.lp))?;
    stats.push("log_likelihood", float(|i| i.log_likelihood))?;
    stats.push("acceptance_rate", float(|i| i.acceptance_rate))?;
    stats.push("accepted", flag(|i| i.outcome == Outcome::Accepted))?;
    stats.push("degenerate", flag(|i| i.degenerate))?;
    stats.push("failed", flag(|i| i.outcome == Outcome::Failed))?;
    Ok(stats)
}

fn attributes(settings: &Pmmh, run: &Run, chains: &[Made], n: usize) -> Attributes {
    let mut attributes = Attributes::new("pmmh", run.seed)
        .with_setting("n_particles", settings.filter.n_particles)
        .with_setting("scheme", format!("{:?}", settings.filter.weights.scheme))
        .with_setting("ess_threshold", settings.filter.weights.ess_threshold)
        .with_setting("target_acceptance", settings.target_acceptance)
        .with_setting("n_forecast", settings.n_forecast);
    attributes.n_warmup = run.n_warmup;
    attributes.stopped_early = n < run.n_draws;
    for chain in chains {
        attributes.step_sizes.push(chain.scale);
        attributes.inverse_mass_matrices.push(chain.variances.clone());
        attributes.warmup_seconds.push(chain.warmup_seconds);
        attributes.sampling_seconds.push(chain.sampling_seconds);
    }
    attributes
}

/// Measures the noise of the likelihood at the posterior mean (on the unconstrained space), and writes down what it says.
fn describe_noise<T, F>(
    settings: &Pmmh,
    prior: &T,
    family: &F,
    run: &Run,
    chains: &[Made],
    attributes: &mut Attributes,
) -> Result<(), Error>
where
    T: Target + ?Sized,
    F: ModelFamily + ?Sized,
    F::Model: StateSpaceAdapter,
{
    if settings.n_pilot == 0 {
        return Ok(());
    }
    let total: usize = chains.iter().map(|c| c.draws.len()).sum();
    let dim = chains.first().map_or(0, |c| c.sum_of_positions.len());
    let mean: Vec<f64> = (0..dim).map(|i| chains.iter().map(|c| c.sum_of_positions[i]).sum::<f64>() / total as f64).collect();
    let mut parameters = Vec::new();
    prior.constrain(&mean, &mut parameters)?;
    let mut note = |name: &str, value: String| attributes.settings.push((name.to_owned(), value));
    match pilot::run(&settings.filter, family, &parameters, settings.n_pilot, run.seed) {
        Ok(pilot) => {
            note("log_likelihood_variance", pilot.variance.to_string());
            if pilot.is_too_noisy() {
                note("warning", pilot.to_string());
            }
        }
        // The mean of a curved posterior may lie where there is no model.
        Err(Error::Density(error)) if error.is_recoverable() => note("log_likelihood_variance", f64::NAN.to_string()),
        Err(error) => return Err(error),
    }
    Ok(())
}
