//! The numbers that a tape computes with: `f64`, or a forward dual number for derivatives of derivatives.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// An element of the tape's arithmetic: `f64`, or a [`Jet`](super::Jet) over another element.
///
/// Density kernels and block operations are written once over `Element`; user code is written over [`Real`](super::Real) instead.
pub trait Element:
    Copy
    + Debug
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
    + Div<f64, Output = Self>
    + AddAssign
    + SubAssign
{
    /// A constant.
    fn constant(value: f64) -> Self;
    /// The value without its derivatives.
    fn value(self) -> f64;
    /// True if the value and all derivatives are exactly zero.
    fn is_zero(self) -> bool;
    /// eˣ
    fn exp(self) -> Self;
    /// eˣ - 1
    fn exp_m1(self) -> Self;
    /// ln x
    fn ln(self) -> Self;
    /// ln(1 + x)
    fn ln_1p(self) -> Self;
    /// √x
    fn sqrt(self) -> Self;
    /// sin x
    fn sin(self) -> Self;
    /// cos x
    fn cos(self) -> Self;
    /// tanh x
    fn tanh(self) -> Self;
    /// arctan x
    fn atan(self) -> Self;
    /// |x|, with derivative 0 at 0
    fn abs(self) -> Self;
    /// x to a constant power
    fn powf(self, exponent: f64) -> Self;
    /// x to an integer power
    fn powi(self, exponent: i32) -> Self;
    /// ln Γ(x) for x > 0
    fn ln_gamma(self) -> Self;
    /// The polygamma function ψ⁽ⁿ⁾(x) for x > 0: digamma for n = 0, trigamma for n = 1
    fn polygamma(self, n: u32) -> Self;
    /// Φ(x), the distribution function of the standard normal
    fn normal_cdf(self) -> Self;

    /// 1 / x
    #[inline]
    fn recip(self) -> Self {
        Self::constant(1.0) / self
    }

    /// x²
    #[inline]
    fn square(self) -> Self {
        self * self
    }

    /// ψ(x), the derivative of ln Γ
    #[inline]
    fn digamma(self) -> Self {
        self.polygamma(0)
    }

    /// 1 / (1 + e⁻ˣ)
    #[inline]
    fn inv_logit(self) -> Self {
        if self.value() >= 0.0 {
            ((-self).exp() + 1.0).recip()
        } else {
            let e = self.exp();
            e / (e + 1.0)
        }
    }

    /// ln(1 + eˣ)
    #[inline]
    fn log1p_exp(self) -> Self {
        if self.value() > 0.0 { self + (-self).exp().ln_1p() } else { self.exp().ln_1p() }
    }
}

impl Element for f64 {
    #[inline(always)]
    fn constant(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn value(self) -> f64 {
        self
    }
    #[inline(always)]
    fn is_zero(self) -> bool {
        self == 0.0
    }
    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }
    #[inline(always)]
    fn exp_m1(self) -> Self {
        f64::exp_m1(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        f64::ln(self)
    }
    #[inline(always)]
    fn ln_1p(self) -> Self {
        f64::ln_1p(self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn sin(self) -> Self {
        f64::sin(self)
    }
    #[inline(always)]
    fn cos(self) -> Self {
        f64::cos(self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        f64::tanh(self)
    }
    #[inline(always)]
    fn atan(self) -> Self {
        f64::atan(self)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f64::abs(self)
    }
    #[inline(always)]
    fn powf(self, exponent: f64) -> Self {
        f64::powf(self, exponent)
    }
    #[inline(always)]
    fn powi(self, exponent: i32) -> Self {
        f64::powi(self, exponent)
    }
    #[inline]
    fn ln_gamma(self) -> Self {
        crate::math::ln_gamma(self)
    }
    #[inline]
    fn polygamma(self, n: u32) -> Self {
        crate::math::polygamma(n, self)
    }
    #[inline]
    fn normal_cdf(self) -> Self {
        crate::math::normal_cdf(self)
    }
}
