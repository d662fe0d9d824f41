//! Operations with many inputs and outputs that stand on the tape as one node.

use super::element::Element;
use crate::error::DensityError;

/// An operation on vectors with a hand-written derivative.
///
/// Implement it to add an operation of your own to the tape; [`Real::block`](super::Real::block) applies it. Both methods are generic over
/// the element, so that Hessian-vector products work through it.
pub trait BlockOp: 'static {
    /// Appends the outputs.
    ///
    /// # Errors
    /// Whatever makes the operation impossible here, as a matrix that is not positive definite.
    fn forward<E: Element>(&self, inputs: &[E], outputs: &mut Vec<E>) -> Result<(), DensityError>;

    /// Adds to `input_adjoints` the derivatives Σⱼ output_adjoints\[j\] · ∂output\[j\]/∂input\[i\].
    fn pull_back<E: Element>(&self, inputs: &[E], outputs: &[E], output_adjoints: &[E], input_adjoints: &mut [E]);
}

/// [`BlockOp::pull_back`] for one element type, as an object.
pub(crate) trait Pullback<E> {
    fn pull_back(&self, inputs: &[E], outputs: &[E], output_adjoints: &[E], input_adjoints: &mut [E]);
}

impl<E: Element, B: BlockOp> Pullback<E> for B {
    fn pull_back(&self, inputs: &[E], outputs: &[E], output_adjoints: &[E], input_adjoints: &mut [E]) {
        BlockOp::pull_back(self, inputs, outputs, output_adjoints, input_adjoints);
    }
}
