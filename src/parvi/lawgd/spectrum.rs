//! The eigenfunctions of a Langevin diffusion on a grid.

use ndarray::Array2;

use crate::error::{Error, check};
use crate::linalg::symmetric_eigen;

/// Evenly spaced nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    lower: f64,
    upper: f64,
    n_nodes: usize,
}

impl Grid {
    pub(super) fn new(lower: f64, upper: f64, n_nodes: usize) -> Self {
        Self { lower, upper, n_nodes }
    }

    pub(super) fn n_nodes(self) -> usize {
        self.n_nodes
    }

    pub(super) fn bounds(self) -> (f64, f64) {
        (self.lower, self.upper)
    }

    fn step(self) -> f64 {
        (self.upper - self.lower) / (self.n_nodes - 1) as f64
    }

    pub(super) fn nodes(self) -> impl Iterator<Item = f64> {
        (0..self.n_nodes).map(move |i| self.lower + (self.upper - self.lower) * (i as f64 / (self.n_nodes - 1) as f64))
    }

    /// The node below x, clamped to the grid, and x's share of the way to the next.
    fn place(self, x: f64) -> (usize, f64) {
        let u = ((x - self.lower) / self.step()).clamp(0.0, (self.n_nodes - 1) as f64);
        let below = (u as usize).min(self.n_nodes - 2);
        (below, u - below as f64)
    }
}

/// How far below its largest value the log density may lie: an eigenvector's rounding errors, divided by √π, stay below 1e-3 there.
const DEPTH: f64 = 60.0;

/// How far below its largest value the log density still shows mass.
const MASS: f64 = 10.0;

/// How far the log density may fall from one node to the next where the mass is, and elsewhere: more is a grid that does not show its shape.
const FALL: [f64; 2] = [2.0, 20.0];

#[derive(Debug, Clone)]
pub(super) struct Spectrum {
    pub(super) grid: Grid,
    pub(super) eigenvalues: Vec<f64>,
    /// ψₖ at the nodes, of shape (node, k).
    values: Vec<f64>,
    /// ψₖ' / λₖ at the nodes, of shape (node, k).
    slopes: Vec<f64>,
}

impl Spectrum {
    /// The first `n_eigen` eigenfunctions but the constant one; one log density per node, up to a constant, and the
    /// highest known anywhere.
    pub(super) fn new(grid: Grid, log_density: &[f64], highest: f64, n_eigen: usize) -> Result<Self, Error> {
        let n = grid.n_nodes;
        let largest = log_density.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for (x, value) in grid.nodes().zip(log_density) {
            let rule = "between nodes where the log density lies at most 60 below its largest value";
            check::in_range("node of the grid", x, largest - value <= DEPTH, rule)?;
        }
        let rule = "so many that at one of them the log density is at most 1 below the largest value found";
        check::in_range("n_nodes", n as f64, highest - largest <= 1.0, rule)?;
        let rule =
            "so many that the log density changes by at most 2 from one node to the next where the mass is, and 20 elsewhere";
        let smooth = log_density.windows(2).all(|pair| {
            let [in_mass, elsewhere] = FALL;
            let allowed = if largest - pair[0].max(pair[1]) <= MASS { in_mass } else { elsewhere };
            (pair[1] - pair[0]).abs() <= allowed
        });
        check::in_range("n_nodes", n as f64, smooth, rule)?;

        let step = grid.step();
        let inverse = 1.0 / (step * step);
        let mut operator = Array2::zeros((n, n));
        for i in 1..n {
            let ratio = (0.5 * (log_density[i] - log_density[i - 1])).exp();
            operator[[i, i - 1]] = -inverse;
            operator[[i - 1, i]] = -inverse;
            operator[[i - 1, i - 1]] += inverse * ratio;
            operator[[i, i]] += inverse / ratio;
        }
        let eigen = symmetric_eigen(operator.view())?;

        let total: f64 = log_density.iter().map(|value| (value - largest).exp()).sum();
        let mut values = vec![0.0; n * n_eigen];
        for (i, row) in values.chunks_exact_mut(n_eigen).enumerate() {
            // The weights of the nodes, π Δ, sum to 1.
            let root = ((log_density[i] - largest).exp() / total).sqrt();
            for (k, value) in row.iter_mut().enumerate() {
                *value = eigen.vectors[[i, k + 1]] / root;
            }
        }
        let eigenvalues: Vec<f64> = eigen.values.iter().skip(1).take(n_eigen).copied().collect();
        check_gap(eigen.values[0], eigenvalues[0])?;
        let mut slopes = vec![0.0; n * n_eigen];
        for (i, row) in slopes.chunks_exact_mut(n_eigen).enumerate() {
            let (before, after) = (i.saturating_sub(1), (i + 1).min(n - 1));
            let run = (after - before) as f64 * step;
            for (k, slope) in row.iter_mut().enumerate() {
                *slope = (values[after * n_eigen + k] - values[before * n_eigen + k]) / (run * eigenvalues[k]);
            }
        }
        Ok(Self { grid, eigenvalues, values, slopes })
    }

    /// Adds `weight` ψₖ(x) to `out`.
    pub(super) fn add_values(&self, x: f64, weight: f64, out: &mut [f64]) {
        let (here, next, share) = self.rows(&self.values, x);
        for ((out, a), b) in out.iter_mut().zip(here).zip(next) {
            *out += weight * (a + share * (b - a));
        }
    }

    /// Σₖ ψₖ'(x) meanₖ / λₖ
    pub(super) fn kernel_slope(&self, x: f64, means: &[f64]) -> f64 {
        let (here, next, share) = self.rows(&self.slopes, x);
        means.iter().zip(here).zip(next).map(|((mean, a), b)| mean * (a + share * (b - a))).sum()
    }

    fn rows<'a>(&self, table: &'a [f64], x: f64) -> (&'a [f64], &'a [f64], f64) {
        let m = self.eigenvalues.len();
        let (below, share) = self.grid.place(x);
        let (here, next) = table[below * m..(below + 2) * m].split_at(m);
        (here, next, share)
    }
}

/// λ₁ must stand out from the rounding error that λ₀ shows: modes that hardly any path joins have none.
fn check_gap(ground: f64, first: f64) -> Result<(), Error> {
    let rule = "well above rounding errors: modes lie too far apart";
    check::in_range("first eigenvalue of the grid", first, first > 0.0 && first > 1e3 * ground.abs(), rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_clamped_to_the_grid() {
        let grid = Grid::new(-1.0, 3.0, 5);
        assert_eq!(grid.nodes().collect::<Vec<_>>(), [-1.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!([-5.0, -0.75, 3.0, 9.0].map(|x| grid.place(x)), [(0, 0.0), (0, 0.25), (3, 1.0), (3, 1.0)]);
    }

    #[test]
    fn a_gap_of_the_size_of_rounding_errors_is_refused() {
        assert!(check_gap(1e-13, 1e-9).is_ok());
        for (ground, first) in [(-1e-13, 5e-11), (0.0, f64::NAN), (0.0, -1.0)] {
            assert!(matches!(check_gap(ground, first), Err(Error::InvalidSetting { .. })));
        }
    }
}
