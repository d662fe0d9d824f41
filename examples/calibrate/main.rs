//! Checks a sampler by simulation-based calibration and tests with random points, and prints one JSON line.
//!
//! ```text
//! cargo run --release --example calibrate -- --sampler nuts --model eight_schools
//! cargo run --release --example calibrate -- --sampler narrow --model gaussian --dim 5 --simulations 500
//! cargo run --release --example calibrate -- --sampler advi_mean_field --model linear_regression --weighted false
//! cargo run --release --example calibrate -- settings.json
//! cargo run --release --example calibrate -- --table           # exact and five wrong samplers, as Markdown
//! cargo run --release --example calibrate -- --help            # the schemas of settings and output
//! ```
//! The samplers `narrow`, `wide`, `shift`, `prior` and `correlation` are wrong on purpose.

mod models;
mod samplers;
mod schema;
mod settings;
mod table;

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use models::{CalibratedModel, Regression, eight_schools};
use posterity::Error;
use posterity::diagnostics::{CalibrationRun, CalibrationWarning, ModelProblem, Sbc, SbcReport, Simulations, Tarp, TarpReport};
use posterity::model::Values;
use serde_json::{Map, Value, json};
use settings::{ModelName, Settings};

type AnyError = Box<dyn std::error::Error>;

/// Deviations are put into words below this adjusted p-value.
const CONSPICUOUS: f64 = 0.01;
/// Weights are unreliable above this k̂.
const MOST_PARETO_K: f64 = 0.7;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{}", schema::SCHEMA);
        return ExitCode::SUCCESS;
    }
    let is_table = arguments.iter().any(|argument| argument == "--table");
    let others = arguments.into_iter().filter(|argument| argument != "--table");
    let result = Settings::read(others).and_then(|settings| match is_table {
        true => table::markdown(&settings),
        false => report(&settings).map(|line| line.to_string()),
    });
    match result {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(settings: &Settings) -> Result<Value, AnyError> {
    let start = Instant::now();
    let (simulations, sbc, tarp) = match settings.model {
        ModelName::Gaussian => check_regression(settings, &Regression::identity(settings.dim)),
        ModelName::LinearRegression => check_regression(settings, &Regression::new(settings.dim, settings.observations)),
        ModelName::EightSchools => check(settings, eight_schools(vec![0.0; 8])?, |values| eight_schools(observed(values))),
    }?;
    let p_value = (2.0 * sbc.p_value().min(tarp.p_value())).min(1.0);
    let mut warnings: Vec<&CalibrationWarning> = sbc.warnings().iter().collect();
    warnings.extend(tarp.warnings().iter().filter(|warning| !sbc.warnings().contains(warning)));
    Ok(json!({
        "model": settings.model, "sampler": settings.sampler,
        "weighted": settings.sampler.is_variational().then_some(settings.weighted), "dim": simulations.dim,
        "simulations": sbc.n_simulations(), "draws": sbc.n_draws(), "seed": settings.seed,
        "sbc": { "p_value": sbc.p_value(), "functions": functions(&sbc) },
        "tarp": { "p_value": tarp.p_value(), "nearer_draws": tarp.uniforms().iter().sum::<f64>() / tarp.uniforms().len() as f64 },
        "p_value": p_value,
        "verdict": if p_value < settings.level { "rejected" } else { "not rejected" },
        "failures": simulations.failures,
        "ess_per_draw": simulations.ess_per_draw,
        "pareto_k": simulations.pareto_k,
        "warnings": warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "seconds": start.elapsed().as_secs_f64(),
    }))
}

/// The simulated responses.
fn observed(values: &Values) -> Vec<f64> {
    values.get("y").unwrap_or(&[]).to_vec()
}

fn functions(sbc: &SbcReport) -> Value {
    let mut all = Map::new();
    for row in sbc.rows() {
        let conspicuous = row.p_adjusted < CONSPICUOUS;
        let entry = json!({
            "p_chi_squared": row.p_chi_squared, "p_ecdf": row.p_ecdf, "p_adjusted": row.p_adjusted,
            "deviation": conspicuous.then(|| row.deviation.to_string()),
        });
        all.insert(row.name.clone(), entry);
    }
    Value::Object(all)
}

/// What the report says of the simulations themselves.
struct Outline {
    dim: usize,
    failures: Value,
    ess_per_draw: Option<f64>,
    pareto_k: Option<Value>,
}

impl Outline {
    fn of<D: Sync>(simulations: &Simulations<D>, pareto_k: Option<Value>) -> Self {
        let failures = simulations.failures().iter();
        Self {
            dim: simulations.parameter_names().len(),
            failures: failures.map(|f| json!({ "simulation": f.simulation, "error": f.error.to_string() })).collect(),
            ess_per_draw: simulations.ess_per_draw().map(|ess| ess.into_iter().fold(f64::INFINITY, f64::min)),
            pareto_k,
        }
    }
}

/// k̂ over the simulations, of which some have none.
fn pareto_k(mut found: Vec<f64>, n_simulations: usize) -> Value {
    found.sort_unstable_by(f64::total_cmp);
    let median = found.get(found.len() / 2);
    let n_above = found.iter().filter(|k| **k > MOST_PARETO_K).count();
    json!({ "median": median, "above_limit": n_above as f64 / n_simulations as f64 })
}

fn check_regression(settings: &Settings, model: &Regression) -> Result<(Outline, SbcReport, TarpReport), AnyError> {
    check(settings, model.clone(), |values| Ok(model.with_responses(observed(values))))
}

fn check<M: CalibratedModel>(
    settings: &Settings,
    model: M,
    with_data: impl Fn(&Values) -> Result<M, Error> + Sync,
) -> Result<(Outline, SbcReport, TarpReport), AnyError> {
    let problem = ModelProblem::new(model, with_data)?;
    let mut run = CalibrationRun::new(settings.seed)
        .simulations(settings.simulations)
        .draws(settings.draws)
        .allow_failures(settings.allow_failures)
        .thin();
    if let Some(threads) = settings.threads {
        run = run.threads(threads);
    }
    let shapes = Mutex::new(Vec::new());
    let simulations = run.run(&problem, |model, seed| {
        let sampled = samplers::draw(settings, model, seed)?;
        shapes.lock().unwrap_or_else(PoisonError::into_inner).extend(sampled.pareto_k);
        Ok(sampled.draws)
    })?;
    let sbc = Sbc::new().test(&problem, &simulations)?;
    let tarp = Tarp::new().test(&problem, &simulations)?;
    let shapes = shapes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let pareto_k = settings.sampler.is_variational().then(|| pareto_k(shapes, settings.simulations));
    Ok((Outline::of(&simulations, pareto_k), sbc, tarp))
}
