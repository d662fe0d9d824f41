//! Leave-one-out cross-validation from one fit, by Pareto-smoothed importance sampling.
//!
//! ```text
//! log r_s = log w_s - log p(y_i | θ_s)                                 the way from the posterior to the one without observation i
//! elpd_i  = log Σ_s v_s p(y_i | θ_s) / Σ_s v_s,   v = smoothed r       its log predictive density
//! lpd_i   = log Σ_s w_s p(y_i | θ_s) / Σ_s w_s,   p_i = lpd_i - elpd_i
//! ```
//! with w = 1 for draws of the posterior. Elpd, the expected log predictive density of new data, is estimated by the sum over i; its standard
//! error √(N var elpd_i) is about the choice of data. p sums up to the effective number of parameters of a model that fits.
//!
//! The Monte Carlo error is given apart: draw s moves elpd_i by e_is = v_s (p(y_i | θ_s)/p̂_i - 1) / Σ v, and the variance is Σ_s e_is² over the
//! efficiency of that series; for the sum over i it is the same of Σ_i e_is.
//!
//! Asks for the log likelihood of each observation, which must be independent of the others given the parameters. Cost per observation: a
//! few exponentials per draw and one fit to O(√S) of them. *Not* for series whose future is to be predicted, nor for groups that are new as a
//! whole: there a single observation left out is no picture of the task. Where k̂ of an observation is above its limit, its elpd is unreliable:
//! fit the model again without that observation, or use a model that it does not surprise.
//!
//! Vehtari, Gelman & Gabry (2017), *Practical Bayesian model evaluation using leave-one-out cross-validation and WAIC*, Statistics and Computing 27,
//! <https://doi.org/10.1007/s11222-016-9696-4>, <https://arxiv.org/abs/1507.04544>; with weighted draws, Magnusson, Andersen, Jonasson & Vehtari
//! (2019), <https://arxiv.org/abs/1904.10679>.

use std::fmt::{self, Display, Formatter};

use super::pointwise::{PointwiseLogLikelihood, Sample};
use super::{se_of_sum, write_estimate};
use crate::diagnostics::psis::{GOOD, Reliability, Smoother, pareto_k_limit};
use crate::draws::Draws;
use crate::error::Result;
use crate::math::log_sum_exp;

/// What leave-one-out cross-validation says about one observation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PointwiseLoo {
    /// Log predictive density of the observation, given all others.
    pub elpd: f64,
    /// By how much the observation's own presence raises its log predictive density.
    pub p: f64,
    /// k̂ of its importance ratios, `None` as in [`Psis::pareto_k`](crate::diagnostics::Psis::pareto_k): how much the observation moves the
    /// posterior.
    pub pareto_k: Option<f64>,
    /// Whether `elpd` can be trusted.
    pub reliability: Reliability,
    /// Monte Carlo standard error of `elpd`; it means nothing where `reliability` is not at least usable.
    pub mcse: f64,
    /// Effective sample size of the weights, times the relative efficiency of the draws.
    pub ess: f64,
}

/// Leave-one-out cross-validation of one fitted model.
///
/// `Display` prints a table of the estimates, the counts of k̂ and advice.
///
/// ```
/// use posterity::prelude::*;
///
/// struct Mean { y: Vec<f64> }
///
/// impl Model for Mean {
///     type Parameters<T: Real> = T;
///     fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> T { space.real("mu") }
///     fn log_prior<T: Real>(&self, mu: &T, lp: &mut LogP<T>) { lp.normal(mu, &0.0, &10.0) }
///     fn log_likelihood<T: Real>(&self, mu: &T, lp: &mut LogP<T>) { lp.normal(&self.y, mu, &1.0) }
///     fn n_observations(&self) -> Option<usize> { Some(self.y.len()) }
/// }
///
/// let model = Mean { y: vec![0.3, -1.2, 2.1, 0.8, -0.4] };
/// let draws = Nuts::default().sample(&model, Run::new(1).keep_log_likelihood())?;
/// let loo = draws.loo()?;
/// assert_eq!(loo.n_unreliable(), 0);
/// // One parameter, and a variance in truth larger than assumed.
/// assert!((1.0..2.0).contains(&loo.p_loo()));
/// println!("{loo}");
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Loo {
    pointwise: Vec<PointwiseLoo>,
    n_draws: usize,
    weights_pareto_k: Option<f64>,
    elpd: f64,
    se_elpd: f64,
    mcse_elpd: f64,
    p: f64,
    se_p: f64,
}

/// Memory for the work on one observation after the other.
#[derive(Debug, Default)]
struct Scratch {
    smoother: Smoother,
    /// Influence of each draw on the estimates of all observations so far.
    influence: Vec<f64>,
    /// Log weights, not normalised.
    log_weights: Vec<f64>,
    /// Log weights times likelihoods.
    products: Vec<f64>,
}

impl Loo {
    /// Leaves out every observation in turn.
    ///
    /// # Errors
    /// What the source of the terms reports, among them [`Error::Position`](crate::Error::Position);
    /// [`Error::Observation`](crate::Error::Observation) for an observation with a term that is not finite.
    pub fn new(terms: &mut PointwiseLogLikelihood<'_>) -> Result<Self> {
        let mut influence = vec![0.0; terms.n_draws()];
        let add = |scratch: Scratch| influence.iter_mut().zip(scratch.influence).for_each(|(sum, x)| *sum += x);
        let pointwise = terms.map(leave_out, add)?;
        let elpd: Vec<f64> = pointwise.iter().map(|point| point.elpd).collect();
        let p: Vec<f64> = pointwise.iter().map(|point| point.p).collect();
        Ok(Self {
            n_draws: terms.n_draws(),
            weights_pareto_k: terms.sample().weights.and_then(|weights| weights.smoothed.pareto_k()),
            elpd: elpd.iter().sum(),
            se_elpd: se_of_sum(&elpd),
            mcse_elpd: variance_of_sum(&influence, terms.sample()).sqrt(),
            p: p.iter().sum(),
            se_p: se_of_sum(&p),
            pointwise,
        })
    }

    /// Estimated expected log predictive density of as many new observations: larger is better.
    #[must_use]
    pub fn elpd_loo(&self) -> f64 {
        self.elpd
    }

    /// Standard error of [`Loo::elpd_loo`] over the choice of data; NaN for a single observation. It is optimistic for fewer than a hundred
    /// observations or a misspecified model.
    #[must_use]
    pub fn se_elpd_loo(&self) -> f64 {
        self.se_elpd
    }

    /// Effective number of parameters. Far more than the model has, or than half the observations, is a sign of misspecification.
    #[must_use]
    pub fn p_loo(&self) -> f64 {
        self.p
    }

    /// Standard error of [`Loo::p_loo`]; NaN for a single observation.
    #[must_use]
    pub fn se_p_loo(&self) -> f64 {
        self.se_p
    }

    /// Information criterion -2 elpd, on the scale of deviances.
    #[must_use]
    pub fn looic(&self) -> f64 {
        -2.0 * self.elpd
    }

    /// Monte Carlo standard error of [`Loo::elpd_loo`]; `None` if an observation is unreliable or its reliability unknown. Observations share
    /// their draws, so that this is not the root of the sum of squares.
    #[must_use]
    pub fn mcse_elpd_loo(&self) -> Option<f64> {
        (self.count(Reliability::Unreliable) + self.count(Reliability::Unknown) == 0).then_some(self.mcse_elpd)
    }

    /// The observations, in their order.
    #[must_use]
    pub fn pointwise(&self) -> &[PointwiseLoo] {
        &self.pointwise
    }

    /// Number of draws.
    #[must_use]
    pub fn n_draws(&self) -> usize {
        self.n_draws
    }

    /// Number of observations of a reliability.
    #[must_use]
    pub fn count(&self, reliability: Reliability) -> usize {
        self.pointwise.iter().filter(|point| point.reliability == reliability).count()
    }

    /// Number of observations whose k̂ is above the limit.
    #[must_use]
    pub fn n_unreliable(&self) -> usize {
        self.count(Reliability::Unreliable)
    }

    /// k̂ of the weights that the draws came with, if any: is the distribution they are from near enough to the posterior?
    #[must_use]
    pub fn weights_pareto_k(&self) -> Option<f64> {
        self.weights_pareto_k
    }
}

/// One observation, from its terms.
fn leave_out(scratch: &mut Scratch, terms: &[f64], sample: Sample<'_>) -> Result<PointwiseLoo> {
    let Scratch { smoother, influence, log_weights, products } = scratch;
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    products.clear();
    products.extend(terms.iter().map(|term| (term - largest).exp()));
    let efficiency = sample.efficiency(products);
    log_weights.clear();
    match sample.weights {
        None => log_weights.extend(terms.iter().map(|term| -term)),
        Some(weights) => log_weights.extend(weights.log_ratios.iter().zip(terms).map(|(w, term)| w - term)),
    }
    let smoothed = smoother.smooth(log_weights, efficiency)?;
    let log_sum = log_sum_exp(log_weights);
    products.clear();
    products.extend(log_weights.iter().zip(terms).map(|(w, term)| w + term));
    let elpd = log_sum_exp(products) - log_sum;
    influence.resize(terms.len(), 0.0);
    let mut squares = 0.0;
    for ((w, product), sum) in log_weights.iter().zip(products.iter_mut()).zip(influence.iter_mut()) {
        let weight = (w - log_sum).exp();
        squares += weight * weight;
        // w (p/p̂ - 1), p/p̂ being the likelihood relative to its estimate.
        *product = (*product - log_sum - elpd).exp() - weight;
        *sum += *product;
    }
    // The standard deviation of the logarithm of a log-normal variable with this relative variance.
    let mcse = variance_of_sum(products, sample).ln_1p().sqrt();
    let ess = efficiency / squares;
    let p = log_mean(terms, sample, products) - elpd;
    Ok(PointwiseLoo { elpd, p, pareto_k: smoothed.pareto_k, reliability: smoothed.reliability(terms.len()), mcse, ess })
}

/// Variance of the sum of the influences of all draws, whose expectation is 0.
fn variance_of_sum(influence: &[f64], sample: Sample<'_>) -> f64 {
    influence.iter().map(|x| x * x).sum::<f64>() / sample.efficiency(influence)
}

/// Logarithm of the mean likelihood under the posterior.
pub(super) fn log_mean(terms: &[f64], sample: Sample<'_>, scratch: &mut Vec<f64>) -> f64 {
    let Some(weights) = sample.weights else { return log_sum_exp(terms) - (terms.len() as f64).ln() };
    scratch.clear();
    scratch.extend(weights.smoothed.log_weights().iter().zip(terms).map(|(w, term)| w + term));
    log_sum_exp(scratch)
}

impl Draws {
    /// Leave-one-out cross-validation from the log likelihoods that the run kept:
    /// [`Run::keep_log_likelihood`](crate::mcmc::Run::keep_log_likelihood).
    ///
    /// # Errors
    /// As [`PointwiseLogLikelihood::from_draws`] and [`Loo::new`].
    pub fn loo(&self) -> Result<Loo> {
        Loo::new(&mut PointwiseLogLikelihood::from_draws(self)?)
    }
}

impl Display for Loo {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let n = self.pointwise.len();
        writeln!(f, "PSIS-LOO: {} draws, {n} observations", self.n_draws)?;
        writeln!(f, "{:10} {:>12} {:>8}", "", "estimate", "se")?;
        write_estimate(f, "elpd_loo", self.elpd, self.se_elpd)?;
        write_estimate(f, "p_loo", self.p, self.se_p)?;
        write_estimate(f, "looic", self.looic(), 2.0 * self.se_elpd)?;
        match self.mcse_elpd_loo() {
            Some(mcse) => writeln!(f, "Monte Carlo standard error of elpd_loo: {mcse:.2}")?,
            None => writeln!(f, "Monte Carlo standard error of elpd_loo: not known, see k")?,
        }
        if let Some(k) = self.weights_pareto_k {
            writeln!(f, "Pareto k of the weights of the draws: {k:.2}")?;
        }
        writeln!(f, "Pareto k of the observations")?;
        let limit = pareto_k_limit(self.n_draws);
        for (reliability, range) in [
            (Reliability::Good, format!("below {:.2}", GOOD.min(limit))),
            (Reliability::Usable, format!("up to {limit:.2}")),
            (Reliability::Unreliable, format!("above {limit:.2}")),
            (Reliability::Unknown, "no fit".to_owned()),
        ] {
            let count = self.count(reliability);
            if count > 0 || reliability == Reliability::Good {
                writeln!(f, "  {reliability:11} {range:11} {count:6} {:6.1} %", 100.0 * count as f64 / n as f64)?;
            }
        }
        match self.n_unreliable() {
            0 => Ok(()),
            1 => writeln!(
                f,
                "1 observation is not predicted reliably from this fit: leave it out and fit again, or revise the model."
            ),
            n => writeln!(
                f,
                "{n} observations are not predicted reliably from this fit: leave each out and fit again, or revise the model."
            ),
        }
    }
}
