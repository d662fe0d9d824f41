//! Exact inference where it exists: linear Gaussian models and finite state spaces.
//!
//! Two families of state-space models need no particles. [`LinearGaussian`] has the Kalman filter, the Rauch-Tung-Striebel smoother,
//! forecasts and exact joint draws of the states; [`HiddenMarkov`] has the forward filter, the backward smoother, the most probable path
//! and exact draws of paths. Both give the evidence that a particle filter estimates, so they are also what particle filters are tested
//! against.
//!
//! | model | filter | smoother | path | cost of T steps |
//! |---|---|---|---|---|
//! | linear, Gaussian noise | [`LinearGaussian::filter`] | [`KalmanFilter::smooth`] | [`KalmanFilter::sample_states`] | T (dx³ + dy³) |
//! | K states | [`HiddenMarkov::filter`] | [`HiddenMarkovFilter::smooth`] | [`HiddenMarkov::viterbi`], [`HiddenMarkovFilter::sample_paths`] | T K² |
//!
//! Steps count from 0: the initial law is the law of the state at step 0, which is observed too. The move into step t is entry t - 1 of
//! whatever varies with time.
//!
//! Do not use them on a linearised or discretised version of another model where the error of that approximation matters: a particle
//! filter has none.

mod dense;
mod hidden_markov;
mod hidden_markov_smoother;
mod kalman;
mod kalman_smoother;
mod linear_gaussian;

pub use hidden_markov::{HiddenMarkov, HiddenMarkovFilter, ViterbiPath};
pub use hidden_markov_smoother::HiddenMarkovSmoother;
pub use kalman::{KalmanFilter, KalmanForecast};
pub use kalman_smoother::KalmanSmoother;
pub use linear_gaussian::LinearGaussian;
