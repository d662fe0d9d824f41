//! Sequential Monte Carlo: one engine for particle filters, samplers of static posteriors and conditional sweeps.
//!
//! The engine, [`Smc`], drives a [`FeynmanKac`] model (how particles move, and what weighs them), a [`Population`] (where they live) and the
//! [weight machine](crate::weights) (log-weights, evidence, resampling). A filter of a
//! [`StateSpaceModel`](crate::model::StateSpaceModel) is `Smc` over [`Bootstrap`], [`Guided`] or [`Auxiliary`]. [`ConditionalSmc`]
//! moves whole paths, and [`ParticleGibbs`] paths and parameters.
//! [`StateSpaceModel`](crate::model::StateSpaceModel) is `Smc` over [`Bootstrap`], [`Guided`] or [`Auxiliary`]. Static posteriors are sampled, and their evidence is
//! estimated, by [`sampler`].

mod adapters;
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
pub mod populations;
pub mod smoothing;
mod state_values;
mod population;
pub mod sampler;

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
pub use populations::Population;
pub use state_values::StateValues;
