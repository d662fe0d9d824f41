//! Variables and their values: one array (chain, draw, flat column) for all variables of a group.

use ndarray::{Array3, ArrayD, ArrayView2, ArrayViewD, Axis, IxDyn, ShapeBuilder};
use serde::{Deserialize, Serialize};

use super::equal;
use crate::error::{Error, Result};
use crate::model::Variable;

/// Draws of several variables: the elements of each, in row-major order, are neighbouring columns of one array.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Group {
    variables: Vec<Variable>,
    /// In standard (row-major) layout.
    values: Array3<f64>,
}

#[derive(Deserialize)]
struct Parts {
    variables: Vec<Variable>,
    values: Array3<f64>,
}

impl TryFrom<Parts> for Group {
    type Error = Error;

    fn try_from(parts: Parts) -> Result<Self> {
        Self::new(parts.variables, parts.values)
    }
}

impl Group {
    /// A group from its variables and an array of shape (chain, draw, column), one column per element of each variable in turn.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the number of columns or of a variable's dimension names is wrong, [`Error::DuplicateVariable`].
    pub fn new(variables: Vec<Variable>, values: Array3<f64>) -> Result<Self> {
        for (i, variable) in variables.iter().enumerate() {
            equal("names of a variable's dimensions", variable.shape.len(), variable.dims.len())?;
            if variables[..i].iter().any(|other| other.name == variable.name) {
                return Err(Error::DuplicateVariable { name: variable.name.clone() });
            }
        }
        equal("columns of a group of draws", variables.iter().map(Variable::size).sum(), values.dim().2)?;
        let values = if values.is_standard_layout() { values } else { values.as_standard_layout().into_owned() };
        Ok(Self { variables, values })
    }

    /// The variables in the order of their columns.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// All values, of shape (chain, draw, column).
    #[must_use]
    pub fn values(&self) -> &Array3<f64> {
        &self.values
    }

    /// Number of chains.
    #[must_use]
    pub fn n_chains(&self) -> usize {
        self.values.dim().0
    }

    /// Number of draws per chain.
    #[must_use]
    pub fn n_draws(&self) -> usize {
        self.values.dim().1
    }

    /// Name of every column, as `theta[1,2]`.
    #[must_use]
    pub fn column_names(&self) -> Vec<String> {
        self.variables.iter().flat_map(Variable::element_names).collect()
    }

    /// Values of one element, named as in [`Group::column_names`], of shape (chain, draw).
    ///
    /// # Errors
    /// [`Error::UnknownVariable`].
    pub fn column(&self, name: &str) -> Result<ArrayView2<'_, f64>> {
        // Only the variables whose name the element's name begins with need to be spelt out.
        for (variable, first) in self.with_first_columns() {
            if name.starts_with(variable.name.as_str()) {
                for position in 0..variable.size() {
                    if variable.element_name(position) == name {
                        return Ok(self.values.index_axis(Axis(2), first + position));
                    }
                }
            }
        }
        Err(Error::UnknownVariable { name: name.to_owned() })
    }

    /// Values of one variable, of shape (chain, draw, variable's shape).
    ///
    /// # Errors
    /// [`Error::UnknownVariable`].
    pub fn variable(&self, name: &str) -> Result<ArrayViewD<'_, f64>> {
        let unknown = || Error::UnknownVariable { name: name.to_owned() };
        let (variable, first) = self.with_first_columns().find(|(variable, _)| variable.name == name).ok_or_else(unknown)?;
        self.view(variable, first).ok_or_else(unknown)
    }

    /// The columns of a variable with its shape; never `None` for one of the group's own variables.
    fn view(&self, variable: &Variable, first: usize) -> Option<ArrayViewD<'_, f64>> {
        let (n_chains, n_draws, n_columns) = self.values.dim();
        let mut shape = vec![n_chains, n_draws];
        shape.extend(&variable.shape);
        if shape.contains(&0) {
            return ArrayViewD::from_shape(IxDyn(&shape), &[]).ok();
        }
        let mut strides = vec![n_draws * n_columns, n_columns];
        strides.extend((0..variable.shape.len()).map(|axis| variable.shape[axis + 1..].iter().product::<usize>()));
        ArrayViewD::from_shape(IxDyn(&shape).strides(IxDyn(&strides)), &self.values.as_slice()?[first..]).ok()
    }

    /// Each variable with its first column.
    pub(super) fn with_first_columns(&self) -> impl Iterator<Item = (&Variable, usize)> {
        self.variables.iter().scan(0, |next, variable| {
            let first = *next;
            *next += variable.size();
            Some((variable, first))
        })
    }
}

/// One observed variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    variable: Variable,
    values: ArrayD<f64>,
}

impl Observed {
    /// Observed values of a variable, of its shape.
    ///
    /// # Errors
    /// [`Error::Dimension`] if number or extent of the dimensions differ.
    pub fn new(variable: Variable, values: ArrayD<f64>) -> Result<Self> {
        equal("dimensions of an observed variable", variable.shape.len(), values.ndim())?;
        equal("names of a variable's dimensions", variable.shape.len(), variable.dims.len())?;
        for (&expected, &found) in variable.shape.iter().zip(values.shape()) {
            equal("extent of an observed variable", expected, found)?;
        }
        Ok(Self { variable, values })
    }

    /// Name, shape and dimensions.
    #[must_use]
    pub fn variable(&self) -> &Variable {
        &self.variable
    }

    /// The values, of the variable's shape.
    #[must_use]
    pub fn values(&self) -> &ArrayD<f64> {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group {
        let variables =
            vec![Variable::new("a", &[2, 3]), Variable::new("none", &[0]), Variable::new("ab", &[]), Variable::new("b", &[2])];
        Group::new(variables, Array3::from_shape_fn((2, 4, 9), |(c, d, k)| (100 * c + 10 * d + k) as f64)).unwrap()
    }

    #[test]
    fn views_have_the_variables_shape() {
        let group = group();
        let a = group.variable("a").unwrap();
        assert_eq!(a.shape(), [2, 4, 2, 3]);
        assert_eq!(a[[1, 2, 1, 0]], 123.0);
        assert_eq!(group.variable("ab").unwrap()[[1, 3]], 136.0);
        assert_eq!(group.variable("b").unwrap()[[1, 3, 1]], 138.0);
        assert_eq!(group.variable("none").unwrap().shape(), [2, 4, 0]);
        assert_eq!(group.column("a[1,0]").unwrap()[[1, 2]], 123.0);
        assert_eq!(group.column("ab").unwrap()[[1, 3]], 136.0);
        for name in ["a", "a[2,0]", "", "c"] {
            assert!(matches!(group.column(name), Err(Error::UnknownVariable { .. })), "{name}");
        }
    }

    #[test]
    fn another_memory_layout_changes_nothing() {
        let group = group();
        let mut reordered = Array3::zeros((2, 4, 9).f());
        reordered.assign(group.values());
        assert!(!reordered.is_standard_layout());
        let other = Group::new(group.variables().to_vec(), reordered).unwrap();
        assert_eq!(other.variable("a").unwrap(), group.variable("a").unwrap());
    }

    #[test]
    fn wrong_shapes_and_names_are_refused() {
        let new = |variables, columns| Group::new(variables, Array3::zeros((1, 1, columns)));
        assert!(matches!(new(vec![Variable::new("a", &[2])], 3), Err(Error::Dimension { expected: 2, found: 3, .. })));
        let twice = vec![Variable::new("a", &[]), Variable::new("a", &[])];
        assert!(matches!(new(twice, 2), Err(Error::DuplicateVariable { name }) if name == "a"));
        let mut unnamed = Variable::new("a", &[2]);
        unnamed.dims.clear();
        assert!(matches!(new(vec![unnamed], 2), Err(Error::Dimension { expected: 1, found: 0, .. })));
    }
}
