//! The negative binomial distribution by mean and dispersion.

use rand::rand_core::Rng;
use rand_distr::Distribution;

use super::family::{CountFamily, Terms, Want, check_counts, ln_pmf, require, require_positive};
use super::gamma_ratio::{digamma_difference, ln_factorial, ln_gamma_difference, times_count};
use super::poisson::Poisson;
use crate::autodiff::Element;
use crate::error::DensityError;

/// NegBinomial(mean μ, dispersion φ), with variance μ + μ²/φ: log probability
/// ln Γ(k + φ) - ln Γ(φ) - ln k! + k ln(μ/(μ + φ)) + φ ln(φ/(μ + φ)) of k ≥ 0.
///
/// It is the Poisson distribution whose rate has a gamma distribution of shape φ and mean μ, and tends to Poisson(μ) for large φ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NegBinomial {
    mean: f64,
    dispersion: f64,
    standard: rand_distr::Gamma<f64>,
}

impl NegBinomial {
    /// The distribution with this mean and dispersion.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless the mean is finite and not negative and the dispersion positive and finite.
    pub fn new(mean: f64, dispersion: f64) -> Result<Self, DensityError> {
        check_counts::<Self, 2>([mean, dispersion])?;
        let rule = "positive and finite";
        let error = DensityError::Parameter { distribution: Self::NAME, parameter: "dispersion", value: dispersion, rule };
        Ok(Self { mean, dispersion, standard: rand_distr::Gamma::new(dispersion, 1.0).map_err(|_| error)? })
    }

    /// The log probability of `k`.
    #[must_use]
    pub fn ln_pmf(&self, k: u64) -> f64 {
        ln_pmf::<Self, 2>(k, [self.mean, self.dispersion])
    }
}

impl Distribution<u64> for NegBinomial {
    /// A count; `u64::MAX` where the rate drawn is beyond 64 bits.
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> u64 {
        let rate = self.standard.sample(rng) / self.dispersion * self.mean;
        Poisson::new(rate).map_or(u64::MAX, |poisson| poisson.sample(rng))
    }
}

/// What a negative binomial probability needs of its parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prepared<E> {
    mean: E,
    dispersion: E,
    /// 1/(μ + φ)
    inverse_sum: E,
    /// ln(μ/(μ + φ))
    ln_share: E,
    /// ln(1 + μ/φ)
    ln_ratio: E,
}

impl CountFamily<2> for NegBinomial {
    const NAME: &'static str = "neg_binomial";
    type Observation = u64;
    type Prepared<E: Element> = Prepared<E>;

    #[inline(always)]
    fn prepare<E: Element>([mean, dispersion]: [E; 2], _: Want<2>) -> Result<Prepared<E>, DensityError> {
        let holds = mean.value() >= 0.0 && mean.value().is_finite();
        require(holds, Self::NAME, "mean", mean.value(), "finite and not negative")?;
        require_positive(Self::NAME, "dispersion", dispersion.value())?;
        let sum = mean + dispersion;
        let ln_share = if mean.value() < dispersion.value() { mean.ln() - sum.ln() } else { -(dispersion / mean).ln_1p() };
        Ok(Prepared { mean, dispersion, inverse_sum: sum.recip(), ln_share, ln_ratio: (mean / dispersion).ln_1p() })
    }

    #[inline(always)]
    fn evaluate<E: Element>(k: u64, prepared: &Prepared<E>, want: Want<2>) -> Terms<E, 2> {
        let &Prepared { mean, dispersion, inverse_sum, ln_share, ln_ratio } = prepared;
        if k > 0 && mean.value() == 0.0 {
            return Terms::outside();
        }
        let (rising, slope) = rising_factorial(k, dispersion, want.parameters[1]);
        let by_mean = times_count(k, mean.recip()) - (dispersion + k as f64) * inverse_sum;
        Terms {
            value: rising - ln_factorial(k) + times_count(k, ln_share) - dispersion * ln_ratio,
            variate: mean,
            parameters: [by_mean, slope + (mean - k as f64) * inverse_sum - ln_ratio],
        }
    }
}

/// ln Γ(x + k) - ln Γ(x) and its derivative, the latter if wanted: a product for small k.
#[inline(always)]
fn rising_factorial<E: Element>(k: u64, x: E, by_x: bool) -> (E, E) {
    if k <= 12 && x.value() < 1e15 {
        let (mut product, mut slope) = (E::constant(1.0), E::constant(0.0));
        for i in 0..k {
            let factor = x + i as f64;
            product = product * factor;
            if by_x {
                slope += factor.recip();
            }
        }
        return (product.ln(), slope);
    }
    let k = E::constant(k as f64);
    (ln_gamma_difference(x, k), if by_x { digamma_difference(x, k) } else { x })
}
