//! Sums whose bits do not depend on the number of threads.
//!
//! A sum is cut into blocks of [`BLOCK`] elements; each block is added up in one fixed order, and the partial sums are folded from the
//! first to the last. Blocks may be computed on any thread. The rounding error grows with `BLOCK/8 + n/BLOCK` instead of `n`.

use std::ops::Range;

use super::vectorised;
use crate::parallel::map_indexed;

/// Number of elements of a block.
pub const BLOCK: usize = 1024;

/// The sum of a slice, block by block; 0 when it is empty.
///
/// ```
/// let x = vec![0.1; 10_000];
/// assert!((posterity::math::blocks::sum(&x) - 1000.0).abs() < 1e-10);
/// ```
#[must_use]
pub fn sum(x: &[f64]) -> f64 {
    x.chunks(BLOCK).fold(0.0, |total, block| total + vectorised::sum(block))
}

/// The inner product of two slices, block by block, over the length of the shorter.
#[must_use]
pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.chunks(BLOCK).zip(y.chunks(BLOCK)).fold(0.0, |total, (x, y)| total + vectorised::dot(x, y))
}

/// Adds up `partial(range)` over the blocks of `0..n`, computed on up to `threads` threads (see [`map_indexed`]) and folded in order.
///
/// ```
/// use posterity::math::blocks::sum_by;
/// let squares = |range: std::ops::Range<usize>| range.map(|i| (i * i) as f64).sum::<f64>();
/// assert_eq!(sum_by(5000, Some(1), squares), sum_by(5000, None, squares));
/// ```
pub fn sum_by(n: usize, threads: Option<usize>, partial: impl Fn(Range<usize>) -> f64 + Sync) -> f64 {
    let block = |index: usize| partial(index * BLOCK..((index + 1) * BLOCK).min(n));
    map_indexed(n.div_ceil(BLOCK), threads, block).into_iter().fold(0.0, |total, part| total + part)
}

/// The sum by halving: rounding error of order `log n`, for sums in which every bit counts.
///
/// Source: N. J. Higham, *The accuracy of floating point summation*, SIAM J. Sci. Comput. 14 (1993), doi:10.1137/0914050.
#[must_use]
pub fn pairwise_sum(x: &[f64]) -> f64 {
    if x.len() <= 64 {
        return vectorised::sum(x);
    }
    let (left, right) = x.split_at((x.len() / 2).next_multiple_of(8));
    pairwise_sum(left) + pairwise_sum(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use rand::RngExt;

    fn wide(n: usize) -> Vec<f64> {
        let mut random = Stream::new(3);
        (0..n).map(|_| random.random_range(-1.0..1.0) * 10f64.powi(random.random_range(-8..8))).collect()
    }

    #[test]
    fn exact_on_integers_of_every_length() {
        for n in [0, 1, 7, 8, 9, 63, 64, 65, 1023, 1024, 1025, 5000] {
            let x: Vec<f64> = (1..=n).map(f64::from).collect();
            let expected = f64::from(n) * (f64::from(n) + 1.0) / 2.0;
            assert_eq!(sum(&x), expected);
            assert_eq!(pairwise_sum(&x), expected);
            assert_eq!(dot(&x, &vec![2.0; x.len()]), 2.0 * expected);
            assert_eq!(sum_by(x.len(), None, |r| x[r].iter().sum()), expected);
        }
    }

    #[test]
    fn same_bits_on_any_number_of_threads() {
        let x = wide(50_000);
        let partial = |r: Range<usize>| vectorised::sum(&x[r]);
        for threads in [Some(1), Some(2), Some(4), None] {
            assert_eq!(sum_by(x.len(), threads, partial).to_bits(), sum(&x).to_bits());
        }
        // The data are order sensitive: the plain loop rounds elsewhere.
        assert_ne!(x.iter().sum::<f64>().to_bits(), sum(&x).to_bits());
    }

    #[test]
    fn pairwise_is_accurate() {
        // Error bound of Higham: (log2(n / 8) + 8) u sum|x| = 24 * 1.1e-16 * 1e5 = 2.7e-10; the plain loop errs by about 1.3e-7 here.
        let x = vec![0.1; 1 << 20];
        let exact = 0.1 * f64::from(1 << 20);
        assert!((pairwise_sum(&x) - exact).abs() < 3e-10);
        assert!((x.iter().sum::<f64>() - exact).abs() > 1e-8);
    }
}
