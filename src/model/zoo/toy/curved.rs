//! Normal distributions that are bent without a change of volume.

use super::Planar;
use super::bivariate::Bivariate;
use crate::error::DensityError;
use crate::model::Density;
use crate::model::density::check_dimension;
use crate::rng::Stream;

/// A bent ridge: (-x, -y - x² - 1) ~ N((0, 1), [[1, ½], [½, 1]]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rosenbrock;

const STRAIGHT_RIDGE: Bivariate = Bivariate { mean: [0.0, 1.0], covariance: [1.0, 0.5, 1.0] };

impl Density for Rosenbrock {
    fn dim(&self) -> usize {
        2
    }

    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        check_dimension(2, position)?;
        let (x, y) = (position[0], position[1]);
        let (log_density, [u, v]) = STRAIGHT_RIDGE.log_density_gradient([-x, -y - x * x - 1.0]);
        gradient[0] = -u - 2.0 * x * v;
        gradient[1] = -v;
        Ok(log_density)
    }
}

impl Planar for Rosenbrock {
    fn name(&self) -> &'static str {
        "rosenbrock"
    }

    fn sample(&self, rng: &mut Stream) -> [f64; 2] {
        let [u, v] = STRAIGHT_RIDGE.sample(rng);
        [-u, -v - u * u - 1.0]
    }
}

/// A wave: (x, y + sin 2x) ~ N((1, 1), [[2, ¼], [¼, ½]]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Squiggle;

const STRAIGHT_WAVE: Bivariate = Bivariate { mean: [1.0, 1.0], covariance: [2.0, 0.25, 0.5] };

impl Density for Squiggle {
    fn dim(&self) -> usize {
        2
    }

    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        check_dimension(2, position)?;
        let (x, y) = (position[0], position[1]);
        let (log_density, [u, v]) = STRAIGHT_WAVE.log_density_gradient([x, y + (2.0 * x).sin()]);
        gradient[0] = u + 2.0 * (2.0 * x).cos() * v;
        gradient[1] = v;
        Ok(log_density)
    }
}

impl Planar for Squiggle {
    fn name(&self) -> &'static str {
        "squiggle"
    }

    fn sample(&self, rng: &mut Stream) -> [f64; 2] {
        let [x, v] = STRAIGHT_WAVE.sample(rng);
        [x, v - (2.0 * x).sin()]
    }
}
