//! Stopping rules on three targets: a rotated normal distribution far from the start, eight schools, and a logistic regression.

use ndarray::{Array1, array};
use posterity::model::zoo::analytic::Gaussian;
use posterity::model::zoo::{EightSchoolsNoncentered, LogisticRegression};
use posterity::model::{Density, Target, WithGradient};
use posterity::step_rules::{Adam, Coin, RmsProp, Sgd};
use posterity::vi::{Estimator, FamilyStart, Fit, FullRank, MeanField, Objective, Stopping, Vi, Warning};

use crate::harness::Hand;

/// Ten dimensions, condition number of the covariance 31, at 20 in every coordinate, with a constant such as ten thousand
/// observations leave behind.
const OFFSET: f64 = -1e4;

pub(crate) fn gaussian(mean: f64) -> Gaussian {
    let correlated = Gaussian::autoregressive(10, 0.75).unwrap();
    Gaussian::new(Array1::from_elem(10, mean), correlated.covariance()).unwrap()
}

fn far() -> impl Target {
    let gaussian = gaussian(20.0);
    Hand::target(10, move |q, g| Ok(OFFSET + gaussian.log_density_gradient(q, g)?))
}

fn settled(fit: &Fit) -> bool {
    !fit.warnings().iter().any(|w| matches!(w, Warning::NotSettled { .. }))
}

fn stationary(vi: Vi) -> Vi {
    vi.n_iterations(30_000).stopping(Stopping::stationary())
}

/// KL(q‖p) of a fit to the normal target.
fn kl(fit: &Fit) -> f64 {
    OFFSET - fit.elbo()
}

/// The rule of Stan's ADVI: every 100 iterations the relative change of the bound; stop when its mean or median over a window is
/// below 0.01. Returns the iteration.
fn relative_change_stops(bounds: &[f64]) -> Option<usize> {
    let values: Vec<f64> = bounds.chunks_exact(100).map(|chunk| chunk[90..].iter().sum::<f64>() / 10.0).collect();
    let window = (bounds.len() / 1000).max(2);
    let mut changes: Vec<f64> = Vec::new();
    for i in 1..values.len() {
        changes.push(((values[i] - values[i - 1]) / values[i]).abs());
        let mut recent = changes[changes.len().saturating_sub(window)..].to_vec();
        recent.sort_by(f64::total_cmp);
        let mean = recent.iter().sum::<f64>() / recent.len() as f64;
        if mean < 0.01 || recent[recent.len() / 2] < 0.01 {
            return Some((i + 1) * 100);
        }
    }
    None
}

#[test]
fn stops_far_from_the_start_with_the_right_answer() {
    let vi = Vi::new(FullRank).start(FamilyStart::Origin).n_draws(2000);
    let fit = stationary(vi.clone()).fit(&far(), 1).unwrap();
    println!("normal: {} iterations, KL {:.5}", fit.n_iterations(), kl(&fit));
    assert!(settled(&fit));
    // 20 / 0.02 iterations to get there.
    assert!((1000..10_000).contains(&fit.n_iterations()), "{}", fit.n_iterations());
    assert!(kl(&fit) < 0.05, "{}", kl(&fit));
    assert_eq!((fit.bounds().len(), fit.n_gradient_evaluations()), (fit.n_iterations(), 10 * fit.n_iterations() as u64));
    // The rule that looks at relative changes of the bound is content long before.
    let all = vi.clone().n_iterations(10_000).n_draws(100).fit(&far(), 1).unwrap();
    let stop = relative_change_stops(all.bounds()).unwrap();
    let early = vi.n_iterations(stop).decay(1.0).fit(&far(), 1).unwrap();
    println!("relative change: {stop} iterations, KL {:.1}", kl(&early));
    assert!(stop < 500 && kl(&early) > 100.0, "{stop}: {}", kl(&early));
    // And its result says so.
    assert!(!settled(&early));
}

#[test]
fn stops_on_eight_schools() {
    let vi = stationary(Vi::new(MeanField));
    let fit = vi.fit(&EightSchoolsNoncentered::rubin(), 1).unwrap();
    let long = Vi::new(MeanField).n_iterations(10_000).fit(&EightSchoolsNoncentered::rubin(), 1).unwrap();
    println!(
        "eight schools: {} iterations, {:.3} and {:.3}, k-hat {:?}",
        fit.n_iterations(),
        fit.elbo(),
        long.elbo(),
        fit.pareto_k()
    );
    assert!(settled(&fit) && (600..10_000).contains(&fit.n_iterations()), "{}", fit.n_iterations());
    assert!((fit.elbo() - long.elbo()).abs() < 0.1 + 4.0 * fit.elbo_mcse(), "{} and {}", fit.elbo(), long.elbo());
}

/// With noise that does not vanish: the entropy in closed form, and minibatches.
#[test]
fn stops_on_noisy_gradients() {
    let model = LogisticRegression::simulated(200, 4, 1).unwrap();
    let reference = Vi::new(FullRank).n_iterations(3000).fit(&model, 1).unwrap();
    let vi = || stationary(Vi::new(FullRank).objective(Objective::elbo(10).estimator(Estimator::ClosedEntropy)));
    for (name, vi) in [("closed entropy", vi()), ("minibatch", stationary(Vi::new(FullRank)).minibatch(50))] {
        let fit = vi.fit(&model, 1).unwrap();
        let loss = reference.elbo() - fit.elbo();
        println!("{name}: {} iterations, loss {loss:.4} nats", fit.n_iterations());
        assert!(settled(&fit) && (600..20_000).contains(&fit.n_iterations()), "{name}: {}", fit.n_iterations());
        assert!(loss < 0.1, "{name}: {loss}");
    }
}

#[test]
fn stops_under_every_step_rule() {
    let target =
        WithGradient(Gaussian::new(array![1.0, -2.0, 0.5], Gaussian::autoregressive(3, 0.5).unwrap().covariance()).unwrap());
    let vi = || stationary(Vi::new(FullRank).initial_scale(0.5));
    let rules = [
        ("Adam", vi().step_rule(Adam::new(0.05))),
        ("RMSProp", vi().step_rule(RmsProp::new(0.02))),
        ("gradient ascent", vi().step_rule(Sgd::new(0.02))),
        ("coin", vi().step_rule(Coin::default())),
    ];
    for (name, vi) in rules {
        let fit = vi.fit(&target, 1).unwrap();
        println!("{name}: {} iterations, KL {:.5}", fit.n_iterations(), -fit.elbo());
        assert!(settled(&fit) && (300..15_000).contains(&fit.n_iterations()), "{name}: {}", fit.n_iterations());
        assert!(-fit.elbo() < 0.1, "{name}: {}", -fit.elbo());
    }
}

#[test]
fn says_when_it_could_not_stop() {
    // A learning rate with which the way is longer than the run.
    let fit = Vi::new(FullRank)
        .start(FamilyStart::Origin)
        .step_rule(Adam::new(0.002))
        .n_iterations(2000)
        .stopping(Stopping::stationary());
    let fit = fit.fit(&far(), 1).unwrap();
    assert!(!settled(&fit));
    assert_eq!(fit.n_iterations(), 2000);
}

/// Over 50 seeds all runs settle. Largest losses in nats, and iterations: normal 0.0008 (1500 to 2200), coin below 0.0001 (600 to
/// 800), closed entropy 0.0062 (2500 to 4700), minibatches 0.038 (4800 to 14 700), far from the start 0.0001 (3700 to 4700).
#[test]
#[ignore = "sweep over seeds"]
fn stopping_over_seeds() {
    let target = WithGradient(gaussian(1.0));
    let model = LogisticRegression::simulated(200, 4, 1).unwrap();
    let best = Vi::new(FullRank).n_iterations(3000).fit(&model, 1).unwrap().elbo();
    let (mut worst, mut iterations) = ([0.0_f64; 5], [(usize::MAX, 0); 5]);
    let mut note = |case: usize, fit: &Fit, loss: f64| {
        assert!(settled(fit), "{case}");
        worst[case] = worst[case].max(loss);
        let range = &mut iterations[case];
        *range = (range.0.min(fit.n_iterations()), range.1.max(fit.n_iterations()));
    };
    for seed in 0..50 {
        let fit = stationary(Vi::new(FullRank)).fit(&target, seed).unwrap();
        note(0, &fit, -fit.elbo());
        let fit = stationary(Vi::new(FullRank)).step_rule(Coin::default()).initial_scale(1.0).fit(&target, seed).unwrap();
        note(1, &fit, -fit.elbo());
        let fit = stationary(Vi::new(FullRank).objective(Objective::elbo(10).estimator(Estimator::ClosedEntropy)));
        let fit = fit.fit(&model, seed).unwrap();
        note(2, &fit, best - fit.elbo());
        let fit = stationary(Vi::new(FullRank)).minibatch(50).fit(&model, seed).unwrap();
        note(3, &fit, best - fit.elbo());
        let fit = stationary(Vi::new(FullRank)).start(FamilyStart::Origin).fit(&far(), seed).unwrap();
        note(4, &fit, kl(&fit));
    }
    println!("worst losses {worst:.4?}, iterations {iterations:?}");
}
