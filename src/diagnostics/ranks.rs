//! Normal scores of ranks: what makes R̂ and the bulk ESS exist without moments.

use statrs::distribution::{ContinuousCDF, Normal};

use super::chains::Chains;

/// Normal scores of the ranks 1, ..., S (Blom 1958): Φ⁻¹((r - 3/8) / (S + 1/4)), tabled so that many columns of one size share them.
#[derive(Debug)]
pub(crate) struct NormalScores {
    scores: Vec<f64>,
}

impl NormalScores {
    pub(crate) fn new(size: usize) -> Self {
        let mut scores = vec![0.0; size];
        for i in 0..size / 2 {
            let score = score((i + 1) as f64, size);
            scores[i] = score;
            scores[size - 1 - i] = -score;
        }
        Self { scores }
    }

    /// The table for the split chains.
    pub(crate) fn of(chains: &Chains) -> Self {
        Self::new(chains.values().len())
    }

    /// Replaces every value by the score of its rank over all chains; equal values get the score of their average rank.
    pub(crate) fn normalise(&self, chains: &Chains) -> Chains {
        let values = chains.values();
        let mut order: Vec<(f64, u32)> = values.iter().zip(0..).map(|(&x, i)| (x, i)).collect();
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut normalised = vec![0.0; values.len()];
        let mut start = 0;
        while start < order.len() {
            let value = order[start].0;
            let mut end = start + 1;
            while end < order.len() && order[end].0 == value {
                end += 1;
            }
            // Average of the ranks start + 1, ..., end.
            let score = if (end - start) % 2 == 1 {
                self.scores[(start + end - 1) / 2]
            } else {
                score((start + end + 1) as f64 / 2.0, values.len())
            };
            for &(_, i) in &order[start..end] {
                normalised[i as usize] = score;
            }
            start = end;
        }
        chains.with_values(normalised)
    }
}

fn score(rank: f64, size: usize) -> f64 {
    Normal::standard().inverse_cdf((rank - 0.375) / (size as f64 + 0.25))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn scores_agree_with_scipy_ties_included() {
        // scipy.stats.norm.ppf((scipy.stats.rankdata([[3, 1, 1, 8], [5, 5, 5, 0]]) - 3/8) / (8 + 1/4))
        let chains = Chains::new(array![[3.0, 1.0, 1.0, 8.0], [5.0, 5.0, 5.0, 0.0]].view()).unwrap();
        for (found, expected) in NormalScores::of(&chains).normalise(&chains).values().iter().zip(SCORES) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }
    const SCORES: [f64; 8] = [
        -0.15250597424624437,
        -0.6508373064444771,
        -0.6508373064444771,
        1.4342001596863792,
        0.4727891209922672,
        0.4727891209922672,
        0.4727891209922672,
        -1.4342001596863792,
    ];

    #[test]
    fn negative_zero_ties_with_zero() {
        let chains = Chains::new(array![[0.0, -0.0, 1.0, -1.0]].view()).unwrap();
        let scores = NormalScores::of(&chains).normalise(&chains);
        assert_eq!(scores.values()[0], scores.values()[1]);
    }
}
