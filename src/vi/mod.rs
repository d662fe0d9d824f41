//! Variational inference that says how good it is.
//!
//! A [`Family`] of distributions is fitted to a posterior by maximising a bound on the log evidence ([`Vi`]); [`Objective`] says which bound and by which estimator of its
//! gradient. Every [`Fit`] has the Pareto k̂ of its importance weights, draws weighted by them, and goes on to other engines: [`Fit::bridge`] starts an SMC sampler from it, [`Fit::start`] chains of
//! NUTS.
//!
//! ```
//! use posterity::model::zoo::EightSchoolsNoncentered;
//! use posterity::vi::{MeanField, Vi};
//! let fit = Vi::new(MeanField).n_iterations(2000).fit(&EightSchoolsNoncentered::rubin(), 1)?;
//! println!("{}", fit.summary());
//! // Reference: the mean of mu is 4.4.
//! assert!((fit.summary().row("mu").unwrap().mean - 4.4).abs() < 0.5);
//! # Ok::<(), posterity::Error>(())
//! ```
//!
//! | to fit | by | gradients | |
//! |---|---|---|---|
//! | any family | [`Vi`] with an [`Objective`] | tens of thousands | the only one with bounds other than the evidence lower bound, and with minibatches |
//! | a normal distribution | [`Bam`], [`Gsm`] | hundreds to thousands | matches scores; robust, and as good as the family allows |
//! | a normal distribution | [`NaturalGradient`] | hundreds, and as many Hessians | climbs the evidence lower bound by Newton steps |
//! | a normal distribution | [`Laplace`] | tens, and the Hessian | at the mode: fails where there is none |
//! | a normal distribution or a mixture of them | [`Pathfinder`] | tens to hundreds | along the path to a mode: a start for everything else |
//!
//! Families: [`MeanField`], [`FullRank`], [`LowRank`], [`StudentT`], [`Mixture`], [`NormalizingFlow`]; for positive parameters, probabilities and simplexes
//! [`Gamma`], [`Beta`], [`Dirichlet`]; [`Bernoulli`] for binary ones, by gradients that do without a reparameterisation; [`Product`] of several for models with different supports.
//!
//! Below a k-hat of 0.5 the weighted draws can be trusted, up to 0.7 they are usable. A richer family, an importance-weighted bound or another parameterisation brings it down; where none
//! does, an SMC sampler from [`Fit::bridge`] is exact. k-hat does not see modes that no draw reaches.

mod approximation;
mod bam;
mod bridge;
mod cross_validation;
mod density;
mod families;
mod fit;
mod flows;
mod gradient;
mod gsm;
mod hessian;
mod laplace;
mod modes;
mod natural_gradient;
mod objective;
mod pathfinder;
mod run;
mod score_matching;
mod shifted;
mod start;
mod stopping;
mod summary;
mod warning;

pub use approximation::{Approximation, Closure, Family};
pub use bam::{Bam, BamSchedule};
pub use bridge::Bridge;
pub use families::{
    Bernoulli, Beta, Dirichlet, FullRank, Gamma, GammaDraw, LowRank, MeanField, Mixture, Product, Reparameterisation, StudentT,
    normal,
};
pub use fit::Fit;
pub use flows::NormalizingFlow;
pub use gradient::{BoundEstimate, BoundGradient};
pub use gsm::Gsm;
pub use laplace::Laplace;
pub use natural_gradient::{NaturalGradient, NaturalGradientSchedule};
pub use objective::{Estimator, Objective};
pub use pathfinder::Pathfinder;
pub use run::Vi;
pub use start::FamilyStart;
pub use stopping::Stopping;
pub use summary::{FitSummary, FitSummaryRow};
pub use warning::Warning;
