//! Metropolis-Hastings on a density that is known through random weights only, and the refreshment of such a weight.
//!
//! ```text
//! θ* ~ q(· | θ),  (w*, a*) ~ M(θ*; ·)
//! accept (θ*, w*, a*) with probability min(1, w* q(θ | θ*) / (w q(θ* | θ)))
//! ```
//! The chain on (θ, w, a) has the invariant law w M(θ; d(w, a)) dθ, whose θ-marginal is the density itself, however noisy the weights are.
//! The
//! weight of the present point is *kept*: drawing it anew at each step would be another chain, with a wrong law. Noise costs acceptance:
//! a variance of log w of 1 to 2 is about right, and above 3 the chain sticks to points whose weight came out too large. *Costs* one draw of
//! a weight per step.
//!
//! *References* C. Andrieu and G. Roberts 2009, doi:10.1214/07-AOS574; A. Doucet, M. K. Pitt, G. Deligiannidis and R. Kohn 2015,
//! doi:10.1093/biomet/asu075 (how noisy the weights should be).

use super::Block;
use super::random_weight::{ConditionalLogWeight, RandomLogWeight};
use crate::error::{DensityError, Error};
use crate::rng::Stream;

/// A point with the random weight that was drawn for it.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedPoint<P, A> {
    /// The point.
    pub point: P,
    /// Log-weight drawn at the point; finite.
    pub log_weight: f64,
    /// What came with the weight.
    pub auxiliary: A,
}

impl<P, A> WeightedPoint<P, A> {
    /// A point with a fresh weight; `None` if it is 0.
    ///
    /// # Errors
    /// As [`RandomLogWeight::draw`].
    pub fn draw<W>(point: P, weight: &mut W, rng: &mut Stream) -> Result<Option<Self>, DensityError>
    where
        W: RandomLogWeight<P, Auxiliary = A> + ?Sized,
    {
        let drawn = weight.draw(&point, rng)?;
        Ok(drawn.map(|drawn| Self { point, log_weight: drawn.log_weight, auxiliary: drawn.auxiliary }))
    }
}

/// A proposal of a Metropolis-Hastings step. Closures `(&P, &mut Stream) -> (P, f64)` are proposals.
pub trait Propose<P> {
    /// Draws a point from q(· | from), and returns with it log q(from | it) - log q(it | from), which is 0 for symmetric proposals.
    fn propose(&mut self, from: &P, rng: &mut Stream) -> (P, f64);
}

impl<P, F: FnMut(&P, &mut Stream) -> (P, f64)> Propose<P> for F {
    fn propose(&mut self, from: &P, rng: &mut Stream) -> (P, f64) {
        self(from, rng)
    }
}

/// What became of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The state moved.
    Accepted,
    /// The proposal had a weight, and was rejected.
    Rejected,
    /// Its weight was 0.
    ZeroWeight,
    /// Its weight could not be computed, for a recoverable reason.
    Failed,
}

/// What happened in one step of [`PseudoMarginal`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PseudoMarginalInfo {
    /// Probability with which the proposal was accepted, given its weight.
    pub acceptance_rate: f64,
    /// What became of it.
    pub outcome: Outcome,
}

/// Pseudo-marginal Metropolis-Hastings.
///
/// Preserves w M(θ; d(w, a)) dθ on [`WeightedPoint`]s. Recoverable errors of the weight reject the proposal.
#[derive(Debug, Clone)]
pub struct PseudoMarginal<Q, W> {
    proposal: Q,
    weight: W,
}

impl<Q, W> PseudoMarginal<Q, W> {
    /// A kernel of a proposal and a random weight.
    pub fn new(proposal: Q, weight: W) -> Self {
        Self { proposal, weight }
    }

    /// The proposal.
    pub fn proposal(&self) -> &Q {
        &self.proposal
    }

    /// The proposal, to tune it; once draws count it must stay as it is.
    pub fn proposal_mut(&mut self) -> &mut Q {
        &mut self.proposal
    }

    /// The weight.
    pub fn weight(&self) -> &W {
        &self.weight
    }

    /// The weight, as to draw it at a start point.
    pub fn weight_mut(&mut self) -> &mut W {
        &mut self.weight
    }
}

impl<P, Q: Propose<P>, W: RandomLogWeight<P>> Block<WeightedPoint<P, W::Auxiliary>> for PseudoMarginal<Q, W> {
    type Info = PseudoMarginalInfo;

    fn step(&mut self, state: &mut WeightedPoint<P, W::Auxiliary>, rng: &mut Stream) -> Result<PseudoMarginalInfo, Error> {
        let (point, log_ratio) = self.proposal.propose(&state.point, rng);
        let proposed = match WeightedPoint::draw(point, &mut self.weight, rng) {
            Ok(Some(proposed)) => proposed,
            Ok(None) => return Ok(PseudoMarginalInfo { acceptance_rate: 0.0, outcome: Outcome::ZeroWeight }),
            Err(error) if error.is_recoverable() => {
                return Ok(PseudoMarginalInfo { acceptance_rate: 0.0, outcome: Outcome::Failed });
            }
            Err(error) => return Err(error.into()),
        };
        let log_rate = proposed.log_weight - state.log_weight + log_ratio;
        if log_rate.is_nan() {
            return Ok(PseudoMarginalInfo { acceptance_rate: 0.0, outcome: Outcome::Failed });
        }
        let acceptance_rate = log_rate.exp().min(1.0);
        let accepted = rng.uniform() < acceptance_rate;
        if accepted {
            *state = proposed;
        }
        let outcome = if accepted { Outcome::Accepted } else { Outcome::Rejected };
        Ok(PseudoMarginalInfo { acceptance_rate, outcome })
    }
}

/// Draws the weight of a point anew, given what it was made of: with a filter, one sweep of conditional sequential Monte Carlo, pinned to the
/// trajectory that the point carries.
///
/// Preserves w M(θ; d(w, a)) dθ, as [`PseudoMarginal`] does. In a composition with it, it frees a chain from a weight that came out too
/// large, at the price of one more filter. Source: Andrieu, Doucet and Holenstein 2010, section 2.4.3.
#[derive(Debug, Clone)]
pub struct Redraw<W>(pub W);

impl<P, W: ConditionalLogWeight<P>> Block<WeightedPoint<P, W::Auxiliary>> for Redraw<W> {
    /// The change of the log-weight.
    type Info = f64;

    fn step(&mut self, state: &mut WeightedPoint<P, W::Auxiliary>, rng: &mut Stream) -> Result<f64, Error> {
        let log_weight = self.0.redraw(&state.point, &mut state.auxiliary, rng)?;
        let change = log_weight - state.log_weight;
        state.log_weight = log_weight;
        Ok(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smc::blocks::Exact;

    #[test]
    fn what_becomes_of_proposals_is_told_apart() {
        // Weights: 1 at 0, 0 at 1, a recoverable error at 2, a fatal one at 3.
        let mut weight = Exact(|x: &u8| match x {
            0 => Ok(0.0),
            1 => Ok(f64::NEG_INFINITY),
            2 => Ok(f64::NAN),
            _ => Err(DensityError::NoData { distribution: "normal" }),
        });
        let mut rng = Stream::new(1);
        let start = WeightedPoint::draw(0, &mut weight, &mut rng).unwrap().unwrap();
        for (to, log_ratio, expected) in [
            (0, 1.0, Outcome::Accepted),
            (0, f64::NEG_INFINITY, Outcome::Rejected),
            (1, 0.0, Outcome::ZeroWeight),
            (2, 0.0, Outcome::Failed),
        ] {
            let mut state = start.clone();
            let mut block = PseudoMarginal::new(move |_: &u8, _: &mut Stream| (to, log_ratio), &mut weight);
            assert_eq!(block.step(&mut state, &mut rng).unwrap().outcome, expected);
            assert_eq!(state, start);
        }
        let mut block = PseudoMarginal::new(|_: &u8, _: &mut Stream| (3, 0.0), &mut weight);
        assert!(matches!(block.step(&mut start.clone(), &mut rng), Err(Error::Density(DensityError::NoData { .. }))));
    }
}
