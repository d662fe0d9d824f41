//! What to bear in mind about a calibration, in words.

use std::fmt::{self, Display, Formatter};

/// One reason to read a calibration with care. `Display` says what was found and what to do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CalibrationWarning {
    /// The sampler failed in some simulations, which are left out.
    Failures {
        /// Simulations that failed.
        failed: usize,
        /// All simulations.
        total: usize,
    },
    /// Draws from the prior that are no parameters, mostly because they round to a bound, are left out.
    PriorDraws {
        /// Simulations left out.
        failed: usize,
        /// All simulations.
        total: usize,
    },
    /// There are fewer than 100 simulations.
    FewSimulations {
        /// Simulations that are left.
        n_simulations: usize,
    },
    /// The draws of a simulation are not independent.
    Correlated {
        /// The parameter with the smallest effective sample size.
        name: String,
        /// Its effective sample size per draw, averaged over the simulations.
        ess_per_draw: f64,
    },
    /// The problem offers no log-likelihood.
    NoLogLikelihood,
    /// The number of ranks has no divisor that suits the tests: ranks were spread over their cells at random.
    SpreadRanks {
        /// Draws per simulation.
        n_draws: usize,
    },
    /// Not all pairs of coordinates were tested.
    PairsLeftOut {
        /// Pairs tested.
        tested: usize,
        /// All pairs.
        total: usize,
    },
    /// References of TARP are draws of the sampler under test.
    HeldOutReferences,
}

impl Display for CalibrationWarning {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failures { failed, total } => write!(
                f,
                "The sampler failed in {failed} of {total} simulations. They are left out, and whatever made it fail makes what is left a biased \
                 choice: find the reason before trusting the p-values."
            ),
            Self::PriorDraws { failed, total } => write!(
                f,
                "{failed} of {total} draws from the prior round to a bound of their support, or lie beyond. They are left out, so the truths are of a \
                 prior without its edge, which the sampler does not know: ranks near the ends may be missing. Choose a prior with less mass there, or \
                 parameters in which it is no edge."
            ),
            Self::FewSimulations { n_simulations } => {
                write!(f, "{n_simulations} simulations find gross errors only: make at least 100, better 1000.")
            }
            Self::Correlated { name, ess_per_draw } => write!(
                f,
                "The draws of one simulation are correlated: {name} has {ess_per_draw:.2} effective draws per draw. If they are strongly so, ranks are too \
                 often at the ends, and a right sampler is rejected. Return more draws, with `thin`."
            ),
            Self::NoLogLikelihood => f.write_str(
                "The problem offers no log-likelihood: a sampler that returns draws from the prior, whatever the data, passes the test of the \
                 coordinates. Implement `log_likelihood`.",
            ),
            Self::SpreadRanks { n_draws } => write!(
                f,
                "{} ranks cannot be shared out evenly to cells, so each was spread at random: choose the number of draws so that draws + 1 is a \
                 multiple of 20.",
                n_draws + 1
            ),
            Self::PairsLeftOut { tested, total } => {
                write!(f, "Only {tested} of {total} pairs of coordinates were tested: wrong correlations of the others may go unseen.")
            }
            Self::HeldOutReferences => f.write_str(
                "References are draws of the sampler itself: if it ignores the data, so do they, and it passes. Give `references` that are \
                 computed from the data, or implement `log_likelihood`.",
            ),
        }
    }
}
