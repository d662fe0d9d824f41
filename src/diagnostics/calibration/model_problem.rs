//! Models of the crate as calibration problems.

use super::problem::CalibrationProblem;
use crate::error::{DensityError, Error};
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
/// let problem = ModelProblem::new(EightSchoolsNoncentered::new(vec![0.0; 3], sigma.clone())?, with_data)?;
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
    parameter_names: Vec<String>,
}

impl<M: Target + Send, F: Fn(&Values) -> Result<M, Error> + Sync> ModelProblem<M, F> {
    /// A model, whose own data do not matter, and the function from simulated observations to the model of them.
    ///
    /// # Errors
    /// What makes the model's [dimension](Target::dim) impossible to tell.
    pub fn new(model: M, with_data: F) -> Result<Self, Error> {
        let parameter_names = (0..model.dim()?).map(|index| model.coordinate_name(index)).collect();
        Ok(Self { model, with_data, parameter_names })
    }
}

impl<M: Target + Send, F: Fn(&Values) -> Result<M, Error> + Sync> CalibrationProblem for ModelProblem<M, F> {
    type Data = M;

    fn parameter_names(&self) -> Vec<String> {
        self.parameter_names.clone()
    }

    /// # Errors
    /// [`Error::NoPriorSampler`]; [`Error::NoSimulator`]; [`Error::PriorDraw`] for a draw from the prior on a bound of its support, or
    /// beyond; what else the target reports.
    fn simulate(&self, rng: &mut Stream) -> Result<(Vec<f64>, M), Error> {
        let values = self.model.sample_prior(rng)?.ok_or(Error::NoPriorSampler)?;
        let position = self.model.unconstrain(&values).map_err(|error| match error {
            Error::OutsideSupport { .. } => Error::PriorDraw { source: Box::new(error) },
            error => error,
        })?;
        let simulated = self.model.predict(&position, rng)?;
        if simulated.is_empty() {
            return Err(Error::NoSimulator);
        }
        Ok((position, (self.with_data)(&simulated)?))
    }

    fn log_likelihood(&self, parameters: &[f64], data: &M) -> Result<Option<f64>, Error> {
        Ok(self.log_likelihoods(&[parameters], data)?.and_then(|all| all.first().copied()))
    }

    fn log_likelihoods(&self, parameters: &[&[f64]], data: &M) -> Result<Option<Vec<f64>>, Error> {
        let mut evaluator = data.evaluator()?;
        let mut one = |parameters: &&[f64]| match evaluator.log_density_parts(parameters) {
            Ok(parts) => Ok(parts.log_likelihood),
            // Points that a sampler of the model would reject; one of infinite density would rank below all.
            Err(error) if error.is_recoverable() && !matches!(error, DensityError::PositiveInfinity) => Ok(f64::NEG_INFINITY),
            Err(error) => Err(error.into()),
        };
        parameters.iter().map(&mut one).collect::<Result<_, Error>>().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::zoo::EightSchoolsNoncentered;
    use crate::model::zoo::analytic::Gaussian;
    use crate::model::{Evaluator, Variable, WithGradient};
    use ndarray::array;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Two schools, with a count of their evaluators, perhaps without a dimension, and without simulated observations.
    struct Wrapped {
        schools: EightSchoolsNoncentered,
        n_evaluators: AtomicUsize,
        is_broken: bool,
    }

    impl Wrapped {
        fn new(is_broken: bool) -> Self {
            let schools = EightSchoolsNoncentered::new(vec![1.0, 4.0], vec![2.0, 3.0]).unwrap();
            Self { schools, n_evaluators: AtomicUsize::new(0), is_broken }
        }
    }

    impl Target for Wrapped {
        fn dim(&self) -> Result<usize, Error> {
            if self.is_broken { Err(Error::DuplicateVariable { name: "mu".to_owned() }) } else { self.schools.dim() }
        }
        fn evaluator(&self) -> Result<Box<dyn Evaluator + '_>, Error> {
            self.n_evaluators.fetch_add(1, Ordering::Relaxed);
            self.schools.evaluator()
        }
        fn variables(&self) -> Result<Vec<Variable>, Error> {
            self.schools.variables()
        }
        fn constrain(&self, position: &[f64], out: &mut Vec<f64>) -> Result<(), Error> {
            self.schools.constrain(position, out)
        }
        fn unconstrain(&self, values: &Values) -> Result<Vec<f64>, Error> {
            self.schools.unconstrain(values)
        }
        fn sample_prior(&self, rng: &mut Stream) -> Result<Option<Values>, Error> {
            self.schools.sample_prior(rng)
        }
    }

    #[test]
    fn many_likelihoods_take_one_evaluator_and_are_those_of_single_points() {
        let problem = ModelProblem::new(Wrapped::new(false), |_: &Values| Ok(Wrapped::new(false))).unwrap();
        let data = Wrapped::new(false);
        // At e^1000 the scale overflows: no sampler would go there.
        let points: [&[f64]; 3] = [&[0.5, -1.0, 1.5, 0.7], &[0.5, -1.0, 1.5, 1000.0], &[0.0, 0.1, -2.0, 0.0]];
        let all = problem.log_likelihoods(&points, &data).unwrap().unwrap();
        assert_eq!(data.n_evaluators.load(Ordering::Relaxed), 1);
        let single = |point: &&[f64]| problem.log_likelihood(point, &data).unwrap().unwrap();
        assert_eq!(all, points.iter().map(single).collect::<Vec<_>>());
        assert!(all[0].is_finite() && all[1] == f64::NEG_INFINITY && all[2].is_finite(), "{all:?}");
        // A position of another length is no matter of the sampler's.
        assert!(matches!(problem.log_likelihood(&[0.0], &data), Err(Error::Density(_))));
    }

    #[test]
    fn what_a_model_lacks_is_said() {
        let broken = ModelProblem::new(Wrapped::new(true), |_: &Values| Ok(Wrapped::new(true)));
        assert!(matches!(broken, Err(Error::DuplicateVariable { .. })));
        let problem = ModelProblem::new(Wrapped::new(false), |_: &Values| Ok(Wrapped::new(false))).unwrap();
        assert!(matches!(problem.simulate(&mut Stream::new(1)), Err(Error::NoSimulator)));
    }

    #[test]
    fn parameters_are_unconstrained_and_the_likelihood_is_that_of_the_rebuilt_model() {
        let schools = |y: Vec<f64>| EightSchoolsNoncentered::new(y, vec![2.0, 3.0]);
        let with_data = |values: &Values| schools(values.get("y").unwrap().to_vec());
        let problem = ModelProblem::new(schools(vec![0.0; 2]).unwrap(), with_data).unwrap();
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
        let problem = ModelProblem::new(target(), |_: &Values| Ok(target())).unwrap();
        assert!(matches!(problem.simulate(&mut Stream::new(1)), Err(Error::NoPriorSampler)));
    }
}
