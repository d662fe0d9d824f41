//! The slow checks of particle filters against the Kalman filter; prints Markdown, and fails if a check fails.
//!
//! ```text
//! cargo run --release --example validate_filters > docs/validation/filters.md
//! ```
//! Series and exact values are read from `$POSTERITY_DATA/smc` if that is set; otherwise a simulated series and the crate's own Kalman filter
//! serve.

use std::process::ExitCode;

use ndarray::Array2;
use posterity::model::zoo::{Ar1, StochasticVolatility};
use posterity::parallel::{Threads, map_indexed};
use posterity::rng::Stream;
use posterity::smc::exact::LinearGaussian;
use posterity::smc::{Auxiliary, Bootstrap, FeynmanKac, Guided, Smc, SmcConfig, SmcSummary};
use posterity::weights::Scheme;

/// Mean and variance over runs.
struct Moments {
    mean: f64,
    variance: f64,
    n: usize,
}

impl Moments {
    fn of(values: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        let n = values.len();
        let mean = values.clone().sum::<f64>() / n as f64;
        Self { mean, variance: values.map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64, n }
    }

    fn error(&self) -> f64 {
        (self.variance / self.n as f64).sqrt()
    }
}

fn column(file: &str, index: usize) -> Option<Vec<f64>> {
    let path = std::path::Path::new(&std::env::var_os("POSTERITY_DATA")?).join("smc").join(file);
    let mut reader = csv::Reader::from_path(path).ok()?;
    reader.records().map(|record| record.ok()?.get(index)?.parse().ok()).collect()
}

fn lg1d() -> Ar1 {
    let (rho, sigma_x, sigma_y) = (0.9, 1.0, 1.0);
    let y = column("lg1d_T1000.csv", 1).unwrap_or_else(|| {
        let mut rng = Stream::new(2);
        let mut x = rng.normal() / (1.0_f64 - 0.81).sqrt();
        let step = |_| {
            let y = x + rng.normal();
            x = 0.9 * x + rng.normal();
            y
        };
        (0..1000).map(step).collect()
    });
    Ar1 { rho, sigma_x, sigma_y, y }
}

fn first(model: &Ar1, n_steps: usize) -> Ar1 {
    Ar1 { y: model.y[..n_steps].to_vec(), ..model.clone() }
}

fn exact(model: &Ar1) -> f64 {
    let y = Array2::from_shape_vec((model.y.len(), 1), model.y.clone()).expect("one column");
    let kalman = LinearGaussian::ar1(model.rho, model.sigma_x, model.sigma_y).expect("a valid model");
    kalman.filter(y.view()).expect("finite data").log_evidence()
}

/// Summaries of independent runs, on all threads.
fn runs<M: FeynmanKac>(model: impl Fn() -> M + Sync, config: &SmcConfig, n_runs: usize) -> Vec<SmcSummary> {
    const CHUNK: usize = 50;
    let chunk = |c: usize| {
        let mut smc = Smc::new(model(), config.clone().threads(Threads::serial())).expect("valid settings");
        let seeds = c * CHUNK..((c + 1) * CHUNK).min(n_runs);
        let run = |seed: usize| {
            smc.restart(seed as u64);
            smc.run().expect("no error")
        };
        seeds.map(run).collect::<Vec<_>>()
    };
    map_indexed(n_runs.div_ceil(CHUNK), None, chunk).concat()
}

#[derive(Default)]
struct Report {
    n_checks: usize,
    failed: Vec<String>,
}

impl Report {
    fn check(&mut self, what: &str, holds: bool) -> &'static str {
        self.n_checks += 1;
        if !holds {
            self.failed.push(what.to_owned());
        }
        if holds { "ok" } else { "**fails**" }
    }

    /// Ẑ/Z against 1.
    fn unbiased(&mut self, what: &str, runs: &[SmcSummary], exact: f64, largest_error: f64) {
        let m = Moments::of(runs.iter().map(|r| (r.log_evidence - exact).exp()));
        let z = (m.mean - 1.0) / m.error();
        let verdict = self.check(what, z.abs() <= 4.0 && m.error() <= largest_error);
        println!("| {what} | {} | {:.4} | {:.4} | {z:.2} | {verdict} |", m.n, m.mean, m.error());
    }
}

fn unbiasedness(report: &mut Report, model: &Ar1) {
    println!("## Is the evidence unbiased?\n\nMean of Ẑ/Z over runs; z = (mean - 1) / error, |z| at most 4.\n");
    println!("| cell | runs | mean | error | z | |\n|---|--:|--:|--:|--:|---|");
    let long = first(model, 100);
    let z = exact(&long);
    let config = |scheme| SmcConfig::new(1000, 0).scheme(scheme);
    let all = runs(|| Bootstrap(&long), &config(Scheme::Systematic), 10_000);
    report.unbiased("T = 100, N = 1000: bootstrap, systematic, ESS 0.5", &all, z, 0.01);
    let all = runs(|| Auxiliary(Guided(&long)), &config(Scheme::Ssp).ess_threshold(2.0), 10_000);
    report.unbiased("T = 100, N = 1000: auxiliary guided, SSP, always", &all, z, 0.01);
    let (short, shortest) = (first(model, 20), first(model, 10));
    for scheme in Scheme::ALL {
        for (rule, threshold, model) in [("ESS 0.5", 0.5, &short), ("always", 2.0, &short), ("never, T = 10", 0.0, &shortest)] {
            let z = exact(model);
            let config = SmcConfig::new(64, 0).scheme(scheme).ess_threshold(threshold);
            for (name, all) in [
                ("bootstrap", runs(|| Bootstrap(model), &config, 4000)),
                ("guided", runs(|| Guided(model), &config, 4000)),
                ("auxiliary", runs(|| Auxiliary(Bootstrap(model)), &config, 4000)),
                ("auxiliary guided", runs(|| Auxiliary(Guided(model)), &config, 4000)),
            ] {
                report.unbiased(&format!("T = 20, N = 64: {name}, {scheme}, {rule}"), &all, z, f64::INFINITY);
            }
        }
    }
}

fn consistency(report: &mut Report, model: &Ar1) {
    println!(
        "\n## Is the log-evidence where it should be?\n\nT = 1000. In the middle, mean - log Z + variance/2 is 0 for a normal log Ẑ.\n"
    );
    println!(
        "| filter | runs | exact | mean | error | variance | mean - log Z + variance/2 | |\n|---|--:|--:|--:|--:|--:|--:|---|"
    );
    let z = exact(model);
    for (n, n_runs, bound) in [(10_000, 200, f64::INFINITY), (100_000, 100, 0.05)] {
        let all = runs(|| Bootstrap(model), &SmcConfig::new(n, 0), n_runs);
        let m = Moments::of(all.iter().map(|r| r.log_evidence));
        let link = m.mean - z + 0.5 * m.variance;
        // Errors of the mean and of the variance of a normal sample, which are independent.
        let link_error = m.error().hypot(m.variance * (0.5 / (m.n - 1) as f64).sqrt());
        let near = (m.mean - z).abs() <= 0.5 * m.variance + 4.0 * m.error();
        let holds = near && m.variance <= bound && (m.variance > 0.1 || link.abs() <= 4.0 * link_error);
        let what = format!("lg1d, bootstrap, N = {n}");
        let verdict = report.check(&what, holds);
        println!(
            "| {what} | {} | {z:.4} | {:.4} | {:.4} | {:.4} | {link:.4} ± {link_error:.4} | {verdict} |",
            m.n,
            m.mean,
            m.error(),
            m.variance
        );
    }
    if let Some(y) = column("sv_T1000.csv", 1) {
        let sv = StochasticVolatility { mu: -1.02, rho: 0.9702, sigma: 0.178, y };
        let all = runs(|| Bootstrap(&sv), &SmcConfig::new(10_000, 0), 100);
        let m = Moments::of(all.iter().map(|r| r.log_evidence));
        let verdict = report.check("sv", (m.mean + 874.76).abs() <= 0.05 + 4.0 * m.error() && m.variance <= 0.03);
        let (mean, error, variance) = (m.mean, m.error(), m.variance);
        println!(
            "| sv, bootstrap, N = 10000 | {} | -874.76 ± 0.05 | {mean:.4} | {error:.4} | {variance:.4} | | {verdict} |",
            m.n
        );
    }
}

fn single_run_variance(report: &mut Report, model: &Ar1) {
    println!(
        "\n## Does one run know its own variance?\n\nGenealogy estimate of Var(Ẑ/Z), mean over 200 runs, against the variance between runs.\n"
    );
    println!("| filter | mean estimate | between runs | ratio | in [0.5, 2] |\n|---|--:|--:|--:|---|");
    let short = first(model, 100);
    let z = exact(&short);
    for scheme in [Scheme::Multinomial, Scheme::Systematic] {
        let all = runs(|| Bootstrap(&short), &SmcConfig::new(2000, 0).scheme(scheme), 200);
        let estimate = Moments::of(all.iter().map(|r| r.relative_variance)).mean;
        let between = Moments::of(all.iter().map(|r| (r.log_evidence - z).exp())).variance;
        let ratio = estimate / between;
        let what = format!("lg1d, T = 100, N = 2000, {scheme}");
        let verdict = match scheme {
            Scheme::Multinomial => report.check(&what, (0.5..=2.0).contains(&ratio)),
            _ => "for information",
        };
        println!("| {what} | {estimate:.4} | {between:.4} | {ratio:.2} | {verdict} |");
    }
}

fn main() -> ExitCode {
    let model = lg1d();
    let mut report = Report::default();
    println!("# Particle filters against the Kalman filter\n\nWritten by `cargo run --release --example validate_filters`.\n");
    unbiasedness(&mut report, &model);
    consistency(&mut report, &model);
    single_run_variance(&mut report, &model);
    println!("\n{} checks, {} failed.", report.n_checks, report.failed.len());
    for what in &report.failed {
        println!("- {what}");
    }
    if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
