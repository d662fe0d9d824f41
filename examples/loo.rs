//! How well do models predict? Leave-one-out cross-validation from one fit of each, beside the exact one.
//!
//! ```text
//! cargo run --release --example loo [-- --seed 1]
//!
//! y[i] ~ N(β · x[i], 0.5)    β[k] ~ N(0, 2)    for the predictors 1, t and 1, t, t²
//! ```
//! Forty observations come from a parabola; one of them is far off. With normal priors and known noise the density of an observation given all
//! others is normal with known moments, so that every estimate can be checked. The last estimate holds few log likelihoods at a time: the target
//! is evaluated again at the draws.

#[path = "reference/mod.rs"]
#[allow(dead_code)]
mod reference;

use posterity::diagnostics::{Loo, PointwiseLogLikelihood, compare, unconstrained_draws};
use posterity::linalg::{cholesky_in_place, cholesky_inverse};
use posterity::prelude::*;

const NOISE: f64 = 0.5;
const PRIOR_SD: f64 = 2.0;
const FAR_OFF: usize = 33;

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

    /// Log density of every observation given all others: with P the inverse of the covariance of y, y[i] is normal of variance 1/P[i, i], and
    /// (P y)[i] / P[i, i] away from its mean.
    fn exact(&self) -> Result<Vec<f64>, posterity::Error> {
        let n = self.y.len();
        let mut covariance = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                let dot: f64 = self.x.row(i).iter().zip(self.x.row(j)).map(|(a, b)| a * b).sum();
                covariance[i * n + j] = PRIOR_SD * PRIOR_SD * dot + if i == j { NOISE * NOISE } else { 0.0 };
            }
        }
        cholesky_in_place(&mut covariance, n).map_err(|e| e.named("covariance of y"))?;
        let precision = cholesky_inverse(&covariance, n).map_err(|e| e.named("covariance of y"))?;
        let density = |(i, row): (usize, &[f64])| {
            let distance = row.iter().zip(&self.y).map(|(p, y)| p * y).sum::<f64>() / row[i];
            0.5 * (row[i].ln() - std::f64::consts::TAU.ln() - row[i] * distance * distance)
        };
        Ok(precision.chunks_exact(n).enumerate().map(density).collect())
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
}

/// A parabola with noise, and an outlier.
fn simulate() -> (Vec<f64>, Vec<f64>) {
    let mut stream = Stream::new(4);
    let t: Vec<f64> = (0..40).map(|i| -1.0 + f64::from(i) / 19.5).collect();
    let mut y: Vec<f64> = t.iter().map(|t| 0.5 - t + 1.5 * t * t + NOISE * stream.normal()).collect();
    y[FAR_OFF] += 2.0;
    (t, y)
}

fn main() -> Result<(), posterity::Error> {
    let seed = reference::seed(1)?;
    let (t, y) = simulate();
    let line = Polynomial::new(&t, &y, 1)?;
    let parabola = Polynomial::new(&t, &y, 2)?;
    let sample = |model: &Polynomial| Nuts::default().sample(model, Run::new(seed).keep_log_likelihood());
    let (of_line, of_parabola) = (sample(&line)?, sample(&parabola)?);
    let estimates = [of_line.loo()?, of_parabola.loo()?];

    println!("parabola\n{}", estimates[1]);
    println!("{}", compare(&[("line", &estimates[0]), ("parabola", &estimates[1])])?);

    println!("{:<10}{:>12}{:>9}{:>12}{:>9}", "", "elpd_loo", "mcse", "exact", "z");
    for (name, model, loo) in [("line", &line, &estimates[0]), ("parabola", &parabola, &estimates[1])] {
        let exact: f64 = model.exact()?.iter().sum();
        let mcse = loo.mcse_elpd_loo().unwrap_or(f64::NAN);
        println!("{name:<10}{:>12.3}{mcse:>9.3}{exact:>12.3}{:>9.2}", loo.elpd_loo(), (loo.elpd_loo() - exact) / mcse);
    }

    println!("\n{:<10}{:>12}{:>9}{:>12}{:>9}{:>12}", "parabola", "elpd", "mcse", "exact", "k", "reliability");
    let exact = parabola.exact()?;
    for i in [0, 10, FAR_OFF] {
        let point = estimates[1].pointwise()[i];
        let k = point.pareto_k.unwrap_or(f64::NAN);
        println!(
            "{:<10}{:>12.3}{:>9.3}{:>12.3}{k:>9.2}{:>12}",
            format!("y[{i}]"),
            point.elpd,
            point.mcse,
            exact[i],
            point.reliability
        );
    }

    let positions = unconstrained_draws(&parabola, &of_parabola)?;
    let mut terms =
        PointwiseLogLikelihood::from_target(&parabola, positions.view())?.in_chains(of_parabola.n_chains())?.memory(1 << 18);
    println!("\nparabola, 256 KiB at a time: elpd_loo {:.3}", Loo::new(&mut terms)?.elpd_loo());
    Ok(())
}
