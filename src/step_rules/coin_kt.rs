//! Coin betting with a known bound.

use super::{StepRule, StepState, check_start, check_step, commit};
use crate::error::{Error, check};

/// Coin betting by the estimator of Krichevsky and Trofimov, for directions whose bound is known: each coordinate bets the mean of its past coins.
///
/// ```text
/// c ← direction / bound,    |c| ≤ 1
/// W ← W + c (x - x₀)                     the wealth, from the position before the step
/// S ← S + c
/// x ← x₀ + S / (t + 1) · W               after t coins
/// ```
/// W starts at `wealth`, a length: the first step is at most half of it. W never becomes 0 or less, whatever the coins: the guarantee of the rule.
/// It suits checks and objectives with a known Lipschitz constant; [`Coin`](super::Coin) finds the bound by itself.
///
/// Source: Orabona & Pál, *Coin Betting and Parameter-Free Online Learning*, NeurIPS 2016, <https://arxiv.org/abs/1602.04128>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoinKt {
    bound: f64,
    wealth: f64,
}

impl CoinKt {
    /// For directions of at most this size in each coordinate, positive; with a first wealth of 1.
    #[must_use]
    pub fn new(bound: f64) -> Self {
        Self { bound, wealth: 1.0 }
    }

    /// The wealth to begin with, a positive length.
    #[must_use]
    pub fn wealth(mut self, wealth: f64) -> Self {
        self.wealth = wealth;
        self
    }

    fn validate(&self) -> Result<(), Error> {
        check::positive("bound", self.bound)?;
        check::positive("wealth", self.wealth)
    }
}

impl StepRule for CoinKt {
    fn name(&self) -> String {
        format!("coin (KT), bound {}, wealth {}", self.bound, self.wealth)
    }

    fn start(&self, position: &[f64]) -> Result<Box<dyn StepState>, Error> {
        self.validate()?;
        check_start(position)?;
        let n = position.len();
        let (start, gambles, new) = (position.to_vec(), vec![(self.wealth, 0.0); n], vec![0.0; n]);
        Ok(Box::new(CoinKtState { bound: self.bound, n_coins: 0, start, gambles, new }))
    }
}

#[derive(Debug, Clone)]
struct CoinKtState {
    bound: f64,
    n_coins: u64,
    start: Vec<f64>,
    /// Wealth W and sum of coins S.
    gambles: Vec<(f64, f64)>,
    new: Vec<f64>,
}

impl StepState for CoinKtState {
    fn step(&mut self, direction: &[f64], position: &mut [f64]) -> Result<(), Error> {
        check_step(self.start.len(), direction, position)?;
        if let Some(index) = direction.iter().position(|c| c.abs() > self.bound) {
            let support = "at most the rule's bound in size";
            return Err(Error::OutsideSupport { variable: format!("direction[{index}]"), value: direction[index], support });
        }
        self.n_coins += 1;
        let t = self.n_coins as f64;
        let coordinates = self.gambles.iter_mut().zip(&self.start).zip(direction.iter().zip(&*position));
        for ((((wealth, sum), start), (c, x)), new) in coordinates.zip(&mut self.new) {
            let coin = c / self.bound;
            *wealth += coin * (x - start);
            *sum += coin;
            *new = start + *sum / (t + 1.0) * *wealth;
        }
        commit(&self.new, position)
    }

    fn clone_box(&self) -> Box<dyn StepState> {
        Box::new(self.clone())
    }
}
