//! State-space models: a hidden Markov process seen through noisy observations.
//!
//! ```text
//! x₀ ~ p₀(x)      x_t ~ p_t(x | x_{t-1})      y_t ~ g_t(y | x_t)
//! ```
//! [`StateSpaceModel`] is all that a bootstrap filter asks for. [`TransitionDensity`] adds what smoothing and ancestor sampling need,
//! [`Proposal`] what a guided filter needs, and [`LookAhead`] what an auxiliary filter needs.

use crate::rng::Stream;

/// A state-space model: how to draw states, and how likely the data are given them.
///
/// Data and covariates live in the model. A missing observation has a `log_observation` of 0; a forecast calls `transition` at steps
/// beyond the data, and never `log_observation`.
///
/// The scalar methods suffice; the block methods are the fast path, for models that can draw and weigh many particles at once
/// ([`Stream::fill_normal`], [`vectorised`](crate::math::vectorised)). A block method must have the same law as the scalar ones; its
/// random numbers may be used in another order.
///
/// ```
/// use posterity::model::StateSpaceModel;
/// use posterity::rng::Stream;
///
/// /// A random walk seen with unit noise; NaN marks a missing observation.
/// struct Walk { y: Vec<f64> }
///
/// impl StateSpaceModel for Walk {
///     type State = f64;
///     fn n_steps(&self) -> usize { self.y.len() }
///     fn initial(&self, rng: &mut Stream) -> f64 { rng.normal() }
///     fn transition(&self, _t: usize, x: &f64, rng: &mut Stream) -> f64 { x + 0.1 * rng.normal() }
///     fn log_observation(&self, t: usize, x: &f64) -> f64 {
///         let y = self.y[t];
///         if y.is_nan() { 0.0 } else { -0.5 * (y - x).powi(2) - 0.5 * std::f64::consts::TAU.ln() }
///     }
/// }
/// ```
pub trait StateSpaceModel: Send + Sync {
    /// The state of one particle.
    type State: Copy + Default + Send + Sync;

    /// Number of steps with data, T: steps are 0 to T - 1.
    fn n_steps(&self) -> usize;

    /// Draws x₀.
    fn initial(&self, rng: &mut Stream) -> Self::State;

    /// Draws x_t given x_{t-1}, for t >= 1, also beyond the data.
    fn transition(&self, t: usize, x: &Self::State, rng: &mut Stream) -> Self::State;

    /// log g_t(y_t | x_t), -∞ allowed; 0 if y_t is missing.
    fn log_observation(&self, t: usize, x: &Self::State) -> f64;

    /// Draws a block of x₀ and writes its log g₀.
    fn initial_block(&self, rng: &mut Stream, states: &mut [Self::State], log_increments: &mut [f64]) {
        for (x, w) in states.iter_mut().zip(log_increments) {
            *x = self.initial(rng);
            *w = self.log_observation(0, x);
        }
    }

    /// Draws `children[i]` from `parents[ancestors[i]]` and writes its log g_t, for a block of slots.
    fn step_block(
        &self,
        t: usize,
        parents: &[Self::State],
        ancestors: &[u32],
        rng: &mut Stream,
        children: &mut [Self::State],
        log_increments: &mut [f64],
    ) {
        for ((x, &a), w) in children.iter_mut().zip(ancestors).zip(log_increments) {
            *x = self.transition(t, &parents[a as usize], rng);
            *w = self.log_observation(t, x);
        }
    }
}

/// A state-space model whose transitions have densities.
pub trait TransitionDensity: StateSpaceModel {
    /// log p₀(x).
    fn log_initial(&self, x: &Self::State) -> f64;

    /// log p_t(to | from).
    fn log_transition(&self, t: usize, from: &Self::State, to: &Self::State) -> f64;

    /// An upper bound of [`TransitionDensity::log_transition`] at step t over all states, where there is one: makes rejection possible.
    fn log_transition_bound(&self, _t: usize) -> Option<f64> {
        None
    }

    /// Writes `log_transition(t, from[i], to)` for many states.
    fn log_transition_block(&self, t: usize, from: &[Self::State], to: &Self::State, out: &mut [f64]) {
        for (out, from) in out.iter_mut().zip(from) {
            *out = self.log_transition(t, from, to);
        }
    }
}

/// Proposals that see the observation.
pub trait Proposal: TransitionDensity {
    /// Draws x₀ from q₀(x | y₀).
    fn propose_initial(&self, rng: &mut Stream) -> Self::State;

    /// log q₀(x | y₀).
    fn log_proposal_initial(&self, x: &Self::State) -> f64;

    /// Draws x_t from q_t(x | x_{t-1}, y_t).
    fn propose(&self, t: usize, from: &Self::State, rng: &mut Stream) -> Self::State;

    /// log q_t(to | from, y_t).
    fn log_proposal(&self, t: usize, from: &Self::State, to: &Self::State) -> f64;

    /// log [p₀(x) g₀(y₀ | x) / q₀(x | y₀)]; override it where the ratio has a simpler form.
    fn log_weight_initial(&self, x: &Self::State) -> f64 {
        self.log_initial(x) + self.log_observation(0, x) - self.log_proposal_initial(x)
    }

    /// log [p_t(to | from) g_t(y_t | to) / q_t(to | from, y_t)]; override it where the ratio has a simpler form.
    fn log_weight(&self, t: usize, from: &Self::State, to: &Self::State) -> f64 {
        self.log_transition(t, from, to) + self.log_observation(t, to) - self.log_proposal(t, from, to)
    }

    /// Draws `children[i]` from `parents[ancestors[i]]` by the proposal and writes its log weight, for a block of slots.
    fn propose_block(
        &self,
        t: usize,
        parents: &[Self::State],
        ancestors: &[u32],
        rng: &mut Stream,
        children: &mut [Self::State],
        log_increments: &mut [f64],
    ) {
        for ((x, &a), w) in children.iter_mut().zip(ancestors).zip(log_increments) {
            let from = &parents[a as usize];
            *x = self.propose(t, from, rng);
            *w = self.log_weight(t, from, x);
        }
    }
}

/// A guess, before the move, of how well a state explains the next observation.
pub trait LookAhead: StateSpaceModel {
    /// log η_t(x_{t-1}), close to log p(y_t | x_{t-1}) up to a constant. Any finite function keeps the filter exact; 0 if y_t is missing.
    fn log_look_ahead(&self, t: usize, x: &Self::State) -> f64;
}

macro_rules! forward_to_reference {
    ($($pointer:ty),+) => {$(
        impl<M: StateSpaceModel + ?Sized> StateSpaceModel for $pointer {
            type State = M::State;

            fn n_steps(&self) -> usize {
                (**self).n_steps()
            }

            fn initial(&self, rng: &mut Stream) -> Self::State {
                (**self).initial(rng)
            }

            fn transition(&self, t: usize, x: &Self::State, rng: &mut Stream) -> Self::State {
                (**self).transition(t, x, rng)
            }

            fn log_observation(&self, t: usize, x: &Self::State) -> f64 {
                (**self).log_observation(t, x)
            }

            fn initial_block(&self, rng: &mut Stream, states: &mut [Self::State], log_increments: &mut [f64]) {
                (**self).initial_block(rng, states, log_increments);
            }

            fn step_block(
                &self,
                t: usize,
                parents: &[Self::State],
                ancestors: &[u32],
                rng: &mut Stream,
                children: &mut [Self::State],
                log_increments: &mut [f64],
            ) {
                (**self).step_block(t, parents, ancestors, rng, children, log_increments);
            }
        }

        impl<M: TransitionDensity + ?Sized> TransitionDensity for $pointer {
            fn log_initial(&self, x: &Self::State) -> f64 {
                (**self).log_initial(x)
            }

            fn log_transition(&self, t: usize, from: &Self::State, to: &Self::State) -> f64 {
                (**self).log_transition(t, from, to)
            }

            fn log_transition_bound(&self, t: usize) -> Option<f64> {
                (**self).log_transition_bound(t)
            }

            fn log_transition_block(&self, t: usize, from: &[Self::State], to: &Self::State, out: &mut [f64]) {
                (**self).log_transition_block(t, from, to, out);
            }
        }

        impl<M: Proposal + ?Sized> Proposal for $pointer {
            fn propose_initial(&self, rng: &mut Stream) -> Self::State {
                (**self).propose_initial(rng)
            }

            fn log_proposal_initial(&self, x: &Self::State) -> f64 {
                (**self).log_proposal_initial(x)
            }

            fn propose(&self, t: usize, from: &Self::State, rng: &mut Stream) -> Self::State {
                (**self).propose(t, from, rng)
            }

            fn log_proposal(&self, t: usize, from: &Self::State, to: &Self::State) -> f64 {
                (**self).log_proposal(t, from, to)
            }

            fn log_weight_initial(&self, x: &Self::State) -> f64 {
                (**self).log_weight_initial(x)
            }

            fn log_weight(&self, t: usize, from: &Self::State, to: &Self::State) -> f64 {
                (**self).log_weight(t, from, to)
            }

            fn propose_block(
                &self,
                t: usize,
                parents: &[Self::State],
                ancestors: &[u32],
                rng: &mut Stream,
                children: &mut [Self::State],
                log_increments: &mut [f64],
            ) {
                (**self).propose_block(t, parents, ancestors, rng, children, log_increments);
            }
        }

        impl<M: LookAhead + ?Sized> LookAhead for $pointer {
            fn log_look_ahead(&self, t: usize, x: &Self::State) -> f64 {
                (**self).log_look_ahead(t, x)
            }
        }
    )+};
}
forward_to_reference!(&M, std::sync::Arc<M>);
