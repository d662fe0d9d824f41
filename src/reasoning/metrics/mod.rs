//! Measures of decoding: how often it is right, and how far that is known.
//!
//! Estimates from n texts for fewer than n are averages over all subsets ([`pass_at_k`], [`majority_at_k`], [`best_of_k`]), not values of one
//! prefix of the texts, and not the plug-in formula 1 - (1 - c/n)^k, which is biased. Comparisons of methods are paired by problem, and
//! problems, not runs, are what is independent: [`paired_t_interval`] and [`paired_bootstrap_interval`] average a problem's seeds first.

mod at_k;
mod intervals;
mod reliability;

pub use at_k::{best_of_k, majority_at_k, pass_at_k};
pub use intervals::{Interval, mcnemar_p_value, paired_bootstrap_interval, paired_t_interval, wilson_interval};
pub use reliability::{Reliability, ReliabilityBin};
