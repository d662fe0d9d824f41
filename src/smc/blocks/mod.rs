//! Inference algorithms put together from small blocks, each of which preserves its target.
//!
//! ```text
//! a filter is a random log-weight:  E exp(log W(θ)) = p(y | θ)                                 RandomLogWeight, FilterEvidence
//! on a point with its weight:       π(dθ) ∝ p(θ) E[W(θ)]                                        PseudoMarginal, Redraw
//! on a weighted cloud:              γ(f) = E[exp(log-evidence) Σ Wⁱ f(θⁱ)]                      Reweight, Resample, Each
//! of blocks:                        K then L, K with probability p else L, K n times            Compose, Mix, Repeat
//! ```
//! The one idea that nests algorithms: whatever gives an unbiased weight may stand where an exact density stands. Metropolis over an exact
//! density is random-walk Metropolis; over a particle filter it is particle marginal Metropolis-Hastings
//! ([`Pmmh`](super::Pmmh) is that, with warm-up and chains). [`Reweight`], [`Resample`] and [`Each`] of a Markov kernel make resample-move
//! and [tempering](temper); with a filter inside, SMC².
//!
//! A composition of blocks that preserve a law preserves it, so each block is tested by itself: drawn from its exact law on a model small
//! enough to enumerate, one step must leave that law. What preserves what is said at each block; nothing checks that blocks put together
//! are meant for the same target.
//!
//! Blocks run on one thread and own their memory. For production, the samplers with adaptation, chains and results stand beside them.
//!
//! References: A. Ścibior et al. 2018, *Denotational validation of higher-order Bayesian inference*, doi:10.1145/3158148; C. Andrieu and G.
//! Roberts 2009, *The pseudo-marginal approach*, doi:10.1214/07-AOS574; C. Andrieu, A. Doucet and R. Holenstein 2010, *Particle Markov chain
//! Monte Carlo methods*, doi:10.1111/j.1467-9868.2009.00736.x; W. R. Gilks and C. Berzuini 2001, *Following a moving target*,
//! doi:10.1111/1467-9868.00280.

mod cloud;
mod combinators;
mod filter_evidence;
mod pseudo_marginal;
mod random_weight;
mod walk;

pub use cloud::{Each, Metropolis, Resample, Reweight, WeightedCloud, resample_move, temper};
pub use combinators::{Compose, Either, Mix, Repeat};
pub use filter_evidence::{FamilyState, FilterEvidence};
pub use pseudo_marginal::{Outcome, Propose, PseudoMarginal, PseudoMarginalInfo, Redraw, WeightedPoint};
pub use random_weight::{ConditionalLogWeight, Exact, Product, Pullback, RandomLogWeight, Weighted};
pub use walk::AdaptiveWalk;

use crate::error::Error;
use crate::rng::Stream;

/// A Markov kernel over states `S`, or a transformation of weighted clouds.
///
/// ```
/// use posterity::smc::blocks::{Block, Compose, Exact, PseudoMarginal, Redraw, Repeat, WeightedPoint};
/// use posterity::rng::Stream;
/// // An exact density as the weight: the states 0, 1, 2 with probabilities 1 : 2 : 3, proposals uniform.
/// let weight = || Exact(|x: &usize| Ok([1.0_f64, 2.0, 3.0][*x].ln()));
/// let uniform = |_: &usize, rng: &mut Stream| ((3.0 * rng.uniform()) as usize, 0.0);
/// let mut block = Repeat(Compose(PseudoMarginal::new(uniform, weight()), Redraw(weight())), 3);
/// let mut rng = Stream::new(1);
/// let mut state = WeightedPoint::draw(0, &mut weight(), &mut rng)?.unwrap();
/// let mut count = 0;
/// for _ in 0..10_000 {
///     block.step(&mut state, &mut rng)?;
///     count += usize::from(state.point == 2);
/// }
/// assert!((count as f64 / 10_000.0 - 0.5).abs() < 0.03);
/// # Ok::<(), posterity::Error>(())
/// ```
pub trait Block<S: ?Sized> {
    /// What happened in one step.
    type Info;

    /// Makes one step, in place.
    ///
    /// # Errors
    /// What ends the run; the state is then unchanged, unless the block is a composition whose first part had succeeded.
    fn step(&mut self, state: &mut S, rng: &mut Stream) -> Result<Self::Info, Error>;
}

impl<S: ?Sized, B: Block<S> + ?Sized> Block<S> for &mut B {
    type Info = B::Info;

    fn step(&mut self, state: &mut S, rng: &mut Stream) -> Result<B::Info, Error> {
        (**self).step(state, rng)
    }
}
