//! Gaussian processes on a few points of a line, with the squared-exponential kernel.

use super::{check_data, check_length, half_normal, normals};
use crate::autodiff::{Lower, Real, Value, cholesky, forward_many};
use crate::error::Error;
use crate::model::{LogP, Model, Space, Values};
use crate::rng::Stream;

/// The lower triangle of alpha² exp(-(xᵢ - xⱼ)²/(2 rho²)), one node per entry; `diagonal` gives the diagonal from alpha².
fn kernel<T: Real>(x: &[f64], rho: T, alpha: T, diagonal: impl Fn(T) -> T) -> Lower<T> {
    let entries = forward_many([rho, alpha], |[rho, alpha], entries| {
        let (rate, scale) = (rho.square().recip() * -0.5, alpha.square());
        for (i, xi) in x.iter().enumerate() {
            for xj in &x[..i] {
                entries.push(scale * (rate * ((xi - xj) * (xi - xj))).exp());
            }
        }
    });
    let diagonal = diagonal(alpha.square());
    Lower::from_fn(x.len(), |i, j| if i == j { diagonal } else { entries[i * (i - 1) / 2 + j] })
}

fn draw_rho(rng: &mut Stream) -> Option<f64> {
    let gamma = rand_distr::Gamma::new(25.0, 0.25).ok()?;
    Some(rand_distr::Distribution::sample(&gamma, rng))
}

/// Gaussian-process regression with the function summed out.
///
/// ```text
/// rho ~ Gamma(25, rate 4)    alpha ~ half-normal(2)    sigma ~ half-normal(1)
/// y ~ N(0, K + sigma I),     K[i,j] = alpha² exp(-(x[i] - x[j])²/(2 rho²))
/// ```
/// As in the collection's model, sigma is the *variance* of the noise.
#[derive(Debug, Clone, PartialEq)]
pub struct GpRegression {
    x: Vec<f64>,
    y: Vec<f64>,
}

/// Parameters of [`GpRegression`].
#[derive(Debug, Clone)]
pub struct GpRegressionParameters<T> {
    /// Length scale.
    pub rho: T,
    /// Marginal standard deviation of the function.
    pub alpha: T,
    /// Variance of the noise.
    pub sigma: T,
}

impl GpRegression {
    /// The regression of `y` on `x`.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`], [`Error::Dimension`] for unequal lengths.
    pub fn new(x: Vec<f64>, y: Vec<f64>) -> Result<Self, Error> {
        check_data("y", &y)?;
        check_length("x", y.len(), x.len())?;
        check_data("x", &x)?;
        Ok(Self { x, y })
    }
}

impl Model for GpRegression {
    type Parameters<T: Real> = GpRegressionParameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> GpRegressionParameters<T> {
        GpRegressionParameters { rho: space.positive("rho"), alpha: space.positive("alpha"), sigma: space.positive("sigma") }
    }

    fn log_prior<T: Real>(&self, p: &GpRegressionParameters<T>, lp: &mut LogP<T>) {
        lp.gamma(&p.rho, &25.0, &4.0);
        lp.half_normal(&p.alpha, &2.0);
        lp.half_normal(&p.sigma, &1.0);
    }

    fn log_likelihood<T: Real>(&self, p: &GpRegressionParameters<T>, lp: &mut LogP<T>) {
        let covariance = kernel(&self.x, p.rho, p.alpha, |variance| variance + p.sigma);
        let Some(factor) = lp.require(cholesky(&covariance)) else { return };
        lp.multi_normal_cholesky(&self.y, &0.0, &factor);
    }

    fn predict(&self, p: &GpRegressionParameters<Value>, rng: &mut Stream, out: &mut Values) {
        let covariance = kernel(&self.x, p.rho, p.alpha, |variance| variance + p.sigma);
        let z: Vec<Value> = normals(rng, self.x.len(), 0.0, 1.0).into_iter().map(Value).collect();
        if let Ok(y) = cholesky(&covariance).and_then(|factor| factor.dot(&z)) {
            out.set_vector("y", &y);
        }
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        let Some(rho) = draw_rho(rng) else { return false };
        out.set("rho", rho).set("alpha", half_normal(rng, 2.0)).set("sigma", half_normal(rng, 1.0));
        true
    }
}

/// Poisson regression on a latent Gaussian process, noncentred.
///
/// ```text
/// rho ~ Gamma(25, rate 4)    alpha ~ half-normal(2)    f_tilde ~ N(0, 1)
/// f = L f_tilde,  L Lᵀ = K + 1e-10 I          k ~ Poisson(exp f)
/// ```
/// Generates `f`. The posterior is a narrow ridge in (alpha, f_tilde): many gradients per effective draw, and divergences of careless
/// samplers.
#[derive(Debug, Clone, PartialEq)]
pub struct GpPoisson {
    x: Vec<f64>,
    k: Vec<u64>,
}

/// Parameters of [`GpPoisson`].
#[derive(Debug, Clone)]
pub struct GpPoissonParameters<T> {
    /// Length scale.
    pub rho: T,
    /// Marginal standard deviation of the function.
    pub alpha: T,
    /// Standardised function values.
    pub f_tilde: Vec<T>,
}

impl GpPoisson {
    /// The regression of the counts `k` on `x`.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`], [`Error::Dimension`] for unequal lengths.
    pub fn new(x: Vec<f64>, k: Vec<u64>) -> Result<Self, Error> {
        check_data("x", &x)?;
        check_length("k", x.len(), k.len())?;
        Ok(Self { x, k })
    }

    fn latent<T: Real>(&self, p: &GpPoissonParameters<T>) -> Result<Vec<T>, crate::error::DensityError> {
        cholesky(&kernel(&self.x, p.rho, p.alpha, |variance| variance + 1e-10))?.dot(&p.f_tilde)
    }
}

impl Model for GpPoisson {
    type Parameters<T: Real> = GpPoissonParameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> GpPoissonParameters<T> {
        GpPoissonParameters {
            rho: space.positive("rho"),
            alpha: space.positive("alpha"),
            f_tilde: space.vector("f_tilde", self.x.len()),
        }
    }

    fn log_prior<T: Real>(&self, p: &GpPoissonParameters<T>, lp: &mut LogP<T>) {
        lp.gamma(&p.rho, &25.0, &4.0);
        lp.half_normal(&p.alpha, &2.0);
        lp.normal(&p.f_tilde, &0.0, &1.0);
    }

    fn log_likelihood<T: Real>(&self, p: &GpPoissonParameters<T>, lp: &mut LogP<T>) {
        let Some(f) = lp.require(self.latent(p)) else { return };
        lp.poisson_log(&self.k, &f);
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.k.len())
    }

    fn generated(&self, p: &GpPoissonParameters<Value>, _: &mut Stream, out: &mut Values) {
        match self.latent(p) {
            Ok(f) => out.set_vector("f", &f),
            Err(_) => out.set_vector("f", &vec![f64::NAN; self.x.len()]),
        };
    }

    fn predict(&self, p: &GpPoissonParameters<Value>, rng: &mut Stream, out: &mut Values) {
        let Ok(f) = self.latent(p) else { return };
        let mut draw = |f: &Value| {
            let poisson = rand_distr::Poisson::new(f.value().exp());
            poisson.map_or(f64::NAN, |poisson| rand_distr::Distribution::sample(&poisson, rng))
        };
        let k: Vec<f64> = f.iter().map(&mut draw).collect();
        out.set_vector("k", &k);
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        let Some(rho) = draw_rho(rng) else { return false };
        out.set("rho", rho).set("alpha", half_normal(rng, 2.0));
        out.set_vector("f_tilde", &normals(rng, self.x.len(), 0.0, 1.0));
        true
    }
}
