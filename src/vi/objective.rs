//! What is maximised, and by which estimator of its gradient.

use crate::error::{Error, check};

/// How the gradient of a bound is estimated from k draws zᵢ ~ q with log ratios aᵢ = log p(zᵢ) - log q(zᵢ), weights wᵢ ∝ exp((1 - α) aᵢ), and path terms
/// Jᵢᵀ sᵢ, where Jᵢ = ∂zᵢ/∂φ and sᵢ = ∇z aᵢ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Estimator {
    /// Σ wᵢ (Jᵢᵀ sᵢ - ∇φ log q(zᵢ)): the gradient as it stands, unbiased for every bound. Its signal-to-noise ratio for k → ∞ falls as k^(-1/2).
    Total,
    /// (1/k) Σ Jᵢᵀ ∇ log p(zᵢ) + ∇φ entropy: unbiased, for the evidence lower bound of families with a known entropy; noisy at the optimum.
    ClosedEntropy,
    /// Σ wᵢ Jᵢᵀ sᵢ, "sticking the landing": no noise where q = p. Unbiased for the evidence lower bound, **biased** for k > 1 with any other.
    ///
    /// Source: Roeder, Wu & Duvenaud 2017, <https://arxiv.org/abs/1703.09194>.
    StickingTheLanding,
    /// Σ (α wᵢ + (1 - α) wᵢ²) Jᵢᵀ sᵢ, doubly reparameterised: unbiased for every bound, with a signal-to-noise ratio that grows as k^(1/2). For the
    /// evidence lower bound it is [`StickingTheLanding`](Estimator::StickingTheLanding). The default.
    ///
    /// Source: Tucker et al. 2019, <https://arxiv.org/abs/1810.04152>, for α = 0. For any α: the part of the gradient through log q is a score term with the coefficient wᵢ, whose
    /// reparameterisation brings in ∂wᵢ/∂zᵢ = (1 - α) wᵢ (1 - wᵢ) sᵢ, and wᵢ sᵢ - (1 - α) wᵢ (1 - wᵢ) sᵢ is what stands above.
    DoublyReparameterised,
    /// Σ (L - L₋ᵢ) ∇φ log q(zᵢ) less the direct term, where L₋ᵢ is the bound with aᵢ replaced by what the other draws predict: no gradient of the target, and no
    /// reparameterisation. For the evidence lower bound the coefficients are (aᵢ - mean of the others) / k; for the others this is VIMCO. Needs k >= 2.
    ///
    /// Unbiased where the density is positive at all draws. Where it is zero in places, and α < 1, draws there count as long as another of the group is elsewhere, and groups
    /// without any are left out; for α >= 1 such draws are dropped. The gradient is that of a bound over what is left then, with nothing that keeps q from the places of density zero; what is left out is counted as failed
    /// draws.
    ///
    /// Source: Mnih & Rezende 2016, <https://arxiv.org/abs/1602.06725>; Salimans & Knowles 2014, <https://arxiv.org/abs/1401.1022>.
    LeaveOneOut,
    /// Σ wᵢ ∇φ log q(zᵢ): descends KL(p‖q) instead of the bound, consistently as k grows; the wake phase of reweighted wake-sleep. With the weights of α = 0, and k >= 2, alone: equal weights give a gradient of 0.
    ///
    /// Source: Bornschein & Bengio 2015, <https://arxiv.org/abs/1406.2751>.
    WakePhase,
}

impl Estimator {
    /// Name, as in "sticking the landing".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Total => "the total gradient",
            Self::ClosedEntropy => "the entropy in closed form",
            Self::StickingTheLanding => "sticking the landing",
            Self::DoublyReparameterised => "double reparameterisation",
            Self::LeaveOneOut => "leave-one-out",
            Self::WakePhase => "the wake phase",
        }
    }
}

/// A bound on the log evidence, and an estimator of its gradient.
///
/// ```text
/// L = 1/(1-α) log (1/k) Σ exp((1-α) aᵢ)      α = 0: importance-weighted bound;  α → 1: mean of aᵢ, the evidence lower bound
/// ```
/// For every α >= 0 its expectation is a lower bound: it falls as α grows, so for α > 1 it is at most the evidence lower bound. An importance-weighted bound trains a *proposal*: its q is wider than the posterior, and only its reweighted draws stand for it.
///
/// ```
/// use posterity::vi::{Estimator, Objective};
/// let objective = Objective::iwelbo(20).groups(2).estimator(Estimator::Total);
/// assert_eq!(objective.n_draws(), 40);
/// ```
///
/// References: Burda, Grosse & Salakhutdinov 2016, <https://arxiv.org/abs/1509.00519>; Li & Turner 2016, <https://arxiv.org/abs/1602.02311>.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    pub(super) alpha: f64,
    pub(super) n_importance: usize,
    pub(super) n_groups: usize,
    pub(super) estimator: Estimator,
}

impl Default for Objective {
    fn default() -> Self {
        Self::elbo(10)
    }
}

impl Objective {
    /// The evidence lower bound from this many draws per gradient.
    #[must_use]
    pub fn elbo(n_draws: usize) -> Self {
        Self::renyi(1.0, n_draws)
    }

    /// The importance-weighted bound of k draws.
    #[must_use]
    pub fn iwelbo(k: usize) -> Self {
        Self::renyi(0.0, k)
    }

    /// The Rényi bound of order α, 1 for the evidence lower bound, from k draws.
    #[must_use]
    pub fn renyi(alpha: f64, k: usize) -> Self {
        Self { alpha, n_importance: k, n_groups: 1, estimator: Estimator::DoublyReparameterised }
    }

    /// Averages this many independent bounds per gradient; 1.
    #[must_use]
    pub fn groups(mut self, n_groups: usize) -> Self {
        self.n_groups = n_groups;
        self
    }

    /// The estimator; [`Estimator::DoublyReparameterised`].
    #[must_use]
    pub fn estimator(mut self, estimator: Estimator) -> Self {
        self.estimator = estimator;
        self
    }

    /// Draws per gradient, over all groups.
    #[must_use]
    pub fn n_draws(&self) -> usize {
        self.n_importance.saturating_mul(self.n_groups)
    }

    /// The bound's name.
    #[must_use]
    pub fn name(&self) -> String {
        match self.alpha {
            1.0 => "ELBO".to_owned(),
            0.0 => format!("IWELBO, k = {}", self.n_importance),
            alpha => format!("Renyi bound of order {alpha}, k = {}", self.n_importance),
        }
    }

    /// Whether the estimator asks for gradients of the target.
    #[must_use]
    pub fn needs_gradients(&self) -> bool {
        !matches!(self.estimator, Estimator::LeaveOneOut | Estimator::WakePhase)
    }

    /// Whether the estimator asks for scores in the parameters.
    pub(super) fn needs_parameter_scores(&self) -> bool {
        matches!(self.estimator, Estimator::Total | Estimator::LeaveOneOut | Estimator::WakePhase)
    }

    /// Checks all settings.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]: an order that is negative or not finite, no draws, leave-one-out or the wake phase of a single draw, the closed-form entropy for another bound than the
    /// evidence lower bound, the wake phase for another one than the importance-weighted bound.
    pub fn validate(&self) -> Result<(), Error> {
        check::in_range("alpha", self.alpha, self.alpha >= 0.0 && self.alpha.is_finite(), "finite and at least 0")?;
        check::at_least("number of importance draws", self.n_importance, 1, "at least 1")?;
        check::at_least("number of groups", self.n_groups, 1, "at least 1")?;
        match self.estimator {
            Estimator::LeaveOneOut => {
                check::at_least("number of importance draws", self.n_importance, 2, "at least 2 for leave-one-out")
            }
            Estimator::ClosedEntropy => {
                check::in_range("alpha", self.alpha, self.alpha == 1.0, "1 with the entropy in closed form")
            }
            Estimator::WakePhase => {
                check::at_least("number of importance draws", self.n_importance, 2, "at least 2 for the wake phase")?;
                check::in_range("alpha", self.alpha, self.alpha == 0.0, "0 for the wake phase")
            }
            _ => Ok(()),
        }
    }
}
