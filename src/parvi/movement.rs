//! Does a cloud still move?

/// Positions of a cloud at two earlier iterations, so that at any time there is one from about a tenth of the iterations ago.
#[derive(Debug, Clone)]
pub(super) struct Movement {
    older: (usize, Vec<f64>),
    newer: (usize, Vec<f64>),
}

impl Movement {
    pub(super) fn new(positions: &[f64]) -> Self {
        Self { older: (0, positions.to_vec()), newer: (0, positions.to_vec()) }
    }

    /// Keeps the positions after an iteration if it is one to look back to: iterations grow by a tenth from one to the next.
    pub(super) fn record(&mut self, iteration: usize, positions: &[f64]) {
        let (last, _) = self.newer;
        if iteration >= last + last.div_ceil(10).max(1) {
            std::mem::swap(&mut self.older, &mut self.newer);
            self.newer.0 = iteration;
            self.newer.1.copy_from_slice(positions);
        }
    }

    /// The iteration looked back to, a tenth to a fifth of all ago, and the positions then.
    pub(super) fn reference(&self) -> (usize, &[f64]) {
        (self.older.0, &self.older.1)
    }
}

/// For the coordinate whose distribution changed most: its index, and the change of its mean in units of its standard deviation, or of the logarithm
/// of its standard deviation if that is larger: infinite where all particles had one value and no longer do, or have come to one. `None` for a single
/// particle, or a cloud without spread before and after.
///
/// What particles do within a cloud at rest does not count: they go on changing places for long.
pub(super) fn largest_move(before: &[f64], after: &[f64], dim: usize) -> Option<(usize, f64)> {
    let all = (0..dim).map(|c| {
        let ((old_mean, old_sd), (mean, sd)) = (moments(before, c, dim), moments(after, c, dim));
        let widening = (sd / old_sd).ln().abs();
        (c, if widening.is_nan() { f64::NAN } else { widening.max((mean - old_mean).abs() / sd) })
    });
    // NaN where there is no spread before and after, or where it leaves the range of numbers.
    all.filter(|(_, share)| !share.is_nan()).max_by(|(_, a), (_, b)| a.total_cmp(b))
}

/// Mean and standard deviation of one coordinate; the latter is 0 where all values are one, which rounding in the mean would hide.
fn moments(positions: &[f64], c: usize, dim: usize) -> (f64, f64) {
    let n = (positions.len() / dim) as f64;
    let column = || positions.iter().skip(c).step_by(dim);
    let mean = column().sum::<f64>() / n;
    if column().all(|x| *x == positions[c]) {
        return (mean, 0.0);
    }
    (mean, (column().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_a_tenth_to_a_fifth_of_the_iterations_old() {
        let mut movement = Movement::new(&[0.0]);
        for t in 1..=5000 {
            movement.record(t, &[t as f64]);
            let (at, position) = movement.reference();
            assert_eq!(position, [at as f64]);
            if t >= 20 {
                let share = (t - at) as f64 / t as f64;
                assert!((0.08..0.25).contains(&share), "{share} at {t}");
            }
        }
    }

    #[test]
    fn moves_are_in_units_of_the_spread() {
        // The second coordinate has standard deviation 10, and moves by 5; the first by 0.1 at standard deviation 1.
        let after = [1.0, 10.0, -1.0, -10.0];
        assert_eq!(largest_move(&[0.9, 5.0, -1.1, -15.0], &after, 2), Some((1, 0.5)));
        // Half as wide, as 0.69 in the logarithm; and particles that change places.
        assert_eq!(largest_move(&[0.5, -10.0, -0.5, 10.0], &after, 2), Some((0, 2.0_f64.ln())));
        assert_eq!(largest_move(&[1.0, 2.0], &[2.0, 3.0], 2), None);
    }

    #[test]
    fn to_spread_out_and_to_collapse_are_infinite_moves() {
        // 0.1 + 0.1 + 0.1 is not 3 · 0.1.
        let (wide, narrow) = ([0.0, 1.0, 1.0, 2.0, 2.0, 3.0], [0.0, 0.1, 1.0, 0.1, 2.0, 0.1]);
        assert_eq!(largest_move(&narrow, &wide, 2), Some((1, f64::INFINITY)));
        assert_eq!(largest_move(&wide, &narrow, 2), Some((1, f64::INFINITY)));
        // Without spread before and after: the other coordinate counts.
        let shifted = [0.5, 0.7, 1.5, 0.7, 2.5, 0.7];
        assert!(largest_move(&narrow, &shifted, 2).is_some_and(|(c, share)| c == 0 && share < 1.0));
        assert_eq!(largest_move(&[0.1; 3], &[0.3; 3], 1), None);
    }
}
