//! Gradients by automatic differentiation against gradients by hand, in turns on the same machine.
//!
//! `cargo bench -p posterity-benches --bench gradients`; exits with 1 if a ratio is over its gate.

use std::process::ExitCode;

use posterity_benches::stopwatch::compare;
use posterity_benches::{cases, filter};

fn main() -> Result<ExitCode, posterity::Error> {
    let filter = filter();
    println!("{:<27} {:>9} {:>9} {:>7} {:>6}", "model", "us", "by hand", "ratio", "gate");
    let mut passed = true;
    for mut case in cases::all()?.into_iter().filter(|c| c.name.contains(&filter)) {
        let discrepancy = case.discrepancy()?;
        if !(discrepancy <= 1e-10) {
            println!("{:<27} the gradients differ by {discrepancy:.1e}", case.name);
            passed = false;
            continue;
        }
        let positions = case.positions(16, 0.1);
        let mut evaluator = case.target.evaluator()?;
        let (mut ours, mut theirs) = (vec![0.0; case.centre.len()], vec![0.0; case.centre.len()]);
        let (mut i, mut j) = (0, 0);
        let comparison = compare(
            401,
            || {
                i = (i + 1) % positions.len();
                evaluator.log_density_gradient(&positions[i], &mut ours).unwrap_or(f64::NAN)
            },
            || {
                j = (j + 1) % positions.len();
                case.hand_written.gradient(&positions[j], &mut theirs)
            },
        );
        let gate = case.gate.map_or("-".to_owned(), |g| format!("{g:.1}"));
        println!("{:<27} {:>9.2} {:>9.2} {:>7.2} {:>6}", case.name, comparison.first, comparison.second, comparison.ratio, gate);
        passed &= case.gate.is_none_or(|gate| comparison.ratio <= gate);
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
