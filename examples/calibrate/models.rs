//! Models that can be simulated: a regression, of which the posterior is known, and the eight schools.

use ndarray::Array2;
use posterity::Error;
use posterity::autodiff::{DataMatrix, Real, Value};
use posterity::linalg::{LinalgError, cholesky_in_place, cholesky_inverse, solve_cholesky};
use posterity::model::zoo::EightSchoolsNoncentered;
use posterity::model::{LogP, Model, Space, Target, Values};
use posterity::rng::Stream;

/// A target with, perhaps, a posterior that is known.
pub(crate) trait CalibratedModel: Target + Send {
    /// Its posterior.
    fn exact(&self) -> Result<Option<Normal>, Error> {
        Ok(None)
    }
}

/// A multivariate normal distribution.
pub(crate) struct Normal {
    pub(crate) mean: Vec<f64>,
    /// Lower Cholesky factor of the covariance, row by row.
    pub(crate) factor: Vec<f64>,
}

/// beta ~ N(0, I), y ~ N(X beta, I): the posterior has precision I + XᵀX.
#[derive(Debug, Clone)]
pub(crate) struct Regression {
    x: DataMatrix,
    y: Vec<f64>,
}

impl Regression {
    /// A design with correlated columns, the same for every number of threads and every seed.
    pub(crate) fn new(dim: usize, n_observations: usize) -> Self {
        let mut rng = Stream::new(0);
        let mut x = Array2::zeros((n_observations, dim));
        for mut row in x.rows_mut() {
            let mut last = 0.0;
            for entry in &mut row {
                last = 0.6 * last + 0.8 * rng.normal();
                *entry = last;
            }
        }
        Self { x: DataMatrix::from(x), y: vec![0.0; n_observations] }
    }

    /// One observation of each coefficient: the posterior is N(y/2, I/2).
    pub(crate) fn identity(dim: usize) -> Self {
        Self { x: DataMatrix::from(Array2::eye(dim)), y: vec![0.0; dim] }
    }

    pub(crate) fn responses(&self) -> &[f64] {
        &self.y
    }

    pub(crate) fn with_responses(&self, y: Vec<f64>) -> Self {
        Self { x: self.x.clone(), y }
    }

    fn predictor(&self, i: usize, beta: &[Value]) -> f64 {
        self.x.row(i).iter().zip(beta).map(|(x, beta)| x * beta.value()).sum()
    }
}

impl Model for Regression {
    type Parameters<T: Real> = Vec<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Vec<T> {
        space.vector("beta", self.x.n_cols())
    }

    fn log_prior<T: Real>(&self, beta: &Vec<T>, lp: &mut LogP<T>) {
        lp.normal(beta, &0.0, &1.0);
    }

    fn log_likelihood<T: Real>(&self, beta: &Vec<T>, lp: &mut LogP<T>) {
        lp.normal_glm(&self.y, &self.x, &0.0, beta, &1.0);
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        let beta: Vec<f64> = (0..self.x.n_cols()).map(|_| rng.normal()).collect();
        out.set_vector("beta", &beta);
        true
    }

    fn predict(&self, beta: &Vec<Value>, rng: &mut Stream, out: &mut Values) {
        let y: Vec<f64> = (0..self.x.n_rows()).map(|i| self.predictor(i, beta) + rng.normal()).collect();
        out.set_vector("y", &y);
    }
}

impl CalibratedModel for Regression {
    fn exact(&self) -> Result<Option<Normal>, Error> {
        let d = self.x.n_cols();
        let mut precision = vec![0.0; d * d];
        let mut mean = vec![0.0; d];
        for k in 0..d {
            precision[k * d + k] = 1.0;
        }
        for (i, y) in self.y.iter().enumerate() {
            let row = self.x.row(i);
            for a in 0..d {
                mean[a] += row[a] * y;
                for b in 0..d {
                    precision[a * d + b] += row[a] * row[b];
                }
            }
        }
        let singular = |error: LinalgError| error.named("posterior precision");
        cholesky_in_place(&mut precision, d).map_err(singular)?;
        solve_cholesky(&precision, d, &mut mean).map_err(singular)?;
        let mut factor = cholesky_inverse(&precision, d).map_err(singular)?;
        cholesky_in_place(&mut factor, d).map_err(singular)?;
        Ok(Some(Normal { mean, factor }))
    }
}

pub(crate) fn eight_schools(y: Vec<f64>) -> Result<EightSchoolsNoncentered, Error> {
    EightSchoolsNoncentered::new(y, vec![15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
}

impl CalibratedModel for EightSchoolsNoncentered {}
