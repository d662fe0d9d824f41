//! Data drawn from a state-space model.

use super::StateSpaceModel;
use crate::rng::Stream;

/// A state-space model whose observations can be drawn, for simulated data, predictive checks and forecasts of observations.
///
/// ```
/// use posterity::model::Simulate;
/// use posterity::model::zoo::Ar1;
/// use posterity::rng::Stream;
/// let model = Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 0.5, y: Vec::new() };
/// let (x, y) = model.simulate(100, &mut Stream::new(1));
/// assert_eq!((x.len(), y.len()), (100, 100));
/// let with_data = Ar1 { y, ..model };
/// # let _ = with_data;
/// ```
pub trait Simulate: StateSpaceModel {
    /// The observation of one step.
    type Observation: Clone + Send;

    /// Draws y_t given x_t, whether y_t is missing in the data or not.
    fn observe(&self, t: usize, x: &Self::State, rng: &mut Stream) -> Self::Observation;

    /// Draws states and observations of steps 0 to `n_steps` - 1. The model's own data are not looked at.
    fn simulate(&self, n_steps: usize, rng: &mut Stream) -> (Vec<Self::State>, Vec<Self::Observation>) {
        let mut states: Vec<Self::State> = Vec::with_capacity(n_steps);
        let mut observations = Vec::with_capacity(n_steps);
        for t in 0..n_steps {
            let x = match states.last() {
                None => self.initial(rng),
                Some(from) => self.transition(t, from, rng),
            };
            observations.push(self.observe(t, &x, rng));
            states.push(x);
        }
        (states, observations)
    }
}

impl<M: Simulate + ?Sized> Simulate for &M {
    type Observation = M::Observation;

    fn observe(&self, t: usize, x: &Self::State, rng: &mut Stream) -> Self::Observation {
        (**self).observe(t, x, rng)
    }
}

impl<M: Simulate + ?Sized> Simulate for std::sync::Arc<M> {
    type Observation = M::Observation;

    fn observe(&self, t: usize, x: &Self::State, rng: &mut Stream) -> Self::Observation {
        (**self).observe(t, x, rng)
    }
}
