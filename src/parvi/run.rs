//! Running a flow with a step rule.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use ndarray::Array2;

use super::density::TargetDensity;
use super::flow::Flow;
use super::moving::MovingCloud;
use super::particles::{Description, Move, Particles, settings};
use super::start::CloudStart;
use crate::error::Error;
use crate::model::Target;
use crate::parallel::Threads;
use crate::step_rules::{Averaging, Coin, StepRule};

/// A flow of particles with a step rule.
///
/// ```
/// use ndarray::array;
/// use posterity::model::WithGradient;
/// use posterity::model::zoo::analytic::Gaussian;
/// use posterity::parvi::{ParticleFlow, Svgd};
///
/// let target = WithGradient(Gaussian::new(array![1.0, -2.0], &array![[1.0, 0.3], [0.3, 0.5]])?);
/// let particles = ParticleFlow::coin(Svgd::default()).n_particles(50).n_iterations(500).run(&target, 1)?;
/// assert!((particles.positions().column(1).mean().unwrap() + 2.0).abs() < 0.05);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// - Particles: time and memory of most flows grow with the square of their number. 50 to 200 do for means and standard deviations in few
///   dimensions; quantiles want hundreds. [`Particles::warnings`] says where variances come out too small.
/// - Iterations: 500 to 1000 bring coin runs to rest on targets of scale about 1 near the start, while far starts and long scales take more.
///   [`Particles::warnings`] says whether the cloud still moves.
/// - Minibatches: they pay where the likelihood dominates the time. Their noise stays in the last positions, whatever the number of iterations; take
///   hundreds of observations rather than tens, and [average](ParticleFlow::averaging).
///
/// Source of coin sampling: Sharrock & Nemeth, *Coin Sampling: Gradient-Based Bayesian Inference without Learning Rates*, ICML 2023,
/// <https://arxiv.org/abs/2301.11294>.
///
/// Defaults: 100 particles, 1000 iterations, a standard normal start, all observations in every iteration, the last positions, all threads.
#[derive(Debug, Clone)]
pub struct ParticleFlow<F> {
    flow: F,
    step_rule: Arc<dyn StepRule>,
    n_particles: usize,
    n_iterations: usize,
    start: CloudStart,
    minibatch: Option<usize>,
    averaging: Option<Averaging>,
    threads: Threads,
}

impl<F: Flow + Clone> ParticleFlow<F> {
    /// A flow with a step rule.
    #[must_use]
    pub fn new(flow: F, step_rule: impl StepRule + 'static) -> Self {
        Self::with_rule(flow, Arc::new(step_rule))
    }

    /// A flow with a step rule chosen while the program runs.
    #[must_use]
    pub fn with_rule(flow: F, step_rule: Arc<dyn StepRule>) -> Self {
        Self {
            flow,
            step_rule,
            averaging: None,
            n_particles: 100,
            n_iterations: 1000,
            start: CloudStart::default(),
            minibatch: None,
            threads: Threads::shared(),
        }
    }

    /// Coin sampling: a flow with the coin rule, which has no learning rate.
    #[must_use]
    pub fn coin(flow: F) -> Self {
        Self::new(flow, Coin::default())
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

    /// Where the particles start.
    #[must_use]
    pub fn start(mut self, start: CloudStart) -> Self {
        self.start = start;
        self
    }

    /// Estimates scores from this many observations, drawn anew in every iteration without replacement and the same for all particles. Flows that
    /// take more than scores of the target, [`Ksdd`](super::Ksdd) and [`Lawgd`](super::Lawgd), refuse it.
    #[must_use]
    pub fn minibatch(mut self, size: usize) -> Self {
        self.minibatch = Some(size);
        self
    }

    /// Ends with the averages of each particle's positions over the iterations, in the flow's coordinates, in place of the last ones.
    ///
    /// It takes out the noise of minibatches, which shifts all particles at once. Without noise it helps nothing: particles that go on changing places
    /// are averaged into a narrower cloud.
    #[must_use]
    pub fn averaging(mut self, averaging: Averaging) -> Self {
        self.averaging = Some(averaging);
        self
    }

    /// The threads to use; the result does not depend on them.
    #[must_use]
    pub fn threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// Runs all iterations.
    ///
    /// # Errors
    /// As [`ParticleFlow::begin`] and [`Transport::step`].
    pub fn run<T: Target + ?Sized>(&self, target: &T, seed: u64) -> Result<Particles, Error> {
        self.run_observed(target, seed, |_| ControlFlow::Continue(()))
    }

    /// Runs all iterations, and shows the cloud to `observe` at the start and after each one, until it breaks off.
    ///
    /// # Errors
    /// As [`ParticleFlow::run`].
    pub fn run_observed<T: Target + ?Sized>(
        &self,
        target: &T,
        seed: u64,
        mut observe: impl FnMut(&Transport<'_, F, T>) -> ControlFlow<()>,
    ) -> Result<Particles, Error> {
        let mut transport = self.begin(target, seed)?;
        while observe(&transport).is_continue() && transport.iteration() < self.n_iterations {
            transport.step()?;
        }
        transport.finish()
    }

    /// The cloud at its start, to be moved step by step.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], also for minibatches with a flow that cannot use them; [`Error::NoParameters`]; [`Error::NoObservations`] for
    /// minibatches of a target without them; [`Error::NoPriorSampler`]; [`Error::Empty`] or [`Error::Dimension`] for given positions; [`Error::ParticleNotFinite`] at iteration 0 for
    /// a start that is not finite, [`Error::OutsideSupport`] for one that the flow has no place for.
    pub fn begin<'t, T: Target + ?Sized>(&self, target: &'t T, seed: u64) -> Result<Transport<'t, F, T>, Error> {
        let began = Instant::now();
        let dim = target.dim()?;
        if dim == 0 {
            return Err(Error::NoParameters);
        }
        let at_target = self.start.positions(target, self.n_particles, dim, seed)?;
        let Self { flow, step_rule, minibatch, averaging, .. } = self;
        Ok(Transport {
            cloud: MovingCloud::start(flow.clone(), &**step_rule, &at_target, dim, *minibatch, *averaging)?,
            density: TargetDensity::new(target, self.threads.clone(), seed, *minibatch)?,
            target,
            rule: step_rule.name(),
            settings: settings(&self.start, *minibatch, *averaging),
            n_done: 0,
            seed,
            began,
        })
    }
}

/// A cloud on its way.
#[derive(Debug)]
pub struct Transport<'t, F, T: Target + ?Sized> {
    cloud: MovingCloud<F>,
    density: TargetDensity<'t, T>,
    target: &'t T,
    rule: String,
    settings: Vec<(String, String)>,
    n_done: usize,
    seed: u64,
    began: Instant,
}

impl<F: Flow, T: Target + ?Sized> Transport<'_, F, T> {
    /// Iterations done.
    #[must_use]
    pub fn iteration(&self) -> usize {
        self.n_done
    }

    /// The directions of the last iteration in the flow's coordinates, particle by particle.
    #[must_use]
    pub fn directions(&self) -> &[f64] {
        &self.cloud.directions
    }

    /// The particles in the target's unconstrained coordinates, of shape (particle, coordinate).
    #[must_use]
    pub fn positions(&self) -> Array2<f64> {
        self.cloud.at_target()
    }

    /// One iteration.
    ///
    /// After an error the particles are where they were, but the rule may have counted the step already, and nothing is right about further ones:
    /// do not step on, [finish](Transport::finish).
    ///
    /// # Errors
    /// All with the iteration, from 1. [`Error::Particle`] if the log density of a particle is not finite, or its gradient is not.
    /// [`Error::ParticleNotFinite`] if its direction is not, or its step leaves the range of numbers, as a learning rate far too large makes it, or
    /// particles are so far apart that their squared distances do. [`Error::Step`] with the particle in its source, an
    /// [`Error::OutsideSupport`], if [`CoinKt`](crate::step_rules::CoinKt) refuses a direction above its bound.
    pub fn step(&mut self) -> Result<(), Error> {
        let iteration = self.n_done + 1;
        self.density.start_iteration(iteration);
        self.cloud.step(&mut self.density, iteration)?;
        self.n_done = iteration;
        Ok(())
    }

    /// The particles as they stand, or their averages if they are wanted.
    ///
    /// # Errors
    /// What the target's constraining map reports.
    pub fn finish(self) -> Result<Particles, Error> {
        let positions = self.cloud.result();
        let largest_move = self.cloud.largest_move();
        let dim = positions.ncols();
        let description = Description {
            flow: self.cloud.flow.name(),
            step_rule: self.rule,
            n_iterations: self.n_done,
            seed: self.seed,
            seconds: self.began.elapsed().as_secs_f64(),
            n_evaluations: self.density.n_evaluations,
            dim,
            particles_wanted: self.cloud.flow.particles_wanted(dim),
            largest_move: largest_move.map(|(index, share, since)| Move {
                name: self.target.coordinate_name(index),
                share,
                since,
            }),
            settings: self.settings,
        };
        Particles::new(self.target, positions, description)
    }
}
