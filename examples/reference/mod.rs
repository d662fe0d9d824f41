//! Shared by the examples: estimates beside figures that are known from elsewhere.

use posterity::diagnostics::mcse_mean;
use posterity::draws::Draws;

/// What is known of one quantity: name of the element, posterior mean and standard deviation, and Monte Carlo standard error of that mean.
pub(crate) struct Known {
    pub(crate) element: &'static str,
    pub(crate) mean: f64,
    pub(crate) sd: f64,
    pub(crate) mcse: f64,
}

impl Known {
    /// Figures from draws that are worth this many independent ones.
    pub(crate) fn from_draws(element: &'static str, mean: f64, sd: f64, n_draws: f64) -> Self {
        Self { element, mean, sd, mcse: sd / n_draws.sqrt() }
    }
}

/// Prints means with their Monte Carlo standard errors beside the known ones, and how many standard errors of the difference lie between:
/// |z| above 3 happens by chance once in 370 comparisons.
pub(crate) fn compare(draws: &Draws, known: &[Known]) -> Result<(), posterity::Error> {
    println!("{:<12}{:>10}{:>9}{:>11}{:>9}{:>9}{:>9}{:>7}", "", "mean", "mcse", "reference", "mcse", "sd", "ref. sd", "z");
    for Known { element, mean: known_mean, sd: known_sd, mcse: known_mcse } in known {
        let values = draws.element(element)?;
        let (mean, sd) = (values.mean().unwrap_or(f64::NAN), values.std(1.0));
        let mcse = mcse_mean(values).unwrap_or(f64::NAN);
        let z = (mean - known_mean) / mcse.hypot(*known_mcse);
        println!("{element:<12}{mean:>10.4}{mcse:>9.4}{known_mean:>11.4}{known_mcse:>9.4}{sd:>9.4}{known_sd:>9.4}{z:>7.2}");
    }
    println!();
    Ok(())
}

/// The number after `--seed`, or the default.
pub(crate) fn seed(default: u64) -> Result<u64, posterity::Error> {
    let mut arguments = std::env::args().skip_while(|a| a != "--seed").skip(1);
    let malformed = |_| posterity::Error::Field { field: "--seed".to_owned(), rule: "a whole number" };
    arguments.next().map_or(Ok(default), |value| value.parse().map_err(malformed))
}
