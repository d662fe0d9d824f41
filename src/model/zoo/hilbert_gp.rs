//! Two latent Gaussian processes, for mean and log standard deviation, in a Hilbert-space basis.

use super::{check_data, check_length, normals};
use crate::autodiff::{DataMatrix, Real, Value, forward_many};
use crate::error::{DensityError, Error};
use crate::model::{LogP, Model, Space, Values};
use crate::rng::Stream;

/// √(2π)
const SQRT_2PI: f64 = 2.506_628_274_631_000_5;
const LENGTH_SCALE_SHAPE: f64 = 1.124_909;
const LENGTH_SCALE_SCALE: f64 = 0.0177;

/// A basis of a Gaussian process: its functions at the data points, and their frequencies.
///
/// The weight of function m is zₘ √S(ωₘ) with the spectral density S(ω) = s² √(2π) l exp(-l² ω²/2) of the squared-exponential kernel.
/// Source: Solin & Särkkä 2020, <https://doi.org/10.1007/s11222-019-09886-w>.
#[derive(Debug, Clone, PartialEq)]
struct Basis {
    functions: DataMatrix,
    squared_frequencies: Vec<f64>,
}

impl Basis {
    fn new(functions: DataMatrix, frequencies: &[f64], n: usize) -> Result<Self, Error> {
        check_length("rows of a basis", n, functions.n_rows())?;
        check_length("frequencies of a basis", functions.n_cols(), frequencies.len())?;
        check_data("frequencies", frequencies)?;
        functions.rows().try_for_each(|row| check_data("basis", row))?;
        Ok(Self { functions, squared_frequencies: frequencies.iter().map(|w| w * w).collect() })
    }

    /// Intercept and function at the data points.
    fn at<T: Real>(&self, p: &LatentGp<T>) -> Result<Vec<T>, DensityError> {
        let scales = forward_many([p.sd, p.length_scale], |[sd, length_scale], scales| {
            let constant = sd * (length_scale * SQRT_2PI).sqrt();
            let rate = length_scale.square() * -0.25;
            scales.extend(self.squared_frequencies.iter().map(|&square| constant * (rate * square).exp()));
        });
        let weights: Vec<T> = scales.iter().zip(&p.weights).map(|(&scale, &z)| scale * z).collect();
        Ok(self.functions.dot(&weights)?.into_iter().map(|f| f + p.intercept).collect())
    }
}

/// Parameters of one latent process.
#[derive(Debug, Clone)]
pub struct LatentGp<T> {
    /// Constant of the function.
    pub intercept: T,
    /// Marginal standard deviation.
    pub sd: T,
    /// Length scale.
    pub length_scale: T,
    /// Standardised weights of the basis functions.
    pub weights: Vec<T>,
}

/// Parameters of [`HilbertGp`].
#[derive(Debug, Clone)]
pub struct HilbertGpParameters<T> {
    /// The mean.
    pub mean: LatentGp<T>,
    /// The log standard deviation.
    pub log_sd: LatentGp<T>,
}

/// Y ~ N(m, exp s) with latent Gaussian processes m and s, as for the acceleration of a head in a motorcycle crash.
///
/// ```text
/// Intercept ~ t₃(-13, 36)    Intercept_sigma ~ t₃(0, 10)    sdgp_1, sdgp_sigma_1 ~ half-t₃(36)
/// lscale_1, lscale_sigma_1 ~ InvGamma(1.124909, 0.0177)     zgp_1, zgp_sigma_1 ~ N(0, 1)
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HilbertGp {
    y: Vec<f64>,
    mean: Basis,
    log_sd: Basis,
}

impl HilbertGp {
    /// The model of `y` with a basis, its functions in columns and their frequencies, for the mean and one for the log standard deviation.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`], [`Error::Dimension`] for unequal lengths.
    pub fn new(y: Vec<f64>, mean: (DataMatrix, &[f64]), log_sd: (DataMatrix, &[f64])) -> Result<Self, Error> {
        check_data("y", &y)?;
        let mean = Basis::new(mean.0, mean.1, y.len())?;
        let log_sd = Basis::new(log_sd.0, log_sd.1, y.len())?;
        Ok(Self { y, mean, log_sd })
    }
}

impl Model for HilbertGp {
    type Parameters<T: Real> = HilbertGpParameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> HilbertGpParameters<T> {
        let mut latent = |suffix: &str, basis: &Basis| LatentGp {
            intercept: space.real(&format!("Intercept{suffix}")),
            sd: space.positive(&format!("sdgp{suffix}_1")),
            length_scale: space.positive(&format!("lscale{suffix}_1")),
            weights: space.vector(&format!("zgp{suffix}_1"), basis.functions.n_cols()),
        };
        HilbertGpParameters { mean: latent("", &self.mean), log_sd: latent("_sigma", &self.log_sd) }
    }

    fn log_prior<T: Real>(&self, p: &HilbertGpParameters<T>, lp: &mut LogP<T>) {
        lp.student_t(&p.mean.intercept, &3.0, &-13.0, &36.0);
        lp.student_t(&p.log_sd.intercept, &3.0, &0.0, &10.0);
        for latent in [&p.mean, &p.log_sd] {
            lp.half_student_t(&latent.sd, &3.0, &36.0);
            lp.inverse_gamma(&latent.length_scale, &LENGTH_SCALE_SHAPE, &LENGTH_SCALE_SCALE);
            lp.normal(&latent.weights, &0.0, &1.0);
        }
    }

    fn log_likelihood<T: Real>(&self, p: &HilbertGpParameters<T>, lp: &mut LogP<T>) {
        let Some(mean) = lp.require(self.mean.at(&p.mean)) else { return };
        let Some(log_sd) = lp.require(self.log_sd.at(&p.log_sd)) else { return };
        let sd: Vec<T> = log_sd.into_iter().map(T::exp).collect();
        lp.normal(&self.y, &mean, &sd);
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    fn predict(&self, p: &HilbertGpParameters<Value>, rng: &mut Stream, out: &mut Values) {
        if let (Ok(mean), Ok(log_sd)) = (self.mean.at(&p.mean), self.log_sd.at(&p.log_sd)) {
            let y: Vec<f64> = mean.iter().zip(&log_sd).map(|(m, s)| m.value() + s.value().exp() * rng.normal()).collect();
            out.set_vector("y", &y);
        }
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        let (Ok(t), Ok(gamma)) =
            (rand_distr::StudentT::new(3.0), rand_distr::Gamma::new(LENGTH_SCALE_SHAPE, LENGTH_SCALE_SCALE.recip()))
        else {
            return false;
        };
        let mut latent = |suffix: &str, location: f64, scale: f64, basis: &Basis| {
            let draw: [f64; 2] = std::array::from_fn(|_| rand_distr::Distribution::sample(&t, rng));
            let inverse: f64 = rand_distr::Distribution::sample(&gamma, rng);
            out.set(&format!("Intercept{suffix}"), location + scale * draw[0]);
            out.set(&format!("sdgp{suffix}_1"), (36.0 * draw[1]).abs());
            out.set(&format!("lscale{suffix}_1"), inverse.recip());
            out.set_vector(&format!("zgp{suffix}_1"), &normals(rng, basis.functions.n_cols(), 0.0, 1.0));
        };
        latent("", -13.0, 36.0, &self.mean);
        latent("_sigma", 0.0, 10.0, &self.log_sd);
        true
    }
}
