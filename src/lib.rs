#![doc = include_str!("../README.md")]
//!
//! # Where to find what
//!
//! | to | see |
//! |---|---|
//! | write a model | [`model::Model`], [`model::Space`], [`model::LogP`]; everything it needs is in the [`prelude`] |
//! | bring a gradient of your own | [`model::WithGradient`], and [`model::check_gradient`] to test it |
//! | sample | [`mcmc::Nuts`] and the other samplers, [`mcmc::Run`] |
//! | move particles without a learning rate | [`parvi`], [`step_rules`] |
//! | fit an approximation, and hear how good it is | [`vi`] |
//! | check a sampler, compare models | [`diagnostics::Sbc`], [`diagnostics::Tarp`], [`diagnostics::Loo`] |
//! | read the result | [`draws::Draws`], [`Draws::summary`](draws::Draws::summary), [`diagnostics`] |
//! | see models written out | [`model::zoo`], and the folder `examples` |
//! | build an algorithm | [`kernels`], [`adaptation`], [`autodiff`], [`distributions`], [`transforms`] |

pub mod adaptation;
pub mod autodiff;
pub mod diagnostics;
pub mod distributions;
pub mod draws;
pub mod error;
pub mod kernels;
pub mod linalg;
pub mod math;
pub mod mcmc;
pub mod model;
pub mod parallel;
pub mod parvi;
#[cfg(feature = "plot")]
pub mod plot;
pub mod prelude;
pub mod reasoning;
pub mod rng;
pub mod smc;
pub mod step_rules;
pub mod transforms;
pub mod vi;
pub mod weights;

pub use error::{DensityError, Error, FormatProblem, Result, StartFailure};

/// Documents whose code is run as documentation tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../docs/REPRODUCIBILITY.md")]
    struct Reproducibility;
    #[doc = include_str!("../docs/TESTING.md")]
    struct Testing;
}
