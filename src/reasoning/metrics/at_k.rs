//! What k of n texts would have given, averaged over all subsets.

use crate::error::{Error, check};
use crate::math::ln_choose;

fn check_k(k: usize, n: usize) -> Result<(), Error> {
    check::in_range("k", k as f64, (1..=n).contains(&k), "at least 1, and no more than there are texts")
}

/// pass@k: the probability that of k texts at least one is right, from n texts of which `n_right` are.
///
/// ```text
/// 1 - C(n - c, k) / C(n, k)
/// ```
/// Unbiased for 1 - (1 - p)^k. Source: M. Chen et al. 2021, arXiv:2107.03374.
///
/// # Errors
/// [`Error::InvalidSetting`] unless 1 <= k <= n and c <= n.
///
/// ```
/// assert!((posterity::reasoning::pass_at_k(10, 3, 4)? - (1.0 - 35.0 / 210.0)).abs() < 1e-15);
/// # Ok::<(), posterity::error::Error>(())
/// ```
pub fn pass_at_k(n_texts: usize, n_right: usize, k: usize) -> Result<f64, Error> {
    check_k(k, n_texts)?;
    check::in_range("n_right", n_right as f64, n_right <= n_texts, "no more than there are texts")?;
    if n_texts - n_right < k {
        return Ok(1.0);
    }
    // Whichever product is shorter: of the texts that are drawn, or of those that are right.
    let all_wrong: f64 = if k <= n_right {
        (0..k).map(|i| (n_texts - n_right - i) as f64 / (n_texts - i) as f64).product()
    } else {
        (0..n_right).map(|i| (n_texts - k - i) as f64 / (n_texts - i) as f64).product()
    };
    Ok(1.0 - all_wrong)
}

/// majority@k: the probability that the most frequent answer of k texts is right, ties split evenly, from the number of texts with each answer.
///
/// `right` is the number of texts with the right answer, `wrong` those of the other answers, one by one, `none` of those without an answer,
/// which have no vote. Exact over all subsets of k texts. If none of the k has an answer, the majority is wrong.
///
/// # Errors
/// [`Error::InvalidSetting`] unless k is at least 1 and no more than all texts together.
///
/// ```
/// // Two of three texts: the right one stands alone, or ties with the wrong one it meets.
/// let p = posterity::reasoning::majority_at_k(1, &[1, 1], 0, 2)?;
/// assert!((p - 1.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), posterity::error::Error>(())
/// ```
pub fn majority_at_k(right: usize, wrong: &[usize], none: usize, k: usize) -> Result<f64, Error> {
    check_k(k, right + wrong.iter().sum::<usize>() + none)?;
    let mut total = 0.0;
    for votes in 1..=right.min(k) {
        let others = wrong.iter().sum::<usize>() + none;
        // The law of the draws that are left, and of the number of answers that tie with the right one.
        let mut open = vec![vec![0.0; k / votes + 1]; k + 1];
        open[k - votes][0] = hypergeometric(right, others, k, votes);
        let mut rest = others;
        for &m in wrong {
            rest -= m;
            let mut next = vec![vec![0.0; k / votes + 1]; k + 1];
            for left in 0..=k {
                for drawn in 0..=m.min(left).min(votes) {
                    let p = hypergeometric(m, rest, left, drawn);
                    let is_tie = usize::from(drawn == votes);
                    for ties in 0..next[0].len() - is_tie {
                        next[left - drawn][ties + is_tie] += p * open[left][ties];
                    }
                }
            }
            open = next;
        }
        // What is left falls on texts without an answer, where there are enough of those.
        for by_ties in open.iter().take(none + 1) {
            total += by_ties.iter().enumerate().map(|(ties, p)| p / (ties + 1) as f64).sum::<f64>();
        }
    }
    Ok(total)
}

/// The probability of `drawn` out of `m` when `k` of `m + rest` are drawn; 0 where that cannot be.
fn hypergeometric(m: usize, rest: usize, k: usize, drawn: usize) -> f64 {
    if drawn > k || k > m + rest {
        return 0.0;
    }
    let ln_c = |n: usize, k: usize| ln_choose(n as u64, k as u64);
    (ln_c(m, drawn) + ln_c(rest, k - drawn) - ln_c(m + rest, k)).exp()
}

/// best-of-k: the probability that the text with the largest reward of k is right, ties split evenly, averaged over all subsets of k of these
/// texts.
///
/// # Errors
/// [`Error::Dimension`] if there is another number of rewards than of texts, [`Error::NotFinite`] for a NaN, [`Error::InvalidSetting`] for k.
///
/// ```
/// let p = posterity::reasoning::best_of_k(&[0.9, 0.5, 0.1], &[false, true, true], 2)?;
/// assert!((p - 1.0 / 3.0).abs() < 1e-15);
/// # Ok::<(), posterity::error::Error>(())
/// ```
pub fn best_of_k(rewards: &[f64], is_right: &[bool], k: usize) -> Result<f64, Error> {
    let n = rewards.len();
    if is_right.len() != n {
        return Err(Error::Dimension { what: "rewards of texts", expected: is_right.len(), found: n });
    }
    check_k(k, n)?;
    if let Some(index) = rewards.iter().position(|reward| reward.is_nan()) {
        return Err(Error::NotFinite { what: "rewards", index, value: f64::NAN });
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| rewards[b].total_cmp(&rewards[a]));
    // The probability that the k avoid the first texts in this order.
    let avoid =
        |first: usize| if n - first < k { 0.0 } else { (0..k).map(|i| (n - first - i) as f64 / (n - i) as f64).product() };
    let mut total = 0.0;
    let mut first = 0;
    for group in order.chunk_by(|&a, &b| rewards[a] == rewards[b]) {
        let share_right = group.iter().filter(|&&i| is_right[i]).count() as f64 / group.len() as f64;
        let (before, after): (f64, f64) = (avoid(first), avoid(first + group.len()));
        total += share_right * (before - after);
        first += group.len();
    }
    Ok(total)
}
