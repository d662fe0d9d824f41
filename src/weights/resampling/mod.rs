//! Resampling: drawing each child's ancestor so that parent `k` has `n w_k / Σw` children on average.
//!
//! ```text
//! a_1..a_n ~ scheme(w),   E #{i : a_i = k} = n w_k / Σ w
//! ```
//!
//! The schemes differ in the noise that they add. Relative to [`Scheme::Multinomial`], the variance of a resampled mean (1000 lognormal
//! weights, positions unrelated to slots) is about 1 for killing, 0.43 for residual, 0.27 for stratified, and 0.18 for SSP and systematic
//! resampling. When the parents are sorted by position it is 1e-4 for stratified, 2e-4 for SSP and 4e-3 for systematic resampling.
//!
//! | scheme | ancestors | conditional form |
//! |---|---|---|
//! | multinomial | sorted independent draws | yes |
//! | residual | `⌊n w_k / Σw⌋` copies, the rest multinomial | no |
//! | stratified | one uniform point per interval `[i, i + 1) / n` | yes |
//! | systematic | the same point in every interval | yes |
//! | SSP | Srinivasan sampling process on the fractions of `n w_k / Σw` | no |
//! | killing | a slot survives with probability `w_i / max w`, otherwise a multinomial draw | yes |
//!
//! Items that are all different and need no copies are resampled without replacement: [`resample_without_replacement`].
//!
//! *Cost.* O(n) time for all schemes, without sorting. *Numbers.* Weights may have any scale; a slot of zero weight is never chosen.
//! Results do not depend on the number of threads.
//!
//! *When not to use.* Systematic resampling has no general guarantee of consistency and depends on the order of the parents; SSP has the
//! guarantee. Killing keeps as many particles as there are, so it cannot change their number.
//!
//! *References.* Douc, Cappé & Moulines 2005 (arXiv:cs/0507025) compare the classical schemes; Gerber, Chopin & Whiteley 2019
//! (<https://doi.org/10.1214/18-AOS1741>) introduce SSP; Chopin & Singh 2015 (arXiv:1304.1887) and Chopin, Singh, Soto & Vihola 2022
//! (arXiv:2203.10037) give the conditional forms.

mod cdf;
mod conditional;
mod killing;
mod optimal;
mod points;
mod rounding;
mod scheme;

pub use optimal::{Kept, resample_without_replacement};
pub use scheme::{Scheme, UnknownScheme};

use cdf::Cdf;
use points::Draws;

use crate::error::Error;
use crate::math::blocks::BLOCK;
use crate::parallel::Threads;
use crate::rng::Stream;

/// From this number of particles on, resampling is spread over threads: below it, handing over costs more than it saves.
const LEAST_SPREAD: usize = 16 * BLOCK;

/// Draws ancestors; owns the scratch memory, so that repeated calls do not allocate once the largest sizes were seen.
///
/// ```
/// use posterity::parallel::Threads;
/// use posterity::rng::Stream;
/// use posterity::weights::resampling::{Resampler, Scheme};
///
/// let weights = [1.0, 0.0, 6.0, 1.0];
/// let mut ancestors = [0; 8];
/// Resampler::default().resample(Scheme::Systematic, &weights, &mut ancestors, &mut Stream::new(1), &Threads::serial())?;
/// assert_eq!(ancestors, [0, 2, 2, 2, 2, 2, 2, 3]);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Resampler {
    cdf: Cdf,
    draws: Draws,
    /// Children per parent, and what is left of their expectation: for [`Scheme::Residual`] and [`Scheme::Ssp`].
    counts: Vec<u32>,
    fractions: Vec<f64>,
    /// Ancestors drawn before their slots are known.
    drawn: Vec<u32>,
}

impl Resampler {
    /// Draws `ancestors.len()` ancestors: parent `k` gets `n w_k / Σw` children on average.
    ///
    /// The weights (one per parent) are at least 0 and finite, not all zero, and need no normalisation. The ancestors come out
    /// non-decreasing; under [`Scheme::Killing`] survivors stay in their slots instead, and there must be as many ancestors as weights.
    ///
    /// # Errors
    /// A [`ResampleError`] if there are no weights or no ancestors, or too many of them; if a weight is negative or not finite; if all are
    /// zero; if [`Scheme::Killing`] is to change the number of particles. Neither `ancestors` nor `rng` has then changed.
    pub fn resample(
        &mut self,
        scheme: Scheme,
        weights: &[f64],
        ancestors: &mut [u32],
        rng: &mut Stream,
        threads: &Threads,
    ) -> Result<(), ResampleError> {
        let threads = &self.prepare(scheme, weights, ancestors, threads)?;
        match scheme {
            Scheme::Multinomial => self.draws.multinomial(&self.cdf, ancestors, rng, threads),
            Scheme::Residual => self.residual(weights, ancestors, rng, threads)?,
            Scheme::Stratified => self.draws.stratified(&self.cdf, None, ancestors, rng, threads),
            Scheme::Systematic => self.draws.systematic(&self.cdf, rng.uniform(), ancestors, threads),
            Scheme::Ssp => self.ssp(weights, ancestors, rng),
            Scheme::Killing => self.killing(weights, None, ancestors, rng, threads),
        }
        Ok(())
    }

    /// As [`Resampler::resample`], given that the ancestor of one child, the reference, is `parent`. Returns the reference's slot.
    ///
    /// Slot and ancestors follow the law of `(I, a)` given `a_I = parent`, where `I` is uniform on the slots and `a` is drawn by the
    /// scheme: what conditional SMC needs. Fixing one slot by hand afterwards would not leave the posterior invariant.
    ///
    /// # Errors
    /// As [`Resampler::resample`]; also if the scheme has no conditional form ([`Scheme::has_conditional`]) or `parent` is not a slot. That
    /// its weight is positive is the caller's to know: here it may be too small to be told from 0.
    ///
    /// ```
    /// use posterity::parallel::Threads;
    /// use posterity::rng::Stream;
    /// use posterity::weights::resampling::{Resampler, Scheme};
    ///
    /// let mut ancestors = [0; 4];
    /// let slot = Resampler::default().resample_conditional(
    ///     Scheme::Systematic, &[5.0, 1.0, 2.0], 1, &mut ancestors, &mut Stream::new(1), &Threads::serial(),
    /// )?;
    /// assert_eq!(ancestors[slot as usize], 1);
    /// # Ok::<(), posterity::Error>(())
    /// ```
    pub fn resample_conditional(
        &mut self,
        scheme: Scheme,
        weights: &[f64],
        parent: u32,
        ancestors: &mut [u32],
        rng: &mut Stream,
        threads: &Threads,
    ) -> Result<u32, ResampleError> {
        if !scheme.has_conditional() {
            return Err(ResampleError::NoConditional { scheme });
        }
        let threads = &self.prepare(scheme, weights, ancestors, threads)?;
        if parent as usize >= weights.len() {
            return Err(ResampleError::Parent { parent, n_parents: weights.len() });
        }
        Ok(self.conditional(scheme, weights, parent, ancestors, rng, threads))
    }

    /// Checks the arguments and sums the weights up.
    fn prepare(
        &mut self,
        scheme: Scheme,
        weights: &[f64],
        ancestors: &[u32],
        threads: &Threads,
    ) -> Result<Threads, ResampleError> {
        let (parents, children) = (weights.len(), ancestors.len());
        if parents == 0 || children == 0 {
            return Err(ResampleError::Empty);
        }
        let n = parents.max(children);
        if u32::try_from(n).is_err() {
            return Err(ResampleError::TooMany { n });
        }
        if scheme == Scheme::Killing && parents != children {
            return Err(ResampleError::Population { scheme, parents, children });
        }
        let threads = threads.for_at_least(LEAST_SPREAD, n);
        self.cdf.build(weights, &threads)?;
        Ok(threads)
    }
}

/// Why ancestors could not be drawn.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResampleError {
    /// There are no weights, or no ancestors are asked for.
    #[error("resampling needs at least one weight and one ancestor")]
    Empty,
    /// More particles than ancestors can be numbered.
    #[error("{n} particles are too many: ancestors are 32-bit numbers")]
    TooMany {
        /// Number of weights or ancestors.
        n: usize,
    },
    /// A weight is negative, infinite or NaN.
    #[error("weight {slot} is {value}, but must be finite and at least 0")]
    Weight {
        /// The first such slot.
        slot: usize,
        /// Its weight.
        value: f64,
    },
    /// All weights are zero.
    #[error("all weights are zero")]
    AllZero,
    /// The scheme has no conditional form.
    #[error("{scheme} resampling has no conditional form")]
    NoConditional {
        /// The scheme.
        scheme: Scheme,
    },
    /// The scheme cannot change the number of particles.
    #[error("{scheme} resampling cannot turn {parents} particles into {children}")]
    Population {
        /// The scheme.
        scheme: Scheme,
        /// Number of weights.
        parents: usize,
        /// Number of ancestors asked for.
        children: usize,
    },
    /// The reference's parent does not exist or has zero weight.
    #[error("the reference's parent {parent} is not a slot of positive weight (there are {n_parents} slots)")]
    Parent {
        /// The parent.
        parent: u32,
        /// Number of weights.
        n_parents: usize,
    },
}

impl From<ResampleError> for Error {
    fn from(source: ResampleError) -> Self {
        Self::Sampling { source: Box::new(source) }
    }
}

/// The first `n` entries of scratch memory that only grows.
fn scratch<T: Clone + Default>(memory: &mut Vec<T>, n: usize) -> &mut [T] {
    if memory.len() < n {
        memory.resize(n, T::default());
    }
    &mut memory[..n]
}
