//! One check for every family: its derivatives agree with central differences, and with each other.

use crate::rng::Stream;
use crate::vi::approximation::{Approximation, Family};

/// Draws per check.
const N_DRAWS: usize = 4;

/// Checks, at random parameters: that log densities of draws and of positions agree; scores, pulled-back cotangents and parameter scores against central
/// differences; entropy and its gradient; and that a draw allocates nothing that changes its bits.
pub(crate) fn check_family(family: &dyn Family, dim: usize) {
    let mut rng = Stream::new(7);
    let mut q = family.start(dim, 0.8, &mut rng).unwrap();
    for trial in 0..3 {
        let parameters: Vec<f64> = q.parameters().iter().map(|x| x + 0.3 * rng.normal()).collect();
        check_at(q.as_mut(), &parameters, 100 + trial);
    }
}

/// The draws of a seed under given parameters.
fn draws(q: &mut dyn Approximation, parameters: &[f64], seed: u64) -> (Vec<f64>, Vec<f64>) {
    q.set_parameters(parameters).unwrap();
    let (mut draws, mut log_densities) = (vec![0.0; N_DRAWS * q.dim()], vec![0.0; N_DRAWS]);
    q.sample(&mut Stream::new(seed), &mut draws, &mut log_densities);
    (draws, log_densities)
}

fn log_density(q: &mut dyn Approximation, position: &[f64]) -> f64 {
    q.log_density_gradient(position, &mut vec![0.0; position.len()]).unwrap()
}

fn assert_close(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * (1.0 + expected.abs()), "{what}: {found} instead of {expected}");
}

/// As [`check_family`], at given parameters.
pub(crate) fn check_at(q: &mut dyn Approximation, parameters: &[f64], seed: u64) {
    const H: f64 = 1e-5;
    let (dim, n_parameters) = (q.dim(), parameters.len());
    let (positions, log_densities) = draws(q, parameters, seed);
    let mut scores = vec![0.0; positions.len()];
    q.scores(&mut scores);
    let mut random = Stream::new(seed + 1);
    let cotangents: Vec<f64> = (0..positions.len()).map(|_| random.normal()).collect();
    let coefficients: Vec<f64> = (0..N_DRAWS).map(|_| random.normal()).collect();
    let (mut pulled_back, mut parameter_scores) = (vec![1.0; n_parameters], vec![1.0; n_parameters]);
    q.pull_back(&cotangents, &mut pulled_back);
    q.parameter_scores(&coefficients, &mut parameter_scores);
    let mut scores_at = vec![1.0; n_parameters];
    if q.parameter_scores_at(&positions, &coefficients, &mut scores_at) {
        scores_at.iter().zip(&parameter_scores).for_each(|(at, own)| assert_close("parameter_scores_at", *at, *own, 1e-8));
    }
    let mut entropy_gradient = vec![1.0; n_parameters];
    let has_entropy = q.entropy_gradient(2.0, &mut entropy_gradient);
    assert_eq!(has_entropy, q.entropy().is_some());

    let mut gradient = vec![0.0; dim];
    for (i, position) in positions.chunks_exact(dim).enumerate() {
        let found = q.log_density_gradient(position, &mut gradient).unwrap();
        assert_close("log density at a draw", found, log_densities[i], 1e-9);
        for j in 0..dim {
            assert_close("score of a draw", scores[i * dim + j], gradient[j], 1e-8);
            let mut moved = position.to_vec();
            moved[j] = position[j] + H;
            let above = log_density(q, &moved);
            moved[j] = position[j] - H;
            let difference = (above - log_density(q, &moved)) / (2.0 * H);
            assert_close("score", gradient[j], difference, 1e-6);
        }
    }
    for k in 0..n_parameters {
        let mut moved = parameters.to_vec();
        let mut at = |value: f64| {
            moved[k] = value;
            let (drawn, _) = draws(q, &moved, seed);
            let through: f64 = drawn.iter().zip(&cotangents).map(|(z, c)| z * c).sum();
            let fixed: f64 = positions.chunks_exact(dim).zip(&coefficients).map(|(z, c)| c * log_density(q, z)).sum();
            (through, fixed, q.entropy().unwrap_or(0.0))
        };
        let (above, below) = (at(parameters[k] + H), at(parameters[k] - H));
        assert_close("pull_back", pulled_back[k] - 1.0, (above.0 - below.0) / (2.0 * H), 1e-6);
        assert_close("parameter_scores", parameter_scores[k] - 1.0, (above.1 - below.1) / (2.0 * H), 1e-6);
        assert_close("entropy_gradient", entropy_gradient[k] - 1.0, (above.2 - below.2) / H, 1e-6);
    }
    // Parameters out of range leave the distribution as it was.
    q.set_parameters(parameters).unwrap();
    let mut broken = parameters.to_vec();
    broken[n_parameters - 1] = f64::NAN;
    assert!(q.set_parameters(&broken).is_err());
    assert!(q.set_parameters(&parameters[1..]).is_err());
    assert_eq!(q.parameters(), parameters);
    assert_eq!(draws(q.clone_box().as_mut(), parameters, seed).0, positions);
}

/// Compares moments of 10⁵ draws with those that the approximation says it has: within six standard errors at a kurtosis of up to 9; and the entropy, where it is known, with the mean of -log q.
pub(crate) fn check_moments(q: &mut dyn Approximation) {
    const N: usize = 100_000;
    let dim = q.dim();
    let (mut draws, mut log_densities) = (vec![0.0; N * dim], vec![0.0; N]);
    q.sample(&mut Stream::new(11), &mut draws, &mut log_densities);
    let (mean, covariance) = (q.mean().unwrap(), q.covariance().unwrap());
    let root = (N as f64).sqrt();
    for i in 0..dim {
        let found = draws.chunks_exact(dim).map(|z| z[i]).sum::<f64>() / N as f64;
        let sd = covariance[[i, i]].sqrt();
        assert!((found - mean[i]).abs() < 6.0 * sd / root, "mean {i}: {found} instead of {}", mean[i]);
        for j in 0..=i {
            let products = draws.chunks_exact(dim).map(|z| (z[i] - mean[i]) * (z[j] - mean[j]));
            let found = products.sum::<f64>() / N as f64;
            let error = 6.0 * (8.0 * covariance[[i, i]] * covariance[[j, j]]).sqrt() / root;
            assert!((found - covariance[[i, j]]).abs() < error, "covariance {i}, {j}: {found} instead of {}", covariance[[i, j]]);
        }
    }
    if let Some(entropy) = q.entropy() {
        let found = -log_densities.iter().sum::<f64>() / N as f64;
        let variance = log_densities.iter().map(|x| (x + found).powi(2)).sum::<f64>() / N as f64;
        assert!((found - entropy).abs() < 6.0 * variance.sqrt() / root, "entropy: {found} instead of {entropy}");
    }
}

/// Integrates exp(log q) over the real line, in one dimension, by the rule of trapezia for z = sinh t.
pub(crate) fn check_normalised(q: &mut dyn Approximation) {
    const STEP: f64 = 1e-3;
    let sum: f64 =
        (-25_000..=25_000).map(|i| STEP * f64::from(i)).map(|t| log_density(q, &[t.sinh()]).exp() * t.cosh() * STEP).sum();
    assert!((sum - 1.0).abs() < 1e-9, "the density integrates to {sum}");
}

/// Checks scores in the parameters, of draws and of positions, and the gradient of the entropy, against central differences.
pub(crate) fn check_parameter_scores(q: &mut dyn Approximation, seed: u64) {
    const H: f64 = 1e-5;
    let parameters = q.parameters().to_vec();
    let (positions, log_densities) = draws(q, &parameters, seed);
    for (position, expected) in positions.chunks_exact(q.dim()).zip(log_densities) {
        assert_close("log density at a draw", log_density(q, position), expected, 1e-9);
    }
    let mut random = Stream::new(seed + 1);
    let mut coefficients: Vec<f64> = (0..N_DRAWS).map(|_| random.normal()).collect();
    coefficients[1] = 0.0;
    let (mut of_draws, mut at, mut entropy) =
        (vec![1.0; parameters.len()], vec![1.0; parameters.len()], vec![1.0; parameters.len()]);
    q.parameter_scores(&coefficients, &mut of_draws);
    if q.parameter_scores_at(&positions, &coefficients, &mut at) {
        at.iter().zip(&of_draws).for_each(|(a, b)| assert_close("parameter_scores_at", *a, *b, 1e-9));
    }
    q.entropy_gradient(2.0, &mut entropy);
    for k in 0..parameters.len() {
        let mut moved = parameters.clone();
        let mut at = |value: f64| {
            moved[k] = value;
            q.set_parameters(&moved).unwrap();
            let fixed: f64 = positions.chunks_exact(q.dim()).zip(&coefficients).map(|(z, c)| c * log_density(q, z)).sum();
            (fixed, q.entropy().unwrap_or(0.0))
        };
        let (above, below) = (at(parameters[k] + H), at(parameters[k] - H));
        assert_close("parameter_scores", of_draws[k] - 1.0, (above.0 - below.0) / (2.0 * H), 1e-6);
        assert_close("entropy_gradient", entropy[k] - 1.0, (above.1 - below.1) / H, 1e-6);
    }
    q.set_parameters(&parameters).unwrap();
}
