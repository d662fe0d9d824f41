//! Models of the crate as calibration problems.

use super::problem::CalibrationProblem;
use crate::error::Error;
use crate::model::{Target, Values};
use crate::rng::Stream;

/// A target that can draw from its prior and simulate data, with a function that rebuilds it around other data.
///
/// Data are the rebuilt target. Parameters are its *unconstrained* coordinates, as
/// [`unconstrained_draws`](crate::diagnostics::unconstrained_draws) gives them of a run.
///
/// ```
/// use posterity::diagnostics::{CalibrationRun, ModelProblem, Sbc, unconstrained_draws};
/// use posterity::mcmc::{Nuts, Run, Sampler};
/// use posterity::model::{Values, zoo::EightSchoolsNoncentered};
///
/// let sigma = vec![15.0, 10.0, 16.0];
/// let with_data = |simulated: &Values| EightSchoolsNoncentered::new(simulated.get("y").unwrap_or(&[]).to_vec(), sigma.clone());
/// let problem = ModelProblem::new(EightSchoolsNoncentered::new(vec![0.0; 3], sigma.clone())?, with_data);
/// let simulations = CalibrationRun::new(1).simulations(20).draws(19).thin().run(&problem, |model, seed| {
///     let draws = Nuts::default().sample(model, Run::new(seed).chains(1).warmup(100).draws(95).threads(1))?;
///     unconstrained_draws(model, &draws)
/// })?;
/// let report = Sbc::new().test(&problem, &simulations)?;
/// assert!(report.row("log likelihood").is_some());
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ModelProblem<M, F> {
    model: M,
    with_data: F,
}

impl<M: Target + Send, F: Fn(&Values) -> Result<M, Error> + Sync> ModelProblem<M, F> {
    /// A model, whose own data do not matter, and the function from simulated observations to the model of them.
    #[must_use]
    pub fn new(model: M, with_data: F) -> Self {
        Self { model, with_data }
    }
}

impl<M: Target + Send, F: Fn(&Values) -> Result<M, Error> + Sync> CalibrationProblem for ModelProblem<M, F> {
    type Data = M;

    fn parameter_names(&self) -> Vec<String> {
        (0..self.model.dim().unwrap_or(0)).map(|index| self.model.coordinate_name(index)).collect()
    }

    /// # Errors
    /// [`Error::NoPriorSampler`]; [`Error::UnknownVariable`] if the model cannot simulate; [`Error::OutsideSupport`] for a prior
    /// draw that is none.
    fn simulate(&self, rng: &mut Stream) -> Result<(Vec<f64>, M), Error> {
        let values = self.model.sample_prior(rng)?.ok_or(Error::NoPriorSampler)?;
        let position = self.model.unconstrain(&values)?;
        let simulated = self.model.predict(&position, rng)?;
        if simulated.is_empty() {
            return Err(Error::UnknownVariable { name: "simulated observations".to_owned() });
        }
        Ok((position, (self.with_data)(&simulated)?))
    }

    fn log_likelihood(&self, parameters: &[f64], data: &M) -> Result<Option<f64>, Error> {
        match data.evaluator()?.log_density_parts(parameters) {
            Ok(parts) => Ok(Some(parts.log_likelihood)),
            // Points that a sampler of the model would reject.
            Err(error) if error.is_recoverable() => Ok(Some(f64::NEG_INFINITY)),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WithGradient;
    use crate::model::zoo::EightSchoolsNoncentered;
    use crate::model::zoo::analytic::Gaussian;
    use ndarray::array;

    #[test]
    fn parameters_are_unconstrained_and_the_likelihood_is_that_of_the_rebuilt_model() {
        let schools = |y: Vec<f64>| EightSchoolsNoncentered::new(y, vec![2.0, 3.0]);
        let with_data = |values: &Values| schools(values.get("y").unwrap().to_vec());
        let problem = ModelProblem::new(schools(vec![0.0; 2]).unwrap(), with_data);
        let (position, simulated) = problem.simulate(&mut Stream::new(1)).unwrap();
        assert_eq!((position.len(), problem.parameter_names().len()), (4, 4));
        // Data within five standard errors of their means: they are simulated at these parameters.
        let log_likelihood = problem.log_likelihood(&position, &simulated).unwrap().unwrap();
        assert!(log_likelihood > -25.0 - 2.0_f64.ln() - 3.0_f64.ln() - std::f64::consts::TAU.ln(), "{log_likelihood}");

        // theta_trans, mu and ln tau.
        let found = problem.log_likelihood(&[0.5, -1.0, 1.5, 2.0_f64.ln()], &schools(vec![1.0, 4.0]).unwrap()).unwrap().unwrap();
        let normal = |y: f64, mean: f64, sd: f64| -0.5 * ((y - mean) / sd).powi(2) - sd.ln() - 0.5 * std::f64::consts::TAU.ln();
        assert!((found - normal(1.0, 2.5, 2.0) - normal(4.0, -0.5, 3.0)).abs() < 1e-12, "{found}");
    }

    #[test]
    fn a_target_without_prior_draws_is_refused() {
        let target = || WithGradient(Gaussian::new(array![0.0], &array![[1.0]]).unwrap());
        let problem = ModelProblem::new(target(), |_: &Values| Ok(target()));
        assert!(matches!(problem.simulate(&mut Stream::new(1)), Err(Error::NoPriorSampler)));
    }
}
