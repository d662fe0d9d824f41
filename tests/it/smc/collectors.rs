//! Collectors against what the history says.

use posterity::model::zoo::{Ar1, Bearings, StochasticVolatility, Track2d};
use posterity::model::{Simulate, StateSpaceModel};
use posterity::parallel::Threads;
use posterity::rng::Stream;
use posterity::smc::collectors::{Moments, Quantiles, Trace};
use posterity::smc::smoothing::FixedLagSmoother;
use posterity::smc::{Bootstrap, Collector, Keep, Smc, SmcConfig, Snapshot};

fn model(n_steps: usize) -> Ar1 {
    let model = Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 0.5, y: Vec::new() };
    let (_, y) = model.simulate(n_steps, &mut Stream::new(4));
    Ar1 { y, ..model }
}

#[test]
fn collectors_record_what_the_history_holds() {
    let mut smc = Smc::new(Bootstrap(model(20)), SmcConfig::new(50, 1).keep(Keep::All)).unwrap();
    let moments = Moments::new(|x: &f64| [*x, 1e6 + x]);
    let quantiles = Quantiles::new([0.0, 0.3, 1.0], |x: &f64| *x).unwrap();
    let mut steps = Vec::new();
    let closure = |s: &Snapshot<'_, Vec<f64>>| steps.push(s.info);
    let mut collectors = (Trace::new(), moments, quantiles, closure);
    // Collectors start again at step 0.
    smc.run_with(&mut collectors).unwrap();
    smc.restart(2);
    let summary = smc.run_with(&mut collectors).unwrap();
    let (trace, moments, quantiles, _) = collectors;
    assert_eq!(trace.steps(), &steps[20..]);
    assert_eq!(trace.log_evidence().last(), Some(summary.log_evidence));
    assert_eq!(trace.resampled().count(), summary.n_resampled);
    assert_eq!(trace.ess().fold(f64::INFINITY, f64::min), summary.least_ess);
    for (t, generation) in smc.history().generations().enumerate() {
        let weights: Vec<f64> = generation.log_weights.iter().map(|w| w.exp()).collect();
        let total: f64 = weights.iter().sum();
        let mean = generation.population.iter().zip(&weights).map(|(x, w)| x * w / total).sum::<f64>();
        let variance = generation.population.iter().zip(&weights).map(|(x, w)| (x - mean).powi(2) * w / total).sum::<f64>();
        let (found, spread) = (moments.means()[t], moments.variances()[t]);
        // Sums of 50 terms below 10; adding 1e6 costs its last digit, 1.2e-10, in every value.
        assert!((found[0] - mean).abs() < 1e-13 && (spread[0] - variance).abs() < 1e-12);
        assert!((found[1] - 1e6 - mean).abs() < 1e-9 && (spread[1] - variance).abs() < 1e-8);
        // The quantile is the particle at which the weight below it crosses the probability.
        let [least, at, largest] = quantiles.values()[t];
        let below =
            |x: f64| generation.population.iter().zip(&weights).filter(|(y, _)| **y < x).map(|(_, w)| w / total).sum::<f64>();
        let mass = generation.population.iter().zip(&weights).filter(|(y, _)| **y == at).map(|(_, w)| w / total).sum::<f64>();
        assert!(below(at) < 0.3 && below(at) + mass >= 0.3);
        assert_eq!(least, generation.population.iter().copied().fold(f64::INFINITY, f64::min));
        // The largest but for particles whose weights together are lost in rounding.
        assert!((below(largest) < 1.0 - 1e-16) && below(largest.next_up()) > 1.0 - 1e-14);
    }
}

#[test]
fn boxed_collectors_collect_side_by_side() {
    let (mut trace, mut count) = (Trace::new(), 0);
    let mut smc = Smc::new(Bootstrap(model(9)), SmcConfig::new(20, 1)).unwrap();
    {
        let mut all: Vec<Box<dyn Collector<Vec<f64>> + '_>> =
            vec![Box::new(|s: &Snapshot<'_, Vec<f64>>| trace.collect(s)), Box::new(|_: &Snapshot<'_, Vec<f64>>| count += 1)];
        smc.run_with(&mut all).unwrap();
    }
    assert_eq!((trace.steps().len(), count), (9, 9));
}

#[test]
fn probabilities_out_of_range_are_refused() {
    for p in [-0.1, 1.1, f64::NAN] {
        assert!(Quantiles::new([0.5, p], |x: &f64| *x).is_err());
    }
}

#[test]
fn collecting_allocates_nothing_but_room_for_the_record() {
    let mut smc = Smc::new(Bootstrap(model(128)), SmcConfig::new(200, 1).threads(Threads::serial())).unwrap();
    let f = |x: &f64| [*x];
    let mut collectors =
        (Trace::new(), Moments::new(f), Quantiles::new([0.5], |x: &f64| *x).unwrap(), FixedLagSmoother::new(3, f));
    let mut steps = |n: usize| {
        for _ in 0..n {
            let info = smc.step().unwrap().unwrap();
            collectors.collect(&smc.snapshot(info));
        }
    };
    // Records double from 4 entries on: none grows between 65 and 127.
    steps(65);
    let info = allocation_counter::measure(|| steps(60));
    assert_eq!(info.count_total, 0, "{info:?}");
}

/// Mean of standardised squares over simulated steps, which must be 1.
fn mean_square<M: Simulate>(model: &M, squares: impl Fn(&M::State, &M::Observation) -> Vec<f64>) -> (f64, f64) {
    let (x, y) = model.simulate(20_000, &mut Stream::new(9));
    let squares: Vec<f64> = x.iter().zip(&y).flat_map(|(x, y)| squares(x, y)).collect();
    let n = squares.len() as f64;
    let mean = squares.iter().sum::<f64>() / n;
    // The squares of standard normal numbers have variance 2.
    ((mean - 1.0) / (2.0 / n).sqrt(), n)
}

#[test]
fn simulated_observations_have_the_model_s_noise() {
    let square = |r: f64, sd: f64| (r / sd).powi(2);
    let ar1 = mean_square(&model(0), |x, y| vec![square(y - x, 0.5)]);
    let volatility = StochasticVolatility { mu: -1.0, rho: 0.9, sigma: 0.3, y: Vec::new() };
    let volatility = mean_square(&volatility, |x, y| vec![square(*y, (0.5 * x).exp())]);
    let track = Track2d { damping: 0.9, q: 0.1, sigma_y: 0.3, y: Vec::new() };
    let track = mean_square(&track, |x, y| vec![square(y[0] - x[0], 0.3), square(y[1] - x[1], 0.3)]);
    let bearings = Bearings { damping: 0.9, pull: 0.05, sigma_x: 0.1, sigma_y: 0.02, y: Vec::new() };
    let bearings = mean_square(&bearings, |x, y| {
        let expected = Bearings::bearings(x);
        // Differences of angles far from ±π, as the target stays above both sensors.
        vec![square(y[0] - expected[0], 0.02), square(y[1] - expected[1], 0.02)]
    });
    for (z, n) in [ar1, volatility, track, bearings] {
        assert!(z.abs() < 4.5 && n >= 20_000.0, "z = {z}");
    }
    // States follow the transitions: the autoregression's stationary variance, by a thousand starts of three steps.
    let model = model(0);
    let mut rng = Stream::new(5);
    let last: Vec<f64> = (0..4000).map(|_| model.simulate(3, &mut rng).0[2]).collect();
    let variance = last.iter().map(|x| x * x).sum::<f64>() / 4000.0;
    // 1 / (1 - 0.81) with relative standard error √(2/4000) = 0.022; 4.5 of them.
    assert!((variance * 0.19 - 1.0).abs() < 0.1, "{variance}");
    assert_eq!(model.n_steps(), 0);
}
