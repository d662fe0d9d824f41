//! Reasons to distrust a fit, in words.

use std::fmt::{self, Display, Formatter};

/// A reason to distrust a fit; its text says what to do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// Pareto k̂ is above what this number of draws can bear.
    ParetoK {
        /// The value found.
        pareto_k: f64,
        /// The largest value that is usable.
        limit: f64,
    },
    /// The weights have no Pareto k̂ to be judged by: they differ, or there are hardly any draws.
    NoParetoK {
        /// Number of draws.
        n_draws: usize,
    },
    /// During the fit, the target could not be evaluated at some draws, or was zero at all draws of a group.
    FailedDraws {
        /// Number of these draws.
        n_failed: u64,
        /// Number of all draws of the fit.
        n_draws: u64,
    },
    /// The target could not be evaluated at some of the final draws; they weigh nothing.
    UnusableDraws {
        /// Number of these draws.
        n_failed: usize,
        /// Number of all final draws.
        n_draws: usize,
    },
    /// The target's density is zero at some of the final draws; they weigh nothing.
    ZeroDensityDraws {
        /// Number of these draws.
        n_zero: usize,
        /// Number of all final draws.
        n_draws: usize,
    },
    /// The approximation still changed when the iterations ended.
    NotSettled {
        /// Change of the approximation between the last two windows of iterations: their symmetrised Kullback-Leibler divergence in nats.
        divergence: f64,
        /// Number of iterations.
        n_iterations: usize,
    },
    /// Some paths of an optimiser failed; the others made the fit.
    FailedPaths {
        /// Number of these paths.
        n_failed: usize,
        /// Number of all paths.
        n_paths: usize,
    },
    /// Many updates of a normal distribution had to be taken back, as no distribution came out.
    Reverted {
        /// Number of updates taken back.
        n_reverted: usize,
        /// Number of all.
        n_iterations: usize,
    },
    /// The objective trains a proposal: its q is wider than the posterior on purpose.
    Proposal,
}

impl Display for Warning {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::ParetoK { pareto_k, limit } => write!(
                f,
                "Pareto k-hat is {pareto_k:.2}, above {limit:.2}: the approximation is poor or the model misspecified, and reweighting does not mend it. Take a \
                 richer family, run longer, reparameterise, or sample: an SMC sampler or NUTS can start from here."
            ),
            Self::NoParetoK { n_draws } => {
                write!(f, "the {n_draws} importance weights have no Pareto k-hat: make more draws to see whether they can be trusted")
            }
            Self::FailedDraws { n_failed, n_draws } => {
                write!(f, "during the fit, the log density could not be evaluated at {n_failed} of {n_draws} draws, which were dropped")
            }
            Self::UnusableDraws { n_failed, n_draws } => {
                write!(f, "the log density could not be evaluated at {n_failed} of the {n_draws} final draws, which weigh nothing")
            }
            Self::ZeroDensityDraws { n_zero, n_draws } => write!(
                f,
                "the density is zero at {n_zero} of the {n_draws} final draws: the approximation reaches beyond the target's support, and the evidence lower bound \
                 is -inf"
            ),
            Self::NotSettled { divergence, n_iterations } => write!(
                f,
                "the approximation had not settled after {n_iterations} iterations: it changed by {divergence:.3} nats between the last two windows; run longer, \
                 from a better start, or with smaller steps or larger batches"
            ),
            Self::FailedPaths { n_failed, n_paths } => {
                write!(f, "{n_failed} of {n_paths} paths failed, and the fit is that of the others")
            }
            Self::Reverted { n_reverted, n_iterations } => write!(
                f,
                "{n_reverted} of {n_iterations} updates gave no distribution and were taken back: gradients are extreme; start nearer to the posterior, or \
                 take larger batches"
            ),
            Self::Proposal => f.write_str(
                "the approximation is a proposal, wider than the posterior on purpose: use its reweighted draws, not its own moments",
            ),
        }
    }
}
