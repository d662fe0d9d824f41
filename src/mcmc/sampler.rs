//! The samplers' common face, and the adaptive chain that each of them runs.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine;
use super::run::Run;
use super::warmup::{Tuning, Warmup};
use crate::adaptation::DrawBuffer;
use crate::draws::Draws;
use crate::error::{DensityError, Error};
use crate::kernels::State;
use crate::model::{LogDensityGradient, Target};
use crate::rng::Stream;

/// An MCMC sampler: settings that know how to run chains on any [`Target`].
pub trait Sampler: Sync {
    /// The chain that this sampler runs.
    type Chain: AdaptiveChain;

    /// Name, as in "nuts".
    fn name(&self) -> &'static str;

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first one out of range.
    fn validate(&self) -> Result<(), Error>;

    /// The settings by name, as recorded with the draws.
    fn settings(&self) -> Vec<(String, String)>;

    /// A chain of dimension `dim` that will warm up for `n_warmup` iterations.
    ///
    /// # Errors
    /// As [`Sampler::validate`].
    fn chain(&self, dim: usize, n_warmup: usize) -> Result<Self::Chain, Error>;

    /// Warms up and samples.
    ///
    /// # Errors
    /// [`Error::NoParameters`], [`Error::NoStartPoint`], [`Error::InvalidSetting`], [`Error::Stopped`]; [`Error::Density`] for a fatal error
    /// of the density on the way to a start point and step size; [`Error::Chain`] with the chain and iteration for whatever ends a chain
    /// after that.
    fn sample<T: Target + ?Sized>(&self, target: &T, run: Run) -> Result<Draws, Error>
    where
        Self: Sized,
    {
        engine::sample(self, target, &run)
    }

    /// Warms up only; [`Run::reuse`] goes on from the result.
    ///
    /// # Errors
    /// As [`Sampler::sample`].
    fn warm_up<T: Target + ?Sized>(&self, target: &T, run: Run) -> Result<Warmup, Error>
    where
        Self: Sized,
    {
        engine::warm_up(self, target, &run)
    }
}

/// A kernel with its adaptation: everything about a chain but its position and random stream, as a serialisable value.
pub trait AdaptiveChain: Serialize + DeserializeOwned + Send {
    /// Prepares the first iteration, as by a search for a step size; `path` holds points with their gradients that were seen on the way
    /// to the start point, if any. Not called when a tuning is reused.
    ///
    /// # Errors
    /// What the density reports.
    fn start(
        &mut self,
        state: &mut State,
        path: &DrawBuffer,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
    ) -> Result<(), Error>;

    /// Makes warm-up iteration `iteration` (from 0), and learns from it.
    ///
    /// # Errors
    /// Fatal errors of the density.
    fn warm_up(
        &mut self,
        iteration: usize,
        state: &mut State,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
    ) -> Result<Transition, Error>;

    /// Makes one iteration after warm-up.
    ///
    /// # Errors
    /// Fatal errors of the density.
    fn transition(
        &mut self,
        state: &mut State,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
    ) -> Result<Transition, DensityError>;

    /// Fixes what was learnt; called once after the last warm-up iteration.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if what was learnt is no valid tuning.
    fn finish_warm_up(&mut self) -> Result<(), Error>;

    /// The tuning as it is.
    fn tuning(&self) -> Tuning;

    /// Takes over a tuning.
    ///
    /// # Errors
    /// [`Error::Dimension`] if it belongs to another dimension.
    fn set_tuning(&mut self, tuning: &Tuning) -> Result<(), Error>;
}

/// What happened in one iteration, as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, serde::Deserialize)]
pub struct Transition {
    /// Acceptance rate.
    pub acceptance_rate: f64,
    /// Step size used.
    pub step_size: f64,
    /// Density or gradient evaluations made, beside those of the tuning.
    pub n_evaluations: u32,
    /// Evaluations made for the tuning.
    pub n_tuning_evaluations: u32,
    /// Depth of the trajectory's tree; 0 where there is none.
    pub tree_depth: u32,
    /// True if the trajectory was cut off at the largest depth.
    pub reached_max_tree_depth: bool,
    /// True if the trajectory diverged.
    pub diverging: bool,
    /// Energy of the new state; NaN where the kernel has none.
    pub energy: f64,
    /// Energy of the new state less that of the old one; NaN where the kernel has none.
    pub energy_error: f64,
}
