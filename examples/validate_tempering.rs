//! Two promises of the SMC samplers, checked over many runs: the evidence and speed of a logistic regression, and the standard error that
//! one run reports. Minutes of work; the last output is kept in `docs/validation/tempering.md`.
//!
//! ```text
//! POSTERITY_DATA=path/to/data cargo run --release --example validate_tempering [-- runs]
//! ```
//! The regression is that of the Pima data: 768 rows of 8 predictors and an intercept, each multiplied by its response ±1, priors N(0, 20)
//! for the intercept and N(0, 5) for the rest. Its likelihood is written by hand for many positions at once, and the floor of the
//! timing is a loop that does nothing but evaluate the same number of likelihoods through it.

use std::path::Path;

use posterity::math::vectorised::{combine_columns, log1p_exp_in_place, sum_log1p_exp};
use posterity::model::zoo::analytic::NormalMean;
use posterity::model::{PriorAndLikelihood, WithParts};
use posterity::parallel::Threads;
use posterity::prelude::*;
use posterity::smc::sampler::{Moves, SamplerResult, SmcSampler};
use posterity::weights::Scheme;
use posterity::{DensityError, Error};

/// Rows whose predictors are computed together: they and their part of the design stay in the first-level cache.
const ROWS: usize = 64;

/// Logistic regression on rows that carry the sign of their response: log L = -Σ log(1 + exp(-row · β)).
struct SignedRegression {
    n_columns: usize,
    n_rows: usize,
    /// Block by block of 64 rows, column by column, with the sign turned; the last block is filled up with zeros.
    blocks: Vec<f64>,
    prior_sd: Vec<f64>,
}

impl SignedRegression {
    fn read(path: &Path, intercept_sd: f64, coefficient_sd: f64) -> Result<Self, Box<dyn std::error::Error>> {
        let text = std::fs::read_to_string(path)?;
        let parse = |line: &str| line.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>();
        let rows: Vec<Vec<f64>> = text.lines().map(parse).collect::<Result<_, _>>()?;
        let (n_rows, n_columns) = (rows.len(), rows[0].len());
        let mut blocks = vec![0.0; n_rows.div_ceil(ROWS) * ROWS * n_columns];
        for (block, rows) in blocks.chunks_exact_mut(ROWS * n_columns).zip(rows.chunks(ROWS)) {
            for (i, row) in rows.iter().enumerate() {
                row.iter().enumerate().for_each(|(k, x)| block[k * ROWS + i] = -x);
            }
        }
        let prior_sd = (0..n_columns).map(|k| if k == 0 { intercept_sd } else { coefficient_sd }).collect();
        Ok(Self { n_columns, n_rows, blocks, prior_sd })
    }

    /// -row · β of the rows of a block.
    fn predictors(block: &[f64], beta: &[f64], out: &mut [f64; ROWS]) {
        combine_columns(block, beta, out);
    }
}

impl PriorAndLikelihood for SignedRegression {
    fn dim(&self) -> usize {
        self.n_columns
    }

    fn log_prior(&self, beta: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let mut total = 0.0;
        for ((b, sd), g) in beta.iter().zip(&self.prior_sd).zip(gradient) {
            *g = -b / (sd * sd);
            total += 0.5 * b * *g - sd.ln() - 0.918_938_533_204_672_7;
        }
        Ok(total)
    }

    fn log_likelihood(&self, beta: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let (mut total, mut z) = (0.0, [0.0; ROWS]);
        gradient.fill(0.0);
        for (b, block) in self.blocks.chunks_exact(ROWS * self.n_columns).enumerate() {
            let n = ROWS.min(self.n_rows - b * ROWS);
            Self::predictors(block, beta, &mut z);
            for (g, column) in gradient.iter_mut().zip(block.as_chunks::<ROWS>().0) {
                *g -= z[..n].iter().zip(column).map(|(z, x)| x / (1.0 + (-z).exp())).sum::<f64>();
            }
            log1p_exp_in_place(&mut z[..n]);
            total -= z[..n].iter().sum::<f64>();
        }
        Ok(total)
    }

    fn log_likelihoods(&self, positions: &[f64], out: &mut [f64]) -> Result<(), DensityError> {
        out.fill(0.0);
        let mut z = [0.0; ROWS];
        for (b, block) in self.blocks.chunks_exact(ROWS * self.n_columns).enumerate() {
            let n = ROWS.min(self.n_rows - b * ROWS);
            for (beta, total) in positions.chunks_exact(self.n_columns).zip(out.iter_mut()) {
                Self::predictors(block, beta, &mut z);
                *total -= sum_log1p_exp(&z[..n]);
            }
        }
        Ok(())
    }

    fn sample_prior(&self, rng: &mut Stream, beta: &mut [f64]) -> bool {
        beta.iter_mut().zip(&self.prior_sd).for_each(|(b, sd)| *b = sd * rng.normal());
        true
    }

    fn variables(&self) -> Vec<Variable> {
        vec![Variable::new("beta", &[self.n_columns])]
    }
}

/// Seconds that this thread has worked, where Linux tells; otherwise seconds by the clock.
fn cpu_seconds() -> f64 {
    let nanoseconds = std::fs::read_to_string("/proc/thread-self/schedstat");
    let worked = nanoseconds.ok().and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64());
    worked.map_or_else(clock, |ns| ns * 1e-9)
}

/// Mean, variance between runs and mean of the reported variances.
struct Runs {
    mean: f64,
    variance: f64,
    reported: f64,
    seconds: f64,
    evaluations: f64,
}

fn runs<T: Target>(sampler: &SmcSampler, target: &T, n: usize) -> Result<Runs, Error> {
    let start = cpu_seconds();
    let all = (0..n as u64).map(|seed| sampler.sample(target, seed)).collect::<Result<Vec<SamplerResult>, _>>()?;
    let seconds = (cpu_seconds() - start) / n as f64;
    let mean = all.iter().map(|r| r.log_evidence).sum::<f64>() / n as f64;
    let variance = all.iter().map(|r| (r.log_evidence - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    let told: Vec<f64> = all.iter().filter_map(|r| r.log_evidence_se).map(|se| se * se).collect();
    let evaluations = all.iter().map(|r| r.n_evaluations as f64).sum::<f64>() / n as f64;
    Ok(Runs { mean, variance, reported: told.iter().sum::<f64>() / told.len() as f64, seconds, evaluations })
}

fn row(name: &str, runs: &Runs, expected: f64) {
    let ratio = runs.reported / runs.variance;
    println!(
        "| {name} | {:.4} | {expected:.4} | {:.5} | {:.5} | {ratio:.2} | {:.0} | {:.3} |",
        runs.mean, runs.variance, runs.reported, runs.evaluations, runs.seconds
    );
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let n = std::env::args().nth(1).map_or(Ok(200), |n| n.parse())?;
    println!("{n} runs each, on one thread.\n");
    println!("| run | mean log-evidence | expected | variance | reported variance | ratio | evaluations | CPU s per run |");
    println!("|---|---|---|---|---|---|---|---|");
    let serial = |sampler: SmcSampler| sampler.threads(Threads::serial());

    let y: Vec<f64> = (0..30).map(|i| 1.0 + (0.7 * f64::from(i)).sin()).collect();
    let model = NormalMean::new(y, 0.5, 0.0, 10.0)?;
    let exact = model.log_evidence();
    let standard = |n_moves| {
        serial(SmcSampler::tempering().n_particles(2000).scheme(Scheme::Multinomial).moves(Moves::Standard { n_moves }))
    };
    row(
        "normal mean, waste-free 20 × 100",
        &runs(&serial(SmcSampler::tempering().n_particles(2000).waste_free(100)), &model, n)?,
        exact,
    );
    row("normal mean, standard, multinomial", &runs(&standard(10), &model, n)?, exact);
    row(
        "normal mean, data tempering, waste-free",
        &runs(&serial(SmcSampler::data_tempering().n_particles(2000).waste_free(100)), &model, n)?,
        exact,
    );

    let Some(folder) = std::env::var_os("POSTERITY_DATA") else {
        println!("\nPOSTERITY_DATA is not set: the logistic regression is left out.");
        return Ok(());
    };
    let data = Path::new(&folder).join("smc/Pima_preds_signed.csv");
    let pima = WithParts(SignedRegression::read(&data, 20.0, 5.0)?);
    let short = serial(SmcSampler::tempering().n_particles(10_000).waste_free(200));
    row("Pima, waste-free 50 × 200", &runs(&short, &pima, n)?, -392.88);
    let waste_free = serial(SmcSampler::tempering().n_particles(10_000).waste_free(400).ess_target(0.6));
    let found = runs(&waste_free, &pima, n)?;
    row("Pima, waste-free 25 × 400, ESS 0.6", &found, -392.88);
    let fixed =
        serial(SmcSampler::tempering().n_particles(1000).scheme(Scheme::Multinomial).moves(Moves::Standard { n_moves: 10 }));
    row("Pima, standard 1000, 10 moves", &runs(&fixed, &pima, n / 4)?, -392.88);

    // The floor: as many likelihoods, in batches of fifty.
    let mut positions = vec![0.0; 50 * pima.0.n_columns];
    Stream::new(1).fill_normal(&mut positions);
    let mut out = vec![0.0; 50];
    let n_batches = (found.evaluations / 50.0).round() as usize;
    let mut floor = f64::INFINITY;
    for _ in 0..5 {
        let start = cpu_seconds();
        for _ in 0..n_batches {
            pima.0.log_likelihoods(std::hint::black_box(&positions), &mut out)?;
            std::hint::black_box(&out);
        }
        floor = floor.min(cpu_seconds() - start);
    }
    println!("\nThe likelihoods of one Pima run alone take {floor:.3} s: the run takes {:.2} times that.", found.seconds / floor);
    Ok(())
}
