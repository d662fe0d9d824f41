//! Pathfinder: normal approximations along the path of an optimiser, of which the best is kept.
//!
//! ```text
//! xₗ                                  iterates of L-BFGS from a point in the tails to a mode
//! qₗ = N(xₗ + Hₗ ∇log p(xₗ), Hₗ)     Hₗ = the inverse Hessian that L-BFGS has learned: a diagonal and few directions
//! q  = the qₗ of largest bound        for several paths, the mixture of their q
//! ```
//! *Asks* of the target its gradient. *Costs* tens to hundreds of gradients per path, and 25 log densities per iterate; memory and time linear in d. *Not* for accuracy by itself:
//! on normal targets of up to some 30 dimensions it is exact to a per cent; elsewhere covariances are as good as what L-BFGS learns on its way, and on funnels they are poor, as Pareto k̂ then says. It is the way to start: [`Fit::start`] for NUTS,
//! [`FamilyStart::Pathfinder`](super::FamilyStart) for other families. *Reference* L. Zhang, B. Carpenter, A. Gelman & A. Vehtari 2022, <https://arxiv.org/abs/2108.03782>. Unlike there, line searches are
//! nearly exact, so that steps are conjugate; of distributions whose bounds 25 draws do not tell apart, the one with the steadiest log ratios is taken; and draws of several paths are weighed against the mixture of all, so that k̂
//! is about one distribution.

mod inverse_hessian;
mod lbfgs;
mod path;
mod score;
mod spiked_normal;

use path::Path;
pub(super) use path::{PathSettings, follow};
pub(super) use score::Best;
pub(super) use spiked_normal::SpikedNormal;

use super::approximation::Approximation;
use super::families::Mixture;
use super::fit::{Fit, Record};
use super::warning::Warning;
use crate::error::{Error, check};
use crate::mcmc::Start;
use crate::model::Target;
use crate::parallel::{Threads, map_indexed};

/// Share of a mixture that is spread evenly over the paths; the rest goes by the exponential of their bounds, which estimates the mass that each has found.
const EVEN_SHARE: f64 = 0.2;

/// Normal approximations along the paths of an optimiser.
///
/// ```
/// use posterity::model::zoo::EightSchoolsNoncentered;
/// use posterity::vi::Pathfinder;
/// let fit = Pathfinder::default().fit(&EightSchoolsNoncentered::rubin(), 1)?;
/// assert!(fit.n_gradient_evaluations() < 1000);
/// assert!(fit.elbo() < fit.log_evidence());
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// Defaults: 4 paths from points found by search; 10 to 80 pairs of steps and gradients remembered; at most 1000 iterations; 25 draws per bound; 4000 draws at the end.
#[derive(Debug, Clone)]
pub struct Pathfinder {
    n_paths: usize,
    settings: PathSettings,
    start: Start,
    n_draws: usize,
    threads: Threads,
}

impl Default for Pathfinder {
    fn default() -> Self {
        Self { n_paths: 4, settings: PathSettings::default(), start: Start::Search, n_draws: 4000, threads: Threads::shared() }
    }
}

impl Pathfinder {
    /// Number of paths; 4. One alone gives a normal approximation, several their mixture.
    #[must_use]
    pub fn n_paths(mut self, n_paths: usize) -> Self {
        self.n_paths = n_paths;
        self
    }

    /// Pairs of steps and gradient differences that L-BFGS remembers; two per dimension, but at most 80 and at most √(10⁶/d), and at least 10. Twice that many directions are kept apart from the
    /// diagonal. A normal target of half as many dimensions is matched nearly exactly.
    #[must_use]
    pub fn history(mut self, history: usize) -> Self {
        self.settings.history = Some(history);
        self
    }

    /// Iterations of L-BFGS per path at most; 1000.
    #[must_use]
    pub fn n_iterations(mut self, n_iterations: usize) -> Self {
        self.settings.n_iterations = n_iterations;
        self
    }

    /// Draws that estimate the bound of every iterate; 25.
    #[must_use]
    pub fn n_bound_draws(mut self, n_draws: usize) -> Self {
        self.settings.n_bound_draws = n_draws;
        self
    }

    /// Where paths start, one point per path or one for all; by default each at the densest of eight points drawn uniformly from (-2, 2)ᵈ.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Number of weighted draws at the end; 4000.
    #[must_use]
    pub fn n_draws(mut self, n_draws: usize) -> Self {
        self.n_draws = n_draws;
        self
    }

    /// Where paths and draws are evaluated; on all threads.
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
        check::at_least("n_paths", self.n_paths, 1, "at least 1")?;
        check::at_least("history", self.settings.history(1), 1, "at least 1")?;
        check::at_least("n_iterations", self.settings.n_iterations, 1, "at least 1")?;
        check::at_least("n_bound_draws", self.settings.n_bound_draws, 1, "at least 1")?;
        check::at_least("n_draws", self.n_draws, 1, "at least 1")
    }

    /// Fits a target.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]; [`Error::NoParameters`]; [`Error::Density`] for a fatal error of the target. If every path fails, the error of the last: [`Error::NoStartPoint`],
    /// [`Error::Unbounded`] where the density rises without end, [`Error::NoUsableDraw`]. [`Error::NoUsableDraw`] also if that is so of the draws at the end.
    pub fn fit<T: Target + ?Sized>(&self, target: &T, seed: u64) -> Result<Fit, Error> {
        self.validate()?;
        let dim = target.dim()?;
        if dim == 0 {
            return Err(Error::NoParameters);
        }
        let plural = if self.n_paths == 1 { "path" } else { "paths" };
        let mut record = Record::new(format!("Pathfinder, {} {plural}", self.n_paths), seed)
            .with_setting("history", self.settings.history(dim))
            .with_setting("n_bound_draws", self.settings.n_bound_draws);
        let follow = |index| follow(target, self.settings, &self.start, seed, index);
        let results = self.threads.install(|| map_indexed(self.n_paths, None, follow));
        let mut paths = Vec::with_capacity(self.n_paths);
        let mut failure = None;
        for (path, cost) in results {
            record.n_gradient_evaluations += cost.n_gradient_evaluations;
            record.n_density_evaluations += cost.n_density_evaluations;
            match path {
                Ok(path) => paths.push(path),
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        let n_failed = self.n_paths - paths.len();
        if n_failed > 0 && !paths.is_empty() {
            record.warnings.push(Warning::FailedPaths { n_failed, n_paths: self.n_paths });
        }
        record.n_failed = paths.iter().map(|path| path.n_failed).sum();
        record.n_iterations = paths.iter().map(|path| path.bounds.len()).sum();
        record.bounds = paths.iter().flat_map(|path| path.bounds.iter().copied()).collect();
        let Some(approximation) = pooled(paths)? else { return Err(failure.unwrap_or(Error::NoParameters)) };
        Fit::assess(target, approximation, record, self.n_draws, self.threads.clone())
    }
}

/// Whether an error ends all paths.
pub(super) fn is_fatal(error: &Error) -> bool {
    match error {
        Error::Density(error) => !error.is_recoverable(),
        Error::NoStartPoint { .. } | Error::NoUsableDraw { .. } | Error::Unbounded { .. } => false,
        _ => true,
    }
}

/// The distribution of one path, or the mixture of several; `None` of none.
fn pooled(mut paths: Vec<Path>) -> Result<Option<Box<dyn Approximation>>, Error> {
    let distribution = |path: Path| Box::new(path.normal) as Box<dyn Approximation>;
    if paths.len() <= 1 {
        return Ok(paths.pop().map(distribution));
    }
    let largest = paths.iter().map(|path| path.score.bound).fold(f64::NEG_INFINITY, f64::max);
    let shares: Vec<f64> = paths.iter().map(|path| (path.score.bound - largest).exp()).collect();
    let (total, n) = (shares.iter().sum::<f64>(), shares.len() as f64);
    let weights = shares.iter().map(|share| (1.0 - EVEN_SHARE) * share / total + EVEN_SHARE / n).collect();
    Ok(Some(Mixture::fixed(paths.into_iter().map(distribution).collect(), weights)?))
}
