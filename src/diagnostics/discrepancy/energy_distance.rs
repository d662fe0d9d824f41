//! Energy distance.
//!
//! In one dimension it is 2 ∫ (F - G)² with F, G the distribution functions. It is 0 for equal distributions only, and needs no bandwidth; it weighs
//! differences of the location most.

use super::points::{Checked, Points, finite};
use crate::error::Error;

/// The energy distance between two samples as they stand, with pairs of a point with itself: at least 0 but for rounding, and 0 for a sample and
/// itself.
///
/// ```text
/// D = 2 E|X - Y| - E|X - X'| - E|Y - Y'|
/// ```
/// Source: Székely & Rizzo 2013, *Energy statistics: A class of statistics based on distances*, <https://doi.org/10.1016/j.jspi.2013.03.018>.
///
/// ```
/// use ndarray::array;
/// use posterity::diagnostics::energy_distance;
/// // F and G differ by 1 on an interval of length 3.
/// assert_eq!(energy_distance(&array![[1.0]], &array![[4.0]])?, 6.0);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`]; [`Error::Dimension`] for samples of different dimension, or weights that do not fit; [`Error::NotFinite`];
/// [`Error::OutsideSupport`] for a negative weight, [`Error::InvalidSetting`] if all are 0.
pub fn energy_distance<'a, 'b>(x: impl Into<Points<'a>>, y: impl Into<Points<'b>>) -> Result<f64, Error> {
    let (x, y) = (Checked::new(x.into())?, Checked::new(y.into())?);
    let across = x.sum_over_distances_to(&y, f64::sqrt)?;
    let within = x.sum_over_distances(f64::sqrt) + y.sum_over_distances(f64::sqrt);
    finite("energy distance", 2.0 * across - within)
}

/// The energy distance of the distributions that two samples come from, without bias: the mean is 0 if they are the same, and single values may
/// be negative. Weights have to be independent of the positions; with importance weights it is biased.
///
/// # Errors
/// As [`energy_distance`]; [`Error::TooFewDraws`] for a sample with a single point.
pub fn energy_distance_unbiased<'a, 'b>(x: impl Into<Points<'a>>, y: impl Into<Points<'b>>) -> Result<f64, Error> {
    let (x, y) = (Checked::new(x.into())?, Checked::new(y.into())?);
    let across = x.sum_over_distances_to(&y, f64::sqrt)?;
    let mut within = 0.0;
    for sample in [&x, &y] {
        within += sample.sum_over_distances(f64::sqrt) / sample.share_of_pairs("an unbiased energy distance")?;
    }
    finite("energy distance", 2.0 * across - within)
}
