//! A place where work on blocks runs: the caller's thread, the shared pool, or a pool of its own.

#[cfg(feature = "parallel")]
use std::sync::Arc;

use crate::error::Error;

/// The threads that a computation may use. Cloning shares them.
///
/// Results never depend on the choice: blocks have a constant length, and each one is worked on by one call.
///
/// ```
/// use posterity::parallel::Threads;
/// let mut squares = vec![0_usize; 1000];
/// Threads::new(2)?.for_each_block(squares.as_mut_slice(), 64, |block, part: &mut [usize]| {
///     for (i, square) in part.iter_mut().enumerate() {
///         *square = (64 * block + i).pow(2);
///     }
/// });
/// assert_eq!(squares[999], 999 * 999);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Threads(Place);

#[derive(Debug, Clone, Default)]
enum Place {
    Caller,
    #[default]
    Shared,
    #[cfg(feature = "parallel")]
    Own(Arc<rayon::ThreadPool>),
}

impl Threads {
    /// The caller's thread only.
    #[must_use]
    pub fn serial() -> Self {
        Self(Place::Caller)
    }

    /// Rayon's current pool (the default): the global one, or the one whose thread is calling.
    #[must_use]
    pub fn shared() -> Self {
        Self(Place::Shared)
    }

    /// A pool of `n` threads; 0 and 1 mean the caller's thread. Without the feature `parallel` it is the caller's thread always.
    ///
    /// # Errors
    /// [`Error::Threads`] if the operating system refuses the threads.
    pub fn new(n: usize) -> Result<Self, Error> {
        if n <= 1 {
            return Ok(Self::serial());
        }
        #[cfg(feature = "parallel")]
        {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build();
            pool.map(|pool| Self(Place::Own(Arc::new(pool)))).map_err(|_| Error::Threads { requested: n })
        }
        #[cfg(not(feature = "parallel"))]
        Ok(Self::serial())
    }

    /// Number of threads.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.0 {
            Place::Caller => 1,
            #[cfg(feature = "parallel")]
            Place::Shared => rayon::current_num_threads(),
            #[cfg(not(feature = "parallel"))]
            Place::Shared => 1,
            #[cfg(feature = "parallel")]
            Place::Own(pool) => pool.current_num_threads(),
        }
    }

    /// These threads if there are at least `least` of `n` items to share out, otherwise the caller's.
    #[must_use]
    pub fn for_at_least(&self, least: usize, n: usize) -> Self {
        if n < least { Self::serial() } else { self.clone() }
    }

    /// Runs `job` on one of these threads, so that what it spreads does not have to wait for them each time.
    pub fn install<R: Send>(&self, job: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Place::Caller => job(),
            #[cfg(feature = "parallel")]
            Place::Shared if rayon::current_thread_index().is_none() && self.count() > 1 => rayon::join(job, || ()).0,
            Place::Shared => job(),
            #[cfg(feature = "parallel")]
            Place::Own(pool) => pool.install(job),
        }
    }

    /// Calls `f(index, part)` for every block of `block_len` elements of `data` (the last may be shorter; 0 counts as 1).
    pub fn for_each_block<C: Cut>(&self, data: C, block_len: usize, f: impl Fn(usize, C) + Sync) {
        let block_len = block_len.max(1);
        #[cfg(feature = "parallel")]
        {
            let n_threads = self.count();
            let n_blocks = data.extent().div_ceil(block_len);
            if n_threads > 1 && n_blocks > 1 {
                // Pieces small enough to balance the load, large enough to make the hand-over cheap.
                let grain = n_blocks.div_ceil(32 * n_threads);
                let task = || halve(data, 0, n_blocks, block_len, grain, &f);
                match &self.0 {
                    Place::Own(pool) if pool.current_thread_index().is_none() => pool.install(task),
                    _ => task(),
                }
                return;
            }
        }
        in_order(data, 0, block_len, &f);
    }
}

/// One block after the other.
fn in_order<C: Cut>(mut data: C, first: usize, block_len: usize, f: &impl Fn(usize, C)) {
    let mut index = first;
    while data.extent() > block_len {
        let (block, rest) = data.cut(block_len);
        f(index, block);
        data = rest;
        index += 1;
    }
    if data.extent() > 0 {
        f(index, data);
    }
}

#[cfg(feature = "parallel")]
fn halve<C: Cut>(data: C, first: usize, n_blocks: usize, block_len: usize, grain: usize, f: &(impl Fn(usize, C) + Sync)) {
    if n_blocks <= grain {
        return in_order(data, first, block_len, f);
    }
    let half = n_blocks / 2;
    let (left, right) = data.cut(half * block_len);
    rayon::join(
        || halve(left, first, half, block_len, grain, f),
        || halve(right, first + half, n_blocks - half, block_len, grain, f),
    );
}

/// Data that can be cut in two at an element, as slices and tuples of them can.
pub trait Cut: Send + Sized {
    /// Number of elements.
    fn extent(&self) -> usize;

    /// The first `at` elements, and the rest. `at` is at most [`Cut::extent`].
    fn cut(self, at: usize) -> (Self, Self);
}

impl<T: Sync> Cut for &[T] {
    fn extent(&self) -> usize {
        self.len()
    }

    fn cut(self, at: usize) -> (Self, Self) {
        self.split_at(at)
    }
}

impl<T: Send> Cut for &mut [T] {
    fn extent(&self) -> usize {
        self.len()
    }

    fn cut(self, at: usize) -> (Self, Self) {
        self.split_at_mut(at)
    }
}

/// One element per block of `block_len` elements of the data that it is cut along with.
#[derive(Debug)]
pub struct PerBlock<'a, T> {
    values: &'a mut [T],
    block_len: usize,
}

impl<'a, T> PerBlock<'a, T> {
    /// `values[b]` belongs to block `b`; cuts must fall between blocks, as those of [`Threads::for_each_block`] do.
    pub fn new(values: &'a mut [T], block_len: usize) -> Self {
        Self { values, block_len: block_len.max(1) }
    }

    /// Writes the value of the first block in this piece.
    pub fn set(&mut self, value: T) {
        if let Some(first) = self.values.first_mut() {
            *first = value;
        }
    }
}

impl<T: Send> Cut for PerBlock<'_, T> {
    fn extent(&self) -> usize {
        self.values.len().saturating_mul(self.block_len)
    }

    fn cut(self, at: usize) -> (Self, Self) {
        let (left, right) = self.values.split_at_mut(at / self.block_len);
        (Self { values: left, block_len: self.block_len }, Self { values: right, block_len: self.block_len })
    }
}

macro_rules! cut_tuples {
    ($($name:ident $index:tt),+) => {
        /// The extent of a tuple is the smallest of its parts'.
        impl<$($name: Cut),+> Cut for ($($name,)+) {
            fn extent(&self) -> usize {
                usize::MAX$(.min(self.$index.extent()))+
            }

            fn cut(self, at: usize) -> (Self, Self) {
                let parts = ($(self.$index.cut(at),)+);
                (($(parts.$index.0,)+), ($(parts.$index.1,)+))
            }
        }
    };
}
cut_tuples!(A 0, B 1);
cut_tuples!(A 0, B 1, C 2);
cut_tuples!(A 0, B 1, C 2, D 3);
cut_tuples!(A 0, B 1, C 2, D 3, E 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_visited_once_with_its_index() {
        let places = [Threads::serial(), Threads::shared(), Threads::new(2).unwrap(), Threads::new(5).unwrap()];
        for threads in &places {
            for (n, block_len) in [(0, 3), (1, 3), (10, 3), (9, 3), (10, 0), (1000, 7), (5, 100)] {
                let input: Vec<usize> = (0..n).collect();
                let (mut a, mut b) = (vec![0; n], vec![0; n + 1]);
                let data = (a.as_mut_slice(), b.as_mut_slice(), input.as_slice());
                threads.for_each_block(data, block_len, |index, (a, b, input)| {
                    for i in 0..input.len() {
                        a[i] += input[i] + 1;
                        b[i] += index * block_len.max(1) + i + 1;
                    }
                });
                assert_eq!(a, (1..=n).collect::<Vec<_>>());
                assert_eq!(a, b[..n]);
            }
            assert_eq!(threads.install(|| 7), 7);
        }
    }
}
