//! The generalised Pareto distribution, fitted to exceedances.
//!
//! ```text
//! θⱼ = 1/x₍ₙ₎ + (1 - √(m/(j - 1/2))) / (3 x₍quartile₎),   j = 1..m = 30 + ⌊√n⌋,      k(θ) = mean log(1 - θ x)
//! θ̂ = Σ L(θⱼ) θⱼ / Σ L(θⱼ),   σ = -k(θ̂)/θ̂,   k̂ = (n k(θ̂) + 5) / (n + 10)
//! ```
//! The profile posterior mean of Zhang & Stephens (2009), <https://doi.org/10.1198/tech.2009.08017>, drawn towards 1/2 as by ten
//! observations. The sign of k is that of the tail's index: moments below order 1/k exist.

use super::chains::mean;

/// A generalised Pareto distribution on the positive numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct GeneralisedPareto {
    /// k, positive for tails heavier than exponential.
    pub(super) shape: f64,
    /// σ.
    pub(super) scale: f64,
}

impl GeneralisedPareto {
    /// The fit to at least five exceedances in ascending order, positive and not all the same; `None` if it is not finite.
    pub(super) fn fit(exceedances: &[f64]) -> Option<Self> {
        const PRIOR_SCALE: f64 = 3.0;
        const PRIOR_COUNT: f64 = 10.0;
        let n = exceedances.len() as f64;
        let grid_size = 30 + n.sqrt() as usize;
        let quartile = *exceedances.get(((n / 4.0 + 0.5) as usize).checked_sub(1)?)?;
        let largest = *exceedances.last()?;
        let k_given = |theta: f64| mean_log(theta, exceedances);
        let profile: Vec<(f64, f64)> = (1..=grid_size)
            .map(|j| (1.0 - (grid_size as f64 / (j as f64 - 0.5)).sqrt()) / (PRIOR_SCALE * quartile) + 1.0 / largest)
            .map(|theta| {
                let k = k_given(theta);
                (theta, n * ((-theta / k).ln() - k - 1.0))
            })
            .collect();
        let greatest = profile.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
        let (mut weighted, mut total) = (0.0, 0.0);
        for (theta, log_likelihood) in profile {
            let weight = (log_likelihood - greatest).exp();
            // Points without weight may have θ = -∞ and must not make the sum NaN.
            if weight >= 10.0 * f64::EPSILON {
                weighted += weight * theta;
                total += weight;
            }
        }
        let theta = weighted / total;
        let k = k_given(theta);
        // The limit θ → 0 is the exponential distribution.
        let scale = if theta == 0.0 { mean(exceedances) } else { -k / theta };
        let shape = (n * k + 0.5 * PRIOR_COUNT) / (n + PRIOR_COUNT);
        (shape.is_finite() && scale > 0.0 && scale.is_finite()).then_some(Self { shape, scale })
    }

    /// The quantile of a probability in [0, 1).
    pub(super) fn quantile(self, probability: f64) -> f64 {
        let exponential = -(-probability).ln_1p();
        let standard = if self.shape == 0.0 { exponential } else { (self.shape * exponential).exp_m1() / self.shape };
        self.scale * standard
    }
}

/// Mean of log(1 - θ x) over x in ascending order: one logarithm for a product of eight, where no product can overflow.
fn mean_log(theta: f64, x: &[f64]) -> f64 {
    const LARGEST_FACTOR: f64 = 1e30;
    let factor = |x: &f64| 1.0 - theta * x;
    let sum: f64 = if x.last().map(factor) < Some(LARGEST_FACTOR) {
        x.chunks(8).map(|eight| eight.iter().map(factor).product::<f64>().ln()).sum()
    } else {
        x.iter().map(|x| (-theta * x).ln_1p()).sum()
    };
    sum / x.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_invert_the_distribution_function() {
        for shape in [-0.7, -1e-9, 0.0, 1e-9, 0.4, 2.0] {
            let pareto = GeneralisedPareto { shape, scale: 3.0 };
            for p in [0.0, 0.1, 0.5, 0.99] {
                let x: f64 = pareto.quantile(p) / 3.0;
                // 1 - F(x) = (1 + k x/σ)^(-1/k).
                let survival = if shape == 0.0 { (-x).exp() } else { (-(shape * x).ln_1p() / shape).exp() };
                assert!((1.0 - survival - p).abs() < 1e-12, "{shape} {p}");
            }
        }
    }

    #[test]
    fn logarithms_of_products_are_sums_of_logarithms() {
        let x: Vec<f64> = (1..=43).map(|i| f64::from(i * i)).collect();
        for theta in [-1e300, -1e28, -1e26, -3.0, -1e-9, 0.0, 1e-6, 0.99 / 1849.0] {
            let expected = x.iter().map(|x| (-theta * x).ln_1p()).sum::<f64>() / 43.0;
            let found = mean_log(theta, &x);
            assert!((found - expected).abs() <= 1e-15 + 1e-14 * expected.abs(), "{theta}: {found} {expected}");
        }
    }

    #[test]
    fn the_fit_to_its_own_quantiles_finds_the_parameters() {
        for (shape, scale) in [(-0.3, 1.0), (0.2, 1e-200), (0.8, 1e200), (1.3, 5.0)] {
            let n = 5000;
            let pareto = GeneralisedPareto { shape, scale };
            let x: Vec<f64> = (0..n).map(|i| pareto.quantile((f64::from(i) + 0.5) / f64::from(n))).collect();
            let found = GeneralisedPareto::fit(&x).unwrap();
            // One standard error of n independent values is (1 + k)/√n = 0.02 to 0.03; quantiles are more regular.
            assert!((found.shape - shape).abs() < 0.02, "{found:?}");
            assert!((found.scale / scale - 1.0).abs() < 0.02, "{found:?}");
        }
    }
}
