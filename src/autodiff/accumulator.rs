//! Builds one node of many parents.

use super::element::Element;
use super::real::{Real, Sink};

/// One fused node under construction: a value and the partial derivatives by its parents.
///
/// ```
/// use posterity::autodiff::{Accumulator, Real, Value};
/// // x² + y as one node
/// let (x, y) = (Value(3.0), Value(1.0));
/// let mut node = Accumulator::new();
/// node.add_value(x.element() * x.element());
/// node.push(x, x.element() * 2.0);
/// node.add(y);
/// assert_eq!(node.finish().value(), 10.0);
/// ```
#[derive(Debug)]
pub struct Accumulator<T: Real> {
    value: T::Element,
    sink: T::Sink,
}

impl<T: Real> Default for Accumulator<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Accumulator<T> {
    /// A node with value 0 and no parents.
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        Self { value: T::Element::constant(0.0), sink: T::Sink::default() }
    }

    /// Adds to the value without a parent.
    #[inline(always)]
    pub fn add_value(&mut self, value: T::Element) {
        self.value += value;
    }

    /// Adds a partial derivative by `parent`.
    #[inline(always)]
    pub fn push(&mut self, parent: T, partial: T::Element) {
        self.sink.push(parent, partial);
    }

    /// Adds a term: its value, and derivative 1 by it.
    #[inline(always)]
    pub fn add(&mut self, term: T) {
        self.value += term.element();
        self.sink.push(term, T::Element::constant(1.0));
    }

    /// The value so far.
    #[inline(always)]
    #[must_use]
    pub fn value(&self) -> T::Element {
        self.value
    }

    /// The finished node.
    #[inline]
    pub fn finish(self) -> T {
        self.sink.finish(self.value)
    }

    #[inline(always)]
    pub(crate) fn sink_mut(&mut self) -> &mut T::Sink {
        &mut self.sink
    }

    pub(crate) fn into_parts(self) -> (T::Element, T::Sink) {
        (self.value, self.sink)
    }
}
