//! Steps by averages of directions and of their squares.

use super::{StepRule, StepState, check_squares, check_start, check_step, commit, named, scale};
use crate::error::{Error, check};

/// Adam: a running mean of the directions, divided by the root of a running mean of their squares, both corrected for their start at zero.
///
/// ```text
/// m ← β₁ m + (1 - β₁) c,    v ← β₂ v + (1 - β₂) c²
/// x ← x + η m̂ / (ε + √v̂),    m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)
/// ```
/// The first step has length η, whatever the scale of the direction as long as it is far above `epsilon`. Defaults: β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
/// Under noise the last iterate keeps moving by about η: see [averaged iterates](super::IterateAverage).
///
/// Source: Kingma & Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015, <https://arxiv.org/abs/1412.6980>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    learning_rate: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
}

impl Adam {
    /// With a learning rate η, positive: the length of the first step.
    #[must_use]
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }

    /// Decay β₁ of the mean and β₂ of the mean square, both in [0, 1).
    #[must_use]
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        (self.beta1, self.beta2) = (beta1, beta2);
        self
    }

    /// The ε that keeps directions near 0 from being blown up, positive, in the units of the directions.
    #[must_use]
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    fn validate(&self) -> Result<(), Error> {
        check::positive("learning_rate", self.learning_rate)?;
        for (setting, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            check::in_range(setting, beta, (0.0..1.0).contains(&beta), "in [0, 1)")?;
        }
        check::positive("epsilon", self.epsilon)
    }
}

impl StepRule for Adam {
    fn name(&self) -> String {
        let settings = [("beta1", self.beta1, 0.9), ("beta2", self.beta2, 0.999), ("epsilon", self.epsilon, 1e-8)];
        named(format!("Adam {}", self.learning_rate), &settings)
    }

    fn start(&self, position: &[f64]) -> Result<Box<dyn StepState>, Error> {
        self.validate()?;
        check_start(position)?;
        let zeros = vec![0.0; position.len()];
        let (means, squares, new) = (zeros.clone(), zeros.clone(), zeros);
        Ok(Box::new(AdamState { rule: *self, mean_share: 0.0, square_share: 0.0, means, squares, new }))
    }
}

#[derive(Debug, Clone)]
struct AdamState {
    rule: Adam,
    /// 1 - β₁ᵗ: what the directions seen so far count for in the mean.
    mean_share: f64,
    /// 1 - β₂ᵗ
    square_share: f64,
    means: Vec<f64>,
    squares: Vec<f64>,
    new: Vec<f64>,
}

impl StepState for AdamState {
    fn step(&mut self, direction: &[f64], position: &mut [f64]) -> Result<(), Error> {
        check_step(self.new.len(), direction, position)?;
        let Adam { learning_rate, beta1, beta2, epsilon } = self.rule;
        // 1 - β^(t+1) = β (1 - β^t) + (1 - β), without the cancellation near β = 1.
        self.mean_share = beta1 * self.mean_share + (1.0 - beta1);
        self.square_share = beta2 * self.square_share + (1.0 - beta2);
        let moments = self.means.iter_mut().zip(&mut self.squares);
        for (((new, (m, v)), c), x) in self.new.iter_mut().zip(moments).zip(direction).zip(&*position) {
            *m = beta1 * *m + (1.0 - beta1) * c;
            *v = beta2 * *v + (1.0 - beta2) * (c * c);
            *new = x + learning_rate * (*m / self.mean_share) / (epsilon + (*v / self.square_share).sqrt());
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
