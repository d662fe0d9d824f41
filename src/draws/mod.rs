//! The one result container: what every engine hands back and every diagnostic, plot and export reads.
//!
//! [`Draws`] holds groups of variables of shape (chain, draw, variable's own shape), the sampler's statistics of shape (chain, draw), the
//! labels of dimensions, and [`Attributes`]: everything the run knows about itself. Names follow ArviZ, so that
//! [`Draws::write_json`] is read there as it stands; [`Draws::write_csv`] writes the files of CmdStan.

mod attributes;
mod export;
mod group;
mod stats;

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayView2, ArrayViewD, Axis, Dimension as _};
use serde::{Deserialize, Serialize};

pub use attributes::Attributes;
pub(crate) use export::write_atomically;
pub use group::{Group, Observed};
pub use stats::{SampleStats, Stat, StatValues};

use crate::error::{Error, Result};

/// Draws of a posterior with all that belongs to them.
///
/// ```
/// use ndarray::Array3;
/// use posterity::draws::{Attributes, Draws, Group, SampleStats};
/// use posterity::model::Variable;
///
/// let variables = vec![Variable::new("mu", &[]), Variable::new("theta", &[2])];
/// let values = Array3::from_shape_fn((4, 100, 3), |(chain, draw, column)| (chain + draw) as f64 + column as f64);
/// let posterior = Group::new(variables, values)?;
/// let draws = Draws::new(posterior, SampleStats::new(4, 100), Attributes::new("example", 1))?;
/// assert_eq!(draws.variable("theta")?.shape(), [4, 100, 2]);
/// assert_eq!(draws.element("theta[1]")?[[0, 5]], 7.0);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Draws {
    posterior: Group,
    predictive: Option<Group>,
    log_likelihood: Option<Group>,
    observed: Vec<Observed>,
    sample_stats: SampleStats,
    warmup_stats: Option<SampleStats>,
    coords: BTreeMap<String, Vec<String>>,
    attributes: Attributes,
}

/// What is read back before it is checked.
#[derive(Deserialize)]
struct Parts {
    posterior: Group,
    predictive: Option<Group>,
    log_likelihood: Option<Group>,
    observed: Vec<Observed>,
    sample_stats: SampleStats,
    warmup_stats: Option<SampleStats>,
    coords: BTreeMap<String, Vec<String>>,
    attributes: Attributes,
}

impl TryFrom<Parts> for Draws {
    type Error = Error;

    fn try_from(parts: Parts) -> Result<Self> {
        let Parts { posterior, predictive, log_likelihood, observed, sample_stats, warmup_stats, coords, attributes } = parts;
        let draws = Self { posterior, predictive, log_likelihood, observed, sample_stats, warmup_stats, coords, attributes };
        draws.validate()?;
        Ok(draws)
    }
}

impl Draws {
    /// Draws of a posterior, with the sampler's statistics of the same draws ([`SampleStats::new`] for none).
    ///
    /// # Errors
    /// [`Error::Dimension`] if there is no chain, or the chains and draws of `posterior`, `sample_stats` and `attributes` differ.
    pub fn new(posterior: Group, sample_stats: SampleStats, attributes: Attributes) -> Result<Self> {
        Self::try_from(Parts {
            posterior,
            predictive: None,
            log_likelihood: None,
            observed: Vec::new(),
            sample_stats,
            warmup_stats: None,
            coords: BTreeMap::new(),
            attributes,
        })
    }

    /// Adds posterior predictive draws, one per draw of the posterior.
    ///
    /// # Errors
    /// [`Error::Dimension`] if chains, draws or the labels of a dimension do not fit.
    pub fn with_predictive(mut self, predictive: Group) -> Result<Self> {
        self.predictive = Some(predictive);
        self.validate().map(|()| self)
    }

    /// Adds the pointwise log likelihood: a variable per observed one, of its shape, at every draw.
    ///
    /// # Errors
    /// [`Error::Dimension`] if chains, draws or the labels of a dimension do not fit.
    pub fn with_log_likelihood(mut self, log_likelihood: Group) -> Result<Self> {
        self.log_likelihood = Some(log_likelihood);
        self.validate().map(|()| self)
    }

    /// Adds observed data.
    ///
    /// # Errors
    /// [`Error::DuplicateVariable`] for a name that is there already, [`Error::Dimension`] if the labels of a dimension do not fit.
    pub fn with_observed(mut self, observed: Observed) -> Result<Self> {
        self.observed.push(observed);
        self.validate().map(|()| self)
    }

    /// Adds the sampler's statistics of the warm-up.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the number of chains differs.
    pub fn with_warmup_stats(mut self, warmup_stats: SampleStats) -> Result<Self> {
        self.warmup_stats = Some(warmup_stats);
        self.validate().map(|()| self)
    }

    /// Labels the positions along a dimension, in every group that has it.
    ///
    /// # Errors
    /// [`Error::Dimension`] if a variable's extent along that dimension is not the number of labels.
    pub fn with_coords<L: Into<String>>(mut self, dim: &str, labels: impl IntoIterator<Item = L>) -> Result<Self> {
        self.coords.insert(dim.to_owned(), labels.into_iter().map(Into::into).collect());
        self.validate().map(|()| self)
    }

    /// Number of chains, at least 1.
    #[must_use]
    pub fn n_chains(&self) -> usize {
        self.posterior.n_chains()
    }

    /// Number of draws per chain, warm-up excluded.
    #[must_use]
    pub fn n_draws(&self) -> usize {
        self.posterior.n_draws()
    }

    /// The posterior group.
    #[must_use]
    pub fn posterior(&self) -> &Group {
        &self.posterior
    }

    /// Posterior predictive draws, if any.
    #[must_use]
    pub fn predictive(&self) -> Option<&Group> {
        self.predictive.as_ref()
    }

    /// Pointwise log likelihood, if any.
    #[must_use]
    pub fn log_likelihood(&self) -> Option<&Group> {
        self.log_likelihood.as_ref()
    }

    /// Observed data, as far as they were handed over.
    #[must_use]
    pub fn observed(&self) -> &[Observed] {
        &self.observed
    }

    /// The sampler's statistics of the draws.
    #[must_use]
    pub fn sample_stats(&self) -> &SampleStats {
        &self.sample_stats
    }

    /// The sampler's statistics of the warm-up, if kept.
    #[must_use]
    pub fn warmup_stats(&self) -> Option<&SampleStats> {
        self.warmup_stats.as_ref()
    }

    /// Labels of dimensions.
    #[must_use]
    pub fn coords(&self) -> &BTreeMap<String, Vec<String>> {
        &self.coords
    }

    /// What the run knows about itself.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Draws of one variable of the posterior, of shape (chain, draw, variable's shape).
    ///
    /// # Errors
    /// [`Error::UnknownVariable`].
    pub fn variable(&self, name: &str) -> Result<ArrayViewD<'_, f64>> {
        self.posterior.variable(name)
    }

    /// Draws of one element of the posterior, as `theta[1,2]` or a scalar's name, of shape (chain, draw).
    ///
    /// # Errors
    /// [`Error::UnknownVariable`].
    pub fn element(&self, name: &str) -> Result<ArrayView2<'_, f64>> {
        self.posterior.column(name)
    }

    /// Mean of one variable over all draws of all chains, of the variable's shape; NaN without draws.
    ///
    /// # Errors
    /// [`Error::UnknownVariable`].
    pub fn mean(&self, name: &str) -> Result<ArrayD<f64>> {
        self.merged(name, |values| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Standard deviation (denominator S - 1) of one variable over all draws of all chains, of the variable's shape; NaN for fewer than
    /// two draws.
    ///
    /// # Errors
    /// [`Error::UnknownVariable`].
    pub fn sd(&self, name: &str) -> Result<ArrayD<f64>> {
        self.merged(name, |values| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)).sqrt()
        })
    }

    /// Number of divergent draws of each chain; `None` if the sampler has no such notion.
    #[must_use]
    pub fn divergences(&self) -> Option<Vec<usize>> {
        self.sample_stats.count_flags("diverging")
    }

    /// Gradient evaluations of all chains, warm-up included.
    #[must_use]
    pub fn gradient_evaluations(&self) -> u64 {
        self.attributes.warmup_gradient_evaluations.iter().chain(&self.attributes.sampling_gradient_evaluations).sum()
    }

    /// A statistic of all draws of each element of a variable.
    fn merged(&self, name: &str, statistic: impl Fn(&[f64]) -> f64) -> Result<ArrayD<f64>> {
        let draws = self.variable(name)?;
        let shape = &draws.shape()[2..];
        let mut values = Vec::with_capacity(self.n_chains() * self.n_draws());
        Ok(ArrayD::from_shape_fn(shape, |index| {
            let mut element = draws.view();
            for axis in (0..index.ndim()).rev() {
                element.index_axis_inplace(Axis(axis + 2), index[axis]);
            }
            values.clear();
            values.extend(element.iter());
            statistic(&values)
        }))
    }

    fn validate(&self) -> Result<()> {
        let (n_chains, n_draws) = (self.n_chains(), self.n_draws());
        if n_chains == 0 {
            return Err(Error::Dimension { what: "chains of the posterior", expected: 1, found: 0 });
        }
        equal("chains of the sample statistics", n_chains, self.sample_stats.n_chains())?;
        equal("draws of the sample statistics", n_draws, self.sample_stats.n_draws())?;
        if let Some(stats) = &self.warmup_stats {
            equal("chains of the warm-up statistics", n_chains, stats.n_chains())?;
        }
        if let Some(group) = &self.predictive {
            equal("chains of the predictive draws", n_chains, group.n_chains())?;
            equal("draws of the predictive draws", n_draws, group.n_draws())?;
        }
        if let Some(group) = &self.log_likelihood {
            equal("chains of the log likelihood", n_chains, group.n_chains())?;
            equal("draws of the log likelihood", n_draws, group.n_draws())?;
        }
        for (i, observed) in self.observed.iter().enumerate() {
            if self.observed[..i].iter().any(|other| other.variable().name == observed.variable().name) {
                return Err(Error::DuplicateVariable { name: observed.variable().name.clone() });
            }
        }
        self.attributes.validate(n_chains)?;
        let groups = [Some(&self.posterior), self.predictive.as_ref(), self.log_likelihood.as_ref()];
        let variables =
            groups.into_iter().flatten().flat_map(Group::variables).chain(self.observed.iter().map(Observed::variable));
        for variable in variables {
            for (dim, &extent) in variable.dims.iter().zip(&variable.shape) {
                if let Some(labels) = self.coords.get(dim) {
                    equal("labels of a dimension", extent, labels.len())?;
                }
            }
        }
        Ok(())
    }
}

fn equal(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Dimension { what, expected, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Variable;
    use ndarray::{Array3, array};

    fn example() -> Draws {
        let variables = vec![Variable::new("mu", &[]), Variable::new("theta", &[2, 2])];
        let values = Array3::from_shape_fn((2, 3, 5), |(chain, draw, column)| (100 * chain + 10 * draw + column) as f64);
        let mut stats = SampleStats::new(2, 3);
        stats.push("diverging", StatValues::Flag(array![[true, false, true], [false, false, true]])).unwrap();
        let mut attributes = Attributes::new("nuts", 7);
        attributes.warmup_gradient_evaluations = vec![10, 20];
        attributes.sampling_gradient_evaluations = vec![1, 2];
        Draws::new(Group::new(variables, values).unwrap(), stats, attributes).unwrap()
    }

    #[test]
    fn accessors() {
        let draws = example();
        assert_eq!((draws.n_chains(), draws.n_draws()), (2, 3));
        assert_eq!(draws.divergences(), Some(vec![2, 1]));
        assert_eq!(draws.gradient_evaluations(), 33);
        // Elements: (chain mean 50, draw mean 10) + column.
        assert_eq!(draws.mean("theta").unwrap(), array![[61.0, 62.0], [63.0, 64.0]].into_dyn());
        assert_eq!(draws.mean("mu").unwrap().ndim(), 0);
        // 0, 10, 20, 100, 110, 120: squared distances from 60 sum to 2 (3600 + 2500 + 1600).
        assert!((draws.sd("mu").unwrap()[[]] - (15_400.0_f64 / 5.0).sqrt()).abs() < 1e-12);
        assert!(matches!(draws.variable("sigma"), Err(Error::UnknownVariable { name }) if name == "sigma"));
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let group = |chains, draws| Group::new(vec![Variable::new("y", &[4])], Array3::zeros((chains, draws, 4))).unwrap();
        let found = |result: Result<Draws>| match result {
            Err(Error::Dimension { what, expected, found }) => (what, expected, found),
            other => panic!("{other:?}"),
        };
        let new = |posterior, stats| Draws::new(posterior, stats, Attributes::new("nuts", 7));
        assert_eq!(found(new(group(0, 3), SampleStats::new(0, 3))), ("chains of the posterior", 1, 0));
        assert_eq!(found(new(group(2, 3), SampleStats::new(2, 4))), ("draws of the sample statistics", 3, 4));
        assert_eq!(found(example().with_predictive(group(3, 3))), ("chains of the predictive draws", 2, 3));
        assert_eq!(found(example().with_log_likelihood(group(2, 2))), ("draws of the log likelihood", 3, 2));
        assert_eq!(found(example().with_warmup_stats(SampleStats::new(1, 9))), ("chains of the warm-up statistics", 2, 1));
        assert_eq!(found(example().with_coords("theta_dim_0", ["a"])), ("labels of a dimension", 2, 1));
        let mut attributes = Attributes::new("nuts", 7);
        attributes.sampling_seconds = vec![1.0];
        assert_eq!(found(Draws::new(group(2, 3), SampleStats::new(2, 3), attributes)), ("chains of the attributes", 2, 1));
        let observed = || Observed::new(Variable::new("y", &[1]), array![1.0].into_dyn()).unwrap();
        let twice = example().with_observed(observed()).unwrap().with_observed(observed());
        assert!(matches!(twice, Err(Error::DuplicateVariable { .. })));
    }

    #[test]
    fn draws_survive_serialisation_and_damaged_ones_are_refused() {
        let draws = example().with_coords("theta_dim_1", ["left", "right"]).unwrap();
        let bytes = postcard::to_stdvec(&draws).unwrap();
        assert_eq!(postcard::from_bytes::<Draws>(&bytes).unwrap(), draws);
        let mut json = serde_json::to_value(&draws).unwrap();
        assert_eq!(serde_json::from_value::<Draws>(json.clone()).unwrap(), draws);
        json["coords"]["theta_dim_1"] = serde_json::json!(["left"]);
        assert!(serde_json::from_value::<Draws>(json).is_err());
        let mut json = serde_json::to_value(&draws).unwrap();
        json["posterior"]["variables"][1]["shape"] = serde_json::json!([2, 3]);
        assert!(serde_json::from_value::<Draws>(json).is_err());
    }
}
