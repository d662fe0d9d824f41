//! Example models with known answers.
//!
//! Read them to learn how models are written, from the eight schools to hidden Markov models; test a sampler against them. The models are
//! those of the posteriordb collection (Magnusson et al. 2024, <https://arxiv.org/abs/2407.04967>), whose files [`posteriordb`] reads,
//! and a few small targets whose moments or evidence are known in closed form ([`analytic`]).

pub mod analytic;
mod eight_schools;
mod gaussian_process;
mod hidden_markov;
mod hilbert_gp;
mod mixture;
pub mod posteriordb;
mod regression;
mod time_series;

pub use eight_schools::{EightSchools, EightSchoolsNoncentered, Schools};
pub use gaussian_process::{GpPoisson, GpPoissonParameters, GpRegression, GpRegressionParameters};
pub use hidden_markov::{HmmExponential, HmmExponentialParameters, HmmGaussian, HmmGaussianParameters};
pub use hilbert_gp::{HilbertGp, HilbertGpParameters, LatentGp};
pub use mixture::{GaussianMixture, GaussianMixtureParameters};
pub use regression::{
    CentredRegression, CentredRegressionParameters, LinearRegression, LinearRegressionParameters, LogisticRegression,
    LogisticRegressionParameters, ScalePrior, Trend, TrendParameters,
};
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
