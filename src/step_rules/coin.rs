//! Coin betting: steps without a learning rate.

use super::{StepRule, StepState, check_start, check_step, commit, named};
use crate::error::{Error, check};

/// Coin betting with an adaptive bound: each coordinate bets a share of its wealth on the outcome of a coin, which is its direction.
///
/// ```text
/// L ← max(L, |c|)                        the largest direction so far, in place of a known bound
/// G ← G + c,   A ← A + |c|
/// R ← max(R + (x - x₀) c, 0)             the reward, from the position before the step
/// x ← x₀ + G / (L max(A + L, α L)) · (L + R)
/// ```
/// L starts at `initial_bound` (default 0, by which scaling every direction by a constant changes nothing), the rest at 0. The first step has
/// length 1 / max(2, α) in every coordinate whose direction is not 0, whatever the scale: the one unit of length in the rule. A larger `alpha`
/// makes the first steps of a badly scaled problem smaller, as those of a neural network's weights; default 0.
///
/// The last iterate converges where the objective is smooth; on one like -|x - a| use [averaged iterates](super::IterateAverage).
///
/// Source: Sharrock & Nemeth, *Coin Sampling: Gradient-Based Bayesian Inference without Learning Rates*, ICML 2023,
/// <https://arxiv.org/abs/2301.11294>, after Orabona & Tommasi 2017, <https://arxiv.org/abs/1705.07795>.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Coin {
    alpha: f64,
    initial_bound: f64,
}

impl Coin {
    /// The settings of the paper: α = 0, and no bound known beforehand.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Smoothing α ≥ 0 of the first steps; 0, 1 and 2 are the same on the first one.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// A bound on |c| known beforehand, at least 0, in the units of the directions.
    #[must_use]
    pub fn initial_bound(mut self, bound: f64) -> Self {
        self.initial_bound = bound;
        self
    }
}

impl StepRule for Coin {
    fn name(&self) -> String {
        named("coin".to_owned(), &[("alpha", self.alpha, 0.0), ("initial bound", self.initial_bound, 0.0)])
    }

    fn start(&self, position: &[f64]) -> Result<Box<dyn StepState>, Error> {
        for (setting, value) in [("alpha", self.alpha), ("initial_bound", self.initial_bound)] {
            check::in_range(setting, value, value >= 0.0 && value.is_finite(), "finite and at least 0")?;
        }
        check_start(position)?;
        let gamble = Gamble { largest: self.initial_bound, ..Gamble::default() };
        let n = position.len();
        Ok(Box::new(CoinState { alpha: self.alpha, start: position.to_vec(), gambles: vec![gamble; n], new: vec![0.0; n] }))
    }
}

/// What one coordinate remembers. All but L is kept in units of L: no scale of the directions makes a sum overflow or a reward vanish.
#[derive(Debug, Clone, Copy, Default)]
struct Gamble {
    /// L
    largest: f64,
    /// G / L
    sum: f64,
    /// A / L
    sum_of_sizes: f64,
    /// R / L
    reward: f64,
}

impl Gamble {
    /// How far from its start a coordinate goes that stands `moved` from there; `None` as long as no coin has been thrown and no bound is known.
    fn bet(&mut self, direction: f64, moved: f64, alpha: f64) -> Option<f64> {
        let size = direction.abs();
        if size > self.largest {
            let shrink = self.largest / size;
            self.sum *= shrink;
            self.sum_of_sizes *= shrink;
            self.reward *= shrink;
            self.largest = size;
        }
        if self.largest == 0.0 {
            return None;
        }
        let coin = direction / self.largest;
        self.sum += coin;
        self.sum_of_sizes += coin.abs();
        self.reward = (self.reward + moved * coin).max(0.0);
        Some(self.sum / (self.sum_of_sizes + 1.0).max(alpha) * (1.0 + self.reward))
    }
}

#[derive(Debug, Clone)]
struct CoinState {
    alpha: f64,
    start: Vec<f64>,
    gambles: Vec<Gamble>,
    new: Vec<f64>,
}

impl StepState for CoinState {
    fn step(&mut self, direction: &[f64], position: &mut [f64]) -> Result<(), Error> {
        check_step(self.start.len(), direction, position)?;
        let coordinates = self.gambles.iter_mut().zip(&self.start).zip(direction.iter().zip(&*position));
        for (((gamble, &start), (&c, &x)), new) in coordinates.zip(&mut self.new) {
            *new = gamble.bet(c, x - start, self.alpha).map_or(x, |bet| start + bet);
        }
        commit(&self.new, position)
    }

    fn clone_box(&self) -> Box<dyn StepState> {
        Box::new(self.clone())
    }
}
