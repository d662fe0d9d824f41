//! Quantiles of draws: type 7 of Hyndman & Fan (1996), <https://doi.org/10.2307/2684934>, the default of R and NumPy.

use ndarray::ArrayView2;

/// The `probability` quantile of the draws of all chains, linear between order statistics; `None` for NaN among the draws, no draws, or
/// a probability outside [0, 1].
#[must_use]
pub fn quantile(draws: ArrayView2<'_, f64>, probability: f64) -> Option<f64> {
    if draws.is_empty() || !(0.0..=1.0).contains(&probability) || draws.iter().any(|x| x.is_nan()) {
        return None;
    }
    let mut sorted: Vec<f64> = draws.iter().copied().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    Some(of_sorted(&sorted, probability))
}

/// The quantile of values in ascending order, at least one; between equal values it is that value, without rounding.
pub(crate) fn of_sorted(sorted: &[f64], probability: f64) -> f64 {
    let n = sorted.len();
    let position = n as f64 * probability + (1.0 - probability);
    let below = (position.floor() as usize).clamp(1, n);
    let weight = (position - below as f64).clamp(0.0, 1.0);
    let (low, high) = (sorted[below - 1], sorted[below.min(n - 1)]);
    if low == high || weight == 0.0 { low } else { (1.0 - weight) * low + weight * high }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn type_seven() {
        let x = array![[1.0, 4.0, 2.0], [8.0, 16.0, 32.0]];
        // numpy.quantile([1, 2, 4, 8, 16, 32], [0, .05, .5, .95, 1])
        for (p, expected) in [(0.0, 1.0), (0.05, 1.25), (0.5, 6.0), (0.95, 28.0), (1.0, 32.0)] {
            let found = quantile(x.view(), p).unwrap();
            assert!((found - expected).abs() < 1e-12, "{p}: {found}");
        }
        assert_eq!(quantile(x.view(), 1.5), None);
        assert_eq!(quantile(x.view(), f64::NAN), None);
        assert_eq!(quantile(array![[1.0, f64::NAN]].view(), 0.5), None);
        assert_eq!(quantile(array![[7.0]].view(), 0.3), Some(7.0));
    }

    #[test]
    fn between_equal_values_nothing_is_rounded() {
        let x = vec![0.3; 1000];
        for i in 0..=100 {
            assert_eq!(of_sorted(&x, f64::from(i) / 100.0), 0.3);
        }
    }
}
