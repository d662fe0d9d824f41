//! The logistic distribution.

use rand::rand_core::Rng;
use rand_distr::{Distribution, Open01};

use super::family::{Family, Terms, Want, check, ln_pdf, require_finite, require_positive};
use crate::autodiff::Element;
use crate::error::DensityError;

/// Logistic(location, scale): with z = (y - location)/scale the log density is -|z| - ln scale - 2 ln(1 + e^-|z|) on ℝ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logistic {
    location: f64,
    scale: f64,
}

impl Logistic {
    /// The distribution with this mean, and standard deviation scale·π/√3.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless the location is finite and the scale positive and finite.
    pub fn new(location: f64, scale: f64) -> Result<Self, DensityError> {
        check::<Self, 2>([location, scale])?;
        Ok(Self { location, scale })
    }

    /// The log density at `y`.
    #[must_use]
    pub fn ln_pdf(&self, y: f64) -> f64 {
        ln_pdf::<Self, 2>(y, [self.location, self.scale])
    }
}

impl Distribution<f64> for Logistic {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        let u: f64 = Open01.sample(rng);
        self.location + self.scale * (u.ln() - (-u).ln_1p())
    }
}

impl Family<2> for Logistic {
    const NAME: &'static str = "logistic";
    /// Location, 1/scale, ln scale.
    type Prepared<E: Element> = [E; 3];

    #[inline(always)]
    fn prepare<E: Element>([location, scale]: [E; 2], _: Want<2>) -> Result<[E; 3], DensityError> {
        require_finite(Self::NAME, "location", location.value())?;
        require_positive(Self::NAME, "scale", scale.value())?;
        Ok([location, scale.recip(), scale.ln()])
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, &[location, inverse_scale, ln_scale]: &[E; 3], _: Want<2>) -> Terms<E, 2> {
        let z = (y - location) * inverse_scale;
        let distance = if z.value() < 0.0 { -z } else { z };
        let e = (-distance).exp();
        // tanh(z/2)
        let magnitude = (-e + 1.0) / (e + 1.0);
        let slope = if z.value() < 0.0 { -magnitude } else { magnitude } * inverse_scale;
        Terms { value: -distance - ln_scale - e.ln_1p() * 2.0, variate: -slope, parameters: [slope, z * slope - inverse_scale] }
    }
}
