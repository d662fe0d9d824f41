//! Forecasts beyond the data, from the last cloud of a filter.

use super::adapters::StateSpaceAdapter;
use super::engine::Smc;
use super::smoothing::{GuideTable, Paths, SmoothingError};
use crate::error::check;
use crate::model::{Simulate, StateSpaceModel};
use crate::rng::{Purpose, Stream};

/// Paths per random stream: part of what a seed means.
const BLOCK: usize = 128;

/// The streams of forecasts: states use the even slots, observations the odd ones.
fn stream(seed: u64, step: usize, block: usize, observations: bool) -> Stream {
    Stream::keyed(seed, Purpose::Forecast, step as u64, 2 * block as u64 + u64::from(observations))
}

/// Draws `n_paths` equally weighted paths of the states of the `horizon` steps after those that the run has made.
///
/// ```text
/// x_{T-1} ~ the filter's weighted cloud      x_{T+k} ~ p_{T+k}(x | x_{T+k-1}),  k = 0, …, horizon - 1
/// ```
/// Works for bootstrap, guided and auxiliary filters, and needs no history; [`observe`] adds observations.
///
/// ```
/// use posterity::model::zoo::Ar1;
/// use posterity::smc::{Bootstrap, Smc, SmcConfig, forecast, observe};
/// let model = Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 0.5, y: vec![1.0, 2.0, 3.0] };
/// let mut filter = Smc::new(Bootstrap(model), SmcConfig::new(1000, 1))?;
/// filter.run()?;
/// let states = forecast(&filter, 4, 1000, 2)?;
/// assert_eq!((states.first_step(), states.n_steps(), states.n_paths()), (3, 4, 1000));
/// let observations = observe(&filter, &states, 3);
/// // Uncertainty grows, and is larger for the observations by their noise.
/// let (x, y) = (states.variance(|x| *x), observations.variance(|y| *y));
/// assert!(x[0] < x[3] && x[0] < y[0]);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// # Errors
/// [`SmoothingError::NotStarted`], or [`SmoothingError::Setting`] if `horizon` or `n_paths` is 0.
pub fn forecast<A: StateSpaceAdapter>(
    smc: &Smc<A>,
    horizon: usize,
    n_paths: usize,
    seed: u64,
) -> Result<Paths<<A::Model as StateSpaceModel>::State>, SmoothingError> {
    check::at_least("horizon", horizon, 1, "at least 1")?;
    check::at_least("n_paths", n_paths, 1, "at least 1")?;
    let first_step = smc.summary().n_steps;
    if first_step == 0 {
        return Err(SmoothingError::NotStarted);
    }
    let (model, view) = (smc.model().state_space(), smc.view());
    let mut table = GuideTable::default();
    table.build(view.weights.log_weights);
    let mut states = vec![Default::default(); n_paths * horizon];
    for block in 0..n_paths.div_ceil(BLOCK) {
        let mut rng = stream(seed, first_step, block, false);
        for path in block * BLOCK..((block + 1) * BLOCK).min(n_paths) {
            let mut x = view.population[table.slot(rng.uniform())];
            for k in 0..horizon {
                x = model.transition(first_step + k, &x, &mut rng);
                states[k * n_paths + path] = x;
            }
        }
    }
    Ok(Paths::new(first_step, n_paths, states))
}

/// Draws an observation for every state of the paths, as of a forecast or a smoother: forecasts of observations, or data replicated for a
/// predictive check.
pub fn observe<A>(
    smc: &Smc<A>,
    paths: &Paths<<A::Model as StateSpaceModel>::State>,
    seed: u64,
) -> Paths<<A::Model as Simulate>::Observation>
where
    A: StateSpaceAdapter,
    A::Model: Simulate,
{
    let model = smc.model().state_space();
    let mut observations = Vec::with_capacity(paths.n_paths() * paths.n_steps());
    for (t, row) in (paths.first_step()..).zip(paths.steps()) {
        for (block, states) in row.chunks(BLOCK).enumerate() {
            let mut rng = stream(seed, t, block, true);
            observations.extend(states.iter().map(|x| model.observe(t, x, &mut rng)));
        }
    }
    Paths::new(paths.first_step(), paths.n_paths(), observations)
}
