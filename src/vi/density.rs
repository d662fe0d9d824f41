//! The target as one iteration sees it: all of it, or some observations; in full, or tempered.

use crate::error::{DensityError, Error};
use crate::model::{Evaluator, LogDensityGradient, Minibatch, Target};

/// A target's density with the likelihood estimated from a minibatch, if any, times an inverse temperature.
pub(super) struct IterationDensity<'t> {
    evaluator: Box<dyn Evaluator + 't>,
    minibatch: Option<Minibatch>,
    pub(super) inverse_temperature: f64,
}

impl<'t> IterationDensity<'t> {
    pub(super) fn new<T: Target + ?Sized>(target: &'t T, minibatch: Option<usize>) -> Result<Self, Error> {
        let evaluator = target.evaluator()?;
        let minibatch = match minibatch {
            None => None,
            Some(size) => Minibatch::new(&*evaluator, size)?,
        };
        Ok(Self { evaluator, minibatch, inverse_temperature: 1.0 })
    }

    /// Draws the observations of an iteration.
    pub(super) fn start_iteration(&mut self, seed: u64, iteration: usize) {
        if let Some(minibatch) = &mut self.minibatch {
            minibatch.draw(seed, iteration);
        }
    }
}

impl LogDensityGradient for IterationDensity<'_> {
    fn dim(&self) -> usize {
        self.evaluator.dim()
    }

    fn log_density(&mut self, position: &[f64]) -> Result<f64, DensityError> {
        let value = match &self.minibatch {
            None => self.evaluator.log_density(position)?,
            Some(minibatch) => {
                let rows = minibatch.rows();
                let parts = self.evaluator.log_density_parts_of_rows(position, rows)?;
                parts.log_prior + minibatch.n_observations() as f64 / rows.len() as f64 * parts.log_likelihood
            }
        };
        Ok(self.inverse_temperature * value)
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let value = match &self.minibatch {
            None => self.evaluator.log_density_gradient(position, gradient)?,
            Some(minibatch) => self.evaluator.minibatch_gradient(position, minibatch.rows(), gradient)?,
        };
        if self.inverse_temperature != 1.0 {
            gradient.iter_mut().for_each(|g| *g *= self.inverse_temperature);
        }
        Ok(self.inverse_temperature * value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::zoo::LogisticRegression;

    /// Every pair of 6 observations comes up, and log densities and gradients averaged over the pairs are those of all
    /// observations, tempered or not.
    #[test]
    fn minibatches_are_unbiased() {
        let model = LogisticRegression::simulated(6, 2, 1).unwrap();
        let position = [0.3, -0.7];
        let mut all = IterationDensity::new(&model, None).unwrap();
        let mut some = IterationDensity::new(&model, Some(2)).unwrap();
        for inverse_temperature in [1.0, 0.3] {
            (all.inverse_temperature, some.inverse_temperature) = (inverse_temperature, inverse_temperature);
            let mut exact = vec![0.0; 2];
            let value = all.log_density_gradient(&position, &mut exact).unwrap();
            let mut batches = BTreeMap::new();
            for iteration in 0..200 {
                some.start_iteration(1, iteration);
                let mut rows = some.minibatch.as_ref().unwrap().rows().to_vec();
                rows.sort_unstable();
                let mut gradient = vec![0.0; 2];
                let value = some.log_density_gradient(&position, &mut gradient).unwrap();
                assert!((some.log_density(&position).unwrap() - value).abs() < 1e-12);
                gradient.push(value);
                batches.insert(rows, gradient);
            }
            assert_eq!(batches.len(), 15);
            exact.push(value);
            for (i, exact) in exact.iter().enumerate() {
                let mean = batches.values().map(|batch| batch[i]).sum::<f64>() / 15.0;
                assert!((mean - exact).abs() < 1e-12, "{i}: {mean} instead of {exact}");
            }
        }
        // All observations are the target itself; more than all are refused.
        assert!(IterationDensity::new(&model, Some(6)).unwrap().minibatch.is_none());
        assert!(matches!(IterationDensity::new(&model, Some(7)), Err(Error::InvalidSetting { setting: "minibatch", .. })));
        assert!(matches!(IterationDensity::new(&model, Some(0)), Err(Error::InvalidSetting { setting: "minibatch", .. })));
    }
}
