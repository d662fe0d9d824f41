//! The Laplace (double exponential) distribution.

use rand::rand_core::Rng;
use rand_distr::{Distribution, Exp1};

use super::family::{Family, Terms, Want, check, ln_pdf, require_finite, require_positive};
use crate::autodiff::Element;
use crate::error::DensityError;

/// Laplace(location, scale): log density -|y - location|/scale - ln(2 scale) on ℝ; its derivative at the location counts as 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Laplace {
    location: f64,
    scale: f64,
}

impl Laplace {
    /// The distribution with this mean, and standard deviation √2·scale.
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

impl Distribution<f64> for Laplace {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        let magnitude: f64 = Exp1.sample(rng);
        let sign = if rng.next_u64() >> 63 == 1 { -1.0 } else { 1.0 };
        self.location + self.scale * sign * magnitude
    }
}

impl Family<2> for Laplace {
    const NAME: &'static str = "laplace";
    /// Location, 1/scale, ln(2 scale).
    type Prepared<E: Element> = [E; 3];

    #[inline(always)]
    fn prepare<E: Element>([location, scale]: [E; 2], _: Want<2>) -> Result<[E; 3], DensityError> {
        require_finite(Self::NAME, "location", location.value())?;
        require_positive(Self::NAME, "scale", scale.value())?;
        Ok([location, scale.recip(), (scale * 2.0).ln()])
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, &[location, inverse_scale, normaliser]: &[E; 3], _: Want<2>) -> Terms<E, 2> {
        let z = (y - location) * inverse_scale;
        let distance = z.abs();
        let sign = if z.value() > 0.0 {
            1.0
        } else if z.value() < 0.0 {
            -1.0
        } else {
            0.0
        };
        let slope = inverse_scale * sign;
        Terms { value: -distance - normaliser, variate: -slope, parameters: [slope, (distance - 1.0) * inverse_scale] }
    }
}
