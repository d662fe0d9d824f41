//! Comparison of models of the same observations.
//!
//! ```text
//! difference = Σ dᵢ,   dᵢ = elpdᵢ(model) - elpdᵢ(best model),   se = √(N var dᵢ)
//! ```
//! Pairs of terms share the observation's own difficulty, so that the standard error of the difference is mostly far smaller than those of the
//! two sums.

use std::fmt::{self, Display, Formatter};

use super::{Loo, Waic, se_of_sum};
use crate::error::{Error, Result};

/// What models can be compared by: a log predictive density of each observation.
pub trait PredictiveEstimate {
    /// Estimated log predictive densities, in the order of the observations.
    fn pointwise_elpd(&self) -> Vec<f64>;

    /// Effective number of parameters.
    fn effective_parameters(&self) -> f64;

    /// Number of observations whose estimate cannot be trusted.
    fn n_unreliable(&self) -> usize;
}

impl PredictiveEstimate for Loo {
    fn pointwise_elpd(&self) -> Vec<f64> {
        self.pointwise().iter().map(|point| point.elpd).collect()
    }

    fn effective_parameters(&self) -> f64 {
        self.p_loo()
    }

    fn n_unreliable(&self) -> usize {
        self.n_unreliable()
    }
}

impl PredictiveEstimate for Waic {
    fn pointwise_elpd(&self) -> Vec<f64> {
        self.pointwise().iter().map(|point| point.elpd).collect()
    }

    fn effective_parameters(&self) -> f64 {
        self.p_waic()
    }

    fn n_unreliable(&self) -> usize {
        self.n_unreliable()
    }
}

/// One model beside the best one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Compared {
    /// The model.
    pub name: String,
    /// Estimated expected log predictive density.
    pub elpd: f64,
    /// Its standard error; NaN for a single observation.
    pub se_elpd: f64,
    /// `elpd` less that of the best model: 0 for the best one, negative for all others.
    pub difference: f64,
    /// Standard error of the difference, from the differences of each observation; NaN for a single observation.
    pub se_difference: f64,
    /// Effective number of parameters.
    pub effective_parameters: f64,
    /// Number of observations whose estimate cannot be trusted.
    pub n_unreliable: usize,
}

/// Models in the order of their predictions, the best one first. `Display` prints a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    models: Vec<Compared>,
    n_observations: usize,
}

impl Comparison {
    /// The models, the best one first; equals keep the order in which they were given.
    #[must_use]
    pub fn models(&self) -> &[Compared] {
        &self.models
    }

    /// A model by name.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<&Compared> {
        self.models.iter().find(|model| model.name == name)
    }
}

/// Compares models of the same observations, in the same order, by their estimates of one kind.
///
/// A difference below 4 is small, and its standard error is then not reliable; nor is it with fewer than a hundred observations: Sivula,
/// Magnusson & Vehtari (2020), <https://arxiv.org/abs/2008.10296>.
///
/// # Errors
/// [`Error::Empty`] without a model, [`Error::Dimension`] if numbers of observations differ.
///
/// ```
/// use ndarray::array;
/// use posterity::diagnostics::{PointwiseLogLikelihood, Waic, compare};
/// let waic = |terms: ndarray::Array2<f64>| Waic::new(&mut PointwiseLogLikelihood::from_array(terms.view())?);
/// let a = waic(array![[-1.0, -2.0], [-1.0, -2.0]])?;
/// let b = waic(array![[-1.5, -2.0], [-1.5, -2.0]])?;
/// let comparison = compare(&[("b", &b), ("a", &a)])?;
/// assert_eq!(comparison.models()[0].name, "a");
/// assert!((comparison.models()[1].difference + 0.5).abs() < 1e-12);
/// # Ok::<(), posterity::Error>(())
/// ```
pub fn compare<E: PredictiveEstimate>(models: &[(&str, &E)]) -> Result<Comparison> {
    let terms: Vec<Vec<f64>> = models.iter().map(|(_, estimate)| estimate.pointwise_elpd()).collect();
    let n_observations = terms.first().ok_or(Error::Empty { what: "the models to compare" })?.len();
    if let Some(other) = terms.iter().find(|terms| terms.len() != n_observations) {
        return Err(Error::Dimension { what: "observations of a compared model", expected: n_observations, found: other.len() });
    }
    let elpd: Vec<f64> = terms.iter().map(|terms| terms.iter().sum()).collect();
    let mut order: Vec<usize> = (0..models.len()).collect();
    order.sort_by(|&a, &b| elpd[b].total_cmp(&elpd[a]));
    let best = &terms[order[0]];
    let row = |i: usize| {
        let differences: Vec<f64> = terms[i].iter().zip(best).map(|(a, b)| a - b).collect();
        Compared {
            name: models[i].0.to_owned(),
            elpd: elpd[i],
            se_elpd: se_of_sum(&terms[i]),
            difference: differences.iter().sum(),
            se_difference: se_of_sum(&differences),
            effective_parameters: models[i].1.effective_parameters(),
            n_unreliable: models[i].1.n_unreliable(),
        }
    };
    Ok(Comparison { models: order.into_iter().map(row).collect(), n_observations })
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let width = self.models.iter().map(|model| model.name.chars().count()).max().unwrap_or(0);
        writeln!(f, "{} models of {} observations", self.models.len(), self.n_observations)?;
        writeln!(f, "{:width$}  elpd_diff  se_diff         elpd       se        p  unreliable", "")?;
        for model in &self.models {
            let Compared { name, elpd, se_elpd, difference, se_difference, effective_parameters, n_unreliable } = model;
            write!(
                f,
                "{name:width$}  {difference:9.1} {se_difference:8.1} {elpd:12.1} {se_elpd:8.1} {effective_parameters:8.1}"
            )?;
            writeln!(f, "  {n_unreliable:10}")?;
        }
        Ok(())
    }
}
