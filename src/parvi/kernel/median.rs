//! Exact medians of squared distances, without a sort.

/// Triangles up to this size are searched whole.
const SMALL: usize = 1024;

/// The room that a search needs; nothing of it outlives the search.
#[derive(Debug, Clone, Default)]
pub(in crate::parvi) struct Scratch {
    sample: Vec<f64>,
    inside: Vec<f64>,
}

/// The median of all N² distances: the N zeros of the diagonal, and each pair twice.
pub(super) fn of_all(distances: &[f64], n: usize, scratch: &mut Scratch) -> f64 {
    let total = n * n;
    // The places of the middle in the sorted list, whose first n are the diagonal's.
    let [lower, upper] = [(total - 1) / 2, total / 2];
    if upper < n {
        return 0.0;
    }
    let rank = |place: usize| place.saturating_sub(n) / 2;
    let (below, above) = order_statistics(distances, n, [rank(lower), rank(upper)], scratch);
    0.5 * (if lower < n { 0.0 } else { below } + above)
}

/// The median over the pairs; 0 if there are none.
pub(super) fn of_pairs(distances: &[f64], n: usize, scratch: &mut Scratch) -> f64 {
    if n < 2 {
        return 0.0;
    }
    let total = n * (n - 1) / 2;
    let (below, above) = order_statistics(distances, n, [(total - 1) / 2, total / 2], scratch);
    0.5 * (below + above)
}

/// The mean of the same N² numbers as [`of_all`].
pub(super) fn mean_of_all(distances: &[f64], n: usize) -> f64 {
    let sum: f64 = (1..n).map(|i| distances[i * n..i * n + i].iter().sum::<f64>()).sum();
    2.0 * sum / (n * n) as f64
}

/// The entries of the strict lower triangle that have two neighbouring or equal ranks.
///
/// A sample gives two bounds that the entries very likely lie between; one pass counts what is below and collects what is inside, and a
/// selection among the collected finishes. Where the sample misled, all entries are collected.
fn order_statistics(distances: &[f64], n: usize, [lower, upper]: [usize; 2], scratch: &mut Scratch) -> (f64, f64) {
    let Scratch { sample, inside } = scratch;
    let total = n * (n - 1) / 2;
    if total > SMALL {
        let (low, high) = bounds(distances, n, [lower, upper], sample);
        let below = collect(distances, n, low, high, inside);
        if below <= lower && upper < below + inside.len() {
            return pick(inside, lower - below, upper - below);
        }
    }
    inside.clear();
    inside.extend((1..n).flat_map(|i| &distances[i * n..i * n + i]));
    pick(inside, lower, upper)
}

/// Distances are at least 0 and never NaN, and so sorted as their bits are.
fn pick(values: &mut [f64], lower: usize, upper: usize) -> (f64, f64) {
    let (_, &mut below, rest) = values.select_nth_unstable_by_key(lower, |x| x.to_bits());
    let above = if upper == lower { below } else { rest.iter().copied().fold(f64::INFINITY, f64::min) };
    (below, above)
}

/// Bounds between which the ranks lie if the entries at a fixed stride are like the rest.
fn bounds(distances: &[f64], n: usize, [lower, upper]: [usize; 2], sample: &mut Vec<f64>) -> (f64, f64) {
    let total = n * (n - 1) / 2;
    // A sample of total^(2/3) makes its own selection and that of what it leaves inside about equally dear.
    let stride = ((total as f64).cbrt() as usize).max(1);
    sample.clear();
    let mut next = stride / 2;
    for i in 1..n {
        while next < i {
            sample.push(distances[i * n + next]);
            next += stride;
        }
        next -= i;
    }
    let size = sample.len();
    let place = |rank: usize| rank as f64 / total as f64 * size as f64;
    // Five standard deviations of the rank of a median in an independent sample.
    let margin = 2.5 * (size as f64).sqrt();
    let (first, last) = (place(lower) - margin, place(upper) + margin);
    let low = if first < 0.0 { 0.0 } else { *sample.select_nth_unstable_by_key(first as usize, |x| x.to_bits()).1 };
    let high =
        if last as usize >= size { f64::INFINITY } else { *sample.select_nth_unstable_by_key(last as usize, |x| x.to_bits()).1 };
    (low, high)
}

/// Counts the entries of the strict lower triangle below `low`, and collects those from `low` to `high`.
fn collect(distances: &[f64], n: usize, low: f64, high: f64, inside: &mut Vec<f64>) -> usize {
    inside.clear();
    let mut below = 0;
    for i in 1..n {
        for part in distances[i * n..i * n + i].chunks(64) {
            // No branch depends on an entry: each is written, and kept if the next one does not take its place.
            let mut kept = [0.0; 65];
            let mut n_kept = 0;
            for &x in part {
                kept[n_kept] = x;
                n_kept += usize::from(x >= low) & usize::from(x <= high);
                below += usize::from(x < low);
            }
            inside.extend_from_slice(&kept[..n_kept]);
        }
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn medians_are_those_of_a_sort() {
        let mut random = Stream::new(1);
        let mut scratch = Scratch::default();
        for n in [1, 2, 3, 4, 5, 20, 45, 46, 47, 100, 133, 300] {
            for shape in 0..4 {
                let mut matrix = vec![f64::NAN; n * n];
                for i in 0..n {
                    for j in 0..=i {
                        let x = random.normal();
                        matrix[i * n + j] = match shape {
                            _ if i == j => 0.0,
                            0 => x * x,
                            // Ties, most of them 0.
                            1 => x.abs().floor(),
                            // What a strided sample sees little of.
                            2 => (i * n + j) as f64,
                            _ => {
                                if i < n / 2 {
                                    1e300
                                } else {
                                    x * x
                                }
                            }
                        };
                    }
                }
                let mut pairs: Vec<f64> = (0..n).flat_map(|i| matrix[i * n..i * n + i].to_vec()).collect();
                let mut all: Vec<f64> = pairs.iter().chain(&pairs).copied().chain(std::iter::repeat_n(0.0, n)).collect();
                all.sort_by(f64::total_cmp);
                pairs.sort_by(f64::total_cmp);
                let middle = |x: &[f64]| if x.is_empty() { 0.0 } else { 0.5 * (x[(x.len() - 1) / 2] + x[x.len() / 2]) };
                assert_eq!(of_all(&matrix, n, &mut scratch), middle(&all), "n = {n}, shape {shape}");
                assert_eq!(of_pairs(&matrix, n, &mut scratch), middle(&pairs), "n = {n}, shape {shape}");
            }
        }
    }

    #[test]
    fn a_sample_that_misleads_changes_nothing() {
        // The entries that the stride hits are all 1, the others all 0: the median is 0.
        let n = 200;
        let total = n * (n - 1) / 2;
        let stride = (total as f64).cbrt() as usize;
        let mut matrix = vec![f64::NAN; n * n];
        let mut k = 0;
        for i in 1..n {
            for j in 0..i {
                matrix[i * n + j] = if k % stride == stride / 2 { 1.0 } else { 0.0 };
                k += 1;
            }
        }
        let mut scratch = Scratch::default();
        assert_eq!(order_statistics(&matrix, n, [total / 2, total / 2], &mut scratch), (0.0, 0.0));
        assert_eq!(scratch.sample.iter().sum::<f64>(), scratch.sample.len() as f64);
    }
}
