//! Matrices in model code: constant data, and lower triangles of parameters.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2};

use super::accumulator::Accumulator;
use super::block::BlockOp;
use super::element::Element;
use super::real::{Real, dot};
use crate::error::DensityError;

/// A matrix of data, shared and never copied: a design matrix of a regression, a basis.
///
/// ```
/// use posterity::autodiff::{DataMatrix, Real, Value};
/// let x = DataMatrix::from(ndarray::array![[1.0, 2.0], [3.0, 4.0]]);
/// let eta = x.dot(&[Value(1.0), Value(-1.0)]).unwrap();
/// assert_eq!((eta[0].value(), eta[1].value()), (-1.0, -1.0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DataMatrix {
    entries: Arc<[f64]>,
    n_rows: usize,
    n_cols: usize,
}

impl From<ArrayView2<'_, f64>> for DataMatrix {
    fn from(matrix: ArrayView2<'_, f64>) -> Self {
        let (n_rows, n_cols) = matrix.dim();
        Self { entries: matrix.iter().copied().collect(), n_rows, n_cols }
    }
}

impl From<Array2<f64>> for DataMatrix {
    fn from(matrix: Array2<f64>) -> Self {
        matrix.view().into()
    }
}

impl DataMatrix {
    /// The matrix whose columns are given; all have the same length.
    ///
    /// # Errors
    /// [`DensityError::Length`] if they have not.
    pub fn from_columns(columns: &[&[f64]]) -> Result<Self, DensityError> {
        let n_rows = columns.first().map_or(0, |c| c.len());
        if let Some(other) = columns.iter().find(|c| c.len() != n_rows) {
            return Err(DensityError::Length { what: "columns of a matrix", expected: n_rows, found: other.len() });
        }
        let n_cols = columns.len();
        let entries = (0..n_rows * n_cols).map(|k| columns[k % n_cols][k / n_cols]).collect();
        Ok(Self { entries, n_rows, n_cols })
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of columns.
    #[must_use]
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// Row `i`.
    ///
    /// # Panics
    /// If there is no row `i`.
    #[inline]
    #[must_use]
    pub fn row(&self, i: usize) -> &[f64] {
        &self.entries[i * self.n_cols..(i + 1) * self.n_cols]
    }

    /// Rows in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[f64]> {
        (0..self.n_rows).map(|i| self.row(i))
    }

    /// The product X·b with a vector of parameters, as one block node.
    ///
    /// # Errors
    /// [`DensityError::Length`] if `b` has not one entry per column.
    pub fn dot<T: Real>(&self, b: &[T]) -> Result<Vec<T>, DensityError> {
        T::block(MatrixVector(self.clone()), b)
    }
}

/// Σ cᵢ xᵢ with eight independent partial sums, in an order that does not depend on the machine.
#[inline]
pub(crate) fn dot_row<E: Element>(row: &[f64], x: &[E]) -> E {
    let mut sums = [E::constant(0.0); 8];
    let (row_chunks, x_chunks) = (row.chunks_exact(8), x.chunks_exact(8));
    let (row_rest, x_rest) = (row_chunks.remainder(), x_chunks.remainder());
    for (r, v) in row_chunks.zip(x_chunks) {
        for k in 0..8 {
            sums[k] += v[k] * r[k];
        }
    }
    let mut total = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
    for (&r, &v) in row_rest.iter().zip(x_rest) {
        total += v * r;
    }
    total
}

struct MatrixVector(DataMatrix);

impl BlockOp for MatrixVector {
    fn forward<E: Element>(&self, inputs: &[E], outputs: &mut Vec<E>) -> Result<(), DensityError> {
        if inputs.len() != self.0.n_cols {
            return Err(DensityError::Length { what: "matrix-vector product", expected: self.0.n_cols, found: inputs.len() });
        }
        outputs.extend(self.0.rows().map(|row| dot_row(row, inputs)));
        Ok(())
    }

    fn pull_back<E: Element>(&self, _: &[E], _: &[E], output_adjoints: &[E], input_adjoints: &mut [E]) {
        for (row, &adjoint) in self.0.rows().zip(output_adjoints) {
            for (sum, &entry) in input_adjoints.iter_mut().zip(row) {
                *sum += adjoint * entry;
            }
        }
    }
}

/// The lower triangle of a square matrix, row by row: a Cholesky factor, or a symmetric matrix given by its lower half.
#[derive(Debug, Clone, PartialEq)]
pub struct Lower<T> {
    n: usize,
    entries: Vec<T>,
}

impl<T> Lower<T> {
    /// The triangle with entries f(row, column), row ≥ column, called row by row.
    pub fn from_fn(n: usize, mut f: impl FnMut(usize, usize) -> T) -> Self {
        let mut entries = Vec::with_capacity(n * (n + 1) / 2);
        for i in 0..n {
            for j in 0..=i {
                entries.push(f(i, j));
            }
        }
        Self { n, entries }
    }

    /// The triangle with these n(n+1)/2 entries, row by row.
    ///
    /// # Errors
    /// [`DensityError::Length`] for another number of entries.
    pub fn from_entries(n: usize, entries: Vec<T>) -> Result<Self, DensityError> {
        let expected = n * (n + 1) / 2;
        if entries.len() != expected {
            return Err(DensityError::Length { what: "lower triangle", expected, found: entries.len() });
        }
        Ok(Self { n, entries })
    }

    /// Number of rows.
    #[must_use]
    pub fn n(&self) -> usize {
        self.n
    }

    /// Entries row by row.
    #[must_use]
    pub fn entries(&self) -> &[T] {
        &self.entries
    }

    /// Entries 0..=i of row `i`.
    ///
    /// # Panics
    /// If there is no row `i`.
    #[must_use]
    pub fn row(&self, i: usize) -> &[T] {
        &self.entries[i * (i + 1) / 2..(i + 1) * (i + 2) / 2]
    }
}

impl<T: Copy> Lower<T> {
    /// Entry (i, j) with j ≤ i.
    ///
    /// # Panics
    /// Outside the triangle.
    #[must_use]
    pub fn get(&self, i: usize, j: usize) -> T {
        self.row(i)[j]
    }
}

impl<T: Real> Lower<T> {
    /// The product L·x, one fused node per row.
    ///
    /// # Errors
    /// [`DensityError::Length`] if `x` has another length than the triangle rows.
    pub fn dot(&self, x: &[T]) -> Result<Vec<T>, DensityError> {
        if x.len() != self.n {
            return Err(DensityError::Length { what: "triangle-vector product", expected: self.n, found: x.len() });
        }
        Ok((0..self.n).map(|i| dot(self.row(i), x)).collect())
    }

    /// Σ ln Lᵢᵢ, as one node.
    #[must_use]
    pub fn ln_determinant(&self) -> T {
        let mut node = Accumulator::new();
        for i in 0..self.n {
            let diagonal = self.get(i, i);
            node.add_value(diagonal.element().ln());
            node.push(diagonal, diagonal.element().recip());
        }
        node.finish()
    }
}

/// The Cholesky factor L with L·Lᵀ = A of the symmetric matrix whose lower triangle is given, as one block node.
///
/// Derivative: Murray 2016, <https://arxiv.org/abs/1602.07527>.
///
/// # Errors
/// [`DensityError::NotPositiveDefinite`], which is recoverable.
pub fn cholesky<T: Real>(a: &Lower<T>) -> Result<Lower<T>, DensityError> {
    let entries = T::block(Cholesky { n: a.n }, &a.entries)?;
    Ok(Lower { n: a.n, entries })
}

#[derive(Debug, Clone, Copy)]
struct Cholesky {
    n: usize,
}

#[inline(always)]
const fn at(i: usize, j: usize) -> usize {
    i * (i + 1) / 2 + j
}

impl BlockOp for Cholesky {
    fn forward<E: Element>(&self, a: &[E], l: &mut Vec<E>) -> Result<(), DensityError> {
        l.extend_from_slice(a);
        for i in 0..self.n {
            for j in 0..=i {
                let mut sum = l[at(i, j)];
                for k in 0..j {
                    sum -= l[at(i, k)] * l[at(j, k)];
                }
                if i != j {
                    l[at(i, j)] = sum / l[at(j, j)];
                } else if sum.value() > 0.0 && sum.value().is_finite() {
                    l[at(i, i)] = sum.sqrt();
                } else {
                    return Err(DensityError::NotPositiveDefinite { what: "matrix", pivot: i });
                }
            }
        }
        Ok(())
    }

    fn pull_back<E: Element>(&self, _: &[E], l: &[E], output_adjoints: &[E], input_adjoints: &mut [E]) {
        let n = self.n;
        let mut bar = output_adjoints.to_vec();
        for j in (0..n).rev() {
            let pivot = l[at(j, j)].recip();
            for i in j + 1..n {
                let product = bar[at(i, j)] * l[at(i, j)];
                bar[at(j, j)] -= product * pivot;
            }
            for i in j..n {
                bar[at(i, j)] = bar[at(i, j)] * pivot;
            }
            for i in j..n {
                let c = bar[at(i, j)];
                for k in 0..j {
                    bar[at(j, k)] -= c * l[at(i, k)];
                    if i > j {
                        bar[at(i, k)] -= c * l[at(j, k)];
                    }
                }
            }
            bar[at(j, j)] = bar[at(j, j)] * 0.5;
        }
        for (sum, &adjoint) in input_adjoints.iter_mut().zip(&bar) {
            *sum += adjoint;
        }
    }
}

/// The solution x of L·x = b for parameters L and b, as one block node.
///
/// # Errors
/// [`DensityError::Length`] if `b` has another length than L rows.
pub fn solve_lower<T: Real>(l: &Lower<T>, b: &[T]) -> Result<Vec<T>, DensityError> {
    if b.len() != l.n {
        return Err(DensityError::Length { what: "triangular solve", expected: l.n, found: b.len() });
    }
    let inputs: Vec<T> = l.entries.iter().chain(b).copied().collect();
    T::block(SolveLower { n: l.n }, &inputs)
}

#[derive(Debug, Clone, Copy)]
struct SolveLower {
    n: usize,
}

impl BlockOp for SolveLower {
    fn forward<E: Element>(&self, inputs: &[E], x: &mut Vec<E>) -> Result<(), DensityError> {
        let (l, b) = inputs.split_at(at(self.n, 0));
        for i in 0..self.n {
            let mut sum = b[i];
            for j in 0..i {
                sum -= l[at(i, j)] * x[j];
            }
            x.push(sum / l[at(i, i)]);
        }
        Ok(())
    }

    fn pull_back<E: Element>(&self, inputs: &[E], x: &[E], output_adjoints: &[E], input_adjoints: &mut [E]) {
        let l = &inputs[..at(self.n, 0)];
        let (l_bar, b_bar) = input_adjoints.split_at_mut(at(self.n, 0));
        let mut y = output_adjoints.to_vec();
        for i in (0..self.n).rev() {
            y[i] = y[i] / l[at(i, i)];
            let solved = y[i];
            for j in 0..i {
                y[j] -= l[at(i, j)] * solved;
            }
            b_bar[i] += solved;
            for j in 0..=i {
                l_bar[at(i, j)] -= solved * x[j];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Tape, sum};
    use super::*;

    /// Compares the tape's gradient with central differences at `position`.
    fn check(position: &[f64], f: impl for<'t> Fn(&[super::super::Var<'t>]) -> super::super::Var<'t>) {
        let mut tape = Tape::new();
        let mut gradient = vec![0.0; position.len()];
        tape.gradient(position, &mut gradient, &f);
        let mut unused = vec![0.0; position.len()];
        for i in 0..position.len() {
            let h = 1e-5;
            let mut moved = position.to_vec();
            moved[i] += h;
            let above = tape.gradient(&moved, &mut unused, &f);
            moved[i] -= 2.0 * h;
            let below = tape.gradient(&moved, &mut unused, &f);
            let slope = (above - below) / (2.0 * h);
            assert!((gradient[i] - slope).abs() < 1e-7 * slope.abs().max(1.0), "{i}: {} against {slope}", gradient[i]);
        }
    }

    #[test]
    fn matrix_vector_products_are_differentiated() {
        let x = DataMatrix::from(Array2::from_shape_fn((7, 11), |(i, j)| (i as f64 - 0.7 * j as f64).sin()));
        let at: Vec<f64> = (0..11).map(|j| 0.1 * f64::from(j) - 0.3).collect();
        check(&at, |b| {
            let eta: Vec<_> = x.dot(b).unwrap().into_iter().map(|e| e.sin()).collect();
            sum(&eta)
        });
    }

    #[test]
    fn cholesky_and_solve_are_differentiated() {
        // A = I·3 + products, so positive definite; the functional is asymmetric in its entries.
        let n = 4;
        let at: Vec<f64> = (0..10).map(|k| 0.3 * (f64::from(k) * 1.7).sin()).collect();
        check(&at, |v| {
            let a = Lower::from_fn(n, |i, j| if i == j { v[at_index(i, j)] + 3.0 } else { v[at_index(i, j)] });
            let l = cholesky(&a).unwrap();
            let b: Vec<_> = (0..n).map(|i| v[i] * f64::from(i as u32 + 1)).collect();
            let x = solve_lower(&l, &b).unwrap();
            let weighted: Vec<_> = x.iter().enumerate().map(|(i, &e)| e * (1.0 + i as f64) + l.get(n - 1, i)).collect();
            sum(&weighted) + l.ln_determinant()
        });
    }

    fn at_index(i: usize, j: usize) -> usize {
        super::at(i, j)
    }

    #[test]
    fn failures_are_typed() {
        use super::super::Value;
        let indefinite = Lower::from_fn(2, |i, j| Value(if i == j { 1.0 } else { 2.0 }));
        assert!(matches!(cholesky(&indefinite), Err(DensityError::NotPositiveDefinite { pivot: 1, .. })));
        let nan = Lower::from_fn(1, |_, _| Value(f64::NAN));
        assert!(matches!(cholesky(&nan), Err(DensityError::NotPositiveDefinite { pivot: 0, .. })));
        let x = DataMatrix::from(ndarray::array![[1.0, 2.0]]);
        assert!(matches!(x.dot(&[Value(1.0)]), Err(DensityError::Length { expected: 2, found: 1, .. })));
        assert!(DataMatrix::from_columns(&[&[1.0], &[]]).is_err());
        assert!(Lower::from_entries(2, vec![0.0; 4]).is_err());
    }
}
