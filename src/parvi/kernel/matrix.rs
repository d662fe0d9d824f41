//! The values of a kernel between all particles, and sums over particles that are weighted by them.

use super::distances::{Centred, PRODUCT_FROM};
use super::{Kernel, Scratch};
use crate::error::Error;
use crate::linalg::product::{Onto, Part, multiply};
use crate::math::vectorised;
use crate::parallel::Threads;
use crate::parvi::flow::Cloud;

/// Rows that one call works on: constant, so that results do not depend on the number of threads.
pub(super) const ROWS: usize = 64;

/// Values k(xᵢ, xⱼ) = k(D) of a radial kernel, and its slopes g = -2 k'(D): ∇ₓⱼ k(xᵢ, xⱼ) = gᵢⱼ (xᵢ - xⱼ).
///
/// Both are symmetric. Each row of the N × N matrices is filled up to the end of its block of [`ROWS`] rows, so that about half of the distances
/// and of the kernel's values are computed; a product takes the other half from the rows below. Nothing is allocated after the first evaluation,
/// but where the median's search needs more room than before.
#[derive(Debug, Clone, Default)]
pub(in crate::parvi) struct KernelMatrix {
    n: usize,
    centred: Centred,
    values: Vec<f64>,
    slopes: Slopes,
    search: Scratch,
    vectors: Vec<f64>,
    products: Vec<f64>,
    columns: Vec<f64>,
}

#[derive(Debug, Clone)]
enum Slopes {
    /// g = factor · k
    Multiple(f64),
    Matrix(Vec<f64>),
}

impl Default for Slopes {
    fn default() -> Self {
        Self::Multiple(0.0)
    }
}

impl KernelMatrix {
    /// Evaluates the kernel between the particles of a cloud.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the particle whose squared distance from the mean leaves the range of numbers.
    pub(in crate::parvi) fn evaluate(&mut self, kernel: &Kernel, cloud: Cloud<'_>, threads: &Threads) -> Result<(), Error> {
        let n = cloud.n_particles;
        self.n = n;
        self.centred.set(cloud.positions, cloud.dim)?;
        self.values.resize(n * n, 0.0);
        self.centred.squared_distances(threads, &mut self.values);
        let h2 = kernel.squared_length(&self.values, n, &mut self.search);
        match kernel {
            Kernel::Rbf(_) => {
                self.slopes = Slopes::Multiple(1.0 / h2);
                let scale = -0.5 / h2;
                threads.for_each_block(self.values.as_mut_slice(), ROWS * n, |block, rows| {
                    let end = block * ROWS + rows.len() / n;
                    for row in rows.chunks_exact_mut(n) {
                        row[..end].iter_mut().for_each(|d| *d *= scale);
                        vectorised::exp_in_place(&mut row[..end]);
                    }
                });
            }
            Kernel::Imq(_) => {
                let mut slopes = match std::mem::take(&mut self.slopes) {
                    Slopes::Matrix(slopes) => slopes,
                    Slopes::Multiple(_) => Vec::new(),
                };
                slopes.resize(n * n, 0.0);
                let inverse = 1.0 / h2;
                threads.for_each_block((self.values.as_mut_slice(), slopes.as_mut_slice()), ROWS * n, |block, (rows, slopes)| {
                    let end = block * ROWS + rows.len() / n;
                    for (row, slopes) in rows.chunks_exact_mut(n).zip(slopes.chunks_exact_mut(n)) {
                        for (value, slope) in row[..end].iter_mut().zip(slopes) {
                            let square = 1.0 / (1.0 + *value * inverse);
                            *value = square.sqrt();
                            *slope = inverse * (square * *value);
                        }
                    }
                });
                self.slopes = Slopes::Matrix(slopes);
            }
        }
        Ok(())
    }

    /// Σⱼ kᵢⱼ sⱼ + gᵢⱼ (xᵢ - xⱼ) for every particle: N times the direction of SVGD.
    pub(in crate::parvi) fn stein(&mut self, scores: &[f64], threads: &Threads, out: &mut [f64]) {
        let Slopes::Multiple(factor) = self.slopes else {
            multiply_symmetric(&self.values, self.n, scores, threads, &mut self.columns, out);
            self.add_repulsion(|_| 1.0, |_| 1.0, threads, out);
            return;
        };
        let Self { n, centred, values, vectors, products, columns, .. } = self;
        let dim = scores.len() / *n;
        // K (S - g X) + g X diag(K 1), with the row sums K 1 as one column more.
        vectors.clear();
        for (s, x) in scores.chunks_exact(dim).zip(centred.rows.chunks_exact(dim)) {
            vectors.extend(s.iter().zip(x).map(|(s, x)| s - factor * x));
            vectors.push(1.0);
        }
        products.resize(vectors.len(), 0.0);
        multiply_symmetric(values, *n, vectors, threads, columns, products);
        let rows = products.chunks_exact(dim + 1).zip(centred.rows.chunks_exact(dim));
        for ((product, x), out) in rows.zip(out.chunks_exact_mut(dim)) {
            let sum = factor * product[dim];
            for c in 0..dim {
                out[c] = product[c] + sum * x[c];
            }
        }
    }

    /// Adds aᵢ Σⱼ gᵢⱼ bⱼ (xᵢ - xⱼ) to the vector of every particle.
    pub(in crate::parvi) fn add_repulsion(
        &mut self,
        a: impl Fn(usize) -> f64,
        b: impl Fn(usize) -> f64,
        threads: &Threads,
        out: &mut [f64],
    ) {
        let Self { n, centred, values, slopes, vectors, products, columns, .. } = self;
        let dim = out.len() / *n;
        let (matrix, factor) = match slopes {
            Slopes::Multiple(factor) => (values.as_slice(), *factor),
            Slopes::Matrix(slopes) => (slopes.as_slice(), 1.0),
        };
        vectors.clear();
        for (j, x) in centred.rows.chunks_exact(dim).enumerate() {
            let weight = b(j);
            vectors.extend(x.iter().map(|x| weight * x));
            vectors.push(weight);
        }
        products.resize(vectors.len(), 0.0);
        multiply_symmetric(matrix, *n, vectors, threads, columns, products);
        let rows = products.chunks_exact(dim + 1).zip(centred.rows.chunks_exact(dim));
        for (i, ((product, x), out)) in rows.zip(out.chunks_exact_mut(dim)).enumerate() {
            let scale = factor * a(i);
            for c in 0..dim {
                out[c] += scale * (product[dim] * x[c] - product[c]);
            }
        }
    }

    /// Σⱼ kᵢⱼ of every particle: at least 1, its own.
    pub(in crate::parvi) fn row_sums(&mut self, out: &mut Vec<f64>, threads: &Threads) {
        out.resize(self.n, 0.0);
        self.vectors.clear();
        self.vectors.resize(self.n, 1.0);
        multiply_symmetric(&self.values, self.n, &self.vectors, threads, &mut self.columns, out);
    }
}

/// Column counts up to which plain loops multiply.
const FEW: usize = PRODUCT_FROM;

/// The product of a symmetric matrix, filled as in [`KernelMatrix`], with the N × m matrix of vectors.
fn multiply_symmetric(matrix: &[f64], n: usize, vectors: &[f64], threads: &Threads, columns: &mut Vec<f64>, out: &mut [f64]) {
    let m = vectors.len() / n;
    columns.clear();
    if m <= FEW {
        columns.extend((0..m).flat_map(|c| vectors.iter().skip(c).step_by(m)));
    }
    let columns = columns.as_slice();
    threads.for_each_block(out, ROWS * m, |block, out| {
        let first = block * ROWS;
        let end = first + out.len() / m;
        if m <= FEW {
            return few_columns(matrix, columns, first..end, out);
        }
        let left = Part::new(&matrix[first * n..], (end - first, end), n);
        multiply(1.0, left, Part::new(vectors, (end, m), m), Onto::Replace, out, m);
        if end < n {
            let below = Part::new(&matrix[end * n + first..], (n - end, end - first), n).transposed();
            multiply(1.0, below, Part::new(&vectors[end * m..], (n - end, m), m), Onto::Add, out, m);
        }
    });
}

/// The rows of [`multiply_symmetric`] for m up to [`FEW`] vectors, given as the rows of an m × N matrix.
fn few_columns(matrix: &[f64], columns: &[f64], rows: std::ops::Range<usize>, out: &mut [f64]) {
    let m = out.len() / rows.len();
    let n = columns.len() / m;
    let mut sums = [[0.0; ROWS]; FEW];
    for (r, row) in matrix[rows.start * n..].chunks_exact(n).take(rows.len()).enumerate() {
        for (sums, column) in sums.iter_mut().zip(columns.chunks_exact(n)) {
            sums[r] = vectorised::dot(&row[..rows.end], &column[..rows.end]);
        }
    }
    for (j, row) in matrix.chunks_exact(n).enumerate().skip(rows.end) {
        let part = &row[rows.clone()];
        for (sums, column) in sums.iter_mut().zip(columns.chunks_exact(n)) {
            let x = column[j];
            sums.iter_mut().zip(part).for_each(|(sum, k)| *sum += k * x);
        }
    }
    for (r, out) in out.chunks_exact_mut(m).enumerate() {
        for (out, sums) in out.iter_mut().zip(&sums) {
            *out = sums[r];
        }
    }
}
