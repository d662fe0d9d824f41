//! What the sampler says about each draw.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::equal;
use crate::error::{Error, Result};

/// Values of one statistic, of shape (chain, draw).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StatValues {
    /// Real numbers, as the log density.
    Float(Array2<f64>),
    /// Whole numbers, as the depth of a trajectory.
    Integer(Array2<i64>),
    /// True or false, as divergence.
    Flag(Array2<bool>),
}

impl StatValues {
    fn dim(&self) -> (usize, usize) {
        match self {
            Self::Float(values) => values.dim(),
            Self::Integer(values) => values.dim(),
            Self::Flag(values) => values.dim(),
        }
    }
}

/// One statistic with its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stat {
    /// Name, after ArviZ where it has one.
    pub name: String,
    /// Values of shape (chain, draw).
    pub values: StatValues,
}

/// Statistics of a sampler at every draw.
///
/// Names with a meaning elsewhere in the crate: `lp`, `acceptance_rate`, `step_size`, `tree_depth`, `n_steps`, `diverging` (flag),
/// `energy`, `energy_error`, `reached_max_treedepth` (flag).
///
/// ```
/// use posterity::draws::{SampleStats, StatValues};
/// let mut stats = SampleStats::new(2, 3);
/// stats.push("tree_depth", StatValues::Integer(ndarray::array![[1, 2, 3], [3, 2, 1]]))?;
/// assert_eq!(stats.integer("tree_depth").unwrap()[[0, 2]], 3);
/// assert!(stats.float("tree_depth").is_none());
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct SampleStats {
    n_chains: usize,
    n_draws: usize,
    stats: Vec<Stat>,
}

#[derive(Deserialize)]
struct Parts {
    n_chains: usize,
    n_draws: usize,
    stats: Vec<Stat>,
}

impl TryFrom<Parts> for SampleStats {
    type Error = Error;

    fn try_from(parts: Parts) -> Result<Self> {
        let mut stats = Self::new(parts.n_chains, parts.n_draws);
        parts.stats.into_iter().try_for_each(|stat| stats.push(&stat.name, stat.values))?;
        Ok(stats)
    }
}

impl SampleStats {
    /// No statistics yet, for draws of this shape.
    #[must_use]
    pub fn new(n_chains: usize, n_draws: usize) -> Self {
        Self { n_chains, n_draws, stats: Vec::new() }
    }

    /// Adds a statistic.
    ///
    /// # Errors
    /// [`Error::Dimension`] for another shape, [`Error::DuplicateVariable`] for a name that is there already.
    pub fn push(&mut self, name: &str, values: StatValues) -> Result<()> {
        let (n_chains, n_draws) = values.dim();
        equal("chains of a sample statistic", self.n_chains, n_chains)?;
        equal("draws of a sample statistic", self.n_draws, n_draws)?;
        if self.get(name).is_some() {
            return Err(Error::DuplicateVariable { name: name.to_owned() });
        }
        self.stats.push(Stat { name: name.to_owned(), values });
        Ok(())
    }

    /// Number of chains.
    #[must_use]
    pub fn n_chains(&self) -> usize {
        self.n_chains
    }

    /// Number of draws per chain.
    #[must_use]
    pub fn n_draws(&self) -> usize {
        self.n_draws
    }

    /// All statistics in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Stat> {
        self.stats.iter()
    }

    /// One statistic.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&StatValues> {
        self.stats.iter().find(|stat| stat.name == name).map(|stat| &stat.values)
    }

    /// A statistic of real numbers, of shape (chain, draw); `None` if there is none of that name and kind.
    #[must_use]
    pub fn float(&self, name: &str) -> Option<ArrayView2<'_, f64>> {
        if let Some(StatValues::Float(values)) = self.get(name) { Some(values.view()) } else { None }
    }

    /// A statistic of whole numbers, of shape (chain, draw); `None` if there is none of that name and kind.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<ArrayView2<'_, i64>> {
        if let Some(StatValues::Integer(values)) = self.get(name) { Some(values.view()) } else { None }
    }

    /// A flag, of shape (chain, draw); `None` if there is none of that name and kind.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<ArrayView2<'_, bool>> {
        if let Some(StatValues::Flag(values)) = self.get(name) { Some(values.view()) } else { None }
    }

    /// Number of draws of each chain for which a flag is set; `None` without that flag.
    #[must_use]
    pub fn count_flags(&self, name: &str) -> Option<Vec<usize>> {
        let flag = self.flag(name)?;
        Some(flag.rows().into_iter().map(|chain| chain.iter().filter(|&&set| set).count()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn shape_and_name_are_checked() {
        let mut stats = SampleStats::new(1, 2);
        stats.push("lp", StatValues::Float(array![[0.5, 1.5]])).unwrap();
        assert!(matches!(stats.push("lp", StatValues::Flag(array![[true, true]])), Err(Error::DuplicateVariable { .. })));
        assert!(matches!(stats.push("x", StatValues::Flag(array![[true]])), Err(Error::Dimension { expected: 2, found: 1, .. })));
        assert_eq!(stats.iter().count(), 1);
        assert_eq!(stats.count_flags("lp"), None);
    }
}
