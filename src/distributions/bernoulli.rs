//! The Bernoulli distribution, by probability or by logit.

use rand::rand_core::Rng;
use rand_distr::{Distribution, StandardUniform};

use super::family::{CountFamily, Terms, Want, check_counts, ln_pmf, require};
use crate::autodiff::Element;
use crate::error::DensityError;

/// Bernoulli(p): log probability ln p of 1 and ln(1 - p) of 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bernoulli {
    p: f64,
}

impl Bernoulli {
    /// The distribution with success probability `p`.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless 0 ≤ p ≤ 1.
    pub fn new(p: f64) -> Result<Self, DensityError> {
        check_counts::<Self, 1>([p])?;
        Ok(Self { p })
    }

    /// The log probability of `k`; -∞ unless it is 0 or 1.
    #[must_use]
    pub fn ln_pmf(&self, k: u64) -> f64 {
        ln_pmf::<Self, 1>(k, [self.p])
    }
}

impl Distribution<u64> for Bernoulli {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> u64 {
        let u: f64 = StandardUniform.sample(rng);
        u64::from(u < self.p)
    }
}

/// Fails unless 0 ≤ p ≤ 1.
#[inline(always)]
pub(super) fn require_probability(distribution: &'static str, parameter: &'static str, p: f64) -> Result<(), DensityError> {
    require((0.0..=1.0).contains(&p), distribution, parameter, p, "in [0, 1]")
}

impl CountFamily<1> for Bernoulli {
    const NAME: &'static str = "bernoulli";
    type Observation = u64;
    /// p, ln p, ln(1 - p).
    type Prepared<E: Element> = [E; 3];

    #[inline(always)]
    fn prepare<E: Element>([p]: [E; 1], _: Want<1>) -> Result<[E; 3], DensityError> {
        require_probability(Self::NAME, "p", p.value())?;
        Ok([p, p.ln(), (-p).ln_1p()])
    }

    #[inline(always)]
    fn evaluate<E: Element>(k: u64, &[p, ln_p, ln_q]: &[E; 3], _: Want<1>) -> Terms<E, 1> {
        let (value, slope) = match k {
            0 => (ln_q, (p - 1.0).recip()),
            1 => (ln_p, p.recip()),
            _ => return Terms::outside(),
        };
        if value.value() == f64::NEG_INFINITY {
            return Terms::outside();
        }
        Terms { value, variate: value, parameters: [slope] }
    }
}
