//! Variational inference without a learning rate: coin betting on three targets.

use posterity::model::WithGradient;
use posterity::model::zoo::{EightSchoolsNoncentered, LogisticRegression};
use posterity::step_rules::Coin;
use posterity::vi::{FamilyStart, Fit, FullRank, MeanField, Vi, Warning};

use super::stopping::gaussian;

/// A scale like the posterior's: from a narrow start the first gradients, which are the unit of all bets, are far too large.
fn coin(vi: Vi) -> Vi {
    vi.start(FamilyStart::Origin).step_rule(Coin::default()).initial_scale(1.0)
}

fn report(name: &str, fit: &Fit) {
    println!("{name}: ELBO {:.4} ({:.4}), k-hat {:?}, {:?}", fit.elbo(), fit.elbo_mcse(), fit.pareto_k(), fit.warnings());
    assert!(!fit.warnings().iter().any(|w| matches!(w, Warning::NotSettled { .. })), "{name}: {:?}", fit.warnings());
}

/// A normal distribution in ten dimensions, condition number of the covariance 31.
#[test]
fn full_rank_on_a_normal_distribution() {
    let target = WithGradient(gaussian(1.0));
    let fit = coin(Vi::new(FullRank)).n_iterations(3000).fit(&target, 1).unwrap();
    report("normal", &fit);
    assert!(-fit.elbo() < 0.005 && fit.pareto_k().unwrap() < 0.5, "KL {}", -fit.elbo());
}

/// k-hat of a fit by Adam, 5000 iterations, is like that of coin betting: over 50 seeds 0.61 and 0.55 in the middle, 0.82 and 0.80 at most, and above
/// 0.7 in 7 and 6. It is an estimate from the largest of the 4000 weights: of ten times as many draws, as here, 2 of 50 are above 0.7, so that three of
/// five are once in 1700 times. Over 50 seeds the mean of mu was 4.23 to 4.49.
#[test]
fn mean_field_on_eight_schools() {
    let model = EightSchoolsNoncentered::rubin();
    let adam = Vi::new(MeanField).n_iterations(5000).fit(&model, 1).unwrap();
    let mut n_usable = 0;
    for seed in 1..=5 {
        let fit = coin(Vi::new(MeanField)).n_iterations(3000).n_draws(40_000).fit(&model, seed).unwrap();
        report("eight schools", &fit);
        assert!(fit.elbo() > adam.elbo() - 0.1, "{} and {}", fit.elbo(), adam.elbo());
        n_usable += usize::from(fit.pareto_k().unwrap() < 0.7);
        // Reference: 4.4.
        let mu = fit.summary().row("mu").unwrap().clone();
        assert!((mu.mean - 4.4).abs() < 0.5, "{mu:?}");
    }
    assert!(n_usable >= 3, "{n_usable}");
}

#[test]
fn full_rank_on_a_logistic_regression() {
    let model = LogisticRegression::simulated(200, 4, 1).unwrap();
    let fit = coin(Vi::new(FullRank)).n_iterations(3000).fit(&model, 1).unwrap();
    let adam = Vi::new(FullRank).n_iterations(5000).fit(&model, 1).unwrap();
    report("logistic regression", &fit);
    assert!(fit.elbo() > adam.elbo() - 0.02, "{} and {}", fit.elbo(), adam.elbo());
    report("logistic regression by Adam", &adam);
}

#[test]
#[ignore = "sweep over settings"]
fn coin_over_settings() {
    let (target, schools) = (WithGradient(gaussian(1.0)), EightSchoolsNoncentered::rubin());
    let logistic = LogisticRegression::simulated(200, 4, 1).unwrap();
    for scale in [0.1, 1.0] {
        for n in [3000, 10_000] {
            for share in [0.0, 0.2, 0.5] {
                let vi = |vi: Vi| coin(vi).n_iterations(n).averaged_share(share).initial_scale(scale);
                let fits = [
                    vi(Vi::new(FullRank)).fit(&target, 1).unwrap(),
                    vi(Vi::new(MeanField)).fit(&target, 1).unwrap(),
                    vi(Vi::new(MeanField)).fit(&schools, 1).unwrap(),
                    vi(Vi::new(FullRank)).fit(&logistic, 1).unwrap(),
                ];
                let results = fits.map(|fit| (fit.elbo(), fit.pareto_k().unwrap_or(f64::NAN), fit.warnings().len()));
                println!("scale {scale}, n {n}, share {share}: {results:.3?}");
            }
        }
    }
}
