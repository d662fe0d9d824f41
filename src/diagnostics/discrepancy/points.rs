//! Weighted points, and sums over pairs of them.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayView2};

use crate::error::Error;
use crate::parallel::map_indexed;

/// Points in ℝᵈ, of shape (point, coordinate), with weights or all alike.
///
/// A plain array or view becomes points of equal weight. Weights need not sum to 1.
///
/// ```
/// use ndarray::array;
/// use posterity::diagnostics::{Points, energy_distance};
/// let (x, y) = (array![[0.0], [1.0]], array![[0.0], [1.0], [1.0]]);
/// let weights = array![1.0, 2.0];
/// assert!(energy_distance(&x, &y)? > 0.05);
/// assert!(energy_distance(Points::weighted(x.view(), weights.view()), &y)?.abs() < 1e-15);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Points<'a> {
    positions: ArrayView2<'a, f64>,
    weights: Option<ArrayView1<'a, f64>>,
}

impl<'a> Points<'a> {
    /// Points with a weight each, at least 0 and not all 0.
    #[must_use]
    pub fn weighted(positions: ArrayView2<'a, f64>, weights: ArrayView1<'a, f64>) -> Self {
        Self { positions, weights: Some(weights) }
    }
}

impl<'a> From<ArrayView2<'a, f64>> for Points<'a> {
    fn from(positions: ArrayView2<'a, f64>) -> Self {
        Self { positions, weights: None }
    }
}

impl<'a> From<&'a Array2<f64>> for Points<'a> {
    fn from(positions: &'a Array2<f64>) -> Self {
        positions.view().into()
    }
}

/// Rows that one task sums up.
const ROWS: usize = 32;

/// Points that are known to be finite, with weights that sum to 1.
#[derive(Debug, Clone)]
pub(super) struct Checked<'a> {
    pub(super) dim: usize,
    /// Row by row.
    pub(super) values: Cow<'a, [f64]>,
    pub(super) weights: Vec<f64>,
    pub(super) are_weighted: bool,
}

impl<'a> Checked<'a> {
    pub(super) fn new(points: Points<'a>) -> Result<Self, Error> {
        let (n, dim) = points.positions.dim();
        let values = rows("positions", points.positions)?;
        let weights = match points.weights {
            None => vec![1.0 / n as f64; n],
            Some(weights) => normalised(weights, n)?,
        };
        Ok(Self { dim, values, weights, are_weighted: points.weights.is_some() })
    }

    pub(super) fn len(&self) -> usize {
        self.weights.len()
    }

    pub(super) fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.dim..(i + 1) * self.dim]
    }

    /// Σᵢ wᵢ².
    pub(super) fn sum_of_squared_weights(&self) -> f64 {
        self.weights.iter().map(|w| w * w).sum()
    }

    /// Σ_{i≠j} wᵢ wⱼ f(i, j) of a symmetric function; the diagonal is left out.
    pub(super) fn sum_over_pairs(&self, f: impl Fn(usize, usize) -> f64 + Sync) -> f64 {
        2.0 * sum_over_rows(self.len(), |i| self.weights[i] * (0..i).map(|j| self.weights[j] * f(i, j)).sum::<f64>())
    }

    /// Σ_{i≠j} wᵢ wⱼ f(|xᵢ - xⱼ|²).
    pub(super) fn sum_over_distances(&self, f: impl Fn(f64) -> f64 + Sync) -> f64 {
        self.sum_over_pairs(|i, j| f(squared_distance(self.row(i), self.row(j))))
    }

    /// Σᵢⱼ wᵢ vⱼ f(|xᵢ - yⱼ|²).
    pub(super) fn sum_over_distances_to(&self, other: &Self, f: impl Fn(f64) -> f64 + Sync) -> Result<f64, Error> {
        if other.dim != self.dim {
            return Err(Error::Dimension { what: "coordinates of the second sample", expected: self.dim, found: other.dim });
        }
        Ok(sum_over_rows(self.len(), |i| {
            let x = self.row(i);
            let row = other.values.chunks_exact(other.dim).zip(&other.weights);
            self.weights[i] * row.map(|(y, w)| w * f(squared_distance(x, y))).sum::<f64>()
        }))
    }

    /// Σ_{i≠j} wᵢ wⱼ, by which a sum without the diagonal becomes a mean.
    pub(super) fn share_of_pairs(&self, what: &'static str) -> Result<f64, Error> {
        let n = self.weights.iter().filter(|&&w| w > 0.0).count();
        if n < 2 {
            return Err(Error::TooFewDraws { what, needed: 2, found: n });
        }
        // 1 - Σᵢ wᵢ² would cancel where one weight outweighs all others.
        let (mut before, mut share) = (0.0, 0.0);
        for w in &self.weights {
            share += 2.0 * w * before;
            before += w;
        }
        Ok(share)
    }
}

/// The entries of an array row by row, if there are any and all are finite.
pub(in crate::diagnostics) fn rows<'a>(what: &'static str, array: ArrayView2<'a, f64>) -> Result<Cow<'a, [f64]>, Error> {
    if array.is_empty() {
        return Err(Error::Empty { what });
    }
    let values = match array.to_slice() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(array.iter().copied().collect()),
    };
    check_finite(what, &values)?;
    Ok(values)
}

/// A result that left the range of numbers is an error, as wild inputs are.
pub(super) fn finite(what: &'static str, value: f64) -> Result<f64, Error> {
    check_finite(what, &[value]).map(|()| value)
}

fn check_finite(what: &'static str, values: &[f64]) -> Result<(), Error> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index, value: values[index] }),
        None => Ok(()),
    }
}

fn normalised(weights: ArrayView1<'_, f64>, n: usize) -> Result<Vec<f64>, Error> {
    if weights.len() != n {
        return Err(Error::Dimension { what: "weights of the points", expected: n, found: weights.len() });
    }
    let weights = weights.to_vec();
    check_finite("weights", &weights)?;
    if let Some(index) = weights.iter().position(|&w| w < 0.0) {
        let variable = format!("weights[{index}]");
        return Err(Error::OutsideSupport { variable, value: weights[index], support: "at least 0" });
    }
    // Divided by the largest first, so that the sum stays in the range of numbers.
    let largest = weights.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        return Err(Error::InvalidSetting { setting: "sum of the weights", value: 0.0, rule: "positive" });
    }
    let sum: f64 = weights.iter().map(|w| w / largest).sum();
    Ok(weights.iter().map(|w| w / largest / sum).collect())
}

pub(super) fn squared_distance(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// Σᵢ f(i), in an order that does not depend on the number of threads.
fn sum_over_rows(n: usize, f: impl Fn(usize) -> f64 + Sync) -> f64 {
    let rows = |block: usize| -> Range<usize> { block * ROWS..n.min((block + 1) * ROWS) };
    map_indexed(n.div_ceil(ROWS), None, |block| rows(block).map(&f).sum::<f64>()).iter().sum()
}
