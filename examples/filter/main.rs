//! Filters a series with one of four state-space models, and prints one JSON line.
//!
//! ```text
//! cargo run --release --example filter -- examples/data/filter_lg1d.json
//! cargo run --release --example filter -- --help        # the schema of the input
//! ```
//! The line holds mean and variance of the log-evidence over repetitions, effective sample size, resampling steps and speed; where a Kalman
//! filter knows the answer, that too, and mean and standard error of Ẑ/Z, which is 1 for a correct filter.

mod input;
mod models;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use input::{Algorithm, Input};
use models::{AnyModel, kalman_log_evidence};
use posterity::model::LookAhead;
use posterity::model::zoo::Ar1;
use posterity::parallel::Threads;
use posterity::smc::{Auxiliary, Bootstrap, FeynmanKac, Guided, Smc, SmcConfig, SmcSummary};
use serde_json::{Value, json};

type AnyError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--help" | "-h"] => {
            println!("{}", input::SCHEMA);
            return ExitCode::SUCCESS;
        }
        [path] => Input::read(&PathBuf::from(path)).and_then(|input| report(&input)),
        _ => Err("usage: filter INPUT.json, or filter --help".into()),
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
    let model = AnyModel::of(input)?;
    let start = Instant::now();
    let runs = match &model {
        AnyModel::Lg1d(model) => lg1d_runs(input, model)?,
        AnyModel::Sv(model) => runs(input, model)?,
        AnyModel::Track2d(model) => runs(input, model)?,
        AnyModel::Bearings(model) => runs(input, model)?,
    };
    let seconds = start.elapsed().as_secs_f64();
    let n_steps = runs.first().map_or(0, |run| run.n_steps);
    let mean = |f: &dyn Fn(&SmcSummary) -> f64| runs.iter().map(f).sum::<f64>() / runs.len() as f64;
    let log_evidence = mean(&|run| run.log_evidence);
    let variance = |f: &dyn Fn(&SmcSummary) -> f64, mean: f64| match runs.len() {
        1 => Value::Null,
        n => json!(runs.iter().map(|run| (f(run) - mean).powi(2)).sum::<f64>() / (n - 1) as f64),
    };
    let mut line = json!({
        "model": input.model, "algorithm": input.algorithm, "scheme": input.scheme, "n_particles": input.n_particles,
        "n_steps": n_steps, "repetitions": runs.len(), "seed": input.seed,
        "log_evidence_mean": log_evidence,
        "log_evidence_variance": variance(&|run| run.log_evidence, log_evidence),
        "ess_last": mean(&|run| run.ess),
        "ess_least": mean(&|run| run.least_ess),
        "resampling_steps": mean(&|run| run.n_resampled as f64),
        "ns_per_particle_step": 1e9 * seconds / (runs.len() * n_steps * input.n_particles) as f64,
    });
    if let Some(exact) = kalman_log_evidence(&model)? {
        let ratio = |run: &SmcSummary| (run.log_evidence - exact).exp();
        let mean_ratio = mean(&ratio);
        let n = runs.len() as f64;
        let se = variance(&ratio, mean_ratio).as_f64().map(|v| (v / n).sqrt());
        line["log_evidence_exact"] = json!(exact);
        line["evidence_ratio_mean"] = json!(mean_ratio);
        line["evidence_ratio_se"] = json!(se);
    }
    Ok(line)
}

fn lg1d_runs(input: &Input, model: &Ar1) -> Result<Vec<SmcSummary>, AnyError> {
    match input.algorithm {
        Algorithm::Guided => run_all(input, Guided(model)),
        Algorithm::AuxiliaryGuided => run_all(input, Auxiliary(Guided(model))),
        Algorithm::Bootstrap | Algorithm::Auxiliary => runs(input, model),
    }
}

fn runs<M: LookAhead>(input: &Input, model: &M) -> Result<Vec<SmcSummary>, AnyError> {
    match input.algorithm {
        Algorithm::Bootstrap => run_all(input, Bootstrap(model)),
        Algorithm::Auxiliary => run_all(input, Auxiliary(Bootstrap(model))),
        Algorithm::Guided | Algorithm::AuxiliaryGuided => {
            Err("a guided filter needs a proposal, which only lg1d has here".into())
        }
    }
}

fn run_all<M: FeynmanKac>(input: &Input, model: M) -> Result<Vec<SmcSummary>, AnyError> {
    let threads = input.threads.map_or(Ok(Threads::shared()), Threads::new)?;
    let config =
        SmcConfig::new(input.n_particles, input.seed).scheme(input.scheme).ess_threshold(input.ess_threshold).threads(threads);
    let mut smc = Smc::new(model, config)?;
    let mut run = |repetition: usize| {
        smc.restart(input.seed.wrapping_add(repetition as u64));
        smc.run()
    };
    Ok((0..input.repetitions).map(&mut run).collect::<Result<_, _>>()?)
}
