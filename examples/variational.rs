//! One posterior by six variational methods and by NUTS, side by side: how far each is off, and what its k-hat says.
//!
//! ```text
//! cargo run --release --example variational [-- --seed 1]
//! ```
//! The model is the eight schools in the non-centred form, whose posterior is skewed: mu and tau as the approximation q has them, and by its weighted draws, beside those of reference draws
//! (posteriordb, 10,000 independent draws). An importance-weighted bound makes the worst q and the best weighted draws; k-hat tells which weighted draws to trust. A bridge to an
//! SMC sampler, or chains started at the draws, take over where no k-hat is good. Heavy tails go with an importance-weighted bound only: under a Student t distribution of log tau the
//! evidence lower bound of this model is -∞.

#[path = "reference/mod.rs"]
#[allow(dead_code)]
mod reference;

use posterity::model::zoo::EightSchoolsNoncentered;
use posterity::prelude::*;
use posterity::vi::{Bam, Fit, FullRank, MeanField, Objective, Pathfinder, StudentT, Vi};

/// Means and standard deviations of the reference draws.
const REFERENCE: [(&str, f64, f64); 2] = [("mu", 4.4105, 3.3093), ("tau", 3.6021, 3.1985)];

fn print_row(name: &str, k_hat: Option<f64>, moments: &[(f64, f64)], n_gradients: Option<u64>) {
    let k_hat = k_hat.map_or(String::new(), |k| format!("{k:.2}"));
    let n_gradients = n_gradients.map_or(String::new(), |n| n.to_string());
    let cells: String = moments.iter().map(|(mean, sd)| format!("{mean:>8.2} {sd:>6.2}")).collect();
    let worst = moments.iter().zip(REFERENCE).map(|((mean, _), (_, known, sd))| (mean - known).abs() / sd).fold(0.0, f64::max);
    println!("{name:<60}{k_hat:>6}{cells}{worst:>10.3}{n_gradients:>12}");
}

/// Two rows: q as it is, and its weighted draws.
fn print_fit(fit: &Fit) {
    let summary = fit.summary();
    let rows = || REFERENCE.iter().filter_map(|(name, _, _)| summary.row(name));
    let raw: Vec<_> = rows().map(|row| (row.raw_mean, row.raw_sd)).collect();
    let weighted: Vec<_> = rows().map(|row| (row.mean, row.sd)).collect();
    print_row(fit.method(), fit.pareto_k(), &raw, Some(fit.n_gradient_evaluations()));
    print_row("    weighted draws", None, &weighted, None);
}

fn main() -> Result<(), posterity::Error> {
    let seed = reference::seed(1)?;
    let model = EightSchoolsNoncentered::rubin();

    println!("{:<60}{:>6}{:>15}{:>15}{:>10}{:>12}", "", "k-hat", "mu mean, sd", "tau mean, sd", "error/sd", "gradients");
    print_fit(&Vi::new(MeanField).fit(&model, seed)?);
    print_fit(&Vi::new(FullRank).fit(&model, seed)?);
    print_fit(&Vi::new(StudentT::multivariate()).objective(Objective::iwelbo(20)).fit(&model, seed)?);
    print_fit(&Bam::default().fit(&model, seed)?);
    let pathfinder = Pathfinder::default().fit(&model, seed)?;
    print_fit(&pathfinder);
    print_fit(&Vi::new(FullRank).objective(Objective::iwelbo(20)).fit(&model, seed)?);

    let draws = Nuts::default().sample(&model, Run::new(seed).start(pathfinder.start(4)))?;
    let mut moments = Vec::new();
    for (name, _, _) in REFERENCE {
        moments.push((draws.mean(name)?[[]], draws.sd(name)?[[]]));
    }
    print_row("NUTS, started at Pathfinder's draws", None, &moments, Some(draws.gradient_evaluations()));
    print_row("reference", None, &REFERENCE.map(|(_, mean, sd)| (mean, sd)), None);
    Ok(())
}
