//! Arguments of densities: data or parameters, scalars or slices.

use ndarray::{Array1, ArrayView1};

use super::element::Element;
use super::real::{Real, Sink};

/// An argument of a log density: an `f64` or a slice of them (data), or a [`Real`] or a slice of them (parameters).
///
/// A scalar is broadcast over the length of the others.
pub trait Operands<T: Real> {
    /// True for a scalar.
    const SCALAR: bool;
    /// True if derivatives by it are wanted.
    const TRACKED: bool;
    /// What collects derivatives before they become edges: one sum for a scalar parameter, nothing otherwise.
    type Partial;

    /// Number of entries, or `None` for a scalar.
    fn length(&self) -> Option<usize>;
    /// Entry `i`; a scalar is the same for every `i`.
    fn at(&self, i: usize) -> T::Element;
    /// An empty collector.
    fn partial(&self) -> Self::Partial;
    /// Collects the derivative by entry `i`.
    fn collect(&self, i: usize, derivative: T::Element, partial: &mut Self::Partial, sink: &mut T::Sink);
    /// Writes what is collected.
    fn flush(&self, partial: Self::Partial, sink: &mut T::Sink);
}

impl<T: Real> Operands<T> for f64 {
    const SCALAR: bool = true;
    const TRACKED: bool = false;
    type Partial = ();
    #[inline(always)]
    fn length(&self) -> Option<usize> {
        None
    }
    #[inline(always)]
    fn at(&self, _: usize) -> T::Element {
        T::Element::constant(*self)
    }
    #[inline(always)]
    fn partial(&self) {}
    #[inline(always)]
    fn collect(&self, _: usize, _: T::Element, (): &mut (), _: &mut T::Sink) {}
    #[inline(always)]
    fn flush(&self, (): (), _: &mut T::Sink) {}
}

impl<T: Real> Operands<T> for T {
    const SCALAR: bool = true;
    const TRACKED: bool = T::TRACKED;
    type Partial = T::Element;
    #[inline(always)]
    fn length(&self) -> Option<usize> {
        None
    }
    #[inline(always)]
    fn at(&self, _: usize) -> T::Element {
        self.element()
    }
    #[inline(always)]
    fn partial(&self) -> T::Element {
        T::Element::constant(0.0)
    }
    #[inline(always)]
    fn collect(&self, _: usize, derivative: T::Element, partial: &mut T::Element, _: &mut T::Sink) {
        *partial += derivative;
    }
    #[inline(always)]
    fn flush(&self, partial: T::Element, sink: &mut T::Sink) {
        sink.push(*self, partial);
    }
}

macro_rules! data_operands {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)* T: Real> Operands<T> for $type {
            const SCALAR: bool = false;
            const TRACKED: bool = false;
            type Partial = ();
            #[inline(always)]
            fn length(&self) -> Option<usize> {
                Some(self.len())
            }
            #[inline(always)]
            fn at(&self, i: usize) -> T::Element {
                T::Element::constant(self[i])
            }
            #[inline(always)]
            fn partial(&self) {}
            #[inline(always)]
            fn collect(&self, _: usize, _: T::Element, (): &mut (), _: &mut T::Sink) {}
            #[inline(always)]
            fn flush(&self, (): (), _: &mut T::Sink) {}
        }
    };
}
data_operands!([][f64]);
data_operands!([] Vec<f64>);
data_operands!([const N: usize,] [f64; N]);
data_operands!([] Array1<f64>);
data_operands!(['a,] ArrayView1<'a, f64>);

macro_rules! parameter_operands {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)* T: Real> Operands<T> for $type {
            const SCALAR: bool = false;
            const TRACKED: bool = T::TRACKED;
            type Partial = ();
            #[inline(always)]
            fn length(&self) -> Option<usize> {
                Some(self.len())
            }
            #[inline(always)]
            fn at(&self, i: usize) -> T::Element {
                self[i].element()
            }
            #[inline(always)]
            fn partial(&self) {}
            #[inline(always)]
            fn collect(&self, i: usize, derivative: T::Element, (): &mut (), sink: &mut T::Sink) {
                sink.push(self[i], derivative);
            }
            #[inline(always)]
            fn flush(&self, (): (), _: &mut T::Sink) {}
        }
    };
}
parameter_operands!([][T]);
parameter_operands!([] Vec<T>);
parameter_operands!([const N: usize,] [T; N]);

/// Whole numbers ≥ 0 as observations of discrete distributions: `bool` or an unsigned integer, or a slice of them.
pub trait Counts {
    /// Number of entries, or `None` for a scalar.
    fn length(&self) -> Option<usize>;
    /// Entry `i`; a scalar is the same for every `i`.
    fn count(&self, i: usize) -> u64;
}

macro_rules! counts {
    ($($type:ty),*) => {$(
        impl Counts for $type {
            #[inline(always)]
            fn length(&self) -> Option<usize> {
                None
            }
            #[inline(always)]
            fn count(&self, _: usize) -> u64 {
                *self as u64
            }
        }
        counts!(@slice [] [$type], $type);
        counts!(@slice [] Vec<$type>, $type);
        counts!(@slice [const N: usize] [$type; N], $type);
        counts!(@slice [] Array1<$type>, $type);
        counts!(@slice ['a] ArrayView1<'a, $type>, $type);
    )*};
    (@slice [$($generics:tt)*] $type:ty, $entry:ty) => {
        impl<$($generics)*> Counts for $type {
            #[inline(always)]
            fn length(&self) -> Option<usize> {
                Some(self.len())
            }
            #[inline(always)]
            fn count(&self, i: usize) -> u64 {
                self[i] as u64
            }
        }
    };
}
counts!(bool, u8, u16, u32, u64, usize);
