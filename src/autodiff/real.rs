//! The scalar that model code is written over.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use super::accumulator::Accumulator;
use super::block::BlockOp;
use super::element::Element;
use super::jet::{Jet, sign};
use crate::error::DensityError;

/// A number that model code computes with: a plain [`Value`](super::Value), a variable on a tape ([`Var`](super::Var)), or a forward
/// [`Jet`].
///
/// `f64` is *not* `Real`: data are `f64`, parameters are `T: Real`, and every density takes either. Arithmetic with an `f64` on the **right**
/// works (`x * 2.0`, `x - 1.0`); on the left it cannot be written in Rust (`2.0 * x` does not compile).
///
/// It is a number to [`num_traits`] as well ([`Zero`](num_traits::Zero), [`One`](num_traits::One)), so that arrays of parameters have
/// the sums and products of `ndarray`. Over long vectors [`sum`], [`dot`] and [`dot_data`] are faster: they record one node.
///
/// ```
/// use posterity::autodiff::{Real, Value};
/// fn softplus<T: Real>(x: T) -> T { (x.exp() + 1.0).ln() }
/// assert!((softplus(Value(0.0)).value() - 2.0_f64.ln()).abs() < 1e-15);
/// ```
pub trait Real:
    Copy
    + Debug
    + From<f64>
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
    + MulAssign
    + DivAssign
    + AddAssign<f64>
    + SubAssign<f64>
    + MulAssign<f64>
    + DivAssign<f64>
    + Sum
    + num_traits::Zero
    + num_traits::One
{
    /// What values and partial derivatives are made of.
    type Element: Element;
    /// Collects the edges of one fused node.
    type Sink: Sink<Self>;
    /// False if no derivatives are recorded, so that computing them can be left out.
    const TRACKED: bool;

    /// The value as an element.
    fn element(self) -> Self::Element;

    /// A function of one variable, given its value and derivative here.
    fn unary(self, value: Self::Element, derivative: Self::Element) -> Self;

    /// Applies an operation with many inputs and outputs as one node.
    ///
    /// # Errors
    /// What the operation's [`BlockOp::forward`] reports.
    fn block<B: BlockOp>(op: B, inputs: &[Self]) -> Result<Vec<Self>, DensityError>;

    /// A constant.
    #[inline(always)]
    fn constant(value: f64) -> Self {
        value.into()
    }

    /// The value without derivatives.
    #[inline(always)]
    fn value(self) -> f64 {
        self.element().value()
    }

    /// eˣ
    #[inline]
    fn exp(self) -> Self {
        let e = self.element().exp();
        self.unary(e, e)
    }
    /// eˣ - 1
    #[inline]
    fn exp_m1(self) -> Self {
        let x = self.element();
        self.unary(x.exp_m1(), x.exp())
    }
    /// ln x
    #[inline]
    fn ln(self) -> Self {
        let x = self.element();
        self.unary(x.ln(), x.recip())
    }
    /// ln(1 + x)
    #[inline]
    fn ln_1p(self) -> Self {
        let x = self.element();
        self.unary(x.ln_1p(), (x + 1.0).recip())
    }
    /// √x
    #[inline]
    fn sqrt(self) -> Self {
        let root = self.element().sqrt();
        self.unary(root, root.recip() * 0.5)
    }
    /// x²
    #[inline]
    fn square(self) -> Self {
        let x = self.element();
        self.unary(x * x, x * 2.0)
    }
    /// 1 / x
    #[inline]
    fn recip(self) -> Self {
        let r = self.element().recip();
        self.unary(r, -(r * r))
    }
    /// x to an integer power
    #[inline]
    fn powi(self, exponent: i32) -> Self {
        if exponent == 0 {
            return Self::constant(1.0);
        }
        let x = self.element();
        self.unary(x.powi(exponent), x.powi(exponent - 1) * f64::from(exponent))
    }
    /// x to a constant power
    #[inline]
    fn powf(self, exponent: f64) -> Self {
        let x = self.element();
        self.unary(x.powf(exponent), x.powf(exponent - 1.0) * exponent)
    }
    /// x to a variable power, for x > 0
    #[inline]
    fn pow(self, exponent: Self) -> Self {
        (self.ln() * exponent).exp()
    }
    /// sin x
    #[inline]
    fn sin(self) -> Self {
        let x = self.element();
        self.unary(x.sin(), x.cos())
    }
    /// cos x
    #[inline]
    fn cos(self) -> Self {
        let x = self.element();
        self.unary(x.cos(), -x.sin())
    }
    /// tanh x
    #[inline]
    fn tanh(self) -> Self {
        let t = self.element().tanh();
        self.unary(t, -(t * t) + 1.0)
    }
    /// arctan x
    #[inline]
    fn atan(self) -> Self {
        let x = self.element();
        self.unary(x.atan(), (x.square() + 1.0).recip())
    }
    /// |x|, with derivative 0 at 0
    #[inline]
    fn abs(self) -> Self {
        let x = self.element();
        self.unary(x.abs(), Self::Element::constant(sign(x.value())))
    }
    /// 1 / (1 + e⁻ˣ)
    #[inline]
    fn inv_logit(self) -> Self {
        let p = self.element().inv_logit();
        self.unary(p, p * (-p + 1.0))
    }
    /// ln(x / (1 - x))
    #[inline]
    fn logit(self) -> Self {
        let x = self.element();
        self.unary(x.ln() - (-x).ln_1p(), (x * (-x + 1.0)).recip())
    }
    /// ln(1 + eˣ), the softplus function
    #[inline]
    fn log1p_exp(self) -> Self {
        let x = self.element();
        self.unary(x.log1p_exp(), x.inv_logit())
    }
    /// ln Γ(x) for x > 0
    #[inline]
    fn ln_gamma(self) -> Self {
        let x = self.element();
        self.unary(x.ln_gamma(), x.digamma())
    }
    /// ψ(x), the derivative of ln Γ, for x > 0
    #[inline]
    fn digamma(self) -> Self {
        let x = self.element();
        self.unary(x.digamma(), x.polygamma(1))
    }
    /// Φ(x), the distribution function of the standard normal
    #[inline]
    fn normal_cdf(self) -> Self {
        let x = self.element();
        self.unary(x.normal_cdf(), (x.square() * -0.5).exp() * crate::math::FRAC_1_SQRT_2PI)
    }
    /// The larger of two numbers by value; `other` if `self` is NaN
    #[inline]
    fn max(self, other: Self) -> Self {
        if self.value() > other.value() { self } else { other }
    }
    /// The smaller of two numbers by value; `other` if `self` is NaN
    #[inline]
    fn min(self, other: Self) -> Self {
        if self.value() < other.value() { self } else { other }
    }
}

/// Collects the edges of one fused node: pairs of a parent and the partial derivative by it.
///
/// Code that builds fused nodes uses [`Accumulator`], which carries the value too.
pub trait Sink<T: Real>: Default + Debug {
    /// Records that the node's partial derivative by `parent` is `partial` (summed if pushed twice).
    fn push(&mut self, parent: T, partial: T::Element);
    /// Ends the node.
    fn finish(self, value: T::Element) -> T;
}

/// Σ xᵢ as one node.
pub fn sum<T: Real>(terms: &[T]) -> T {
    let mut node = Accumulator::new();
    for &term in terms {
        node.add(term);
    }
    node.finish()
}

/// Σ xᵢ yᵢ over the shorter length, as one node.
pub fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    let mut node = Accumulator::new();
    for (&a, &b) in x.iter().zip(y) {
        node.add_value(a.element() * b.element());
        node.push(a, b.element());
        node.push(b, a.element());
    }
    node.finish()
}

/// Σ cᵢ xᵢ over the shorter length with constant coefficients, as one node.
pub fn dot_data<T: Real>(coefficients: &[f64], x: &[T]) -> T {
    let mut node = Accumulator::new();
    for (&c, &a) in coefficients.iter().zip(x) {
        node.add_value(a.element() * c);
        node.push(a, T::Element::constant(c));
    }
    node.finish()
}

/// ln Σ exp(xᵢ) as one node, without overflow; -∞ for an empty slice or if all terms are -∞.
pub fn log_sum_exp<T: Real>(terms: &[T]) -> T {
    let largest = terms.iter().fold(f64::NEG_INFINITY, |m, x| m.max(x.value()));
    if !largest.is_finite() {
        return T::constant(if terms.iter().any(|x| x.value().is_nan()) { f64::NAN } else { largest });
    }
    let mut total = T::Element::constant(0.0);
    for x in terms {
        total += (x.element() - largest).exp();
    }
    let mut node = Accumulator::new();
    let value = total.ln() + largest;
    node.add_value(value);
    if T::TRACKED {
        for &x in terms {
            node.push(x, (x.element() - value).exp());
        }
    }
    node.finish()
}

/// A function of a few variables, differentiated in forward mode and recorded as one node.
///
/// Worth it for recursions of few parameters over long data (GARCH, ARMA, two-state HMMs): the tape then holds one node with `K` edges
/// instead of a node per operation. `f` gets the inputs as [`Jet`]s and may call any code generic over [`Real`].
///
/// ```
/// use posterity::autodiff::{Real, Value, forward};
/// let y = forward([Value(2.0), Value(3.0)], |[a, b]| a * b + a.ln());
/// assert_eq!(y.value(), 6.0 + 2.0_f64.ln());
/// ```
pub fn forward<T: Real, const K: usize>(inputs: [T; K], f: impl FnOnce([Jet<T::Element, K>; K]) -> Jet<T::Element, K>) -> T {
    let jets = std::array::from_fn(|k| Jet::variable(inputs[k].element(), k));
    record(inputs, f(jets))
}

/// As [`forward`], for a function with many outputs: `f` pushes them, each becomes one node.
pub fn forward_many<T: Real, const K: usize>(
    inputs: [T; K],
    f: impl FnOnce([Jet<T::Element, K>; K], &mut Vec<Jet<T::Element, K>>),
) -> Vec<T> {
    let jets = std::array::from_fn(|k| Jet::variable(inputs[k].element(), k));
    let mut outputs = Vec::new();
    f(jets, &mut outputs);
    outputs.into_iter().map(|output| record(inputs, output)).collect()
}

fn record<T: Real, const K: usize>(inputs: [T; K], output: Jet<T::Element, K>) -> T {
    let mut node = Accumulator::new();
    node.add_value(output.value);
    for (input, tangent) in inputs.into_iter().zip(output.tangents) {
        node.push(input, tangent);
    }
    node.finish()
}

/// Implements the assigning operators, `Sum`, `Zero` and `One` of a scalar type through its plain operators, and a test that it is zero and
/// has no derivatives.
macro_rules! assign_operators {
    ([$($generics:tt)*] $type:ty, $is_zero:expr) => {
        super::real::assign_operators!(@one [$($generics)*] $type, AddAssign add_assign +);
        super::real::assign_operators!(@one [$($generics)*] $type, SubAssign sub_assign -);
        super::real::assign_operators!(@one [$($generics)*] $type, MulAssign mul_assign *);
        super::real::assign_operators!(@one [$($generics)*] $type, DivAssign div_assign /);
        impl<$($generics)*> std::iter::Sum for $type {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::from(0.0), |a, b| a + b)
            }
        }
        impl<$($generics)*> num_traits::Zero for $type {
            #[inline(always)]
            fn zero() -> Self {
                Self::from(0.0)
            }
            /// A number that is zero here but depends on a variable is none: it may not be left out of a sum.
            #[inline(always)]
            fn is_zero(&self) -> bool {
                let is_zero: fn(&Self) -> bool = $is_zero;
                is_zero(self)
            }
        }
        impl<$($generics)*> num_traits::One for $type {
            #[inline(always)]
            fn one() -> Self {
                Self::from(1.0)
            }
        }
    };
    (@one [$($generics:tt)*] $type:ty, $trait:ident $method:ident $operator:tt) => {
        impl<$($generics)*> $trait for $type {
            #[inline(always)]
            fn $method(&mut self, other: Self) {
                *self = *self $operator other;
            }
        }
        impl<$($generics)*> $trait<f64> for $type {
            #[inline(always)]
            fn $method(&mut self, other: f64) {
                *self = *self $operator other;
            }
        }
    };
}
pub(crate) use assign_operators;

#[cfg(test)]
mod tests {
    use ndarray::Array1;
    use num_traits::{One, Zero};

    use super::super::{Dual, Tape, Value};
    use super::*;

    /// Σ xᵢ + (Π xᵢ) (x · x) by the methods of ndarray.
    fn by_ndarray<T: Real>(x: &[T]) -> T {
        let x = Array1::from(x.to_vec());
        x.sum() + x.product() * (&x * &x).sum()
    }

    #[test]
    fn arrays_of_parameters_sum_and_multiply() {
        let position = [2.0, -3.0, 0.5];
        // Σ = -0.5, Π = -3, Σx² = 13.25; ∂ᵢ = 1 + Π/xᵢ Σx² + 2 Π xᵢ.
        let expected = -0.5 - 3.0 * 13.25;
        let derivative = |x: f64| 1.0 - 3.0 / x * 13.25 - 6.0 * x;
        assert_eq!(by_ndarray(&position.map(Value)).value(), expected);
        let mut gradient = [0.0; 3];
        assert_eq!(Tape::new().gradient(&position, &mut gradient, |x| by_ndarray(x)), expected);
        let jets: [Jet<f64, 3>; 3] = std::array::from_fn(|k| Jet::variable(position[k], k));
        let jet = by_ndarray(&jets);
        assert_eq!(jet.value, expected);
        for k in 0..3 {
            approx::assert_relative_eq!(gradient[k], derivative(position[k]), max_relative = 1e-14);
            approx::assert_relative_eq!(jet.tangents[k], derivative(position[k]), max_relative = 1e-14);
        }
    }

    #[test]
    fn only_a_constant_is_zero() {
        assert!(Zero::is_zero(&Value::zero()) && !Zero::is_zero(&Value::one()));
        assert!(Zero::is_zero(&Dual::zero()) && !Zero::is_zero(&Dual::variable(0.0, 0)));
        let mut gradient = [0.0];
        Tape::new().gradient(&[0.0], &mut gradient, |x| {
            assert!(!x[0].is_zero() && (x[0] * 0.0 + 1.0).value() == 1.0);
            x[0]
        });
    }
}
