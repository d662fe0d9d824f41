//! The Cauchy distribution, and its half on the positive numbers.

use rand::rand_core::Rng;
use rand_distr::Distribution;

use super::family::{Family, Terms, Want, check, ln_pdf, require_finite, require_positive};
use crate::autodiff::Element;
use crate::error::DensityError;

const LN_PI: f64 = 1.144_729_885_849_400_2;

/// Cauchy(location, scale): with z = (y - location)/scale the log density is -ln π - ln scale - ln(1 + z²) on ℝ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cauchy {
    location: f64,
    scale: f64,
}

impl Cauchy {
    /// The distribution with this median and half-width at half of the maximum.
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

impl Distribution<f64> for Cauchy {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        self.location + self.scale * standard(rng)
    }
}

fn standard<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    let u: f64 = rand_distr::Open01.sample(rng);
    (std::f64::consts::PI * (u - 0.5)).tan()
}

/// ln(1 + z²), 2z/(1 + z²) and z·2z/(1 + z²), without overflow.
#[inline(always)]
fn tail<E: Element>(z: E) -> (E, E, E) {
    if z.value().abs() > 1e150 {
        return (z.abs().ln() * 2.0, z.recip() * 2.0, E::constant(2.0));
    }
    let square = z * z;
    let ratio = z * 2.0 / (square + 1.0);
    (square.ln_1p(), ratio, z * ratio)
}

impl Family<2> for Cauchy {
    const NAME: &'static str = "cauchy";
    /// Location, 1/scale, ln scale + ln π.
    type Prepared<E: Element> = [E; 3];

    #[inline(always)]
    fn prepare<E: Element>([location, scale]: [E; 2], _: Want<2>) -> Result<[E; 3], DensityError> {
        require_finite(Self::NAME, "location", location.value())?;
        require_positive(Self::NAME, "scale", scale.value())?;
        Ok([location, scale.recip(), scale.ln() + LN_PI])
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, &[location, inverse_scale, normaliser]: &[E; 3], _: Want<2>) -> Terms<E, 2> {
        let (log_term, ratio, share) = tail((y - location) * inverse_scale);
        let slope = ratio * inverse_scale;
        Terms { value: -log_term - normaliser, variate: -slope, parameters: [slope, (share - 1.0) * inverse_scale] }
    }
}

/// |Cauchy(0, scale)|: log density ln 2 - ln π - ln scale - ln(1 + (y/scale)²) on y ≥ 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HalfCauchy {
    scale: f64,
}

impl HalfCauchy {
    /// The distribution of the absolute value of Cauchy(0, scale).
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless the scale is positive and finite.
    pub fn new(scale: f64) -> Result<Self, DensityError> {
        check::<Self, 1>([scale])?;
        Ok(Self { scale })
    }

    /// The log density at `y`.
    #[must_use]
    pub fn ln_pdf(&self, y: f64) -> f64 {
        ln_pdf::<Self, 1>(y, [self.scale])
    }
}

impl Distribution<f64> for HalfCauchy {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        self.scale * standard(rng).abs()
    }
}

impl Family<1> for HalfCauchy {
    const NAME: &'static str = "half_cauchy";
    /// 1/scale, ln scale + ln π - ln 2.
    type Prepared<E: Element> = [E; 2];

    #[inline(always)]
    fn prepare<E: Element>([scale]: [E; 1], _: Want<1>) -> Result<[E; 2], DensityError> {
        require_positive(Self::NAME, "scale", scale.value())?;
        Ok([scale.recip(), scale.ln() + (LN_PI - std::f64::consts::LN_2)])
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, &[inverse_scale, normaliser]: &[E; 2], _: Want<1>) -> Terms<E, 1> {
        if y.value() < 0.0 {
            return Terms::outside();
        }
        let (log_term, ratio, share) = tail(y * inverse_scale);
        Terms { value: -log_term - normaliser, variate: -(ratio * inverse_scale), parameters: [(share - 1.0) * inverse_scale] }
    }
}
