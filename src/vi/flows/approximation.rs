//! A member of a flow family: a normal distribution with independent coordinates, and what its layers make of it.
//!
//! ```text
//! z₀ = μ + e^ω ε,  zₖ = fₖ(zₖ₋₁)        log q(z_K) = log q₀(z₀) - Σₖ log |det ∂fₖ/∂z|
//! ```
//! With ε held fixed, log q of a draw changes with φ by -Σ ω - Σₖ log |det ∂fₖ/∂z|; what of it is not the motion of the draw along its score, is the change at a fixed position. So one backward pass with cotangents -cᵢ ∇z log q(zᵢ) and
//! coefficients -cᵢ of the log determinants gives the parameter scores.

use super::layer::Layer;
use crate::error::Error;
use crate::rng::Stream;
use crate::vi::approximation::{Approximation, check_parameters, check_scales};
use crate::vi::families::HALF_LOG_TWO_PI;
use crate::vi::families::check_evaluation;

/// A base distribution and layers.
#[derive(Debug, Clone)]
pub(super) struct FlowApproximation {
    /// μ, ω, then those of the layers.
    parameters: Vec<f64>,
    sd: Vec<f64>,
    layers: Vec<Box<dyn Layer>>,
    /// The latest draws.
    draws: Batch,
    /// A single position.
    position: Batch,
    /// Cotangents on their way back, d x n.
    cotangents: Vec<f64>,
    /// Coefficients of the log determinants, n.
    coefficients: Vec<f64>,
}

/// Points that went through the layers, with all memory to come back. Matrices are d x n, a row per coordinate.
#[derive(Debug, Clone, Default)]
struct Batch {
    n: usize,
    noise: Vec<f64>,
    points: Vec<f64>,
    log_determinants: Vec<f64>,
    /// ∇z log q of the points that came out, once asked for.
    scores: Vec<f64>,
    has_scores: bool,
    /// That of the layers, one after the other.
    memory: Vec<f64>,
}

impl Batch {
    fn resize(&mut self, n: usize, dim: usize, layers: &[Box<dyn Layer>]) {
        self.has_scores = false;
        if self.n != n {
            self.n = n;
            for matrix in [&mut self.noise, &mut self.points, &mut self.scores] {
                matrix.resize(n * dim, 0.0);
            }
            self.log_determinants.resize(n, 0.0);
            self.memory.resize(n * layers.iter().map(|layer| layer.n_rows()).sum::<usize>(), 0.0);
        }
    }

    fn clear(&mut self) {
        self.n = 0;
    }

    /// Sends the noise through the base and the layers.
    fn forward(&mut self, location: &[f64], sd: &[f64], layers: &mut [Box<dyn Layer>]) {
        let n = self.n;
        for (i, points) in self.points.chunks_exact_mut(n).enumerate() {
            points.iter_mut().zip(&self.noise[i * n..]).for_each(|(z, noise)| *z = location[i] + sd[i] * noise);
        }
        self.log_determinants.fill(0.0);
        let mut rest = self.memory.as_mut_slice();
        for layer in layers {
            let memory = rest.split_off_mut(..layer.n_rows() * n).unwrap_or_default();
            layer.forward(&mut self.points, &mut self.log_determinants, memory);
        }
    }

    /// The scores, made if they are not there yet.
    fn scores(&mut self, sd: &[f64], layers: &mut [Box<dyn Layer>]) -> &[f64] {
        let n = self.n;
        if !self.has_scores {
            self.has_scores = true;
            for (i, scores) in self.scores.chunks_exact_mut(n).enumerate() {
                scores.iter_mut().zip(&self.noise[i * n..]).for_each(|(score, noise)| *score = -noise / sd[i]);
            }
            let mut rest = self.memory.as_mut_slice();
            for layer in layers {
                let memory = rest.split_off_mut(..layer.n_rows() * n).unwrap_or_default();
                layer.push_scores(&mut self.scores, memory);
            }
        }
        &self.scores
    }

    /// log q of the points, without the base's constant.
    fn log_density(&self, i: usize) -> f64 {
        let square: f64 = self.noise[i..].iter().step_by(self.n).map(|noise| noise * noise).sum();
        -0.5 * square - self.log_determinants[i]
    }
}

impl FlowApproximation {
    /// Layers that are the identity, over a base of standard deviation `scale`.
    pub(super) fn new(dim: usize, scale: f64, layers: Vec<Box<dyn Layer>>, rng: &mut Stream) -> Self {
        let n_of_layers: usize = layers.iter().map(|layer| layer.n_parameters()).sum();
        let mut parameters = vec![0.0; 2 * dim + n_of_layers];
        parameters[dim..2 * dim].fill(scale.ln());
        let mut approximation = Self {
            parameters,
            sd: vec![scale; dim],
            layers,
            draws: Batch::default(),
            position: Batch::default(),
            cotangents: Vec::new(),
            coefficients: Vec::new(),
        };
        let mut rest = &mut approximation.parameters[2 * dim..];
        for layer in &mut approximation.layers {
            let (own, after) = rest.split_at_mut(layer.n_parameters());
            layer.start(rng, own);
            layer.set(own);
            rest = after;
        }
        approximation
    }

    fn log_normaliser(&self) -> f64 {
        let dim = self.sd.len();
        self.parameters[dim..2 * dim].iter().sum::<f64>() + dim as f64 * HALF_LOG_TWO_PI
    }

    /// Writes -cᵢ ∇z log q(zᵢ) to the cotangents and -cᵢ to the coefficients, and adds what the base's normaliser has to do with it to `out`.
    fn ask_for_parameter_scores(&mut self, batch: &mut Batch, coefficients: &[f64], out: &mut [f64]) {
        let (n, dim) = (batch.n, self.sd.len());
        self.cotangents.resize(n * dim, 0.0);
        let scores = batch.scores(&self.sd, &mut self.layers);
        for (row, scores) in self.cotangents.chunks_exact_mut(n).zip(scores.chunks_exact(n)) {
            row.iter_mut().zip(coefficients).zip(scores).for_each(|((to, c), score)| *to = -c * score);
        }
        self.coefficients.clear();
        self.coefficients.extend(coefficients.iter().map(|c| -c));
        let of_log_scales: f64 = self.coefficients.iter().sum();
        out[dim..2 * dim].iter_mut().for_each(|x| *x += of_log_scales);
    }

    /// Sends a position back to its noise and forth again, in the memory for single positions.
    fn locate(&mut self, position: &[f64]) {
        let dim = self.sd.len();
        let batch = &mut self.position;
        batch.resize(1, dim, &self.layers);
        batch.points.copy_from_slice(position);
        let mut before = batch.memory.len();
        for layer in self.layers.iter_mut().rev() {
            let memory = before - layer.n_rows()..before;
            before = memory.start;
            layer.invert(&mut batch.points, &mut batch.memory[memory]);
        }
        for i in 0..dim {
            batch.noise[i] = (batch.points[i] - self.parameters[i]) / self.sd[i];
        }
        batch.forward(&self.parameters[..dim], &self.sd, &mut self.layers);
    }

    /// Adds the derivatives of Σᵢ cᵢ · zᵢ + kᵢ Σ log |det| to `out`, for the cotangents c and coefficients k that are set.
    fn backward(&mut self, batch: &mut Batch, out: &mut [f64]) {
        let (n, dim) = (batch.n, self.sd.len());
        let mut gradient_before = out.len();
        let mut memory_before = batch.memory.len();
        for layer in self.layers.iter_mut().rev() {
            let gradient = gradient_before - layer.n_parameters()..gradient_before;
            let memory = memory_before - layer.n_rows() * n..memory_before;
            (gradient_before, memory_before) = (gradient.start, memory.start);
            let memory = &mut batch.memory[memory];
            layer.backward(&mut self.cotangents, &self.coefficients, memory, &mut out[gradient]);
        }
        for i in 0..dim {
            let (row, noise) = (&self.cotangents[i * n..(i + 1) * n], &batch.noise[i * n..]);
            for (cotangent, noise) in row.iter().zip(noise) {
                out[i] += cotangent;
                out[dim + i] += cotangent * noise * self.sd[i];
            }
        }
    }
}

impl Approximation for FlowApproximation {
    fn dim(&self) -> usize {
        self.sd.len()
    }

    fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        check_parameters(self.parameters.len(), parameters)?;
        let (base, of_layers) = parameters.split_at(2 * self.sd.len());
        let log_scales = &base[self.sd.len()..];
        log_scales.iter().try_for_each(|omega| check_scales(&[omega.exp()]))?;
        let mut rest = of_layers;
        for layer in &self.layers {
            let (own, after) = rest.split_at(layer.n_parameters());
            layer.check(own)?;
            rest = after;
        }
        rest = of_layers;
        for layer in &mut self.layers {
            let (own, after) = rest.split_at(layer.n_parameters());
            layer.set(own);
            rest = after;
        }
        self.sd.iter_mut().zip(log_scales).for_each(|(sd, omega)| *sd = omega.exp());
        self.parameters.copy_from_slice(parameters);
        self.draws.clear();
        Ok(())
    }

    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        let (n, dim) = (log_densities.len(), self.sd.len());
        let normaliser = self.log_normaliser();
        self.draws.resize(n, dim, &self.layers);
        if n == 0 {
            return;
        }
        // Draw by draw, so that the first ones do not depend on their number.
        for i in 0..n {
            (0..dim).for_each(|j| self.draws.noise[j * n + i] = rng.normal());
        }
        self.draws.forward(&self.parameters[..dim], &self.sd, &mut self.layers);
        from_rows(&self.draws.points, draws, n);
        for (i, log_density) in log_densities.iter_mut().enumerate() {
            *log_density = self.draws.log_density(i) - normaliser;
        }
    }

    fn scores(&mut self, out: &mut [f64]) {
        let n = self.draws.n;
        if n > 0 {
            from_rows(self.draws.scores(&self.sd, &mut self.layers), out, n);
        }
    }

    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]) {
        let (n, dim) = (self.draws.n, self.sd.len());
        if n == 0 {
            return;
        }
        self.cotangents.resize(n * dim, 0.0);
        for (j, row) in self.cotangents.chunks_exact_mut(n).enumerate() {
            row.iter_mut().zip(cotangents[j..].iter().step_by(dim)).for_each(|(to, from)| *to = *from);
        }
        self.coefficients.clear();
        self.coefficients.resize(n, 0.0);
        let mut draws = std::mem::take(&mut self.draws);
        self.backward(&mut draws, out);
        self.draws = draws;
    }

    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        if self.draws.n == 0 {
            return;
        }
        let mut draws = std::mem::take(&mut self.draws);
        self.ask_for_parameter_scores(&mut draws, coefficients, out);
        self.backward(&mut draws, out);
        self.draws = draws;
    }

    fn parameter_scores_at(&mut self, positions: &[f64], coefficients: &[f64], out: &mut [f64]) -> bool {
        let rows = positions.chunks_exact(self.sd.len());
        for (&coefficient, position) in coefficients.iter().zip(rows).filter(|(c, _)| **c != 0.0) {
            self.locate(position);
            let mut batch = std::mem::take(&mut self.position);
            self.ask_for_parameter_scores(&mut batch, &[coefficient], out);
            self.backward(&mut batch, out);
            self.position = batch;
        }
        true
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        let dim = self.sd.len();
        check_evaluation(dim, position, gradient)?;
        self.locate(position);
        gradient.copy_from_slice(self.position.scores(&self.sd, &mut self.layers));
        let value = self.position.log_density(0) - self.log_normaliser();
        if value.is_nan() {
            return Err(Error::NotFinite { what: "log density of the flow", index: 0, value });
        }
        Ok(value)
    }

    fn clone_box(&self) -> Box<dyn Approximation> {
        Box::new(self.clone())
    }
}

/// Turns d x n into n x d.
fn from_rows(rows: &[f64], out: &mut [f64], n: usize) {
    let dim = rows.len() / n;
    for (j, row) in rows.chunks_exact(n).enumerate() {
        out[j..].iter_mut().step_by(dim).zip(row).for_each(|(to, from)| *to = *from);
    }
}
