//! Names and shapes of a model's variables.

use serde::{Deserialize, Serialize};

/// One variable of a model or of a set of draws: its name, its shape and the names of its dimensions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Name, unique within its group.
    pub name: String,
    /// Shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// One name per dimension; `{name}_dim_0`, `{name}_dim_1`, ... unless the model names them.
    pub dims: Vec<String>,
}

impl Variable {
    /// A variable with the default names of its dimensions.
    ///
    /// ```
    /// use posterity::model::Variable;
    /// let theta = Variable::new("theta", &[2, 3]);
    /// assert_eq!(theta.size(), 6);
    /// assert_eq!(theta.dims, ["theta_dim_0", "theta_dim_1"]);
    /// assert_eq!(theta.element_name(4), "theta[1,1]");
    /// ```
    #[must_use]
    pub fn new(name: &str, shape: &[usize]) -> Self {
        let dims = (0..shape.len()).map(|axis| format!("{name}_dim_{axis}")).collect();
        Self { name: name.to_owned(), shape: shape.to_vec(), dims }
    }

    /// Number of elements: the product of the shape, 1 for a scalar.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Name of the element at a position in row-major order, indices from 0: `theta[1,1]`; the bare name for a scalar.
    #[must_use]
    pub fn element_name(&self, position: usize) -> String {
        if self.shape.is_empty() {
            return self.name.clone();
        }
        let mut rest = position;
        let mut indices = vec![0; self.shape.len()];
        for (index, &extent) in indices.iter_mut().zip(&self.shape).rev() {
            *index = rest % extent.max(1);
            rest /= extent.max(1);
        }
        let indices: Vec<String> = indices.iter().map(ToString::to_string).collect();
        format!("{}[{}]", self.name, indices.join(","))
    }

    /// Names of all elements in row-major order.
    #[must_use]
    pub fn element_names(&self) -> Vec<String> {
        (0..self.size()).map(|position| self.element_name(position)).collect()
    }
}
