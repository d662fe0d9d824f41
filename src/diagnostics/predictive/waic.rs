//! The widely applicable information criterion.
//!
//! ```text
//! lppd_i = log mean_s p(y_i | θ_s),   p_i = var_s log p(y_i | θ_s),   elpd_i = lppd_i - p_i
//! ```
//! An approximation of leave-one-out cross-validation that breaks down, without a word, for observations that the model finds surprising: a
//! variance above 0.4 is the only sign. [`Loo`](super::Loo) costs little more, errs less and knows when it does; prefer it, and take this for
//! comparison with published values.
//!
//! Watanabe (2010), *Asymptotic equivalence of Bayes cross validation and widely applicable information criterion*, JMLR 11,
//! <https://arxiv.org/abs/1004.2316>; Vehtari, Gelman & Gabry (2017), <https://doi.org/10.1007/s11222-016-9696-4>.

use std::fmt::{self, Display, Formatter};

use super::loo::log_mean;
use super::pointwise::{PointwiseLogLikelihood, Sample, Weights};
use super::{se_of_sum, write_estimate};
use crate::diagnostics::chains::variance;
use crate::draws::Draws;
use crate::error::{Error, Result};

/// Above this variance of an observation's log likelihood the approximation is poor.
const LARGEST_VARIANCE: f64 = 0.4;

/// What the criterion says about one observation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PointwiseWaic {
    /// Estimated log predictive density of the observation, given all others.
    pub elpd: f64,
    /// Variance of its log likelihood over the posterior.
    pub p: f64,
}

/// Widely applicable information criterion of one fitted model. `Display` prints a table.
///
/// ```
/// use ndarray::array;
/// use posterity::diagnostics::{PointwiseLogLikelihood, Waic};
/// // Three draws, two observations.
/// let terms = array![[-1.0, -2.0], [-1.5, -2.0], [-2.0, -2.0]];
/// let waic = Waic::new(&mut PointwiseLogLikelihood::from_array(terms.view())?)?;
/// // The first observation's log likelihood has variance 1/4, the second one's none.
/// assert!((waic.p_waic() - 0.25).abs() < 1e-12);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Waic {
    pointwise: Vec<PointwiseWaic>,
    n_draws: usize,
    elpd: f64,
    se_elpd: f64,
    p: f64,
    se_p: f64,
}

impl Waic {
    /// The criterion of all observations.
    ///
    /// # Errors
    /// What the source of the terms reports; [`Error::Observation`] for an observation with a term that is not finite, and with
    /// [`Error::TooFewDraws`] for fewer than two draws of positive weight.
    pub fn new(terms: &mut PointwiseLogLikelihood<'_>) -> Result<Self> {
        let pointwise = terms.map(criterion, |_| ())?;
        let elpd: Vec<f64> = pointwise.iter().map(|point| point.elpd).collect();
        let p: Vec<f64> = pointwise.iter().map(|point| point.p).collect();
        Ok(Self {
            n_draws: terms.n_draws(),
            elpd: elpd.iter().sum(),
            se_elpd: se_of_sum(&elpd),
            p: p.iter().sum(),
            se_p: se_of_sum(&p),
            pointwise,
        })
    }

    /// Estimated expected log predictive density of as many new observations: larger is better.
    #[must_use]
    pub fn elpd_waic(&self) -> f64 {
        self.elpd
    }

    /// Standard error of [`Waic::elpd_waic`] over the choice of data; NaN for a single observation.
    #[must_use]
    pub fn se_elpd_waic(&self) -> f64 {
        self.se_elpd
    }

    /// Effective number of parameters.
    #[must_use]
    pub fn p_waic(&self) -> f64 {
        self.p
    }

    /// Standard error of [`Waic::p_waic`]; NaN for a single observation.
    #[must_use]
    pub fn se_p_waic(&self) -> f64 {
        self.se_p
    }

    /// The criterion -2 elpd, on the scale of deviances.
    #[must_use]
    pub fn waic(&self) -> f64 {
        -2.0 * self.elpd
    }

    /// The observations, in their order.
    #[must_use]
    pub fn pointwise(&self) -> &[PointwiseWaic] {
        &self.pointwise
    }

    /// Number of draws.
    #[must_use]
    pub fn n_draws(&self) -> usize {
        self.n_draws
    }

    /// Number of observations whose variance is above 0.4, where the approximation is poor.
    #[must_use]
    pub fn n_unreliable(&self) -> usize {
        self.pointwise.iter().filter(|point| point.p > LARGEST_VARIANCE).count()
    }
}

/// One observation, from its terms.
fn criterion(scratch: &mut Vec<f64>, terms: &[f64], sample: Sample<'_>) -> Result<PointwiseWaic> {
    let n_draws = match sample.weights {
        None => terms.len(),
        Some(weights) => weights.smoothed.log_weights().iter().filter(|x| x.exp() > 0.0).count(),
    };
    if n_draws < 2 {
        return Err(Error::TooFewDraws { what: "WAIC", needed: 2, found: n_draws });
    }
    let weighted = |weights: &Weights<'_>| weighted_variance(weights.smoothed.log_weights(), terms);
    let p = sample.weights.map_or_else(|| variance(terms), weighted);
    Ok(PointwiseWaic { elpd: log_mean(terms, sample, scratch) - p, p })
}

/// Σ w (x - x̄)² / (1 - Σ w²): without bias for weights that do not depend on the values, and the usual one for equal weights.
fn weighted_variance(log_weights: &[f64], values: &[f64]) -> f64 {
    let weighted = || log_weights.iter().map(|x| x.exp()).zip(values);
    let mean: f64 = weighted().map(|(w, x)| w * x).sum();
    // 1 - Σ w² would cancel where one weight outweighs all others.
    let (mut squares, mut before, mut share) = (0.0, 0.0, 0.0);
    for (w, x) in weighted() {
        squares += w * (x - mean).powi(2);
        share += 2.0 * w * before;
        before += w;
    }
    squares / share
}

impl Draws {
    /// The widely applicable information criterion from the log likelihoods that the run kept.
    ///
    /// # Errors
    /// As [`PointwiseLogLikelihood::from_draws`] and [`Waic::new`].
    pub fn waic(&self) -> Result<Waic> {
        Waic::new(&mut PointwiseLogLikelihood::from_draws(self)?)
    }
}

impl Display for Waic {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "WAIC: {} draws, {} observations", self.n_draws, self.pointwise.len())?;
        writeln!(f, "{:10} {:>12} {:>8}", "", "estimate", "se")?;
        write_estimate(f, "elpd_waic", self.elpd, self.se_elpd)?;
        write_estimate(f, "p_waic", self.p, self.se_p)?;
        write_estimate(f, "waic", self.waic(), 2.0 * self.se_elpd)?;
        match self.n_unreliable() {
            0 => Ok(()),
            n => {
                let are = if n == 1 { "is" } else { "are" };
                writeln!(f, "{n} of the variances in p_waic {are} above 0.4: use leave-one-out cross-validation instead.")
            }
        }
    }
}
