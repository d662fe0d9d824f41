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
