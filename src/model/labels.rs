//! Names of dimensions and their coordinates.

use std::collections::BTreeMap;

use super::layout::Variable;

/// Names that a model gives to the dimensions of its variables, and the coordinates along them.
///
/// ```
/// use posterity::model::Labels;
/// let mut labels = Labels::default();
/// labels.dims("theta", &["school"]).coords("school", &["A", "B"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    dims: BTreeMap<String, Vec<String>>,
    coords: BTreeMap<String, Vec<String>>,
}

impl Labels {
    /// Names the dimensions of a variable.
    pub fn dims(&mut self, variable: &str, names: &[&str]) -> &mut Self {
        self.dims.insert(variable.to_owned(), names.iter().map(|&n| n.to_owned()).collect());
        self
    }

    /// Gives the coordinates along a dimension.
    pub fn coords<S: ToString>(&mut self, dimension: &str, coordinates: &[S]) -> &mut Self {
        self.coords.insert(dimension.to_owned(), coordinates.iter().map(ToString::to_string).collect());
        self
    }

    /// The variable with its dimensions named as given here; unchanged if nothing fits its number of dimensions.
    #[must_use]
    pub fn apply(&self, mut variable: Variable) -> Variable {
        if let Some(names) = self.dims.get(&variable.name).filter(|names| names.len() == variable.shape.len()) {
            variable.dims.clone_from(names);
        }
        variable
    }

    /// All coordinates by dimension.
    #[must_use]
    pub fn all_coords(&self) -> &BTreeMap<String, Vec<String>> {
        &self.coords
    }
}
