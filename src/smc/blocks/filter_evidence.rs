//! A particle filter as a random weight: its evidence estimate, with a trajectory drawn from it.

use std::sync::Arc;

use rand::RngExt;

use super::random_weight::{ConditionalLogWeight, RandomLogWeight, Weighted};
use crate::error::{DensityError, Error};
use crate::model::{ModelFamily, StateSpaceModel, TransitionDensity};
use crate::rng::Stream;
use crate::smc::conditional::PinnedPath;
use crate::smc::{Collector, Smc, SmcConfig, SmcError, Snapshot, StateSpaceAdapter};

/// State of the models of a family.
pub type FamilyState<F> = <<<F as ModelFamily>::Model as StateSpaceAdapter>::Model as StateSpaceModel>::State;

/// The evidence estimate of a particle filter, as a random log-weight on parameters.
///
/// ```text
/// weight      Ẑ(θ), E[Ẑ(θ)] = p(y | θ)
/// auxiliary   x₀, …, x_{T-1}, a path drawn from the last cloud and traced back by its ancestors
/// ```
/// With its weight, the path has the law p(x | y, θ). A filter that degenerates has weight 0 and is counted; log-weights that are NaN or +∞
/// are recoverable errors, and everything else that the engine reports is fatal. The redraw of [`ConditionalLogWeight`] is a conditional
/// filter pinned to the path; its resampling scheme must have a conditional form. Memory is kept from one filter to the next.
///
/// ```
/// use posterity::DensityError;
/// use posterity::model::zoo::Ar1;
/// use posterity::rng::Stream;
/// use posterity::smc::{Bootstrap, SmcConfig};
/// use posterity::smc::blocks::{FilterEvidence, RandomLogWeight};
/// let family = |theta: &[f64]| {
///     Ok::<_, DensityError>(Bootstrap(Ar1 { rho: theta[0], sigma_x: 1.0, sigma_y: 1.0, y: vec![-1.45, 0.99, 1.2, f64::NAN, 0.3] }))
/// };
/// let mut evidence = FilterEvidence::new(&family, SmcConfig::new(10_000, 0))?;
/// let drawn = evidence.draw(&[0.9], &mut Stream::new(1))?.unwrap();
/// // The Kalman filter's answer is -7.3116.
/// assert!((drawn.log_weight + 7.3116).abs() < 0.05);
/// assert_eq!(drawn.auxiliary.len(), 5);
/// # Ok::<(), posterity::Error>(())
/// ```
pub struct FilterEvidence<'f, F>
where
    F: ModelFamily + ?Sized,
    F::Model: StateSpaceAdapter,
{
    family: &'f F,
    config: SmcConfig,
    engine: Option<Smc<F::Model>>,
    ancestry: Ancestry<FamilyState<F>>,
    n_degenerate: usize,
}

impl<F> std::fmt::Debug for FilterEvidence<'_, F>
where
    F: ModelFamily + ?Sized,
    F::Model: StateSpaceAdapter,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterEvidence")
            .field("config", &self.config)
            .field("n_degenerate", &self.n_degenerate)
            .finish_non_exhaustive()
    }
}

impl<'f, F> FilterEvidence<'f, F>
where
    F: ModelFamily + ?Sized,
    F::Model: StateSpaceAdapter,
{
    /// A weight made by filters with these settings. Their seed is not used: each filter has one drawn from the stream at hand.
    ///
    /// # Errors
    /// As [`SmcConfig::validate`].
    pub fn new(family: &'f F, config: SmcConfig) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self { family, config, engine: None, ancestry: Ancestry::default(), n_degenerate: 0 })
    }

    /// The family.
    pub fn family(&self) -> &'f F {
        self.family
    }

    /// Number of filters so far in which all weights became 0.
    pub fn n_degenerate(&self) -> usize {
        self.n_degenerate
    }

    /// The engine at new parameters, not started, and the place where its ancestry goes.
    fn prepare(&mut self, parameters: &[f64], rng: &mut Stream) -> Result<Prepared<'_, F>, DensityError> {
        let model = self.family.at(parameters)?;
        let mut engine = match self.engine.take() {
            Some(mut engine) => {
                *engine.model_mut() = model;
                engine
            }
            None => Smc::new(model, self.config.clone()).map_err(density_error)?,
        };
        engine.restart(rng.random());
        self.ancestry.clear();
        Ok((self.engine.insert(engine), &mut self.ancestry))
    }
}

type Prepared<'a, F> = (&'a mut Smc<<F as ModelFamily>::Model>, &'a mut Ancestry<FamilyState<F>>);

impl<F> RandomLogWeight<[f64]> for FilterEvidence<'_, F>
where
    F: ModelFamily + ?Sized,
    F::Model: StateSpaceAdapter,
{
    type Auxiliary = Vec<FamilyState<F>>;

    fn draw(&mut self, parameters: &[f64], rng: &mut Stream) -> Result<Option<Weighted<Self::Auxiliary>>, DensityError> {
        let (engine, ancestry) = self.prepare(parameters, rng)?;
        match engine.run_with(ancestry) {
            Ok(summary) => {
                let auxiliary = ancestry.draw_path(engine.machine().relative_weights(), rng);
                Ok(Some(Weighted { log_weight: summary.log_evidence, auxiliary }))
            }
            Err(SmcError::Degenerate { .. }) => {
                self.n_degenerate += 1;
                Ok(None)
            }
            Err(error) => Err(density_error(error)),
        }
    }
}

impl<F> ConditionalLogWeight<[f64]> for FilterEvidence<'_, F>
where
    F: ModelFamily + ?Sized,
    F::Model: StateSpaceAdapter,
    <F::Model as StateSpaceAdapter>::Model: TransitionDensity,
{
    fn redraw(&mut self, parameters: &[f64], path: &mut Self::Auxiliary, rng: &mut Stream) -> Result<f64, DensityError> {
        let (engine, ancestry) = self.prepare(parameters, rng)?;
        let n_steps = engine.model().state_space().n_steps();
        if path.len() != n_steps {
            return Err(DensityError::Length { what: "path of a conditional filter", expected: n_steps, found: path.len() });
        }
        let first_slot = rng.random_range(0..engine.config().n_particles as u32);
        let mut pinned = PinnedPath::new(&*path, first_slot, false);
        while let Some(info) = engine.step_on_threads(Some(&mut pinned)).map_err(density_error)? {
            ancestry.collect(&engine.snapshot(info));
        }
        *path = ancestry.draw_path(engine.machine().relative_weights(), rng);
        Ok(engine.machine().log_evidence())
    }
}

/// An error of the engine as one of a density: what the point is to blame for is recoverable.
fn density_error<E: std::error::Error + Send + Sync + 'static>(error: SmcError<E>) -> DensityError {
    match error {
        SmcError::Degenerate { .. } => DensityError::Rejected { reason: "all weights of the filter are zero" },
        SmcError::NotANumber { .. } => DensityError::NotANumber,
        SmcError::PositiveInfinity { .. } => DensityError::PositiveInfinity,
        other => DensityError::Model { recoverable: false, source: Arc::new(other) },
    }
}

/// All states of a run with their ancestors, generation after generation in one piece of memory.
#[derive(Debug, Default)]
struct Ancestry<X> {
    states: Vec<X>,
    /// Slot of the parent in the generation before; 0 in the first generation.
    parents: Vec<u32>,
    /// Where each generation begins.
    starts: Vec<usize>,
}

impl<X: Copy> Ancestry<X> {
    fn clear(&mut self) {
        self.states.clear();
        self.parents.clear();
        self.starts.clear();
    }

    /// The path of a particle of the newest generation, drawn with these weights.
    fn draw_path(&self, weights: &[f64], rng: &mut Stream) -> Vec<X> {
        let mut slot = draw_index(weights, rng);
        let mut path = Vec::with_capacity(self.starts.len());
        for start in self.starts.iter().rev() {
            path.push(self.states[start + slot]);
            slot = self.parents[start + slot] as usize;
        }
        path.reverse();
        path
    }
}

impl<X: Copy> Collector<Vec<X>> for Ancestry<X> {
    fn collect(&mut self, snapshot: &Snapshot<'_, Vec<X>>) {
        let (population, ancestors, copies) = (snapshot.view.population, snapshot.ancestors, snapshot.copies);
        self.starts.push(self.states.len());
        self.states.extend_from_slice(population);
        match (snapshot.info.t, copies) {
            (0, _) => self.parents.resize(self.states.len(), 0),
            (_, 1) => self.parents.extend_from_slice(ancestors),
            _ => self.parents.extend((0..population.len()).map(|slot| ancestors[slot / copies])),
        }
    }
}

/// An index drawn with weights that need not sum to 1; one without weight is never drawn.
fn draw_index(weights: &[f64], rng: &mut Stream) -> usize {
    let mut rest = rng.uniform() * weights.iter().sum::<f64>();
    let mut last = 0;
    for (index, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            last = index;
            if rest < weight {
                break;
            }
            rest -= weight;
        }
    }
    last
}
