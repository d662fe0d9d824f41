//! SMC samplers: weighted particles that travel from the prior to the posterior, and estimate the evidence on the way.
//!
//! ```text
//! tempering       γₜ(x) = p(x) L(x)^λₜ,            0 = λ₀ < λ₁ < … < λ_T = 1
//! data tempering  γₜ(x) = p(x) Π_{i < nₜ} Lᵢ(x),   0 = n₀ < n₁ < … < n_T = N
//!
//! x₀ ~ p exactly, then for each t:
//!   w ← γₜ(x) / γₜ₋₁(x)                    increment; log Z += log mean w
//!   ancestors ~ w                          resampling
//!   x ← moves of a kernel that leaves γₜ invariant, tuned by the weighted cloud
//! ```
//! λₜ (or nₜ) is where the effective sample size of the increments has fallen to a given share of the particles, unless a ladder is given.
//! The last cloud has moved
//! under the posterior itself.
//!
//! *Waste-free* samplers ([`Moves::WasteFree`], the default) resample M = N / P ancestors and keep all P states of the chains that start
//! from them; at
//! the same cost the evidence has a fraction of the variance, and one run tells its own error. *Standard* samplers ([`Moves::Standard`],
//! [`Moves::Adaptive`]) resample N ancestors and keep the end of each chain.
//!
//! *Asks* of a [`Target`](crate::model::Target) exact prior draws, and a normalised prior if the evidence is to mean something. *Costs* N
//! log-likelihoods per step and kept state, some 10 to 20 steps for a regression. *References* N. Chopin 2002,
//! <https://doi.org/10.1093/biomet/89.3.539>; P. Del Moral, A. Doucet and A. Jasra 2006, <https://doi.org/10.1111/j.1467-9868.2006.00553.x>;
//! A. Jasra et al. 2011, <https://doi.org/10.1111/j.1467-9469.2010.00723.x> (adaptive temperatures); H.-D. Dau and N. Chopin 2022,
//! <https://arxiv.org/abs/2011.02328> (waste-free). *Not* where only posterior draws of a unimodal posterior with gradients are wanted: NUTS
//! is cheaper; nor for a likelihood that is 0 or NaN under most of the prior.
//!
//! An adaptive schedule, and kernels tuned by the cloud, make the evidence consistent rather than exactly unbiased (A. Beskos et al. 2016,
//! <https://doi.org/10.1214/15-AAP1113>); a fixed ladder leaves only the second.

mod assemble;
mod config;
mod moves;
mod partial;
mod particles;
mod path;
mod result;
mod schedule;
mod tuning;
mod variance;

pub use config::{MoveKernel, Moves, SmcSampler};
pub use particles::Particles;
pub use path::PosteriorPath;
pub use result::{SamplerResult, Stage};
