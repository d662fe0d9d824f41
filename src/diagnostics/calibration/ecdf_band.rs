//! Simultaneous bands for the distribution function of uniform numbers, and the test that belongs to them.
//!
//! ```text
//! C(z) = #{uᵢ < z} ~ Bin(n, z)    γ = min over z of 2 min(P(C(z) ≤ c), P(C(z) ≥ c))    p = P(γ ≤ γ observed)
//! ```
//! over z = 1/K, …, (K-1)/K. The p-value is exact: counts C(z) form a Markov chain along z, and the probability of a path that
//! leaves the band of γ is summed up over the step at which it first does. Increments are taken as Poisson and conditioned on
//! their sum n. All terms are positive, so that small p-values keep their digits; below 1e-20 Bonferroni's bound (K - 1) γ takes
//! their place. Cost: O(K w²) for a band of w counts, w ≈ 4 √n;
//! memory: 3 K n numbers.
//!
//! Säilynoja, Bürkner & Vehtari (2022), *Graphical test for discrete uniformity and its applications in goodness-of-fit
//! evaluation and multiple sample comparison*, <https://arxiv.org/abs/2103.10522>.

use crate::math::special::ln_gamma;

/// A band that the empirical distribution function of uniform ranks stays within, everywhere at once, with a given probability.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EcdfBand {
    /// The probability.
    pub level: f64,
    /// Points z inside of the unit interval.
    pub points: Vec<f64>,
    /// Lower edge at each point, as a share of the numbers.
    pub lower: Vec<f64>,
    /// Upper edge at each point.
    pub upper: Vec<f64>,
}

/// Tails below this one make bands so wide that the exact probability is not worth its time.
const NEGLIGIBLE: f64 = 1e-22;

/// The test for n numbers and K cells.
#[derive(Debug)]
pub(super) struct EcdfTest {
    n: usize,
    n_cells: usize,
    /// Poisson probabilities of counts 0 to n at means n i / K, for i = 0 to K: row by row.
    poisson: Vec<f64>,
    /// P(C(i/K) ≤ c) and P(C(i/K) ≥ c).
    at_most: Vec<f64>,
    at_least: Vec<f64>,
}

impl EcdfTest {
    pub(super) fn new(n: usize, n_cells: usize) -> Self {
        let width = n + 1;
        let log_factorials: Vec<f64> = (0..width).map(|c| ln_gamma(c as f64 + 1.0)).collect();
        let mut poisson = vec![0.0; (n_cells + 1) * width];
        poisson[0] = 1.0;
        for (i, row) in poisson.chunks_exact_mut(width).enumerate().skip(1) {
            let mean = n as f64 * i as f64 / n_cells as f64;
            for (c, p) in row.iter_mut().enumerate() {
                *p = (c as f64 * mean.ln() - mean - log_factorials[c]).exp();
            }
        }
        let mut test = Self { n, n_cells, poisson, at_most: Vec::new(), at_least: Vec::new() };
        test.at_most = vec![0.0; (n_cells + 1) * width];
        test.at_least = vec![0.0; (n_cells + 1) * width];
        for i in 0..=n_cells {
            let row = i * width..(i + 1) * width;
            let binomial: Vec<f64> = (0..width).map(|c| test.poisson[row.start + c] * test.bridge(i, c)).collect();
            let (mut below, mut above) = (0.0, 0.0);
            for c in 0..width {
                below += binomial[c];
                above += binomial[n - c];
                test.at_most[row.start + c] = below;
                test.at_least[row.start + n - c] = above;
            }
        }
        test
    }

    /// The probability of n - c increments from i/K on, over that of n in all.
    fn bridge(&self, i: usize, c: usize) -> f64 {
        let width = self.n + 1;
        self.poisson[(self.n_cells - i) * width + self.n - c] / self.poisson[self.n_cells * width + self.n]
    }

    fn half_gamma(&self, i: usize, c: usize) -> f64 {
        let k = i * (self.n + 1) + c;
        self.at_most[k].min(self.at_least[k])
    }

    /// p-value of the counts per cell.
    pub(super) fn p_value(&self, counts: &[usize]) -> f64 {
        let mut below = 0;
        let mut least = f64::INFINITY;
        for (i, count) in counts.iter().enumerate().take(self.n_cells - 1) {
            below += count;
            least = least.min(self.half_gamma(i + 1, below));
        }
        if least < NEGLIGIBLE { 2.0 * (self.n_cells - 1) as f64 * least } else { self.probability_of_leaving(least) }
    }

    /// First and last count at i/K with both tails above `half_gamma`; empty if first > last.
    fn interior(&self, i: usize, half_gamma: f64) -> (usize, usize) {
        let row = i * (self.n + 1)..(i + 1) * (self.n + 1);
        let first = self.at_most[row.clone()].partition_point(|&p| p <= half_gamma);
        let end = self.at_least[row].partition_point(|&p| p > half_gamma);
        (first, end.saturating_sub(1))
    }

    /// The probability that some count has a tail of at most `half_gamma`.
    fn probability_of_leaving(&self, half_gamma: f64) -> f64 {
        let width = self.n + 1;
        let increment = &self.poisson[width..2 * width];
        let (mut first, mut inside) = (0_usize, vec![1.0]);
        let mut left = 0.0;
        for i in 1..self.n_cells {
            let (lowest, highest) = self.interior(i, half_gamma);
            if lowest > highest {
                return 1.0;
            }
            let mut next = vec![0.0; highest - lowest + 1];
            for (c, &mass) in (first..).zip(&inside) {
                for (to, next) in (lowest..).zip(&mut next).skip(c.saturating_sub(lowest)) {
                    *next += mass * increment[to - c];
                }
                let leaving = |to: usize| mass * increment[to - c] * self.bridge(i, to);
                left += sum_until_negligible((c..lowest).rev().map(leaving));
                left += sum_until_negligible((c.max(highest + 1)..=self.n).map(leaving));
            }
            (first, inside) = (lowest, next);
        }
        left.min(1.0)
    }

    /// The narrowest band of this form that holds at least this probability.
    pub(super) fn band(&self, level: f64) -> EcdfBand {
        // Bonferroni's bound and the pointwise level enclose γ.
        let (mut safe, mut beyond) = (0.5 * (1.0 - level) / self.n_cells as f64, 0.5 * (1.0 - level));
        for _ in 0..24 {
            let middle = (safe * beyond).sqrt();
            if self.probability_of_leaving(middle) <= 1.0 - level { safe = middle } else { beyond = middle }
        }
        let share = |count: usize| count as f64 / self.n as f64;
        let edges: Vec<(usize, usize)> = (1..self.n_cells).map(|i| self.interior(i, safe)).collect();
        EcdfBand {
            level,
            points: (1..self.n_cells).map(|i| i as f64 / self.n_cells as f64).collect(),
            lower: edges.iter().map(|edge| share(edge.0)).collect(),
            upper: edges.iter().map(|edge| share(edge.1)).collect(),
        }
    }
}

/// A sum of terms that fall off from some place on: it ends once they are falling and too small to count.
fn sum_until_negligible(terms: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut last) = (0.0, 0.0);
    for term in terms {
        sum += term;
        if term <= last && term <= 1e-17 * sum {
            break;
        }
        last = term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::calibration::uniformity::counts;
    use crate::rng::Stream;

    /// Every way to put n numbers into K cells, with its multinomial probability.
    fn enumerate(n: usize, n_cells: usize) -> Vec<(Vec<usize>, f64)> {
        let factorial = |n: usize| (1..=n).map(|i| i as f64).product::<f64>();
        let mut all = vec![(Vec::new(), n)];
        for cell in 0..n_cells {
            let is_last = cell + 1 == n_cells;
            all = all
                .into_iter()
                .flat_map(|(counts, left)| {
                    let least = if is_last { left } else { 0 };
                    (least..=left).map(move |count| ([&counts[..], &[count]].concat(), left - count))
                })
                .collect();
        }
        let probability = |counts: &[usize]| {
            factorial(n) / counts.iter().map(|&c| factorial(c)).product::<f64>() / (n_cells as f64).powi(n as i32)
        };
        all.into_iter().map(|(counts, _)| (counts.clone(), probability(&counts))).collect()
    }

    /// min over z of the smaller binomial tail, from the definition.
    fn half_gamma(counts: &[usize]) -> f64 {
        let (n, n_cells) = (counts.iter().sum::<usize>(), counts.len());
        let binomial = |c: usize, z: f64| {
            let choose: f64 = (0..c).map(|i| (n - i) as f64 / (i + 1) as f64).product();
            choose * z.powi(c as i32) * (1.0 - z).powi((n - c) as i32)
        };
        let tail = |i: usize| {
            let (z, c) = (i as f64 / n_cells as f64, counts[..i].iter().sum::<usize>());
            let (below, above) = ((0..=c).map(|c| binomial(c, z)).sum::<f64>(), (c..=n).map(|c| binomial(c, z)).sum::<f64>());
            below.min(above)
        };
        (1..n_cells).map(tail).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn p_values_agree_with_enumeration() {
        for (n, n_cells) in [(4, 3), (6, 4), (5, 5)] {
            let test = EcdfTest::new(n, n_cells);
            let all = enumerate(n, n_cells);
            assert!((all.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-12);
            for (counts, _) in &all {
                let gamma = half_gamma(counts);
                // Ties within rounding count as equal.
                let exact: f64 = all.iter().filter(|(c, _)| half_gamma(c) <= gamma + 1e-12).map(|(_, p)| p).sum();
                let found = test.p_value(counts);
                // Symmetric counts tie in exact arithmetic and may differ in the last bit here.
                let strict: f64 = all.iter().filter(|(c, _)| half_gamma(c) <= gamma - 1e-12).map(|(_, p)| p).sum();
                assert!(found <= exact + 1e-12 && found >= strict - 1e-12, "{counts:?}: {found}, {strict} to {exact}");
            }
        }
    }

    #[test]
    fn the_smallest_p_value_has_all_digits() {
        // All 30 numbers in the first of 3 cells, or all in the last: 3^-30 each.
        let test = EcdfTest::new(30, 3);
        let found = test.p_value(&[30, 0, 0]);
        assert!((found / (2.0 * 3.0_f64.powi(-30)) - 1.0).abs() < 1e-10, "{found}");
        // And Bonferroni's bound, for 3^-60: two tails of two counts.
        let found = EcdfTest::new(60, 3).p_value(&[60, 0, 0]);
        assert!((found / (4.0 * 3.0_f64.powi(-60)) - 1.0).abs() < 1e-10, "{found}");
    }

    /// Coverage over simulations of what is not known by enumeration.
    ///
    /// Exact p-values of discrete counts satisfy P(p ≤ α) ≤ α with little slack. 1500 samples: the standard error at α = 0.05 is
    /// 0.0056; four of them. With pointwise instead of simultaneous levels the share is above 0.2.
    #[test]
    fn bands_hold_their_level_and_agree_with_p_values() {
        let (n, n_cells, level) = (100, 25, 0.95);
        let test = EcdfTest::new(n, n_cells);
        let band = test.band(level);
        let mut rng = Stream::new(5);
        let (mut outside, mut small, mut pointwise) = (0, 0, 0);
        for _ in 0..1500 {
            let uniforms: Vec<f64> = (0..n).map(|_| rng.uniform()).collect();
            let counts = counts(&uniforms, n_cells);
            let p_value = test.p_value(&counts);
            let mut below = 0;
            let mut leaves = false;
            let mut least = f64::INFINITY;
            for (i, count) in counts[..n_cells - 1].iter().enumerate() {
                below += count;
                let share = below as f64 / n as f64;
                leaves |= share < band.lower[i] || share > band.upper[i];
                least = least.min(test.half_gamma(i + 1, below));
            }
            outside += usize::from(leaves);
            pointwise += usize::from(2.0 * least <= 0.05);
            small += usize::from(p_value <= 0.05);
            assert_eq!(leaves, p_value <= 1.0 - level, "{p_value}");
        }
        let share = |count: usize| count as f64 / 1500.0;
        assert!((share(outside) - 0.05).abs() < 0.0225 && outside == small, "{outside} {small}");
        assert!(share(pointwise) > 0.2, "{pointwise}");
    }
}
