//! The exponential distribution.

use rand::rand_core::Rng;
use rand_distr::{Distribution, Exp1};

use super::family::{Family, Terms, Want, check, ln_pdf, require_positive};
use crate::autodiff::Element;
use crate::error::DensityError;

/// Exponential(rate): log density ln rate - rate y on y ≥ 0; mean 1/rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exponential {
    rate: f64,
}

impl Exponential {
    /// The distribution with this rate.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless the rate is positive and finite.
    pub fn new(rate: f64) -> Result<Self, DensityError> {
        check::<Self, 1>([rate])?;
        Ok(Self { rate })
    }

    /// The log density at `y`.
    #[must_use]
    pub fn ln_pdf(&self, y: f64) -> f64 {
        ln_pdf::<Self, 1>(y, [self.rate])
    }
}

impl Distribution<f64> for Exponential {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        let unit: f64 = Exp1.sample(rng);
        unit / self.rate
    }
}

impl Family<1> for Exponential {
    const NAME: &'static str = "exponential";
    /// Rate, its logarithm and its inverse.
    type Prepared<E: Element> = [E; 3];

    #[inline(always)]
    fn prepare<E: Element>([rate]: [E; 1], _: Want<1>) -> Result<[E; 3], DensityError> {
        require_positive(Self::NAME, "rate", rate.value())?;
        Ok([rate, rate.ln(), rate.recip()])
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, &[rate, ln_rate, inverse]: &[E; 3], _: Want<1>) -> Terms<E, 1> {
        if y.value() < 0.0 {
            return Terms::outside();
        }
        Terms { value: ln_rate - rate * y, variate: -rate, parameters: [inverse - y] }
    }
}
