//! The normal distribution, and its half on the positive numbers.

use rand::rand_core::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::family::{Family, Terms, Want, check, ln_pdf, require_finite, require_positive};
use crate::autodiff::Element;
use crate::error::DensityError;

pub(crate) const HALF_LN_2PI: f64 = 0.918_938_533_204_672_8;

/// N(mean, sd): log density -½((y - mean)/sd)² - ln sd - ½ ln 2π on ℝ.
///
/// ```
/// use posterity::distributions::Normal;
/// use posterity::rng::Stream;
/// use rand_distr::Distribution;
/// let normal = Normal::new(1.0, 2.0)?;
/// assert!((normal.ln_pdf(3.0) + 0.5 + (8.0 * std::f64::consts::PI).ln() / 2.0).abs() < 1e-14);
/// let y = normal.sample(&mut Stream::new(1));
/// assert!(y.is_finite());
/// # Ok::<(), posterity::DensityError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
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
        check::<Self, 2>([mean, sd])?;
        Ok(Self { mean, sd })
    }

    /// The log density at `y`.
    #[must_use]
    pub fn ln_pdf(&self, y: f64) -> f64 {
        ln_pdf::<Self, 2>(y, [self.mean, self.sd])
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
        require_finite(Self::NAME, "mean", mean.value())?;
        require_positive(Self::NAME, "sd", sd.value())?;
        Ok([mean, sd.recip(), sd.ln() + HALF_LN_2PI])
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, &[mean, precision_root, normaliser]: &[E; 3], _: Want<2>) -> Terms<E, 2> {
        let z = (y - mean) * precision_root;
        let slope = z * precision_root;
        Terms { value: z * z * -0.5 - normaliser, variate: -slope, parameters: [slope, z * slope - precision_root] }
    }
}

/// |N(0, sd)|: log density ln 2 - ½(y/sd)² - ln sd - ½ ln 2π on y ≥ 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HalfNormal {
    sd: f64,
}

impl HalfNormal {
    /// The distribution of the absolute value of N(0, sd).
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless `sd` is positive and finite.
    pub fn new(sd: f64) -> Result<Self, DensityError> {
        check::<Self, 1>([sd])?;
        Ok(Self { sd })
    }

    /// The log density at `y`.
    #[must_use]
    pub fn ln_pdf(&self, y: f64) -> f64 {
        ln_pdf::<Self, 1>(y, [self.sd])
    }
}

impl Distribution<f64> for HalfNormal {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        let z: f64 = StandardNormal.sample(rng);
        self.sd * z.abs()
    }
}

impl Family<1> for HalfNormal {
    const NAME: &'static str = "half_normal";
    /// 1/sd, ln sd + ½ ln 2π - ln 2.
    type Prepared<E: Element> = [E; 2];

    #[inline(always)]
    fn prepare<E: Element>([sd]: [E; 1], _: Want<1>) -> Result<[E; 2], DensityError> {
        require_positive(Self::NAME, "sd", sd.value())?;
        Ok([sd.recip(), sd.ln() + (HALF_LN_2PI - std::f64::consts::LN_2)])
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, &[precision_root, normaliser]: &[E; 2], _: Want<1>) -> Terms<E, 1> {
        if y.value() < 0.0 {
            return Terms::outside();
        }
        let z = y * precision_root;
        let slope = z * precision_root;
        Terms { value: z * z * -0.5 - normaliser, variate: -slope, parameters: [z * slope - precision_root] }
    }
}
