//! One normal distribution, and two of them.

use super::Planar;
use super::bivariate::Bivariate;
use crate::error::DensityError;
use crate::model::Density;
use crate::model::density::check_dimension;
use crate::rng::Stream;

/// N((-1, 1), P⁻¹) with precision P = [[3, -1/2], [-1/2, 1]].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gaussian;

/// The inverse of P, of determinant 11/4.
const NORMAL: Bivariate = Bivariate { mean: [-1.0, 1.0], covariance: [4.0 / 11.0, 2.0 / 11.0, 12.0 / 11.0] };

impl Density for Gaussian {
    fn dim(&self) -> usize {
        2
    }

    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        check_dimension(2, position)?;
        let (log_density, score) = NORMAL.log_density_gradient([position[0], position[1]]);
        gradient.copy_from_slice(&score);
        Ok(log_density)
    }
}

impl Planar for Gaussian {
    fn name(&self) -> &'static str {
        "gaussian"
    }

    fn sample(&self, rng: &mut Stream) -> [f64; 2] {
        NORMAL.sample(rng)
    }
}

/// ½ N((-2, 2), ½ I) + ½ N((2, -2), ½ I).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mixture;

const MODES: [Bivariate; 2] =
    [Bivariate { mean: [-2.0, 2.0], covariance: [0.5, 0.0, 0.5] }, Bivariate { mean: [2.0, -2.0], covariance: [0.5, 0.0, 0.5] }];

impl Density for Mixture {
    fn dim(&self) -> usize {
        2
    }

    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        check_dimension(2, position)?;
        let [(f, u), (g, v)] = MODES.map(|mode| mode.log_density_gradient([position[0], position[1]]));
        let largest = f.max(g);
        let (p, q) = ((f - largest).exp(), (g - largest).exp());
        for c in 0..2 {
            gradient[c] = (p * u[c] + q * v[c]) / (p + q);
        }
        Ok(largest + (0.5 * (p + q)).ln())
    }
}

impl Planar for Mixture {
    fn name(&self) -> &'static str {
        "mixture"
    }

    fn sample(&self, rng: &mut Stream) -> [f64; 2] {
        let mode = usize::from(rng.coin());
        MODES[mode].sample(rng)
    }
}
