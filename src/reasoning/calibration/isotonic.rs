//! Isotonic regression by pooling adjacent violators.

use serde::{Deserialize, Serialize};

/// What an isotonic fit says between the scores it was fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The value of the nearest score below: a step function.
    #[default]
    Constant,
    /// A straight line from one level to the next.
    Linear,
}

/// A level of the fit: scores from `low` to `high`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Level {
    low: f64,
    high: f64,
    probability: f64,
}

/// A non-decreasing function, constant below the first level and above the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Isotonic {
    levels: Vec<Level>,
    interpolation: Interpolation,
}

impl Isotonic {
    pub(super) fn fit(x: &[f64], outcomes: &[bool], interpolation: Interpolation) -> Self {
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
        // Successes and number of a level's pairs.
        let mut levels: Vec<(Level, f64, f64)> = Vec::new();
        for i in order {
            let outcome = f64::from(outcomes[i]);
            // Equal scores are one point, whatever their order.
            match levels.last_mut() {
                Some((level, successes, n)) if level.low == x[i] => {
                    *successes += outcome;
                    *n += 1.0;
                }
                _ => levels.push((Level { low: x[i], high: x[i], probability: 0.0 }, outcome, 1.0)),
            }
        }
        let mut pooled: Vec<(Level, f64, f64)> = Vec::with_capacity(levels.len());
        for mut next in levels {
            // Frequencies compared by products of counts, which are exact.
            while let Some(last) = pooled.pop_if(|last| last.1 * next.2 >= next.1 * last.2) {
                next = (Level { low: last.0.low, ..next.0 }, last.1 + next.1, last.2 + next.2);
            }
            pooled.push(next);
        }
        let levels = pooled.into_iter().map(|(level, successes, n)| Level { probability: successes / n, ..level }).collect();
        Self { levels, interpolation }
    }

    pub(super) fn probability(&self, x: f64) -> f64 {
        let n_from_below = self.levels.partition_point(|level| level.low <= x);
        let Some(before) = n_from_below.checked_sub(1).and_then(|i| self.levels.get(i)) else {
            return self.levels.first().map_or(f64::NAN, |level| level.probability);
        };
        match (self.interpolation, self.levels.get(n_from_below)) {
            (Interpolation::Linear, Some(after)) if x > before.high => {
                let share = (x - before.high) / (after.low - before.high);
                before.probability + share * (after.probability - before.probability)
            }
            _ => before.probability,
        }
    }

    pub(super) fn is_monotone(&self) -> bool {
        let is_level = |level: &Level| {
            level.low.is_finite() && level.high.is_finite() && level.low <= level.high && (0.0..=1.0).contains(&level.probability)
        };
        !self.levels.is_empty()
            && self.levels.iter().all(is_level)
            && self.levels.windows(2).all(|pair| pair[0].high < pair[1].low && pair[0].probability <= pair[1].probability)
    }
}
