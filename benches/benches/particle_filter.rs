//! Bootstrap filters through the trait that a user implements, against hand-written loops in the same run.
//!
//! `cargo bench -p posterity-benches --bench particle_filter`; a word filters rows by name. "block" is a model with block methods and
//! vectorised exp, "scalar" one with the scalar methods only and the standard library's exp; each has its own floor. The last table compares
//! two threads with two independent copies on a thread each. The floors do what a careful hand-written filter does, without checks for
//! NaN, statuses, Eve indices and history.

use std::time::Instant;

use posterity::model::StateSpaceModel;
use posterity::model::zoo::{Ar1, StochasticVolatility, Track2d};
use posterity::parallel::Threads;
use posterity::rng::Stream;
use posterity::smc::{Bootstrap, Smc, SmcConfig};
use posterity_benches::filter;
use posterity_benches::filter_floor::FloorFilter;
use posterity_benches::stopwatch::{compare_within, median};

const BUDGET: f64 = 2.0;
const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_7;

/// An autoregression with the scalar methods only, as a user writes it first.
#[derive(Debug)]
struct PlainAr1 {
    y: Vec<f64>,
}

impl StateSpaceModel for PlainAr1 {
    type State = f64;

    fn n_steps(&self) -> usize {
        self.y.len()
    }

    fn initial(&self, rng: &mut Stream) -> f64 {
        rng.normal() / (1.0_f64 - 0.81).sqrt()
    }

    fn transition(&self, _t: usize, x: &f64, rng: &mut Stream) -> f64 {
        0.9 * x + rng.normal()
    }

    fn log_observation(&self, t: usize, x: &f64) -> f64 {
        let r = self.y[t] - x;
        -0.5 * r * r - LN_SQRT_2PI
    }
}

/// Stochastic volatility with the scalar methods only.
#[derive(Debug)]
struct PlainVolatility {
    mu: f64,
    rho: f64,
    sigma: f64,
    y: Vec<f64>,
}

impl StateSpaceModel for PlainVolatility {
    type State = f64;

    fn n_steps(&self) -> usize {
        self.y.len()
    }

    fn initial(&self, rng: &mut Stream) -> f64 {
        self.mu + self.sigma / (1.0 - self.rho * self.rho).sqrt() * rng.normal()
    }

    fn transition(&self, _t: usize, x: &f64, rng: &mut Stream) -> f64 {
        self.mu + self.rho * (x - self.mu) + self.sigma * rng.normal()
    }

    fn log_observation(&self, t: usize, x: &f64) -> f64 {
        -0.5 * (x + self.y[t] * self.y[t] * (-x).exp()) - LN_SQRT_2PI
    }
}

/// One row: the engine against the floor.
fn row<M: StateSpaceModel>(
    name: &str,
    limit: f64,
    model: &M,
    n: usize,
    initial: impl Fn(usize, &[M::State], &[u32], &mut Stream, &mut [M::State], &mut [f64]),
    step: impl Fn(usize, &[M::State], &[u32], &mut Stream, &mut [M::State], &mut [f64]),
) {
    if !format!("{name} {n}").contains(&filter()) {
        return;
    }
    let n_steps = model.n_steps();
    let config = SmcConfig::new(n, 1).threads(Threads::serial());
    let mut engine = Smc::new(Bootstrap(model), config).expect("valid settings");
    let mut floor = FloorFilter::new(n);
    let (mut a, mut b) = (0, 0);
    let (mut sum_a, mut sum_b) = (0.0, 0.0);
    let result = compare_within(
        BUDGET,
        || {
            a += 1;
            engine.restart(a);
            let log_evidence = engine.run().expect("no error").log_evidence;
            sum_a += log_evidence;
            log_evidence
        },
        || {
            b += 1;
            let log_evidence = floor.run(n_steps, b, &initial, &step);
            sum_b += log_evidence;
            log_evidence
        },
    );
    let per = 1e3 / (n * n_steps) as f64;
    let ok = if result.ratio <= limit { "" } else { "  over" };
    println!(
        "{name:<16} {n:>8} {n_steps:>6} {:>9.2} {:>9.2} {:>7.2} {limit:>6.2}{ok}   (log-evidence {:.2}, {:.2})",
        result.first * per,
        result.second * per,
        result.ratio,
        sum_a / a as f64,
        sum_b / b as f64
    );
}

fn observations(n_steps: usize, mut sd: impl FnMut(&mut Stream) -> f64) -> Vec<f64> {
    let mut rng = Stream::new(3);
    (0..n_steps).map(|_| sd(&mut rng) * rng.normal()).collect()
}

fn lg1d(n_steps: usize) -> Ar1 {
    let mut rng = Stream::new(5);
    let mut x = 2.3 * rng.normal();
    let mut y = Vec::new();
    for _ in 0..n_steps {
        y.push(x + rng.normal());
        x = 0.9 * x + rng.normal();
    }
    Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 1.0, y }
}

fn sv(n_steps: usize) -> StochasticVolatility {
    let mut x = -1.02;
    let y = observations(n_steps, |rng| {
        x = -1.02 + 0.9702 * (x + 1.02) + 0.178 * rng.normal();
        (0.5 * x).exp()
    });
    StochasticVolatility { mu: -1.02, rho: 0.9702, sigma: 0.178, y }
}

fn track(n_steps: usize) -> Track2d {
    let mut model = Track2d { damping: 0.98, q: 0.05, sigma_y: 1.0, y: Vec::new() };
    let mut rng = Stream::new(5);
    let mut x = model.initial(&mut rng);
    for _ in 0..n_steps {
        model.y.push([x[0] + rng.normal(), x[1] + rng.normal()]);
        x = model.transition(0, &x, &mut rng);
    }
    model
}

fn lg1d_rows(n: usize, n_steps: usize) {
    let model = lg1d(n_steps);
    let y = model.y.clone();
    let sd0 = 1.0 / (1.0_f64 - 0.81).sqrt();
    let weigh = |y: f64, x: &[f64], w: &mut [f64]| {
        for (w, x) in w.iter_mut().zip(x) {
            let r = y - x;
            *w = -0.5 * r * r - LN_SQRT_2PI;
        }
    };
    let initial = |_: usize, _: &[f64], _: &[u32], rng: &mut Stream, x: &mut [f64], w: &mut [f64]| {
        for x in x.iter_mut() {
            *x = sd0 * rng.normal();
        }
        weigh(y[0], x, w);
    };
    let step = |t: usize, from: &[f64], a: &[u32], rng: &mut Stream, x: &mut [f64], w: &mut [f64]| {
        for (x, &a) in x.iter_mut().zip(a) {
            *x = 0.9 * from[a as usize] + rng.normal();
        }
        weigh(y[t], x, w);
    };
    row("lg1d block", 1.7, &model, n, initial, step);
    let model = PlainAr1 { y: y.clone() };
    let step = |t: usize, from: &[f64], a: &[u32], rng: &mut Stream, x: &mut [f64], w: &mut [f64]| {
        for ((x, &a), w) in x.iter_mut().zip(a).zip(w) {
            *x = 0.9 * from[a as usize] + rng.normal();
            let r = y[t] - *x;
            *w = -0.5 * r * r - LN_SQRT_2PI;
        }
    };
    row("lg1d scalar", 1.3, &model, n, initial, step);
}

fn sv_rows(n: usize, n_steps: usize) {
    let model = sv(n_steps);
    let (mu, rho, sigma, y) = (model.mu, model.rho, model.sigma, model.y.clone());
    let initial = |_: usize, _: &[f64], _: &[u32], rng: &mut Stream, x: &mut [f64], w: &mut [f64]| {
        for (x, w) in x.iter_mut().zip(w) {
            *x = mu + sigma / (1.0 - rho * rho).sqrt() * rng.normal();
            *w = -0.5 * (*x + y[0] * y[0] * (-*x).exp()) - LN_SQRT_2PI;
        }
    };
    let block = |t: usize, from: &[f64], a: &[u32], rng: &mut Stream, x: &mut [f64], w: &mut [f64]| {
        for ((x, &a), w) in x.iter_mut().zip(a).zip(w.iter_mut()) {
            *x = mu + rho * (from[a as usize] - mu) + sigma * rng.normal();
            *w = -*x;
        }
        posterity::math::vectorised::exp_in_place(w);
        let square = y[t] * y[t];
        for (x, w) in x.iter().zip(w) {
            *w = -0.5 * (x + square * *w) - LN_SQRT_2PI;
        }
    };
    row("sv block", 1.7, &model, n, initial, block);
    let scalar = |t: usize, from: &[f64], a: &[u32], rng: &mut Stream, x: &mut [f64], w: &mut [f64]| {
        let square = y[t] * y[t];
        for ((x, &a), w) in x.iter_mut().zip(a).zip(w) {
            *x = mu + rho * (from[a as usize] - mu) + sigma * rng.normal();
            *w = -0.5 * (*x + square * (-*x).exp()) - LN_SQRT_2PI;
        }
    };
    row("sv scalar", 1.3, &PlainVolatility { mu, rho, sigma, y: y.clone() }, n, initial, scalar);
}

fn track_rows(n: usize, n_steps: usize) {
    let model = track(n_steps);
    let y = model.y.clone();
    let weigh = |y: [f64; 2], x: &[f64; 4]| {
        let (r, s) = (y[0] - x[0], y[1] - x[1]);
        -0.5 * (r * r + s * s) - 2.0 * LN_SQRT_2PI
    };
    let initial = |_: usize, _: &[[f64; 4]], _: &[u32], rng: &mut Stream, x: &mut [[f64; 4]], w: &mut [f64]| {
        for (x, w) in x.iter_mut().zip(w) {
            *x = [rng.normal(), rng.normal(), rng.normal(), rng.normal()];
            *w = weigh(y[0], x);
        }
    };
    let (a, b) = ((0.05_f64 / 3.0).sqrt(), 0.025 / (0.05_f64 / 3.0).sqrt());
    let c = (0.05 - b * b).sqrt();
    let step = |t: usize, from: &[[f64; 4]], ancestors: &[u32], rng: &mut Stream, x: &mut [[f64; 4]], w: &mut [f64]| {
        for ((x, &i), w) in x.iter_mut().zip(ancestors).zip(w) {
            let p = &from[i as usize];
            let z = [rng.normal(), rng.normal(), rng.normal(), rng.normal()];
            *x = [
                p[0] + p[2] + a * z[0],
                p[1] + p[3] + a * z[1],
                0.98 * p[2] + b * z[0] + c * z[2],
                0.98 * p[3] + b * z[1] + c * z[3],
            ];
            *w = weigh(y[t], x);
        }
    };
    row("track2d block", 1.8, &model, n, initial, step);
}

/// Seconds of a job.
fn seconds(job: impl FnOnce()) -> f64 {
    let start = Instant::now();
    job();
    start.elapsed().as_secs_f64()
}

/// Two threads on one filter against one thread on each of two filters.
fn threads_row<M: StateSpaceModel>(name: &str, model: &M, n: usize) {
    if !format!("{name} threads {n}").contains(&filter()) {
        return;
    }
    let engine = |threads| Smc::new(Bootstrap(model), SmcConfig::new(n, 1).threads(threads)).expect("valid settings");
    let mut alone = engine(Threads::serial());
    let mut copies = [engine(Threads::serial()), engine(Threads::serial())];
    let mut two = engine(Threads::new(2).expect("two threads"));
    let run = |engine: &mut Smc<Bootstrap<&M>>, seed: u64| {
        engine.restart(seed);
        engine.run().expect("no error");
    };
    let (mut of_copies, mut of_two) = (Vec::new(), Vec::new());
    for seed in 0..15 {
        let one = seconds(|| run(&mut alone, seed));
        let [a, b] = &mut copies;
        let both = seconds(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| run(a, seed));
                run(b, seed);
            });
        });
        of_copies.push(2.0 * one / both);
        of_two.push(one / seconds(|| run(&mut two, seed)));
    }
    let ratios: Vec<f64> = of_two.iter().zip(&of_copies).map(|(a, b)| a / b).collect();
    let (copies, two, ratio) = (median(of_copies), median(of_two), median(ratios));
    println!("{name:<16} {n:>8} {copies:>9.2} {two:>9.2} {ratio:>7.2}   0.85{}", if ratio >= 0.85 { "" } else { "  under" });
}

fn main() {
    println!("{:<16} {:>8} {:>6} {:>9} {:>9} {:>7} {:>6}", "ns/particle/step", "N", "T", "engine", "floor", "ratio", "limit");
    for (n, n_steps) in [(1_000, 500), (10_000, 200), (100_000, 60), (1_000_000, 20)] {
        lg1d_rows(n, n_steps);
        sv_rows(n, n_steps);
        track_rows(n, n_steps);
    }
    println!("\n{:<16} {:>8} {:>9} {:>9} {:>7}", "speed-up", "N", "2 copies", "2 threads", "ratio");
    for (n, n_steps) in [(10_000, 300), (100_000, 60), (1_000_000, 15)] {
        threads_row("lg1d", &lg1d(n_steps), n);
        threads_row("sv", &sv(n_steps), n);
        threads_row("track2d", &track(n_steps), n);
    }
}
