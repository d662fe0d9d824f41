//! Probability distributions: log densities as fused nodes, and sampling.
//!
//! A distribution is a struct with checked parameters: `new` fails with [`DensityError::Parameter`](crate::DensityError::Parameter),
//! `ln_pdf` or `ln_pmf` evaluates plain numbers, and [`rand_distr::Distribution`] samples. In a model the same densities are statements of
//! [`LogP`](crate::model::LogP), which take any mixture of data and parameters, scalars and slices, and put one node on the tape.
//!
//! Outside of its support a density is zero (-∞); a parameter out of its domain is an error that names it.

mod bernoulli;
mod beta;
mod binomial;
mod categorical;
mod cauchy;
mod dirichlet;
mod exponential;
mod family;
mod gamma;
mod gamma_ratio;
mod glm;
mod laplace;
mod links;
mod lkj;
mod log_normal;
mod logistic;
mod mixture;
mod multi_normal;
mod neg_binomial;
mod normal;
mod poisson;
mod student_t;
#[cfg(test)]
mod tests;
mod uniform;

pub use bernoulli::Bernoulli;
pub use beta::Beta;
pub use binomial::Binomial;
pub(crate) use binomial::{BinomialLogit, Trials};
pub use categorical::Categorical;
pub(crate) use categorical::{categorical, categorical_logit};
pub use cauchy::{Cauchy, HalfCauchy};
pub use dirichlet::Dirichlet;
pub(crate) use dirichlet::dirichlet;
pub use exponential::Exponential;
pub(crate) use family::{Statement, continuous1, continuous2, continuous3, discrete1, discrete2};
pub use gamma::{Gamma, InverseGamma};
pub(crate) use gamma_ratio::{digamma_difference, ln_gamma_difference};
pub(crate) use glm::{linked_glm, normal_glm};
pub use laplace::Laplace;
pub(crate) use links::{BernoulliLogit, PoissonLog, linked};
pub use lkj::LkjCholesky;
pub(crate) use lkj::lkj_cholesky;
pub use log_normal::LogNormal;
pub use logistic::Logistic;
pub(crate) use mixture::normal_mixture;
pub use mixture::{NormalMixture, log_mix};
pub use multi_normal::MultiNormal;
pub(crate) use multi_normal::{multi_normal, multi_normal_cholesky};
pub use neg_binomial::NegBinomial;
pub use normal::{HalfNormal, Normal};
pub use poisson::Poisson;
pub use student_t::{HalfStudentT, StudentT};
pub use uniform::Uniform;
