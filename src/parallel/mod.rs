//! Loops on one thread or on several, with results that do not depend on which.
//!
//! With the feature `parallel` (a default) work is spread by rayon: over its global pool, or over a pool of a given number of threads.
//! Without it everything runs on the caller's thread. Results come in the order of their indices and each item is computed by one call, so
//! the bits are the same on any number of threads as long as an item's work depends on its index alone.

mod threads;

pub use threads::{Cut, PerBlock, Threads};

/// `[f(0), …, f(n - 1)]`, computed on up to `threads` threads; `None` means rayon's current pool.
///
/// `Some(0)` counts as one thread. If the operating system refuses the threads, the caller's thread does the work.
///
/// ```
/// let squares = posterity::parallel::map_indexed(4, Some(2), |i| i * i);
/// assert_eq!(squares, [0, 1, 4, 9]);
/// ```
pub fn map_indexed<T: Send>(n: usize, threads: Option<usize>, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    #[cfg(feature = "parallel")]
    if n > 1 {
        use rayon::prelude::*;
        if let Some(result) = on_pool(threads, n, || (0..n).into_par_iter().map(&f).collect()) {
            return result;
        }
    }
    let _ = threads;
    (0..n).map(f).collect()
}

/// Calls `f(index, block)` for every block of `block_len` elements of `slice` (the last may be shorter), on up to `threads` threads.
///
/// `threads` is read as in [`map_indexed`]; a `block_len` of 0 counts as 1.
pub fn for_each_block_mut<T: Send>(
    slice: &mut [T],
    block_len: usize,
    threads: Option<usize>,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    let block_len = block_len.max(1);
    #[cfg(feature = "parallel")]
    if slice.len() > block_len {
        use rayon::prelude::*;
        let n_blocks = slice.len().div_ceil(block_len);
        let run = || slice.par_chunks_mut(block_len).enumerate().for_each(|(index, block)| f(index, block));
        if on_pool(threads, n_blocks, run).is_some() {
            return;
        }
    }
    let _ = threads;
    for (index, block) in slice.chunks_mut(block_len).enumerate() {
        f(index, block);
    }
}

/// Runs the job on rayon, or returns `None` if the caller's thread should do it.
#[cfg(feature = "parallel")]
fn on_pool<T: Send>(threads: Option<usize>, n_items: usize, job: impl FnOnce() -> T + Send) -> Option<T> {
    match threads {
        None if rayon::current_num_threads() == 1 => None,
        None => Some(job()),
        Some(0 | 1) => None,
        Some(threads) if threads == rayon::current_num_threads() => Some(job()),
        Some(threads) => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.min(n_items)).build().ok()?;
            Some(pool.install(job))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use rand::RngExt;

    const THREADS: [Option<usize>; 6] = [None, Some(0), Some(1), Some(2), Some(4), Some(100)];

    #[test]
    fn results_come_in_order() {
        for threads in THREADS {
            for n in [0, 1, 2, 1000] {
                assert_eq!(map_indexed(n, threads, |i| 3 * i), (0..n).map(|i| 3 * i).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn order_sensitive_sum_has_the_same_bits() {
        let mut random = Stream::new(4);
        let x: Vec<f64> = (0..10_000).map(|_| random.random_range(-1.0..1.0) * 10f64.powi(random.random_range(-8..8))).collect();
        let total = |threads| {
            let parts = map_indexed(100, threads, |i| x[i * 100..(i + 1) * 100].iter().sum::<f64>());
            parts.iter().sum::<f64>()
        };
        let expected: f64 = total(Some(1));
        for threads in THREADS {
            assert_eq!(total(threads).to_bits(), expected.to_bits());
        }
        let backwards: f64 = x.iter().rev().sum();
        assert_ne!(backwards.to_bits(), expected.to_bits(), "the sum must depend on the order");
    }

    #[test]
    fn blocks_are_visited_once_with_their_index() {
        for threads in THREADS {
            for (n, block_len) in [(0, 3), (1, 3), (10, 3), (10, 0), (9, 3), (1000, 7), (5, 100)] {
                let mut x = vec![0usize; n];
                for_each_block_mut(&mut x, block_len, threads, |index, block| {
                    for (i, v) in block.iter_mut().enumerate() {
                        *v += 1 + index * block_len.max(1) + i;
                    }
                });
                assert_eq!(x, (1..=n).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn nested_calls_do_not_deadlock() {
        let nested = map_indexed(4, Some(2), |i| map_indexed(4, Some(2), |j| 4 * i + j));
        assert_eq!(nested.concat(), (0..16).collect::<Vec<_>>());
    }

    #[test]
    #[should_panic(expected = "item 3")]
    fn a_panic_reaches_the_caller() {
        map_indexed(8, Some(2), |i| assert!(i != 3, "item {i}"));
    }
}
