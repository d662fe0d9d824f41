//! Samples a posteriordb posterior and compares the draws with its reference: one line of JSON.
//!
//! `cargo run --release --example posteriordb -- PATH [--seed S]`, with PATH a file as `model::zoo::posteriordb` reads it.
//!
//! `max_abs_z` is the largest |mean - reference mean| in standard errors of the difference, `max_err_sd` the same in posterior standard
//! deviations. At 100 parameters a |z| of 4 happens by chance once in 150 runs.

mod compare;

use std::error::Error;
use std::time::Instant;

use ndarray::Array3;
use posterity::draws::Draws;
use posterity::mcmc::{Nuts, Run, Sampler};
use posterity::model::zoo::posteriordb::ReferencePosterior;
use serde_json::json;

struct Arguments {
    path: String,
    seed: u64,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let (mut path, mut seed) = (None, 1);
    let mut rest = std::env::args().skip(1);
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--seed" => seed = rest.next().ok_or("--seed needs a number")?.parse()?,
            _ => path = Some(argument),
        }
    }
    Ok(Arguments { path: path.ok_or("usage: posteriordb PATH [--seed S]")?, seed })
}

/// CPU seconds of this process, from /proc where there is one (in ticks of 10 ms).
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // utime and stime are fields 14 and 15; the first one after the name is field 3.
    Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
}

/// The reference's parameters as an array (chain, draw, parameter), in the reference's order.
fn reference_parameters(draws: &Draws, posterior: &ReferencePosterior) -> posterity::Result<Array3<f64>> {
    let mut values = Array3::zeros((draws.n_chains(), draws.n_draws(), posterior.quantities.len()));
    for (quantity, mut column) in posterior.quantities.iter().zip(values.axis_iter_mut(ndarray::Axis(2))) {
        column.assign(&draws.element(&quantity.element)?);
    }
    Ok(values)
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { path, seed } = arguments()?;
    let posterior = ReferencePosterior::read(path)?;

    let (start, cpu_start) = (Instant::now(), cpu_seconds());
    let draws = Nuts::default().sample(posterior.target.as_ref(), Run::new(seed))?;
    let wall = start.elapsed().as_secs_f64();
    let cpu = cpu_seconds().zip(cpu_start).map_or(wall, |(end, start)| end - start);

    let comparison = compare::compare(&reference_parameters(&draws, &posterior)?, &posterior);
    let attributes = draws.attributes();
    let n_grad_warmup: u64 = attributes.warmup_gradient_evaluations.iter().sum();
    let n_grad_sample: u64 = attributes.sampling_gradient_evaluations.iter().sum();
    let line = json!({
        "posterior": posterior.name,
        "sampler": attributes.sampler,
        "chains": draws.n_chains(),
        "draws": draws.n_draws(),
        "min_ess_bulk": comparison.min_ess_bulk,
        "min_ess_tail": comparison.min_ess_tail,
        "max_rhat": comparison.max_rhat,
        "n_grad_warmup": n_grad_warmup,
        "n_grad_sample": n_grad_sample,
        "grad_per_ess": n_grad_sample as f64 / comparison.min_ess_bulk,
        "cpu_s": cpu,
        "us_per_grad": 1e6 * cpu / (n_grad_warmup + n_grad_sample) as f64,
        "divergences": draws.divergences().map(|d| d.iter().sum::<usize>()),
        "max_err_sd": comparison.max_err_sd,
        "max_abs_z": comparison.max_abs_z,
        "n_z_over_4": comparison.n_z_over_4,
        "max_abs_z_log_sd": comparison.max_abs_z_log_sd,
        "min_sd_ratio": comparison.min_sd_ratio,
        "max_sd_ratio": comparison.max_sd_ratio,
    });
    println!("{line}");
    Ok(())
}
