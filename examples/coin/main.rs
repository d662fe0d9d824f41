//! Moves a cloud of particles to a target, and prints one JSON line.
//!
//! ```text
//! cargo run --release --example coin -- examples/data/coin_funnel.json
//! echo '{"target": "rosenbrock", "n_particles": 20}' | cargo run --release --example coin
//! cargo run --release --example coin -- --help        # the schemas of input and output
//! ```
//! The line holds mean and standard deviation of every variable, the kernel Stein discrepancy of the cloud, its energy distance from exact draws
//! where there is a sampler of them, beside that of as many exact draws, time per step and the warnings in words.

mod input;
mod schema;
mod target;

use std::process::ExitCode;

use input::{FlowName, Input};
use ndarray::ArrayView2;
use posterity::diagnostics::{energy_distance, ksd, scores_of};
use posterity::model::Target;
use posterity::parallel::Threads;
use posterity::parvi::{Blob, CoordinateSvgd, Flow, Gfsd, Ksdd, Lawgd, LawgdConfig, ParticleFlow, Particles, Svgd};
use posterity::rng::Stream;
use serde_json::{Map, Value, json};
use target::NamedTarget;

type AnyError = Box<dyn std::error::Error>;

/// Exact draws that the cloud is compared with.
const N_EXACT: usize = 2000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--help" | "-h"] => {
            println!("{}", schema::SCHEMA);
            return ExitCode::SUCCESS;
        }
        [] | ["-"] => Input::read(None).and_then(|input| report(&input)),
        [path] => Input::read(Some(path)).and_then(|input| report(&input)),
        _ => Err("usage: coin [INPUT.json], or coin --help".into()),
    };
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(input: &Input) -> Result<Value, AnyError> {
    input.check()?;
    let target = NamedTarget::of(input)?;
    let particles = run(input, target.target())?;
    let positions = particles.positions();
    let scores = scores_of(target.target(), positions)?;
    let mut line = json!({
        "target": target.name(),
        "flow": particles.flow(),
        "step_rule": particles.step_rule(),
        "n_particles": positions.nrows(),
        "dim": positions.ncols(),
        "n_iterations": particles.n_iterations(),
        "seed": input.seed,
        "variables": variables(&target, &particles),
        "ksd": ksd(positions, scores.view())?,
        "ms_per_step": 1e3 * particles.seconds() / particles.n_iterations().max(1) as f64,
        "n_evaluations": particles.n_evaluations(),
        "largest_move": particles.largest_move(),
        "warnings": particles.warnings().iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let mut rng = Stream::new(input.seed);
    if let Some(exact) = target.exact_draws(N_EXACT, &mut rng) {
        let distance = |x: ArrayView2<'_, f64>| energy_distance(x, exact.view());
        line["energy_distance"] = json!(distance(positions)?);
        if let Some(as_many) = target.exact_draws(positions.nrows(), &mut rng) {
            line["energy_distance_exact_draws"] = json!(distance(as_many.view())?);
        }
    }
    Ok(line)
}

/// Mean and standard deviation by name, beside those of the reference where there is one.
fn variables(target: &NamedTarget, particles: &Particles) -> Value {
    let mut all = Map::new();
    for row in particles.summary().rows() {
        let mut entry = json!({ "mean": row.mean, "sd": row.sd });
        if let Some((mean, sd)) = target.reference(&row.name) {
            entry["reference_mean"] = json!(mean);
            entry["reference_sd"] = json!(sd);
        }
        all.insert(row.name.clone(), entry);
    }
    Value::Object(all)
}

fn run(input: &Input, target: &dyn Target) -> Result<Particles, AnyError> {
    match input.flow {
        FlowName::Svgd => run_flow(input, Svgd::new(input.kernel()), target),
        FlowName::CoordinateSvgd => run_flow(input, CoordinateSvgd::new(input.kernel()), target),
        FlowName::Blob => run_flow(input, Blob::new(input.rbf_bandwidth()?), target),
        FlowName::Gfsd => run_flow(input, Gfsd::new(input.rbf_bandwidth()?), target),
        FlowName::Ksdd => run_flow(input, Ksdd::new(input.kernel()), target),
        FlowName::Lawgd => run_flow(input, Lawgd::new(target, &LawgdConfig::default())?, target),
    }
}

fn run_flow<F: Flow + Clone>(input: &Input, flow: F, target: &dyn Target) -> Result<Particles, AnyError> {
    let threads = input.threads.map_or(Ok(Threads::shared()), Threads::new)?;
    let mut flow = ParticleFlow::with_rule(flow, input.step_rule.build())
        .n_particles(input.n_particles)
        .n_iterations(input.n_iterations)
        .start(input.start()?)
        .threads(threads);
    if let Some(size) = input.minibatch {
        flow = flow.minibatch(size);
    }
    Ok(flow.run(target, input.seed)?)
}
