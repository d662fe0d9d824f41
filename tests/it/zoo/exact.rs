//! Likelihoods against computations that share no code with the models.

use posterity::model::Target;
use posterity::model::zoo::{GpRegression, HmmExponential, HmmGaussian, LogisticRegression};
use std::f64::consts::PI;

fn inv_logit(u: f64) -> f64 {
    1.0 / (1.0 + (-u).exp())
}

/// Σ over all state paths of Π theta[s(t-1)][s(t)] Π p(y[t] | s(t)), the first state without weight.
fn brute_force(n: usize, theta: [[f64; 2]; 2], density: impl Fn(usize, usize) -> f64) -> f64 {
    (0..1_usize << n)
        .map(|path| {
            let state = |t: usize| path >> t & 1;
            (0..n).map(|t| density(t, state(t)) * if t == 0 { 1.0 } else { theta[state(t - 1)][state(t)] }).product::<f64>()
        })
        .sum()
}

#[test]
fn the_forward_algorithm_sums_over_all_paths() {
    let y = [3.8, 8.2, 9.4, 7.1, 2.9, 3.3, 10.5, 4.0];
    let model = HmmGaussian::new(y.to_vec()).unwrap();
    let position = [0.4, -0.7, 1.2, 1.9];
    let (a, b) = (inv_logit(position[0]), inv_logit(position[1]));
    let mu = [position[2].exp(), position[2].exp() + position[3].exp()];
    let density = |t: usize, k: usize| (-0.5 * (y[t] - mu[k]).powi(2)).exp() / (2.0 * PI).sqrt();
    let expected = brute_force(y.len(), [[a, 1.0 - a], [b, 1.0 - b]], density).ln();
    let found = model.evaluator().unwrap().log_density_parts(&position).unwrap().log_likelihood;
    assert!((found - expected).abs() < 1e-12 * expected.abs(), "{found}, {expected}");
}

#[test]
fn the_forward_algorithm_sums_over_all_paths_of_exponential_pairs() {
    let u = [0.1, 0.4, 1.9, 0.2, 0.05, 2.5, 0.7, 0.3];
    let v = [1.1, 0.2, 0.3, 0.9, 2.4, 0.6, 0.15, 0.8];
    let model = HmmExponential::new(u.to_vec(), v.to_vec(), [[4.0, 2.0], [2.0, 4.0]]).unwrap();
    let position = [0.9, -0.3, -0.2, 0.6, -0.5, 0.8];
    let (a, b) = (inv_logit(position[0]), inv_logit(position[1]));
    let pair = |u: f64, v: f64| [u.exp(), u.exp() + v.exp()];
    let (phi, lambda) = (pair(position[2], position[3]), pair(position[4], position[5]));
    let density = |t: usize, k: usize| phi[k] * (-phi[k] * u[t]).exp() * lambda[k] * (-lambda[k] * v[t]).exp();
    let expected = brute_force(u.len(), [[a, 1.0 - a], [b, 1.0 - b]], density).ln();
    let found = model.evaluator().unwrap().log_density_parts(&position).unwrap().log_likelihood;
    assert!((found - expected).abs() < 1e-12 * expected.abs(), "{found}, {expected}");
}

/// Observations far from both means underflow in every density, and still give a finite log-likelihood with a finite gradient.
#[test]
fn the_forward_algorithm_survives_outliers() {
    let model = HmmGaussian::new(vec![3.0, 1e4, -1e4, 10.0]).unwrap();
    let mut gradient = [0.0; 4];
    let value = model.evaluator().unwrap().log_density_gradient(&[0.0, 0.0, 1.0, 2.0], &mut gradient).unwrap();
    assert!(value < -9e7 && value.is_finite());
}

/// Gauss-Jordan elimination without pivoting of a positive definite matrix: quadratic form of the inverse, and log determinant.
fn dense(mut a: Vec<Vec<f64>>, y: &[f64]) -> (f64, f64) {
    let n = y.len();
    let mut x = y.to_vec();
    let mut log_determinant = 0.0;
    for k in 0..n {
        let pivot = a[k][k];
        log_determinant += pivot.ln();
        for i in (0..n).filter(|&i| i != k) {
            let factor = a[i][k] / pivot;
            for j in k..n {
                a[i][j] -= factor * a[k][j];
            }
            x[i] -= factor * x[k];
        }
    }
    let solution: Vec<f64> = (0..n).map(|k| x[k] / a[k][k]).collect();
    (y.iter().zip(&solution).map(|(a, b)| a * b).sum(), log_determinant)
}

#[test]
fn gaussian_process_regression_is_a_multivariate_normal() {
    let x = [-10.0, -7.5, -6.0, -4.1, 0.3, 2.0, 8.8];
    let y = [4.8, 1.6, 3.0, 5.3, -1.2, 0.4, 2.2];
    let model = GpRegression::new(x.to_vec(), y.to_vec()).unwrap();
    for position in [[1.8, 0.4, -1.2], [0.3, 1.0, 0.2]] {
        let [rho, alpha, sigma] = position.map(f64::exp);
        let covariance: Vec<Vec<f64>> = (0..7)
            .map(|i| {
                let entry = |j: usize| alpha * alpha * (-(x[i] - x[j]).powi(2) / (2.0 * rho * rho)).exp();
                (0..7).map(|j| entry(j) + if i == j { sigma } else { 0.0 }).collect()
            })
            .collect();
        let (quadratic, log_determinant) = dense(covariance, &y);
        let expected = -0.5 * (quadratic + log_determinant + 7.0 * (2.0 * PI).ln());
        let found = model.evaluator().unwrap().log_density_parts(&position).unwrap().log_likelihood;
        assert!((found - expected).abs() < 1e-11 * expected.abs(), "{found}, {expected}");
    }
}

#[test]
fn logistic_regression_is_a_product_of_probabilities() {
    let model = LogisticRegression::simulated(30, 3, 1).unwrap();
    let beta = [0.7, -1.1, 0.2];
    let expected: f64 = (0..30)
        .map(|i| {
            let p = inv_logit(model.design().row(i).iter().zip(&beta).map(|(x, b)| x * b).sum());
            (if model.responses()[i] { p } else { 1.0 - p }).ln()
        })
        .sum();
    let found = model.evaluator().unwrap().log_density_parts(&beta).unwrap().log_likelihood;
    assert!((found - expected).abs() < 1e-12 * expected.abs(), "{found}, {expected}");
}
