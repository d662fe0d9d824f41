//! How noisy the likelihood estimate is, and what that says about the number of particles.

use std::fmt;

use crate::error::Error;
use crate::model::ModelFamily;
use crate::rng::{Purpose, Stream};
use crate::smc::blocks::{FilterEvidence, RandomLogWeight};
use crate::smc::{SmcConfig, StateSpaceAdapter};

/// The variance of log Ẑ above which the chain is likely to stick.
const TOO_NOISY: f64 = 3.0;
/// The variance of log Ẑ at which an iteration's cost and the chain's mixing balance.
const AIM: f64 = 1.5;
/// The variance below which particles are wasted.
const WASTEFUL: f64 = 0.1;

/// The noise of the likelihood estimate at one value of the parameters. `Display` says what it means and what to do.
///
/// Sources: M. K. Pitt et al. 2012, doi:10.1016/j.jeconom.2012.06.004 (variance about 1); A. Doucet et al. 2015, doi:10.1093/biomet/asu075
/// (1 to 2.9, the larger the worse the exact chain would mix); C. Sherlock et al. 2015, doi:10.1214/14-AOS1278 (3.3 for random walks in
/// high dimension).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pilot {
    /// Particles of each filter.
    pub n_particles: usize,
    /// Filters run.
    pub n_runs: usize,
    /// Filters that lost all weight; they are left out of mean and variance.
    pub n_degenerate: usize,
    /// Mean of log Ẑ.
    pub mean: f64,
    /// Variance of log Ẑ; NaN if fewer than two filters kept weight.
    pub variance: f64,
}

impl Pilot {
    /// True if the chain is likely to stick: a variance above 3, or one that cannot be told.
    #[must_use]
    pub fn is_too_noisy(&self) -> bool {
        self.n_degenerate > 0 || !(self.variance <= TOO_NOISY)
    }

    /// Number of particles at which the variance would be 1.5, if it goes as 1/N.
    #[must_use]
    pub fn suggested_n_particles(&self) -> Option<usize> {
        let n = self.n_particles as f64 * self.variance / AIM;
        (self.n_degenerate == 0 && n.is_finite() && n < f64::from(u32::MAX)).then(|| (n.ceil() as usize).max(2))
    }
}

impl fmt::Display for Pilot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_particles, n_runs, n_degenerate, mean, variance } = self;
        if *n_degenerate > 0 {
            return write!(
                f,
                "{n_degenerate} of {n_runs} filters with {n_particles} particles lost all weight: the chain will stick. Take more particles, a \
                 guided filter, or an observation density with heavier tails."
            );
        }
        write!(
            f,
            "The log-likelihood estimate is {mean:.2} with variance {variance:.2} ({n_runs} filters with {n_particles} particles)"
        )?;
        match self.suggested_n_particles() {
            Some(n) if !(*variance <= TOO_NOISY) => {
                write!(
                    f,
                    ": too noisy, above 3 the chain sticks. Take about {n} particles for a variance of 1 to 2, or a guided filter."
                )
            }
            Some(n) if *variance < WASTEFUL => {
                write!(f, ": more precise than it need be; about {n} particles would give a variance of 1 to 2 and be faster.")
            }
            Some(_) => f.write_str("."),
            None => f.write_str(": too noisy, the chain will stick. Take many more particles, or a guided filter."),
        }
    }
}

/// Runs the filter `n` times.
pub(super) fn run<F>(filter: &SmcConfig, family: &F, parameters: &[f64], n: usize, seed: u64) -> Result<Pilot, Error>
where
    F: ModelFamily + ?Sized,
    F::Model: StateSpaceAdapter,
{
    let mut evidence = FilterEvidence::new(family, filter.clone())?;
    let mut found = Vec::with_capacity(n);
    for i in 0..n {
        // The last slot: chains count from 0.
        let mut rng = Stream::keyed(seed, Purpose::Chain, i as u64, u64::MAX);
        found.extend(evidence.draw(parameters, &mut rng)?.map(|drawn| drawn.log_weight));
    }
    let mean = found.iter().sum::<f64>() / found.len() as f64;
    let squares: f64 = found.iter().map(|x| (x - mean).powi(2)).sum();
    let variance = if found.len() < 2 { f64::NAN } else { squares / (found.len() as f64 - 1.0) };
    Ok(Pilot { n_particles: filter.n_particles, n_runs: n, n_degenerate: n - found.len(), mean, variance })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_follows_the_variance() {
        let pilot = Pilot { n_particles: 200, n_runs: 20, n_degenerate: 0, mean: -10.0, variance: 1.5 };
        assert!(!pilot.is_too_noisy() && pilot.to_string().ends_with("particles)."));
        assert_eq!(pilot.suggested_n_particles(), Some(200));
        let noisy = Pilot { variance: 6.0, ..pilot };
        assert!(noisy.is_too_noisy() && noisy.to_string().contains("Take about 800 particles"), "{noisy}");
        let precise = Pilot { variance: 0.015, ..pilot };
        assert!(!precise.is_too_noisy() && precise.to_string().contains("about 2 particles"), "{precise}");
        let lost = Pilot { n_degenerate: 19, variance: f64::NAN, ..pilot };
        assert!(lost.is_too_noisy() && lost.to_string().starts_with("19 of 20"), "{lost}");
    }
}
