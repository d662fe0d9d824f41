//! Particle Gibbs: parameters and hidden states together, each given the other.
//!
//! ```text
//! θ ~ p(θ | x, y), or a Markov kernel that leaves it invariant      yours
//! x ~ conditional SMC at the new θ, with x as its reference         see ConditionalSmc
//! ```
//! The draws have the joint posterior p(θ, x | y) as their law for any number of particles. With
//! [`PathSampling::Ancestor`](super::PathSampling::Ancestor) it is the method known as PGAS.
//!
//! *Asks of the model* a [`ModelFamily`] whose models can be [pinned](Pin), and an update of the parameters given the states: conjugate
//! draws, or a few Metropolis or HMC steps. *Cost per draw*: one conditional sweep and one update.
//!
//! *When not to use.* If parameters and states are strongly tied (a variance of small innovations, say), each moves little while the other
//! stands still; particle marginal Metropolis-Hastings moves them together.
//!
//! *References.* C. Andrieu, A. Doucet and R. Holenstein 2010, doi:10.1111/j.1467-9868.2009.00736.x; F. Lindsten, M. I. Jordan and T. B.
//! Schön 2014, arXiv:1401.0604.

use std::fmt;

use ndarray::{Array2, Array3};

use super::conditional::{ConditionalConfig, ConditionalSmc, SweepInfo};
use super::conditional_model::Pin;
use super::state_values::StateValues;
use crate::draws::{Attributes, Draws, Group, SampleStats, StatValues};
use crate::error::{DensityError, Error, check};
use crate::model::{ModelFamily, Variable};
use crate::parallel::map_indexed;
use crate::rng::{Purpose, Stream};
use rand::RngExt;

/// A move of the parameters given the path, which leaves p(θ | x, y) invariant. Closures are updates.
pub trait ParameterUpdate<P: ?Sized>: Sync {
    /// Moves the parameters: constrained, in the order that the [`ModelFamily`] reads.
    ///
    /// # Errors
    /// What ends the run.
    fn update(&self, parameters: &mut [f64], path: &P, rng: &mut Stream) -> Result<(), DensityError>;
}

impl<P: ?Sized, F: Fn(&mut [f64], &P, &mut Stream) -> Result<(), DensityError> + Sync> ParameterUpdate<P> for F {
    fn update(&self, parameters: &mut [f64], path: &P, rng: &mut Stream) -> Result<(), DensityError> {
        self(parameters, path, rng)
    }
}

/// How many chains and draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GibbsRun {
    /// Seed.
    pub seed: u64,
    /// Number of chains; they run on the threads of rayon's current pool.
    pub n_chains: usize,
    /// Iterations per chain before the first draw, which are dropped.
    pub n_warmup: usize,
    /// Draws per chain.
    pub n_draws: usize,
    /// Iterations per draw.
    pub thin: usize,
}

impl GibbsRun {
    /// Four chains of 1000 iterations to forget the start, and 1000 draws.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, n_chains: 4, n_warmup: 1000, n_draws: 1000, thin: 1 }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`].
    pub fn validate(&self) -> Result<(), Error> {
        check::at_least("n_chains", self.n_chains, 1, "at least 1")?;
        check::at_least("n_draws", self.n_draws, 1, "at least 1")?;
        check::at_least("thin", self.thin, 1, "at least 1")
    }
}

/// Particle Gibbs over a family of models.
///
/// ```
/// use posterity::model::{Variable, zoo::Ar1};
/// use posterity::rng::Stream;
/// use posterity::smc::{Bootstrap, ConditionalConfig, GibbsRun, ParticleGibbs};
/// use rand_distr::{Distribution, Gamma};
///
/// // Unknown noise of the observations, with 1/σ² ~ Gamma(3, rate 2).
/// let y = vec![-1.45, 0.99, 1.2, 0.7, 0.3];
/// let family = |p: &[f64]| Ok(Bootstrap(Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: p[0], y: y.clone() }));
/// let update = |p: &mut [f64], x: &Vec<f64>, rng: &mut Stream| {
///     let squares: f64 = x.iter().zip(&y).map(|(x, y)| (y - x).powi(2)).sum();
///     let gamma = Gamma::new(3.0 + 0.5 * x.len() as f64, 1.0 / (2.0 + 0.5 * squares)).unwrap();
///     p[0] = gamma.sample(rng).powf(-0.5);
///     Ok(())
/// };
/// let gibbs = ParticleGibbs::new(family, update, ConditionalConfig::new(10))?;
/// let run = GibbsRun { n_warmup: 50, n_draws: 200, ..GibbsRun::new(1) };
/// let draws = gibbs.sample(vec![Variable::new("sigma_y", &[])], &[vec![1.0]], run)?;
/// assert_eq!(draws.variable("x")?.shape(), [4, 200, 5]);
/// assert!(draws.mean("sigma_y")?[[]] > 0.0);
/// # Ok::<(), posterity::Error>(())
/// ```
pub struct ParticleGibbs<F, U> {
    family: F,
    update: U,
    config: ConditionalConfig,
}

impl<F, U> ParticleGibbs<F, U>
where
    F: ModelFamily,
    F::Model: Pin,
    U: ParameterUpdate<<F::Model as Pin>::Path>,
{
    /// Particle Gibbs with these moves.
    ///
    /// # Errors
    /// As [`ConditionalConfig::validate`].
    pub fn new(family: F, update: U, config: ConditionalConfig) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self { family, update, config })
    }

    /// A chain that starts at these parameters, with a path from a particle filter there.
    ///
    /// # Errors
    /// [`Error::Density`] if there is no model at the start, and [`Error::Sampling`] if the particle filter fails.
    pub fn chain(&self, parameters: &[f64], seed: u64) -> Result<GibbsChain<'_, F, U>, Error> {
        let mut kernel = ConditionalSmc::new(self.family.at(parameters)?, self.config.clone())?;
        let path = kernel.first_path(seed)?;
        Ok(GibbsChain { gibbs: self, kernel, parameters: parameters.to_vec(), draft: Vec::new(), path })
    }

    /// Runs chains and returns their draws: the parameters under the names of `variables`, and the path as `x`, of shape (T, shape of a
    /// state). `starts` has one entry for all chains, or one per chain. The sample statistics are those of [`SweepInfo`].
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]; [`Error::Dimension`] if starts, variables and states do not fit together; [`Error::Chain`] with the error
    /// of [`GibbsChain::step`] in it.
    pub fn sample<X: StateValues>(&self, variables: Vec<Variable>, starts: &[Vec<f64>], run: GibbsRun) -> Result<Draws, Error>
    where
        F::Model: Pin<Path = Vec<X>>,
    {
        run.validate()?;
        let n_parameters: usize = variables.iter().map(Variable::size).sum();
        if starts.len() != 1 && starts.len() != run.n_chains {
            return Err(Error::Dimension { what: "starts of the chains", expected: run.n_chains, found: starts.len() });
        }
        if let Some(start) = starts.iter().find(|start| start.len() != n_parameters) {
            return Err(Error::Dimension { what: "parameters of a start", expected: n_parameters, found: start.len() });
        }
        let chains = map_indexed(run.n_chains, None, |chain| self.run_chain(&starts[chain % starts.len()], chain, run));
        let chains = chains.into_iter().collect::<Result<Vec<_>, Error>>()?;

        let n_steps = chains[0].n_steps;
        let mut variables = variables;
        variables.push(Variable::new("x", &[&[n_steps], X::SHAPE].concat()));
        let n_columns = variables.iter().map(Variable::size).sum();
        let mut values = Vec::with_capacity(run.n_chains * run.n_draws * n_columns);
        chains.iter().for_each(|chain| values.extend_from_slice(&chain.values));
        let found = values.len() / (run.n_chains * run.n_draws);
        let values = Array3::from_shape_vec((run.n_chains, run.n_draws, n_columns), values);
        let values = values.map_err(|_| Error::Dimension { what: "numbers per draw", expected: n_columns, found })?;

        let shape = (run.n_chains, run.n_draws);
        let float = |f: fn(&SweepInfo) -> f64| StatValues::Float(Array2::from_shape_fn(shape, |(c, i)| f(&chains[c].infos[i])));
        let mut stats = SampleStats::new(run.n_chains, run.n_draws);
        stats.push("log_evidence", float(|info| info.log_evidence))?;
        stats.push("ess", float(|info| info.ess))?;
        stats.push("least_ess", float(|info| info.least_ess))?;
        stats.push("n_updated", float(|info| info.n_updated as f64))?;
        let mut attributes = Attributes::new("particle_gibbs", run.seed)
            .with_setting("conditional", format!("{:?}", self.config))
            .with_setting("thin", run.thin);
        attributes.n_warmup = run.n_warmup;
        Draws::new(Group::new(variables, values)?, stats, attributes)
    }

    fn run_chain<X: StateValues>(&self, start: &[f64], chain: usize, run: GibbsRun) -> Result<Made, Error>
    where
        F::Model: Pin<Path = Vec<X>>,
    {
        let failed = |iteration| move |source| Error::Chain { chain, iteration, source: Box::new(source) };
        let seed = |iteration: usize| Stream::keyed(run.seed, Purpose::Chain, iteration as u64, chain as u64).random();
        let mut gibbs = self.chain(start, seed(0)).map_err(failed(0))?;
        let mut made = Made { n_steps: gibbs.path().len(), values: Vec::new(), infos: Vec::with_capacity(run.n_draws) };
        let n_iterations = run.n_warmup + run.n_draws * run.thin;
        for iteration in 1..=n_iterations {
            let info = gibbs.step(seed(iteration)).map_err(failed(iteration - 1))?;
            if iteration > run.n_warmup && (iteration - run.n_warmup).is_multiple_of(run.thin) {
                made.values.extend_from_slice(gibbs.parameters());
                gibbs.path().iter().for_each(|x| x.write(&mut made.values));
                made.infos.push(info);
            }
        }
        Ok(made)
    }
}

/// The draws of one chain.
struct Made {
    n_steps: usize,
    values: Vec<f64>,
    infos: Vec<SweepInfo>,
}

/// One chain of particle Gibbs.
pub struct GibbsChain<'a, F: ModelFamily, U>
where
    F::Model: Pin,
{
    gibbs: &'a ParticleGibbs<F, U>,
    kernel: ConditionalSmc<F::Model>,
    parameters: Vec<f64>,
    draft: Vec<f64>,
    path: <F::Model as Pin>::Path,
}

impl<F, U> GibbsChain<'_, F, U>
where
    F: ModelFamily,
    F::Model: Pin,
    U: ParameterUpdate<<F::Model as Pin>::Path>,
{
    /// Updates the parameters given the path, then the path given the *new* parameters. A sequence of steps needs a different seed for each.
    ///
    /// # Errors
    /// [`Error::Density`] if the update fails, or goes where there is no model; [`Error::Sampling`] if the sweep fails. Parameters and path
    /// are then as before.
    pub fn step(&mut self, seed: u64) -> Result<SweepInfo, Error> {
        self.draft.clone_from(&self.parameters);
        let mut rng = Stream::keyed(seed, Purpose::Chain, 0, 0);
        self.gibbs.update.update(&mut self.draft, &self.path, &mut rng)?;
        *self.kernel.model_mut() = self.gibbs.family.at(&self.draft)?;
        let info = self.kernel.sweep(&mut self.path, seed)?;
        std::mem::swap(&mut self.parameters, &mut self.draft);
        Ok(info)
    }

    /// The parameters.
    #[must_use]
    pub fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &<F::Model as Pin>::Path {
        &self.path
    }

    /// The kernel that moves the path, with its [update rates](ConditionalSmc::update_rates).
    #[must_use]
    pub fn kernel(&self) -> &ConditionalSmc<F::Model> {
        &self.kernel
    }
}

impl<F, U> fmt::Debug for ParticleGibbs<F, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParticleGibbs").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<F: ModelFamily, U> fmt::Debug for GibbsChain<'_, F, U>
where
    F::Model: Pin,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GibbsChain").field("kernel", &self.kernel).field("parameters", &self.parameters).finish_non_exhaustive()
    }
}
