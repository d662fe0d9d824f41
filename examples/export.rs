//! Writes draws for other programs: ArviZ JSON, CmdStan CSV and (with feature `npz`) a NumPy archive.
//!
//! ```text
//! cargo run --release --features npz --example export -- DIRECTORY
//! ```
//! The draws are those of eight schools, with posterior predictive replicates, the log-likelihood of each school and the observed effects.
//! Beside them the crate's own diagnostics are written as JSON, for `scripts/arviz/check.py` to compare with ArviZ's; and all of it once more
//! in `DIRECTORY/synthetic` for draws made up to be difficult: heavy tails, one chain off the others, whole numbers, a constant, values
//! that are not finite.

mod synthetic;

use std::path::{Path, PathBuf};

use ndarray::arr1;
use posterity::Error;
use posterity::diagnostics::{bfmi, ess_mean, ess_quantile, ess_sd, mcse_quantile, quantile, split_rhat};
use posterity::draws::Observed;
use posterity::model::zoo::EightSchoolsNoncentered;
use posterity::prelude::*;
use serde_json::{Value as Json, json};

const SEED: u64 = 20;

fn main() -> Result<(), Error> {
    let argument = std::env::args().nth(1);
    let missing = Error::Field { field: "first argument".to_owned(), rule: "a directory to write to" };
    let directory = PathBuf::from(argument.ok_or(missing)?);

    let draws = eight_schools()?;
    write(&draws, &directory)?;
    write(&synthetic::draws(SEED)?, &directory.join("synthetic"))?;

    println!("{}", draws.summary());
    println!("Written to {}: draws.json for az.from_json, draws_*.csv for az.from_cmdstan.", directory.display());
    Ok(())
}

/// A run with everything that can travel with its draws.
fn eight_schools() -> Result<Draws, Error> {
    let model = EightSchoolsNoncentered::rubin();
    let draws = Nuts::default().sample(&model, Run::new(SEED).draws(500).keep_log_likelihood())?;
    let replicates = posterior_predictive(&model, &draws, SEED)?;
    let mut y = Variable::new("y", &[8]);
    y.dims[0] = "school".to_owned();
    let effects = arr1(&[28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]).into_dyn();
    draws.with_predictive(replicates)?.with_observed(Observed::new(y, effects)?)
}

fn write(draws: &Draws, directory: &Path) -> Result<(), Error> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    std::fs::create_dir_all(directory).map_err(io(directory))?;
    draws.write_json(directory.join("draws.json"))?;
    draws.write_csv(directory.join("draws.csv"))?;
    write_npz(draws, directory)?;
    let path = directory.join("diagnostics.json");
    std::fs::write(&path, format!("{:#}", diagnostics(draws)?)).map_err(io(&path))
}

#[cfg(feature = "npz")]
fn write_npz(draws: &Draws, directory: &Path) -> Result<(), Error> {
    draws.write_npz(directory.join("draws.npz"))
}

#[cfg(not(feature = "npz"))]
fn write_npz(_: &Draws, _: &Path) -> Result<(), Error> {
    Ok(())
}

/// Every diagnostic of every element, and the E-BFMI of every chain.
fn diagnostics(draws: &Draws) -> Result<Json, Error> {
    let summary = draws.summary();
    let mut elements = Vec::new();
    for row in summary.rows() {
        let element = draws.element(&row.name)?;
        let mut numbers = json!(row);
        numbers["ess_mean"] = json!(ess_mean(element));
        numbers["ess_sd"] = json!(ess_sd(element));
        numbers["split_rhat"] = json!(split_rhat(element));
        for probability in [0.1, 0.5, 0.9] {
            numbers[format!("quantile_{probability}")] = json!(quantile(element, probability));
            numbers[format!("ess_quantile_{probability}")] = json!(ess_quantile(element, probability));
            numbers[format!("mcse_quantile_{probability}")] = json!(mcse_quantile(element, probability));
        }
        elements.push(numbers);
    }
    let energy = draws.sample_stats().float("energy").map(bfmi);
    Ok(json!({ "elements": elements, "bfmi": energy }))
}
