//! Intervals of accuracies and of their differences.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::diagnostics::quantile;
use crate::error::{Error, check};
use crate::math::{ln_choose, special::normal_quantile};
use crate::rng::{Purpose, Stream};

/// An estimate with a confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The estimate.
    pub estimate: f64,
    /// Its lower end.
    pub lower: f64,
    /// Its upper end.
    pub upper: f64,
}

impl Interval {
    /// True if the whole interval lies above a value.
    #[must_use]
    pub fn is_above(&self, value: f64) -> bool {
        self.lower > value
    }
}

/// Wilson's interval of a proportion: for one run over independent problems.
///
/// Source: E. B. Wilson 1927, doi:10.1080/01621459.1927.10502953.
///
/// # Errors
/// [`Error::InvalidSetting`] for a level outside (0, 1), no trials, or more successes than trials.
///
/// ```
/// let interval = posterity::reasoning::wilson_interval(8, 10, 0.95)?;
/// assert!((interval.lower - 0.4902).abs() < 1e-4 && (interval.upper - 0.9433).abs() < 1e-4);
/// # Ok::<(), posterity::error::Error>(())
/// ```
pub fn wilson_interval(n_successes: usize, n_trials: usize, level: f64) -> Result<Interval, Error> {
    check::open_unit("level", level)?;
    check::at_least("n_trials", n_trials, 1, "at least 1")?;
    check::in_range("n_successes", n_successes as f64, n_successes <= n_trials, "no more than there are trials")?;
    let n = n_trials as f64;
    let estimate = n_successes as f64 / n;
    let z = normal_quantile(0.5 + level / 2.0);
    let shrunk = 1.0 + z * z / n;
    let centre = (estimate + z * z / (2.0 * n)) / shrunk;
    let half = z / shrunk * (estimate * (1.0 - estimate) / n + z * z / (4.0 * n * n)).sqrt();
    let lower = if n_successes == 0 { 0.0 } else { (centre - half).max(0.0) };
    let upper = if n_successes == n_trials { 1.0 } else { (centre + half).min(1.0) };
    Ok(Interval { estimate, lower, upper })
}

/// Mean differences of two methods per problem, over its seeds.
fn differences(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Result<Vec<f64>, Error> {
    if a.nrows() != b.nrows() {
        return Err(Error::Dimension { what: "problems of the second method", expected: a.nrows(), found: b.nrows() });
    }
    check::at_least("n_problems", a.nrows(), 2, "at least 2")?;
    let mean = |method: ArrayView2<'_, f64>, problem: usize, what: &'static str| -> Result<f64, Error> {
        let row = method.row(problem);
        let mean = row.sum() / row.len() as f64;
        if mean.is_finite() { Ok(mean) } else { Err(Error::NotFinite { what, index: problem, value: mean }) }
    };
    (0..a.nrows()).map(|i| Ok(mean(a, i, "results of the first method")? - mean(b, i, "results of the second method")?)).collect()
}

/// Student's interval of the mean difference a - b of two methods. Arrays are problems x seeds; the methods may have different numbers of
/// seeds, but have the same problems in the same order.
///
/// A problem's seeds are averaged first: problems are the independent units, so that the interval holds for new problems and new seeds.
///
/// # Errors
/// [`Error::Dimension`] for different numbers of problems, [`Error::NotFinite`] for results that are not finite (or no seeds),
/// [`Error::InvalidSetting`] for fewer than two problems or a level outside (0, 1).
pub fn paired_t_interval(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>, level: f64) -> Result<Interval, Error> {
    check::open_unit("level", level)?;
    let differences = differences(a, b)?;
    let n = differences.len() as f64;
    let estimate = differences.iter().sum::<f64>() / n;
    let variance = differences.iter().map(|d| (d - estimate).powi(2)).sum::<f64>() / (n - 1.0);
    let t = StudentsT::new(0.0, 1.0, n - 1.0).map_or(f64::NAN, |law| law.inverse_cdf(0.5 + level / 2.0));
    let half = t * (variance / n).sqrt();
    Ok(Interval { estimate, lower: estimate - half, upper: estimate + half })
}

/// The percentile bootstrap interval of the mean difference a - b of two methods, over problems; see [`paired_t_interval`] for the arrays.
///
/// # Errors
/// As [`paired_t_interval`]; [`Error::InvalidSetting`] also for fewer than 100 resamples.
pub fn paired_bootstrap_interval(
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
    level: f64,
    n_resamples: usize,
    seed: u64,
) -> Result<Interval, Error> {
    check::open_unit("level", level)?;
    check::at_least("n_resamples", n_resamples, 100, "at least 100")?;
    let differences = differences(a, b)?;
    let n = differences.len();
    let means: Vec<f64> = (0..n_resamples as u64)
        .map(|i| {
            let mut stream = Stream::keyed(seed, Purpose::Resampling, i, 0);
            let mut draw = || differences[((stream.uniform() * n as f64) as usize).min(n - 1)];
            (0..n).map(|_| draw()).sum::<f64>() / n as f64
        })
        .collect();
    let at = |probability| quantile(ArrayView2::from_shape((1, means.len()), &means).ok()?, probability);
    let (lower, upper) = (at(0.5 - level / 2.0), at(0.5 + level / 2.0));
    Ok(Interval {
        estimate: differences.iter().sum::<f64>() / n as f64,
        lower: lower.unwrap_or(f64::NAN),
        upper: upper.unwrap_or(f64::NAN),
    })
}

/// McNemar's exact test of two methods on the same problems, one run each: the two-sided p-value from the numbers of problems that only the
/// first and only the second method solved.
///
/// Source: Q. McNemar 1947, doi:10.1007/BF02295996.
///
/// ```
/// assert!((posterity::reasoning::mcnemar_p_value(1, 5) - 14.0 / 64.0).abs() < 1e-14);
/// ```
#[must_use]
pub fn mcnemar_p_value(only_first: u64, only_second: u64) -> f64 {
    let n = only_first + only_second;
    let tail = |k: u64| (0..=k).map(|i| (ln_choose(n, i) - n as f64 * std::f64::consts::LN_2).exp()).sum::<f64>();
    (2.0 * tail(only_first.min(only_second))).min(1.0)
}
