//! Running means, variances and covariances, updated one observation at a time and merged pairwise.
//!
//! Sources: B. P. Welford, Technometrics 4 (1962), doi:10.1080/00401706.1962.10490022, for the update; T. F. Chan, G. H. Golub and
//! R. J. LeVeque, Amer. Statist. 37 (1983), doi:10.1080/00031305.1983.10483115, for the merge.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

fn same_dimension(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Dimension { what, expected, found }) }
}

/// Mean and variance of a stream of numbers.
///
/// ```
/// use posterity::math::RunningMoments;
/// let mut moments = RunningMoments::default();
/// for x in [1.0, 2.0, 3.0, 4.0] {
///     moments.push(x);
/// }
/// assert_eq!(moments.mean(), 2.5);
/// assert_eq!(moments.variance(), 5.0 / 3.0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningMoments {
    count: u64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    squares: f64,
}

impl RunningMoments {
    /// Adds one number.
    pub fn push(&mut self, x: f64) {
        self.count += 1;
        let before = x - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (x - self.mean);
    }

    /// Adds everything that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let shift = other.mean - self.mean;
        self.count += other.count;
        self.mean += shift * (m / (n + m));
        self.squares += other.squares + shift * shift * (n * m / (n + m));
    }

    /// Number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean; NaN without observations.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.mean }
    }

    /// The unbiased variance (divisor n - 1); NaN with fewer than two observations.
    #[must_use]
    pub fn variance(&self) -> f64 {
        if self.count < 2 { f64::NAN } else { self.squares / (self.count - 1) as f64 }
    }
}

/// Mean and variance of every coordinate of a stream of vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningVectorMoments {
    count: u64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl RunningVectorMoments {
    /// No observations yet, of dimension `dim`.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        Self { count: 0, mean: vec![0.0; dim], squares: vec![0.0; dim] }
    }

    /// Adds one vector.
    ///
    /// # Errors
    /// [`Error::Dimension`] if its length is not the dimension.
    pub fn push(&mut self, x: &[f64]) -> Result<()> {
        same_dimension("running moments", self.mean.len(), x.len())?;
        self.count += 1;
        let n = self.count as f64;
        for ((mean, squares), &x) in self.mean.iter_mut().zip(&mut self.squares).zip(x) {
            let before = x - *mean;
            *mean += before / n;
            *squares += before * (x - *mean);
        }
        Ok(())
    }

    /// Adds everything that `other` has seen.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the dimensions differ.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        same_dimension("running moments", self.mean.len(), other.mean.len())?;
        if other.count == 0 {
            return Ok(());
        }
        let (n, m) = (self.count as f64, other.count as f64);
        self.count += other.count;
        for i in 0..self.mean.len() {
            let shift = other.mean[i] - self.mean[i];
            self.mean[i] += shift * (m / (n + m));
            self.squares[i] += other.squares[i] + shift * shift * (n * m / (n + m));
        }
        Ok(())
    }

    /// Forgets all observations.
    pub fn reset(&mut self) {
        self.count = 0;
        self.mean.fill(0.0);
        self.squares.fill(0.0);
    }

    /// Number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean vector, `dim` long; all 0 without observations.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Unbiased variances (divisor n - 1), `dim` long; NaN with fewer than two observations.
    #[must_use]
    pub fn variance(&self) -> Vec<f64> {
        let divisor = if self.count < 2 { f64::NAN } else { (self.count - 1) as f64 };
        self.squares.iter().map(|s| s / divisor).collect()
    }
}

/// Mean and covariance matrix of a stream of vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningCovariance {
    count: u64,
    mean: Vec<f64>,
    /// Sums of products of deviations, dim x dim row-major; only the lower triangle is kept up to date.
    products: Vec<f64>,
    deviation: Vec<f64>,
}

impl RunningCovariance {
    /// No observations yet, of dimension `dim`.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        Self { count: 0, mean: vec![0.0; dim], products: vec![0.0; dim * dim], deviation: vec![0.0; dim] }
    }

    /// Adds one vector; cost dim².
    ///
    /// # Errors
    /// [`Error::Dimension`] if its length is not the dimension.
    pub fn push(&mut self, x: &[f64]) -> Result<()> {
        same_dimension("running covariance", self.mean.len(), x.len())?;
        self.count += 1;
        let n = self.count as f64;
        for ((deviation, mean), &x) in self.deviation.iter_mut().zip(&mut self.mean).zip(x) {
            *deviation = x - *mean;
            *mean += *deviation / n;
        }
        self.add_outer((n - 1.0) / n);
        Ok(())
    }

    /// Adds everything that `other` has seen.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the dimensions differ.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        same_dimension("running covariance", self.mean.len(), other.mean.len())?;
        if other.count == 0 {
            return Ok(());
        }
        let (n, m) = (self.count as f64, other.count as f64);
        self.count += other.count;
        for i in 0..self.mean.len() {
            self.deviation[i] = other.mean[i] - self.mean[i];
            self.mean[i] += self.deviation[i] * (m / (n + m));
        }
        for (p, q) in self.products.iter_mut().zip(&other.products) {
            *p += q;
        }
        self.add_outer(n * m / (n + m));
        Ok(())
    }

    /// Adds weight * deviation deviation' to the lower triangle.
    fn add_outer(&mut self, weight: f64) {
        let dim = self.mean.len();
        for i in 0..dim {
            let scaled = weight * self.deviation[i];
            for (p, d) in self.products[i * dim..=i * dim + i].iter_mut().zip(&self.deviation) {
                *p += scaled * d;
            }
        }
    }

    /// Forgets all observations.
    pub fn reset(&mut self) {
        self.count = 0;
        self.mean.fill(0.0);
        self.products.fill(0.0);
    }

    /// Number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean vector, `dim` long; all 0 without observations.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The unbiased covariance matrix (divisor n - 1), dim x dim row-major; NaN with fewer than two observations.
    #[must_use]
    pub fn covariance(&self) -> Vec<f64> {
        let dim = self.mean.len();
        let divisor = if self.count < 2 { f64::NAN } else { (self.count - 1) as f64 };
        let mut matrix = vec![0.0; dim * dim];
        for i in 0..dim {
            for j in 0..=i {
                matrix[i * dim + j] = self.products[i * dim + j] / divisor;
                matrix[j * dim + i] = matrix[i * dim + j];
            }
        }
        matrix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Small integers: means and sums of products below are exact in binary.
    const X: [[f64; 2]; 4] = [[1.0, 8.0], [3.0, -4.0], [5.0, 0.0], [-1.0, 12.0]];
    const MEAN: [f64; 2] = [2.0, 4.0];
    const PRODUCTS: [f64; 3] = [20.0, -48.0, 160.0];

    fn near(a: f64, b: f64) -> bool {
        // Fewer than 16 roundings of numbers no larger than the result.
        (a - b).abs() <= 16.0 * f64::EPSILON * b.abs()
    }

    #[test]
    fn push_and_merge_match_the_two_pass_formulas() {
        for split in 0..=4 {
            let (mut a, mut b) = ([RunningMoments::default(); 2], [RunningMoments::default(); 2]);
            let (mut va, mut vb) = (RunningVectorMoments::new(2), RunningVectorMoments::new(2));
            let (mut ca, mut cb) = (RunningCovariance::new(2), RunningCovariance::new(2));
            for (row, x) in X.iter().enumerate() {
                let (s, v, c) = if row < split { (&mut a, &mut va, &mut ca) } else { (&mut b, &mut vb, &mut cb) };
                s.iter_mut().zip(x).for_each(|(m, &x)| m.push(x));
                v.push(x).unwrap();
                c.push(x).unwrap();
            }
            a.iter_mut().zip(&b).for_each(|(a, b)| a.merge(b));
            va.merge(&vb).unwrap();
            ca.merge(&cb).unwrap();
            let covariance = ca.covariance();
            assert_eq!((a[0].count(), va.count(), ca.count()), (4, 4, 4));
            for i in 0..2 {
                let variance = PRODUCTS[2 * i] / 3.0;
                assert!(near(a[i].mean(), MEAN[i]) && near(va.mean()[i], MEAN[i]) && near(ca.mean()[i], MEAN[i]));
                assert!(near(a[i].variance(), variance) && near(va.variance()[i], variance) && near(covariance[3 * i], variance));
            }
            assert!(near(covariance[1], PRODUCTS[1] / 3.0));
            assert_eq!(covariance[1], covariance[2]);
        }
    }

    #[test]
    fn a_large_offset_costs_no_digits_of_the_variance() {
        let mut moments = RunningMoments::default();
        (0..1000).for_each(|i| moments.push(1e9 + f64::from(i % 2)));
        // 0.25 * 1000 / 999; the mean is rounded at 2^-23 = 1.2e-7.
        assert!((moments.variance() - 250.0 / 999.0).abs() < 1e-6);
    }

    #[test]
    fn too_few_observations_and_wrong_lengths() {
        let mut moments = RunningMoments::default();
        assert!(moments.mean().is_nan() && moments.variance().is_nan());
        moments.push(2.0);
        assert!(moments.mean() == 2.0 && moments.variance().is_nan());
        let mut vector = RunningVectorMoments::new(2);
        assert!(matches!(vector.push(&[1.0]), Err(Error::Dimension { expected: 2, found: 1, .. })));
        assert!(vector.merge(&RunningVectorMoments::new(3)).is_err());
        assert!(vector.variance()[0].is_nan());
        let mut covariance = RunningCovariance::new(2);
        assert!(covariance.push(&[1.0; 3]).is_err() && covariance.merge(&RunningCovariance::new(1)).is_err());
        covariance.push(&[1.0, 2.0]).unwrap();
        assert!(covariance.covariance().iter().all(|v| v.is_nan()));
        covariance.reset();
        assert_eq!(covariance, RunningCovariance { deviation: vec![1.0, 2.0], ..RunningCovariance::new(2) });
        vector.push(&[1.0, 2.0]).unwrap();
        vector.reset();
        assert_eq!(vector, RunningVectorMoments::new(2));
    }
}
