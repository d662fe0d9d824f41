//! A funnel.

use super::Planar;
use super::bivariate::LN_2PI;
use crate::error::DensityError;
use crate::model::Density;
use crate::model::density::check_dimension;
use crate::rng::Stream;

const MEAN: f64 = 4.0;
const SD: f64 = 3.0;

/// A funnel: y ~ N(4, 3²), and x given y ~ N(1, exp y), where the second argument is the variance.
///
/// The score of this density is (-(x - 1) e⁻ʸ, -(y - 4)/9 - ½ + ½ (x - 1)² e⁻ʸ).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Funnel;

impl Density for Funnel {
    fn dim(&self) -> usize {
        2
    }

    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        check_dimension(2, position)?;
        let (x, y) = (position[0] - 1.0, position[1]);
        let z = (y - MEAN) / SD;
        let precision = (-y).exp();
        gradient[0] = -x * precision;
        gradient[1] = -z / SD - 0.5 + 0.5 * x * x * precision;
        Ok(-0.5 * (z * z + y + x * x * precision) - SD.ln() - LN_2PI)
    }
}

impl Planar for Funnel {
    fn name(&self) -> &'static str {
        "funnel"
    }

    fn sample(&self, rng: &mut Stream) -> [f64; 2] {
        let y = MEAN + SD * rng.normal();
        [1.0 + (0.5 * y).exp() * rng.normal(), y]
    }
}
