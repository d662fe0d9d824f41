//! Whole runs of NUTS against their gradient evaluations alone, in turns on the same machine.
//!
//! `cargo bench -p posterity-benches --bench nuts`. A run is one chain with warm-up, start search and collection of the draws; its floor
//! is as many gradient evaluations of the same target, as the run itself counts them, at its own draws. A ratio of 1 would be nothing
//! but gradients; "ns over" is the sampler's own time per gradient evaluation.

use std::time::Instant;

use posterity::mcmc::{Nuts, Run, Sampler};
use posterity::model::zoo::{EightSchoolsNoncentered, Garch11, LogisticRegression};
use posterity::model::{Density, Evaluator, Target, Values, Variable, WithGradient};
use posterity::rng::Stream;
use posterity::{DensityError, Error};
use posterity_benches::filter;
use posterity_benches::hand_written::dot;
use posterity_benches::stopwatch::{compare_within, median};

/// Seconds per row of the table.
const BUDGET: f64 = 3.0;
const N_WARMUP: usize = 300;
const N_DRAWS: usize = 300;
/// Draws at which the gradient is evaluated.
const N_POSITIONS: usize = 50;

/// Independent normals with standard deviations from 1/2 to 2: a gradient that costs next to nothing.
struct Normal {
    precisions: Vec<f64>,
}

impl Normal {
    fn new(dim: usize) -> WithGradient<Self> {
        let sd = |i: usize| 4.0_f64.powf(i as f64 / (dim - 1) as f64 - 0.5);
        WithGradient(Self { precisions: (0..dim).map(|i| sd(i).powi(-2)).collect() })
    }
}

impl Density for Normal {
    fn dim(&self) -> usize {
        self.precisions.len()
    }

    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        for ((g, q), p) in gradient.iter_mut().zip(position).zip(&self.precisions) {
            *g = -p * q;
        }
        Ok(0.5 * dot(gradient, position))
    }
}

/// A target with its name in the table.
type Named = (&'static str, Box<dyn Target>);

fn targets() -> Result<Vec<Named>, Error> {
    let mut rng = Stream::new(1);
    let (mut variance, mut deviation) = (1.0, 0.0_f64);
    let series = (0..200).map(|_| {
        variance = 0.5 + 0.4 * deviation * deviation + 0.4 * variance;
        deviation = f64::sqrt(variance) * rng.normal();
        5.0 + deviation
    });
    let garch = Garch11::new(series.collect(), 0.5)?;
    Ok(vec![
        ("eight_schools_noncentered", Box::new(EightSchoolsNoncentered::rubin())),
        ("garch11, 200 values", Box::new(garch)),
        ("logistic 1000 x 50", Box::new(LogisticRegression::simulated(1000, 50, 1)?)),
        ("normal, 100", Box::new(Normal::new(100))),
        ("normal, 1000", Box::new(Normal::new(1000))),
    ])
}

fn run(seed: u64) -> Run {
    Run::new(seed).chains(1).threads(1).warmup(N_WARMUP).draws(N_DRAWS)
}

/// Unconstrained positions of draws of the posterior, evenly spaced.
fn positions(target: &dyn Target, draws: &posterity::draws::Draws) -> Result<Vec<Vec<f64>>, Error> {
    // The parameters come first; generated quantities follow.
    let variables = target.variables()?;
    let rows = draws.posterior().values();
    let unconstrained = |draw: usize| {
        let mut values = Values::new();
        let mut column = 0;
        for variable @ Variable { name, shape, .. } in &variables {
            let entries = (column..column + variable.size()).map(|c| rows[[0, draw, c]]).collect();
            values.set_array(name, shape, entries);
            column += variable.size();
        }
        target.unconstrain(&values)
    };
    (0..draws.n_draws()).step_by(N_DRAWS / N_POSITIONS).map(unconstrained).collect()
}

fn evaluate(evaluator: &mut dyn Evaluator, positions: &[Vec<f64>], n: u64, gradient: &mut [f64]) -> f64 {
    let values = positions.iter().cycle().take(n as usize).map(|q| evaluator.log_density_gradient(q, gradient));
    values.map(|value| value.unwrap_or(f64::NAN)).sum()
}

fn main() -> Result<(), Error> {
    let filter = filter();
    println!("{:<27} {:>29}   {:^17}   {:^17}", "", "", "whole run", "draws only");
    println!(
        "{:<27} {:>9} {:>9} {:>9}   {:>7} {:>9}   {:>7} {:>9}",
        "target", "ms", "gradients", "ns each", "ratio", "ns over", "ratio", "ns over"
    );
    for (name, target) in targets()?.into_iter().filter(|(name, _)| name.contains(&filter)) {
        let target = target.as_ref();
        let draws = Nuts::default().sample(target, run(1))?;
        let n = draws.gradient_evaluations();
        let n_sampling = draws.attributes().sampling_gradient_evaluations.iter().sum::<u64>();
        let positions = positions(target, &draws)?;
        let mut evaluator = target.evaluator()?;
        let mut gradient = vec![0.0; evaluator.dim()];
        // The share of the draws in the time of each run.
        let mut shares = Vec::new();
        let mut failure = None;
        // The same seed: every run makes the same evaluations.
        let comparison = compare_within(
            BUDGET,
            || {
                let start = Instant::now();
                match Nuts::default().sample(target, run(1)) {
                    Ok(draws) => {
                        let sampling: f64 = draws.attributes().sampling_seconds.iter().sum();
                        shares.push(sampling / start.elapsed().as_secs_f64());
                        sampling
                    }
                    Err(error) => {
                        failure = Some(error);
                        f64::NAN
                    }
                }
            },
            || evaluate(evaluator.as_mut(), &positions, n, &mut gradient),
        );
        if let Some(error) = failure {
            return Err(error);
        }
        let one = comparison.second * 1e3 / n as f64;
        let sampling = comparison.ratio * median(shares) * n as f64 / n_sampling as f64;
        println!(
            "{name:<27} {:>9.2} {n:>9} {one:>9.0}   {:>7.2} {:>9.0}   {:>7.2} {:>9.0}",
            comparison.first / 1e3,
            comparison.ratio,
            (comparison.ratio - 1.0) * one,
            sampling,
            (sampling - 1.0) * one,
        );
    }
    Ok(())
}
