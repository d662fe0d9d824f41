//! Plain gradient steps.

use super::{StepRule, StepState, check_start, check_step, commit, named, scale};
use crate::error::{Error, check};

/// Stochastic gradient ascent, plain or with momentum (the heavy ball).
///
/// ```text
/// v ← β v + c
/// x ← x + η v
/// ```
/// The step has the units of the direction: a learning rate η that suits one target is too small or diverges on another. Momentum β defaults to 0.
///
/// ```
/// use posterity::step_rules::{Sgd, StepRule};
/// let mut x = [0.0];
/// let mut state = Sgd::new(0.5).start(&x)?;
/// state.step(&[3.0], &mut x)?;
/// assert_eq!(x, [1.5]);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// Sources: Robbins & Monro 1951, <https://doi.org/10.1214/aoms/1177729586>; Polyak 1964, <https://doi.org/10.1016/0041-5553(64)90137-5>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    learning_rate: f64,
    momentum: f64,
}

impl Sgd {
    /// With a learning rate η, positive, and no momentum.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, momentum: 0.0 }
    }

    /// Momentum β in [0, 1).
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    fn validate(&self) -> Result<(), Error> {
        check::positive("learning_rate", self.learning_rate)?;
        check::in_range("momentum", self.momentum, (0.0..1.0).contains(&self.momentum), "in [0, 1)")
    }
}

impl StepRule for Sgd {
    fn name(&self) -> String {
        named(format!("SGD {}", self.learning_rate), &[("momentum", self.momentum, 0.0)])
    }

    fn start(&self, position: &[f64]) -> Result<Box<dyn StepState>, Error> {
        self.validate()?;
        check_start(position)?;
        let n = position.len();
        Ok(Box::new(SgdState { rule: *self, velocities: vec![0.0; n], new: vec![0.0; n] }))
    }
}

#[derive(Debug, Clone)]
struct SgdState {
    rule: Sgd,
    velocities: Vec<f64>,
    new: Vec<f64>,
}

impl StepState for SgdState {
    fn step(&mut self, direction: &[f64], position: &mut [f64]) -> Result<(), Error> {
        check_step(self.new.len(), direction, position)?;
        let Sgd { learning_rate, momentum } = self.rule;
        for (((new, v), c), x) in self.new.iter_mut().zip(&mut self.velocities).zip(direction).zip(&*position) {
            *v = momentum * *v + c;
            *new = x + learning_rate * *v;
        }
        commit(&self.new, position)
    }

    fn scale_learning_rate(&mut self, factor: f64) -> bool {
        scale(&mut self.rule.learning_rate, factor)
    }

    fn clone_box(&self) -> Box<dyn StepState> {
        Box::new(self.clone())
    }
}
