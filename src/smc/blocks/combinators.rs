//! Blocks made of blocks: one after the other, one or the other, again and again.

use super::Block;
use crate::error::Error;
use crate::rng::Stream;

/// The first block, then the second. Preserves what both preserve; a composition of reversible kernels is not reversible.
#[derive(Debug, Clone, Copy)]
pub struct Compose<A, B>(pub A, pub B);

impl<S: ?Sized, A: Block<S>, B: Block<S>> Block<S> for Compose<A, B> {
    type Info = (A::Info, B::Info);

    fn step(&mut self, state: &mut S, rng: &mut Stream) -> Result<Self::Info, Error> {
        Ok((self.0.step(state, rng)?, self.1.step(state, rng)?))
    }
}

/// One of two blocks, the first with a fixed probability. Preserves what both preserve; the probability must not depend on the state.
#[derive(Debug, Clone, Copy)]
pub struct Mix<A, B> {
    first: A,
    second: B,
    probability: f64,
}

/// What one of two blocks says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first was run.
    First(A),
    /// The second was run.
    Second(B),
}

impl<A, B> Mix<A, B> {
    /// `first` with the given probability, otherwise `second`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a probability outside [0, 1].
    pub fn new(first: A, second: B, probability: f64) -> Result<Self, Error> {
        let holds = (0.0..=1.0).contains(&probability);
        crate::error::check::in_range("probability", probability, holds, "in [0, 1]")?;
        Ok(Self { first, second, probability })
    }
}

impl<S: ?Sized, A: Block<S>, B: Block<S>> Block<S> for Mix<A, B> {
    type Info = Either<A::Info, B::Info>;

    fn step(&mut self, state: &mut S, rng: &mut Stream) -> Result<Self::Info, Error> {
        if rng.uniform() < self.probability {
            self.first.step(state, rng).map(Either::First)
        } else {
            self.second.step(state, rng).map(Either::Second)
        }
    }
}

/// A block so many times. Preserves what the block preserves.
#[derive(Debug, Clone, Copy)]
pub struct Repeat<B>(pub B, pub usize);

impl<S: ?Sized, B: Block<S>> Block<S> for Repeat<B> {
    type Info = Vec<B::Info>;

    fn step(&mut self, state: &mut S, rng: &mut Stream) -> Result<Vec<B::Info>, Error> {
        (0..self.1).map(|_| self.0.step(state, rng)).collect()
    }
}
