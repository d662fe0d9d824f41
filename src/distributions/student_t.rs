//! Student's t distribution with location and scale, and its half on the positive numbers.

use rand::rand_core::Rng;
use rand_distr::Distribution;

use super::family::{Family, Terms, Want, check, ln_pdf, require_finite, require_positive};
use super::gamma_ratio::{digamma_difference, ln_gamma_difference};
use crate::autodiff::Element;
use crate::error::DensityError;

const LN_PI: f64 = 1.144_729_885_849_400_2;

/// Beyond this |z| its square nears overflow, and 1 + z²/ν is z²/ν.
const FAR: f64 = 1e150;

/// t(df, location, scale): with z = (y - location)/scale the log density is
/// ln Γ((ν+1)/2) - ln Γ(ν/2) - ½ ln νπ - ln scale - ½(ν+1) ln(1 + z²/ν) on ℝ, ν = df.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StudentT {
    df: f64,
    location: f64,
    scale: f64,
    standard: rand_distr::StudentT<f64>,
}

impl StudentT {
    /// The distribution with `df` degrees of freedom.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless `df` and `scale` are positive and finite and `location` is finite.
    pub fn new(df: f64, location: f64, scale: f64) -> Result<Self, DensityError> {
        check::<Self, 3>([df, location, scale])?;
        Ok(Self { df, location, scale, standard: standard(Self::NAME, df)? })
    }

    /// The log density at `y`.
    #[must_use]
    pub fn ln_pdf(&self, y: f64) -> f64 {
        ln_pdf::<Self, 3>(y, [self.df, self.location, self.scale])
    }
}

impl Distribution<f64> for StudentT {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        self.location + self.scale * self.standard.sample(rng)
    }
}

fn standard(name: &'static str, df: f64) -> Result<rand_distr::StudentT<f64>, DensityError> {
    let error = DensityError::Parameter { distribution: name, parameter: "df", value: df, rule: "positive and finite" };
    rand_distr::StudentT::new(df).map_err(|_| error)
}

/// What a t density needs of its parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prepared<E> {
    df: E,
    location: E,
    inverse_scale: E,
    normaliser: E,
    /// ψ((ν+1)/2) - ψ(ν/2) - 1/ν, if wanted.
    slope_of_normaliser: E,
}

impl Family<3> for StudentT {
    const NAME: &'static str = "student_t";
    type Prepared<E: Element> = Prepared<E>;

    #[inline(always)]
    fn prepare<E: Element>([df, location, scale]: [E; 3], want: Want<3>) -> Result<Prepared<E>, DensityError> {
        require_positive(Self::NAME, "df", df.value())?;
        require_finite(Self::NAME, "location", location.value())?;
        require_positive(Self::NAME, "scale", scale.value())?;
        Ok(Prepared::new(df, location, scale, want.parameters[0]))
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, prepared: &Prepared<E>, want: Want<3>) -> Terms<E, 3> {
        let &Prepared { df, location, inverse_scale, normaliser, slope_of_normaliser } = prepared;
        let z = (y - location) * inverse_scale;
        // ln(1 + z²/ν), z²/(ν + z²) and z/(ν + z²)
        let (log_term, share, ratio) = if z.value().abs() > FAR {
            (z.abs().ln() * 2.0 - df.ln(), E::constant(1.0), z.recip())
        } else {
            let ratio = z / (df + z * z);
            ((z * z / df).ln_1p(), z * ratio, ratio)
        };
        let power = df + 1.0;
        let slope = power * ratio * inverse_scale;
        let by_df = if want.parameters[0] { (slope_of_normaliser - log_term + power * share / df) * 0.5 } else { slope };
        Terms {
            value: normaliser - power * log_term * 0.5,
            variate: -slope,
            parameters: [by_df, slope, (power * share - 1.0) * inverse_scale],
        }
    }
}

impl<E: Element> Prepared<E> {
    #[inline(always)]
    fn new(df: E, location: E, scale: E, by_df: bool) -> Self {
        let half = df * 0.5;
        let normaliser = ln_gamma_difference(half, E::constant(0.5)) - (df.ln() + LN_PI) * 0.5 - scale.ln();
        let slope_of_normaliser = if by_df { digamma_difference(half, E::constant(0.5)) - df.recip() } else { df };
        Self { df, location, inverse_scale: scale.recip(), normaliser, slope_of_normaliser }
    }
}

/// |t(df, 0, scale)|: log density ln 2 + that of [`StudentT`] with location 0, on y ≥ 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HalfStudentT {
    df: f64,
    scale: f64,
    standard: rand_distr::StudentT<f64>,
}

impl HalfStudentT {
    /// The distribution of the absolute value of t(df, 0, scale).
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless `df` and `scale` are positive and finite.
    pub fn new(df: f64, scale: f64) -> Result<Self, DensityError> {
        check::<Self, 2>([df, scale])?;
        Ok(Self { df, scale, standard: standard(Self::NAME, df)? })
    }

    /// The log density at `y`.
    #[must_use]
    pub fn ln_pdf(&self, y: f64) -> f64 {
        ln_pdf::<Self, 2>(y, [self.df, self.scale])
    }
}

impl Distribution<f64> for HalfStudentT {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        self.scale * self.standard.sample(rng).abs()
    }
}

impl Family<2> for HalfStudentT {
    const NAME: &'static str = "half_student_t";
    type Prepared<E: Element> = Prepared<E>;

    #[inline(always)]
    fn prepare<E: Element>([df, scale]: [E; 2], want: Want<2>) -> Result<Prepared<E>, DensityError> {
        require_positive(Self::NAME, "df", df.value())?;
        require_positive(Self::NAME, "scale", scale.value())?;
        let prepared = Prepared::new(df, E::constant(0.0), scale, want.parameters[0]);
        Ok(Prepared { normaliser: prepared.normaliser + std::f64::consts::LN_2, ..prepared })
    }

    #[inline(always)]
    fn evaluate<E: Element>(y: E, prepared: &Prepared<E>, want: Want<2>) -> Terms<E, 2> {
        if y.value() < 0.0 {
            return Terms::outside();
        }
        let [by_df, by_scale] = want.parameters;
        let whole = StudentT::evaluate(y, prepared, Want { variate: want.variate, parameters: [by_df, false, by_scale] });
        let [by_df, _, by_scale] = whole.parameters;
        Terms { value: whole.value, variate: whole.variate, parameters: [by_df, by_scale] }
    }
}
