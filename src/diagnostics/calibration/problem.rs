//! What a model has to offer to be checked by simulation.

use super::simulations::same;
use crate::error::Error;
use crate::rng::Stream;

/// Name of the log-likelihood among the test functions.
pub(super) const LOG_LIKELIHOOD: &str = "log likelihood";

/// A model of which parameters and data can be drawn together.
///
/// ```
/// use posterity::Error;
/// use posterity::diagnostics::CalibrationProblem;
/// use posterity::rng::Stream;
///
/// /// theta ~ N(0, 1), and one observation with unit noise.
/// struct OneNumber;
///
/// impl CalibrationProblem for OneNumber {
///     type Data = f64;
///     fn parameter_names(&self) -> Vec<String> {
///         vec!["theta".to_owned()]
///     }
///     fn simulate(&self, rng: &mut Stream) -> Result<(Vec<f64>, f64), Error> {
///         let theta = rng.normal();
///         Ok((vec![theta], theta + rng.normal()))
///     }
///     fn log_likelihood(&self, parameters: &[f64], data: &f64) -> Result<Option<f64>, Error> {
///         Ok(Some(-0.5 * (data - parameters[0]).powi(2)))
///     }
/// }
/// assert_eq!(OneNumber.log_likelihood(&[1.0], &3.0)?, Some(-2.0));
/// # Ok::<(), Error>(())
/// ```
pub trait CalibrationProblem: Sync {
    /// One set of data.
    type Data: Send + Sync;

    /// Names of the parameters, one per coordinate of what is sampled.
    fn parameter_names(&self) -> Vec<String>;

    /// Draws parameters from the prior, one number per name, and data given them.
    ///
    /// # Errors
    /// [`Error::PriorDraw`] for parameters that a sampler cannot represent, which counts as a
    /// [failure](super::CalibrationRun::allow_failures) of the simulation; what else the model makes go wrong ends the run.
    fn simulate(&self, rng: &mut Stream) -> Result<(Vec<f64>, Self::Data), Error>;

    /// Log-likelihood log p(data | parameters), but for a term that depends on the data alone; `None`, the default, if it cannot
    /// be computed.
    ///
    /// It is the test function that matters most: without it a sampler that ignores the data passes.
    ///
    /// # Errors
    /// What the model makes go wrong; it ends the test.
    fn log_likelihood(&self, _parameters: &[f64], _data: &Self::Data) -> Result<Option<f64>, Error> {
        Ok(None)
    }

    /// Log-likelihoods of the same data at several parameters, in their order: one by one, unless a problem has work to share between
    /// them.
    ///
    /// # Errors
    /// As [`CalibrationProblem::log_likelihood`].
    fn log_likelihoods(&self, parameters: &[&[f64]], data: &Self::Data) -> Result<Option<Vec<f64>>, Error> {
        parameters.iter().map(|parameters| self.log_likelihood(parameters, data)).collect()
    }
}

/// The log-likelihoods of a problem that has them: one per point, none of them NaN.
pub(super) fn known_log_likelihoods<P: CalibrationProblem>(
    problem: &P,
    points: &[&[f64]],
    data: &P::Data,
) -> Result<Vec<f64>, Error> {
    let unknown = || Error::TestFunction { name: LOG_LIKELIHOOD.to_owned() };
    let all = problem.log_likelihoods(points, data)?.ok_or_else(unknown)?;
    same("log-likelihoods", points.len(), all.len())?;
    if all.iter().any(|value| value.is_nan()) {
        return Err(unknown());
    }
    Ok(all)
}
