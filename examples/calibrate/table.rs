//! Which test sees which error: p-values on the Gaussian model, as Markdown.

use std::fmt::Write as _;

use posterity::diagnostics::{CalibrationRun, ModelProblem, Sbc, SbcReport, Tarp};
use posterity::model::Values;
use posterity::rng::Stream;

use super::models::Regression;
use super::settings::{SamplerName, Settings};
use super::{AnyError, observed, samplers};

const SAMPLERS: [(SamplerName, &str); 6] = [
    (SamplerName::Exact, "exact"),
    (SamplerName::Narrow, "standard deviations × 0.7"),
    (SamplerName::Wide, "standard deviations × 1.4"),
    (SamplerName::Shift, "shifted by 0.5 standard deviations"),
    (SamplerName::Prior, "prior instead of posterior"),
    (SamplerName::Correlation, "correlation 0.9 added"),
];

pub(crate) fn markdown(settings: &Settings) -> Result<String, AnyError> {
    let mut text = String::new();
    for dim in [2, 10] {
        writeln!(text, "## {dim} dimensions\n")?;
        writeln!(
            text,
            "| draws | TARP, references independent of the data | TARP, held-out draws | TARP, data + noise | TARP, by likelihood | SBC, coordinates | SBC, log likelihood | SBC, products |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|---|---|")?;
        for (sampler, name) in SAMPLERS {
            let cells = row(&Settings { dim, sampler, ..settings.clone() })?;
            writeln!(text, "| {name} | {} |", cells.map(p_text).join(" | "))?;
        }
        writeln!(text)?;
    }
    Ok(text.trim_end().to_owned())
}

fn row(settings: &Settings) -> Result<[f64; 7], AnyError> {
    let dim = settings.dim;
    let model = Regression::identity(dim);
    let problem = ModelProblem::new(model.clone(), |values: &Values| Ok(model.with_responses(observed(values))))?;
    let mut run = CalibrationRun::new(settings.seed).simulations(settings.simulations).draws(settings.draws);
    if let Some(threads) = settings.threads {
        run = run.threads(threads);
    }
    let simulations = run.run(&problem, |model, seed| samplers::draw(settings, model, seed).map(|sampled| sampled.draws))?;
    let sbc = Sbc::new().test(&problem, &simulations)?;
    let tarp = |tarp: Tarp<'_, Regression>| tarp.test(&problem, &simulations).map(|report| report.p_value());
    let independent = |_: &Regression, rng: &mut Stream| (0..dim).map(|_| rng.normal()).collect();
    let near_data = |model: &Regression, rng: &mut Stream| model.responses().iter().map(|y| y + rng.normal()).collect();
    let (mut coordinates, mut products) = (Vec::new(), Vec::new());
    for row in sbc.rows() {
        match row.name.as_str() {
            "log likelihood" => {}
            name if name.contains('*') => products.push(row.p_value),
            _ => coordinates.push(row.p_value),
        }
    }
    Ok([
        tarp(Tarp::new().references(independent))?,
        tarp(Tarp::new().held_out_references())?,
        tarp(Tarp::new().references(near_data))?,
        tarp(Tarp::new())?,
        bonferroni(&coordinates),
        of_likelihood(&sbc),
        bonferroni(&products),
    ])
}

fn of_likelihood(sbc: &SbcReport) -> f64 {
    sbc.row("log likelihood").map_or(f64::NAN, |row| row.p_value)
}

fn bonferroni(p_values: &[f64]) -> f64 {
    (p_values.len() as f64 * p_values.iter().copied().fold(1.0, f64::min)).min(1.0)
}

/// Two digits; bold where the test rejects at 0.001.
fn p_text(p: f64) -> String {
    match p {
        _ if p >= 0.01 => format!("{p:.2}"),
        _ if p >= 1e-3 => format!("{p:.3}"),
        _ if p < 1e-99 => "**< 1e-99**".to_owned(),
        _ => format!("**{p:.0e}**"),
    }
}
