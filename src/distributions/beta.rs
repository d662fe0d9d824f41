//! The beta distribution.

use rand::rand_core::Rng;
use rand_distr::Distribution;

use super::family::{Family, Terms, Want, check, ln_pdf, require_positive};
use super::gamma_ratio::{digamma_difference, ln_beta, over, times_ln};
use crate::autodiff::Element;
use crate::error::DensityError;

/// Beta(a, b): log density (a - 1) ln y + (b - 1) ln(1 - y) - ln B(a, b) on [0, 1]; mean a/(a + b).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beta {
    a: f64,
    b: f64,
    sampler: rand_distr::Beta<f64>,
}

impl Beta {
    /// The distribution with these shapes.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless both are positive and finite.
    pub fn new(a: f64, b: f64) -> Result<Self, DensityError> {
        check::<Self, 2>([a, b])?;
        let error = DensityError::Parameter { distribution: Self::NAME, parameter: "a", value: a, rule: "positive and finite" };
        Ok(Self { a, b, sampler: rand_distr::Beta::new(a, b).map_err(|_| error)? })
    }

    /// The log density at `y`.
    #[must_use]
    pub fn ln_pdf(&self, y: f64) -> f64 {
        ln_pdf::<Self, 2>(y, [self.a, self.b])
    }
}

impl Distribution<f64> for Beta {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        self.sampler.sample(rng)
    }
}

impl Family<2> for Beta {
    const NAME: &'static str = "beta";
    /// a, b, ln B(a, b), ψ(a + b) - ψ(a), ψ(a + b) - ψ(b); the last two if wanted.
    type Prepared<E: Element> = [E; 5];

    #[inline(always)]
    fn prepare<E: Element>([a, b]: [E; 2], want: Want<2>) -> Result<[E; 5], DensityError> {
        require_positive(Self::NAME, "a", a.value())?;
        require_positive(Self::NAME, "b", b.value())?;
        let by_a = if want.parameters[0] { digamma_difference(a, b) } else { a };
        let by_b = if want.parameters[1] { digamma_difference(b, a) } else { b };
        Ok([a, b, ln_beta(a, b), by_a, by_b])
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, &[a, b, normaliser, by_a, by_b]: &[E; 5], want: Want<2>) -> Terms<E, 2> {
        if y.value() < 0.0 || y.value() > 1.0 {
            return Terms::outside();
        }
        let (first, second, rest) = (a - 1.0, b - 1.0, -y + 1.0);
        let ln_rest = (-y).ln_1p();
        let second_term = if rest.value() == 0.0 { times_ln(second, rest) } else { second * ln_rest };
        Terms {
            value: times_ln(first, y) + second_term - normaliser,
            variate: if want.variate { over(first, y) - over(second, rest) } else { y },
            parameters: [if want.parameters[0] { by_a + y.ln() } else { y }, by_b + ln_rest],
        }
    }
}
