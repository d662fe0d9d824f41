//! Sequential Monte Carlo: one engine for particle filters, samplers of static posteriors and conditional sweeps.
//!
//! The engine, [`Smc`], drives a [`FeynmanKac`] model (how particles move, and what weighs them), a [`Population`] (where they live) and the
//! [weight machine](crate::weights) (log-weights, evidence, resampling).
//!
//! | to | see |
//! |---|---|
//! | filter a [`StateSpaceModel`](crate::model::StateSpaceModel) | [`Smc`] over [`Bootstrap`], [`Guided`] or [`Auxiliary`]; [`collectors`] |
//! | smooth and forecast | [`smoothing`], [`forecast()`] |
//! | sample a static posterior, with its evidence | [`sampler`] |
//! | infer the parameters of a state-space model | [`pmmh`], [`ParticleGibbs`] over [`ConditionalSmc`] |
//! | compose an algorithm of parts that keep its target | [`blocks`] |
//! | know the answer exactly | [`exact`] |

mod adapters;
pub mod blocks;
pub mod collectors;
mod conditional;
mod conditional_model;
mod config;
mod engine;
mod error;
pub mod exact;
mod feynman_kac;
mod forecast;
mod history;
mod particle_gibbs;
mod pmmh;
pub mod populations;
pub mod sampler;
pub mod smoothing;
mod state_values;

pub use adapters::{Auxiliary, Bootstrap, Guided, StateSpaceAdapter};
pub use conditional::{ConditionalConfig, ConditionalSmc, PathSampling, SweepInfo};
pub use conditional_model::Pin;
pub use config::SmcConfig;
pub use engine::{Collector, Smc, SmcSummary, Snapshot, StepInfo};
pub use error::SmcError;
pub use feynman_kac::{Ahead, FeynmanKac, Move, Moved, Plan, Slots, Streams, View};
pub use forecast::{forecast, observe};
pub use history::{Generation, History, Keep};
pub use particle_gibbs::{GibbsChain, GibbsRun, ParameterUpdate, ParticleGibbs};
pub use pmmh::{Pilot, Pmmh};
pub use populations::Population;
pub use state_values::StateValues;
