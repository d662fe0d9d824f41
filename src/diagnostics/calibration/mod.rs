//! Is a sampler right on average over the data that its model can produce?
//!
//! Parameters θ* drawn from the prior and data drawn given θ* make θ* one more draw from the posterior of those data. So among L
//! draws of a right sampler it stands at a random place, whatever is measured: this holds exactly, for any model that can be
//! simulated, and needs no reference posterior.
//!
//! ```text
//! θ* ~ p(θ)    x ~ p(x | θ*)    θ₁, …, θ_L ~ q(θ | x)    q(θ | x) = p(θ | x)  ⟹  θ*, θ₁, …, θ_L are exchangeable given x
//! ```
//!
//! Cost: a run of the sampler per simulation; both tests read the same draws.
//!
//! Markov chains are to be thinned, as [`ModelProblem`] shows. The draws of a variational fit are independent: the first of them stand for the
//! approximation itself, and some picked by their weights, `fit.psis().resample`, for what it is used for. Here a normal distribution at the mode:
//!
//! ```
//! use ndarray::s;
//! use posterity::diagnostics::{CalibrationRun, ModelProblem, Sbc};
//! use posterity::model::{Values, zoo::EightSchoolsNoncentered};
//! use posterity::vi::Laplace;
//!
//! let schools = |y: Vec<f64>| EightSchoolsNoncentered::new(y, vec![15.0, 10.0, 16.0]);
//! let problem = ModelProblem::new(schools(vec![0.0; 3])?, |simulated: &Values| schools(simulated.get("y").unwrap_or(&[]).to_vec()))?;
//! let simulations = CalibrationRun::new(1).simulations(100).run(&problem, |model, seed| {
//!     let fit = Laplace::default().n_draws(99).fit(model, seed)?;
//!     Ok(fit.positions().slice(s![..99, ..]).to_owned())
//! })?;
//! let report = Sbc::new().test(&problem, &simulations)?;
//! // The posterior of tau is skewed.
//! assert!(report.row("tau").unwrap().p_value < 1e-6);
//! # Ok::<(), posterity::Error>(())
//! ```

mod ecdf_band;
mod model_problem;
mod problem;
mod ranks;
mod sbc;
mod simulations;
mod tarp;
mod uniformity;
mod warning;

pub use ecdf_band::EcdfBand;
pub use model_problem::ModelProblem;
pub use problem::CalibrationProblem;
pub use sbc::{Sbc, SbcReport, SbcRow};
pub use simulations::{CalibrationRun, FailedSimulation, Simulations};
pub use tarp::{EcpPoint, Tarp, TarpReport};
pub use uniformity::Deviation;
pub use warning::CalibrationWarning;
