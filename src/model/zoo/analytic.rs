//! Targets whose moments or evidence are known in closed form.

use ndarray::{Array1, Array2};

use super::{check_data, check_length};
use crate::autodiff::{Lower, Real, Value, cholesky, solve_lower};
use crate::error::{DensityError, Error, check};
use crate::model::{Density, LogP, Model, Space, Values};
use crate::rng::Stream;

const LN_2PI: f64 = 1.837_877_066_409_345_5;

/// A multivariate normal distribution with a hand-written gradient, normalised.
///
/// ```
/// use posterity::model::{Target, WithGradient};
/// use posterity::model::zoo::analytic::Gaussian;
/// let target = WithGradient(Gaussian::autoregressive(3, 0.9).unwrap());
/// assert_eq!(target.dim().unwrap(), 3);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussian {
    mean: Array1<f64>,
    covariance: Array2<f64>,
    precision: Array2<f64>,
    log_normaliser: f64,
}

impl Gaussian {
    /// N(mean, covariance); of the covariance the lower triangle counts.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::Dimension`], [`Error::NotFinite`], [`DensityError::NotPositiveDefinite`] inside [`Error::Density`].
    pub fn new(mean: Array1<f64>, covariance: &Array2<f64>) -> Result<Self, Error> {
        let d = mean.len();
        check_data("mean", &mean.to_vec())?;
        check_length("rows of the covariance", d, covariance.nrows())?;
        check_length("columns of the covariance", d, covariance.ncols())?;
        let covariance = Array2::from_shape_fn((d, d), |(i, j)| covariance[[i.max(j), i.min(j)]]);
        check_data("covariance", &covariance.iter().copied().collect::<Vec<_>>())?;
        let factor = cholesky(&Lower::from_fn(d, |i, j| Value(covariance[[i, j]])))?;
        // Columns of L⁻¹; the precision is their Gram matrix.
        let mut inverse = Array2::zeros((d, d));
        for j in 0..d {
            let unit: Vec<Value> = (0..d).map(|i| Value(f64::from(u8::from(i == j)))).collect();
            for (i, entry) in solve_lower(&factor, &unit)?.into_iter().enumerate() {
                inverse[[i, j]] = entry.value();
            }
        }
        let precision = inverse.t().dot(&inverse);
        let log_normaliser = -0.5 * d as f64 * LN_2PI - factor.ln_determinant().value();
        Ok(Self { mean, covariance, precision, log_normaliser })
    }

    /// Mean 0, variances 1, correlations rho^|i-j|.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless |rho| < 1; [`Error::Empty`] for dimension 0.
    pub fn autoregressive(d: usize, rho: f64) -> Result<Self, Error> {
        check::in_range("rho", rho, rho.abs() < 1.0, "in (-1, 1)")?;
        let covariance = Array2::from_shape_fn((d, d), |(i, j)| rho.powi(i.abs_diff(j) as i32));
        Self::new(Array1::zeros(d), &covariance)
    }

    /// Independent with mean i/d and standard deviations spaced evenly in logarithm from 1 to `condition`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless `condition` is positive and finite; [`Error::Empty`] for dimension 0.
    pub fn ill_conditioned(d: usize, condition: f64) -> Result<Self, Error> {
        check::positive("condition", condition)?;
        let step = condition.ln() / d.saturating_sub(1).max(1) as f64;
        let sds = Array1::from_shape_fn(d, |i| (step * i as f64).exp());
        let mean = Array1::from_shape_fn(d, |i| i as f64 / d as f64);
        Self::new(mean, &Array2::from_diag(&sds.mapv(|s| s * s)))
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> &Array1<f64> {
        &self.mean
    }

    /// The covariance matrix.
    #[must_use]
    pub fn covariance(&self) -> &Array2<f64> {
        &self.covariance
    }
}

impl Density for Gaussian {
    fn dim(&self) -> usize {
        self.mean.len()
    }

    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let mut quadratic = 0.0;
        for (i, (row, g)) in self.precision.rows().into_iter().zip(gradient.iter_mut()).enumerate() {
            *g = -row.iter().zip(position).zip(&self.mean).map(|((p, x), m)| p * (x - m)).sum::<f64>();
            quadratic += *g * (position[i] - self.mean[i]);
        }
        Ok(self.log_normaliser + 0.5 * quadratic)
    }
}

/// Neal's funnel: v ~ N(0, 3), xᵢ ~ N(0, exp(v/2)).
///
/// E v = 0, Var v = 9, E x = 0, Var x = exp(9/2). Source: Neal 2003, <https://doi.org/10.1214/aos/1056562461>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Funnel {
    n: usize,
}

/// Parameters of [`Funnel`].
#[derive(Debug, Clone)]
pub struct FunnelParameters<T> {
    /// Log variance of x.
    pub v: T,
    /// What is scaled.
    pub x: Vec<T>,
}

impl Funnel {
    /// A funnel over n variables x.
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self { n }
    }
}

impl Model for Funnel {
    type Parameters<T: Real> = FunnelParameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> FunnelParameters<T> {
        FunnelParameters { v: space.real("v"), x: space.vector("x", self.n) }
    }

    fn log_prior<T: Real>(&self, p: &FunnelParameters<T>, lp: &mut LogP<T>) {
        lp.normal(&p.v, &0.0, &3.0);
        lp.normal(&p.x, &0.0, &(p.v * 0.5).exp());
    }

    fn log_likelihood<T: Real>(&self, _: &FunnelParameters<T>, _: &mut LogP<T>) {}

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        let v = 3.0 * rng.normal();
        out.set("v", v).set_vector("x", &super::normals(rng, self.n, 0.0, (0.5 * v).exp()));
        true
    }
}

/// A banana: x ~ N(0, 1), y ~ N(curvature (x² - 1), 1).
///
/// E x = E y = 0, Var x = 1, Var y = 1 + 2 curvature², Cov(x, y) = 0. Source: Haario, Saksman & Tamminen 1999,
/// <https://doi.org/10.1007/s001800050022>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Banana {
    curvature: f64,
}

impl Banana {
    /// A banana of this curvature; 0 is the standard normal distribution.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless the curvature is finite.
    pub fn new(curvature: f64) -> Result<Self, Error> {
        check::in_range("curvature", curvature, curvature.is_finite(), "finite")?;
        Ok(Self { curvature })
    }

    /// Variances of x and y.
    #[must_use]
    pub fn variances(&self) -> [f64; 2] {
        [1.0, 1.0 + 2.0 * self.curvature * self.curvature]
    }
}

impl Model for Banana {
    /// x and y.
    type Parameters<T: Real> = [T; 2];

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> [T; 2] {
        [space.real("x"), space.real("y")]
    }

    fn log_prior<T: Real>(&self, &[x, y]: &[T; 2], lp: &mut LogP<T>) {
        lp.normal(&x, &0.0, &1.0);
        lp.normal(&y, &((x.square() - 1.0) * self.curvature), &1.0);
    }

    fn log_likelihood<T: Real>(&self, _: &[T; 2], _: &mut LogP<T>) {}

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        let x = rng.normal();
        out.set("x", x).set("y", self.curvature * (x * x - 1.0) + rng.normal());
        true
    }
}

/// A normal mean with a conjugate prior: mu ~ N(prior mean, prior sd), y ~ N(mu, sigma), sigma known.
///
/// Posterior, evidence and every power posterior are known: a test of tempering and of estimates of the evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct NormalMean {
    y: Vec<f64>,
    sigma: f64,
    prior_mean: f64,
    prior_sd: f64,
}

impl NormalMean {
    /// The model of `y` with known standard deviation `sigma`.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`], [`Error::InvalidSetting`].
    pub fn new(y: Vec<f64>, sigma: f64, prior_mean: f64, prior_sd: f64) -> Result<Self, Error> {
        check_data("y", &y)?;
        check::positive("sigma", sigma)?;
        check::in_range("prior_mean", prior_mean, prior_mean.is_finite(), "finite")?;
        check::positive("prior_sd", prior_sd)?;
        Ok(Self { y, sigma, prior_mean, prior_sd })
    }

    /// Mean and standard deviation of prior · likelihood^inverse_temperature.
    #[must_use]
    pub fn power_posterior(&self, inverse_temperature: f64) -> (f64, f64) {
        let (data_precision, prior_precision) = (inverse_temperature / (self.sigma * self.sigma), self.prior_sd.powi(-2));
        let precision = prior_precision + data_precision * self.y.len() as f64;
        let sum = self.prior_mean * prior_precision + data_precision * self.y.iter().sum::<f64>();
        (sum / precision, precision.sqrt().recip())
    }

    /// ln ∫ prior · likelihood, by the chain rule over the observations.
    #[must_use]
    pub fn log_evidence(&self) -> f64 {
        let (mut mean, mut variance) = (self.prior_mean, self.prior_sd * self.prior_sd);
        let noise = self.sigma * self.sigma;
        let mut total = 0.0;
        for y in &self.y {
            let predictive = variance + noise;
            total -= 0.5 * (LN_2PI + predictive.ln() + (y - mean).powi(2) / predictive);
            mean += variance / predictive * (y - mean);
            variance *= noise / predictive;
        }
        total
    }
}

impl Model for NormalMean {
    /// mu.
    type Parameters<T: Real> = T;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> T {
        space.real("mu")
    }

    fn log_prior<T: Real>(&self, mu: &T, lp: &mut LogP<T>) {
        lp.normal(mu, &self.prior_mean, &self.prior_sd);
    }

    fn log_likelihood<T: Real>(&self, mu: &T, lp: &mut LogP<T>) {
        lp.normal(&self.y, mu, &self.sigma);
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    fn predict(&self, mu: &Value, rng: &mut Stream, out: &mut Values) {
        out.set_vector("y", &super::normals(rng, self.y.len(), mu.value(), self.sigma));
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        out.set("mu", self.prior_mean + self.prior_sd * rng.normal());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Target, WithGradient};

    #[test]
    fn the_gaussian_is_normalised_and_its_gradient_is_right() {
        let model = Gaussian::new(ndarray::array![1.0, -2.0], &ndarray::array![[2.0, 9.0], [0.6, 0.5]]).unwrap();
        assert_eq!(model.covariance()[[0, 1]], 0.6);
        // By hand: det = 2 · 0.5 - 0.36 = 0.64, precision = [0.5, -0.6; -0.6, 2]/0.64, at mean + (1, 1).
        let mut gradient = [0.0; 2];
        let value = model.log_density_gradient(&[2.0, -1.0], &mut gradient).unwrap();
        approx::assert_relative_eq!(value, -LN_2PI - 0.5 * 0.64_f64.ln() - 0.5 * 1.3 / 0.64, max_relative = 1e-14);
        approx::assert_relative_eq!(gradient[0], 0.1 / 0.64, max_relative = 1e-13);
        approx::assert_relative_eq!(gradient[1], -1.4 / 0.64, max_relative = 1e-13);
        assert_eq!(WithGradient(model).dim().unwrap(), 2);
    }

    #[test]
    fn the_evidence_is_the_prior_times_likelihood_over_posterior() {
        let model = NormalMean::new(vec![0.3, 1.9, -0.4], 1.3, 0.5, 2.0).unwrap();
        let mut evaluator = model.evaluator().unwrap();
        let (mean, sd) = model.power_posterior(1.0);
        for mu in [-1.0, 0.7] {
            let log_posterior = -0.5 * ((mu - mean) / sd).powi(2) - sd.ln() - 0.5 * LN_2PI;
            let evidence = evaluator.log_density(&[mu]).unwrap() - log_posterior;
            approx::assert_relative_eq!(evidence, model.log_evidence(), max_relative = 1e-13);
        }
    }

    #[test]
    fn bad_arguments_are_typed() {
        assert!(matches!(Gaussian::autoregressive(0, 0.5), Err(Error::Empty { what: "mean" })));
        assert!(matches!(Gaussian::autoregressive(2, f64::NAN), Err(Error::InvalidSetting { setting: "rho", .. })));
        let indefinite = ndarray::array![[1.0, 2.0], [2.0, 1.0]];
        let error = Gaussian::new(Array1::zeros(2), &indefinite).unwrap_err();
        assert!(matches!(error, Error::Density(DensityError::NotPositiveDefinite { pivot: 1, .. })));
        assert!(matches!(Banana::new(f64::INFINITY), Err(Error::InvalidSetting { setting: "curvature", .. })));
        assert!(matches!(NormalMean::new(vec![], 1.0, 0.0, 1.0), Err(Error::Empty { what: "y" })));
    }
}
