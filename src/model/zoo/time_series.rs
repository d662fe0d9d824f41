//! Time series: autoregression, ARMA(1, 1) and GARCH(1, 1).
//!
//! The two recursions have few parameters and long data: [`LogP::recursion`] differentiates them forward into a single node.

use super::{check_data, half_cauchy, normals};
use crate::autodiff::{DataMatrix, Jet, Real, Value};
use crate::error::{Error, check};
use crate::model::{LogP, Model, Space, Values};
use crate::rng::Stream;

const HALF_LN_2PI: f64 = 0.918_938_533_204_672_8;

/// Autoregression of order K: y\[t\] ~ N(alpha + Σₖ beta\[k\] y\[t-k\], sigma) for t ≥ K.
///
/// alpha, beta\[k\] ~ N(0, 10), sigma ~ half-Cauchy(2.5). The first K values are taken as given.
#[derive(Debug, Clone, PartialEq)]
pub struct Autoregression {
    lags: DataMatrix,
    y: Vec<f64>,
}

/// Parameters of [`Autoregression`].
#[derive(Debug, Clone)]
pub struct AutoregressionParameters<T> {
    /// Intercept.
    pub alpha: T,
    /// Coefficients of the values 1, 2, ..., K steps back.
    pub beta: Vec<T>,
    /// Standard deviation of the innovations.
    pub sigma: T,
}

impl Autoregression {
    /// An autoregression of this order for the series `y`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for order 0, [`Error::NotFinite`], [`Error::Empty`] if the series is not longer than the order.
    pub fn new(order: usize, y: &[f64]) -> Result<Self, Error> {
        check::at_least("order", order, 1, "at least 1")?;
        if y.len() <= order {
            return Err(Error::Empty { what: "y after its first `order` values" });
        }
        check_data("y", y)?;
        let columns: Vec<&[f64]> = (1..=order).map(|lag| &y[order - lag..y.len() - lag]).collect();
        Ok(Self { lags: DataMatrix::from_columns(&columns)?, y: y[order..].to_vec() })
    }
}

impl Model for Autoregression {
    type Parameters<T: Real> = AutoregressionParameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> AutoregressionParameters<T> {
        AutoregressionParameters {
            alpha: space.real("alpha"),
            beta: space.vector("beta", self.lags.n_cols()),
            sigma: space.positive("sigma"),
        }
    }

    fn log_prior<T: Real>(&self, p: &AutoregressionParameters<T>, lp: &mut LogP<T>) {
        lp.normal(&p.alpha, &0.0, &10.0);
        lp.normal(&p.beta, &0.0, &10.0);
        lp.half_cauchy(&p.sigma, &2.5);
    }

    fn log_likelihood<T: Real>(&self, p: &AutoregressionParameters<T>, lp: &mut LogP<T>) {
        lp.normal_glm(&self.y, &self.lags, &p.alpha, &p.beta, &p.sigma);
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    fn predict(&self, p: &AutoregressionParameters<Value>, rng: &mut Stream, out: &mut Values) {
        let mut past = self.lags.row(0).to_vec();
        let mut y = Vec::with_capacity(self.y.len());
        for _ in 0..self.y.len() {
            let mean: f64 = p.alpha.value() + p.beta.iter().zip(&past).map(|(b, x)| b.value() * x).sum::<f64>();
            let next = mean + p.sigma.value() * rng.normal();
            y.push(next);
            past.rotate_right(1);
            past[0] = next;
        }
        out.set_vector("y", &y);
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        out.set("alpha", 10.0 * rng.normal()).set_vector("beta", &normals(rng, self.lags.n_cols(), 0.0, 10.0));
        out.set("sigma", half_cauchy(rng, 2.5));
        true
    }
}

/// Autoregressive moving average of orders (1, 1).
///
/// ```text
/// nu[0] = mu + phi mu        nu[t] = mu + phi y[t-1] + theta err[t-1]        err[t] = y[t] - nu[t] ~ N(0, sigma)
/// mu ~ N(0, 10)   phi, theta ~ N(0, 2)   sigma ~ half-Cauchy(2.5)
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Arma11 {
    y: Vec<f64>,
}

/// Parameters of [`Arma11`].
#[derive(Debug, Clone)]
pub struct Arma11Parameters<T> {
    /// Level.
    pub mu: T,
    /// Autoregressive coefficient.
    pub phi: T,
    /// Moving-average coefficient.
    pub theta: T,
    /// Standard deviation of the innovations.
    pub sigma: T,
}

impl Arma11 {
    /// The model of the series `y`.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`].
    pub fn new(y: Vec<f64>) -> Result<Self, Error> {
        check_data("y", &y)?;
        Ok(Self { y })
    }

    /// The series.
    #[must_use]
    pub fn series(&self) -> &[f64] {
        &self.y
    }
}

impl Model for Arma11 {
    type Parameters<T: Real> = Arma11Parameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Arma11Parameters<T> {
        Arma11Parameters {
            mu: space.real("mu"),
            phi: space.real("phi"),
            theta: space.real("theta"),
            sigma: space.positive("sigma"),
        }
    }

    fn log_prior<T: Real>(&self, p: &Arma11Parameters<T>, lp: &mut LogP<T>) {
        lp.normal(&p.mu, &0.0, &10.0);
        lp.normal(&p.phi, &0.0, &2.0);
        lp.normal(&p.theta, &0.0, &2.0);
        lp.half_cauchy(&p.sigma, &2.5);
    }

    fn log_likelihood<T: Real>(&self, p: &Arma11Parameters<T>, lp: &mut LogP<T>) {
        lp.recursion([p.mu, p.phi, p.theta, p.sigma], |[mu, phi, theta, sigma], terms| {
            let half_precision = sigma.recip().square() * 0.5;
            let normaliser = sigma.ln() + HALF_LN_2PI;
            let mut nu = mu + phi * mu;
            for (t, &y) in self.y.iter().enumerate() {
                let err = -nu + y;
                terms.add(t, -(err.square() * half_precision + normaliser));
                nu = mu + phi * y + theta * err;
            }
        });
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    fn predict(&self, p: &Arma11Parameters<Value>, rng: &mut Stream, out: &mut Values) {
        let (mu, phi, theta) = (p.mu.value(), p.phi.value(), p.theta.value());
        let mut nu = mu + phi * mu;
        let y: Vec<f64> = (0..self.y.len())
            .map(|_| {
                let err = p.sigma.value() * rng.normal();
                let y = nu + err;
                nu = mu + phi * y + theta * err;
                y
            })
            .collect();
        out.set_vector("y", &y);
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        out.set("mu", 10.0 * rng.normal()).set("phi", 2.0 * rng.normal()).set("theta", 2.0 * rng.normal());
        out.set("sigma", half_cauchy(rng, 2.5));
        true
    }
}

/// Generalised autoregressive conditional heteroskedasticity of orders (1, 1), flat priors.
///
/// ```text
/// sigma[0] given     sigma[t]² = alpha0 + alpha1 (y[t-1] - mu)² + beta1 sigma[t-1]²     y[t] ~ N(mu, sigma[t])
/// alpha0 > 0     0 < alpha1 < 1     0 < beta1 < 1 - alpha1
/// ```
/// Source: Bollerslev 1986, <https://doi.org/10.1016/0304-4076(86)90063-1>.
#[derive(Debug, Clone, PartialEq)]
pub struct Garch11 {
    y: Vec<f64>,
    sigma1: f64,
}

/// Parameters of [`Garch11`].
#[derive(Debug, Clone)]
pub struct Garch11Parameters<T> {
    /// Mean of the series.
    pub mu: T,
    /// Constant of the variance.
    pub alpha0: T,
    /// Weight of the last squared deviation.
    pub alpha1: T,
    /// Weight of the last variance.
    pub beta1: T,
}

impl Garch11 {
    /// The model of the series `y`, whose first value has standard deviation `sigma1`.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`], [`Error::InvalidSetting`] unless `sigma1` is positive and finite.
    pub fn new(y: Vec<f64>, sigma1: f64) -> Result<Self, Error> {
        check_data("y", &y)?;
        check::positive("sigma1", sigma1)?;
        Ok(Self { y, sigma1 })
    }

    /// The series.
    #[must_use]
    pub fn series(&self) -> &[f64] {
        &self.y
    }

    /// Standard deviation of the first value.
    #[must_use]
    pub fn sigma1(&self) -> f64 {
        self.sigma1
    }
}

impl Model for Garch11 {
    type Parameters<T: Real> = Garch11Parameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Garch11Parameters<T> {
        let (mu, alpha0) = (space.real("mu"), space.positive("alpha0"));
        let alpha1 = space.probability("alpha1");
        Garch11Parameters { mu, alpha0, alpha1, beta1: space.interval("beta1", 0.0, -alpha1 + 1.0) }
    }

    fn log_prior<T: Real>(&self, _: &Garch11Parameters<T>, _: &mut LogP<T>) {}

    fn log_likelihood<T: Real>(&self, p: &Garch11Parameters<T>, lp: &mut LogP<T>) {
        lp.recursion([p.mu, p.alpha0, p.alpha1, p.beta1], |[mu, alpha0, alpha1, beta1], terms| {
            let mut variance = Jet::from(self.sigma1 * self.sigma1);
            for (t, &y) in self.y.iter().enumerate() {
                let square = (-mu + y).square();
                terms.add(t, (variance.ln() + square / variance) * -0.5 - HALF_LN_2PI);
                variance = alpha0 + alpha1 * square + beta1 * variance;
            }
        });
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    fn predict(&self, p: &Garch11Parameters<Value>, rng: &mut Stream, out: &mut Values) {
        let mut variance = self.sigma1 * self.sigma1;
        let y: Vec<f64> = (0..self.y.len())
            .map(|_| {
                let deviation = variance.sqrt() * rng.normal();
                variance = p.alpha0.value() + p.alpha1.value() * deviation * deviation + p.beta1.value() * variance;
                p.mu.value() + deviation
            })
            .collect();
        out.set_vector("y", &y);
    }
}
