//! Maximum mean discrepancy.
//!
//! It sees differences on the scale of its bandwidth, and is blind to those far below and above it.

use super::points::{Checked, Points, finite, squared_distance};
use crate::error::{Error, check};

/// The squared maximum mean discrepancy between two samples as they stand, by the RBF kernel of bandwidth h: at least 0 but for rounding.
///
/// ```text
/// MMD² = E k(X, X') + E k(Y, Y') - 2 E k(X, Y),    k(x, y) = exp(-|x - y|² / 2h²)
/// ```
/// Source: Gretton, Borgwardt, Rasch, Schölkopf & Smola 2012, *A Kernel Two-Sample Test*, <https://jmlr.org/papers/v13/gretton12a.html>.
///
/// ```
/// use ndarray::array;
/// use posterity::diagnostics::mmd_squared;
/// // Two points at distance 2h: 2 - 2 exp(-2).
/// let found = mmd_squared(&array![[0.0]], &array![[3.0]], 1.5)?;
/// assert!((found - (2.0 - 2.0 * (-2.0_f64).exp())).abs() < 1e-15);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidSetting`] unless h is positive and finite; otherwise as [`energy_distance`](super::energy_distance).
pub fn mmd_squared<'a, 'b>(x: impl Into<Points<'a>>, y: impl Into<Points<'b>>, bandwidth: f64) -> Result<f64, Error> {
    let kernel = rbf(bandwidth)?;
    let (x, y) = (Checked::new(x.into())?, Checked::new(y.into())?);
    let across = x.sum_over_distances_to(&y, &kernel)?;
    let within = |sample: &Checked<'_>| sample.sum_over_distances(&kernel) + sample.sum_of_squared_weights();
    finite("MMD²", within(&x) + within(&y) - 2.0 * across)
}

/// The squared maximum mean discrepancy of the distributions that two samples come from, without bias: the mean is 0 if they are the same, and
/// single values may be negative. Weights have to be independent of the positions; with importance weights it is biased.
///
/// # Errors
/// As [`mmd_squared`]; [`Error::TooFewDraws`] for a sample with a single point.
pub fn mmd_squared_unbiased<'a, 'b>(x: impl Into<Points<'a>>, y: impl Into<Points<'b>>, bandwidth: f64) -> Result<f64, Error> {
    let kernel = rbf(bandwidth)?;
    let (x, y) = (Checked::new(x.into())?, Checked::new(y.into())?);
    let across = x.sum_over_distances_to(&y, &kernel)?;
    let mut within = 0.0;
    for sample in [&x, &y] {
        within += sample.sum_over_distances(&kernel) / sample.share_of_pairs("an unbiased MMD²")?;
    }
    finite("MMD²", within - 2.0 * across)
}

/// The kernel as a function of the squared distance.
fn rbf(bandwidth: f64) -> Result<impl Fn(f64) -> f64 + Sync, Error> {
    check::positive("bandwidth", bandwidth)?;
    let factor = -0.5 / bandwidth / bandwidth;
    Ok(move |r2: f64| (factor * r2).exp())
}

/// Points between which distances are taken.
const MOST_POINTS: usize = 1000;

/// The median distance between two points of a sample: the usual bandwidth. Of more than 1000 points it takes 1000, spaced evenly.
///
/// ```
/// use ndarray::array;
/// use posterity::diagnostics::median_distance;
/// // Distances 1, 2, 3.
/// assert_eq!(median_distance(&array![[0.0], [1.0], [3.0]])?, 2.0);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// # Errors
/// As [`energy_distance`](super::energy_distance), and [`Error::TooFewDraws`] for a single point.
pub fn median_distance<'a>(points: impl Into<Points<'a>>) -> Result<f64, Error> {
    median_of(&Checked::new(points.into())?)
}

pub(super) fn median_of(points: &Checked<'_>) -> Result<f64, Error> {
    points.share_of_pairs("a median distance")?;
    let chosen: Vec<usize> = (0..points.len()).filter(|&i| points.weights[i] > 0.0).collect();
    let chosen: Vec<usize> = if chosen.len() <= MOST_POINTS {
        chosen
    } else {
        (0..MOST_POINTS).map(|k| chosen[k * (chosen.len() - 1) / (MOST_POINTS - 1)]).collect()
    };
    let mut pairs = Vec::with_capacity(chosen.len() * (chosen.len() - 1) / 2);
    for (k, &i) in chosen.iter().enumerate() {
        for &j in &chosen[..k] {
            let distance = squared_distance(points.row(i), points.row(j)).sqrt();
            pairs.push((distance, points.weights[i] * points.weights[j]));
        }
    }
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let median = if points.are_weighted {
        let half = 0.5 * pairs.iter().map(|(_, w)| w).sum::<f64>();
        let mut below = 0.0;
        let reaches_half = pairs.iter().position(|(_, w)| {
            below += w;
            below >= half
        });
        pairs[reaches_half.unwrap_or(pairs.len() - 1)].0
    } else {
        let m = pairs.len();
        0.5 * (pairs[(m - 1) / 2].0 + pairs[m / 2].0)
    };
    finite("median distance", median)
}
