//! Coaching in eight schools (Rubin 1981, <https://doi.org/10.3102/10769986006004377>): the smallest hierarchical model.

use super::{check_data, check_length, check_positive, half_cauchy, normals};
use crate::autodiff::{Real, Value};
use crate::error::Error;
use crate::model::{Labels, LogP, Model, Space, Values};
use crate::rng::Stream;

const EFFECTS: [f64; 8] = [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0];
const STANDARD_ERRORS: [f64; 8] = [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0];

/// Estimated effects of some groups with their standard errors, centred parametrisation.
///
/// ```text
/// mu ~ N(0, 5)   tau ~ half-Cauchy(5)   theta[j] ~ N(mu, tau)   y[j] ~ N(theta[j], sigma[j])
/// ```
/// Its posterior has a funnel at small tau that no sampler with one step size explores fully; sample [`EightSchoolsNoncentered`] instead.
#[derive(Debug, Clone, PartialEq)]
pub struct EightSchools {
    y: Vec<f64>,
    sigma: Vec<f64>,
}

/// Parameters of both parametrisations.
#[derive(Debug, Clone)]
pub struct Schools<T> {
    /// Effects (centred), or standardised effects (noncentred).
    pub theta: Vec<T>,
    /// Mean of the effects.
    pub mu: T,
    /// Standard deviation of the effects.
    pub tau: T,
}

impl EightSchools {
    /// The model of effects `y` with standard errors `sigma`.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`], [`Error::Dimension`] for unequal lengths, [`Error::OutsideSupport`] for a standard error
    /// that is not positive.
    pub fn new(y: Vec<f64>, sigma: Vec<f64>) -> Result<Self, Error> {
        check_data("y", &y)?;
        check_length("sigma", y.len(), sigma.len())?;
        check_positive("sigma", &sigma)?;
        Ok(Self { y, sigma })
    }

    /// Rubin's eight schools.
    #[must_use]
    pub fn rubin() -> Self {
        Self { y: EFFECTS.to_vec(), sigma: STANDARD_ERRORS.to_vec() }
    }

    fn label(&self, labels: &mut Labels, vectors: &[&str]) {
        for name in vectors {
            labels.dims(name, &["school"]);
        }
        let names: Vec<String> = (0..self.y.len()).map(|j| ((b'A' + (j % 26) as u8) as char).to_string()).collect();
        if names.len() <= 26 {
            labels.coords("school", &names);
        }
    }

    fn simulate(&self, theta: &[f64], rng: &mut Stream, out: &mut Values) {
        let y: Vec<f64> = theta.iter().zip(&self.sigma).map(|(t, s)| t + s * rng.normal()).collect();
        out.set_vector("y", &y);
    }
}

impl Model for EightSchools {
    type Parameters<T: Real> = Schools<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Schools<T> {
        Schools { theta: space.vector("theta", self.y.len()), mu: space.real("mu"), tau: space.positive("tau") }
    }

    fn log_prior<T: Real>(&self, p: &Schools<T>, lp: &mut LogP<T>) {
        lp.normal(&p.mu, &0.0, &5.0);
        lp.half_cauchy(&p.tau, &5.0);
        lp.normal(&p.theta, &p.mu, &p.tau);
    }

    fn log_likelihood<T: Real>(&self, p: &Schools<T>, lp: &mut LogP<T>) {
        lp.normal(&self.y, &p.theta, &self.sigma);
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    fn labels(&self, labels: &mut Labels) {
        self.label(labels, &["theta", "y"]);
    }

    fn predict(&self, p: &Schools<Value>, rng: &mut Stream, out: &mut Values) {
        let theta: Vec<f64> = p.theta.iter().map(|t| t.value()).collect();
        self.simulate(&theta, rng, out);
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        let (mu, tau) = (5.0 * rng.normal(), half_cauchy(rng, 5.0));
        out.set_vector("theta", &normals(rng, self.y.len(), mu, tau)).set("mu", mu).set("tau", tau);
        true
    }
}

/// The same model with thetaⱼ = mu + tau · theta_transⱼ, theta_transⱼ ~ N(0, 1): no funnel.
///
/// ```
/// use posterity::model::Target;
/// use posterity::model::zoo::EightSchoolsNoncentered;
/// assert_eq!(EightSchoolsNoncentered::rubin().dim().unwrap(), 10);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EightSchoolsNoncentered(EightSchools);

impl EightSchoolsNoncentered {
    /// The model of effects `y` with standard errors `sigma`.
    ///
    /// # Errors
    /// As [`EightSchools::new`].
    pub fn new(y: Vec<f64>, sigma: Vec<f64>) -> Result<Self, Error> {
        EightSchools::new(y, sigma).map(Self)
    }

    /// Rubin's eight schools.
    #[must_use]
    pub fn rubin() -> Self {
        Self(EightSchools::rubin())
    }
}

fn effects<T: Real>(p: &Schools<T>) -> Vec<T> {
    p.theta.iter().map(|&z| p.mu + p.tau * z).collect()
}

impl Model for EightSchoolsNoncentered {
    type Parameters<T: Real> = Schools<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Schools<T> {
        let theta = space.vector("theta_trans", self.0.y.len());
        Schools { theta, mu: space.real("mu"), tau: space.positive("tau") }
    }

    fn log_prior<T: Real>(&self, p: &Schools<T>, lp: &mut LogP<T>) {
        lp.normal(&p.mu, &0.0, &5.0);
        lp.half_cauchy(&p.tau, &5.0);
        lp.normal(&p.theta, &0.0, &1.0);
    }

    fn log_likelihood<T: Real>(&self, p: &Schools<T>, lp: &mut LogP<T>) {
        lp.normal(&self.0.y, &effects(p), &self.0.sigma);
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.0.y.len())
    }

    fn labels(&self, labels: &mut Labels) {
        self.0.label(labels, &["theta_trans", "theta", "y"]);
    }

    fn generated(&self, p: &Schools<Value>, _: &mut Stream, out: &mut Values) {
        out.set_vector("theta", &effects(p));
    }

    fn predict(&self, p: &Schools<Value>, rng: &mut Stream, out: &mut Values) {
        let theta: Vec<f64> = effects(p).iter().map(|t| t.value()).collect();
        self.0.simulate(&theta, rng, out);
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        out.set_vector("theta_trans", &normals(rng, self.0.y.len(), 0.0, 1.0));
        out.set("mu", 5.0 * rng.normal()).set("tau", half_cauchy(rng, 5.0));
        true
    }
}
