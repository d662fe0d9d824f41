//! Squared distances between all particles.

use super::matrix::ROWS;
use crate::error::Error;
use crate::linalg::product::{Onto, Part, multiply};
use crate::parallel::Threads;

/// Dimensions from which a matrix product is faster than plain loops.
pub(super) const PRODUCT_FROM: usize = 8;

/// Below this share of |xᵢ|² + |xⱼ|² a distance by |xᵢ|² + |xⱼ|² - 2 xᵢ'xⱼ has lost digits to cancellation, and is computed from the differences:
/// what the product gives is right to about 1e-15 / 1e-4 = 1e-11 of itself.
const CLOSE: f64 = 1e-4;

/// Entries of a row that are looked at together for a close pair.
const CHUNK: usize = 32;

/// The particles less their mean.
#[derive(Debug, Clone, Default)]
pub(super) struct Centred {
    /// N × d
    pub(super) rows: Vec<f64>,
    /// d × N: the layout in which plain loops over particles are fast; empty where a product does the work.
    columns: Vec<f64>,
    /// |xᵢ|²
    norms: Vec<f64>,
    mean: Vec<f64>,
}

impl Centred {
    /// Takes the positions, and fails where a squared distance may leave the range of numbers.
    pub(super) fn set(&mut self, positions: &[f64], dim: usize) -> Result<(), Error> {
        let n = positions.len() / dim;
        self.mean.clear();
        self.mean.resize(dim, 0.0);
        for x in positions.chunks_exact(dim) {
            self.mean.iter_mut().zip(x).for_each(|(mean, x)| *mean += x);
        }
        self.mean.iter_mut().for_each(|mean| *mean /= n as f64);
        self.rows.clear();
        self.norms.clear();
        for x in positions.chunks_exact(dim) {
            let mut norm = 0.0;
            self.rows.extend(x.iter().zip(&self.mean).map(|(x, mean)| {
                let centred = x - mean;
                norm += centred * centred;
                centred
            }));
            self.norms.push(norm);
        }
        // |xᵢ - xⱼ|² is at most 2 |xᵢ|² + 2 |xⱼ|².
        if let Some(index) = self.norms.iter().position(|norm| !(4.0 * norm).is_finite()) {
            return Err(Error::NotFinite {
                what: "squared distances of particles from their mean",
                index,
                value: self.norms[index],
            });
        }
        self.columns.clear();
        if dim < PRODUCT_FROM {
            self.columns.extend((0..dim).flat_map(|c| self.rows.iter().skip(c).step_by(dim)));
        }
        Ok(())
    }

    /// Writes |xᵢ - xⱼ|² to the rows of an N × N matrix, each up to the end of its block of [`ROWS`] rows.
    pub(super) fn squared_distances(&self, threads: &Threads, out: &mut [f64]) {
        let n = self.norms.len();
        let dim = self.rows.len() / n;
        threads.for_each_block(out, ROWS * n, |block, rows| {
            let first = block * ROWS;
            let end = first + rows.len() / n;
            if dim < PRODUCT_FROM {
                for (i, row) in (first..end).zip(rows.chunks_exact_mut(n)) {
                    self.by_differences(i, &mut row[..end]);
                }
            } else {
                let left = Part::new(&self.rows[first * dim..], (end - first, dim), dim);
                let right = Part::new(&self.rows, (end, dim), dim).transposed();
                multiply(-2.0, left, right, Onto::Replace, rows, n);
                for (i, row) in (first..end).zip(rows.chunks_exact_mut(n)) {
                    self.by_norms(i, &mut row[..end]);
                }
            }
        });
    }

    fn by_differences(&self, i: usize, row: &mut [f64]) {
        let n = self.norms.len();
        row.fill(0.0);
        for column in self.columns.chunks_exact(n) {
            let x = column[i];
            for (distance, y) in row.iter_mut().zip(column) {
                *distance += (x - y) * (x - y);
            }
        }
    }

    /// From -2 xᵢ'xⱼ in the row.
    fn by_norms(&self, i: usize, row: &mut [f64]) {
        let norm = self.norms[i];
        for (chunk, (entries, norms)) in row.chunks_mut(CHUNK).zip(self.norms.chunks(CHUNK)).enumerate() {
            let mut margin = f64::INFINITY;
            for (entry, other) in entries.iter_mut().zip(norms) {
                let sum = norm + other;
                *entry += sum;
                margin = margin.min(*entry - CLOSE * sum);
            }
            if !(margin > 0.0) {
                for (j, entry) in (chunk * CHUNK..).zip(entries.iter_mut()) {
                    if !(*entry > CLOSE * (norm + self.norms[j])) {
                        *entry = self.difference(i, j);
                    }
                }
            }
        }
    }

    fn difference(&self, i: usize, j: usize) -> f64 {
        let dim = self.rows.len() / self.norms.len();
        let (x, y) = (&self.rows[i * dim..(i + 1) * dim], &self.rows[j * dim..(j + 1) * dim]);
        x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum::<f64>()
    }
}
