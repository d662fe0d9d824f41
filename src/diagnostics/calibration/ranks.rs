//! The place of a true value among draws.

use rand::RngExt as _;

use crate::rng::Stream;

/// What streams of a calibration are for: the step of their key. The slot is the simulation.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub(super) enum Use {
    Simulation = 0,
    Sampler = 1,
    Ranks = 2,
    Candidates = 3,
    References = 4,
    Distances = 5,
    Bootstrap = 6,
}

/// A rank with the point that stands for it on the unit interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// 0 to L.
    pub(super) rank: usize,
    /// (rank + U) / (L + 1), exactly uniform if the rank is.
    pub(super) uniform: f64,
}

/// The number of values below the truth; among equal ones it is placed at random.
pub(super) fn place(truth: f64, values: impl Iterator<Item = f64>, rng: &mut Stream) -> Place {
    let (mut below, mut ties, mut n) = (0, 0, 0_usize);
    for value in values {
        n += 1;
        below += usize::from(value < truth);
        ties += usize::from(value == truth);
    }
    let rank = if ties == 0 { below } else { below + rng.random_range(0..=ties) };
    Place { rank, uniform: (rank as f64 + rng.uniform()) / (n + 1) as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_counted_by_hand() {
        let mut rng = Stream::new(1);
        for (truth, expected) in [(-1.0, 0), (0.5, 1), (9.0, 3), (f64::NEG_INFINITY, 0)] {
            let place = place(truth, [0.0, 1.0, 2.0].into_iter(), &mut rng);
            assert_eq!(place.rank, expected);
            assert_eq!((4.0 * place.uniform).floor() as usize, expected);
        }
    }

    /// Without the random place among ties all ranks would be 1.
    #[test]
    fn ties_are_placed_at_random() {
        let mut rng = Stream::new(2);
        let mut counts = [0; 4];
        for _ in 0..3000 {
            counts[place(1.0, [0.0, 1.0, 1.0, 2.0].into_iter(), &mut rng).rank] += 1;
        }
        // 1000 each, standard deviation 26; five of them.
        assert_eq!(counts[0], 0);
        assert!(counts[1..].iter().all(|&n: &i32| (n - 1000).abs() < 130), "{counts:?}");
    }
}
