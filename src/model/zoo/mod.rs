//! Example models with known answers.
//!
//! Read them to learn how models are written, from the eight schools to hidden Markov models; test a sampler against them. The models are
//! those of the posteriordb collection (Magnusson et al. 2024, <https://arxiv.org/abs/2407.04967>), whose files [`posteriordb`] reads,
//! and a few small targets whose moments or evidence are known in closed form ([`analytic`]), six in the plane with exact draws among them
//! ([`toy`]).

pub mod analytic;
mod eight_schools;
mod gaussian_process;
mod hidden_markov;
mod hilbert_gp;
mod ica;
mod mixture;
pub mod posteriordb;
mod precision_logistic;
mod regression;
mod state_space;
mod time_series;
pub mod toy;

pub use eight_schools::{EightSchools, EightSchoolsNoncentered, Schools};
pub use gaussian_process::{GpPoisson, GpPoissonParameters, GpRegression, GpRegressionParameters};
pub use hidden_markov::{HmmExponential, HmmExponentialParameters, HmmGaussian, HmmGaussianParameters};
pub use hilbert_gp::{HilbertGp, HilbertGpParameters, LatentGp};
pub use ica::{Ica, amari_distance};
pub use mixture::{GaussianMixture, GaussianMixtureParameters};
pub use precision_logistic::{PrecisionLogisticRegression, PrecisionLogisticRegressionParameters};
pub use regression::{
    CentredRegression, CentredRegressionParameters, LinearRegression, LinearRegressionParameters, LogisticRegression,
    LogisticRegressionParameters, ScalePrior, Trend, TrendParameters,
};
pub use state_space::{Ar1, Bearings, StochasticVolatility, Track2d};
pub use time_series::{Arma11, Arma11Parameters, Autoregression, AutoregressionParameters, Garch11, Garch11Parameters};

use crate::error::Error;
use crate::rng::Stream;

/// Fails for an empty array, and for the first entry that is not finite.
fn check_data(what: &'static str, values: &[f64]) -> Result<(), Error> {
    if values.is_empty() {
        return Err(Error::Empty { what });
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index, value: values[index] }),
        None => Ok(()),
    }
}

fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Dimension { what, expected, found }) }
}

fn check_positive(what: &'static str, values: &[f64]) -> Result<(), Error> {
    check_data(what, values)?;
    match values.iter().position(|&v| !(v > 0.0)) {
        Some(index) => {
            Err(Error::OutsideSupport { variable: format!("{what}[{index}]"), value: values[index], support: "positive" })
        }
        None => Ok(()),
    }
}

/// |X| for X ~ Cauchy(0, scale), by inversion.
fn half_cauchy(rng: &mut Stream, scale: f64) -> f64 {
    scale * (std::f64::consts::FRAC_PI_2 * rng.uniform()).tan()
}

/// |X| for X ~ N(0, sd).
fn half_normal(rng: &mut Stream, sd: f64) -> f64 {
    sd * rng.normal().abs()
}

/// n independent draws of N(mean, sd).
fn normals(rng: &mut Stream, n: usize, mean: f64, sd: f64) -> Vec<f64> {
    (0..n).map(|_| mean + sd * rng.normal()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autodiff::DataMatrix;
    use crate::model::{Model, Target, Values};

    /// Under the prior the gradient of its log density (Jacobian included) has mean 0 in every unconstrained coordinate: draws and
    /// density must belong together. Fails, for example, for a scale instead of a rate, or a missing Jacobian.
    fn check_prior_draws<M: Model>(name: &str, model: &M) {
        let mut rng = Stream::new(17);
        let mut evaluator = model.evaluator().unwrap();
        let dim = model.dim().unwrap();
        let (mut sum, mut squares, mut gradient) = (vec![0.0; dim], vec![0.0; dim], vec![0.0; dim]);
        let n = 4000;
        for _ in 0..n {
            let mut values = Values::new();
            assert!(model.sample_prior(&mut rng, &mut values), "{name}");
            let position = model.unconstrain(&values).unwrap();
            evaluator.tempered_gradient(&position, 0.0, &mut gradient).unwrap();
            for k in 0..dim {
                sum[k] += gradient[k];
                squares[k] += gradient[k] * gradient[k];
            }
        }
        for k in 0..dim {
            let mean = sum[k] / f64::from(n);
            let standard_error = (squares[k] / f64::from(n) - mean * mean).sqrt() / f64::from(n).sqrt();
            // Five standard errors, about 80 coordinates in all: one false alarm in 20,000 seeds.
            assert!(mean.abs() < 5.0 * standard_error, "{name}, {}: {mean} ± {standard_error}", model.coordinate_name(k));
        }
    }

    #[test]
    fn prior_draws_follow_the_prior_density() {
        let y = || vec![0.3, 1.2, -0.4, 0.8, 1.9];
        let x = || DataMatrix::from_columns(&[&[1.0, 1.0, 1.0, 1.0, 1.0], &[0.1, -0.4, 0.9, 0.2, 0.5]]).unwrap();
        check_prior_draws("schools", &EightSchools::rubin());
        check_prior_draws("noncentered schools", &EightSchoolsNoncentered::rubin());
        let scale_priors = [ScalePrior::HalfCauchy(2.5), ScalePrior::HalfNormal(3.0)];
        for prior in scale_priors {
            check_prior_draws("linear", &LinearRegression::new(x(), y(), Some(2.0), prior).unwrap());
        }
        check_prior_draws("centred", &CentredRegression::new(&x(), y()).unwrap());
        check_prior_draws("logistic", &LogisticRegression::simulated(5, 3, 1).unwrap());
        check_prior_draws("autoregression", &Autoregression::new(2, &y()).unwrap());
        check_prior_draws("arma", &Arma11::new(y()).unwrap());
        check_prior_draws("hmm", &HmmGaussian::new(y()).unwrap());
        let positive = || vec![0.3, 1.2, 0.4];
        check_prior_draws("exponential hmm", &HmmExponential::new(positive(), positive(), [[4.0, 2.0], [3.0, 5.0]]).unwrap());
        check_prior_draws("mixture", &GaussianMixture::new(y()).unwrap());
        check_prior_draws("gp", &GpRegression::new(vec![0.0, 2.0, 5.0], positive()).unwrap());
        check_prior_draws("funnel", &analytic::Funnel::new(2));
        check_prior_draws("banana", &analytic::Banana::new(0.7).unwrap());
        check_prior_draws("normal mean", &analytic::NormalMean::new(y(), 1.0, 0.5, 2.0).unwrap());
    }

    #[test]
    fn data_are_checked() {
        assert!(matches!(EightSchools::new(vec![], vec![]), Err(Error::Empty { what: "y" })));
        assert!(
            matches!(EightSchools::new(vec![1.0], vec![0.0]), Err(Error::OutsideSupport { variable, .. }) if variable == "sigma[0]")
        );
        assert!(matches!(EightSchools::new(vec![1.0], vec![1.0, 2.0]), Err(Error::Dimension { what: "sigma", .. })));
        assert!(matches!(Arma11::new(vec![1.0, f64::NAN]), Err(Error::NotFinite { what: "y", index: 1, .. })));
        assert!(matches!(Garch11::new(vec![1.0], -1.0), Err(Error::InvalidSetting { setting: "sigma1", .. })));
        assert!(matches!(Autoregression::new(3, &[1.0; 3]), Err(Error::Empty { .. })));
        assert!(matches!(Autoregression::new(0, &[1.0; 3]), Err(Error::InvalidSetting { setting: "order", .. })));
        let x = DataMatrix::from_columns(&[&[1.0, f64::INFINITY]]).unwrap();
        assert!(matches!(LogisticRegression::new(x.clone(), vec![true], 1.0), Err(Error::Dimension { what: "rows of x", .. })));
        assert!(matches!(LogisticRegression::new(x, vec![true; 2], 1.0), Err(Error::NotFinite { what: "x", .. })));
        assert!(matches!(HmmExponential::new(vec![-1.0], vec![1.0], [[1.0; 2]; 2]), Err(Error::OutsideSupport { .. })));
        assert!(matches!(GpPoisson::new(vec![0.0], vec![]), Err(Error::Dimension { what: "k", .. })));
    }
}
