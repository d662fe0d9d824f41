//! From chains to [`Draws`].

use ndarray::{Array2, Array3};

use super::engine::Chain;
use super::run::Run;
use super::sampler::{AdaptiveChain, Sampler, Transition};
use crate::draws::{Attributes, Draws, Group, SampleStats, StatValues};
use crate::error::Error;
use crate::model::{Target, Variable};

/// The first `n` draws of every chain.
pub(super) fn draws<S: Sampler, T: Target + ?Sized>(
    sampler: &S,
    target: &T,
    run: &Run,
    chains: Vec<Chain<S::Chain>>,
    n: usize,
) -> Result<Draws, Error> {
    let posterior = posterior(target, &chains, n)?;
    let sampling: Vec<History<'_>> = chains.iter().map(|c| (&*c.made.log_densities, &*c.made.transitions)).collect();
    let sample = sample_stats(&sampling, n)?;
    let n_warmup = chains.iter().map(|c| c.made.warmup_transitions.len()).min().unwrap_or(0);
    let mut draws = Draws::new(posterior, sample, attributes(sampler, run, &chains, n))?;
    if n_warmup > 0 {
        let warmup: Vec<History<'_>> =
            chains.iter().map(|c| (&*c.made.warmup_log_densities, &*c.made.warmup_transitions)).collect();
        draws = draws.with_warmup_stats(sample_stats(&warmup, n_warmup)?)?;
    }
    if run.keep_log_likelihood {
        draws = draws.with_log_likelihood(log_likelihood(&chains, n)?)?;
    }
    for (dimension, coordinates) in target.coords() {
        draws = draws.with_coords(&dimension, coordinates)?;
    }
    Ok(draws)
}

/// Fails if these variables and the target's coordinates cannot be put together as draws: known before the first draw is made.
pub(super) fn check_layout<T: Target + ?Sized>(target: &T, variables: &[Variable], n_chains: usize) -> Result<(), Error> {
    let n_columns = variables.iter().map(Variable::size).sum();
    let group = Group::new(variables.to_vec(), Array3::zeros((n_chains, 0, n_columns)))?;
    let mut draws = Draws::new(group, SampleStats::new(n_chains, 0), Attributes::new("", 0))?;
    for (dimension, coordinates) in target.coords() {
        draws = draws.with_coords(&dimension, coordinates)?;
    }
    Ok(())
}

/// Parameters, and generated quantities after them.
fn posterior<C: AdaptiveChain, T: Target + ?Sized>(target: &T, chains: &[Chain<C>], n: usize) -> Result<Group, Error> {
    let mut variables = target.variables()?;
    let n_parameters: usize = variables.iter().map(Variable::size).sum();
    let first = chains.iter().flat_map(|c| &c.made.generated).find(|values| !values.is_empty());
    let generated: Vec<Variable> =
        first.into_iter().flat_map(|values| values.iter().map(|(v, _)| target.label(v.clone()))).collect();
    let n_generated: usize = generated.iter().map(Variable::size).sum();
    variables.extend(generated.iter().cloned());
    let mut values = Array3::from_elem((chains.len(), n, n_parameters + n_generated), f64::NAN);
    for (c, chain) in chains.iter().enumerate() {
        for draw in 0..n {
            let mut row = values.slice_mut(ndarray::s![c, draw, ..]);
            let constrained = &chain.made.constrained[draw * n_parameters..(draw + 1) * n_parameters];
            for (k, &x) in constrained.iter().enumerate() {
                row[k] = x;
            }
            let Some(quantities) = chain.made.generated.get(draw) else { continue };
            let mut at = n_parameters;
            for variable in &generated {
                // A quantity that a draw lacks, or gives in another shape, stays NaN.
                if let Some(x) = quantities.get(&variable.name).filter(|x| x.len() == variable.size()) {
                    x.iter().enumerate().for_each(|(k, &x)| row[at + k] = x);
                }
                at += variable.size();
            }
        }
    }
    Group::new(variables, values)
}

fn log_likelihood<C: AdaptiveChain>(chains: &[Chain<C>], n: usize) -> Result<Group, Error> {
    let n_observations = chains.first().map_or(0, |c| c.made.log_likelihood.len() / c.n_draws().max(1));
    let values = Array3::from_shape_fn((chains.len(), n, n_observations), |(c, draw, k)| {
        chains[c].made.log_likelihood.get(draw * n_observations + k).copied().unwrap_or(f64::NAN)
    });
    Group::new(vec![Variable::new("log_likelihood", &[n_observations])], values)
}

/// Log densities and transitions of one chain.
type History<'a> = (&'a [f64], &'a [Transition]);

fn sample_stats(chains: &[History<'_>], n: usize) -> Result<SampleStats, Error> {
    let shape = (chains.len(), n);
    let float = |f: &dyn Fn(&Transition) -> f64| StatValues::Float(Array2::from_shape_fn(shape, |(c, i)| f(&chains[c].1[i])));
    let integer = |f: &dyn Fn(&Transition) -> u32| {
        StatValues::Integer(Array2::from_shape_fn(shape, |(c, i)| i64::from(f(&chains[c].1[i]))))
    };
    let flag = |f: &dyn Fn(&Transition) -> bool| StatValues::Flag(Array2::from_shape_fn(shape, |(c, i)| f(&chains[c].1[i])));
    let mut stats = SampleStats::new(chains.len(), n);
    stats.push("lp", StatValues::Float(Array2::from_shape_fn(shape, |(c, i)| chains[c].0[i])))?;
    stats.push("acceptance_rate", float(&|t| t.acceptance_rate))?;
    stats.push("step_size", float(&|t| t.step_size))?;
    stats.push("n_steps", integer(&|t| t.n_evaluations))?;
    stats.push("diverging", flag(&|t| t.diverging))?;
    let hamiltonian = chains.iter().all(|(_, transitions)| transitions.iter().all(|t| t.energy.is_finite()));
    if hamiltonian {
        stats.push("energy", float(&|t| t.energy))?;
        stats.push("energy_error", float(&|t| t.energy_error))?;
    }
    if chains.iter().any(|(_, transitions)| transitions.iter().any(|t| t.tree_depth > 0)) {
        stats.push("tree_depth", integer(&|t| t.tree_depth))?;
        stats.push("reached_max_treedepth", flag(&|t| t.reached_max_tree_depth))?;
    }
    Ok(stats)
}

fn attributes<S: Sampler>(sampler: &S, run: &Run, chains: &[Chain<S::Chain>], n: usize) -> Attributes {
    let mut attributes = Attributes::new(sampler.name(), run.seed);
    attributes.n_warmup = run.warmup_to_make();
    attributes.settings = sampler.settings();
    attributes.stopped_early = n < run.n_draws;
    for chain in chains {
        let tuning = chain.tuning();
        attributes.step_sizes.push(tuning.step_size);
        attributes.inverse_mass_matrices.push(tuning.metric.variances());
        attributes.warmup_seconds.push(chain.made.warmup_seconds);
        attributes.sampling_seconds.push(chain.made.sampling_seconds);
        let count = |all: &[Transition]| all.iter().map(|t| u64::from(t.n_evaluations + t.n_tuning_evaluations)).sum::<u64>();
        attributes
            .warmup_gradient_evaluations
            .push(u64::from(chain.made.start_evaluations) + count(&chain.made.warmup_transitions));
        attributes.sampling_gradient_evaluations.push(count(&chain.made.transitions[..n]));
    }
    attributes
}
