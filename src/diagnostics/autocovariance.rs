//! Autocovariance at every lag, by direct sums for small lags and by the fast Fourier transform for all of them.
//!
//! ```text
//! γ(t) = (1/n) Σᵢ (xᵢ - x̄)(xᵢ₊ₜ - x̄)        the biased estimate: divided by n at every lag
//! ```
//! All lags of m chains of length n cost O(m n log n).

use super::chains::{Chains, mean};

/// Lags up to this one are summed directly: well-mixing chains never need more, and never pay for a transform.
const DIRECT_LAGS: usize = 24;

/// Autocovariance of a series at lags 0, 1, ..., n - 1, each divided by n; NaN throughout if a value is not finite.
///
/// ```
/// let gamma = posterity::diagnostics::autocovariance(&[1.0, 2.0, 3.0, 4.0]);
/// assert!((gamma[0] - 1.25).abs() < 1e-12);
/// assert!((gamma[1] - 0.3125).abs() < 1e-12);
/// ```
#[must_use]
pub fn autocovariance(series: &[f64]) -> Vec<f64> {
    let mean = mean(series);
    let centred: Vec<f64> = series.iter().map(|x| x - mean).collect();
    all_lags(std::iter::once(centred.as_slice()), series.len())
}

/// Autocorrelation of a series at lags 0, 1, ..., n - 1; NaN throughout for a constant series.
#[must_use]
pub fn autocorrelation(series: &[f64]) -> Vec<f64> {
    let mut gamma = autocovariance(series);
    let variance = gamma.first().copied().unwrap_or(f64::NAN);
    gamma.iter_mut().for_each(|g| *g /= variance);
    gamma
}

/// Autocovariance averaged over chains, computed no further than it is asked for.
#[derive(Debug)]
pub(crate) struct MeanAutocovariance {
    centred: Chains,
    transformed: Option<Vec<f64>>,
}

impl MeanAutocovariance {
    pub(crate) fn new(chains: &Chains) -> Self {
        Self { centred: chains.centred(), transformed: None }
    }

    pub(crate) fn at(&mut self, lag: usize) -> f64 {
        let n = self.centred.n_draws();
        let total = if lag <= DIRECT_LAGS {
            self.centred.iter().map(|chain| dot(&chain[..n - lag], &chain[lag..])).sum::<f64>() / n as f64
        } else {
            let centred = &self.centred;
            self.transformed.get_or_insert_with(|| all_lags(centred.iter(), n))[lag]
        };
        total / self.centred.n_chains() as f64
    }
}

/// Sum over centred chains of their autocovariances. Two chains share one transform: for z = a + ib with real a and b,
/// |A(f)|² + |B(f)|² = (|Z(f)|² + |Z(-f)|²) / 2.
fn all_lags<'a>(mut centred: impl Iterator<Item = &'a [f64]>, n: usize) -> Vec<f64> {
    if n == 0 {
        return Vec::new();
    }
    let size = (2 * n).next_power_of_two();
    let transform = Fourier::new(size);
    let mut power = vec![0.0; size];
    while let Some(a) = centred.next() {
        let b = centred.next().unwrap_or(&[]);
        let mut z = vec![(0.0, 0.0); size];
        z.iter_mut().zip(a).for_each(|(z, &x)| z.0 = x);
        z.iter_mut().zip(b).for_each(|(z, &x)| z.1 = x);
        transform.forward(&mut z);
        for f in 0..size {
            let (p, q) = (z[f], z[(size - f) % size]);
            power[f] += 0.5 * (p.0 * p.0 + p.1 * p.1 + q.0 * q.0 + q.1 * q.1);
        }
    }
    // The power spectrum is real and even, so that its forward transform is its inverse but for the factor 1 / size.
    let mut z: Vec<(f64, f64)> = power.into_iter().map(|p| (p, 0.0)).collect();
    transform.forward(&mut z);
    let scale = 1.0 / (size as f64 * n as f64);
    z[..n].iter().map(|z| z.0 * scale).collect()
}

/// Inner product in eight interleaved partial sums.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_blocks, b_blocks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_blocks.zip(b_blocks) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// Radix-2 transform of one size, a power of two (Cooley & Tukey 1965, <https://doi.org/10.1090/S0025-5718-1965-0178586-1>).
#[derive(Debug)]
struct Fourier {
    /// exp(-2πik / size) for k < size / 2.
    roots: Vec<(f64, f64)>,
}

impl Fourier {
    fn new(size: usize) -> Self {
        let angle = |k: usize| -2.0 * std::f64::consts::PI * k as f64 / size as f64;
        Self { roots: (0..size / 2).map(|k| (angle(k).cos(), angle(k).sin())).collect() }
    }

    fn forward(&self, z: &mut [(f64, f64)]) {
        let size = z.len();
        if size < 2 {
            return;
        }
        let unused_bits = usize::BITS - size.trailing_zeros();
        for i in 0..size {
            let j = i.reverse_bits() >> unused_bits;
            if i < j {
                z.swap(i, j);
            }
        }
        let mut half = 1;
        while half < size {
            let stride = size / (2 * half);
            for block in z.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                for (k, (a, b)) in low.iter_mut().zip(high).enumerate() {
                    let w = self.roots[k * stride];
                    let t = (w.0 * b.0 - w.1 * b.1, w.0 * b.1 + w.1 * b.0);
                    *b = (a.0 - t.0, a.1 - t.1);
                    *a = (a.0 + t.0, a.1 + t.1);
                }
            }
            half *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use ndarray::Array2;

    fn direct(x: &[f64]) -> Vec<f64> {
        let m = x.iter().sum::<f64>() / x.len() as f64;
        (0..x.len()).map(|t| (0..x.len() - t).map(|i| (x[i] - m) * (x[i + t] - m)).sum::<f64>() / x.len() as f64).collect()
    }

    #[test]
    fn transform_agrees_with_the_sum_at_every_lag_and_length() {
        let mut stream = Stream::new(5);
        for n in [1, 2, 3, 7, 64, 100, 257] {
            let x: Vec<f64> = (0..n).map(|_| 3.0 + stream.normal()).collect();
            for (fast, slow) in autocovariance(&x).iter().zip(direct(&x)) {
                assert!((fast - slow).abs() < 1e-13, "n = {n}: {fast} {slow}");
            }
        }
        assert!(autocovariance(&[]).is_empty());
    }

    #[test]
    fn average_over_an_odd_number_of_chains_agrees_on_both_sides_of_the_switch() {
        let mut stream = Stream::new(6);
        let draws = Array2::from_shape_fn((3, 90), |(chain, _)| chain as f64 + stream.normal());
        let mut fast = MeanAutocovariance::new(&Chains::new(draws.view()).unwrap());
        for lag in 0..90 {
            let slow = draws.rows().into_iter().map(|row| direct(&row.to_vec())[lag]).sum::<f64>() / 3.0;
            assert!((fast.at(lag) - slow).abs() < 1e-13, "lag {lag}");
        }
    }

    #[test]
    fn correlation_starts_at_one_and_is_nan_for_a_constant() {
        assert_eq!(autocorrelation(&[1.0, 5.0, 2.0])[0], 1.0);
        assert!(autocorrelation(&[2.0; 5]).iter().all(|r| r.is_nan()));
    }
}
