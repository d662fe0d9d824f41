//! Regression on a Gaussian process: an unknown smooth function of which nothing is assumed but how fast and how far it swings.
//!
//! ```text
//! cargo run --release --example gaussian_process [-- --seed 1]
//!
//! rho ~ Gamma(25, rate 4)    alpha ~ half-normal(2)    sigma ~ half-normal(1)
//! y ~ N(0, K + sigma I),     K[i,j] = alpha² exp(-(x[i] - x[j])²/(2 rho²))          sigma is the variance of the noise
//! ```
//! The function is summed out of the likelihood, whose covariance is factorised by `cholesky`: one block node on the tape with its own
//! derivative. Where the factorisation fails, `lp.require` rejects the point and the sampler goes on. `forward_many` computes the entries of
//! the covariance with their two derivatives each. The function itself is a generated quantity: from each draw, its posterior mean given the
//! data at points between and beyond them.
//!
//! Data and reference are posteriordb's `gp_pois_regr-gp_regr`: 10 chains of Stan, 10,000 draws that are nearly independent.

mod reference;

use posterity::autodiff::{cholesky, dot, forward_many, solve_lower};
use posterity::prelude::*;
use reference::{Known, compare};

struct GaussianProcess {
    x: Vec<f64>,
    y: Vec<f64>,
    /// Where the function is wanted.
    x_new: Vec<f64>,
}

struct Parameters<T> {
    rho: T,
    alpha: T,
    sigma: T,
}

fn squared_exponential<T: Real>(distance: f64, rho: T, alpha: T) -> T {
    alpha.square() * (rho.square().recip() * (-0.5 * distance * distance)).exp()
}

impl GaussianProcess {
    /// The lower triangle of K + sigma I.
    fn covariance<T: Real>(&self, p: &Parameters<T>) -> Lower<T> {
        let entries = forward_many([p.rho, p.alpha], |[rho, alpha], entries| {
            for (i, xi) in self.x.iter().enumerate() {
                entries.extend(self.x[..=i].iter().map(|xj| squared_exponential(xi - xj, rho, alpha)));
            }
        });
        Lower::from_fn(self.x.len(), |i, j| {
            let entry = entries[i * (i + 1) / 2 + j];
            if i == j { entry + p.sigma } else { entry }
        })
    }

    /// E[f(x_new) | y] = K(x_new, x) (K + sigma I)⁻¹ y.
    fn function(&self, p: &Parameters<Value>) -> Result<Vec<f64>, DensityError> {
        let factor = cholesky(&self.covariance(p))?;
        let y: Vec<Value> = self.y.iter().map(|&y| Value(y)).collect();
        let white = solve_lower(&factor, &y)?;
        let mut mean = Vec::with_capacity(self.x_new.len());
        for x_new in &self.x_new {
            let to_data: Vec<Value> = self.x.iter().map(|x| squared_exponential(x - x_new, p.rho, p.alpha)).collect();
            mean.push(dot(&solve_lower(&factor, &to_data)?, &white).value());
        }
        Ok(mean)
    }
}

impl Model for GaussianProcess {
    type Parameters<T: Real> = Parameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Parameters<T> {
        Parameters { rho: space.positive("rho"), alpha: space.positive("alpha"), sigma: space.positive("sigma") }
    }

    fn log_prior<T: Real>(&self, p: &Parameters<T>, lp: &mut LogP<T>) {
        lp.gamma(&p.rho, &25.0, &4.0);
        lp.half_normal(&p.alpha, &2.0);
        lp.half_normal(&p.sigma, &1.0);
    }

    fn log_likelihood<T: Real>(&self, p: &Parameters<T>, lp: &mut LogP<T>) {
        let Some(factor) = lp.require(cholesky(&self.covariance(p))) else { return };
        lp.multi_normal_cholesky(&self.y, &0.0, &factor);
    }

    fn labels(&self, labels: &mut Labels) {
        labels.dims("f", &["x"]).coords("x", &self.x_new);
    }

    fn generated(&self, p: &Parameters<Value>, _: &mut Stream, out: &mut Values) {
        let f = self.function(p).unwrap_or_else(|_| vec![f64::NAN; self.x_new.len()]);
        out.set_vector("f", &f);
    }
}

fn main() -> Result<(), posterity::Error> {
    let model = GaussianProcess {
        x: vec![-10.0, -8.0, -6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0],
        y: vec![4.75906, 1.59423, 2.99548, 5.27501, 1.66472, 2.24347, 2.8914, 4.08681, 4.60588, 0.802364, 3.92136],
        x_new: vec![-9.0, 1.0, 15.0],
    };
    let draws = Nuts::default().sample(&model, Run::new(reference::seed(1)?))?;
    println!("{}", draws.summary());
    let posteriordb = [("rho", 6.87435, 1.26576), ("alpha", 2.44240, 0.78183), ("sigma", 1.82873, 0.50502)];
    compare(&draws, &posteriordb.map(|(element, mean, sd)| Known::from_draws(element, mean, sd, 10_000.0)))
}
