//! The normal distribution.

use rand::rand_core::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::family::{Family, Terms, Want, is_positive, require};
use crate::autodiff::Element;
use crate::error::DensityError;

const HALF_LN_2PI: f64 = 0.918_938_533_204_672_8;

/// N(mean, sd): log density -½((y - mean)/sd)² - ln sd - ½ ln 2π on ℝ.
#[derive(Debug, Clone, Copy)]
pub struct Normal {
    mean: f64,
    sd: f64,
}

impl Normal {
    /// The distribution with this mean and standard deviation.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless the mean is finite and the standard deviation positive and finite.
    pub fn new(mean: f64, sd: f64) -> Result<Self, DensityError> {
        Self::prepare([mean, sd], Want { variate: false, parameters: [false; 2] })?;
        Ok(Self { mean, sd })
    }
}

impl Distribution<f64> for Normal {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        let z: f64 = StandardNormal.sample(rng);
        self.mean + self.sd * z
    }
}

impl Family<2> for Normal {
    const NAME: &'static str = "normal";
    /// Mean, 1/sd, ln sd + ½ ln 2π.
    type Prepared<E: Element> = [E; 3];

    #[inline(always)]
    fn prepare<E: Element>([mean, sd]: [E; 2], _: Want<2>) -> Result<[E; 3], DensityError> {
        require(mean.value().is_finite(), Self::NAME, "mean", mean.value(), "finite")?;
        require(is_positive(sd.value()), Self::NAME, "sd", sd.value(), "positive and finite")?;
        Ok([mean, sd.recip(), sd.ln() + HALF_LN_2PI])
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, &[mean, precision_root, normaliser]: &[E; 3], _: Want<2>) -> Terms<E, 2> {
        let z = (y - mean) * precision_root;
        let slope = z * precision_root;
        Terms { value: z * z * -0.5 - normaliser, variate: -slope, parameters: [slope, z * slope - precision_root] }
    }
}
