//! Plain numbers as a [`Real`].

use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use super::block::BlockOp;
use super::real::{Real, Sink};
use crate::error::DensityError;

/// An `f64` seen as a [`Real`]: model code run without derivatives.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Value(pub f64);

impl From<f64> for Value {
    #[inline(always)]
    fn from(value: f64) -> Self {
        Self(value)
    }
}

impl From<Value> for f64 {
    #[inline(always)]
    fn from(value: Value) -> Self {
        value.0
    }
}

macro_rules! operator {
    ($trait:ident $method:ident $operator:tt) => {
        impl $trait for Value {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(self.0 $operator other.0)
            }
        }
        impl $trait<f64> for Value {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: f64) -> Self {
                Self(self.0 $operator other)
            }
        }
    };
}
operator!(Add add +);
operator!(Sub sub -);
operator!(Mul mul *);
operator!(Div div /);
super::real::assign_operators!([] Value, |x| x.0 == 0.0);

impl Neg for Value {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

/// Collects nothing: plain values have no derivatives.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSink;

impl Sink<Value> for NoSink {
    #[inline(always)]
    fn push(&mut self, _: Value, _: f64) {}
    #[inline(always)]
    fn finish(self, value: f64) -> Value {
        Value(value)
    }
}

impl Real for Value {
    type Element = f64;
    type Sink = NoSink;
    const TRACKED: bool = false;

    #[inline(always)]
    fn element(self) -> f64 {
        self.0
    }

    #[inline(always)]
    fn unary(self, value: f64, _: f64) -> Self {
        Self(value)
    }

    fn block<B: BlockOp>(op: B, inputs: &[Self]) -> Result<Vec<Self>, DensityError> {
        let inputs: Vec<f64> = inputs.iter().map(|x| x.0).collect();
        let mut outputs = Vec::new();
        op.forward(&inputs, &mut outputs)?;
        Ok(outputs.into_iter().map(Self).collect())
    }
}
