//! What the benchmarks share: gradients and linear algebra written by hand, data, and a stopwatch that compares two functions.

pub mod cases;
pub mod filter_floor;
pub mod hand_written;
pub mod plain_loops;
pub mod stopwatch;

/// The part of a benchmark's table that the command line asks for: rows whose name contains this text.
#[must_use]
pub fn filter() -> String {
    std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default()
}

/// The largest difference between the entries of two slices, relative to max(1, largest entry of the second); infinite if the lengths
/// differ, NaN if an entry is.
#[must_use]
pub fn discrepancy(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let scale = expected.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs() / scale);
    // A NaN stays: f64::max would drop it.
    differences.fold(0.0, |worst: f64, d| if worst >= d || worst.is_nan() { worst } else { d })
}

#[cfg(test)]
mod tests {
    use super::discrepancy;

    #[test]
    fn discrepancies() {
        assert_eq!(discrepancy(&[1.0, 3.0], &[1.0, 4.0]), 0.25);
        assert_eq!(discrepancy(&[0.5], &[0.0]), 0.5);
        assert_eq!(discrepancy(&[0.0], &[]), f64::INFINITY);
        assert!(discrepancy(&[f64::NAN, 1.0], &[0.0, 1.0]).is_nan());
        assert!(discrepancy(&[0.0, f64::NAN], &[0.0, 1.0]).is_nan());
    }
}
