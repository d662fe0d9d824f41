//! Draws from a weighted cloud by inversion, in constant expected time.

use crate::math::vectorised;

/// Cumulative weights, and for each n-th part of the total where to start the search.
///
/// A draw takes at most two comparisons on average. Source: H.-C. Chen and Y. Asau 1974, doi:10.1080/05695557408974949.
#[derive(Debug, Default)]
pub(crate) struct GuideTable {
    cumulative: Vec<f64>,
    start: Vec<u32>,
    weights: Vec<f64>,
    total: f64,
    last: usize,
}

impl GuideTable {
    /// Builds the table anew; memory is kept. At least one log-weight must be finite, and none NaN or +∞, as in every cloud of the engine.
    pub(crate) fn build(&mut self, log_weights: &[f64]) {
        let n = log_weights.len();
        self.weights.resize(n, 0.0);
        vectorised::max_exp(log_weights, vectorised::max(log_weights), &mut self.weights);
        self.cumulative.clear();
        let mut total = 0.0;
        self.cumulative.extend(self.weights.iter().map(|w| {
            total += w;
            total
        }));
        self.total = total;
        self.last = self.weights.iter().rposition(|w| *w > 0.0).unwrap_or(0);
        self.start.clear();
        let share = total / n as f64;
        let mut i = 0;
        for k in 0..n {
            while i < self.last && self.cumulative[i] <= k as f64 * share {
                i += 1;
            }
            self.start.push(i as u32);
        }
    }

    /// The slot at a uniform number in [0, 1); never one of weight 0.
    #[inline]
    pub(crate) fn slot(&self, u: f64) -> usize {
        let target = u * self.total;
        let n = self.start.len();
        let mut i = self.start[((u * n as f64) as usize).min(n - 1)] as usize;
        while i < self.last && self.cumulative[i] <= target {
            i += 1;
        }
        i
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_a_linear_search() {
        let weights = [0.0, 0.3, 0.0, 0.0, 1.2, 1e-9, 0.0, 4.0, 0.5, 0.0];
        let log_weights = weights.map(|w: f64| w.ln() + 3.0);
        let mut table = GuideTable::default();
        for _ in 0..2 {
            table.build(&log_weights);
            let total: f64 = weights.iter().sum();
            for k in 0..10_000 {
                let u = (f64::from(k) + 0.5) / 10_000.0;
                let mut below = 0.0;
                let expected = weights.iter().position(|w| {
                    below += w / total;
                    u < below
                });
                assert_eq!(Some(table.slot(u)), expected);
            }
            assert_eq!((table.slot(0.0), table.slot(1.0 - f64::EPSILON / 2.0)), (1, 8));
        }
    }
}
