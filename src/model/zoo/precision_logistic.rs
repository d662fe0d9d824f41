//! Logistic regression with one precision for all coefficients.

use super::LogisticRegression;
use crate::autodiff::{DataMatrix, Real, Value};
use crate::error::{Error, check};
use crate::model::{LogP, Model, Space, Values};
use crate::rng::Stream;

/// Logistic regression whose coefficients share a precision that is estimated with them:
///
/// ```text
/// alpha ~ Gamma(shape, rate)    w[k] ~ N(0, 1/√alpha)    y ~ Bernoulli(1/(1 + exp(-X w)))
/// ```
/// The regression of Liu & Wang 2016 (<https://arxiv.org/abs/1608.04471>) and of every paper on flows of particles since, with shape 1 and rate 0.01;
/// its unconstrained coordinates are (w, ln alpha).
#[derive(Debug, Clone, PartialEq)]
pub struct PrecisionLogisticRegression {
    x: DataMatrix,
    y: Vec<bool>,
    shape: f64,
    rate: f64,
}

/// Parameters of [`PrecisionLogisticRegression`].
#[derive(Debug, Clone)]
pub struct PrecisionLogisticRegressionParameters<T> {
    /// Coefficients, one per column.
    pub w: Vec<T>,
    /// Precision of the coefficients.
    pub alpha: T,
}

impl PrecisionLogisticRegression {
    /// The regression of `y` on the columns of `x`, which hold the intercept's ones if there is one; alpha ~ Gamma(`shape`, `rate`).
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`], [`Error::Dimension`] for unequal lengths, [`Error::InvalidSetting`] for `shape` and `rate`.
    pub fn new(x: DataMatrix, y: Vec<bool>, shape: f64, rate: f64) -> Result<Self, Error> {
        check::positive("shape", shape)?;
        check::positive("rate", rate)?;
        let checked = LogisticRegression::new(x, y, 1.0)?;
        Ok(Self { x: checked.design().clone(), y: checked.responses().to_vec(), shape, rate })
    }
}

impl Model for PrecisionLogisticRegression {
    type Parameters<T: Real> = PrecisionLogisticRegressionParameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> PrecisionLogisticRegressionParameters<T> {
        PrecisionLogisticRegressionParameters { w: space.vector("w", self.x.n_cols()), alpha: space.positive("alpha") }
    }

    fn log_prior<T: Real>(&self, p: &PrecisionLogisticRegressionParameters<T>, lp: &mut LogP<T>) {
        lp.gamma(&p.alpha, &self.shape, &self.rate);
        lp.normal(&p.w, &0.0, &p.alpha.sqrt().recip());
    }

    fn log_likelihood<T: Real>(&self, p: &PrecisionLogisticRegressionParameters<T>, lp: &mut LogP<T>) {
        lp.bernoulli_logit_glm(&self.y, &self.x, &0.0, &p.w);
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        let Ok(gamma) = rand_distr::Gamma::new(self.shape, self.rate.recip()) else { return false };
        let alpha: f64 = rand_distr::Distribution::sample(&gamma, rng);
        let w: Vec<f64> = (0..self.x.n_cols()).map(|_| rng.normal() / alpha.sqrt()).collect();
        out.set_vector("w", &w).set("alpha", alpha);
        true
    }

    fn predict(&self, p: &PrecisionLogisticRegressionParameters<Value>, rng: &mut Stream, out: &mut Values) {
        let eta = |row: &[f64]| row.iter().zip(&p.w).map(|(x, w)| x * w.value()).sum::<f64>();
        let y: Vec<u8> = self.x.rows().map(|row| u8::from(rng.uniform() < 1.0 / (1.0 + (-eta(row)).exp()))).collect();
        out.set_vector("y", &y);
    }
}
