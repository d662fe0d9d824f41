//! Sequential Monte Carlo: one engine for particle filters, samplers of static posteriors and conditional sweeps.
//!
//! The engine, [`Smc`], drives a [`FeynmanKac`] model (how particles move, and what weighs them), a [`Population`] (where they live) and the
//! [weight machine](crate::weights) (log-weights, evidence, resampling). A filter of a
//! [`StateSpaceModel`](crate::model::StateSpaceModel) is `Smc` over [`Bootstrap`], [`Guided`] or [`Auxiliary`].

mod adapters;
pub mod blocks;
mod conditional_model;
mod config;
mod engine;
mod error;
pub mod exact;
mod feynman_kac;
mod history;
mod pmmh;
mod population;
mod state_values;

pub use adapters::{Auxiliary, Bootstrap, Guided, StateSpaceAdapter};
pub use conditional_model::Pin;
pub use config::SmcConfig;
pub use engine::{Collector, Smc, SmcSummary, Snapshot, StepInfo};
pub use error::SmcError;
pub use feynman_kac::{Ahead, FeynmanKac, Move, Moved, Plan, Slots, Streams, View};
pub use history::{Generation, History, Keep};
pub use pmmh::{Pilot, Pmmh};
pub use population::Population;
pub use state_values::StateValues;
