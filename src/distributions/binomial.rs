//! The binomial distribution, by probability or by logit.

use rand::rand_core::Rng;
use rand_distr::Distribution;

use super::bernoulli::require_probability;
use super::family::{CountFamily, Terms, Want, check_counts, ln_pmf, require};
use super::gamma_ratio::{ln_choose, times_count};
use crate::autodiff::Element;
use crate::error::DensityError;

/// Binomial(n, p): log probability ln C(n, k) + k ln p + (n - k) ln(1 - p) of k = 0, …, n.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Binomial {
    n: u64,
    p: f64,
    sampler: rand_distr::Binomial,
}

impl Binomial {
    /// The number of successes in `n` trials of success probability `p`.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless 0 ≤ p ≤ 1.
    pub fn new(n: u64, p: f64) -> Result<Self, DensityError> {
        check_counts::<Self, 1>([p])?;
        let error = DensityError::Parameter { distribution: Self::NAME, parameter: "p", value: p, rule: "in [0, 1]" };
        Ok(Self { n, p, sampler: rand_distr::Binomial::new(n, p).map_err(|_| error)? })
    }

    /// The log probability of `k`; -∞ for k > n.
    #[must_use]
    pub fn ln_pmf(&self, k: u64) -> f64 {
        ln_pmf::<Self, 1>(Trials { successes: k, trials: self.n }, [self.p])
    }
}

impl Distribution<u64> for Binomial {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> u64 {
        self.sampler.sample(rng)
    }
}

/// What a binomial row observes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trials {
    pub(crate) successes: u64,
    pub(crate) trials: u64,
}

impl CountFamily<1> for Binomial {
    const NAME: &'static str = "binomial";
    type Observation = Trials;
    /// p, ln p, ln(1 - p).
    type Prepared<E: Element> = [E; 3];

    #[inline(always)]
    fn prepare<E: Element>([p]: [E; 1], _: Want<1>) -> Result<[E; 3], DensityError> {
        require_probability(Self::NAME, "p", p.value())?;
        Ok([p, p.ln(), (-p).ln_1p()])
    }

    #[inline(always)]
    fn evaluate<E: Element>(Trials { successes, trials }: Trials, &[p, ln_p, ln_q]: &[E; 3], _: Want<1>) -> Terms<E, 1> {
        if successes > trials {
            return Terms::outside();
        }
        let failures = trials - successes;
        let value = times_count(successes, ln_p) + times_count(failures, ln_q) + ln_choose(trials, successes);
        if value.value() == f64::NEG_INFINITY {
            return Terms::outside();
        }
        Terms {
            value,
            variate: value,
            parameters: [times_count(successes, p.recip()) + times_count(failures, (p - 1.0).recip())],
        }
    }
}

/// The binomial distribution with p = 1/(1 + e^-eta).
#[derive(Debug, Clone, Copy)]
pub(crate) struct BinomialLogit;

impl CountFamily<1> for BinomialLogit {
    const NAME: &'static str = "binomial_logit";
    type Observation = Trials;
    /// p, 1 - p, ln p, ln(1 - p).
    type Prepared<E: Element> = [E; 4];

    #[inline(always)]
    fn prepare<E: Element>([eta]: [E; 1], _: Want<1>) -> Result<[E; 4], DensityError> {
        require(!eta.value().is_nan(), Self::NAME, "eta", eta.value(), "a number")?;
        Ok([eta.inv_logit(), (-eta).inv_logit(), -(-eta).log1p_exp(), -eta.log1p_exp()])
    }

    #[inline(always)]
    fn evaluate<E: Element>(Trials { successes, trials }: Trials, &[p, q, ln_p, ln_q]: &[E; 4], _: Want<1>) -> Terms<E, 1> {
        if successes > trials {
            return Terms::outside();
        }
        let failures = trials - successes;
        Terms {
            value: times_count(successes, ln_p) + times_count(failures, ln_q) + ln_choose(trials, successes),
            variate: p,
            parameters: [q * successes as f64 - p * failures as f64],
        }
    }
}
