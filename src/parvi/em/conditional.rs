//! The density of latent variables at given parameters.

use super::split::{Split, gather, scatter};
use crate::error::Error;
use crate::model::Target;
use crate::parallel::Threads;
use crate::parvi::density::{CloudDensity, TargetDensity};

/// x ↦ log p(y, x | θ) as flows see it. The gradient with respect to θ comes out of the same evaluations.
#[derive(Debug)]
pub(super) struct Conditional<'t, T: Target + ?Sized> {
    joint: TargetDensity<'t, T>,
    split: Split,
    pub(super) parameters: Vec<f64>,
    /// All coordinates of every particle at the last evaluation, and the derivatives there.
    positions: Vec<f64>,
    scores: Vec<f64>,
    vectors: Vec<f64>,
}

impl<'t, T: Target + ?Sized> Conditional<'t, T> {
    pub(super) fn new(joint: TargetDensity<'t, T>, split: Split, parameters: Vec<f64>) -> Self {
        Self { joint, split, parameters, positions: Vec::new(), scores: Vec::new(), vectors: Vec::new() }
    }

    pub(super) fn start_iteration(&mut self, iteration: usize) {
        self.joint.start_iteration(iteration);
        // What was evaluated on another minibatch is of no use.
        self.positions.clear();
    }

    pub(super) fn iteration(&self) -> usize {
        self.joint.iteration
    }

    pub(super) fn n_evaluations(&self) -> u64 {
        self.joint.n_evaluations
    }

    pub(super) fn split(&self) -> &Split {
        &self.split
    }

    /// All coordinates of particles whose latent variables are these.
    pub(super) fn join(&self, latents: &[f64]) -> Vec<f64> {
        let mut positions = vec![0.0; latents.len() / self.split.latents.len() * self.split.dim()];
        self.split.join(latents, &self.parameters, &mut positions);
        positions
    }

    fn evaluate(&mut self, latents: &[f64]) -> Result<(), Error> {
        let n = latents.len() / self.split.latents.len() * self.split.dim();
        self.positions.resize(n, 0.0);
        self.scores.resize(n, 0.0);
        self.split.join(latents, &self.parameters, &mut self.positions);
        self.joint.scores(&self.positions, &mut self.scores)
    }

    /// The mean over particles of ∇θ log p(y, x | θ), which costs nothing if the flow has asked for the scores of these particles last.
    pub(super) fn parameter_gradient(&mut self, latents: &[f64], out: &mut [f64]) -> Result<(), Error> {
        let dim = self.split.dim();
        let mut there = self.positions.chunks_exact(dim).flat_map(|x| self.split.latents.iter().map(|&c| x[c]));
        if !(self.positions.len() / dim * self.split.latents.len() == latents.len()
            && latents.iter().all(|x| there.next() == Some(*x)))
        {
            self.evaluate(latents)?;
        }
        out.fill(0.0);
        for scores in self.scores.chunks_exact(dim) {
            for (&c, out) in self.split.parameters.iter().zip(&mut *out) {
                *out += scores[c];
            }
        }
        let n_particles = (self.scores.len() / dim) as f64;
        out.iter_mut().for_each(|g| *g /= n_particles);
        Ok(())
    }
}

impl<T: Target + ?Sized> CloudDensity for Conditional<'_, T> {
    fn dim(&self) -> usize {
        self.split.latents.len()
    }

    fn scores(&mut self, positions: &[f64], out: &mut [f64]) -> Result<(), Error> {
        self.evaluate(positions)?;
        gather(&self.split.latents, &self.scores, self.split.dim(), out);
        Ok(())
    }

    fn hessian_vectors(&mut self, positions: &[f64], vectors: &[f64], out: &mut [f64]) -> Result<(), Error> {
        let dim = self.split.dim();
        let joint = self.join(positions);
        self.vectors.clear();
        self.vectors.resize(joint.len(), 0.0);
        scatter(&self.split.latents, vectors, dim, &mut self.vectors);
        let mut products = vec![0.0; joint.len()];
        self.joint.hessian_vectors(&joint, &self.vectors, &mut products)?;
        gather(&self.split.latents, &products, dim, out);
        Ok(())
    }

    fn threads(&self) -> &Threads {
        self.joint.threads()
    }
}
