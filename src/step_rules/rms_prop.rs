//! Steps scaled by recent directions.

use super::{StepRule, StepState, check_squares, check_start, check_step, commit, named, scale};
use crate::error::{Error, check};

/// RMSProp: the direction of each coordinate, divided by its root mean square of late.
///
/// ```text
/// H ← c²                      in the first iteration, unless the average starts from zero
/// H ← γ H + (1 - γ) c²        after it
/// x ← x + η c / (ε + √H)
/// ```
/// Defaults: decay γ = 0.9, ε = 1e-6 (in the units of the directions), the first square as the first average. With these it is the optimiser that
/// the SVGD literature calls "AdaGrad". The last iterate keeps moving by about η: it does not settle unless η is small.
///
/// Source: Tieleman & Hinton, *Lecture 6.5: RMSProp*, 2012; as used by Liu & Wang 2016, <https://arxiv.org/abs/1608.04471>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsProp {
    learning_rate: f64,
    decay: f64,
    epsilon: f64,
    from_zero: bool,
}

impl RmsProp {
    /// With a learning rate η, positive: the length of the first step of a coordinate whose first direction is not 0.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, decay: 0.9, epsilon: 1e-6, from_zero: false }
    }

    /// Decay γ of the average, in [0, 1).
    #[must_use]
    pub fn decay(mut self, decay: f64) -> Self {
        self.decay = decay;
        self
    }

    /// The ε that keeps directions near 0 from being blown up, positive, in the units of the directions.
    #[must_use]
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Starts the average from zero, as optimisers of neural networks do: the first step is then 1/√(1 - γ) times as long.
    #[must_use]
    pub fn from_zero(mut self) -> Self {
        self.from_zero = true;
        self
    }

    fn validate(&self) -> Result<(), Error> {
        check::positive("learning_rate", self.learning_rate)?;
        check::in_range("decay", self.decay, (0.0..1.0).contains(&self.decay), "in [0, 1)")?;
        check::positive("epsilon", self.epsilon)
    }
}

impl StepRule for RmsProp {
    fn name(&self) -> String {
        let start = if self.from_zero { " from zero" } else { "" };
        let settings = [("decay", self.decay, 0.9), ("epsilon", self.epsilon, 1e-6)];
        named(format!("RMSProp{start} {}", self.learning_rate), &settings)
    }

    fn start(&self, position: &[f64]) -> Result<Box<dyn StepState>, Error> {
        self.validate()?;
        check_start(position)?;
        let n = position.len();
        Ok(Box::new(RmsPropState { rule: *self, first: !self.from_zero, squares: vec![0.0; n], new: vec![0.0; n] }))
    }
}

#[derive(Debug, Clone)]
struct RmsPropState {
    rule: RmsProp,
    /// Whether the next square initialises the average.
    first: bool,
    squares: Vec<f64>,
    new: Vec<f64>,
}

impl StepState for RmsPropState {
    fn step(&mut self, direction: &[f64], position: &mut [f64]) -> Result<(), Error> {
        check_step(self.new.len(), direction, position)?;
        let RmsProp { learning_rate, decay, epsilon, .. } = self.rule;
        let share = if self.first { 1.0 } else { 1.0 - decay };
        self.first = false;
        for (((new, h), c), x) in self.new.iter_mut().zip(&mut self.squares).zip(direction).zip(&*position) {
            *h = decay * *h + share * (c * c);
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
