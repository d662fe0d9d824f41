//! Steps scaled by all past directions.

use super::{StepRule, StepState, check_squares, check_start, check_step, commit, named, scale};
use crate::error::{Error, check};

/// AdaGrad: the learning rate of each coordinate falls with the sum of its squared directions.
///
/// ```text
/// H ← H + c²
/// x ← x + η c / (ε + √H)
/// ```
/// The first step has length η, whatever the scale of the direction as long as it is far above `epsilon` (default 1e-8). Steps fall as 1/√t: a start
/// far away takes long. The rule that the SVGD literature calls by this name is [`RmsProp`](super::RmsProp).
///
/// Source: Duchi, Hazan & Singer, *Adaptive Subgradient Methods for Online Learning and Stochastic Optimization*, JMLR 2011,
/// <https://jmlr.org/papers/v12/duchi11a.html>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaGrad {
    learning_rate: f64,
    epsilon: f64,
}

impl AdaGrad {
    /// With a learning rate η, positive: the length of the first step.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, epsilon: 1e-8 }
    }

    /// The ε that keeps directions near 0 from being blown up, positive, in the units of the directions.
    #[must_use]
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    fn validate(&self) -> Result<(), Error> {
        check::positive("learning_rate", self.learning_rate)?;
        check::positive("epsilon", self.epsilon)
    }
}

impl StepRule for AdaGrad {
    fn name(&self) -> String {
        named(format!("AdaGrad {}", self.learning_rate), &[("epsilon", self.epsilon, 1e-8)])
    }

    fn start(&self, position: &[f64]) -> Result<Box<dyn StepState>, Error> {
        self.validate()?;
        check_start(position)?;
        let n = position.len();
        Ok(Box::new(AdaGradState { rule: *self, squares: vec![0.0; n], new: vec![0.0; n] }))
    }
}

#[derive(Debug, Clone)]
struct AdaGradState {
    rule: AdaGrad,
    squares: Vec<f64>,
    new: Vec<f64>,
}

impl StepState for AdaGradState {
    fn step(&mut self, direction: &[f64], position: &mut [f64]) -> Result<(), Error> {
        check_step(self.new.len(), direction, position)?;
        let AdaGrad { learning_rate, epsilon } = self.rule;
        for (((new, h), c), x) in self.new.iter_mut().zip(&mut self.squares).zip(direction).zip(&*position) {
            *h += c * c;
            *new = x + learning_rate * c / (epsilon + h.sqrt());
        }
        check_squares(&self.squares)?;
        commit(&self.new, position)
    }

    fn scale_learning_rate(&mut self, factor: f64) -> bool {
        scale(&mut self.rule.learning_rate, factor)
    }

    fn clone_box(&self) -> Box<dyn StepState> {
        Box::new(self.clone())
    }
}
