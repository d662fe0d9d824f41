//! Samples against distribution functions and moments.

use std::f64::consts::PI;

use rand_distr::Distribution;
use statrs::distribution::{self as reference, ContinuousCDF};

use super::super::*;
use crate::autodiff::Lower;
use crate::rng::Stream;

const N: usize = 20_000;

/// By the inequality of Dvoretzky, Kiefer, Wolfowitz & Massart, P(√N sup|Fₙ - F| > t) ≤ 2 exp(-2t²): 2e-6 for a right sampler at t = 2.63.
/// All 25 comparisons of this file together raise a false alarm with probability 5e-5 over seeds; these are fixed.
fn check_distance(name: &str, distance: f64) {
    assert!(distance * (N as f64).sqrt() < 2.63, "{name}: distance {distance}");
}

fn check_continuous(name: &str, sampler: &impl Distribution<f64>, cdf: impl Fn(f64) -> f64) {
    let mut rng = Stream::new(11);
    let mut draws: Vec<f64> = (0..N).map(|_| sampler.sample(&mut rng)).collect();
    draws.sort_by(f64::total_cmp);
    let distance = draws.iter().enumerate().fold(0.0_f64, |d, (i, &y)| {
        let f = cdf(y);
        d.max((f - i as f64 / N as f64).abs()).max((f - (i + 1) as f64 / N as f64).abs())
    });
    check_distance(name, distance);
}

fn check_counts(name: &str, sampler: &impl Distribution<u64>, ln_pmf: impl Fn(u64) -> f64) {
    let mut rng = Stream::new(12);
    let mut numbers = vec![0.0; 2000];
    for _ in 0..N {
        numbers[sampler.sample(&mut rng).min(1999) as usize] += 1.0 / N as f64;
    }
    let (mut empirical, mut exact, mut distance) = (0.0, 0.0, 0.0_f64);
    for k in 0..1999 {
        empirical += numbers[k];
        exact += ln_pmf(k as u64).exp();
        distance = distance.max((empirical - exact).abs());
    }
    check_distance(name, distance);
}

#[test]
fn continuous_samples_have_their_distribution() {
    let normal = reference::Normal::new(0.7, 1.9).unwrap();
    check_continuous("normal", &Normal::new(0.7, 1.9).unwrap(), |y| normal.cdf(y));
    let centred = reference::Normal::new(0.0, 1.9).unwrap();
    check_continuous("half_normal", &HalfNormal::new(1.9).unwrap(), |y| 2.0 * centred.cdf(y) - 1.0);
    check_continuous("log_normal", &LogNormal::new(0.7, 1.9).unwrap(), |y| normal.cdf(y.ln()));
    let t = reference::StudentsT::new(0.7, 1.9, 2.3).unwrap();
    check_continuous("student_t", &StudentT::new(2.3, 0.7, 1.9).unwrap(), |y| t.cdf(y));
    let t = reference::StudentsT::new(0.0, 1.9, 2.3).unwrap();
    check_continuous("half_student_t", &HalfStudentT::new(2.3, 1.9).unwrap(), |y| 2.0 * t.cdf(y) - 1.0);
    check_continuous("cauchy", &Cauchy::new(0.7, 1.9).unwrap(), |y| 0.5 + ((y - 0.7) / 1.9).atan() / PI);
    check_continuous("half_cauchy", &HalfCauchy::new(1.9).unwrap(), |y| 2.0 / PI * (y / 1.9).atan());
    for shape in [0.4, 5.3] {
        let gamma = reference::Gamma::new(shape, 1.9).unwrap();
        check_continuous("gamma", &Gamma::new(shape, 1.9).unwrap(), |y| gamma.cdf(y));
        let inverse = reference::InverseGamma::new(shape, 1.9).unwrap();
        check_continuous("inverse_gamma", &InverseGamma::new(shape, 1.9).unwrap(), |y| inverse.cdf(y));
        let beta = reference::Beta::new(shape, 1.7).unwrap();
        check_continuous("beta", &Beta::new(shape, 1.7).unwrap(), |y| beta.cdf(y));
    }
    check_continuous("exponential", &Exponential::new(1.9).unwrap(), |y| -(-1.9 * y).exp_m1());
    check_continuous("uniform", &Uniform::new(-0.7, 1.9).unwrap(), |y| (y + 0.7) / 2.6);
    check_continuous("logistic", &Logistic::new(0.7, 1.9).unwrap(), |y| 1.0 / (1.0 + (-(y - 0.7) / 1.9).exp()));
    let laplace = |y: f64| if y < 0.7 { 0.5 * ((y - 0.7) / 1.9).exp() } else { 1.0 - 0.5 * (-(y - 0.7) / 1.9).exp() };
    check_continuous("laplace", &Laplace::new(0.7, 1.9).unwrap(), laplace);
    let (first, second) = (reference::Normal::new(0.7, 1.9).unwrap(), reference::Normal::new(3.0, 0.4).unwrap());
    let mixture = NormalMixture::new(0.3, 0.7, 1.9, 3.0, 0.4).unwrap();
    check_continuous("normal_mixture", &mixture, |y| 0.3 * first.cdf(y) + 0.7 * second.cdf(y));
}

#[test]
fn counts_have_their_distribution() {
    let bernoulli = Bernoulli::new(0.3).unwrap();
    check_counts("bernoulli", &bernoulli, |k| bernoulli.ln_pmf(k));
    let categorical = Categorical::new(vec![0.2, 0.0, 0.5, 0.3]).unwrap();
    check_counts("categorical", &categorical, |k| categorical.ln_pmf(k));
    for rate in [0.0, 3.4, 120.0] {
        let poisson = Poisson::new(rate).unwrap();
        check_counts("poisson", &poisson, |k| poisson.ln_pmf(k));
    }
    let neg_binomial = NegBinomial::new(3.4, 0.8).unwrap();
    check_counts("neg_binomial", &neg_binomial, |k| neg_binomial.ln_pmf(k));
    let binomial = Binomial::new(40, 0.3).unwrap();
    check_counts("binomial", &binomial, |k| binomial.ln_pmf(k));
}

#[test]
fn vectors_have_their_moments() {
    let mut rng = Stream::new(13);
    let mean = |f: &mut dyn FnMut() -> f64| (0..N).map(|_| f()).sum::<f64>() / N as f64;
    let normal = MultiNormal::new(vec![1.0, -2.0], Lower::from_entries(2, vec![2.0, 0.6, 0.8]).unwrap()).unwrap();
    // Covariance [[4, 1.2], [1.2, 1]]; sd of the product of the centred coordinates √(4·1 + 1.2²) = 2.34: 5 standard errors.
    let covariance = mean(&mut || {
        let y: Vec<f64> = normal.sample(&mut rng);
        (y[0] - 1.0) * (y[1] + 2.0)
    });
    assert!((covariance - 1.2).abs() < 5.0 * 2.34 / (N as f64).sqrt(), "{covariance}");
    // Dirichlet margins are Beta(a, total - a).
    let dirichlet = Dirichlet::new(vec![0.05, 2.0, 3.5]).unwrap();
    for (k, a) in [(0, 0.05), (1, 2.0)] {
        let margin = reference::Beta::new(a, 5.55 - a).unwrap();
        let mut draws: Vec<f64> = (0..N).map(|_| dirichlet.sample(&mut rng)[k]).collect();
        draws.sort_by(f64::total_cmp);
        let distance = draws.iter().enumerate().fold(0.0_f64, |d, (i, &y)| d.max((margin.cdf(y) - i as f64 / N as f64).abs()));
        check_distance("dirichlet", distance);
    }
    let tiny = Dirichlet::new(vec![1e-4; 3]).unwrap().sample(&mut rng);
    assert!((tiny.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    // Every correlation r of an LKJ matrix: (r + 1)/2 ~ Beta(b, b) with b = eta - 1 + n/2.
    let lkj = LkjCholesky::new(3, 1.6).unwrap();
    let margin = reference::Beta::new(2.1, 2.1).unwrap();
    for (i, j) in [(1, 0), (2, 0), (2, 1)] {
        let mut draws: Vec<f64> = (0..N)
            .map(|_| {
                let factor = lkj.sample(&mut rng);
                let r: f64 = factor.row(i).iter().zip(factor.row(j)).map(|(a, b)| a * b).sum();
                0.5 * (r + 1.0)
            })
            .collect();
        draws.sort_by(f64::total_cmp);
        let distance = draws.iter().enumerate().fold(0.0_f64, |d, (k, &r)| d.max((margin.cdf(r) - k as f64 / N as f64).abs()));
        check_distance("lkj", distance);
    }
}
