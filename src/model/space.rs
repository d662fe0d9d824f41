//! Where a model declares its parameters: names, shapes and supports in one place.

use super::layout::Variable;
use super::values::Values;
use crate::autodiff::{Accumulator, Lower, Real};
use crate::error::{DensityError, Error};
use crate::transforms::{self, OutsideSupport};

/// Hands out a model's parameters, transformed from unconstrained numbers to their supports.
///
/// The model's [`parameters`](super::Model::parameters) calls it once per variable, always in the same order and with the same shapes.
/// Each call adds the transform's log-Jacobian to the density.
#[derive(Debug)]
pub struct Space<'a, T: Real> {
    source: Source<'a, T>,
    jacobian: &'a mut Accumulator<T>,
    /// Set for descriptions and draws, not in the hot path.
    record: Option<&'a mut Record>,
    error: Option<Error>,
}

#[derive(Debug)]
enum Source<'a, T> {
    /// Unconstrained coordinates in order, and how many are used.
    Coordinates(&'a [T], usize),
    /// All zero, of any number.
    Origin,
    /// The inverse: constrained values by name.
    Constrained(&'a Values),
}

/// What a pass over the parameters found.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) variables: Vec<Variable>,
    pub(crate) constrained: Vec<f64>,
    pub(crate) unconstrained: Vec<f64>,
    /// For each variable, its number of unconstrained coordinates.
    pub(crate) coordinates: Vec<usize>,
}

impl<'a, T: Real> Space<'a, T> {
    pub(crate) fn at(coordinates: &'a [T], jacobian: &'a mut Accumulator<T>) -> Self {
        Self { source: Source::Coordinates(coordinates, 0), jacobian, record: None, error: None }
    }

    pub(crate) fn recording(coordinates: Option<&'a [T]>, jacobian: &'a mut Accumulator<T>, record: &'a mut Record) -> Self {
        let source = coordinates.map_or(Source::Origin, |c| Source::Coordinates(c, 0));
        Self { source, jacobian, record: Some(record), error: None }
    }

    pub(crate) fn inverse(values: &'a Values, jacobian: &'a mut Accumulator<T>, record: &'a mut Record) -> Self {
        Self { source: Source::Constrained(values), jacobian, record: Some(record), error: None }
    }

    /// Fails if the model used another number of coordinates than there are, or if a value was missing or outside its support.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        match self.source {
            Source::Coordinates(all, used) if used != all.len() => {
                Err(DensityError::Dimension { expected: used, found: all.len() }.into())
            }
            _ => Ok(()),
        }
    }

    /// The unconstrained coordinates of a variable; `inverse` gets its constrained entries.
    fn take(&mut self, name: &str, n: usize, inverse: impl FnOnce(&[f64]) -> Result<Vec<f64>, OutsideSupport>) -> Vec<T> {
        let coordinates = match &mut self.source {
            Source::Coordinates(all, used) => {
                let taken = all.get(*used..*used + n).map(<[T]>::to_vec);
                *used += n;
                taken.unwrap_or_else(|| vec![T::constant(0.0); n])
            }
            Source::Origin => vec![T::constant(0.0); n],
            Source::Constrained(values) => match invert(name, n, values, inverse) {
                Ok(coordinates) => coordinates.into_iter().map(T::constant).collect(),
                Err(error) => {
                    self.error.get_or_insert(error);
                    vec![T::constant(0.0); n]
                }
            },
        };
        if let Some(record) = self.record.as_deref_mut() {
            record.unconstrained.extend(coordinates.iter().map(|u| u.value()));
            record.coordinates.push(n);
        }
        coordinates
    }

    fn take_one(&mut self, name: &str, inverse: impl FnOnce(f64) -> Result<f64, OutsideSupport>) -> T {
        if let Source::Coordinates(all, used) = &mut self.source
            && self.record.is_none()
        {
            let taken = all.get(*used).copied();
            *used += 1;
            return taken.unwrap_or_else(|| T::constant(0.0));
        }
        let inverse = |x: &[f64]| match x {
            &[x] => Ok(vec![inverse(x)?]),
            _ => Err(OutsideSupport { index: 0, value: x.len() as f64, support: "one number" }),
        };
        self.take(name, 1, inverse)[0]
    }

    fn note(&mut self, name: &str, shape: &[usize], entries: &[T]) {
        if let Some(record) = self.record.as_deref_mut() {
            if record.variables.iter().any(|v| v.name == name) {
                self.error.get_or_insert(Error::DuplicateVariable { name: name.to_owned() });
            }
            record.variables.push(Variable::new(name, shape));
            record.constrained.extend(entries.iter().map(|x| x.value()));
        }
    }

    fn noted(&mut self, name: &str, x: T) -> T {
        self.note(name, &[], &[x]);
        x
    }

    fn noted_vector(&mut self, name: &str, x: Vec<T>) -> Vec<T> {
        self.note(name, &[x.len()], &x);
        x
    }

    /// A number on ℝ.
    pub fn real(&mut self, name: &str) -> T {
        let x = self.take_one(name, |x| finite(0, x));
        self.noted(name, x)
    }

    /// A positive number, x = eᵘ.
    pub fn positive(&mut self, name: &str) -> T {
        let u = self.take_one(name, |x| transforms::lower_inverse(x, 0.0));
        self.jacobian.add(u);
        self.noted(name, u.exp())
    }

    /// A number above a bound, which may be another parameter.
    pub fn lower(&mut self, name: &str, bound: impl Into<T>) -> T {
        let bound = bound.into();
        let u = self.take_one(name, |x| transforms::lower_inverse(x, bound.value()));
        let x = transforms::lower(u, bound, self.jacobian);
        self.noted(name, x)
    }

    /// A number below a bound, which may be another parameter.
    pub fn upper(&mut self, name: &str, bound: impl Into<T>) -> T {
        let bound = bound.into();
        let u = self.take_one(name, |x| transforms::upper_inverse(x, bound.value()));
        let x = transforms::upper(u, bound, self.jacobian);
        self.noted(name, x)
    }

    /// A number in an interval, whose ends may be other parameters: `space.interval("beta", 0.0, -alpha + 1.0)`.
    pub fn interval(&mut self, name: &str, lower: impl Into<T>, upper: impl Into<T>) -> T {
        let (lower, upper) = (lower.into(), upper.into());
        let u = self.take_one(name, |x| transforms::interval_inverse(x, lower.value(), upper.value()));
        let x = transforms::interval(u, lower, upper, self.jacobian);
        self.noted(name, x)
    }

    /// A probability: a number in (0, 1).
    pub fn probability(&mut self, name: &str) -> T {
        self.interval(name, 0.0, 1.0)
    }

    /// A vector on ℝⁿ.
    pub fn vector(&mut self, name: &str, n: usize) -> Vec<T> {
        let x = self.take(name, n, |x| x.iter().enumerate().map(|(i, &x)| finite(i, x)).collect());
        self.noted_vector(name, x)
    }

    /// A vector of positive numbers.
    pub fn positive_vector(&mut self, name: &str, n: usize) -> Vec<T> {
        self.elementwise(
            name,
            n,
            |x| transforms::lower_inverse(x, 0.0),
            |u, jacobian| {
                jacobian.add(u);
                u.exp()
            },
        )
    }

    /// A vector of numbers above a bound.
    pub fn lower_vector(&mut self, name: &str, n: usize, bound: impl Into<T>) -> Vec<T> {
        let bound = bound.into();
        let inverse = |x| transforms::lower_inverse(x, bound.value());
        self.elementwise(name, n, inverse, |u, jacobian| transforms::lower(u, bound, jacobian))
    }

    /// A vector of numbers below a bound.
    pub fn upper_vector(&mut self, name: &str, n: usize, bound: impl Into<T>) -> Vec<T> {
        let bound = bound.into();
        let inverse = |x| transforms::upper_inverse(x, bound.value());
        self.elementwise(name, n, inverse, |u, jacobian| transforms::upper(u, bound, jacobian))
    }

    /// A vector of numbers in an interval.
    pub fn interval_vector(&mut self, name: &str, n: usize, lower: impl Into<T>, upper: impl Into<T>) -> Vec<T> {
        let (lower, upper) = (lower.into(), upper.into());
        let inverse = |x| transforms::interval_inverse(x, lower.value(), upper.value());
        self.elementwise(name, n, inverse, |u, jacobian| transforms::interval(u, lower, upper, jacobian))
    }

    /// A matrix on ℝ^(rows × columns), in row-major order.
    pub fn matrix(&mut self, name: &str, n_rows: usize, n_cols: usize) -> Vec<T> {
        let x = self.take(name, n_rows * n_cols, |x| x.iter().enumerate().map(|(i, &x)| finite(i, x)).collect());
        self.note(name, &[n_rows, n_cols], &x);
        x
    }

    /// A vector of `n` positive numbers with sum 1. See [`transforms::simplex`].
    pub fn simplex(&mut self, name: &str, n: usize) -> Vec<T> {
        let u = self.take(name, n.saturating_sub(1), transforms::simplex_inverse);
        let x = if n == 0 { Vec::new() } else { transforms::simplex(&u, self.jacobian) };
        self.noted_vector(name, x)
    }

    /// An increasing vector. See [`transforms::ordered`].
    pub fn ordered(&mut self, name: &str, n: usize) -> Vec<T> {
        let u = self.take(name, n, transforms::ordered_inverse);
        let x = transforms::ordered(&u, self.jacobian);
        self.noted_vector(name, x)
    }

    /// An increasing vector of positive numbers. See [`transforms::positive_ordered`].
    pub fn positive_ordered(&mut self, name: &str, n: usize) -> Vec<T> {
        let u = self.take(name, n, transforms::positive_ordered_inverse);
        let x = transforms::positive_ordered(&u, self.jacobian);
        self.noted_vector(name, x)
    }

    /// The Cholesky factor of an n × n correlation matrix. See [`transforms::cholesky_correlation`].
    ///
    /// As a variable it has the shape n × n, with zeros above the diagonal.
    pub fn cholesky_correlation(&mut self, name: &str, n: usize) -> Lower<T> {
        let inverse = |full: &[f64]| {
            let triangle = Lower::from_fn(n, |i, j| full.get(i * n + j).copied().unwrap_or(f64::NAN));
            transforms::cholesky_correlation_inverse(n, triangle.entries())
        };
        let u = self.take(name, n * n.saturating_sub(1) / 2, inverse);
        let factor = transforms::cholesky_correlation(n, &u, self.jacobian);
        if self.record.is_some() {
            let full: Vec<T> =
                (0..n * n).map(|k| if k % n <= k / n { factor.get(k / n, k % n) } else { T::constant(0.0) }).collect();
            self.note(name, &[n, n], &full);
        }
        factor
    }

    fn elementwise(
        &mut self,
        name: &str,
        n: usize,
        inverse: impl Fn(f64) -> Result<f64, OutsideSupport>,
        forward: impl Fn(T, &mut Accumulator<T>) -> T,
    ) -> Vec<T> {
        let u = self.take(name, n, |x| {
            x.iter().enumerate().map(|(index, &x)| inverse(x).map_err(|e| OutsideSupport { index, ..e })).collect()
        });
        let x = u.into_iter().map(|u| forward(u, self.jacobian)).collect();
        self.noted_vector(name, x)
    }
}

fn finite(index: usize, value: f64) -> Result<f64, OutsideSupport> {
    if value.is_finite() { Ok(value) } else { Err(OutsideSupport { index, value, support: "finite" }) }
}

fn invert(
    name: &str,
    n: usize,
    values: &Values,
    inverse: impl FnOnce(&[f64]) -> Result<Vec<f64>, OutsideSupport>,
) -> Result<Vec<f64>, Error> {
    let x = values.get(name).ok_or_else(|| Error::MissingVariable { name: name.to_owned() })?;
    let u = inverse(x).map_err(|e| Error::OutsideSupport {
        variable: if x.len() == 1 { name.to_owned() } else { format!("{name}[{}]", e.index) },
        value: e.value,
        support: e.support,
    })?;
    if u.len() != n {
        return Err(Error::Dimension { what: "coordinates of a start value", expected: n, found: u.len() });
    }
    Ok(u)
}
