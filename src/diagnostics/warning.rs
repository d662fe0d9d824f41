//! Reasons not to trust a run, in words.

use std::fmt::{self, Display, Formatter};

/// A value of a diagnostic with the name of the quantity that has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// Name of the element, as `theta[3]`.
    pub name: String,
    /// Value of the diagnostic.
    pub value: f64,
}

/// One reason not to trust a run, or to run it otherwise. `Display` says what was found, what it means and what to do.
///
/// Chains are counted from 0.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// The run was ended before all draws were made.
    StoppedEarly {
        /// Draws per chain that there are.
        n_draws: usize,
    },
    /// There are too few draws for any diagnostic.
    TooFewDraws {
        /// Draws per chain.
        n_draws: usize,
    },
    /// Some draws are NaN or infinite.
    NonFinite {
        /// The elements concerned.
        names: Vec<String>,
    },
    /// A chain never left its start point.
    Stuck {
        /// The chains.
        chains: Vec<usize>,
    },
    /// R̂ is above 1.01.
    Rhat {
        /// The elements concerned, the worst one first.
        worst: Vec<Quantity>,
    },
    /// The bulk effective sample size is below 100 per chain.
    EssBulk {
        /// The elements concerned, the worst one first.
        worst: Vec<Quantity>,
        /// The least effective sample size that is enough.
        needed: usize,
    },
    /// The tail effective sample size is below 100 per chain.
    EssTail {
        /// The elements concerned, the worst one first.
        worst: Vec<Quantity>,
        /// The least effective sample size that is enough.
        needed: usize,
    },
    /// Trajectories diverged.
    Divergences {
        /// Number of divergent draws.
        count: usize,
        /// Number of all draws.
        total: usize,
    },
    /// Trajectories were cut off at the greatest depth allowed.
    TreeDepth {
        /// Number of draws concerned.
        count: usize,
        /// Number of all draws.
        total: usize,
    },
    /// E-BFMI is below 0.3.
    Energy {
        /// The chains with their E-BFMI.
        chains: Vec<(usize, f64)>,
    },
    /// There are fewer than four chains.
    FewChains {
        /// Number of chains.
        n_chains: usize,
    },
}

impl Warning {
    /// True if the estimates may be wrong; false if the run is only slower than need be.
    #[must_use]
    pub fn is_about_validity(&self) -> bool {
        !matches!(self, Self::TreeDepth { .. })
    }
}

impl Display for Warning {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::StoppedEarly { n_draws } => {
                write!(f, "The run was stopped early, after {n_draws} draws per chain: all numbers are about these draws only.")
            }
            Self::TooFewDraws { n_draws } => {
                write!(f, "{n_draws} draws per chain are too few for any diagnostic: make at least 4, better 1000.")
            }
            Self::NonFinite { names } => write!(
                f,
                "NaN or infinite draws in {}: a transformation or generated quantity over- or underflows; averages of it do not exist.",
                list(names.iter().cloned())
            ),
            Self::Stuck { chains } => write!(
                f,
                "{} did not move at all: every proposal was rejected. Look at the step size and at the start point.",
                numbered(chains.iter().map(ToString::to_string))
            ),
            Self::Rhat { worst } => write!(
                f,
                "R-hat is above 1.01 for {}: the chains disagree, do not use these draws. Run longer; if that does not help, look for \
                 several modes or reparameterise.",
                list(worst.iter().map(|q| format!("{} ({:.3})", q.name, q.value)))
            ),
            Self::EssBulk { worst, needed } => write!(
                f,
                "The bulk ESS is below {needed} (100 per chain) for {}: means and medians are imprecise, and R-hat is too. Make more draws.",
                list(worst.iter().map(|q| format!("{} ({:.0})", q.name, q.value)))
            ),
            Self::EssTail { worst, needed } => write!(
                f,
                "The tail ESS is below {needed} (100 per chain) for {}: 5 % and 95 % quantiles are imprecise. Make more draws.",
                list(worst.iter().map(|q| format!("{} ({:.0})", q.name, q.value)))
            ),
            Self::Divergences { count, total } => write!(
                f,
                "{count} of {total} draws ({}) diverged: a region of high curvature was not explored and estimates may be biased. Raise \
                 the target acceptance rate (0.95, 0.99) or reparameterise, as by a non-centred hierarchy.",
                percent(*count, *total)
            ),
            Self::TreeDepth { count, total } => write!(
                f,
                "{count} of {total} trajectories ({}) were cut off at the maximum tree depth: valid, but slow. Allow deeper trees, or \
                 rescale or decorrelate the parameters.",
                percent(*count, *total)
            ),
            Self::Energy { chains } => write!(
                f,
                "E-BFMI is below 0.3 in {}: energies are explored slowly and heavy tails may be missed. Reparameterise, or run longer.",
                numbered(chains.iter().map(|(chain, value)| format!("{chain} ({value:.2})")))
            ),
            Self::FewChains { n_chains } => write!(
                f,
                "Only {n_chains} {}: chains that got lost in different places are easily overlooked. Run at least 4.",
                if *n_chains == 1 { "chain" } else { "chains" }
            ),
        }
    }
}

/// The first five, and how many are left.
fn list(items: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 5;
    let rest = items.len().saturating_sub(SHOWN);
    let shown = items.take(SHOWN).collect::<Vec<_>>().join(", ");
    if rest == 0 { shown } else { format!("{shown} and {rest} more") }
}

fn numbered(chains: impl ExactSizeIterator<Item = String>) -> String {
    format!("{} {}", if chains.len() == 1 { "chain" } else { "chains" }, list(chains))
}

fn percent(count: usize, total: usize) -> String {
    let percent = 100.0 * count as f64 / total as f64;
    if percent < 0.1 { "less than 0.1 %".to_owned() } else { format!("{percent:.1} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_and_counted() {
        assert_eq!(list(["a", "b"].map(str::to_owned).into_iter()), "a, b");
        assert_eq!(list((0..8).map(|i: i32| i.to_string()).collect::<Vec<_>>().into_iter()), "0, 1, 2, 3, 4 and 3 more");
    }

    #[test]
    fn shares_are_readable() {
        let text = Warning::Divergences { count: 1, total: 4000 }.to_string();
        assert!(text.starts_with("1 of 4000 draws (less than 0.1 %) diverged"), "{text}");
        assert_eq!(percent(123, 1000), "12.3 %");
    }

    #[test]
    fn only_slowness_leaves_the_estimates_valid() {
        assert!(!Warning::TreeDepth { count: 1, total: 2 }.is_about_validity());
        assert!(Warning::FewChains { n_chains: 1 }.is_about_validity());
    }
}
