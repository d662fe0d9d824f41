//! What a model has to offer to be checked by simulation.

use crate::error::Error;
use crate::rng::Stream;

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
    /// What the model makes go wrong; it ends the run.
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
}
