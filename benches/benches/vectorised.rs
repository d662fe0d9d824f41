//! The vectorised functions of `posterity::math::vectorised` against loops over the standard library, in turns on the same machine.
//!
//! `cargo bench -p posterity-benches --bench vectorised`; exits with 1 if results differ. Every call copies its input, on both sides.

use std::process::ExitCode;

use posterity::math::vectorised::{exp_in_place, inv_logit_in_place, ln_in_place, log1p_exp_in_place, log1p_exp_with_derivative};
use posterity::rng::Stream;
use posterity_benches::stopwatch::compare_within;
use posterity_benches::{discrepancy, filter};

/// Seconds per row of the table.
const BUDGET: f64 = 0.3;

struct Case {
    name: &'static str,
    /// Over a slice; the second slice is free for a second result.
    library: fn(&mut [f64], &mut [f64]),
    floor: fn(&mut [f64], &mut [f64]),
    /// The input, from a standard normal draw.
    input: fn(f64) -> f64,
}

fn each(x: &mut [f64], f: impl Fn(f64) -> f64) {
    x.iter_mut().for_each(|x| *x = f(*x));
}

fn inv_logit(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn log1p_exp(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

const CASES: [Case; 5] = [
    Case { name: "exp", library: |x, _| exp_in_place(x), floor: |x, _| each(x, f64::exp), input: |z| 3.0 * z },
    Case { name: "ln", library: |x, _| ln_in_place(x), floor: |x, _| each(x, f64::ln), input: |z| (3.0 * z).exp() },
    Case { name: "inv_logit", library: |x, _| inv_logit_in_place(x), floor: |x, _| each(x, inv_logit), input: |z| 3.0 * z },
    Case { name: "log1p_exp", library: |x, _| log1p_exp_in_place(x), floor: |x, _| each(x, log1p_exp), input: |z| 3.0 * z },
    Case {
        name: "log1p_exp + derivative",
        library: |x, derivative| log1p_exp_with_derivative(x, derivative),
        floor: |x, derivative| {
            for (x, d) in x.iter_mut().zip(derivative) {
                let e = (-x.abs()).exp();
                *d = if *x >= 0.0 { 1.0 } else { e } / (1.0 + e);
                *x = x.max(0.0) + e.ln_1p();
            }
        },
        input: |z| 3.0 * z,
    },
];

fn main() -> ExitCode {
    let filter = filter();
    println!("{:<24} {:>6} {:>11} {:>11} {:>7}", "function", "n", "ns / entry", "standard", "ratio");
    let mut passed = true;
    for case in CASES.iter().filter(|case| case.name.contains(&filter)) {
        // No large power of two: input and result would lie 4096 bytes apart or nearly so, and the copy of one wait for the other.
        for n in [8, 64, 1000, 50_000] {
            let mut rng = Stream::new(n as u64);
            let input: Vec<f64> = (0..n).map(|_| (case.input)(rng.normal())).collect();
            // The function's result, and room for a second one.
            let (mut ours, mut theirs) = ((input.clone(), vec![0.0; n]), (input.clone(), vec![0.0; n]));
            (case.library)(&mut ours.0, &mut ours.1);
            (case.floor)(&mut theirs.0, &mut theirs.1);
            // A few units in the last place of the largest entry.
            let difference = discrepancy(&ours.0, &theirs.0).max(discrepancy(&ours.1, &theirs.1));
            if !(difference <= 1e-15) {
                println!("{:<24} {n:>6} the results differ by {difference:.1e}", case.name);
                passed = false;
                continue;
            }
            let comparison = compare_within(
                BUDGET,
                || {
                    ours.0.copy_from_slice(&input);
                    (case.library)(&mut ours.0, &mut ours.1);
                    ours.0[0]
                },
                || {
                    theirs.0.copy_from_slice(&input);
                    (case.floor)(&mut theirs.0, &mut theirs.1);
                    theirs.0[0]
                },
            );
            let per_entry = |us: f64| us * 1e3 / n as f64;
            let (first, second) = (per_entry(comparison.first), per_entry(comparison.second));
            println!("{:<24} {n:>6} {first:>11.2} {second:>11.2} {:>7.2}", case.name, comparison.ratio);
        }
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
