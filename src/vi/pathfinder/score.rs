//! Which of several distributions is best, when their bounds are known from few draws only.

/// Standard errors by which a bound must be below the largest one to count as lower.
const RESOLVED: f64 = 3.0;
/// Nats below the largest bound that always count: where log ratios spread far, the bound alone decides.
const MOST_LOSS: f64 = 1.0;

/// What draws say of one distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::vi) struct Score {
    /// The evidence lower bound: the mean of the log ratios log p - log q of the draws.
    pub(in crate::vi) bound: f64,
    /// Standard deviation of these log ratios.
    pub(in crate::vi) spread: f64,
    /// Number of draws of positive density; those of the others are left out.
    pub(in crate::vi) n_usable: usize,
}

impl Score {
    /// Of finite log ratios; they overflow to none.
    pub(super) fn new(log_ratios: &[f64]) -> Self {
        let (mut mean, mut squares) = (0.0, 0.0);
        for (i, ratio) in log_ratios.iter().enumerate() {
            let away = ratio - mean;
            mean += away / (i + 1) as f64;
            squares += away * (ratio - mean);
        }
        let n = log_ratios.len();
        if n == 0 || !(mean.is_finite() && squares >= 0.0) {
            return Self { bound: f64::NEG_INFINITY, spread: f64::INFINITY, n_usable: 0 };
        }
        Self { bound: mean, spread: (squares / (n - 1).max(1) as f64).sqrt(), n_usable: n }
    }

    /// Draws in the support, up to half of all: fewer come after all others, whatever their bound.
    fn counted(&self, n_draws: usize) -> usize {
        (2 * self.n_usable).min(n_draws)
    }

    fn squared_error(&self) -> f64 {
        self.spread * self.spread / self.n_usable as f64
    }

    /// Whether the draws tell that the bound is below that of the other.
    fn is_below(&self, other: &Self) -> bool {
        let resolved = RESOLVED * (self.squared_error() + other.squared_error()).sqrt();
        other.bound - self.bound > resolved.min(MOST_LOSS)
    }
}

/// The best so far of several distributions with scores.
///
/// The largest of many estimated bounds is that of a lucky one: with n draws, all within about 1/n nats of the best are alike. Among those whose bound the draws do not tell from the largest,
/// the one whose log ratios spread least is taken, as they come: what has been passed over does not return. It has the smallest variance of importance weights, and near the target half the square of that spread is the divergence itself, without its noise: for a normal target
/// the exact distribution, of spread 0, always wins.
#[derive(Debug)]
pub(in crate::vi) struct Best<T> {
    n_draws: usize,
    largest: Option<Score>,
    chosen: Option<(T, Score)>,
}

impl<T> Best<T> {
    /// None so far, of distributions with this many draws each.
    pub(in crate::vi) fn new(n_draws: usize) -> Self {
        Self { n_draws, largest: None, chosen: None }
    }

    /// Takes on one more, if it has any draw in the support; whether it is now the best.
    pub(in crate::vi) fn offer(&mut self, distribution: T, score: Score) -> bool {
        if score.n_usable == 0 {
            return false;
        }
        let order = |other: &Score| score.counted(self.n_draws).cmp(&other.counted(self.n_draws));
        let is_first = self.largest.as_ref().is_none_or(|largest| order(largest).is_gt());
        let is_last = self.largest.as_ref().is_some_and(|largest| order(largest).is_lt());
        if is_last {
            return false;
        }
        if is_first || self.largest.as_ref().is_none_or(|largest| score.bound > largest.bound) {
            self.largest = Some(score);
        }
        let largest = self.largest.unwrap_or(score);
        let keeps = self.chosen.as_ref().is_some_and(|(_, chosen)| {
            !is_first && !chosen.is_below(&largest) && (score.is_below(&largest) || chosen.spread <= score.spread)
        });
        if !keeps {
            self.chosen = Some((distribution, score));
        }
        !keeps
    }

    pub(in crate::vi) fn into_inner(self) -> Option<(T, Score)> {
        self.chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(bound: f64, spread: f64, n_usable: usize) -> Score {
        Score { bound, spread, n_usable }
    }

    /// The one that is chosen of several with 25 draws each, in this order.
    fn chosen(scores: &[Score]) -> Option<usize> {
        let mut best = Best::new(25);
        for (index, score) in scores.iter().enumerate() {
            best.offer(index, *score);
        }
        best.into_inner().map(|(index, _)| index)
    }

    #[test]
    fn moments_are_those_of_the_definition() {
        let found = Score::new(&[1.0, 2.0, 6.0]);
        assert!((found.bound - 3.0).abs() < 1e-15 && (found.spread - 7.0_f64.sqrt()).abs() < 1e-15);
        assert_eq!(found.n_usable, 3);
        assert_eq!(Score::new(&[f64::MAX, -f64::MAX]).n_usable, 0);
        assert_eq!(Score::new(&[]).n_usable, 0);
    }

    #[test]
    fn the_exact_one_wins_over_a_lucky_one_wherever_it_stands() {
        // Of spread 0.3, the standard error is 0.06.
        let (exact, lucky) = (score(0.0, 1e-9, 25), score(0.1, 0.3, 25));
        assert_eq!(chosen(&[exact, lucky]), Some(0));
        assert_eq!(chosen(&[lucky, exact]), Some(1));
        // What is told apart is told apart.
        let better = score(0.2, 0.3, 25);
        assert_eq!(chosen(&[exact, better]), Some(1));
        assert_eq!(chosen(&[better, exact]), Some(0));
        // Far from the target hardly anything is, and the bound decides.
        assert_eq!(chosen(&[score(-100.0, 1000.0, 25), score(-500.0, 1.0, 25)]), Some(0));
    }

    #[test]
    fn many_small_losses_do_not_add_up() {
        let narrowing: Vec<Score> = (0..20).map(|i| score(-0.1 * f64::from(i), 0.3 - 0.01 * f64::from(i), 25)).collect();
        // Three standard errors of two, 3 · √2 · 0.06 = 0.25, below the largest.
        assert_eq!(chosen(&narrowing), Some(2));
    }

    #[test]
    fn half_of_the_draws_must_be_in_the_support() {
        let (few, many) = (score(10.0, 0.1, 5), score(0.0, 1.0, 13));
        assert_eq!(chosen(&[few, many]), Some(1));
        assert_eq!(chosen(&[many, few]), Some(0));
        assert_eq!(chosen(&[score(0.0, 0.0, 0)]), None);
    }
}
