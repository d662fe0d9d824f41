//! What variational inference asks of a family of distributions.

use std::fmt::Debug;

use ndarray::Array2;

use crate::error::Error;
use crate::rng::Stream;

/// Maps under which a family is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closure {
    /// None: its coordinates have a meaning of their own, as those of gamma distributions on the logarithm.
    Nothing,
    /// A shift and a scale per coordinate.
    Scaling,
    /// A shift and any linear map.
    LinearMaps,
}

/// A family of distributions on ℝᵈ: its settings.
pub trait Family: Debug + Send + Sync {
    /// Name, with the settings that matter.
    fn name(&self) -> String;

    /// A member on ℝᵈ to start from: centred at the origin, with a standard deviation of about `scale` in every coordinate. `rng` serves families
    /// whose parameters must not all start alike.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for settings out of range or a `scale` that is not positive and finite, [`Error::NoParameters`] for d = 0.
    fn start(&self, dim: usize, scale: f64, rng: &mut Stream) -> Result<Box<dyn Approximation>, Error>;

    /// Which maps of ℝᵈ lead from members to members, or to distributions that serve as well: the family may be fitted in units that suit the posterior then.
    fn closed_under(&self) -> Closure {
        Closure::Scaling
    }

    /// The mixture that the family is, if it is one: components may start at separate modes then.
    fn as_mixture(&self) -> Option<&super::Mixture> {
        None
    }
}

/// One distribution q on ℝᵈ with parameters φ ∈ ℝᵖ, all of ℝᵖ, and the memory to differentiate through its own draws.
///
/// ```text
/// sample             zᵢ = T(εᵢ; φ), log q(zᵢ; φ)
/// scores             ∇z log q(zᵢ; φ)
/// pull_back          Σᵢ (∂zᵢ/∂φ)ᵀ cᵢ
/// parameter_scores   Σᵢ cᵢ ∇φ log q(zᵢ; φ), zᵢ held fixed
/// ```
/// The last three are about the draws of the latest [`sample`](Approximation::sample), under the parameters that made them; before the first one, and after
/// [`set_parameters`](Approximation::set_parameters), there are none, and they leave `out` as it is. Matrices are row-major, a row per draw. All allocate at most when the number of draws
/// grows.
pub trait Approximation: Debug + Send + Sync {
    /// Dimension d.
    fn dim(&self) -> usize;

    /// The parameters φ.
    fn parameters(&self) -> &[f64];

    /// Takes on other parameters.
    ///
    /// # Errors
    /// [`Error::Dimension`] for another length; [`Error::NotFinite`] for a parameter that is not finite; [`Error::InvalidSetting`] where a scale
    /// leaves the range of numbers. The parameters stay what they were.
    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error>;

    /// Draws points, n x d, and writes their log densities, n. The length of `log_densities` says how many.
    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]);

    /// Scores of the draws, n x d.
    fn scores(&mut self, out: &mut [f64]);

    /// *Adds* Σᵢ (∂zᵢ/∂φ)ᵀ cᵢ to `out`, of length p, for cotangents c of shape n x d.
    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]);

    /// *Adds* Σᵢ cᵢ ∇φ log q(zᵢ; φ) to `out`, of length p, for n coefficients c.
    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]);

    /// *Adds* Σᵢ cᵢ ∇φ log q(xᵢ; φ) to `out` for any positions x, n x d, instead of the draws, which stay what they are; rows with cᵢ = 0 are skipped. False, and nothing
    /// added, for a family that knows this of its own draws only.
    fn parameter_scores_at(&mut self, _positions: &[f64], _coefficients: &[f64], _out: &mut [f64]) -> bool {
        false
    }

    /// Whether [`parameter_scores`](Approximation::parameter_scores) exists, which a mixture of families without
    /// [`parameter_scores_at`](Approximation::parameter_scores_at) lacks.
    fn has_parameter_scores(&self) -> bool {
        true
    }

    /// The log density at any position of length d, its gradient written to `gradient`. A family without a tractable density elsewhere than at its own draws
    /// says so by an error.
    ///
    /// # Errors
    /// [`Error::Dimension`], [`Error::NotFinite`]; what the family documents.
    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error>;

    /// Whether [`pull_back`](Approximation::pull_back) exists. Without it only the score-function estimators apply, and no gradient of the target is needed.
    fn is_reparameterised(&self) -> bool {
        true
    }

    /// Whether the noise εᵢ itself depends on φ, as it does after acceptance-rejection sampling: gradients then need
    /// [`noise_scores`](Approximation::noise_scores).
    fn has_noise_scores(&self) -> bool {
        false
    }

    /// *Adds* Σᵢ cᵢ ∇φ log π(εᵢ; φ), the score of the noise, to `out`.
    fn noise_scores(&mut self, _coefficients: &[f64], _out: &mut [f64]) {}

    /// The entropy -E log q, where it is known in closed form.
    fn entropy(&self) -> Option<f64> {
        None
    }

    /// *Adds* c ∇φ entropy to `out`; false, and nothing added, where it is not known.
    fn entropy_gradient(&self, _coefficient: f64, _out: &mut [f64]) -> bool {
        false
    }

    /// The mean, where it is known in closed form.
    fn mean(&self) -> Option<Vec<f64>> {
        None
    }

    /// The d x d covariance matrix, where it is known in closed form.
    fn covariance(&self) -> Option<Array2<f64>> {
        None
    }

    /// A copy.
    fn clone_box(&self) -> Box<dyn Approximation>;
}

impl Clone for Box<dyn Approximation> {
    fn clone(&self) -> Self {
        (**self).clone_box()
    }
}

/// Checks the dimension and scale that a family starts with.
pub(super) fn check_start(dim: usize, scale: f64) -> Result<(), Error> {
    if dim == 0 {
        return Err(Error::NoParameters);
    }
    crate::error::check::positive("scale of the start", scale)
}

/// Checks new parameters: their number, and that all are finite.
pub(super) fn check_parameters(expected: usize, parameters: &[f64]) -> Result<(), Error> {
    if parameters.len() != expected {
        return Err(Error::Dimension { what: "parameters of the approximation", expected, found: parameters.len() });
    }
    check_finite("parameters of the approximation", parameters)
}

/// Checks a position: its length, and that all of it is finite.
pub(super) fn check_position(expected: usize, position: &[f64]) -> Result<(), Error> {
    if position.len() != expected {
        return Err(Error::Dimension { what: "position", expected, found: position.len() });
    }
    check_finite("position", position)
}

pub(super) fn check_finite(what: &'static str, values: &[f64]) -> Result<(), Error> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index, value: values[index] }),
        None => Ok(()),
    }
}

/// Checks standard deviations: a scale that has left the range of numbers.
pub(super) fn check_scales(scales: &[f64]) -> Result<(), Error> {
    scales.iter().try_for_each(|&scale| crate::error::check::positive("scale of the approximation", scale))
}
