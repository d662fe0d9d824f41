//! Fitting a family by stochastic ascent of a bound.
//!
//! ```text
//! φ ← step rule(∇φ L̂(φ)),   φ̄ = average of the last iterates
//! ```
//! *Asks* of the target its gradient, but for the score-function estimators its log density only. *Costs* per iteration the draws of the objective, and the family's own work. *Not* the fastest
//! way to a Gaussian approximation: [`Bam`](super::Bam) and [`Pathfinder`](super::Pathfinder) take tens to hundreds of gradient evaluations instead of thousands. *References* A. Kucukelbir et al. 2017,
//! <https://jmlr.org/papers/v18/16-107.html>; A. Dhaka et al. 2020, <https://arxiv.org/abs/2009.00666> (averages of iterates and k̂).

use std::sync::Arc;

use super::approximation::{Approximation, Closure, Family};
use super::density::IterationDensity;
use super::fit::{Fit, Record};
use super::gradient::BoundGradient;
use super::modes::separate_modes;
use super::objective::Objective;
use super::start::FamilyStart;
use super::stopping::{Comparison, Monitor, Stopping, Verdict};
use super::warning::Warning;
use crate::error::{Error, check};
use crate::model::{LogDensityGradient, Target};
use crate::parallel::Threads;
use crate::rng::{Purpose, Stream};
use crate::step_rules::{Adam, StepRule};

/// Times that the draws of one iteration are replaced if none of them can be used.
const REDRAWS: usize = 10;
/// Dimension up to which a family is stretched by a full covariance matrix.
const MOST_STRETCHED: usize = 1000;

/// Variational inference by stochastic gradients: a family, a bound and a step rule.
///
/// ```
/// use ndarray::array;
/// use posterity::model::{WithGradient, zoo::analytic::Gaussian};
/// use posterity::vi::{FullRank, Vi};
/// let target = WithGradient(Gaussian::new(array![1.0, -2.0], &array![[1.0, 0.3], [0.3, 0.5]])?);
/// let fit = Vi::new(FullRank).n_iterations(2000).fit(&target, 1)?;
/// assert!((fit.approximation().mean().unwrap()[1] + 2.0).abs() < 0.02);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// Defaults: the evidence lower bound from 10 draws, doubly reparameterised; Adam with learning rate 0.02, which falls to a fiftieth over the last 40 % of 5000 iterations; the average of the last 20 %; a start
/// at what the best of four paths of Pathfinder finds, with three tenths of its standard deviations; all observations; 4000 draws at the end.
#[derive(Debug, Clone)]
pub struct Vi {
    family: Arc<dyn Family>,
    objective: Objective,
    step_rule: Arc<dyn StepRule>,
    n_iterations: usize,
    stopping: Stopping,
    decay: f64,
    averaged_share: f64,
    start: FamilyStart,
    initial_scale: f64,
    minibatch: Option<usize>,
    annealing: usize,
    n_draws: usize,
    threads: Threads,
}

impl Vi {
    /// Fits this family.
    #[must_use]
    pub fn new(family: impl Family + 'static) -> Self {
        Self::with_family(Arc::new(family))
    }

    /// Fits a family chosen while the program runs.
    #[must_use]
    pub fn with_family(family: Arc<dyn Family>) -> Self {
        Self {
            family,
            objective: Objective::default(),
            step_rule: Arc::new(Adam::new(0.02)),
            n_iterations: 5000,
            stopping: Stopping::Iterations,
            decay: 0.02,
            averaged_share: 0.2,
            start: FamilyStart::default(),
            initial_scale: 0.3,
            minibatch: None,
            annealing: 0,
            n_draws: 4000,
            threads: Threads::shared(),
        }
    }

    /// The bound and the estimator of its gradient; the evidence lower bound from 10 draws.
    #[must_use]
    pub fn objective(mut self, objective: Objective) -> Self {
        self.objective = objective;
        self
    }

    /// The step rule; Adam with learning rate 0.02.
    ///
    /// [`Coin`](crate::step_rules::Coin) has no learning rate, but bets in units of the largest gradient that it has seen, and
    /// gradients are large where the approximation is much too narrow: start it with an [`initial_scale`](Vi::initial_scale) like
    /// the posterior's. On a correlated normal distribution in ten dimensions, standard deviations 1, 3000 iterations lead a
    /// full-rank normal to KL < 0.001 from a scale of 1, and to 3.6 from one of 0.1. Which share of the iterates is averaged
    /// matters little.
    #[must_use]
    pub fn step_rule(mut self, step_rule: impl StepRule + 'static) -> Self {
        self.step_rule = Arc::new(step_rule);
        self
    }

    /// Number of iterations, or the most there will be with another stopping rule; 5000.
    #[must_use]
    pub fn n_iterations(mut self, n_iterations: usize) -> Self {
        self.n_iterations = n_iterations;
        self
    }

    /// When to stop; after [`Vi::n_iterations`].
    #[must_use]
    pub fn stopping(mut self, stopping: Stopping) -> Self {
        self.stopping = stopping;
        self
    }

    /// The share of the learning rate to which it falls, exponentially over the last 40 % of the iterations; 0.02, and 1 for a
    /// constant rate. Rules without a learning rate ignore it, and so does [`Stopping::Stationary`], which halves the rate
    /// instead.
    #[must_use]
    pub fn decay(mut self, to: f64) -> Self {
        self.decay = to;
        self
    }

    /// The share of the last iterations whose parameters are averaged; 0.2, at most 0.5, and 0 for the last parameters alone.
    /// [`Stopping::Stationary`] chooses for itself.
    #[must_use]
    pub fn averaged_share(mut self, share: f64) -> Self {
        self.averaged_share = share;
        self
    }

    /// Where the family starts; at the best of four paths of Pathfinder.
    #[must_use]
    pub fn start(mut self, start: FamilyStart) -> Self {
        self.start = start;
        self
    }

    /// The standard deviation to start with, in units of the start's scales; 0.3. Small ones keep the first draws where the
    /// density is regular.
    #[must_use]
    pub fn initial_scale(mut self, scale: f64) -> Self {
        self.initial_scale = scale;
        self
    }

    /// Estimates the likelihood from this many observations, drawn anew in every iteration. k̂ and weights are of the full
    /// likelihood all the same, and so is the gradient that the default [`start`](Vi::start) follows; the other starts need none.
    #[must_use]
    pub fn minibatch(mut self, size: usize) -> Self {
        self.minibatch = Some(size);
        self
    }

    /// Multiplies the log density by min(1, 0.01 + t / `n_iterations`) in iteration t, so that separate modes are found before
    /// they repel; 0 for no annealing. Over these iterations [`Fit::bounds`] are of the tempered density, and parameters are not averaged: a run of fixed length must leave the averaged share of its
    /// iterations to the density itself.
    ///
    /// Source: Rezende & Mohamed 2015, <https://arxiv.org/abs/1505.05770>.
    #[must_use]
    pub fn annealing(mut self, n_iterations: usize) -> Self {
        self.annealing = n_iterations;
        self
    }

    /// Number of weighted draws at the end; 4000.
    #[must_use]
    pub fn n_draws(mut self, n_draws: usize) -> Self {
        self.n_draws = n_draws;
        self
    }

    /// Where the draws at the end are evaluated; on all threads.
    #[must_use]
    pub fn threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// Checks all settings.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first one out of range.
    pub fn validate(&self) -> Result<(), Error> {
        self.objective.validate()?;
        self.stopping.validate(self.n_iterations)?;
        check::in_range("decay", self.decay, self.decay > 0.0 && self.decay <= 1.0, "in (0, 1]")?;
        let share = self.averaged_share;
        check::in_range("averaged_share", share, (0.0..=0.5).contains(&share), "in [0, 0.5]")?;
        check::positive("initial_scale", self.initial_scale)?;
        if self.stopping == Stopping::Iterations {
            let annealed = self.annealing <= self.n_iterations - self.n_averaged();
            check::in_range("annealing", self.annealing as f64, annealed, "over before the iterations that are averaged")?;
        }
        self.step_rule.start(&[0.0])?;
        check::at_least("n_draws", self.n_draws, 1, "at least 1")
    }

    /// Iterations whose parameters are averaged in a run of fixed length.
    fn n_averaged(&self) -> usize {
        (self.averaged_share * self.n_iterations as f64).floor() as usize
    }

    /// Fits the family to a target.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]; [`Error::NotAvailable`] for an estimator or a stopping rule that the family does not have; [`Error::NoParameters`]; [`Error::NoObservations`] for minibatches of a target without
    /// them; [`Error::Dimension`] or [`Error::NotFinite`] for a start; [`Error::Density`] for a fatal error of the target at the start or in the draws at the end. [`Error::Iteration`] with the iteration for what happens on the way: [`Error::NoUsableDraw`] if the target cannot be evaluated at any draw, ten
    /// times in a row, [`Error::Unbounded`] if the approximation leaves the range of numbers, as it does without a finite mass or at far too large a learning rate, [`Error::Density`] for a fatal error of the target.
    /// [`Error::NoUsableDraw`] if that is so of the draws at the end.
    pub fn fit<T: Target + ?Sized>(&self, target: &T, seed: u64) -> Result<Fit, Error> {
        self.validate()?;
        let mut record = Record::new(format!("{}, {}", self.family.name(), self.objective.name()), seed)
            .with_setting("family", self.family.name())
            .with_setting("objective", self.objective.name())
            .with_setting("estimator", format!("{:?}", self.objective.estimator))
            .with_setting("step_rule", self.step_rule.name())
            .with_setting("n_iterations", self.n_iterations)
            .with_setting("stopping", format!("{:?}", self.stopping))
            .with_setting("draws_per_gradient", self.objective.n_draws())
            .with_setting("groups", self.objective.n_groups)
            .with_setting("decay", self.decay)
            .with_setting("averaged_share", self.averaged_share)
            .with_setting("initial_scale", self.initial_scale)
            .with_setting("annealing", self.annealing)
            .with_setting("n_draws", self.n_draws);
        if let Some(size) = self.minibatch {
            record = record.with_setting("minibatch", size);
        }
        let mut ascent = Ascent::new(self, target, seed, &mut record)?;
        let has_learning_rate = ascent.has_learning_rate();
        let mut monitor =
            Monitor::new(self.stopping, self.n_iterations, self.n_averaged(), &ascent.parameters, has_learning_rate);
        for iteration in 1..=self.n_iterations {
            let bound = ascent.step(iteration).map_err(|source| Error::Iteration { iteration, source: Box::new(source) })?;
            record.bounds.push(bound);
            // What the target is while it is annealed is not where it rests.
            if self.stopping != Stopping::Iterations && iteration < self.annealing {
                continue;
            }
            match monitor.push(&ascent.parameters, &mut ascent.comparison) {
                Verdict::GoOn => {}
                Verdict::Halve => ascent.learning_rate *= 0.5,
                Verdict::Stop => break,
            }
        }
        record.n_iterations = record.bounds.len();
        record.n_failed = ascent.n_failed;
        *(if self.objective.needs_gradients() {
            &mut record.n_gradient_evaluations
        } else {
            &mut record.n_density_evaluations
        }) += ascent.n_evaluations;
        if record.n_failed > 0 {
            record.warnings.push(Warning::FailedDraws { n_failed: record.n_failed, n_draws: ascent.n_evaluations });
        }
        let mut approximation = ascent.approximation;
        let ending = monitor.finish(&ascent.parameters, &mut ascent.comparison);
        if let Some(divergence) = ending.unsettled {
            record.warnings.push(Warning::NotSettled { divergence, n_iterations: record.n_iterations });
        }
        approximation.set_parameters(&ending.parameters)?;
        if self.objective.alpha < 1.0 && self.objective.n_importance > 1 {
            record.warnings.push(Warning::Proposal);
        }
        Fit::assess(target, approximation, record, self.n_draws, self.threads.clone())
    }

    /// The factor on the learning rate in an iteration of a run of fixed length.
    fn decay_at(&self, iteration: usize) -> f64 {
        const FROM: f64 = 0.6;
        let progress = iteration as f64 / self.n_iterations as f64;
        self.decay.powf(((progress - FROM) / (1.0 - FROM)).max(0.0))
    }
}

/// The state of the optimisation.
struct Ascent<'t> {
    vi: &'t Vi,
    seed: u64,
    density: IterationDensity<'t>,
    approximation: Box<dyn Approximation>,
    /// Of members of the family as they are before they are stretched, which changes no divergence.
    comparison: Comparison,
    bound: BoundGradient,
    rule: Box<dyn crate::step_rules::StepState>,
    /// Learning rate, over that at the start: what it should be, and what the rule has.
    learning_rate: f64,
    current: f64,
    parameters: Vec<f64>,
    gradient: Vec<f64>,
    n_evaluations: u64,
    n_failed: u64,
}

impl<'t> Ascent<'t> {
    fn new<T: Target + ?Sized>(vi: &'t Vi, target: &'t T, seed: u64, record: &mut Record) -> Result<Self, Error> {
        let density = IterationDensity::new(target, vi.minibatch)?;
        let mut rng = Stream::keyed(seed, Purpose::Variational, 0, 0);
        let inner = vi.family.start(density.dim(), vi.initial_scale, &mut rng)?;
        let mut parameters = inner.parameters().to_vec();
        let bound = BoundGradient::new(vi.objective, inner.as_ref())?;
        let mut comparison = Comparison::new(inner.as_ref(), seed);
        vi.stopping.check_family(&mut comparison, &parameters)?;
        // The target is first evaluated where all settings have been found to work together.
        let mut closure = vi.family.closed_under();
        if density.dim() > MOST_STRETCHED {
            closure = closure.min(Closure::Scaling);
        }
        let frame = vi.start.resolve(target, vi.objective.needs_gradients(), closure, record)?;
        let approximation = match frame {
            None => inner,
            Some(frame) => match vi.family.as_mixture() {
                Some(mixture) if mixture.n_components() > 1 && vi.start == FamilyStart::Pathfinder => {
                    let mut modes = separate_modes(target, frame, mixture.n_components(), record)?;
                    record.settings.push(("modes".to_owned(), modes.len().to_string()));
                    if modes.len() == 1 {
                        modes.swap_remove(0).around(inner)?
                    } else {
                        let apart = mixture.start_at(modes, vi.initial_scale, &mut rng)?;
                        // Components in units of their own: only the distribution itself can be compared.
                        comparison = Comparison::new(apart.as_ref(), seed);
                        parameters = apart.parameters().to_vec();
                        apart
                    }
                }
                _ => frame.around(inner)?,
            },
        };
        let rule = vi.step_rule.start(&parameters)?;
        Ok(Self {
            vi,
            seed,
            density,
            comparison,
            bound,
            rule,
            learning_rate: 1.0,
            current: 1.0,
            gradient: vec![0.0; parameters.len()],
            parameters,
            approximation,
            n_evaluations: 0,
            n_failed: 0,
        })
    }

    fn has_learning_rate(&mut self) -> bool {
        self.rule.scale_learning_rate(1.0)
    }

    /// One step; returns the bound.
    fn step(&mut self, iteration: usize) -> Result<f64, Error> {
        self.density.start_iteration(self.seed, iteration);
        if self.vi.annealing > 0 {
            self.density.inverse_temperature = (0.01 + iteration as f64 / self.vi.annealing as f64).min(1.0);
        }
        if self.vi.stopping == Stopping::Iterations {
            self.learning_rate = self.vi.decay_at(iteration);
        }
        self.rule.scale_learning_rate(self.learning_rate / self.current);
        self.current = self.learning_rate;
        let bound = self.differentiate(iteration)?;
        let moved = self.rule.step(&self.gradient, &mut self.parameters);
        match moved.and_then(|()| self.approximation.set_parameters(&self.parameters)) {
            Ok(()) => Ok(bound),
            Err(Error::InvalidSetting { value, .. } | Error::NotFinite { value, .. }) => {
                Err(Error::Unbounded { what: "approximation", value })
            }
            Err(error) => Err(error),
        }
    }

    /// The gradient from draws of which at least one can be used.
    fn differentiate(&mut self, iteration: usize) -> Result<f64, Error> {
        let n_draws = self.vi.objective.n_draws() as u64;
        let mut failure = None;
        for attempt in 0..REDRAWS {
            let mut rng = Stream::keyed(self.seed, Purpose::Variational, iteration as u64, attempt as u64);
            let estimate = self.bound.estimate(self.approximation.as_mut(), &mut self.density, &mut rng, &mut self.gradient);
            self.n_evaluations += n_draws;
            match estimate {
                Ok(estimate) => match self.gradient.iter().position(|g| !g.is_finite()) {
                    None => {
                        self.n_failed += estimate.n_failed as u64;
                        return Ok(estimate.bound);
                    }
                    Some(index) => {
                        failure = Some(Error::NotFinite { what: "gradient of the bound", index, value: self.gradient[index] });
                    }
                },
                Err(error @ Error::NoUsableDraw { .. }) => failure = Some(error),
                Err(error) => return Err(error),
            }
            self.n_failed += n_draws;
        }
        Err(failure.unwrap_or(Error::NoParameters))
    }
}
