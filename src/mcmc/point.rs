//! A vector as argmin's solvers want it.

use argmin_math::{
    ArgminAdd, ArgminDot, ArgminL1Norm, ArgminL2Norm, ArgminMinMax, ArgminMul, ArgminScaledAdd, ArgminSignum, ArgminSub,
    ArgminZeroLike,
};

/// A point or gradient in ℝᵈ.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point(pub(super) Vec<f64>);

impl Point {
    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self(self.0.iter().map(|&x| f(x)).collect())
    }

    fn zip(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(&x, &y)| f(x, y)).collect())
    }
}

impl ArgminAdd<Self, Self> for Point {
    fn add(&self, other: &Self) -> Self {
        self.zip(other, |x, y| x + y)
    }
}

impl ArgminAdd<f64, Self> for Point {
    fn add(&self, other: &f64) -> Self {
        self.map(|x| x + other)
    }
}

impl ArgminSub<Self, Self> for Point {
    fn sub(&self, other: &Self) -> Self {
        self.zip(other, |x, y| x - y)
    }
}

impl ArgminSub<f64, Self> for Point {
    fn sub(&self, other: &f64) -> Self {
        self.map(|x| x - other)
    }
}

impl ArgminMul<Self, Self> for Point {
    fn mul(&self, other: &Self) -> Self {
        self.zip(other, |x, y| x * y)
    }
}

impl ArgminMul<f64, Self> for Point {
    fn mul(&self, other: &f64) -> Self {
        self.map(|x| x * other)
    }
}

impl ArgminScaledAdd<Self, f64, Self> for Point {
    fn scaled_add(&self, factor: &f64, other: &Self) -> Self {
        self.zip(other, |x, y| x + factor * y)
    }
}

impl ArgminDot<Self, f64> for Point {
    fn dot(&self, other: &Self) -> f64 {
        self.0.iter().zip(&other.0).map(|(x, y)| x * y).sum()
    }
}

impl ArgminL1Norm<f64> for Point {
    fn l1_norm(&self) -> f64 {
        self.0.iter().map(|x| x.abs()).sum()
    }
}

impl ArgminL2Norm<f64> for Point {
    fn l2_norm(&self) -> f64 {
        self.dot(self).sqrt()
    }
}

impl ArgminSignum for Point {
    fn signum(self) -> Self {
        self.map(f64::signum)
    }
}

impl ArgminZeroLike for Point {
    fn zero_like(&self) -> Self {
        Self(vec![0.0; self.0.len()])
    }
}

impl ArgminMinMax for Point {
    fn min(x: &Self, y: &Self) -> Self {
        x.zip(y, f64::min)
    }

    fn max(x: &Self, y: &Self) -> Self {
        x.zip(y, f64::max)
    }
}
