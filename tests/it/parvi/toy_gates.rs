//! Coin SVGD on the planar targets and over six orders of magnitude of scale, without a setting changed.
//!
//! 20 particles, 1000 iterations, 10 starts from N(0, 0.1²). Bounds are a tenth above the means of an independent implementation with other random
//! numbers, and above its largest value for all but the squiggle. The energy distance is the V-statistic to 2000 exact draws.

use std::ops::ControlFlow;

use ndarray::{Array2, Axis};
use posterity::DensityError;
use posterity::diagnostics::{energy_distance, ksd, scores_of};
use posterity::model::zoo::toy;
use posterity::model::{Density, WithGradient};
use posterity::parallel::{Threads, map_indexed};
use posterity::parvi::{CloudStart, ParticleFlow, Svgd};
use posterity::rng::Stream;
use posterity::step_rules::RmsProp;

fn coin_svgd() -> ParticleFlow<Svgd> {
    ParticleFlow::coin(Svgd::default()).n_particles(20).n_iterations(1000).threads(Threads::serial())
}

struct Bounds {
    ksd: f64,
    /// `None` where the weights of the modes are up to chance.
    energy: Option<f64>,
    /// KSD after 100 iterations over that of the start.
    fall: Option<f64>,
    /// Energy distance over that of 20 exact draws.
    beside_exact: Option<f64>,
}

const STARTS: u64 = 10;

fn check(name: &str, bounds: &Bounds) {
    let planar = toy::by_name(name).unwrap();
    let exact = planar.samples(2000, &mut Stream::new(12_345));
    let mut rng = Stream::new(1);
    let draws: f64 = (0..20).map(|_| energy_distance(&planar.samples(20, &mut rng), &exact).unwrap() / 20.0).sum();
    let target = WithGradient(planar);
    let (mut at_start, mut at_100, mut at_250, mut at_end, mut energy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let discrepancy = |x: &Array2<f64>| ksd(x, scores_of(&target, x.view()).unwrap().view()).unwrap() / STARTS as f64;
    let flow = coin_svgd().start(CloudStart::Normal { sd: 0.1 });
    for seed in 0..STARTS {
        let particles = flow
            .run_observed(&target, seed, |transport| {
                match transport.iteration() {
                    0 => at_start += discrepancy(&transport.positions()),
                    100 => at_100 += discrepancy(&transport.positions()),
                    250 => at_250 += discrepancy(&transport.positions()),
                    _ => {}
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        let last = particles.positions().to_owned();
        at_end += discrepancy(&last);
        energy += energy_distance(&last, &exact).unwrap() / STARTS as f64;
    }
    assert!(at_end <= bounds.ksd, "{name}: KSD {at_end}");
    assert!(at_end <= 1.1 * at_250, "{name}: KSD {at_250} then {at_end}");
    if let Some(bound) = bounds.energy {
        assert!(energy <= bound, "{name}: energy distance {energy}");
    }
    if let Some(bound) = bounds.fall {
        assert!(at_100 <= bound * at_start, "{name}: KSD {at_start} then {at_100}");
    }
    if let Some(bound) = bounds.beside_exact {
        assert!(energy <= bound * draws, "{name}: {energy}, exact draws {draws}");
    }
}

#[test]
fn gaussian() {
    check("gaussian", &Bounds { ksd: 0.135, energy: Some(0.0135), fall: Some(0.15), beside_exact: Some(0.35) });
}

#[test]
fn mixture() {
    check("mixture", &Bounds { ksd: 0.24, energy: None, fall: Some(0.12), beside_exact: None });
}

#[test]
fn rosenbrock() {
    check("rosenbrock", &Bounds { ksd: 0.205, energy: Some(0.022), fall: Some(0.15), beside_exact: Some(0.35) });
}

#[test]
fn donut() {
    check("donut", &Bounds { ksd: 0.285, energy: Some(0.023), fall: Some(0.1), beside_exact: Some(0.35) });
}

#[test]
fn funnel() {
    check("funnel", &Bounds { ksd: 0.34, energy: Some(1.6), fall: None, beside_exact: None });
}

#[test]
fn squiggle() {
    check("squiggle", &Bounds { ksd: 0.23, energy: Some(0.032), fall: Some(0.15), beside_exact: Some(0.35) });
}

#[test]
fn coin_is_far_ahead_of_a_small_learning_rate() {
    const SEEDS: u64 = 3;
    for name in ["gaussian", "mixture", "rosenbrock", "donut"] {
        let target = WithGradient(toy::by_name(name).unwrap());
        let discrepancy = |flow: ParticleFlow<Svgd>| -> f64 {
            let flow = flow.n_particles(20).n_iterations(1000).start(CloudStart::Normal { sd: 0.1 }).threads(Threads::serial());
            let of_run = |seed| {
                let particles = flow.run(&target, seed).unwrap();
                ksd(particles.positions(), scores_of(&target, particles.positions()).unwrap().view()).unwrap()
            };
            (0..SEEDS).map(of_run).sum::<f64>() / SEEDS as f64
        };
        let coin = discrepancy(ParticleFlow::coin(Svgd::default()));
        let rms_prop = discrepancy(ParticleFlow::new(Svgd::default(), RmsProp::new(2e-3)));
        // 0.73, 0.27, 0.26 and 0.48 over ten starts.
        assert!(coin <= 0.75 * rms_prop, "{name}: {coin} beside {rms_prop}");
    }
}

/// N(0, s² I) in the plane.
struct Scaled(f64);

impl Density for Scaled {
    fn dim(&self) -> usize {
        2
    }

    fn log_density_gradient(&self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let mut log_density = 0.0;
        for c in 0..2 {
            gradient[c] = -x[c] / self.0 / self.0;
            log_density += 0.5 * x[c] * gradient[c];
        }
        Ok(log_density)
    }
}

/// Mean error and standard deviation after 1000 iterations from about (2 s, 2 s), in units of s.
fn from_two_deviations_off(s: f64, seed: u64) -> (f64, f64) {
    let mut rng = Stream::new(seed);
    let start = Array2::from_shape_simple_fn((20, 2), || s * (2.0 + 0.1 * rng.normal()));
    let particles = coin_svgd().start(CloudStart::Positions(start)).run(&WithGradient(Scaled(s)), 1).unwrap();
    let x = particles.positions().to_owned() / s;
    let mean = x.mean_axis(Axis(0)).unwrap();
    let variances = (&x - &mean).mapv(|x| x * x).mean_axis(Axis(0)).unwrap();
    (mean.iter().fold(0.0, |largest: f64, m| largest.max(m.abs())), 0.5 * (variances[0].sqrt() + variances[1].sqrt()))
}

const SCALES: [f64; 7] = [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1e3];

/// Over 200 starts (the sweep below) the median error is at most 2e-4 on every scale. Single starts lie above 2e-3, and up to 0.03: 1 to 5 in a
/// hundred, and 20 at s = 1e-3, where the first step goes 500 standard deviations. So the median of five is what is asked for. The standard deviation
/// lies outside of [0.85, 0.88] in 1 to 5 starts of a hundred, by at most 0.005; in none of these.
#[test]
fn one_default_serves_six_orders_of_magnitude() {
    for s in SCALES {
        let (mut errors, sds): (Vec<f64>, Vec<f64>) = (0..5).map(|seed| from_two_deviations_off(s, seed)).unzip();
        errors.sort_by(f64::total_cmp);
        assert!(errors[2] <= 2e-3 && errors[4] <= 0.04, "{s:e}: {errors:?}");
        // 20 particles are too narrow, by the same factor on every scale.
        assert!(sds.iter().all(|sd| (0.85..=0.88).contains(sd)), "{s:e}: {sds:?}");
    }
}

#[test]
#[ignore = "the sweep behind the comment above, 1400 runs"]
fn sweep_of_scales() {
    for s in SCALES {
        let runs = map_indexed(200, None, |seed| from_two_deviations_off(s, seed as u64));
        let (mut errors, sds): (Vec<f64>, Vec<f64>) = runs.into_iter().unzip();
        errors.sort_by(f64::total_cmp);
        let n_above = errors.iter().filter(|&&error| error > 2e-3).count();
        let n_outside = sds.iter().filter(|sd| !(0.85..=0.88).contains(*sd)).count();
        println!(
            "s = {s:e}: mean error {:.1e} (median), {:.1e} (largest), {n_above} above 2e-3; {n_outside} sd outside",
            errors[100], errors[199]
        );
        assert!(errors[100] <= 3e-4 && n_above <= if s < 2e-3 { 60 } else { 20 } && n_outside <= 20);
    }
}
