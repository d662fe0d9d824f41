//! Forward-mode numbers: a value and its derivatives in `K` directions.

use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use super::element::Element;
use super::real::{Real, Sink};
use crate::error::DensityError;

/// A value with its derivatives in `K` directions.
///
/// It serves twice: as a [`Real`], so that model code runs in forward mode, and as an [`Element`], so that a reverse tape computed over it
/// gives derivatives of gradients (forward over reverse).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jet<E, const K: usize> {
    /// The value.
    pub value: E,
    /// The derivative of the value in each direction.
    pub tangents: [E; K],
}

/// A value with one directional derivative.
pub type Dual = Jet<f64, 1>;

impl<E: Element, const K: usize> Jet<E, K> {
    /// The independent variable of direction `k`.
    ///
    /// # Panics
    /// If `k >= K`.
    #[must_use]
    pub fn variable(value: E, k: usize) -> Self {
        let mut tangents = [E::constant(0.0); K];
        tangents[k] = E::constant(1.0);
        Self { value, tangents }
    }

    #[inline(always)]
    fn chain(self, value: E, derivative: E) -> Self {
        Self { value, tangents: std::array::from_fn(|k| self.tangents[k] * derivative) }
    }

    #[inline(always)]
    fn zip(self, other: Self, value: E, f: impl Fn(E, E) -> E) -> Self {
        Self { value, tangents: std::array::from_fn(|k| f(self.tangents[k], other.tangents[k])) }
    }
}

impl<E: Element, const K: usize> Add for Jet<E, K> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, self.value + other.value, |a, b| a + b)
    }
}
impl<E: Element, const K: usize> Sub for Jet<E, K> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, self.value - other.value, |a, b| a - b)
    }
}
#[allow(clippy::suspicious_arithmetic_impl)] // the product and quotient rules
impl<E: Element, const K: usize> Mul for Jet<E, K> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, self.value * other.value, |a, b| a * other.value + b * self.value)
    }
}
#[allow(clippy::suspicious_arithmetic_impl)] // the product and quotient rules
impl<E: Element, const K: usize> Div for Jet<E, K> {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let inverse = other.value.recip();
        let value = self.value * inverse;
        self.zip(other, value, |a, b| (a - b * value) * inverse)
    }
}
impl<E: Element, const K: usize> Neg for Jet<E, K> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self { value: -self.value, tangents: std::array::from_fn(|k| -self.tangents[k]) }
    }
}
impl<E: Element, const K: usize> Add<f64> for Jet<E, K> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: f64) -> Self {
        Self { value: self.value + other, ..self }
    }
}
impl<E: Element, const K: usize> Sub<f64> for Jet<E, K> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: f64) -> Self {
        Self { value: self.value - other, ..self }
    }
}
impl<E: Element, const K: usize> Mul<f64> for Jet<E, K> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: f64) -> Self {
        Self { value: self.value * other, tangents: std::array::from_fn(|k| self.tangents[k] * other) }
    }
}
impl<E: Element, const K: usize> Div<f64> for Jet<E, K> {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: f64) -> Self {
        Self { value: self.value / other, tangents: std::array::from_fn(|k| self.tangents[k] / other) }
    }
}
super::real::assign_operators!([E: Element, const K: usize] Jet<E, K>, |x| Element::is_zero(*x));

impl<E: Element, const K: usize> From<f64> for Jet<E, K> {
    fn from(value: f64) -> Self {
        Self { value: E::constant(value), tangents: [E::constant(0.0); K] }
    }
}

impl<E: Element, const K: usize> Element for Jet<E, K> {
    #[inline(always)]
    fn constant(value: f64) -> Self {
        value.into()
    }
    #[inline(always)]
    fn value(self) -> f64 {
        self.value.value()
    }
    #[inline]
    fn is_zero(self) -> bool {
        self.value.is_zero() && self.tangents.iter().all(|t| t.is_zero())
    }
    #[inline]
    fn exp(self) -> Self {
        let e = self.value.exp();
        self.chain(e, e)
    }
    #[inline]
    fn exp_m1(self) -> Self {
        self.chain(self.value.exp_m1(), self.value.exp())
    }
    #[inline]
    fn ln(self) -> Self {
        self.chain(self.value.ln(), self.value.recip())
    }
    #[inline]
    fn ln_1p(self) -> Self {
        self.chain(self.value.ln_1p(), (self.value + 1.0).recip())
    }
    #[inline]
    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        self.chain(root, root.recip() * 0.5)
    }
    #[inline]
    fn sin(self) -> Self {
        self.chain(self.value.sin(), self.value.cos())
    }
    #[inline]
    fn cos(self) -> Self {
        self.chain(self.value.cos(), -self.value.sin())
    }
    #[inline]
    fn tanh(self) -> Self {
        let t = self.value.tanh();
        self.chain(t, -(t * t) + 1.0)
    }
    #[inline]
    fn atan(self) -> Self {
        self.chain(self.value.atan(), (self.value.square() + 1.0).recip())
    }
    #[inline]
    fn abs(self) -> Self {
        self.chain(self.value.abs(), E::constant(sign(self.value.value())))
    }
    #[inline]
    fn powf(self, exponent: f64) -> Self {
        self.chain(self.value.powf(exponent), self.value.powf(exponent - 1.0) * exponent)
    }
    #[inline]
    fn powi(self, exponent: i32) -> Self {
        if exponent == 0 {
            return 1.0.into();
        }
        self.chain(self.value.powi(exponent), self.value.powi(exponent - 1) * f64::from(exponent))
    }
    fn ln_gamma(self) -> Self {
        self.chain(self.value.ln_gamma(), self.value.polygamma(0))
    }
    fn polygamma(self, n: u32) -> Self {
        self.chain(self.value.polygamma(n), self.value.polygamma(n + 1))
    }
    fn normal_cdf(self) -> Self {
        let density = (self.value.square() * -0.5).exp() * crate::math::FRAC_1_SQRT_2PI;
        self.chain(self.value.normal_cdf(), density)
    }
}

pub(crate) fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}

/// Collects a fused node in forward mode: the tangents add up at once.
#[derive(Debug, Clone, Copy)]
pub struct JetSink<E, const K: usize> {
    tangents: [E; K],
}

impl<E: Element, const K: usize> Default for JetSink<E, K> {
    fn default() -> Self {
        Self { tangents: [E::constant(0.0); K] }
    }
}

impl<E: Element, const K: usize> Sink<Jet<E, K>> for JetSink<E, K> {
    #[inline(always)]
    fn push(&mut self, parent: Jet<E, K>, partial: E) {
        for (sum, tangent) in self.tangents.iter_mut().zip(parent.tangents) {
            *sum += tangent * partial;
        }
    }

    #[inline(always)]
    fn finish(self, value: E) -> Jet<E, K> {
        Jet { value, tangents: self.tangents }
    }
}

impl<E: Element, const K: usize> Real for Jet<E, K> {
    type Element = E;
    type Sink = JetSink<E, K>;
    const TRACKED: bool = true;

    #[inline(always)]
    fn element(self) -> E {
        self.value
    }

    #[inline(always)]
    fn unary(self, value: E, derivative: E) -> Self {
        self.chain(value, derivative)
    }

    fn block<B: super::BlockOp>(op: B, inputs: &[Self]) -> Result<Vec<Self>, DensityError> {
        let mut outputs = Vec::new();
        op.forward(inputs, &mut outputs)?;
        Ok(outputs)
    }
}
