//! The log-normal distribution.

use rand::rand_core::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::family::{Family, Terms, Want, check, ln_pdf, require_finite, require_positive};
use super::normal::HALF_LN_2PI;
use crate::autodiff::Element;
use crate::error::DensityError;

/// exp N(mu, sigma): log density -½((ln y - mu)/sigma)² - ln y - ln sigma - ½ ln 2π on y > 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogNormal {
    mu: f64,
    sigma: f64,
}

impl LogNormal {
    /// The distribution whose logarithm has mean `mu` and standard deviation `sigma`.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless `mu` is finite and `sigma` positive and finite.
    pub fn new(mu: f64, sigma: f64) -> Result<Self, DensityError> {
        check::<Self, 2>([mu, sigma])?;
        Ok(Self { mu, sigma })
    }

    /// The log density at `y`.
    #[must_use]
    pub fn ln_pdf(&self, y: f64) -> f64 {
        ln_pdf::<Self, 2>(y, [self.mu, self.sigma])
    }
}

impl Distribution<f64> for LogNormal {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        let z: f64 = StandardNormal.sample(rng);
        (self.mu + self.sigma * z).exp()
    }
}

impl Family<2> for LogNormal {
    const NAME: &'static str = "log_normal";
    /// mu, 1/sigma, ln sigma + ½ ln 2π.
    type Prepared<E: Element> = [E; 3];

    #[inline(always)]
    fn prepare<E: Element>([mu, sigma]: [E; 2], _: Want<2>) -> Result<[E; 3], DensityError> {
        require_finite(Self::NAME, "mu", mu.value())?;
        require_positive(Self::NAME, "sigma", sigma.value())?;
        Ok([mu, sigma.recip(), sigma.ln() + HALF_LN_2PI])
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, &[mu, precision_root, normaliser]: &[E; 3], want: Want<2>) -> Terms<E, 2> {
        if y.value() <= 0.0 || y.value() == f64::INFINITY {
            return Terms::outside();
        }
        let ln_y = y.ln();
        let z = (ln_y - mu) * precision_root;
        let slope = z * precision_root;
        Terms {
            value: z * z * -0.5 - ln_y - normaliser,
            variate: if want.variate { -(slope + 1.0) / y } else { slope },
            parameters: [slope, z * slope - precision_root],
        }
    }
}
