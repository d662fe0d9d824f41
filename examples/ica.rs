//! Independent component analysis by particles: coin betting beside SVGD with the best learning rate, and with one ten times smaller and ten times
//! larger.
//!
//! ```text
//! cargo run --release --example ica [-- --repetitions 5 --components 2,4,8]
//! ```
//! The known answer is the mixing matrix that made the data: Amari's distance is 0 for particles that undo it. Each repetition has data of its own,
//! 1000 observations of mixed Laplace sources; the medians are over the 10 particles of all repetitions. The likelihood counts by 1/n, as in
//! Korba et al. 2021, <https://arxiv.org/abs/2105.09994>, where 0.1 is the best learning rate for every number of components. Here the best is the one
//! of 1e-5, 1e-4, …, 10 with the smallest median.
//!
//! The exit status is 1 if coin betting is more than 5 % worse than the learning rate 0.1 anywhere; by chance it is in few repetitions.

use std::process::ExitCode;

use ndarray::{Array2, ArrayView1};
use posterity::Error;
use posterity::model::WithParts;
use posterity::model::zoo::{Ica, amari_distance};
use posterity::parallel::{Threads, map_indexed};
use posterity::parvi::{ParticleFlow, Svgd};
use posterity::step_rules::Sgd;

type AnyError = Box<dyn std::error::Error>;

const N_OBSERVATIONS: usize = 1000;
const N_PARTICLES: usize = 10;
const N_ITERATIONS: usize = 1000;
const RATES: [f64; 7] = [1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0];
/// Which of them is that of Korba et al. 2021.
const PUBLISHED: usize = 4;
/// Of the gate: coin against the published learning rate.
const ALLOWED: f64 = 1.05;

fn main() -> ExitCode {
    match arguments().and_then(|(repetitions, components)| report(repetitions, &components)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<(usize, Vec<usize>), AnyError> {
    let (mut repetitions, mut components) = (5, vec![2, 4, 8]);
    let mut rest = std::env::args().skip(1);
    while let Some(argument) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--repetitions" => repetitions = value.parse()?,
            "--components" => components = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            _ => return Err("usage: ica [--repetitions R] [--components P,...]".into()),
        }
    }
    if repetitions == 0 { Err("--repetitions must be at least 1".into()) } else { Ok((repetitions, components)) }
}

/// How the particles move.
#[derive(Debug, Clone, Copy)]
enum Method {
    Coin,
    Gradient(f64),
    /// Not at all: the start.
    Start,
}

/// The distances of all particles, sorted.
struct Distances {
    amari: Vec<f64>,
    /// With the squares of the entries in place of their absolute values.
    squared: Vec<f64>,
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = (sorted.len() - 1) as f64 * q;
    0.5 * (sorted[at.floor() as usize] + sorted[at.ceil() as usize])
}

impl Distances {
    fn of(p: usize, repetitions: usize, method: Method) -> posterity::Result<Self> {
        let runs = map_indexed(repetitions, None, |seed| distances(p, seed as u64, method));
        let (mut amari, mut squared): (Vec<_>, Vec<_>) =
            runs.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().unzip();
        amari.sort_unstable_by(f64::total_cmp);
        squared.sort_unstable_by(f64::total_cmp);
        Ok(Self { amari, squared })
    }

    fn medians(&self) -> [f64; 2] {
        [quantile(&self.amari, 0.5), quantile(&self.squared, 0.5)]
    }

    fn print(&self, name: &str) {
        let [median, squared] = self.medians();
        if median.is_finite() {
            let (low, high) = (quantile(&self.amari, 0.1), quantile(&self.amari, 0.9));
            println!("  {name:22} {median:.4} ({low:.4} to {high:.4})   squared {squared:.4}");
        } else {
            println!("  {name:22} diverged");
        }
    }
}

fn report(repetitions: usize, components: &[usize]) -> Result<bool, AnyError> {
    println!(
        "Amari distance of {N_PARTICLES} particles after {N_ITERATIONS} iterations, {repetitions} repetitions: median (10 % to 90 %), and the median of the"
    );
    println!("distance with squared entries, which is smaller and not comparable with the other");
    let mut passed = true;
    for &p in components {
        println!("\n{p} components");
        let coin = Distances::of(p, repetitions, Method::Coin)?;
        coin.print("coin");
        let tried =
            RATES.iter().map(|&rate| Distances::of(p, repetitions, Method::Gradient(rate))).collect::<Result<Vec<_>, _>>()?;
        let median = |k: usize| tried[k].medians()[0];
        let best = (0..RATES.len()).min_by(|&a, &b| median(a).total_cmp(&median(b))).unwrap_or(PUBLISHED);
        for (k, distances) in tried.iter().enumerate() {
            let label = match k {
                _ if k == best => " (best)",
                _ if k + 1 == best => " (small)",
                _ if k == best + 1 => " (large)",
                _ => "",
            };
            distances.print(&format!("SVGD, {}{label}", RATES[k]));
        }
        Distances::of(p, repetitions, Method::Start)?.print("start");
        let over = |other: &Distances| [0, 1].map(|k| coin.medians()[k] / other.medians()[k]);
        let [ratio, squared] = over(&tried[PUBLISHED]);
        let verdict = if ratio <= ALLOWED { "ok" } else { "FAILED" };
        println!("  coin / SVGD, {:<10}{ratio:.3}, squared {squared:.3}; allowed {ALLOWED}: {verdict}", RATES[PUBLISHED]);
        let [ratio_to_best, squared] = over(&tried[best]);
        println!("  coin / best            {ratio_to_best:.3}, squared {squared:.3}");
        passed &= ratio <= ALLOWED;
    }
    Ok(passed)
}

/// Amari's distance of every particle of one run, and that with squared entries; infinite if the particles leave the range of numbers.
fn distances(p: usize, seed: u64, method: Method) -> posterity::Result<Vec<(f64, f64)>> {
    let (ica, mixing) = Ica::simulated(p, N_OBSERVATIONS, seed)?;
    let target = WithParts(ica.likelihood_weight(1.0 / N_OBSERVATIONS as f64)?);
    let (flow, n_iterations) = match method {
        Method::Coin => (ParticleFlow::coin(Svgd::default()), N_ITERATIONS),
        Method::Gradient(rate) => (ParticleFlow::new(Svgd::default(), Sgd::new(rate)), N_ITERATIONS),
        Method::Start => (ParticleFlow::coin(Svgd::default()), 0),
    };
    let flow = flow.n_particles(N_PARTICLES).n_iterations(n_iterations).threads(Threads::serial());
    let distance = |w: ArrayView1<'_, f64>| {
        let unmixing = Array2::from_shape_fn((p, p), |(i, j)| w[i * p + j]);
        Ok((amari_distance(unmixing.view(), mixing.view())?, squared_distance(&unmixing.dot(&mixing))))
    };
    match flow.run(&target, seed) {
        Ok(particles) => particles.positions().rows().into_iter().map(distance).collect(),
        Err(Error::Particle { .. } | Error::ParticleNotFinite { .. }) => Ok(vec![(f64::INFINITY, f64::INFINITY); N_PARTICLES]),
        Err(error) => Err(error),
    }
}

/// Amari's distance of the product of unmixing and mixing matrix from a permutation, with squares in place of absolute values.
fn squared_distance(product: &Array2<f64>) -> f64 {
    let squares = product.mapv(|x| x * x);
    let excess = |line: ArrayView1<'_, f64>| line.sum() / line.fold(0.0, |max: f64, &x| max.max(x)) - 1.0;
    let sum: f64 = squares.rows().into_iter().chain(squares.columns()).map(excess).sum();
    sum / (2 * product.nrows()) as f64
}
