//! Draws of one quantity, copied chain after chain.

use ndarray::ArrayView2;

/// Chains of equal length, stored one after the other, without NaN.
#[derive(Debug, Clone)]
pub(crate) struct Chains {
    values: Vec<f64>,
    n_draws: usize,
}

impl Chains {
    /// Fewest draws per chain for which a diagnostic exists: two per half.
    pub(crate) const LEAST_DRAWS: usize = 4;

    /// A copy; `None` for NaN, fewer than 4 draws per chain or no chain.
    pub(crate) fn new(draws: ArrayView2<'_, f64>) -> Option<Self> {
        let (n_chains, n_draws) = draws.dim();
        if n_chains == 0 || n_draws < Self::LEAST_DRAWS || draws.iter().any(|x| x.is_nan()) {
            return None;
        }
        Some(Self { values: draws.iter().copied().collect(), n_draws })
    }

    /// First and last half of each chain as chains of their own; the middle draw of an odd number is left out.
    pub(crate) fn split(&self) -> Self {
        let half = self.n_draws / 2;
        let mut values = Vec::with_capacity(2 * half * self.n_chains());
        for chain in self.iter() {
            values.extend_from_slice(&chain[..half]);
        }
        for chain in self.iter() {
            values.extend_from_slice(&chain[self.n_draws - half..]);
        }
        Self { values, n_draws: half }
    }

    /// The chains of `f(x)`; `None` if one of the values is NaN.
    pub(crate) fn map(&self, f: impl Fn(f64) -> f64) -> Option<Self> {
        let values: Vec<f64> = self.values.iter().map(|&x| f(x)).collect();
        if values.iter().any(|x| x.is_nan()) { None } else { Some(Self { values, n_draws: self.n_draws }) }
    }

    /// Chains of the same shape with other values.
    pub(crate) fn with_values(&self, values: Vec<f64>) -> Self {
        debug_assert_eq!(values.len(), self.values.len());
        Self { values, n_draws: self.n_draws }
    }

    /// Each chain less its own mean.
    pub(crate) fn centred(&self) -> Self {
        let mut values = Vec::with_capacity(self.values.len());
        for chain in self.iter() {
            let mean = mean(chain);
            values.extend(chain.iter().map(|x| x - mean));
        }
        self.with_values(values)
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    pub(crate) fn n_chains(&self) -> usize {
        self.values.len() / self.n_draws
    }

    pub(crate) fn n_draws(&self) -> usize {
        self.n_draws
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.n_draws)
    }

    pub(crate) fn is_constant(&self) -> bool {
        self.values.iter().all(|&x| x == self.values[0])
    }

    pub(crate) fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }
}

/// Arithmetic mean; exact for equal values.
pub(crate) fn mean(values: &[f64]) -> f64 {
    let Some(&first) = values.first() else { return f64::NAN };
    if !first.is_finite() {
        return values.iter().sum::<f64>() / values.len() as f64;
    }
    first + values.iter().map(|x| x - first).sum::<f64>() / values.len() as f64
}

/// Variance with denominator n - 1; exactly 0 for equal values, NaN for fewer than two.
pub(crate) fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

/// `Some` unless NaN.
pub(crate) fn number(x: f64) -> Option<f64> {
    if x.is_nan() { None } else { Some(x) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn split_keeps_first_and_last_halves() {
        let chains = Chains::new(array![[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]].view()).unwrap();
        let split = chains.split();
        assert_eq!(split.values(), [1.0, 2.0, 6.0, 7.0, 4.0, 5.0, 9.0, 10.0]);
        assert_eq!((split.n_chains(), split.n_draws()), (4, 2));
    }

    #[test]
    fn unusable_draws_are_refused() {
        assert!(Chains::new(Array2::zeros((4, 3)).view()).is_none());
        assert!(Chains::new(Array2::zeros((0, 10)).view()).is_none());
        assert!(Chains::new(array![[1.0, 2.0, f64::NAN, 3.0]].view()).is_none());
    }

    #[test]
    fn moments_of_equal_values_are_exact() {
        assert_eq!(mean(&[0.1; 1001]), 0.1);
        assert_eq!(variance(&[0.1; 1001]), 0.0);
        assert!((variance(&[1.0, 2.0, 4.0]) - 7.0 / 3.0).abs() < 1e-15);
    }
}
