//! Every model against itself: derivatives against differences, rows against the whole.

use posterity::autodiff::DataMatrix;
use posterity::model::zoo::analytic::{Banana, Funnel, Gaussian, NormalMean};
use posterity::model::zoo::{
    Arma11, Autoregression, CentredRegression, EightSchools, EightSchoolsNoncentered, Garch11, GaussianMixture, GpPoisson,
    GpRegression, HilbertGp, HmmExponential, HmmGaussian, LinearRegression, LogisticRegression, ScalePrior, Trend,
};
use posterity::model::{Target, Values, WithGradient};
use posterity::rng::{Purpose, Stream};

/// Every model of the zoo, on small made-up data.
fn zoo() -> Vec<(&'static str, Box<dyn Target>)> {
    let series =
        |n: usize, offset: f64| -> Vec<f64> { (0..n).map(|t| offset + (1.7 * t as f64).sin() + 0.05 * t as f64).collect() };
    let positive = |n: usize| -> Vec<f64> { series(n, 0.0).iter().map(|x| x.exp()).collect() };
    let x = || {
        let columns: Vec<Vec<f64>> = (0..3).map(|k| (0..12).map(|i| (f64::from(i) * 0.8 + k as f64).cos()).collect()).collect();
        DataMatrix::from_columns(&columns.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap()
    };
    let linear = |sd, prior| Box::new(LinearRegression::new(x(), series(12, 1.0), sd, prior).unwrap());
    vec![
        ("eight schools centred", Box::new(EightSchools::rubin())),
        ("eight schools noncentred", Box::new(EightSchoolsNoncentered::rubin())),
        ("linear, flat", linear(None, ScalePrior::Flat)),
        ("linear, half-Cauchy", linear(None, ScalePrior::HalfCauchy(2.5))),
        ("linear, half-normal", linear(Some(10.0), ScalePrior::HalfNormal(10.0))),
        ("centred", Box::new(CentredRegression::new(&x(), series(12, 8.0)).unwrap())),
        ("trend", Box::new(Trend::new(&series(9, 3.0), series(9, 1.0), (1.0, 10.0), (0.0, 2.0)).unwrap())),
        ("logistic", Box::new(LogisticRegression::simulated(20, 4, 3).unwrap())),
        ("autoregression", Box::new(Autoregression::new(3, &series(15, 0.5)).unwrap())),
        ("arma", Box::new(Arma11::new(series(15, 0.5)).unwrap())),
        ("garch", Box::new(Garch11::new(series(15, 0.5), 0.5).unwrap())),
        ("gp regression", Box::new(GpRegression::new(vec![-3.0, -1.0, 0.5, 2.0], series(4, 0.0)).unwrap())),
        ("gp poisson", Box::new(GpPoisson::new(vec![-3.0, -1.0, 0.5, 2.0], vec![4, 0, 2, 7]).unwrap())),
        ("hmm gaussian", Box::new(HmmGaussian::new(series(12, 6.0)).unwrap())),
        ("hmm exponential", Box::new(HmmExponential::new(positive(12), positive(12), [[4.0, 2.0], [2.0, 3.0]]).unwrap())),
        ("mixture", Box::new(GaussianMixture::new(series(15, 0.0)).unwrap())),
        ("hilbert gp", Box::new(HilbertGp::new(series(12, -5.0), (x(), &[0.5, 1.0, 1.5]), (x(), &[0.4, 0.8, 1.2])).unwrap())),
        ("gaussian", Box::new(WithGradient(Gaussian::autoregressive(4, 0.7).unwrap()))),
        ("ill-conditioned", Box::new(WithGradient(Gaussian::ill_conditioned(4, 100.0).unwrap()))),
        ("funnel", Box::new(Funnel::new(4))),
        ("banana", Box::new(Banana::new(0.7).unwrap())),
        ("normal mean", Box::new(NormalMean::new(series(6, 0.0), 1.2, 0.5, 2.0).unwrap())),
    ]
}

/// Three positions with coordinates from N(0, 0.5²).
fn positions(dim: usize) -> Vec<Vec<f64>> {
    (0..3)
        .map(|k| Stream::keyed(11, Purpose::Simulation, k, 0))
        .map(|mut s| (0..dim).map(|_| 0.5 * s.normal()).collect())
        .collect()
}

/// Central differences of f along each coordinate, extrapolated from steps h and h/2: error O(h⁴) and rounding 1e-16 |f| / h.
fn differences(position: &[f64], mut f: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    let mut slope = |i: usize, h: f64| {
        let mut moved = position.to_vec();
        moved[i] += h;
        let above = f(&moved);
        moved[i] -= 2.0 * h;
        (above - f(&moved)) / (2.0 * h)
    };
    let h = 1e-3;
    (0..position.len()).map(|i| (4.0 * slope(i, h / 2.0) - slope(i, h)) / 3.0).collect()
}

fn assert_close(name: &str, what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    let scale = expected.iter().fold(1.0_f64, |m, e| m.max(e.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= tolerance * scale, "{name}: {what}[{i}] is {f}, expected {e}");
    }
}

#[test]
fn gradients_are_slopes_and_plain_values_agree_with_the_tape() {
    for (name, target) in zoo() {
        let dim = target.dim().unwrap();
        let mut evaluator = target.evaluator().unwrap();
        for position in positions(dim) {
            let mut gradient = vec![0.0; dim];
            let on_tape = evaluator.log_density_gradient(&position, &mut gradient).unwrap();
            let plain = evaluator.log_density(&position).unwrap();
            assert!((on_tape - plain).abs() <= 1e-13 * plain.abs().max(1.0), "{name}: {on_tape} on the tape, {plain} plain");
            let slopes = differences(&position, |q| evaluator.log_density(q).unwrap());
            // h⁴ f⁽⁵⁾/480 with fifth derivatives up to 1e5 of the largest slope, at h = 1e-3.
            assert_close(name, "gradient", &gradient, &slopes, 1e-8);
        }
    }
}

#[test]
fn hessian_products_are_slopes_of_the_gradient() {
    for (name, target) in zoo() {
        let dim = target.dim().unwrap();
        let mut evaluator = target.evaluator().unwrap();
        for position in positions(dim) {
            let direction: Vec<f64> = (0..dim).map(|i| (1.0 + i as f64).sin()).collect();
            let mut product = vec![0.0; dim];
            evaluator.hessian_vector(&position, &direction, &mut product).unwrap();
            let mut along = |t: f64| {
                let moved: Vec<f64> = position.iter().zip(&direction).map(|(q, d)| q + t * d).collect();
                let mut gradient = vec![0.0; dim];
                evaluator.log_density_gradient(&moved, &mut gradient).unwrap();
                gradient
            };
            let mut slope = |h: f64| -> Vec<f64> {
                along(h).iter().zip(along(-h)).map(|(above, below)| (above - below) / (2.0 * h)).collect()
            };
            let expected: Vec<f64> =
                slope(5e-4).iter().zip(slope(1e-3)).map(|(fine, coarse)| (4.0 * fine - coarse) / 3.0).collect();
            assert_close(name, "Hessian product", &product, &expected, 1e-7);
        }
    }
}

#[test]
fn pointwise_terms_sum_to_the_likelihood() {
    for (name, target) in zoo() {
        let dim = target.dim().unwrap();
        let mut evaluator = target.evaluator().unwrap();
        for position in positions(dim) {
            let mut terms = Vec::new();
            evaluator.log_likelihood_terms(&position, &mut terms).unwrap();
            let parts = evaluator.log_density_parts(&position).unwrap();
            let sum: f64 = terms.iter().sum();
            assert!((sum - parts.log_likelihood).abs() <= 1e-12 * sum.abs().max(1.0), "{name}: {sum}, {}", parts.log_likelihood);
            if let Some(n) = evaluator.n_observations() {
                assert_eq!(terms.len(), n, "{name}");
            }
        }
    }
}

#[test]
fn minibatches_are_unbiased_over_all_batches() {
    let mut n_models = 0;
    for (name, target) in zoo() {
        let dim = target.dim().unwrap();
        let mut evaluator = target.evaluator().unwrap();
        let Some(n) = evaluator.n_observations() else { continue };
        n_models += 1;
        let position = &positions(dim)[0];
        let (mut full, mut batch) = (vec![0.0; dim], vec![0.0; dim]);
        let value = evaluator.log_density_gradient(position, &mut full).unwrap();

        let all: Vec<usize> = (0..n).collect();
        let same = evaluator.minibatch_gradient(position, &all, &mut batch).unwrap();
        assert!((same - value).abs() <= 1e-12 * value.abs().max(1.0), "{name}: {same} over all rows, {value}");
        assert_close(name, "gradient over all rows", &batch, &full, 1e-12);

        // Every batch of two different rows is equally likely: their mean is the full gradient.
        let (mut mean, mut mean_value, mut n_batches) = (vec![0.0; dim], 0.0, 0);
        for i in 0..n {
            for j in 0..i {
                mean_value += evaluator.minibatch_gradient(position, &[i, j], &mut batch).unwrap();
                mean.iter_mut().zip(&batch).for_each(|(m, b)| *m += b);
                n_batches += 1;
            }
        }
        mean.iter_mut().for_each(|m| *m /= f64::from(n_batches));
        mean_value /= f64::from(n_batches);
        assert!((mean_value - value).abs() <= 1e-11 * value.abs().max(1.0), "{name}: {mean_value} on average, {value}");
        assert_close(name, "mean minibatch gradient", &mean, &full, 1e-11);

        // A row that is drawn twice counts twice.
        let (mut once, mut twice) = (vec![0.0; dim], vec![0.0; dim]);
        evaluator.minibatch_gradient(position, &[1], &mut once).unwrap();
        evaluator.minibatch_gradient(position, &[1, 1], &mut twice).unwrap();
        assert_close(name, "gradient of a doubled row", &twice, &once, 1e-12);
    }
    assert_eq!(n_models, 17);
}

/// Draws from the prior have the declared names and lie in their supports, predictions are reproducible and of the data's length.
#[test]
fn prior_draws_and_predictions_fit_the_model() {
    // Moments and distributions of these draws are the business of joint-distribution tests of the samplers.
    for (name, target) in zoo() {
        let dim = target.dim().unwrap();
        for position in positions(dim) {
            let simulate = || target.predict(&position, &mut Stream::new(5)).unwrap();
            let simulated = simulate();
            assert_eq!(simulated, simulate(), "{name}");
            for (variable, entries) in simulated.iter() {
                assert!(entries.iter().all(|y| y.is_finite()), "{name}: {variable:?}");
                if let Some(n) = target.evaluator().unwrap().n_observations() {
                    assert_eq!(entries.len(), n, "{name}: {}", variable.name);
                }
            }
        }
    }
}

#[test]
fn positions_survive_the_way_to_constrained_values_and_back() {
    for (name, target) in zoo() {
        for position in positions(target.dim().unwrap()) {
            let mut constrained = Vec::new();
            target.constrain(&position, &mut constrained).unwrap();
            let mut values = Values::new();
            let mut rest = constrained.as_slice();
            for variable in target.variables().unwrap() {
                let (entries, tail) = rest.split_at(variable.size());
                values.set_array(&variable.name, &variable.shape, entries.to_vec());
                rest = tail;
            }
            assert!(rest.is_empty(), "{name}");
            let back = target.unconstrain(&values).unwrap();
            assert_close(name, "position", &back, &position, 1e-9);
        }
    }
}
