//! Can the draws be trusted, and how precise are their averages?
//!
//! Every function takes one quantity as an array of shape (chain, draw) and returns an [`Option`]: `None` where the number does not
//! exist, which is said at each function. In common to all: a NaN anywhere, fewer than 4 draws per chain or no chain give `None`, never
//! a panic and never a number that looks fine.
//!
//! The definitions are those of Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), *Rank-normalization, folding, and localization: an
//! improved R̂ for assessing convergence of MCMC*, Bayesian Analysis 16(2), <https://doi.org/10.1214/20-BA1221>, with the conventions of
//! ArviZ, so that the numbers of both agree. Two differences are deliberate: [`rhat()`] exists for a single chain too (its halves are
//! compared, as in R's `posterior`), and "constant" means exactly constant, not "a range below 1e-15", so that no diagnostic depends on
//! the unit of measurement.
//!
//! [`Draws::summary`](crate::draws::Draws::summary) puts all of it together and warns in words.

mod autocovariance;
mod chains;
mod energy;
mod ess;
mod mcse;
mod quantile;
mod ranks;
mod rhat;
mod summary;
mod table;
mod warning;

pub use autocovariance::{autocorrelation, autocovariance};
pub use energy::bfmi;
pub use ess::{ess_bulk, ess_mean, ess_quantile, ess_sd, ess_tail};
pub use mcse::{mcse_mean, mcse_quantile, mcse_sd};
pub use quantile::quantile;
pub use rhat::{rhat, split_rhat};
pub use summary::{Summary, SummaryRow};
pub use warning::{Quantity, Warning};
