//! Optimal resampling without replacement: of many weighted items, at most n are kept, each at most once.
//!
//! ```text
//! Σᵢ min(1, wᵢ/c) = n,     item i is kept with probability min(1, wᵢ/c), and its weight is then max(wᵢ, c)
//! ```
//! Heavy items keep their weights; of the light ones a systematic sample is kept, all with weight c. So E[new weight] = old weight for each
//! item, and among all ways to keep n items for which that holds, this one has the least Σ E(new - old)². The sum of weights does not change
//! at all. For items that are all different, such as texts, copies would be a waste; where children of the same item differ, use a
//! [`Scheme`](super::Scheme).
//!
//! *Cost.* O(m log m) for m items.
//!
//! *References.* P. Fearnhead and P. Clifford 2003, doi:10.1111/1467-9868.00421.

use super::ResampleError;
use crate::math::log_add_exp;
use crate::rng::Stream;

/// Items that were kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Their numbers, in increasing order.
    pub indices: Vec<usize>,
    /// Their new log-weights, on the scale of the old ones.
    pub log_weights: Vec<f64>,
    /// Log of the threshold c, the weight of all light items that were kept; -∞ if every item of positive weight was.
    pub log_threshold: f64,
}

/// Keeps at most `n` of the items without replacement, unbiased; all of positive weight, as they are, if there are no more than `n`.
///
/// # Errors
/// [`ResampleError::Empty`] if there are no items or `n` is 0, [`ResampleError::Weight`] with the log-weight if one is NaN or +∞,
/// [`ResampleError::AllZero`] if all are -∞.
///
/// ```
/// use posterity::rng::Stream;
/// use posterity::weights::resampling::resample_without_replacement;
/// let log_weights = [8.0_f64, 1.0, 1.0, 2.0].map(f64::ln);
/// let kept = resample_without_replacement(&log_weights, 2, &mut Stream::new(1))?;
/// // 8 stays; one of the others is kept, and stands for all of them.
/// assert_eq!(kept.indices[0], 0);
/// assert!((kept.log_weights[0].exp() - 8.0).abs() < 1e-12 && (kept.log_weights[1].exp() - 4.0).abs() < 1e-12);
/// # Ok::<(), posterity::Error>(())
/// ```
pub fn resample_without_replacement(log_weights: &[f64], n: usize, rng: &mut Stream) -> Result<Kept, ResampleError> {
    if log_weights.is_empty() || n == 0 {
        return Err(ResampleError::Empty);
    }
    if let Some(slot) = log_weights.iter().position(|w| w.is_nan() || *w == f64::INFINITY) {
        return Err(ResampleError::Weight { slot, value: log_weights[slot] });
    }
    let positive: Vec<usize> = (0..log_weights.len()).filter(|&i| log_weights[i] > f64::NEG_INFINITY).collect();
    if positive.is_empty() {
        return Err(ResampleError::AllZero);
    }
    if positive.len() <= n {
        let log_weights = positive.iter().map(|&i| log_weights[i]).collect();
        return Ok(Kept { indices: positive, log_weights, log_threshold: f64::NEG_INFINITY });
    }
    let (log_threshold, is_heavy) = threshold(log_weights, &positive, n);
    let mut kept = Kept { indices: Vec::with_capacity(n), log_weights: Vec::with_capacity(n), log_threshold };
    // A light item is kept when the sum of w/c passes one of the points u, u + 1, …: never two of them within one item.
    let n_light = n - is_heavy.iter().filter(|&&heavy| heavy).count();
    let last_light = is_heavy.iter().rposition(|&heavy| !heavy);
    let (mut point, mut sum, mut n_kept) = (rng.uniform(), 0.0, 0);
    for (j, &i) in positive.iter().enumerate() {
        if is_heavy[j] {
            kept.indices.push(i);
            kept.log_weights.push(log_weights[i]);
            continue;
        }
        sum += (log_weights[i] - log_threshold).exp();
        // Round-off may leave the last point just above the sum of all.
        let is_left_over = Some(j) == last_light && n_kept + 1 == n_light;
        if n_kept < n_light && (point < sum || is_left_over) {
            kept.indices.push(i);
            kept.log_weights.push(log_threshold);
            n_kept += 1;
            point += 1.0;
        }
    }
    Ok(kept)
}

/// log c, and which of the positive weights are above c. There are more than n of them.
///
/// With the L heaviest kept for certain, c = (sum of the others) / (n - L); L is the least number for which no other weight exceeds c.
fn threshold(log_weights: &[f64], positive: &[usize], n: usize) -> (f64, Vec<bool>) {
    let mut order: Vec<usize> = (0..positive.len()).collect();
    let log_weight = |j: usize| log_weights[positive[j]];
    order.sort_by(|&a, &b| log_weight(b).total_cmp(&log_weight(a)));
    // Sums from the lightest on, of logarithms: light weights may be too small for numbers on the scale of the heavy ones.
    let mut log_sums = vec![f64::NEG_INFINITY; order.len() + 1];
    for (rank, &j) in order.iter().enumerate().rev() {
        log_sums[rank] = log_add_exp(log_sums[rank + 1], log_weight(j));
    }
    let mut is_heavy = vec![false; order.len()];
    let mut n_heavy = 0;
    let log_c = |n_heavy: usize| log_sums[n_heavy] - ((n - n_heavy) as f64).ln();
    while n_heavy + 1 < n && log_weight(order[n_heavy]) > log_c(n_heavy) {
        is_heavy[order[n_heavy]] = true;
        n_heavy += 1;
    }
    (log_c(n_heavy), is_heavy)
}
