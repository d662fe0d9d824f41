//! Weighted quantiles.

use std::ops::Index;

use super::super::{Collector, Population, Snapshot};
use crate::error::{Error, check};

/// Weighted quantiles of a function of the state after every step: the smallest value at which the cumulative weight reaches the probability.
///
/// Costs a sort of the cloud per step.
#[derive(Debug, Clone)]
pub struct Quantiles<F, const Q: usize> {
    probabilities: [f64; Q],
    f: F,
    values: Vec<[f64; Q]>,
    sorted: Vec<(f64, f64)>,
}

impl<F, const Q: usize> Quantiles<F, Q> {
    /// An empty record of the quantiles of `f` at these probabilities.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a probability outside [0, 1].
    pub fn new<X: ?Sized>(probabilities: [f64; Q], f: F) -> Result<Self, Error>
    where
        F: Fn(&X) -> f64,
    {
        for p in probabilities {
            check::in_range("probability", p, (0.0..=1.0).contains(&p), "in [0, 1]")?;
        }
        Ok(Self { probabilities, f, values: Vec::new(), sorted: Vec::new() })
    }

    /// Quantiles per step (steps x Q).
    #[must_use]
    pub fn values(&self) -> &[[f64; Q]] {
        &self.values
    }
}

impl<P, F, const Q: usize> Collector<P> for Quantiles<F, Q>
where
    P: Population + Index<usize>,
    F: Fn(&P::Output) -> f64,
{
    fn collect(&mut self, snapshot: &Snapshot<'_, P>) {
        if snapshot.info.t == 0 {
            self.values.clear();
        }
        let (population, weights) = (snapshot.view.population, snapshot.view.weights.relative_weights);
        self.sorted.clear();
        let positive = weights.iter().enumerate().filter(|(_, w)| **w > 0.0);
        self.sorted.extend(positive.map(|(slot, w)| ((self.f)(&population[slot]), *w)));
        self.sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        // The total in the order of summation, so that probability 1 is reached.
        let total: f64 = self.sorted.iter().map(|(_, w)| w).sum();
        let quantile = |p: f64| {
            let mut below = 0.0;
            let reached = |(_, w): &&(f64, f64)| {
                below += w;
                below >= p * total
            };
            self.sorted.iter().find(reached).map_or(f64::NAN, |(value, _)| *value)
        };
        self.values.push(self.probabilities.map(quantile));
    }
}
