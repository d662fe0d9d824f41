//! Resampling schemes against loops written by hand, in turns on the same machine.
//!
//! `cargo bench -p posterity-benches --bench resampling`; exits with 1 if results differ. The floor of systematic resampling is the loop
//! without a branch; that of the other schemes is the walk along the cumulative weights. Floors check nothing and need positive weights
//! of sane size. With a second argument, as in `-- multinomial 4`, the library uses that many threads.

use std::process::ExitCode;

use posterity::parallel::Threads;
use posterity::rng::Stream;
use posterity::weights::resampling::{Resampler, Scheme};
use posterity_benches::filter;
use posterity_benches::stopwatch::compare_within;

/// Seconds per row of the table.
const BUDGET: f64 = 0.3;

/// Systematic resampling as a search that goes on where the last one ended.
fn walk(weights: &[f64], u: f64, out: &mut [u32]) {
    let step = weights.iter().sum::<f64>() / out.len() as f64;
    let (mut j, mut sum) = (0, weights[0]);
    for (i, out) in out.iter_mut().enumerate() {
        while sum < (i as f64 + u) * step && j + 1 < weights.len() {
            j += 1;
            sum += weights[j];
        }
        *out = j as u32;
    }
}

/// Systematic resampling by counting the parents that start at each child.
fn count(weights: &[f64], u: f64, out: &mut [u32]) {
    let ratio = out.len() as f64 / weights.iter().sum::<f64>();
    out.fill(0);
    let mut sum = 0.0;
    for weight in &weights[..weights.len() - 1] {
        sum += weight;
        if let Some(out) = out.get_mut((sum * ratio + (1.0 - u)) as u32 as usize) {
            *out += 1;
        }
    }
    let mut parent = 0;
    for out in out {
        parent += *out;
        *out = parent;
    }
}

fn main() -> ExitCode {
    let filter = filter();
    let n_threads = std::env::args().filter(|a| !a.starts_with('-')).nth(2).and_then(|n| n.parse().ok()).unwrap_or(1);
    let Ok(threads) = Threads::new(n_threads) else {
        println!("the threads did not start");
        return ExitCode::FAILURE;
    };
    println!("{:<12} {:>8} {:>14} {:>14} {:>7}", "scheme", "n", "ns / particle", "floor", "ratio");
    let mut passed = true;
    for scheme in Scheme::ALL.into_iter().filter(|scheme| scheme.name().contains(&filter)) {
        for n in [1000, 10_000, 100_000, 1_000_000] {
            let mut rng = Stream::new(n as u64);
            let weights: Vec<f64> = (0..n).map(|_| rng.normal().exp()).collect();
            let (mut ours, mut theirs, mut resampler) = (vec![0; n], vec![0; n], Resampler::default());
            let floor = if scheme == Scheme::Systematic { count } else { walk };
            if scheme == Scheme::Systematic {
                // The same point, up to the rounding of the sums.
                let u = 1.0 - rng.clone().uniform();
                let result = resampler.resample(scheme, &weights, &mut ours, &mut rng, &threads);
                count(&weights, u, &mut theirs);
                let differ = ours.iter().zip(&theirs).filter(|(a, b)| a != b).count();
                if result.is_err() || differ > n / 10_000 {
                    println!("{scheme:<12} {n:>8} {differ} ancestors differ");
                    passed = false;
                    continue;
                }
            }
            let mut shifts = rng.clone();
            let comparison = compare_within(
                BUDGET,
                || {
                    passed &= resampler.resample(scheme, &weights, &mut ours, &mut rng, &threads).is_ok();
                    f64::from(ours[n / 2])
                },
                || {
                    floor(&weights, shifts.uniform(), &mut theirs);
                    f64::from(theirs[n / 2])
                },
            );
            let per_particle = |us: f64| us * 1e3 / n as f64;
            let (first, second) = (per_particle(comparison.first), per_particle(comparison.second));
            println!("{:<12} {n:>8} {first:>14.2} {second:>14.2} {:>7.2}", scheme.name(), comparison.ratio);
        }
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
