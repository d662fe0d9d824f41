//! The Poisson distribution.

use rand::rand_core::Rng;
use rand_distr::Distribution;

use super::family::{CountFamily, Terms, Want, check_counts, ln_pmf, require};
use super::gamma_ratio::{ln_factorial, times_count};
use crate::autodiff::Element;
use crate::error::DensityError;

/// Poisson(rate): log probability k ln rate - rate - ln k! of k ≥ 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Poisson {
    rate: f64,
    /// `None` for rate 0.
    sampler: Option<rand_distr::Poisson<f64>>,
}

impl Poisson {
    /// The distribution with this mean.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless the rate is finite and not negative, or if it is too large to sample in 64 bits (1.8e19).
    pub fn new(rate: f64) -> Result<Self, DensityError> {
        check_counts::<Self, 1>([rate])?;
        let rule = "small enough for counts of 64 bits";
        let error = DensityError::Parameter { distribution: Self::NAME, parameter: "rate", value: rate, rule };
        let sampler = if rate > 0.0 { Some(rand_distr::Poisson::new(rate).map_err(|_| error)?) } else { None };
        Ok(Self { rate, sampler })
    }

    /// The log probability of `k`.
    #[must_use]
    pub fn ln_pmf(&self, k: u64) -> f64 {
        ln_pmf::<Self, 1>(k, [self.rate])
    }
}

impl Distribution<u64> for Poisson {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> u64 {
        self.sampler.map_or(0, |sampler| sampler.sample(rng) as u64)
    }
}

impl CountFamily<1> for Poisson {
    const NAME: &'static str = "poisson";
    type Observation = u64;
    /// Rate, ln rate, 1/rate.
    type Prepared<E: Element> = [E; 3];

    #[inline(always)]
    fn prepare<E: Element>([rate]: [E; 1], _: Want<1>) -> Result<[E; 3], DensityError> {
        let holds = rate.value() >= 0.0 && rate.value().is_finite();
        require(holds, Self::NAME, "rate", rate.value(), "finite and not negative")?;
        Ok([rate, rate.ln(), rate.recip()])
    }

    #[inline(always)]
    fn evaluate<E: Element>(k: u64, &[rate, ln_rate, inverse]: &[E; 3], _: Want<1>) -> Terms<E, 1> {
        if k > 0 && rate.value() == 0.0 {
            return Terms::outside();
        }
        Terms {
            value: times_count(k, ln_rate) - rate - ln_factorial(k),
            variate: rate,
            parameters: [times_count(k, inverse) - 1.0],
        }
    }
}
