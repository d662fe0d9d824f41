//! Logistic regression with twenty correlated predictors: the whole likelihood is one statement.
//!
//! ```text
//! cargo run --release --example logistic_regression [-- --seed 1]
//!
//! intercept ~ N(0, 5)    beta[j] ~ N(0, 1)    y[i] ~ Bernoulli(1/(1 + exp(-eta[i]))),    eta = intercept + X beta
//! ```
//! `lp.bernoulli_logit_glm` takes the design matrix whole and makes one pass over it for the value and all derivatives: about the cost of a
//! gradient written by hand. The data are simulated by a generator that is the same in every language.
//!
//! The reference was computed without this crate and without a Markov chain: importance sampling in NumPy, 2,000,000 draws of a multivariate
//! t distribution with 50 degrees of freedom, centred at the posterior's mode, with the inverse Hessian there as its scale.

mod reference;

use ndarray::Array2;
use posterity::prelude::*;
use reference::{Known, compare};

const N_ROWS: usize = 500;
const N_COLUMNS: usize = 20;

struct LogisticRegression {
    x: DataMatrix,
    y: Vec<u64>,
}

struct Coefficients<T> {
    intercept: T,
    beta: Vec<T>,
}

impl Model for LogisticRegression {
    type Parameters<T: Real> = Coefficients<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Coefficients<T> {
        Coefficients { intercept: space.real("intercept"), beta: space.vector("beta", self.x.n_cols()) }
    }

    fn log_prior<T: Real>(&self, p: &Coefficients<T>, lp: &mut LogP<T>) {
        lp.normal(&p.intercept, &0.0, &5.0);
        lp.normal(&p.beta, &0.0, &1.0);
    }

    fn log_likelihood<T: Real>(&self, p: &Coefficients<T>, lp: &mut LogP<T>) {
        lp.bernoulli_logit_glm(&self.y, &self.x, &p.intercept, &p.beta);
    }
}

/// Predictors that share half of their variation, and outcomes whose coefficients are 1, -1/2, 1/3, -1/4, ...
fn simulate() -> LogisticRegression {
    let mut state = 12_345_u64;
    let mut uniform = || {
        state = (1_103_515_245 * state + 12_345) % (1 << 31);
        (state as f64 + 0.5) / f64::from(1_u32 << 31)
    };
    let mut x = Array2::zeros((N_ROWS, N_COLUMNS));
    let mut y = Vec::with_capacity(N_ROWS);
    for mut row in x.rows_mut() {
        let common = uniform();
        let mut eta = 0.5;
        for (j, x) in row.iter_mut().enumerate() {
            *x = 12.0_f64.sqrt() * (0.5 * common + 0.5 * uniform() - 0.5);
            eta += if j % 2 == 0 { *x } else { -*x } / (1.0 + j as f64);
        }
        y.push(u64::from(uniform() < 1.0 / (1.0 + (-eta).exp())));
    }
    LogisticRegression { x: x.into(), y }
}

fn main() -> Result<(), posterity::Error> {
    let draws = Nuts::default().sample(&simulate(), Run::new(reference::seed(1)?))?;
    println!("{}", draws.summary());
    // The weighted draws are worth 1,736,000 independent ones.
    let importance_sampling = [
        ("intercept", 0.36844, 0.10096),
        ("beta[0]", 1.01278, 0.19986),
        ("beta[1]", -0.35974, 0.19609),
        ("beta[2]", 0.05230, 0.19466),
        ("beta[3]", -0.22714, 0.18852),
        ("beta[4]", 0.05466, 0.19341),
        ("beta[5]", -0.15249, 0.19303),
        ("beta[6]", 0.40696, 0.19064),
        ("beta[7]", 0.18491, 0.19349),
    ];
    compare(&draws, &importance_sampling.map(|(element, mean, sd)| Known::from_draws(element, mean, sd, 1_736_000.0)))
}
