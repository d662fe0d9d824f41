//! A cloud under way: what all runners share.

use ndarray::Array2;

use super::density::CloudDensity;
use super::flow::{Cloud, Flow};
use super::movement::{Movement, largest_move};
use super::start::check_finite;
use crate::error::Error;
use crate::step_rules::{Averaging, IterateAverage, StepRule, StepState};

/// Particles, the flow that directs them and the rule that moves them.
#[derive(Debug)]
pub(super) struct MovingCloud<F> {
    pub(super) flow: F,
    state: Box<dyn StepState>,
    /// In the flow's coordinates.
    positions: Vec<f64>,
    pub(super) directions: Vec<f64>,
    movement: Movement,
    average: Option<IterateAverage>,
    n_particles: usize,
    dim: usize,
}

impl<F: Flow> MovingCloud<F> {
    /// The cloud that starts at these positions, in the target's coordinates.
    pub(super) fn start(
        flow: F,
        rule: &dyn StepRule,
        at_target: &[f64],
        dim: usize,
        minibatch: Option<usize>,
        averaging: Option<Averaging>,
    ) -> Result<Self, Error> {
        check_finite(at_target, dim)?;
        let n_particles = at_target.len() / dim;
        flow.validate(n_particles, dim)?;
        if let Some(size) = minibatch.filter(|_| !flow.uses_minibatches()) {
            let rule = "left out: this flow cannot use minibatches";
            return Err(Error::InvalidSetting { setting: "minibatch", value: size as f64, rule });
        }
        let mut positions = vec![0.0; at_target.len()];
        for (from, to) in at_target.chunks_exact(dim).zip(positions.chunks_exact_mut(dim)) {
            flow.start_at(from, to)?;
        }
        check_finite(&positions, dim)?;
        Ok(Self {
            flow,
            state: rule.start(&positions)?,
            directions: vec![0.0; positions.len()],
            movement: Movement::new(&positions),
            average: averaging.map(|averaging| IterateAverage::new(averaging, positions.len())).transpose()?,
            positions,
            n_particles,
            dim,
        })
    }

    /// Moves all particles once, or none if something fails.
    pub(super) fn step(&mut self, density: &mut dyn CloudDensity, iteration: usize) -> Result<(), Error> {
        let Self { n_particles, dim, .. } = *self;
        let cloud = Cloud { n_particles, dim, positions: &self.positions };
        self.flow.directions(cloud, density, &mut self.directions).map_err(|error| of_flow(error, iteration, cloud))?;
        let stepped = self.state.step(&self.directions, &mut self.positions);
        stepped.map_err(|error| of_rule(error, iteration, &self.directions, dim))?;
        if let Some(average) = &mut self.average {
            average.push(&self.positions)?;
        }
        let result = result(self.average.as_ref(), &self.positions);
        self.movement.record(iteration, result);
        Ok(())
    }

    /// The particles in the target's coordinates.
    pub(super) fn at_target(&self) -> Array2<f64> {
        self.map(&self.positions)
    }

    /// The same of the averages, if they are wanted and there are any yet.
    pub(super) fn result(&self) -> Array2<f64> {
        self.map(result(self.average.as_ref(), &self.positions))
    }

    /// For the coordinate that has moved most since an earlier iteration: its index, how far, and that iteration.
    pub(super) fn largest_move(&self) -> Option<(usize, f64, usize)> {
        let (since, before) = self.movement.reference();
        let flat = |positions: Array2<f64>| positions.into_iter().collect::<Vec<_>>();
        let moved = largest_move(&flat(self.map(before)), &flat(self.result()), self.dim);
        moved.map(|(index, share)| (index, share, since))
    }

    fn map(&self, positions: &[f64]) -> Array2<f64> {
        let mut mapped = Array2::zeros((self.n_particles, self.dim));
        for (from, mut to) in positions.chunks_exact(self.dim).zip(mapped.rows_mut()) {
            if let Some(to) = to.as_slice_mut() {
                self.flow.target_position(from, to);
            }
        }
        mapped
    }
}

/// The averages if there are any yet, otherwise the last positions.
fn result<'a>(average: Option<&'a IterateAverage>, positions: &'a [f64]) -> &'a [f64] {
    average.filter(|average| average.n_iterates() > 0).map_or(positions, IterateAverage::mean)
}

/// A flow's failure at a particle, with the iteration and the coordinate in which the particle is farthest from the others.
fn of_flow(error: Error, iteration: usize, cloud: Cloud<'_>) -> Error {
    match error {
        Error::NotFinite { what, index: particle, value } if particle < cloud.n_particles => {
            let n = cloud.n_particles as f64;
            let mean = |c: usize| cloud.positions.iter().skip(c).step_by(cloud.dim).map(|x| x / n).sum::<f64>();
            let distances = cloud.particle(particle).iter().enumerate().map(|(c, x)| (c, (x - mean(c)).abs()));
            let index = distances.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(c, _)| c);
            Error::ParticleNotFinite { particle, iteration, what, index, value }
        }
        other => other,
    }
}

/// A rule's failure at an entry of the cloud, with particle and iteration.
fn of_rule(error: Error, iteration: usize, directions: &[f64], dim: usize) -> Error {
    match error {
        Error::NotFinite { what, index, value } => {
            Error::ParticleNotFinite { particle: index / dim, iteration, what, index: index % dim, value }
        }
        Error::OutsideSupport { variable, value, support } => {
            // The rule names the first direction that it refuses, so none before has the same value.
            let at = directions.iter().position(|c| *c == value);
            let variable = at.map_or(variable, |at| format!("direction[{}] of particle {}", at % dim, at / dim));
            Error::Step { step: iteration, source: Box::new(Error::OutsideSupport { variable, value, support }) }
        }
        other => other,
    }
}
