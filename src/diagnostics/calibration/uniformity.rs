//! Are numbers uniform on the unit interval, and if not, in which way?

use std::f64::consts::PI;
use std::fmt::{self, Display, Formatter};

use statrs::function::gamma::gamma_ur;

/// The largest divisor of `n` from `least` to `most`.
pub(super) fn divisor(n: usize, least: usize, most: usize) -> Option<usize> {
    (least..=most).rev().find(|&cells| n.is_multiple_of(cells))
}

/// How many of the numbers fall into each of `n_cells` cells of equal size.
pub(super) fn counts(uniforms: &[f64], n_cells: usize) -> Vec<usize> {
    let mut counts = vec![0; n_cells];
    for u in uniforms {
        // A number that rounds to 1 belongs to the last cell.
        counts[((u * n_cells as f64) as usize).min(n_cells - 1)] += 1;
    }
    counts
}

/// p-value of Pearson's χ² for equal cells.
pub(super) fn chi_squared(counts: &[usize]) -> f64 {
    let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    let statistic = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum::<f64>();
    if statistic > 0.0 { gamma_ur(0.5 * (counts.len() - 1) as f64, 0.5 * statistic) } else { 1.0 }
}

/// p-value of the two-sided Kolmogorov-Smirnov test.
///
/// ```text
/// q = P(D⁺ ≥ d) = d Σⱼ C(n, j) (d + j/n)ʲ⁻¹ (1 - d - j/n)ⁿ⁻ʲ,  j ≤ n (1 - d)           exact
/// p = 2 (q - q⁴ + q⁹ - …)                                                              as in the limit of large n, where q = exp(-2 n d²)
/// ```
/// Birnbaum & Tingey (1951), <https://doi.org/10.1214/aoms/1177729550>. The error against the exact distribution is about 0.05/n
/// at most, and below 1e-5 of the p-value where that is less than 0.05.
pub(super) fn kolmogorov_smirnov(uniforms: &[f64]) -> f64 {
    let mut sorted = uniforms.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let distance = sorted.iter().enumerate().fold(0.0_f64, |d, (i, &u)| d.max(u - i as f64 / n).max((i + 1) as f64 / n - u));
    two_sided(one_sided(sorted.len(), distance))
}

fn one_sided(n: usize, d: f64) -> f64 {
    let size = n as f64;
    let mut log_binomial = 0.0;
    let mut sum = 0.0;
    for j in 0..=n {
        let (share, rest) = (d + j as f64 / size, 1.0 - d - j as f64 / size);
        if rest <= 0.0 {
            break;
        }
        sum += d * (log_binomial + (j as f64 - 1.0) * share.ln() + (n - j) as f64 * rest.ln()).exp();
        log_binomial += ((n - j) as f64 / (j + 1) as f64).ln();
    }
    sum.min(1.0)
}

fn two_sided(q: f64) -> f64 {
    if q <= 0.5 {
        return 2.0 * (q - q.powi(4) + q.powi(9) - q.powi(16) + q.powi(25));
    }
    // The same function of λ² = -ln(q)/2 by its other series, which converges where this one does not.
    let square = (-0.5 * q.ln()).max(f64::MIN_POSITIVE);
    let sum: f64 = (0..4).map(|k| (-((2 * k + 1) as f64 * PI).powi(2) / (8.0 * square)).exp()).sum();
    (1.0 - (2.0 * PI / square).sqrt() * sum).clamp(0.0, 1.0)
}

/// Holm's adjusted p-values: a set of tests rejects at a level if the smallest of them is below it.
///
/// Holm (1979), *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6(2).
pub(super) fn holm(p_values: &[f64]) -> Vec<f64> {
    let n = p_values.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![1.0; n];
    let mut largest = 0.0_f64;
    for (i, &k) in order.iter().enumerate() {
        largest = largest.max((n - i) as f64 * p_values[k]).min(1.0);
        adjusted[k] = largest;
    }
    adjusted
}

/// How the draws of a quantity differ from what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deviation {
    /// Truths lie too often below the draws: ranks slope down.
    TooHigh,
    /// Truths lie too often above the draws: ranks slope up.
    TooLow,
    /// Truths lie too often outside of the draws: ranks form a U.
    TooNarrow,
    /// Truths lie too often in the middle of the draws: ranks form a hump.
    TooWide,
    /// Neither shift nor spread of the ranks stands out.
    Uneven,
}

impl Deviation {
    /// The larger one, in standard errors, of the deviations of mean and spread.
    pub(super) fn of(uniforms: &[f64]) -> Self {
        let n = uniforms.len() as f64;
        // Variances of u and of (u - 1/2)² are 1/12 and 1/180.
        let shift = (12.0 / n).sqrt() * uniforms.iter().map(|u| u - 0.5).sum::<f64>();
        let spread = (180.0 / n).sqrt() * uniforms.iter().map(|u| (u - 0.5).powi(2) - 1.0 / 12.0).sum::<f64>();
        match (shift.abs().max(spread.abs()) < 3.0, shift.abs() > spread.abs()) {
            (true, _) => Self::Uneven,
            (_, true) => {
                if shift < 0.0 {
                    Self::TooHigh
                } else {
                    Self::TooLow
                }
            }
            (_, false) => {
                if spread > 0.0 {
                    Self::TooNarrow
                } else {
                    Self::TooWide
                }
            }
        }
    }
}

impl Display for Deviation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooHigh => "draws are too high (ranks slope down)",
            Self::TooLow => "draws are too low (ranks slope up)",
            Self::TooNarrow => "draws are too narrow (ranks form a U)",
            Self::TooWide => "draws are too wide (ranks form a hump)",
            Self::Uneven => "ranks are uneven, without slope or U",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use ndarray::{Array1, Array2};

    #[test]
    fn chi_squared_has_its_tabled_quantiles() {
        // 19 degrees of freedom: 5 % above 30.143527, 0.1 % above 43.820196. Two cells differ by ±x from 50: statistic 2 x²/50.
        for (statistic, p) in [(30.143_527_f64, 0.05), (43.820_196, 0.001)] {
            let expected = 1e8_f64;
            let x = (statistic * expected / 2.0).sqrt().round() as usize;
            let mut counts = vec![100_000_000; 20];
            counts[3] += x;
            counts[11] -= x;
            let found = chi_squared(&counts);
            assert!((found / p - 1.0).abs() < 2e-4, "{found} {p}");
        }
        assert_eq!(chi_squared(&[7, 7, 7]), 1.0);
    }

    /// P(D < d) by powers of a matrix: Marsaglia, Tsang & Wang (2003), <https://doi.org/10.18637/jss.v008.i18>.
    fn exact_distribution(n: usize, d: f64) -> f64 {
        let k = (n as f64 * d) as usize + 1;
        let m = 2 * k - 1;
        let h = k as f64 - n as f64 * d;
        let factorial = |n: usize| (1..=n).map(|i| i as f64).product::<f64>();
        let mut matrix = Array2::from_shape_fn((m, m), |(i, j)| if i + 1 < j { 0.0 } else { 1.0 });
        for i in 0..m {
            matrix[[i, 0]] -= h.powi(i as i32 + 1);
            matrix[[m - 1, i]] -= h.powi((m - i) as i32);
        }
        matrix[[m - 1, 0]] += if 2.0 * h > 1.0 { (2.0 * h - 1.0).powi(m as i32) } else { 0.0 };
        for i in 0..m {
            for j in 0..=i {
                matrix[[i, j]] /= factorial(i + 1 - j);
            }
        }
        let mut row = Array1::zeros(m);
        row[k - 1] = 1.0;
        let mut scale = 1.0;
        for i in 1..=n {
            row = row.dot(&matrix);
            scale *= i as f64 / n as f64;
        }
        row[k - 1] * scale
    }

    #[test]
    fn kolmogorov_smirnov_agrees_with_the_exact_distribution() {
        // The figure of Marsaglia, Tsang & Wang: the oracle is right.
        assert!((exact_distribution(10, 0.274) - 0.628_479_615_456_504_3).abs() < 1e-12);
        for n in [20, 50, 150] {
            for step in 1..60 {
                let d = 0.05 * step as f64 / (n as f64).sqrt();
                let (found, exact) = (two_sided(one_sided(n, d)), 1.0 - exact_distribution(n, d));
                assert!((found - exact).abs() < 0.055 / n as f64, "{n} {d}: {found} {exact}");
                if (1e-8..0.05).contains(&exact) {
                    assert!((found / exact - 1.0).abs() < 1e-5, "{n} {d}: {found} {exact}");
                }
            }
        }
    }

    #[test]
    fn kolmogorov_smirnov_of_single_places() {
        // Evenly spread numbers are as uniform as can be; one place is not.
        let even: Vec<f64> = (0..100).map(|i| (i as f64 + 0.5) / 100.0).collect();
        assert!(kolmogorov_smirnov(&even) > 0.999);
        assert!(kolmogorov_smirnov(&[0.5; 100]) < 1e-20);
        // All below 1/2: D⁻ has the tail of D⁺.
        let half: Vec<f64> = even.iter().map(|u| 0.5 * u).collect();
        let mirrored: Vec<f64> = half.iter().map(|u| 1.0 - u).collect();
        assert!((kolmogorov_smirnov(&half) / kolmogorov_smirnov(&mirrored) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn holm_by_hand() {
        // 4 · 0.01, 3 · 0.02 = 0.06 twice by monotony, 0.04 → max(0.06, 2 · 0.03).
        assert_eq!(holm(&[0.02, 0.5, 0.01, 0.03]), [0.06, 0.5, 0.04, 0.06]);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }

    #[test]
    fn cells_and_divisors() {
        assert_eq!(divisor(100, 5, 20), Some(20));
        assert_eq!(divisor(101, 5, 20), None);
        assert_eq!(divisor(60, 5, 19), Some(15));
        assert_eq!(counts(&[0.0, 0.05, 0.0499, 1.0, 0.999], 20), [vec![2, 1], vec![0; 17], vec![2]].concat());
    }

    #[test]
    fn deviations_are_named() {
        let mut rng = Stream::new(4);
        let uniforms: Vec<f64> = (0..1000).map(|_| rng.uniform()).collect();
        let of = |f: &dyn Fn(f64) -> f64| Deviation::of(&uniforms.iter().map(|&u| f(u)).collect::<Vec<_>>());
        assert_eq!(of(&|u| u), Deviation::Uneven);
        assert_eq!(of(&|u| u * u), Deviation::TooHigh);
        assert_eq!(of(&f64::sqrt), Deviation::TooLow);
        // The arcsine distribution, and the mean of it with the middle.
        assert_eq!(of(&|u| (0.5 * PI * u).sin().powi(2)), Deviation::TooNarrow);
        assert_eq!(of(&|u| 0.5 * u + 0.25), Deviation::TooWide);
    }
}
