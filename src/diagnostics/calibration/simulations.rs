//! Simulating from a model, and sampling the posterior of every set of data.
//!
//! ```text
//! for i = 1, …, n:   θ*ᵢ ~ p(θ)    xᵢ ~ p(x | θ*ᵢ)    θᵢ₁, …, θᵢ_L ~ sampler(xᵢ)
//! ```
//! Simulations run on threads, each with streams of its own: the result does not depend on their number.
//!
//! Talts, Betancourt, Simpson, Vehtari & Gelman (2018), *Validating Bayesian inference algorithms with simulation-based
//! calibration*, <https://arxiv.org/abs/1804.06788>.

use ndarray::{Array2, Array3, ArrayView1, ArrayView2, Axis};
use rand::rand_core::Rng as _;

use super::problem::CalibrationProblem;
use super::ranks::Use;
use super::warning::CalibrationWarning;
use crate::diagnostics::ess_mean;
use crate::error::{Error, Result, check};
use crate::parallel::map_indexed;
use crate::rng::{Purpose, Stream};

/// Fewest simulations for which the tests make sense.
const LEAST_SIMULATIONS: usize = 20;
/// Simulations between two looks at the number of failures.
const BLOCK: usize = 64;
/// Fewest effective draws per draw, on average over simulations, without a warning: independent draws have 0.95 or more, draws
/// with an autocorrelation of 0.2 have 0.7.
const LEAST_ESS_PER_DRAW: f64 = 0.7;
/// Fewest draws of which an effective sample size says anything.
const LEAST_FOR_ESS: usize = 19;
/// Fewer draws bias that average down.
const LEAST_DRAWS_FOR_ESS: usize = 19;

/// How many simulations, how many draws of each, and what may go wrong.
///
/// ```
/// use ndarray::Array2;
/// use posterity::Error;
/// use posterity::diagnostics::{CalibrationProblem, CalibrationRun, Sbc, Tarp};
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
///
/// // The posterior is N(x/2, 1/2); `spread` is 1 for a right sampler.
/// let p_values = |spread: f64| {
///     let simulations = CalibrationRun::new(1).simulations(300).run(&OneNumber, |x: &f64, seed| {
///         let mut rng = Stream::new(seed);
///         Ok(Array2::from_shape_simple_fn((99, 1), || x / 2.0 + spread * 0.5_f64.sqrt() * rng.normal()))
///     })?;
///     let sbc = Sbc::new().test(&OneNumber, &simulations)?;
///     let tarp = Tarp::new().test(&OneNumber, &simulations)?;
///     Ok::<_, Error>((sbc.p_value(), tarp.p_value()))
/// };
/// let (sbc, tarp) = p_values(1.0)?;
/// assert!(sbc > 0.01 && tarp > 0.01);
/// let (sbc, tarp) = p_values(0.6)?;
/// assert!(sbc < 1e-6 && tarp < 1e-6);
/// # Ok::<(), Error>(())
/// ```
///
/// Defaults: 200 simulations, 99 draws, no thinning, no failure allowed, all threads.
#[derive(Debug, Clone)]
pub struct CalibrationRun {
    seed: u64,
    n_simulations: usize,
    n_draws: usize,
    thin: bool,
    failures: f64,
    threads: Option<usize>,
}

impl CalibrationRun {
    /// 200 simulations of 99 draws each.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, n_simulations: 200, n_draws: 99, thin: false, failures: 0.0, threads: None }
    }

    /// Number of simulations, at least 20; 200. A thousand find a standard deviation that is wrong by a tenth.
    #[must_use]
    pub fn simulations(mut self, n: usize) -> Self {
        self.n_simulations = n;
        self
    }

    /// Number L of draws per simulation, as nearly independent as can be; 99. L + 1 should be a multiple of 20.
    #[must_use]
    pub fn draws(mut self, n: usize) -> Self {
        self.n_draws = n;
        self
    }

    /// Lets the sampler return more than L draws, of which L evenly spaced ones are kept: for Markov chains, whose draws are
    /// correlated. Return so many that their effective sample size is at least L; the reports warn if it is not.
    #[must_use]
    pub fn thin(mut self) -> Self {
        self.thin = true;
        self
    }

    /// The share of simulations, below 0.5, that may fail; 0. A simulation fails if the sampler does, or returns draws that are not
    /// finite, and if the draw from the prior is no parameter ([`Error::PriorDraw`]). Failures are left out and reported: they happen
    /// at certain data or parameters, so what is left is no fair choice.
    #[must_use]
    pub fn allow_failures(mut self, share: f64) -> Self {
        self.failures = share;
        self
    }

    /// Largest number of threads; all of the machine's unless said. The result does not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    fn validate(&self) -> Result<()> {
        check::at_least("simulations", self.n_simulations, LEAST_SIMULATIONS, "at least 20")?;
        check::at_least("draws", self.n_draws, 1, "at least 1")?;
        check::in_range("share of failures", self.failures, self.failures >= 0.0 && self.failures < 0.5, "in [0, 0.5)")
    }

    /// Simulates, and samples each posterior by `sampler(data, seed)`, which returns an array of shape (draw, parameter).
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]; [`Error::NoParameters`]; [`Error::Simulation`] if the problem fails, or if the sampler returns
    /// another number of draws or parameters ([`Error::Dimension`]); [`Error::TooManyFailures`] if the sampler fails, or returns
    /// draws that are not finite ([`Error::NotFinite`]), or the prior's draw is no parameter ([`Error::PriorDraw`]), more often than
    /// allowed.
    pub fn run<P: CalibrationProblem>(
        &self,
        problem: &P,
        sampler: impl Fn(&P::Data, u64) -> Result<Array2<f64>> + Sync,
    ) -> Result<Simulations<P::Data>> {
        self.validate()?;
        let names = problem.parameter_names();
        if names.is_empty() {
            return Err(Error::NoParameters);
        }
        let one = |index: usize| {
            let (truth, data) = match self.simulate(problem, names.len(), index) {
                Err(error @ Error::PriorDraw { .. }) => return Ok(Err(error)),
                simulated => simulated?,
            };
            let seed = stream(self.seed, Use::Sampler, index).next_u64();
            let draws = match sampler(&data, seed) {
                Ok(draws) => self.kept(draws, names.len())?,
                Err(error) => Err(error),
            };
            Ok(draws.map(|draws| (truth, data, draws)))
        };
        let allowed = (self.failures * self.n_simulations as f64).floor() as usize;
        let mut simulations = Simulations::empty(self.seed, names.clone(), self.threads);
        for first in (0..self.n_simulations).step_by(BLOCK) {
            let n = BLOCK.min(self.n_simulations - first);
            for (i, outcome) in map_indexed(n, self.threads, |i| one(first + i)).into_iter().enumerate() {
                let simulation = first + i;
                match outcome.map_err(|source| Error::Simulation { simulation, source: Box::new(source) })? {
                    Ok((truth, data, draws)) => simulations.push(simulation, &truth, data, draws),
                    Err(error) => simulations.failures.push(FailedSimulation { simulation, error }),
                }
            }
            let failed = simulations.failures.len();
            if failed > allowed {
                let FailedSimulation { simulation, error } = simulations.failures.swap_remove(0);
                return Err(Error::TooManyFailures { failed, allowed, simulation, source: Box::new(error) });
            }
        }
        Ok(simulations)
    }

    fn simulate<P: CalibrationProblem>(&self, problem: &P, dim: usize, index: usize) -> Result<(Vec<f64>, P::Data)> {
        let (truth, data) = problem.simulate(&mut stream(self.seed, Use::Simulation, index))?;
        same("parameters of a simulation", dim, truth.len())?;
        finite("parameters of a simulation", truth.iter())?;
        Ok((truth, data))
    }

    /// The L draws that count: an error of their number is the caller's, one of their values is the sampler's.
    fn kept(&self, draws: Array2<f64>, dim: usize) -> Result<Result<Vec<f64>>> {
        let n = draws.nrows();
        if !self.thin || n < self.n_draws {
            same("draws that the sampler returned", self.n_draws, n)?;
        }
        same("parameters of a draw", dim, draws.ncols())?;
        if let Err(error) = finite("draws", draws.iter()) {
            return Ok(Err(error));
        }
        let mut kept = Vec::with_capacity(self.n_draws * dim);
        for k in 0..self.n_draws {
            kept.extend(draws.row((2 * k + 1) * n / (2 * self.n_draws)));
        }
        Ok(Ok(kept))
    }
}

/// A simulation that failed.
#[derive(Debug)]
pub struct FailedSimulation {
    /// Index of the simulation.
    pub simulation: usize,
    /// What the sampler reported; [`Error::PriorDraw`] if there was nothing to sample from.
    pub error: Error,
}

/// Parameters, data and draws of many simulations: what [`Sbc`](super::Sbc) and [`Tarp`](super::Tarp) test.
#[derive(Debug)]
pub struct Simulations<D> {
    seed: u64,
    names: Vec<String>,
    threads: Option<usize>,
    /// Index of each simulation, by which its streams are keyed.
    indices: Vec<usize>,
    /// Simulation by simulation.
    truths: Vec<f64>,
    data: Vec<D>,
    /// Simulation by simulation, draw by draw.
    draws: Vec<f64>,
    failures: Vec<FailedSimulation>,
}

impl<D: Sync> Simulations<D> {
    /// Simulations made elsewhere: true parameters of shape (simulation, parameter), data, and draws of shape (simulation, draw,
    /// parameter). The seed is that of the tests' own randomness.
    ///
    /// # Errors
    /// [`Error::NoParameters`]; [`Error::InvalidSetting`] for fewer than 20 simulations or no draw; [`Error::Dimension`];
    /// [`Error::NotFinite`].
    pub fn new(
        seed: u64,
        parameter_names: Vec<String>,
        parameters: ArrayView2<'_, f64>,
        data: Vec<D>,
        draws: &Array3<f64>,
    ) -> Result<Self> {
        let (n, n_draws, dim) = draws.dim();
        if dim == 0 {
            return Err(Error::NoParameters);
        }
        check::at_least("simulations", n, LEAST_SIMULATIONS, "at least 20")?;
        check::at_least("draws", n_draws, 1, "at least 1")?;
        same("names of parameters", dim, parameter_names.len())?;
        same("simulations with parameters", n, parameters.nrows())?;
        same("parameters of a simulation", dim, parameters.ncols())?;
        same("simulations with data", n, data.len())?;
        finite("parameters of a simulation", parameters.iter())?;
        finite("draws", draws.iter())?;
        Ok(Self {
            indices: (0..n).collect(),
            truths: parameters.iter().copied().collect(),
            data,
            draws: draws.iter().copied().collect(),
            ..Self::empty(seed, parameter_names, None)
        })
    }

    fn empty(seed: u64, names: Vec<String>, threads: Option<usize>) -> Self {
        let (indices, truths, data, draws, failures) = Default::default();
        Self { seed, names, threads, indices, truths, data, draws, failures }
    }

    fn push(&mut self, index: usize, truth: &[f64], data: D, draws: Vec<f64>) {
        self.indices.push(index);
        self.truths.extend(truth);
        self.data.push(data);
        self.draws.extend(draws);
    }

    /// Number of simulations that did not fail.
    #[must_use]
    pub fn n_simulations(&self) -> usize {
        self.data.len()
    }

    /// Number L of draws per simulation.
    #[must_use]
    pub fn n_draws(&self) -> usize {
        self.draws.len() / self.truths.len().max(1)
    }

    /// Names of the parameters.
    #[must_use]
    pub fn parameter_names(&self) -> &[String] {
        &self.names
    }

    /// The parameters θ* that a simulation's data were drawn with; `None` past the last simulation.
    #[must_use]
    pub fn parameters(&self, simulation: usize) -> Option<ArrayView1<'_, f64>> {
        (simulation < self.n_simulations()).then(|| self.truth(simulation).into())
    }

    /// A simulation's draws, of shape (draw, parameter); `None` past the last simulation.
    #[must_use]
    pub fn draws(&self, simulation: usize) -> Option<ArrayView2<'_, f64>> {
        (simulation < self.n_simulations()).then(|| self.matrix(simulation)).flatten()
    }

    /// A simulation's data; `None` past the last simulation.
    #[must_use]
    pub fn data(&self, simulation: usize) -> Option<&D> {
        self.data.get(simulation)
    }

    /// The simulations that are left out: the sampler failed, or the prior's draw was no parameter.
    #[must_use]
    pub fn failures(&self) -> &[FailedSimulation] {
        &self.failures
    }

    /// Effective sample size per draw of every parameter, averaged over the simulations: about 1 for independent draws. `None`
    /// for fewer than 19 draws, which are too few to tell.
    #[must_use]
    pub fn ess_per_draw(&self) -> Option<Vec<f64>> {
        let dim = self.names.len();
        if self.n_draws() < LEAST_DRAWS_FOR_ESS {
            return None;
        }
        let of_one = |i: usize| {
            let draws = self.matrix(i)?;
            draws.columns().into_iter().map(|column| ess_mean(column.insert_axis(Axis(0)))).collect::<Option<Vec<f64>>>()
        };
        let mut mean = vec![0.0; dim];
        for ess in map_indexed(self.n_simulations(), self.threads, of_one) {
            mean.iter_mut().zip(ess?).for_each(|(mean, ess)| *mean += ess);
        }
        let n = self.draws.len() as f64 / dim as f64;
        Some(mean.into_iter().map(|sum| sum / n).collect())
    }

    /// What both tests warn of.
    pub(super) fn warnings(&self) -> Vec<CalibrationWarning> {
        let mut warnings = Vec::new();
        let n_simulations = self.n_simulations();
        let total = n_simulations + self.failures.len();
        let of_prior = self.failures.iter().filter(|failure| matches!(failure.error, Error::PriorDraw { .. })).count();
        let of_sampler = self.failures.len() - of_prior;
        if of_sampler > 0 {
            warnings.push(CalibrationWarning::Failures { failed: of_sampler, total });
        }
        if of_prior > 0 {
            warnings.push(CalibrationWarning::PriorDraws { failed: of_prior, total });
        }
        if n_simulations < 100 {
            warnings.push(CalibrationWarning::FewSimulations { n_simulations });
        }
        // The estimate from so few draws is itself too small.
        let reliable = self.n_draws() >= LEAST_FOR_ESS;
        let worst = self.ess_per_draw().into_iter().flatten().enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((k, ess_per_draw)) = worst.filter(|worst| reliable && worst.1 < LEAST_ESS_PER_DRAW) {
            warnings.push(CalibrationWarning::Correlated { name: self.names[k].clone(), ess_per_draw });
        }
        warnings
    }

    pub(super) fn truth(&self, i: usize) -> &[f64] {
        let dim = self.names.len();
        &self.truths[i * dim..(i + 1) * dim]
    }

    pub(super) fn rows(&self, i: usize) -> impl ExactSizeIterator<Item = &[f64]> + Clone {
        let size = self.n_draws() * self.names.len();
        self.draws[i * size..(i + 1) * size].chunks_exact(self.names.len())
    }

    fn matrix(&self, i: usize) -> Option<ArrayView2<'_, f64>> {
        let size = self.n_draws() * self.names.len();
        ArrayView2::from_shape((self.n_draws(), self.names.len()), &self.draws[i * size..(i + 1) * size]).ok()
    }

    pub(super) fn stream(&self, of: Use, i: usize) -> Stream {
        stream(self.seed, of, self.indices.get(i).copied().unwrap_or(i))
    }

    pub(super) fn shared_stream(&self, of: Use, slot: usize) -> Stream {
        stream(self.seed, of, slot)
    }

    /// `f(i)` of every simulation, on the run's threads; the first error comes back with its simulation.
    pub(super) fn map<T: Send>(&self, f: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
        let all = map_indexed(self.n_simulations(), self.threads, f).into_iter();
        let at = |(i, result): (usize, Result<T>)| {
            result.map_err(|source| Error::Simulation { simulation: self.indices[i], source: Box::new(source) })
        };
        all.enumerate().map(at).collect()
    }

    pub(super) fn threads(&self) -> Option<usize> {
        self.threads
    }

    pub(super) fn datum(&self, i: usize) -> &D {
        &self.data[i]
    }
}

fn stream(seed: u64, of: Use, slot: usize) -> Stream {
    Stream::keyed(seed, Purpose::Calibration, of as u64, slot as u64)
}

pub(super) fn same(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Dimension { what, expected, found }) }
}

pub(super) fn finite<'a>(what: &'static str, mut values: impl Iterator<Item = &'a f64> + Clone) -> Result<()> {
    let all = values.clone();
    match values.position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::NotFinite { what, index, value: all.clone().nth(index).copied().unwrap_or(f64::NAN) }),
    }
}
