//! Which coordinates of a target are parameters.

use std::iter::repeat_n;

use crate::error::Error;
use crate::model::{Target, Values, Variable};

/// The unconstrained coordinates of a target, apart into latent variables and parameters.
#[derive(Debug, Clone)]
pub(super) struct Split {
    pub(super) latents: Vec<usize>,
    pub(super) parameters: Vec<usize>,
}

impl Split {
    /// The coordinates of the variables of these names are parameters, all others latent.
    pub(super) fn new<T: Target + ?Sized>(target: &T, names: &[String]) -> Result<Self, Error> {
        let variables = target.variables()?;
        if let Some(name) = names.iter().find(|name| variables.iter().all(|v| v.name != **name)) {
            return Err(Error::UnknownVariable { name: name.clone() });
        }
        let owners = owners(target, &variables)?;
        let is_parameter = |index: &usize| names.contains(&variables[owners[*index]].name);
        let (parameters, latents): (Vec<usize>, Vec<usize>) = (0..owners.len()).partition(is_parameter);
        match (parameters.is_empty(), latents.is_empty()) {
            (true, _) => Err(Error::Empty { what: "parameters" }),
            (_, true) => Err(Error::Empty { what: "latent variables" }),
            _ => Ok(Self { latents, parameters }),
        }
    }

    pub(super) fn dim(&self) -> usize {
        self.latents.len() + self.parameters.len()
    }

    /// Writes all particles with the same parameters, one after the other, in the target's order of coordinates.
    pub(super) fn join(&self, latents: &[f64], parameters: &[f64], out: &mut [f64]) {
        scatter(&self.latents, latents, self.dim(), out);
        for out in out.chunks_exact_mut(self.dim()) {
            scatter(&self.parameters, parameters, self.dim(), out);
        }
    }

    /// The constrained values of the variables of these names; `latents` are those of one particle.
    pub(super) fn constrain<T: Target + ?Sized>(
        &self,
        target: &T,
        names: &[String],
        latents: &[f64],
        parameters: &[f64],
    ) -> Result<Values, Error> {
        let mut position = vec![0.0; self.dim()];
        self.join(latents, parameters, &mut position);
        let mut entries = Vec::new();
        target.constrain(&position, &mut entries)?;
        let (mut values, mut rest) = (Values::new(), entries.as_slice());
        for variable in target.variables()? {
            let (own, others) = rest.split_at_checked(variable.size()).ok_or(Error::Dimension {
                what: "constrained values",
                expected: variable.size(),
                found: rest.len(),
            })?;
            rest = others;
            if names.contains(&variable.name) {
                values.set_array(&variable.name, &variable.shape, own.to_vec());
            }
        }
        Ok(values)
    }
}

/// The index of the variable that each coordinate belongs to. Coordinates stand in the order of the variables, and a variable depends on no later one.
fn owners<T: Target + ?Sized>(target: &T, variables: &[Variable]) -> Result<Vec<usize>, Error> {
    let dim = target.dim()?;
    let by_size: Vec<usize> = variables.iter().enumerate().flat_map(|(v, variable)| repeat_n(v, variable.size())).collect();
    if by_size.len() == dim {
        return Ok(by_size);
    }
    // Some variable has fewer coordinates than elements, as a simplex does: the first element that changes with the coordinates from c on is
    // of the variable of c.
    let constrained = |c: usize| {
        let position: Vec<f64> = (0..dim).map(|k| if k < c { 0.0 } else { 0.1 }).collect();
        let mut entries = Vec::new();
        target.constrain(&position, &mut entries).map(|()| entries)
    };
    let base = constrained(dim)?;
    let owner = |c: usize| {
        let first = constrained(c)?.iter().zip(&base).position(|(x, y)| x != y);
        let owner = first.and_then(|element| by_size.get(element).copied());
        owner.ok_or(Error::Dimension { what: "coordinates that a variable depends on", expected: dim, found: c })
    };
    let mut owners = Vec::with_capacity(dim);
    while owners.len() < dim {
        let v = owner(owners.len())?;
        let (mut end, mut high) = (owners.len() + 1, dim);
        while end < high {
            let middle = end.midpoint(high);
            if owner(middle)? == v { end = middle + 1 } else { high = middle }
        }
        owners.resize(end, v);
    }
    Ok(owners)
}

/// Writes values, some for each particle, to these coordinates of it.
pub(super) fn scatter(coordinates: &[usize], values: &[f64], dim: usize, out: &mut [f64]) {
    for (out, values) in out.chunks_exact_mut(dim).zip(values.chunks_exact(coordinates.len())) {
        for (&c, &value) in coordinates.iter().zip(values) {
            out[c] = value;
        }
    }
}

/// Reads these coordinates of each particle.
pub(super) fn gather(coordinates: &[usize], values: &[f64], dim: usize, out: &mut [f64]) {
    for (values, out) in values.chunks_exact(dim).zip(out.chunks_exact_mut(coordinates.len())) {
        for (&c, out) in coordinates.iter().zip(out) {
            *out = values[c];
        }
    }
}
