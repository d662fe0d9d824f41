//! Which predictors belong into a regression? Model choice by evidence, estimated by tempering and known exactly.
//!
//! ```text
//! cargo run --release --example model_evidence [-- seed]
//!
//! y[i] ~ N(β · x[i], 0.5)    β[k] ~ N(0, 2)    for every subset of the predictors 1, t, t², t³
//! ```
//! Forty observations come from a parabola. With normal priors and known noise the evidence is a multivariate normal density, so every
//! estimate can be
//! checked: it should lie within two or three of its own standard errors. The cubic fits best, as it must, but the evidence prefers the
//! parabola: it pays
//! for a coefficient only what the data say about it.

use posterity::linalg::{cholesky_in_place, cholesky_log_determinant, solve_cholesky};
use posterity::prelude::*;
use posterity::smc::sampler::SmcSampler;

const NOISE: f64 = 0.5;
const PRIOR_SD: f64 = 2.0;

/// A polynomial regression with known noise.
struct Polynomial {
    x: DataMatrix,
    y: Vec<f64>,
}

impl Polynomial {
    /// Powers of t up to `degree`.
    fn new(t: &[f64], y: &[f64], degree: usize) -> Result<Self, posterity::Error> {
        let columns: Vec<Vec<f64>> = (0..=degree as i32).map(|k| t.iter().map(|t| t.powi(k)).collect()).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        Ok(Self { x: DataMatrix::from_columns(&columns)?, y: y.to_vec() })
    }

    /// log N(y; 0, σ² I + s² X Xᵀ).
    fn log_evidence(&self) -> Result<f64, posterity::Error> {
        let n = self.y.len();
        let mut covariance = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                let dot: f64 = self.x.row(i).iter().zip(self.x.row(j)).map(|(a, b)| a * b).sum();
                covariance[i * n + j] = PRIOR_SD * PRIOR_SD * dot + if i == j { NOISE * NOISE } else { 0.0 };
            }
        }
        cholesky_in_place(&mut covariance, n).map_err(|e| e.named("covariance of y"))?;
        let mut solved = self.y.clone();
        solve_cholesky(&covariance, n, &mut solved).map_err(|e| e.named("covariance of y"))?;
        let quadratic: f64 = self.y.iter().zip(&solved).map(|(a, b)| a * b).sum();
        let log_determinant = cholesky_log_determinant(&covariance, n).map_err(|e| e.named("covariance of y"))?;
        Ok(-0.5 * (n as f64 * std::f64::consts::TAU.ln() + log_determinant + quadratic))
    }
}

impl Model for Polynomial {
    type Parameters<T: Real> = Vec<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Vec<T> {
        space.vector("beta", self.x.n_cols())
    }

    fn log_prior<T: Real>(&self, beta: &Vec<T>, lp: &mut LogP<T>) {
        lp.normal(beta, &0.0, &PRIOR_SD);
    }

    fn log_likelihood<T: Real>(&self, beta: &Vec<T>, lp: &mut LogP<T>) {
        lp.normal_glm(&self.y, &self.x, &0.0, beta, &NOISE);
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    // The first particles are exact draws from the prior.
    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        let beta: Vec<f64> = (0..self.x.n_cols()).map(|_| PRIOR_SD * rng.normal()).collect();
        out.set_vector("beta", &beta);
        true
    }
}

fn main() -> Result<(), posterity::Error> {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut rng = Stream::new(7);
    let t: Vec<f64> = (0..40).map(|i| f64::from(i) / 20.0 - 0.975).collect();
    let y: Vec<f64> = t.iter().map(|t| 0.4 - 0.9 * t + 1.1 * t * t + NOISE * rng.normal()).collect();

    let sampler = SmcSampler::tempering().n_particles(10_000).waste_free(200);
    let (mut estimates, mut exact) = (Vec::new(), Vec::new());
    println!("degree   log-evidence (estimate ± s.e.)      exact    steps");
    for degree in 0..=3 {
        let model = Polynomial::new(&t, &y, degree)?;
        let result = sampler.sample(&model, seed)?;
        let se = result.log_evidence_se.unwrap_or(f64::NAN);
        estimates.push(result.log_evidence);
        exact.push(model.log_evidence()?);
        println!("{degree:>6}   {:>14.4} ± {se:.4}   {:>19.4}   {:>6}", result.log_evidence, exact[degree], result.stages.len());
    }

    let shares = |log_evidences: &[f64]| -> Vec<f64> {
        let total = posterity::math::log_sum_exp(log_evidences);
        log_evidences.iter().map(|e| (e - total).exp()).collect()
    };
    println!("\nPosterior probability of each degree, all equal beforehand:");
    for (degree, (found, exact)) in shares(&estimates).iter().zip(shares(&exact)).enumerate() {
        println!("{degree:>6}   {found:.3} (exact {exact:.3})");
    }

    println!("\nThe run for the parabola, and its draws:\n");
    let result = sampler.sample(&Polynomial::new(&t, &y, 2)?, seed)?;
    println!("{result}\n{}", result.draws.summary());
    Ok(())
}
