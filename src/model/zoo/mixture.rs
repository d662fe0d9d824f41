//! A mixture of two normal distributions.

use super::{check_data, half_normal};
use crate::autodiff::{Real, Value};
use crate::error::Error;
use crate::model::{LogP, Model, Space, Values};
use crate::rng::Stream;

/// A mixture of two normals, labelled by the order of their means, the components summed out.
///
/// ```text
/// mu[0] < mu[1], mu[k] ~ N(0, 2)    sigma[k] ~ half-normal(2)    theta ~ Beta(5, 5)
/// y ~ theta N(mu[0], sigma[0]) + (1 - theta) N(mu[1], sigma[1])
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianMixture {
    y: Vec<f64>,
}

/// Parameters of [`GaussianMixture`].
#[derive(Debug, Clone)]
pub struct GaussianMixtureParameters<T> {
    /// Means, increasing.
    pub mu: Vec<T>,
    /// Standard deviations.
    pub sigma: Vec<T>,
    /// Weight of the first component.
    pub theta: T,
}

impl GaussianMixture {
    /// The model of the sample `y`.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`].
    pub fn new(y: Vec<f64>) -> Result<Self, Error> {
        check_data("y", &y)?;
        Ok(Self { y })
    }

    /// The sample.
    #[must_use]
    pub fn sample(&self) -> &[f64] {
        &self.y
    }
}

impl Model for GaussianMixture {
    type Parameters<T: Real> = GaussianMixtureParameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> GaussianMixtureParameters<T> {
        GaussianMixtureParameters {
            mu: space.ordered("mu", 2),
            sigma: space.positive_vector("sigma", 2),
            theta: space.probability("theta"),
        }
    }

    fn log_prior<T: Real>(&self, p: &GaussianMixtureParameters<T>, lp: &mut LogP<T>) {
        lp.normal(&p.mu, &0.0, &2.0);
        lp.half_normal(&p.sigma, &2.0);
        lp.beta(&p.theta, &5.0, &5.0);
    }

    fn log_likelihood<T: Real>(&self, p: &GaussianMixtureParameters<T>, lp: &mut LogP<T>) {
        lp.normal_mixture(&self.y, &p.theta, &p.mu[0], &p.sigma[0], &p.mu[1], &p.sigma[1]);
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    fn predict(&self, p: &GaussianMixtureParameters<Value>, rng: &mut Stream, out: &mut Values) {
        let y: Vec<f64> = (0..self.y.len())
            .map(|_| {
                let k = usize::from(!(rng.uniform() < p.theta.value()));
                p.mu[k].value() + p.sigma[k].value() * rng.normal()
            })
            .collect();
        out.set_vector("y", &y);
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        let Ok(beta) = rand_distr::Beta::new(5.0, 5.0) else { return false };
        let (a, b) = (2.0 * rng.normal(), 2.0 * rng.normal());
        out.set_vector("mu", &[a.min(b), a.max(b)]);
        out.set_vector("sigma", &[half_normal(rng, 2.0), half_normal(rng, 2.0)]);
        let theta: f64 = rand_distr::Distribution::sample(&beta, rng);
        out.set("theta", theta);
        true
    }
}
