//! Running particles and parameters.

use std::sync::Arc;
use std::time::Instant;

use ndarray::ArrayView2;

use super::conditional::Conditional;
use super::estimate::EmEstimate;
use super::split::{Split, gather};
use crate::error::Error;
use crate::model::{Target, Values};
use crate::parallel::Threads;
use crate::parvi::density::TargetDensity;
use crate::parvi::moving::MovingCloud;
use crate::parvi::particles::{Description, Move, settings};
use crate::parvi::{CloudStart, Flow, Particles};
use crate::step_rules::{Averaging, Coin, IterateAverage, StepRule, StepState};

/// Estimates parameters of a model with latent variables: particles follow p(x | y, θ) by a flow, while the parameters climb the mean of their
/// gradients.
///
/// ```text
/// xᵢ ← xᵢ + step along φᵢ,                         φ the flow towards p(x | y, θ)
/// θ  ← θ  + step along 1/N Σᵢ ∇θ log p(y, xᵢ | θ)   from the same particles and the same θ
/// ```
/// With [`ParticleEm::coin`] both steps are coin betting: no learning rate (Coin EM). In [`ParticleEm::run_marginal`] θ is the maximiser of the mean
/// of log p(y, xᵢ | θ) in closed form instead, as in the classical M step. Cost of an iteration: N gradients of the model, each for latents and
/// parameters at once, and the flow's own work on the latents.
///
/// # What is estimated
///
/// Any [`Target`] is one: the variables named as parameters are θ, all others are latent. The density that is maximised over θ, with the latents
/// integrated out, is the target's own in *unconstrained* coordinates. So:
/// - A parameter on ℝ (`space.real`) without a statement in the prior is estimated by maximum likelihood.
/// - A prior statement makes it the mode of the marginal posterior.
/// - A constrained parameter (`space.positive`) brings the Jacobian of its transform: the mode of log σ, not of σ. For maximum likelihood declare
///   log σ as a real parameter, or state the prior density 1/σ, which the Jacobian cancels.
///
/// The mean over particles is only as good as the cloud. [`Svgd`](crate::parvi::Svgd)'s variances are too small where particles are few for the latent
/// dimension, and parameters that depend on them, as the scale of random effects does, are then biased: with one latent variable of variance 0.5
/// the cloud's is 0.25 with 5 particles, 0.44 with 20 and 0.48 with 100. For effects that are independent given θ
/// [`CoordinateSvgd`](crate::parvi::CoordinateSvgd) keeps them in any dimension. Where the latents carry most of the information about a parameter it moves
/// slowly, as in all expectation maximisation: look at the [trace](EmEstimate::trace); the warnings of the
/// [particles](EmEstimate::particles) say whether the latent variables still move, not whether the parameters do. Of several modes of θ the nearest one is found.
///
/// ```
/// use posterity::model::{Density, WithGradient};
/// use posterity::parvi::{ParticleEm, Svgd};
/// use posterity::DensityError;
///
/// /// y = 3 of y ~ N(x, 1), x ~ N(θ, 1): the likelihood of θ is largest at 3.
/// struct Toy;
/// impl Density for Toy {
///     fn dim(&self) -> usize { 2 }
///     fn log_density_gradient(&self, q: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
///         let (x, theta) = (q[0], q[1]);
///         g[0] = 3.0 - x - (x - theta);
///         g[1] = x - theta;
///         Ok(-0.5 * (3.0 - x).powi(2) - 0.5 * (x - theta).powi(2))
///     }
///     fn variables(&self) -> Vec<posterity::model::Variable> {
///         ["x", "theta"].map(|name| posterity::model::Variable::new(name, &[])).to_vec()
///     }
/// }
/// let estimate = ParticleEm::coin(Svgd::default(), &["theta"]).n_particles(20).run(&WithGradient(Toy), 1)?;
/// assert!((estimate.parameters().get("theta").unwrap()[0] - 3.0).abs() < 1e-3);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// Sources: Sharrock, Dodd & Nemeth, *Tuning-Free Maximum Likelihood Training of Latent Variable Models via Coin Betting*, AISTATS 2024,
/// <https://arxiv.org/abs/2305.14916>; Kuntz, Lim & Johansen, *Particle Algorithms for Maximum Likelihood Training of Latent Variable Models*,
/// AISTATS 2023, <https://arxiv.org/abs/2204.12965>.
///
/// Defaults: 100 particles, 1000 iterations, a standard normal start of the latents and 0 for the parameters in unconstrained coordinates, all
/// observations in every iteration, all threads.
#[derive(Debug, Clone)]
pub struct ParticleEm<F> {
    flow: F,
    particle_rule: Arc<dyn StepRule>,
    parameter_rule: Arc<dyn StepRule>,
    parameters: Vec<String>,
    n_particles: usize,
    n_iterations: usize,
    start: CloudStart,
    start_parameters: Values,
    minibatch: Option<usize>,
    threads: Threads,
}

impl<F: Flow + Clone> ParticleEm<F> {
    /// A flow of the latent variables with its step rule, and the step rule of the parameters, which are given by the names of their variables.
    #[must_use]
    pub fn new<S: AsRef<str>>(
        flow: F,
        particle_rule: impl StepRule + 'static,
        parameter_rule: impl StepRule + 'static,
        parameters: &[S],
    ) -> Self {
        Self {
            flow,
            particle_rule: Arc::new(particle_rule),
            parameter_rule: Arc::new(parameter_rule),
            parameters: parameters.iter().map(|name| name.as_ref().to_owned()).collect(),
            n_particles: 100,
            n_iterations: 1000,
            start: CloudStart::default(),
            start_parameters: Values::new(),
            minibatch: None,
            threads: Threads::shared(),
        }
    }

    /// Coin EM: the coin rule for both.
    #[must_use]
    pub fn coin<S: AsRef<str>>(flow: F, parameters: &[S]) -> Self {
        Self::new(flow, Coin::default(), Coin::default(), parameters)
    }

    /// Number of particles, at least 1.
    #[must_use]
    pub fn n_particles(mut self, n: usize) -> Self {
        self.n_particles = n;
        self
    }

    /// Number of iterations.
    #[must_use]
    pub fn n_iterations(mut self, n: usize) -> Self {
        self.n_iterations = n;
        self
    }

    /// Where the latent variables start. Given positions have one column for each unconstrained coordinate of the latent variables, in the target's
    /// order; draws of the prior are draws of the latents' part of it.
    #[must_use]
    pub fn start(mut self, start: CloudStart) -> Self {
        self.start = start;
        self
    }

    /// Where the parameters start, constrained, by name; those without a value start at 0 in unconstrained coordinates.
    #[must_use]
    pub fn start_parameters(mut self, values: Values) -> Self {
        self.start_parameters = values;
        self
    }

    /// Estimates gradients from this many observations, drawn anew in every iteration without replacement and the same for all particles; flows
    /// that cannot use them refuse them ([`Flow::uses_minibatches`]).
    #[must_use]
    pub fn minibatch(mut self, size: usize) -> Self {
        self.minibatch = Some(size);
        self
    }

    /// The threads to use; the result does not depend on them.
    #[must_use]
    pub fn threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// Runs all iterations with steps of the parameters.
    ///
    /// # Errors
    /// [`Error::UnknownVariable`] for a parameter that the target does not have; [`Error::Empty`] without parameters or without latent variables;
    /// [`Error::InvalidSetting`]; those of [`ParticleFlow::begin`](crate::parvi::ParticleFlow::begin) for the start of the latent variables and for
    /// minibatches, those of [`Transport::step`](crate::parvi::Transport::step) for the iterations; [`Error::Step`] with the iteration if the
    /// parameters or their gradient leave the range of numbers.
    pub fn run<T: Target + ?Sized>(&self, target: &T, seed: u64) -> Result<EmEstimate, Error> {
        let mut state: Option<(Box<dyn StepState>, Vec<f64>)> = None;
        let rule = format!("{} / {}", self.particle_rule.name(), self.parameter_rule.name());
        self.iterate(target, seed, rule, |density, before, _| match (before, &mut state) {
            (Some(before), Some((state, gradient))) => {
                density.parameter_gradient(before, gradient)?;
                state.step(gradient, &mut density.parameters)
            }
            _ => {
                let parameters = &density.parameters;
                state = Some((self.parameter_rule.start(parameters)?, vec![0.0; parameters.len()]));
                Ok(())
            }
        })
    }

    /// Runs all iterations with parameters in closed form: `maximise` gets the latent variables of the particles in unconstrained coordinates, of shape
    /// (particle, coordinate), and returns the unconstrained parameters at which the mean of log p(y, xᵢ | θ) is largest.
    ///
    /// # Errors
    /// As [`ParticleEm::run`]; [`Error::Dimension`] if `maximise` returns another number of parameters, [`Error::Step`] if one of them is not finite.
    pub fn run_marginal<T: Target + ?Sized>(
        &self,
        target: &T,
        maximise: impl Fn(ArrayView2<'_, f64>) -> Vec<f64>,
        seed: u64,
    ) -> Result<EmEstimate, Error> {
        let rule = format!("{} / closed form", self.particle_rule.name());
        self.iterate(target, seed, rule, |density, _, cloud| {
            let (parameters, what) = (&mut density.parameters, "parameters of the maximiser");
            let best = maximise(cloud);
            if best.len() != parameters.len() {
                return Err(Error::Dimension { what, expected: parameters.len(), found: best.len() });
            }
            if let Some(index) = best.iter().position(|x| !x.is_finite()) {
                return Err(Error::NotFinite { what, index, value: best[index] });
            }
            parameters.copy_from_slice(&best);
            Ok(())
        })
    }

    /// `m_step` moves the density's parameters. At the start it gets the cloud; in each iteration the latent variables before their move, one
    /// particle after the other, and the cloud after it.
    fn iterate<T: Target + ?Sized>(
        &self,
        target: &T,
        seed: u64,
        step_rule: String,
        mut m_step: impl FnMut(&mut Conditional<'_, T>, Option<&[f64]>, ArrayView2<'_, f64>) -> Result<(), Error>,
    ) -> Result<EmEstimate, Error> {
        let began = Instant::now();
        let split = Split::new(target, &self.parameters)?;
        let (dim, n_parameters) = (split.latents.len(), split.parameters.len());
        let start = self.start_latents(target, &split, seed)?;
        let mut cloud = MovingCloud::start(self.flow.clone(), &*self.particle_rule, &start, dim, self.minibatch, None)?;
        let parameters = self.start_point(target, &split, &start[..dim])?;
        let joint = TargetDensity::new(target, self.threads.clone(), seed, self.minibatch)?;
        let mut density = Conditional::new(joint, split, parameters);
        m_step(&mut density, None, view(&start, dim)?).map_err(|error| at_iteration(error, 0))?;

        let mut average = IterateAverage::new(Averaging::Tail, n_parameters)?;
        let mut trace = density.parameters.clone();
        let mut latents = start;
        for iteration in 1..=self.n_iterations {
            density.start_iteration(iteration);
            cloud.step(&mut density, iteration)?;
            let after = cloud.at_target();
            m_step(&mut density, Some(&latents), after.view()).map_err(|error| at_iteration(error, iteration))?;
            latents = after.into_raw_vec_and_offset().0;
            average.push(&density.parameters)?;
            trace.extend_from_slice(&density.parameters);
        }

        let name = |latent: usize| target.coordinate_name(density.split().latents[latent]);
        let description = Description {
            flow: cloud.flow.name(),
            step_rule,
            n_iterations: density.iteration(),
            seed,
            seconds: began.elapsed().as_secs_f64(),
            n_evaluations: density.n_evaluations(),
            dim,
            particles_wanted: cloud.flow.particles_wanted(dim),
            largest_move: cloud.largest_move().map(|(index, share, since)| Move { name: name(index), share, since }),
            settings: settings(&self.start, self.minibatch, None),
        };
        let average = if average.n_iterates() == 0 { &density.parameters } else { average.mean() };
        let constrain = |parameters| density.split().constrain(target, &self.parameters, &latents[..dim], parameters);
        let joint = density.join(&latents);
        Ok(EmEstimate {
            parameters: constrain(&density.parameters)?,
            average: constrain(average)?,
            coordinates: density.split().parameters.iter().map(|&c| target.coordinate_name(c)).collect(),
            trace: view(&trace, n_parameters)?.to_owned(),
            particles: Particles::new(target, view(&joint, density.split().dim())?.to_owned(), description)?,
        })
    }

    fn start_latents<T: Target + ?Sized>(&self, target: &T, split: &Split, seed: u64) -> Result<Vec<f64>, Error> {
        let dim = split.latents.len();
        let positions = self.start.positions(target, self.n_particles, dim, seed)?;
        if !matches!(self.start, CloudStart::Prior) {
            return Ok(positions);
        }
        let mut latents = vec![0.0; positions.len() / split.dim() * dim];
        gather(&split.latents, &positions, split.dim(), &mut latents);
        Ok(latents)
    }

    fn start_point<T: Target + ?Sized>(&self, target: &T, split: &Split, latents: &[f64]) -> Result<Vec<f64>, Error> {
        let mut parameters = vec![0.0; split.parameters.len()];
        let unknown = self.start_parameters.iter().find(|(v, _)| !self.parameters.contains(&v.name));
        if let Some((variable, _)) = unknown {
            return Err(Error::UnknownVariable { name: variable.name.clone() });
        }
        if self.start_parameters.iter().next().is_none() {
            return Ok(parameters);
        }
        let names: Vec<String> = target.variables()?.into_iter().map(|v| v.name).collect();
        let mut values = split.constrain(target, &names, latents, &parameters)?;
        for (variable, entries) in self.start_parameters.iter() {
            values.set_array(&variable.name, &variable.shape, entries.to_vec());
        }
        gather(&split.parameters, &target.unconstrain(&values)?, split.dim(), &mut parameters);
        Ok(parameters)
    }
}

fn view(values: &[f64], n_columns: usize) -> Result<ArrayView2<'_, f64>, Error> {
    let expected = values.len() / n_columns * n_columns;
    ArrayView2::from_shape((values.len() / n_columns, n_columns), values).map_err(|_| Error::Dimension {
        what: "entries of a matrix",
        expected,
        found: values.len(),
    })
}

fn at_iteration(error: Error, iteration: usize) -> Error {
    match error {
        Error::NotFinite { .. } => Error::Step { step: iteration, source: Box::new(error) },
        other => other,
    }
}
