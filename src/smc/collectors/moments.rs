//! Weighted means and variances.

use std::ops::Index;

use super::super::{Collector, Population, Snapshot};

/// Weighted mean and variance of K functions of the state after every step.
///
/// ```text
/// m = Σ W_i f(x_i)      v = Σ W_i (f(x_i) - m)²
/// ```
/// One pass over the cloud, with sums about the first particle's value, so that a large common offset costs no digits.
#[derive(Debug, Clone)]
pub struct Moments<F, const K: usize> {
    f: F,
    means: Vec<[f64; K]>,
    variances: Vec<[f64; K]>,
}

impl<F, const K: usize> Moments<F, K> {
    /// An empty record of `f`.
    pub fn new<X: ?Sized>(f: F) -> Self
    where
        F: Fn(&X) -> [f64; K],
    {
        Self { f, means: Vec::new(), variances: Vec::new() }
    }

    /// Means per step (steps x K).
    #[must_use]
    pub fn means(&self) -> &[[f64; K]] {
        &self.means
    }

    /// Variances per step (steps x K).
    #[must_use]
    pub fn variances(&self) -> &[[f64; K]] {
        &self.variances
    }
}

impl<P, F, const K: usize> Collector<P> for Moments<F, K>
where
    P: Population + Index<usize>,
    F: Fn(&P::Output) -> [f64; K],
{
    fn collect(&mut self, snapshot: &Snapshot<'_, P>) {
        if snapshot.info.t == 0 {
            self.means.clear();
            self.variances.clear();
        }
        let (population, weights) = (snapshot.view.population, snapshot.view.weights);
        // A particle of weight 0 counts for nothing, even where f is not finite.
        let mut weighted = (0..population.len())
            .zip(weights.relative_weights)
            .filter(|(_, w)| **w > 0.0)
            .map(|(slot, w)| (w / weights.sum_of_weights, (self.f)(&population[slot])))
            .peekable();
        let centre = weighted.peek().map_or([0.0; K], |first| first.1);
        let (mut sum, mut squares) = ([0.0; K], [0.0; K]);
        for (w, value) in weighted {
            for k in 0..K {
                let d = value[k] - centre[k];
                sum[k] += w * d;
                squares[k] += w * d * d;
            }
        }
        self.means.push(std::array::from_fn(|k| centre[k] + sum[k]));
        self.variances.push(std::array::from_fn(|k| (squares[k] - sum[k] * sum[k]).max(0.0)));
    }
}
