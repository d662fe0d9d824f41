//! Failures of ten pumps: gamma approximations of their rates beside the exact posterior, and beside normal approximations of the logarithms.
//!
//! ```text
//! cargo run --release --example gamma_poisson
//!
//! rate[i] ~ Gamma(1.8, 0.9)    failures[i] ~ Poisson(rate[i] · hours[i])
//! ```
//! The posterior of a rate is Gamma(1.8 + failures, 0.9 + hours), so the gamma family holds it exactly: its evidence lower bound is the log evidence, and its weights are all the same. A normal distribution of the logarithm
//! is near for pumps with many failures; it misses the skewness of the others, and reweighting mends that.
//!
//! Data: D. Gaver and I. O'Muircheartaigh, *Robust empirical Bayes analyses of event rates*, Technometrics 29 (1987), <https://doi.org/10.1080/00401706.1987.10488178>; time in thousands of hours.

use posterity::math::{ln_factorial, ln_gamma};
use posterity::prelude::*;
use posterity::vi::{self, Fit, MeanField, Vi};

const SHAPE: f64 = 1.8;
const RATE: f64 = 0.9;

struct Pumps {
    failures: Vec<u64>,
    hours: Vec<f64>,
}

impl Model for Pumps {
    type Parameters<T: Real> = Vec<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Vec<T> {
        space.positive_vector("rate", self.hours.len())
    }

    fn log_prior<T: Real>(&self, rates: &Vec<T>, lp: &mut LogP<T>) {
        lp.gamma(rates, &SHAPE, &RATE);
    }

    fn log_likelihood<T: Real>(&self, rates: &Vec<T>, lp: &mut LogP<T>) {
        let expected: Vec<T> = rates.iter().zip(&self.hours).map(|(&rate, &hours)| rate * hours).collect();
        lp.poisson(&self.failures, &expected);
    }
}

impl Pumps {
    /// Shape and rate of the exact posterior of each pump.
    fn posterior(&self) -> Vec<(f64, f64)> {
        self.failures.iter().zip(&self.hours).map(|(&k, hours)| (SHAPE + k as f64, RATE + hours)).collect()
    }

    fn log_evidence(&self) -> f64 {
        let prior = SHAPE * RATE.ln() - ln_gamma(SHAPE);
        let terms = self.posterior().into_iter().zip(&self.failures).zip(&self.hours);
        terms.map(|(((a, b), &k), hours)| prior + ln_gamma(a) - a * b.ln() + k as f64 * hours.ln() - ln_factorial(k)).sum()
    }
}

fn print(pumps: &Pumps, fit: &Fit) {
    println!("{}: ELBO {:.5}, exact log evidence {:.5}", fit.method(), fit.elbo(), pumps.log_evidence());
    match fit.pareto_k() {
        Some(k) => println!("Pareto k-hat {k:.2}"),
        None => println!("no Pareto k-hat: the weights have no tail"),
    }
    println!("{:<10}{:>10}{:>10}{:>12}{:>12}{:>10}{:>10}", "", "q mean", "q sd", "reweighted", "sd", "exact", "sd");
    for (row, (a, b)) in fit.summary().rows().iter().zip(pumps.posterior()) {
        let (mean, sd) = (a / b, a.sqrt() / b);
        println!(
            "{:<10}{:>10.4}{:>10.4}{:>12.4}{:>12.4}{mean:>10.4}{sd:>10.4}",
            row.name, row.raw_mean, row.raw_sd, row.mean, row.sd
        );
    }
    println!();
}

fn main() -> Result<(), posterity::Error> {
    let pumps = Pumps {
        failures: vec![5, 1, 5, 14, 3, 19, 1, 1, 4, 22],
        hours: vec![94.32, 15.72, 62.88, 125.76, 5.24, 31.44, 1.048, 1.048, 2.096, 10.48],
    };

    let gamma = Vi::new(vi::Gamma::default()).fit(&pumps, 1)?;
    print(&pumps, &gamma);
    let normal = Vi::new(MeanField).fit(&pumps, 1)?;
    print(&pumps, &normal);

    assert!((gamma.elbo() - pumps.log_evidence()).abs() < 0.01);
    for (i, (a, b)) in pumps.posterior().into_iter().enumerate() {
        // The parameters are the logarithms of the means, then of the shapes.
        let parameters = gamma.approximation().parameters();
        assert!((parameters[i] - (a / b).ln()).abs() < 0.02 && (parameters[10 + i] - a.ln()).abs() < 0.05);
    }
    Ok(())
}
