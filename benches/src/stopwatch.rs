//! Compares the speed of two functions in one run.

use std::hint::black_box;
use std::time::Instant;

/// Times per call of two functions, measured in turns, and their ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Median time of the first, in microseconds.
    pub first: f64,
    /// Median time of the second, in microseconds.
    pub second: f64,
    /// Median of the ratios first / second of neighbouring turns: robust against a machine whose speed changes.
    pub ratio: f64,
}

/// Runs two functions in turns, `n_turns` times each; the number of calls per turn is chosen so that one lasts about 0.2 ms.
///
/// # Panics
/// If `n_turns` is 0.
pub fn compare(n_turns: usize, mut first: impl FnMut() -> f64, mut second: impl FnMut() -> f64) -> Comparison {
    let calls_first = calls_per_turn(&mut first);
    let calls_second = calls_per_turn(&mut second);
    let (mut times_first, mut times_second) = (Vec::new(), Vec::new());
    for _ in 0..n_turns {
        times_first.push(time(calls_first, &mut first));
        times_second.push(time(calls_second, &mut second));
    }
    let ratios: Vec<f64> = times_first.iter().zip(&times_second).map(|(a, b)| a / b).collect();
    Comparison { first: median(times_first), second: median(times_second), ratio: median(ratios) }
}

/// Microseconds per call.
fn time(calls: u32, f: &mut impl FnMut() -> f64) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(f());
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

fn calls_per_turn(f: &mut impl FnMut() -> f64) -> u32 {
    let once = time(20, f).max(0.01);
    (200.0 / once).ceil() as u32
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
