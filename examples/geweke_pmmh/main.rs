//! Geweke's joint test of particle marginal Metropolis-Hastings, at length: 100,000 sweeps, and planted bugs that it must find.
//!
//! ```text
//! cargo run --release --example geweke_pmmh [-- --sweeps 100000]
//! ```
//! All |z| of the first row are to be below 4, and some of every other row above. The output is kept in `docs/validation/geweke_pmmh.txt`.

mod simulator;

use simulator::{Bug, MOMENTS, scores};

fn main() -> Result<(), posterity::Error> {
    let mut arguments = std::env::args().skip_while(|a| a != "--sweeps").skip(1);
    let malformed = |_| posterity::Error::Field { field: "--sweeps".to_owned(), rule: "a whole number" };
    let n = arguments.next().map_or(Ok(100_000), |value| value.parse().map_err(malformed))?;
    println!("Geweke's joint test of PMMH: autoregression, T = 4, 5 particles, {n} sweeps; z-scores\n");
    print!("{:<14}", "");
    MOMENTS.iter().for_each(|name| print!("{name:>13}"));
    println!("{:>10}", "largest");
    for bug in [Bug::None, Bug::FreshWeight, Bug::HalfPrior, Bug::Reestimated] {
        let z = scores(n, bug, 1)?;
        print!("{:<14}", format!("{bug:?}"));
        z.iter().for_each(|z| print!("{z:>13.2}"));
        println!("{:>10.2}", z.iter().fold(0.0_f64, |worst, z| worst.max(z.abs())));
    }
    Ok(())
}
