//! Settings of an SMC sampler.

use super::path::PosteriorPath;
use super::result::SamplerResult;
use crate::error::{Error, check};
use crate::kernels::{HmcConfig, NutsConfig};
use crate::model::Target;
use crate::parallel::Threads;
use crate::weights::Scheme;

/// What becomes of the chains that move the particles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moves {
    /// N / `length` ancestors, each the first state of a chain of `length` states, all of which are kept. The number of particles must be a
    /// multiple.
    WasteFree {
        /// States per chain, at least 2.
        length: usize,
    },
    /// N ancestors, each moved this often; the last state is kept.
    Standard {
        /// Moves per particle, at least 1.
        n_moves: usize,
    },
    /// N ancestors, moved until the mean squared distance from where they started grows by less than `min_growth` of itself; the last
    /// state is kept.
    Adaptive {
        /// Largest number of moves per particle, at least 1.
        max_moves: usize,
        /// Growth per move below which moving on does not pay, in (0, 1); 0.1 is a good choice.
        min_growth: f64,
    },
}

/// The Markov kernel that moves the particles. Its metric is the covariance of the cloud, its step size is tuned from step to step.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum MoveKernel {
    /// Random-walk Metropolis. All chains of a block propose at once, in one batch of likelihoods. See
    /// [`kernels::RandomWalk`](crate::kernels::RandomWalk).
    RandomWalk,
    /// The Metropolis-adjusted Langevin algorithm. See [`kernels::Mala`](crate::kernels::Mala).
    Mala,
    /// Hamiltonian Monte Carlo. See [`kernels::Hmc`](crate::kernels::Hmc).
    Hmc(HmcConfig),
    /// The no-U-turn sampler. See [`kernels::Nuts`](crate::kernels::Nuts).
    Nuts(NutsConfig),
}

/// How the path from prior to posterior is cut into steps.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Schedule {
    /// Powers of the likelihood, chosen by effective sample size.
    Tempering,
    /// Given powers of the likelihood.
    Ladder(Vec<f64>),
    /// Observations, so many at a time, as far as the effective sample size allows.
    Data { batch: usize },
}

/// An SMC sampler: settings that know how to sample any [`Target`] and estimate its evidence.
///
/// ```
/// use posterity::model::zoo::analytic::NormalMean;
/// use posterity::smc::sampler::SmcSampler;
/// let model = NormalMean::new(vec![1.2, 0.4, 2.1], 1.0, 0.0, 3.0)?;
/// let result = SmcSampler::tempering().n_particles(4000).waste_free(100).sample(&model, 1)?;
/// let se = result.log_evidence_se.unwrap();
/// assert!((result.log_evidence - model.log_evidence()).abs() < 4.0 * se && se < 0.1);
/// assert!((result.draws.mean("mu")?[[]] - model.power_posterior(1.0).0).abs() < 0.1);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SmcSampler {
    pub(super) schedule: Schedule,
    pub(super) n_particles: usize,
    pub(super) ess_target: f64,
    pub(super) moves: Moves,
    pub(super) kernel: MoveKernel,
    pub(super) scheme: Scheme,
    pub(super) threads: Threads,
    pub(super) max_steps: usize,
}

impl SmcSampler {
    /// Tempering of the likelihood from power 0 to 1: 10,000 particles, each next power where the effective sample size is half of that;
    /// waste-free with chains of 200 random-walk states; systematic resampling; all threads.
    #[must_use]
    pub fn tempering() -> Self {
        Self::new(Schedule::Tempering)
    }

    /// Data tempering (IBIS): observations are added one by one, each exactly once, and the particles are resampled and moved when the
    /// effective sample size has fallen to half of their number. Otherwise as [`SmcSampler::tempering`].
    ///
    /// The target must say how many observations it has, and know their terms apart
    /// ([`Evaluator::log_density_parts_of_rows`](crate::model::Evaluator::log_density_parts_of_rows), whose default evaluates all of them each
    /// time); kernels other than the random walk need their gradients too, which every [`Model`](crate::model::Model) has and
    /// [`WithParts`](crate::model::WithParts) has not.
    #[must_use]
    pub fn data_tempering() -> Self {
        Self::new(Schedule::Data { batch: 1 })
    }

    fn new(schedule: Schedule) -> Self {
        Self {
            schedule,
            n_particles: 10_000,
            ess_target: 0.5,
            moves: Moves::WasteFree { length: 200 },
            kernel: MoveKernel::RandomWalk,
            scheme: Scheme::default(),
            threads: Threads::shared(),
            max_steps: 10_000,
        }
    }

    /// Number of particles N; 10,000.
    #[must_use]
    pub fn n_particles(mut self, n_particles: usize) -> Self {
        self.n_particles = n_particles;
        self
    }

    /// Share of N to which the effective sample size may fall in one step, in (0, 1); 0.5. On a fixed ladder, the share below which the
    /// particles of a standard sampler are resampled.
    #[must_use]
    pub fn ess_target(mut self, share: f64) -> Self {
        self.ess_target = share;
        self
    }

    /// Fixed inverse temperatures instead of adaptive ones: increasing, the first above 0, the last 1.
    #[must_use]
    pub fn ladder(mut self, inverse_temperatures: impl Into<Vec<f64>>) -> Self {
        self.schedule = Schedule::Ladder(inverse_temperatures.into());
        self
    }

    /// Adds observations in batches of this many instead of one by one; makes it a sampler by data tempering.
    #[must_use]
    pub fn batch(mut self, n_observations: usize) -> Self {
        self.schedule = Schedule::Data { batch: n_observations };
        self
    }

    /// Waste-free moves in chains of this length: [`Moves::WasteFree`].
    #[must_use]
    pub fn waste_free(self, length: usize) -> Self {
        self.moves(Moves::WasteFree { length })
    }

    /// What becomes of the chains that move the particles; waste-free chains of 200 states.
    #[must_use]
    pub fn moves(mut self, moves: Moves) -> Self {
        self.moves = moves;
        self
    }

    /// The kernel that moves the particles; random-walk Metropolis.
    #[must_use]
    pub fn kernel(mut self, kernel: MoveKernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// Resampling scheme; systematic. The standard error that a *standard* sampler reports is meant for [`Scheme::Multinomial`].
    #[must_use]
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// Where the work is done; on all threads. The result does not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// Number of steps after which the run gives up with [`Error::Stalled`]; 10,000.
    #[must_use]
    pub fn max_steps(mut self, max_steps: usize) -> Self {
        self.max_steps = max_steps;
        self
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first one out of range, [`Error::Empty`] a ladder without rungs.
    pub fn validate(&self) -> Result<(), Error> {
        let n = self.n_particles;
        check::in_range("n_particles", n as f64, n >= 2 && u32::try_from(n).is_ok(), "from 2 to 2^32 - 1")?;
        check::open_unit("ess_target", self.ess_target)?;
        check::at_least("max_steps", self.max_steps, 1, "at least 1")?;
        match self.moves {
            Moves::WasteFree { length } => {
                check::in_range("length", length as f64, length >= 2 && length <= n, "from 2 to the number of particles")?;
                check::in_range("n_particles", n as f64, n.is_multiple_of(length), "a multiple of the length of the chains")?;
            }
            Moves::Standard { n_moves } => check::at_least("n_moves", n_moves, 1, "at least 1")?,
            Moves::Adaptive { max_moves, min_growth } => {
                check::at_least("max_moves", max_moves, 1, "at least 1")?;
                check::open_unit("min_growth", min_growth)?;
            }
        }
        match self.kernel {
            MoveKernel::RandomWalk | MoveKernel::Mala => {}
            MoveKernel::Hmc(config) => config.validate()?,
            MoveKernel::Nuts(config) => config.validate()?,
        }
        match &self.schedule {
            Schedule::Tempering => Ok(()),
            Schedule::Data { batch } => check::at_least("batch", *batch, 1, "at least 1"),
            Schedule::Ladder(ladder) => {
                let Some(&last) = ladder.last() else { return Err(Error::Empty { what: "ladder" }) };
                let mut before = 0.0;
                for &rung in ladder {
                    check::in_range("ladder", rung, rung > before, "increasing from above 0")?;
                    before = rung;
                }
                check::in_range("last rung of the ladder", last, last == 1.0, "1")
            }
        }
    }

    /// The Feynman-Kac model of this sampler, for use with an engine of your own ([`Smc`](crate::smc::Smc)); its number of particles must be
    /// the sampler's.
    ///
    /// # Errors
    /// As [`SmcSampler::validate`]; [`Error::NoParameters`], [`Error::NoPriorSampler`], [`Error::NoObservations`],
    /// [`Error::NoRowGradients`].
    pub fn path<'t, T: Target + ?Sized>(&self, target: &'t T) -> Result<PosteriorPath<'t, T>, Error> {
        PosteriorPath::new(self.clone(), target)
    }

    /// Samples the posterior and estimates the evidence.
    ///
    /// # Errors
    /// As [`SmcSampler::path`]; [`Error::Sampling`] with the [`SmcError`](crate::smc::SmcError) of the step for whatever goes wrong later: a
    /// log-likelihood of a prior draw that is NaN or +∞, a likelihood that is 0 for every particle, a fatal error of the density, and
    /// [`Error::Stalled`].
    pub fn sample<T: Target + ?Sized>(&self, target: &T, seed: u64) -> Result<SamplerResult, Error> {
        super::assemble::run(self, target, seed)
    }
}
