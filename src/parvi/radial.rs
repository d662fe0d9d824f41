//! Radial kernels pair by pair, with the derivatives that flows other than SVGD need.

use super::kernel::{Kernel, Scratch};

/// Room for the squared distances between particles, and for the search of their median.
#[derive(Debug, Clone, Default)]
pub(super) struct Distances {
    values: Vec<f64>,
    search: Scratch,
}

/// A kernel κ(D) of the squared distance D, its length known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Radial {
    kernel: Kernel,
    /// h²
    squared_length: f64,
}

impl Radial {
    /// The kernel for this cloud: a bandwidth by the median is that of the particles as they stand.
    pub(super) fn new(kernel: Kernel, positions: &[f64], dim: usize, distances: &mut Distances) -> Self {
        let n = positions.len() / dim;
        let Distances { values, search } = distances;
        if kernel.is_by_median() {
            values.resize(n * n, 0.0);
            for (i, (x, row)) in positions.chunks_exact(dim).zip(values.chunks_exact_mut(n)).enumerate() {
                row.iter_mut().zip(positions[..i * dim].chunks_exact(dim)).for_each(|(d, y)| *d = squared_distance(x, y));
            }
        }
        Self { kernel, squared_length: kernel.squared_length(values, n, search) }
    }

    /// κ, κ', κ'' and κ''' at D.
    pub(super) fn derivatives(self, d: f64) -> [f64; 4] {
        let inverse = 1.0 / self.squared_length;
        match self.kernel {
            Kernel::Rbf(_) => {
                let rate = -0.5 * inverse;
                let k = (rate * d).exp();
                [k, rate * k, rate * rate * k, rate * rate * rate * k]
            }
            Kernel::Imq(_) => {
                // κ = t^(-1/2) with t = 1 + D / h².
                let rate = inverse / (1.0 + d * inverse);
                let k = (1.0 + d * inverse).sqrt().recip();
                [k, -0.5 * rate * k, 0.75 * rate * rate * k, -1.875 * rate * rate * rate * k]
            }
        }
    }
}

/// |x - y|²
pub(super) fn squared_distance(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::kernel::Bandwidth;
    use super::*;

    #[test]
    fn each_derivative_is_that_of_the_one_before() {
        for kernel in [Kernel::Rbf(Bandwidth::Fixed(0.7)), Kernel::Imq(Bandwidth::Fixed(1.3))] {
            let radial = Radial::new(kernel, &[], 1, &mut Distances::default());
            let (d, step) = (0.8, 1e-5);
            let (up, down, here) = (radial.derivatives(d + step), radial.derivatives(d - step), radial.derivatives(d));
            for order in 0..3 {
                // Central differences err by about step² = 1e-10 times the third derivative.
                let slope = (up[order] - down[order]) / (2.0 * step);
                assert!((slope - here[order + 1]).abs() < 1e-8, "{kernel:?}, {order}: {slope}");
            }
        }
    }
}
