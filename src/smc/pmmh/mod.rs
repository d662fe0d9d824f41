//! Particle marginal Metropolis-Hastings: parameters and hidden states of a state-space model, by a random walk over the parameters with a
//! particle filter as the likelihood.
//!
//! ```text
//! θ* ~ N(θ, e^{2s} Σ), on the unconstrained space
//! run a filter at θ*: its evidence estimate Ẑ(θ*), and a path x* drawn from it
//! accept (θ*, x*) with probability min(1, p(θ*) Ẑ(θ*) / (p(θ) Ẑ(θ)))
//! ```
//! The law of (θ, x) is exactly p(θ, x | y), for any number of particles: their number decides how well the chain mixes, not where it goes.
//! Shape Σ and scale s are learnt in warm-up and fixed afterwards. It is [`PseudoMarginal`](super::blocks::PseudoMarginal) over prior ×
//! [`FilterEvidence`](super::blocks::FilterEvidence), with warm-up, chains and results around it.
//!
//! *Asks* a prior (any [`Target`]) and a [`ModelFamily`] of state-space models in an adapter; no gradients, and no transition densities for
//! the
//! bootstrap filter. *Costs* one filter per iteration: O(N T). N should grow with T, so that the variance of log Ẑ stays at 1 to 2
//! ([`Pmmh::pilot`]). *Not* for more than some ten parameters (a random walk needs O(d) iterations), nor where a Kalman filter
//! or a finite number of states gives the likelihood exactly ([`exact`](super::exact)): state that in a model, and use NUTS.
//!
//! *References* C. Andrieu, A. Doucet and R. Holenstein 2010, doi:10.1111/j.1467-9868.2009.00736.x; M. K. Pitt, R. dos Santos Silva, P.
//! Giordani and R. Kohn 2012, doi:10.1016/j.jeconom.2012.06.004 and A. Doucet et al. 2015, doi:10.1093/biomet/asu075 (number of particles);
//! C. Sherlock, A. H. Thiery, G. O. Roberts and J. S. Rosenthal 2015, doi:10.1214/14-AOS1278 (scale and acceptance rate).

mod assemble;
mod chain;
mod pilot;

pub use pilot::Pilot;

use super::StateSpaceAdapter;
use super::blocks::FamilyState;
use super::{SmcConfig, StateValues};
use crate::draws::Draws;
use crate::error::{Error, check};
use crate::mcmc::Run;
use crate::model::{ModelFamily, Target, Values};
use crate::parallel::{Threads, map_indexed};

/// Settings of particle marginal Metropolis-Hastings.
///
/// ```
/// use std::sync::Arc;
/// use posterity::prelude::*;
/// use posterity::model::zoo::Ar1;
/// use posterity::smc::{Guided, Pmmh};
///
/// /// ρ ~ U(0, 1): a prior is a model without likelihood.
/// struct Prior;
/// impl Model for Prior {
///     type Parameters<T: Real> = T;
///     fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> T { space.probability("rho") }
///     fn log_prior<T: Real>(&self, _: &T, _: &mut LogP<T>) {}
///     fn log_likelihood<T: Real>(&self, _: &T, _: &mut LogP<T>) {}
/// }
///
/// let y = vec![0.5, 1.2, 0.8, 1.9, 2.2, 1.1, 0.4, -0.3];
/// let family = |theta: &[f64]| Ok(Guided(Ar1 { rho: theta[0], sigma_x: 0.5, sigma_y: 0.5, y: y.clone() }));
/// let draws = Pmmh::new(50).forecast(2).sample(&Prior, &family, Run::new(1).warmup(200).draws(500))?;
/// assert_eq!(draws.variable("x")?.shape(), [4, 500, 8]);
/// assert_eq!(draws.variable("x_forecast")?.shape(), [4, 500, 2]);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Pmmh {
    filter: SmcConfig,
    target_acceptance: f64,
    n_forecast: usize,
    keep_states: bool,
    n_pilot: usize,
}

impl Pmmh {
    /// Filters of `n_particles` particles: systematic resampling below an effective sample size of half of them, each on its chain's thread.
    #[must_use]
    pub fn new(n_particles: usize) -> Self {
        Self::with_filter(SmcConfig::new(n_particles, 0).threads(Threads::serial()))
    }

    /// Filters with these settings; their seed is not used, and nothing need be [kept](SmcConfig::keep).
    #[must_use]
    pub fn with_filter(filter: SmcConfig) -> Self {
        Self { filter, target_acceptance: 0.234, n_forecast: 0, keep_states: true, n_pilot: 24 }
    }

    /// Acceptance rate that the scale of proposals is tuned to in warm-up; 0.234. Noisy likelihoods of many parameters want less, to 0.07.
    #[must_use]
    pub fn target_acceptance(mut self, target_acceptance: f64) -> Self {
        self.target_acceptance = target_acceptance;
        self
    }

    /// Steps forecast beyond the data at every draw, as `x_forecast`; 0. Whether a model's `transition` goes beyond its data is for the model
    /// to know.
    #[must_use]
    pub fn forecast(mut self, n_steps: usize) -> Self {
        self.n_forecast = n_steps;
        self
    }

    /// Whether every draw carries a path of the states, as `x`; true. It takes memory: chains × draws × T.
    #[must_use]
    pub fn keep_states(mut self, keep: bool) -> Self {
        self.keep_states = keep;
        self
    }

    /// Filters run at the posterior mean after the draws, to measure the variance of log Ẑ there; 24. 0 switches it off.
    #[must_use]
    pub fn pilot_runs(mut self, n: usize) -> Self {
        self.n_pilot = n;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`].
    pub fn validate(&self) -> Result<(), Error> {
        self.filter.validate()?;
        check::open_unit("target_acceptance", self.target_acceptance)?;
        check::in_range("pilot_runs", self.n_pilot as f64, self.n_pilot != 1, "0, or at least 2")
    }

    /// Warms up and samples: parameters under the prior's names, then `x`, of shape (T) or (T, size of a state), and `x_forecast`.
    ///
    /// `prior` is any target: a [`Model`](crate::model::Model) whose likelihood states nothing, as a rule; what it does state counts. The
    /// family gets the
    /// constrained values in the order of its variables. Each chain starts where the estimated posterior is largest among a few draws
    /// from the prior, or from around the origin if the prior cannot be sampled; or where the run says.
    ///
    /// Sample statistics: `lp` (log prior with Jacobians + estimated log-likelihood), `log_likelihood` (estimated), `acceptance_rate`,
    /// `accepted`, `degenerate` (the proposal's filter lost all weight) and `failed` (model or filter failed recoverably at the proposal).
    /// The attributes hold the [`Pilot`] at the posterior mean as `log_likelihood_variance`, and as `warning` if it says so.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for settings out of range, and for [`Run::checkpoint`], [`Run::reuse`] and [`Run::keep_log_likelihood`],
    /// which
    /// are not supported; [`Error::NoParameters`], [`Error::NoStartPoint`], [`Error::Stopped`], [`Error::DuplicateVariable`] if the prior
    /// has a variable `x` or `x_forecast`; [`Error::Chain`] with chain and iteration for a fatal error of model or filter.
    pub fn sample<T, F>(&self, prior: &T, family: &F, run: Run) -> Result<Draws, Error>
    where
        T: Target + ?Sized,
        F: ModelFamily + ?Sized,
        F::Model: StateSpaceAdapter,
        FamilyState<F>: StateValues,
    {
        self.validate()?;
        run.validate()?;
        for (setting, asked) in [
            ("checkpoint", run.checkpoint.is_some()),
            ("reuse", run.warmup.is_some()),
            ("keep_log_likelihood", run.keep_log_likelihood),
        ] {
            check::in_range(setting, 1.0, !asked, "off: it is not supported here")?;
        }
        if prior.dim()? == 0 {
            return Err(Error::NoParameters);
        }
        // Known before the first filter is run, rather than after the last.
        let states = [("x", self.keep_states), ("x_forecast", self.n_forecast > 0)];
        let variables = prior.variables()?;
        if let Some((name, _)) = states.into_iter().find(|(name, used)| *used && variables.iter().any(|v| v.name == *name)) {
            return Err(Error::DuplicateVariable { name: name.to_owned() });
        }
        let shared = chain::Shared::new(self, prior, family, &run);
        let chains = map_indexed(run.n_chains, run.threads, |index| shared.run_chain(index));
        let chains = chains.into_iter().collect::<Result<Vec<_>, Error>>()?;
        assemble::draws(self, prior, family, &run, chains)
    }

    /// Runs the filter `n` times at constrained values of the parameters: how noisy is the likelihood there, is N large enough?
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for fewer than 2 runs; [`Error::MissingVariable`] and [`Error::OutsideSupport`] for values that do not fit
    /// the
    /// prior; [`Error::Density`] if there is no model at these values, or the filter fails.
    pub fn pilot<T, F>(&self, prior: &T, family: &F, values: &Values, n: usize, seed: u64) -> Result<Pilot, Error>
    where
        T: Target + ?Sized,
        F: ModelFamily + ?Sized,
        F::Model: StateSpaceAdapter,
    {
        self.validate()?;
        check::at_least("pilot runs", n, 2, "at least 2")?;
        let mut parameters = Vec::new();
        prior.constrain(&prior.unconstrain(values)?, &mut parameters)?;
        pilot::run(&self.filter, family, &parameters, n, seed)
    }
}
