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
    let (calls_first, calls_second) = (calls_per_turn(&mut first), calls_per_turn(&mut second));
    take_turns(n_turns, (calls_first, &mut first), (calls_second, &mut second))
}

/// As [`compare`], for functions that may be slow: as many turns as fit into about this many seconds, at least 5 and at most 401.
pub fn compare_within(seconds: f64, mut first: impl FnMut() -> f64, mut second: impl FnMut() -> f64) -> Comparison {
    let (calls_first, calls_second) = (calls_per_turn(&mut first), calls_per_turn(&mut second));
    let turn = time(1, &mut first).max(200.0) + time(1, &mut second).max(200.0);
    let n_turns = (seconds * 1e6 / turn).clamp(5.0, 401.0) as usize;
    take_turns(n_turns, (calls_first, &mut first), (calls_second, &mut second))
}

fn take_turns(
    n_turns: usize,
    (calls_first, first): (u32, &mut impl FnMut() -> f64),
    (calls_second, second): (u32, &mut impl FnMut() -> f64),
) -> Comparison {
    let (mut times_first, mut times_second) = (Vec::new(), Vec::new());
    for _ in 0..n_turns {
        times_first.push(time(calls_first, first));
        times_second.push(time(calls_second, second));
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
    // The first call fills caches; a slow function is not called more often than needed.
    let once = time(1, f);
    let once = if once > 200.0 { once } else { time(20, f).max(0.01) };
    (200.0 / once).ceil() as u32
}

/// The middle value; of an even number the upper one of the two.
///
/// # Panics
/// If there are none.
#[must_use]
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
