//! Stochastic volatility: returns whose log variance is a hidden autoregression. Filter it, smooth it, and infer its parameters by particle
//! marginal Metropolis-Hastings.
//!
//! ```text
//! cargo run --release --example stochastic_volatility [-- --seed 1]
//!
//! x[0] ~ N(mu, sigma^2 / (1 - rho^2))      x[t] ~ N(mu + rho (x[t-1] - mu), sigma^2)      y[t] ~ N(0, exp(x[t]))
//! mu ~ N(0, 2)      (rho + 1) / 2 ~ Beta(20, 1.5)      sigma ~ half-normal(0.5)
//! ```
//! What to look at:
//!
//! - the model is used three times, by the filter, the smoother and the sampler, and written once (here: taken from `model::zoo`);
//! - `prior` is a model without likelihood, and `family` says which state-space model belongs to its parameters;
//! - every draw carries a path of the log variance, and a forecast of it;
//! - `Pilot` says whether there are enough particles.
//!
//! With the environment variable `POSTERITY_DATA` set, the data are 750 daily returns of GBP/USD in 1997 and 1998
//! (`smc/GBP_vs_USD_9798.csv`). Without it they are simulated: 500 returns from known parameters. The posterior's reference figures are
//! those of NUTS on the joint posterior of parameters and innovations, 4 chains of 1500 draws, for the same data and prior.

mod reference;

use std::path::Path;

use posterity::DensityError;
use posterity::math::softmax_in_place;
use posterity::model::zoo::StochasticVolatility;
use posterity::model::{ModelFamily, StateSpaceModel};
use posterity::prelude::*;
use posterity::smc::smoothing::{BackwardSampling, backward_sample};
use posterity::smc::{Bootstrap, Keep, Pmmh, Smc, SmcConfig};
use reference::{Known, compare};

/// What is known of the parameters before the data.
struct Prior;

struct Parameters<T> {
    mu: T,
    rho: T,
    sigma: T,
}

impl Model for Prior {
    type Parameters<T: Real> = Parameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Parameters<T> {
        Parameters { mu: space.real("mu"), rho: space.interval("rho", -1.0, 1.0), sigma: space.positive("sigma") }
    }

    fn log_prior<T: Real>(&self, p: &Parameters<T>, lp: &mut LogP<T>) {
        lp.normal(&p.mu, &0.0, &2.0);
        lp.beta(&((p.rho + 1.0) * 0.5), &20.0, &1.5);
        lp.normal(&p.sigma, &0.0, &0.5);
    }

    /// That is the filter's part.
    fn log_likelihood<T: Real>(&self, _: &Parameters<T>, _: &mut LogP<T>) {}
}

/// The models of all parameters, over the same returns.
struct Family {
    y: Vec<f64>,
}

impl ModelFamily for Family {
    type Model = Bootstrap<StochasticVolatility>;

    fn at(&self, parameters: &[f64]) -> Result<Self::Model, DensityError> {
        let &[mu, rho, sigma] = parameters else {
            return Err(DensityError::Dimension { expected: 3, found: parameters.len() });
        };
        if !(rho.abs() < 1.0 && sigma > 0.0) {
            return Err(DensityError::Rejected { reason: "not stationary" });
        }
        Ok(Bootstrap(StochasticVolatility { mu, rho, sigma, y: self.y.clone() }))
    }
}

/// Parameters of the simulation: mu, rho, sigma.
const TRUTH: [f64; 3] = [-1.0, 0.95, 0.3];
/// Where the log-likelihood is compared.
const FIXED: [f64; 3] = [-1.0, 0.95, 0.2];
const N_PARTICLES: usize = 200;

/// Effective sample sizes of the reference are a little above these numbers.
fn of_exchange_rates() -> [Known; 4] {
    [
        Known::from_draws("mu", -1.6854, 0.0852, 1600.0),
        Known::from_draws("rho", 0.6453, 0.1527, 500.0),
        Known::from_draws("sigma", 0.434, 0.133, 500.0),
        Known::from_draws("x[375]", -1.6164, 0.4877, 8000.0),
    ]
}

fn of_simulation() -> [Known; 4] {
    [
        Known::from_draws("mu", -0.8072, 0.2620, 1500.0),
        Known::from_draws("rho", 0.9359, 0.0289, 1000.0),
        Known::from_draws("sigma", 0.3133, 0.0697, 1400.0),
        Known::from_draws("x[250]", -2.1653, 0.5083, 8000.0),
    ]
}

/// Returns from the file, if there is one.
fn read(path: &Path) -> Option<Vec<f64>> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| line.parse().ok()).collect()
}

fn simulate(n: usize, rng: &mut Stream) -> Vec<f64> {
    let [mu, rho, sigma] = TRUTH;
    let model = StochasticVolatility { mu, rho, sigma, y: Vec::new() };
    let mut x = model.initial(rng);
    (0..n)
        .map(|t| {
            if t > 0 {
                x = model.transition(t, &x, rng);
            }
            (0.5 * x).exp() * rng.normal()
        })
        .collect()
}

fn mean_and_sd(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (values.len() as f64 - 1.0)).sqrt())
}

fn main() -> Result<(), posterity::Error> {
    let seed = reference::seed(1)?;
    let file = std::env::var_os("POSTERITY_DATA").map(|folder| Path::new(&folder).join("smc/GBP_vs_USD_9798.csv"));
    let real = file.and_then(|path| read(&path));
    let is_real = real.is_some();
    let y = real.unwrap_or_else(|| simulate(500, &mut Stream::new(9798)));
    let n = y.len();
    println!("{n} returns, {}\n", if is_real { "GBP/USD 1997-1998" } else { "simulated with mu = -1, rho = 0.95, sigma = 0.3" });
    let family = Family { y };

    // Filter: the log-likelihood estimate at fixed parameters, over and over with the same engine.
    let mut filter = Smc::new(family.at(&FIXED)?, SmcConfig::new(N_PARTICLES, seed))?;
    let mut estimates = Vec::new();
    for run in 0..50 {
        filter.restart(seed + run);
        estimates.push(filter.run()?.log_evidence);
    }
    let (mean, sd) = mean_and_sd(&estimates);
    println!("log-likelihood at mu = -1, rho = 0.95, sigma = 0.2, {N_PARTICLES} particles: {mean:.2}, sd {sd:.2} (50 filters)");
    if is_real {
        println!(
            "    exact, by quadrature on a grid: -494.98, of which the mean of the estimate's logarithm is half its variance short"
        );
        println!("    particles 0.4: -495.86, sd 0.74 (20 filters)");
    }

    // Parameters and states together.
    let settings = Pmmh::new(N_PARTICLES).forecast(20);
    let began = std::time::Instant::now();
    let draws = settings.sample(&Prior, &family, Run::new(seed).warmup(1000).draws(3000))?;
    let seconds = began.elapsed().as_secs_f64();
    let n_iterations = 4 * 4000;
    let busy: f64 = draws.attributes().warmup_seconds.iter().chain(&draws.attributes().sampling_seconds).sum();
    println!(
        "\nPMMH: {n_iterations} iterations in {seconds:.1} s, {:.2} ms each on its thread",
        1e3 * busy / f64::from(n_iterations)
    );
    println!();
    if !is_real {
        println!("truth: mu = -1, rho = 0.95, sigma = 0.3");
    }
    compare(&draws, &if is_real { of_exchange_rates() } else { of_simulation() })?;
    let stats = draws.sample_stats();
    let acceptance = stats.float("acceptance_rate").and_then(|a| a.mean()).unwrap_or(f64::NAN);
    let n_degenerate: usize = stats.count_flags("degenerate").unwrap_or_default().iter().sum();
    let r_hat = draws.summary().max_r_hat().unwrap_or(f64::NAN);
    println!(
        "acceptance rate {acceptance:.2}, degenerate filters {n_degenerate}, largest R-hat of parameters and states {r_hat:.3}"
    );
    let means: Vec<f64> =
        ["mu", "rho", "sigma"].iter().map(|name| draws.mean(name).map(|m| m.sum())).collect::<Result<_, _>>()?;
    let mut values = Values::new();
    values.set("mu", means[0]).set("rho", means[1]).set("sigma", means[2]);
    println!("{}", settings.pilot(&Prior, &family, &values, 50, seed)?);

    // Filter and smooth at the posterior means, beside the paths of PMMH, which carry the parameters' uncertainty.
    let config = SmcConfig::new(5000, seed).keep(Keep::All);
    let mut smoother = Smc::new(family.at(&means)?, config)?;
    smoother.run()?;
    let smoothed = backward_sample(&smoother, 2000, BackwardSampling::default(), seed)?.mean(|x| x.exp());
    let paths = draws.variable("x")?;
    println!(
        "\nstandard deviation of the returns: sqrt(E exp x[t])\n{:<8}{:>14}{:>14}{:>14}",
        "t", "filtered", "smoothed", "PMMH"
    );
    for t in (n / 10..n).step_by(n / 5) {
        let Some(generation) = smoother.history().generation(t) else { continue };
        let mut weights = generation.log_weights.clone();
        softmax_in_place(&mut weights);
        let filtered: f64 = weights.iter().zip(&generation.population).map(|(w, x)| w * x.exp()).sum();
        let of_draws = paths.index_axis(ndarray::Axis(2), t).mapv(f64::exp).mean().unwrap_or(f64::NAN);
        println!("{t:<8}{:>14.3}{:>14.3}{:>14.3}", filtered.sqrt(), smoothed[t].sqrt(), of_draws.sqrt());
    }
    let forecast = draws.variable("x_forecast")?;
    println!("forecast");
    for h in [0, 4, 19] {
        let of_draws = forecast.index_axis(ndarray::Axis(2), h).mapv(f64::exp).mean().unwrap_or(f64::NAN);
        println!("{:<36}{:>14.3}", format!("T + {h}"), of_draws.sqrt());
    }
    Ok(())
}
