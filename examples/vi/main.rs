//! Fits an approximation to a reference posterior, and prints one JSON line: errors of means and standard deviations before and after Pareto-smoothed importance
//! sampling, k-hat, the bound, evaluations, seconds.
//!
//! ```text
//! echo '{"posterior": "eight_schools.json", "method": "bam"}' | cargo run --release --example vi
//! cargo run --release --example vi -- --lines < inputs.jsonl      # one output line for every input line, failures included
//! cargo run --release --example vi -- --help                      # the schemas of input and output
//! ```

mod comparison;
mod input;
mod method;
mod schema;

use std::io::BufRead;
use std::process::ExitCode;

use input::Input;
use posterity::model::zoo::posteriordb::ReferencePosterior;
use serde_json::{Value, json};

type AnyError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--help" | "-h"] => {
            println!("{}", schema::SCHEMA);
            return ExitCode::SUCCESS;
        }
        ["--lines"] => lines(),
        [] | ["-"] => Input::read(None).and_then(|input| report(&input)).map(|line| println!("{line}")),
        [path] => Input::read(Some(path)).and_then(|input| report(&input)).map(|line| println!("{line}")),
        _ => Err("usage: vi [INPUT.json], vi --lines, or vi --help".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One output for every line of the standard input; a fit that fails is a line with its error, and so is an input that cannot be read.
fn lines() -> Result<(), AnyError> {
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let input: Input = match serde_json::from_str(&line?) {
            Ok(input) => input,
            Err(error) => {
                println!("{}", json!({ "line": number + 1, "error": error.to_string() }));
                continue;
            }
        };
        let output = report(&input).unwrap_or_else(|error| {
            let posterior = input.posterior.file_stem().map(|name| name.to_string_lossy().into_owned());
            json!({ "posterior": posterior, "method": input.method, "bound": input.bound_name(), "seed": input.seed, "error": error.to_string() })
        });
        println!("{output}");
    }
    Ok(())
}

fn report(input: &Input) -> Result<Value, AnyError> {
    let posterior = ReferencePosterior::read(&input.posterior)?;
    let fit = method::fit(input, posterior.target.as_ref())?;
    let comparison = comparison::compare(&fit, &posterior)?;
    Ok(json!({
        "posterior": posterior.name,
        "method": input.method,
        "description": fit.method(),
        "bound": input.bound_name(),
        "k": input.bound_name().map(|_| input.k()),
        "seed": input.seed,
        "dim": fit.positions().ncols(),
        "n_draws": fit.positions().nrows(),
        "raw": comparison.raw,
        "psis": comparison.psis,
        "pareto_k": fit.pareto_k(),
        "elbo": fit.elbo(),
        "elbo_mcse": fit.elbo_mcse(),
        "log_evidence": fit.log_evidence(),
        "n_gradient_evaluations": fit.n_gradient_evaluations(),
        "n_density_evaluations": fit.n_density_evaluations(),
        "seconds": fit.seconds(),
        "warnings": fit.warnings().iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}
