//! The continuous uniform distribution.

use rand::rand_core::Rng;
use rand_distr::{Distribution, StandardUniform};

use super::family::{Family, Terms, Want, check, ln_pdf, require, require_finite};
use crate::autodiff::Element;
use crate::error::DensityError;

/// Uniform(lower, upper): log density -ln(upper - lower) on [lower, upper].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uniform {
    lower: f64,
    upper: f64,
}

impl Uniform {
    /// The distribution on [lower, upper].
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless both are finite and `lower < upper`.
    pub fn new(lower: f64, upper: f64) -> Result<Self, DensityError> {
        check::<Self, 2>([lower, upper])?;
        Ok(Self { lower, upper })
    }

    /// The log density at `y`.
    #[must_use]
    pub fn ln_pdf(&self, y: f64) -> f64 {
        ln_pdf::<Self, 2>(y, [self.lower, self.upper])
    }
}

impl Distribution<f64> for Uniform {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        let u: f64 = StandardUniform.sample(rng);
        (self.lower * (1.0 - u) + self.upper * u).clamp(self.lower, self.upper)
    }
}

impl Family<2> for Uniform {
    const NAME: &'static str = "uniform";
    /// Lower, upper, ln(upper - lower), 1/(upper - lower).
    type Prepared<E: Element> = [E; 4];

    #[inline(always)]
    fn prepare<E: Element>([lower, upper]: [E; 2], _: Want<2>) -> Result<[E; 4], DensityError> {
        require_finite(Self::NAME, "lower", lower.value())?;
        let holds = upper.value() > lower.value() && upper.value().is_finite();
        require(holds, Self::NAME, "upper", upper.value(), "finite and greater than lower")?;
        // Halves, for the width itself may overflow.
        let half_width = upper * 0.5 - lower * 0.5;
        Ok([lower, upper, half_width.ln() + std::f64::consts::LN_2, half_width.recip() * 0.5])
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, &[lower, upper, ln_width, inverse]: &[E; 4], _: Want<2>) -> Terms<E, 2> {
        if y.value() < lower.value() || y.value() > upper.value() {
            return Terms::outside();
        }
        // A variate that is NaN makes the density NaN.
        let value = if y.value().is_nan() { y } else { -ln_width };
        Terms { value, variate: E::constant(0.0), parameters: [inverse, -inverse] }
    }
}
