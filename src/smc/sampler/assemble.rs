//! From the last cloud to a result.

use ndarray::{Array2, Array3};

use super::config::{MoveKernel, Moves, Schedule, SmcSampler};
use super::particles::Particles;
use super::result::SamplerResult;
use crate::draws::{Attributes, Draws, Group, SampleStats, StatValues};
use crate::error::Error;
use crate::model::{Target, Variable};
use crate::parallel::Threads;
use crate::rng::{Purpose, Stream};
use crate::smc::{Population, Smc, SmcConfig};
use crate::weights::{Resampler, Scheme, Weights};

/// Makes all steps of a sampler, and puts the result together.
pub(super) fn run<T: Target + ?Sized>(sampler: &SmcSampler, target: &T, seed: u64) -> Result<SamplerResult, Error> {
    let path = sampler.path(target)?;
    let config = SmcConfig::new(sampler.n_particles, seed)
        .scheme(sampler.scheme)
        .ess_threshold(sampler.ess_target)
        .threads(sampler.threads.clone());
    let mut engine = Smc::new(path, config)?;
    let summary = engine.run()?;
    let view = engine.view();
    let waste_free = matches!(sampler.moves, Moves::WasteFree { .. });
    let stages = engine.model().stages().to_vec();
    let variance = if waste_free {
        stages.iter().map(|s| s.log_factor_variance).sum::<Option<f64>>()
    } else {
        Some(summary.relative_variance).filter(|v| *v > 0.0 && summary.n_families > 1)
    };
    let draws = draws(sampler, target, seed, view.population, view.weights)?;
    Ok(SamplerResult {
        draws,
        log_evidence: summary.log_evidence,
        log_evidence_se: variance.map(f64::sqrt),
        n_failed_draws: engine.model().n_failed_draws(),
        n_evaluations: sampler.n_particles as u64 + stages.iter().map(|s| s.n_evaluations).sum::<u64>(),
        n_families: summary.n_families,
        stages,
        engine: summary,
    })
}

fn draws<T: Target + ?Sized>(
    sampler: &SmcSampler,
    target: &T,
    seed: u64,
    particles: &Particles,
    weights: Weights<'_>,
) -> Result<Draws, Error> {
    let n = particles.len();
    // Several groups, so that R-hat has something to compare.
    let n_chains = if n.is_multiple_of(4) { 4 } else { 1 };
    let n_draws = n / n_chains;
    let slots = equal_weight_slots(weights, n, seed)?;
    let mut variables = target.variables()?;
    let n_parameters: usize = variables.iter().map(Variable::size).sum();
    let mut constrained = Vec::with_capacity(n_parameters);
    let mut rows = Vec::new();
    let mut generated: Vec<Variable> = Vec::new();
    for (draw, &slot) in slots.iter().enumerate() {
        let position = particles.position(slot as usize);
        constrained.clear();
        target.constrain(position, &mut constrained)?;
        rows.extend_from_slice(&constrained);
        let mut rng = Stream::keyed(seed, Purpose::Generated, draw as u64, 0);
        let quantities = target.generated(position, &mut rng)?;
        if draw == 0 {
            generated = quantities.iter().map(|(variable, _)| target.label(variable.clone())).collect();
        }
        for variable in &generated {
            // A quantity that a draw lacks, or gives in another shape, is NaN.
            match quantities.get(&variable.name).filter(|x| x.len() == variable.size()) {
                Some(entries) => rows.extend_from_slice(entries),
                None => rows.resize(rows.len() + variable.size(), f64::NAN),
            }
        }
    }
    variables.extend(generated);
    let n_columns: usize = variables.iter().map(Variable::size).sum();
    let found = rows.len();
    let values = Array3::from_shape_vec((n_chains, n_draws, n_columns), rows).map_err(|_| Error::Dimension {
        what: "entries of the draws",
        expected: n * n_columns,
        found,
    })?;
    let lp = Array2::from_shape_fn((n_chains, n_draws), |(chain, draw)| {
        let slot = slots[chain * n_draws + draw] as usize;
        particles.log_prior[slot] + particles.log_likelihood[slot]
    });
    let mut stats = SampleStats::new(n_chains, n_draws);
    stats.push("lp", StatValues::Float(lp))?;
    let mut draws = Draws::new(Group::new(variables, values)?, stats, attributes(sampler, seed))?;
    for (dimension, coordinates) in target.coords() {
        draws = draws.with_coords(&dimension, coordinates)?;
    }
    Ok(draws)
}

/// Every slot once if the weights are equal, otherwise as many slots, resampled.
fn equal_weight_slots(weights: Weights<'_>, n: usize, seed: u64) -> Result<Vec<u32>, Error> {
    let mut slots: Vec<u32> = (0..n as u32).collect();
    if weights.relative_weights.iter().any(|&w| w != weights.relative_weights[0]) {
        // Step 2⁶⁴ - 1 is none of the engine's.
        let mut rng = Stream::keyed(seed, Purpose::Resampling, u64::MAX, 0);
        let done =
            Resampler::default().resample(Scheme::Systematic, weights.relative_weights, &mut slots, &mut rng, &Threads::serial());
        done.map_err(|source| Error::Sampling { source: Box::new(source) })?;
    }
    Ok(slots)
}

fn attributes(sampler: &SmcSampler, seed: u64) -> Attributes {
    let name = match sampler.schedule {
        Schedule::Tempering | Schedule::Ladder(_) => "smc_tempering",
        Schedule::Data { .. } => "smc_data_tempering",
    };
    let kernel = match sampler.kernel {
        MoveKernel::RandomWalk => "random_walk",
        MoveKernel::Mala => "mala",
        MoveKernel::Hmc(_) => "hmc",
        MoveKernel::Nuts(_) => "nuts",
    };
    Attributes::new(name, seed)
        .with_setting("n_particles", sampler.n_particles)
        .with_setting("ess_target", sampler.ess_target)
        .with_setting("kernel", kernel)
        .with_setting("moves", format!("{:?}", sampler.moves))
        .with_setting("resampling", format!("{:?}", sampler.scheme))
}
