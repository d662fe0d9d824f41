//! The gamma and inverse gamma distributions.

use rand::rand_core::Rng;
use rand_distr::Distribution;

use super::family::{Family, Terms, Want, check, ln_pdf, require_positive};
use super::gamma_ratio::{over, times_ln};
use crate::autodiff::Element;
use crate::error::DensityError;

/// Gamma(shape α, rate β): log density α ln β - ln Γ(α) + (α - 1) ln y - β y on y ≥ 0; mean α/β.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gamma {
    shape: f64,
    rate: f64,
    standard: rand_distr::Gamma<f64>,
}

impl Gamma {
    /// The distribution with this shape and rate (inverse scale).
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless both are positive and finite.
    pub fn new(shape: f64, rate: f64) -> Result<Self, DensityError> {
        check::<Self, 2>([shape, rate])?;
        Ok(Self { shape, rate, standard: standard(Self::NAME, shape)? })
    }

    /// The log density at `y`.
    #[must_use]
    pub fn ln_pdf(&self, y: f64) -> f64 {
        ln_pdf::<Self, 2>(y, [self.shape, self.rate])
    }
}

impl Distribution<f64> for Gamma {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        self.standard.sample(rng) / self.rate
    }
}

/// The sampler of Gamma(shape, 1).
pub(super) fn standard(name: &'static str, shape: f64) -> Result<rand_distr::Gamma<f64>, DensityError> {
    let rule = "positive and finite";
    let error = DensityError::Parameter { distribution: name, parameter: "shape", value: shape, rule };
    rand_distr::Gamma::new(shape, 1.0).map_err(|_| error)
}

/// What depends on shape and rate (or scale): shape, rate, shape ln rate - ln Γ(shape), and its derivative by the shape if wanted.
#[inline(always)]
fn prepare<E: Element>(
    name: &'static str,
    second: &'static str,
    [shape, rate]: [E; 2],
    by_shape: bool,
) -> Result<[E; 4], DensityError> {
    require_positive(name, "shape", shape.value())?;
    require_positive(name, second, rate.value())?;
    let ln_rate = rate.ln();
    let slope = if by_shape { ln_rate - shape.digamma() } else { ln_rate };
    Ok([shape, rate, shape * ln_rate - shape.ln_gamma(), slope])
}

impl Family<2> for Gamma {
    const NAME: &'static str = "gamma";
    type Prepared<E: Element> = [E; 4];

    #[inline(always)]
    fn prepare<E: Element>(parameters: [E; 2], want: Want<2>) -> Result<[E; 4], DensityError> {
        prepare(Self::NAME, "rate", parameters, want.parameters[0])
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, &[shape, rate, normaliser, slope]: &[E; 4], want: Want<2>) -> Terms<E, 2> {
        if y.value() < 0.0 || y.value() == f64::INFINITY {
            return Terms::outside();
        }
        let power = shape - 1.0;
        Terms {
            value: normaliser + times_ln(power, y) - rate * y,
            variate: if want.variate { over(power, y) - rate } else { y },
            parameters: [
                if want.parameters[0] { slope + y.ln() } else { y },
                if want.parameters[1] { shape / rate - y } else { y },
            ],
        }
    }
}

/// 1/Gamma(shape α, rate β): log density α ln β - ln Γ(α) - (α + 1) ln y - β/y on y > 0, β = scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InverseGamma {
    shape: f64,
    scale: f64,
    standard: rand_distr::Gamma<f64>,
}

impl InverseGamma {
    /// The distribution of scale / Gamma(shape, 1).
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless both are positive and finite.
    pub fn new(shape: f64, scale: f64) -> Result<Self, DensityError> {
        check::<Self, 2>([shape, scale])?;
        Ok(Self { shape, scale, standard: standard(Self::NAME, shape)? })
    }

    /// The log density at `y`.
    #[must_use]
    pub fn ln_pdf(&self, y: f64) -> f64 {
        ln_pdf::<Self, 2>(y, [self.shape, self.scale])
    }
}

impl Distribution<f64> for InverseGamma {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        self.scale / self.standard.sample(rng)
    }
}

impl Family<2> for InverseGamma {
    const NAME: &'static str = "inverse_gamma";
    type Prepared<E: Element> = [E; 4];

    #[inline(always)]
    fn prepare<E: Element>(parameters: [E; 2], want: Want<2>) -> Result<[E; 4], DensityError> {
        prepare(Self::NAME, "scale", parameters, want.parameters[0])
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, &[shape, scale, normaliser, slope]: &[E; 4], want: Want<2>) -> Terms<E, 2> {
        if y.value() <= 0.0 || y.value() == f64::INFINITY {
            return Terms::outside();
        }
        let (inverse, ln_y, power) = (y.recip(), y.ln(), shape + 1.0);
        Terms {
            value: normaliser - power * ln_y - scale * inverse,
            variate: (scale * inverse - power) * inverse,
            parameters: [slope - ln_y, if want.parameters[1] { shape / scale - inverse } else { y }],
        }
    }
}
