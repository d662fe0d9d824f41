//! Fits that keep a d x d matrix, in 5000 dimensions: they take minutes and gigabytes. Output in docs/validation/variational/large.md.

use ndarray::Array2;
use posterity::model::{Density, WithGradient};
use posterity::vi::{Bam, Fit, FullRank, Objective, Vi, Warning};
use posterity::{DensityError, Error};

const DIM: usize = 5000;
const CORRELATION: f64 = 0.5;

/// A stationary autoregression with standard normal coordinates, plus 1 everywhere: its precision is tridiagonal.
struct Autoregression;

impl Density for Autoregression {
    fn dim(&self) -> usize {
        DIM
    }

    fn log_density_gradient(&self, q: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
        let innovation = 1.0 - CORRELATION * CORRELATION;
        let mut value = -0.5 * (q[0] - 1.0).powi(2);
        g[0] = 1.0 - q[0];
        for i in 1..DIM {
            let z = (q[i] - 1.0 - CORRELATION * (q[i - 1] - 1.0)) / innovation;
            value -= 0.5 * innovation * z * z;
            g[i] = -z;
            g[i - 1] += CORRELATION * z;
        }
        Ok(value)
    }
}

/// Largest errors of a mean and of an entry of the covariance; all standard deviations are 1.
fn errors(mean: &[f64], covariance: &Array2<f64>) -> (f64, f64) {
    let of_mean = mean.iter().map(|m| (m - 1.0).abs()).fold(0.0, f64::max);
    let exact = |i: usize, j: usize| CORRELATION.powi(i.abs_diff(j) as i32);
    let of_covariance = covariance.indexed_iter().map(|((i, j), c)| (c - exact(i, j)).abs()).fold(0.0, f64::max);
    (of_mean, of_covariance)
}

/// Prints a row of the table; the fit must be right, or warn.
fn report(name: &str, fit: &Fit) {
    let q = fit.approximation();
    let (of_mean, of_covariance) = errors(&q.mean().unwrap(), &q.covariance().unwrap());
    let name_of = |warning: &Warning| format!("{warning:?}").split([' ', '{']).next().unwrap_or_default().to_owned();
    println!(
        "| {name} | {of_mean:.4} | {of_covariance:.4} | {} | {:.1} | {} | {} | {:.1} | {} |",
        fit.pareto_k().map_or("none".to_owned(), |k| format!("{k:.2}")),
        fit.psis().ess(),
        fit.n_iterations(),
        fit.n_gradient_evaluations(),
        fit.seconds() / 60.0,
        fit.warnings().iter().map(name_of).collect::<Vec<_>>().join(", "),
    );
    assert!((of_mean < 0.05 && of_covariance < 0.05) || !fit.warnings().is_empty(), "{name}");
}

#[test]
#[ignore = "16 minutes"]
fn batch_and_match() {
    report("BaM, B = 32", &Bam::default().n_draws(100).fit(&WithGradient(Autoregression), 1).unwrap());
}

#[test]
#[ignore = "minutes"]
fn full_rank() {
    let vi = Vi::new(FullRank).objective(Objective::elbo(2)).n_iterations(500).n_draws(100);
    match vi.fit(&WithGradient(Autoregression), 1) {
        Ok(fit) => report("full rank, 2 draws", &fit),
        Err(Error::Iteration { iteration, source }) => println!("full rank, iteration {iteration}: {source}"),
        Err(error) => panic!("{error}"),
    }
}
