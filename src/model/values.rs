//! Named values outside of any model: start values, draws from a prior, generated quantities.

use serde::{Deserialize, Serialize};

use super::layout::Variable;

/// Named scalars and arrays, in the order in which they were set.
///
/// ```
/// use posterity::model::Values;
/// let mut start = Values::new();
/// start.set("mu", 1.5).set_vector("theta", &[0.1, 0.2]);
/// assert_eq!(start.get("theta"), Some(&[0.1, 0.2][..]));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Values {
    entries: Vec<(Variable, Vec<f64>)>,
}

impl Values {
    /// No values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a scalar.
    pub fn set(&mut self, name: &str, value: impl Into<f64>) -> &mut Self {
        self.insert(Variable::new(name, &[]), vec![value.into()])
    }

    /// Sets a vector.
    pub fn set_vector<X: Into<f64> + Copy>(&mut self, name: &str, values: &[X]) -> &mut Self {
        let values: Vec<f64> = values.iter().map(|&x| x.into()).collect();
        self.insert(Variable::new(name, &[values.len()]), values)
    }

    /// Sets an array of any shape from its entries in row-major order; missing entries are NaN, surplus ones are dropped.
    pub fn set_array(&mut self, name: &str, shape: &[usize], mut values: Vec<f64>) -> &mut Self {
        let variable = Variable::new(name, shape);
        values.resize(variable.size(), f64::NAN);
        self.insert(variable, values)
    }

    fn insert(&mut self, variable: Variable, values: Vec<f64>) -> &mut Self {
        match self.entries.iter_mut().find(|(v, _)| v.name == variable.name) {
            Some(entry) => *entry = (variable, values),
            None => self.entries.push((variable, values)),
        }
        self
    }

    /// The entries of a variable in row-major order.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.entries.iter().find(|(v, _)| v.name == name).map(|(_, x)| x.as_slice())
    }

    /// Variables with their entries.
    pub fn iter(&self) -> impl Iterator<Item = (&Variable, &[f64])> {
        self.entries.iter().map(|(v, x)| (v, x.as_slice()))
    }

    /// True if nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
