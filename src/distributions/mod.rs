//! Probability distributions: log densities as fused nodes, and sampling.
//!
//! A distribution is a struct with checked parameters: `new` fails with [`DensityError::Parameter`](crate::DensityError::Parameter),
//! `ln_pdf` or `ln_pmf` evaluates plain numbers, and [`rand_distr::Distribution`] samples. In a model the same densities are statements of
//! [`LogP`](crate::model::LogP), which take any mixture of data and parameters, scalars and slices, and put one node on the tape.
//!
//! Outside of its support a density is zero (-∞); a parameter out of its domain is an error that names it.

mod beta;
mod cauchy;
mod exponential;
mod family;
mod gamma;
mod gamma_ratio;
mod laplace;
mod log_normal;
mod logistic;
mod normal;
mod student_t;
mod uniform;

pub use beta::Beta;
pub use cauchy::{Cauchy, HalfCauchy};
pub use exponential::Exponential;
pub(crate) use family::{Statement, continuous1, continuous2, continuous3, counts1, counts2, counts3};
pub use gamma::{Gamma, InverseGamma};
pub use laplace::Laplace;
pub use log_normal::LogNormal;
pub use logistic::Logistic;
pub use normal::{HalfNormal, Normal};
pub use student_t::{HalfStudentT, StudentT};
pub use uniform::Uniform;
