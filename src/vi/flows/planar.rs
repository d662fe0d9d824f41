//! The planar layer: a ridge or a trench across the space.
//!
//! ```text
//! f(z) = z + û tanh(w·z + b)      û = u + (softplus(w·u) - 1 - w·u) w/|w|²,  so that w·û = softplus(w·u) - 1 > -1
//! |det ∂f/∂z| = 1 + (1 - tanh²) w·û = tanh² + (1 - tanh²) softplus(w·u)
//! ```
//! *Costs* 4d per draw; the inverse is a scalar equation, monotone in w·z. *Not* far above ten dimensions: each layer moves points along one direction. *Reference*
//! Rezende & Mohamed 2015, <https://arxiv.org/abs/1505.05770>.

use super::layer::{Layer, add_scaled};
use crate::error::{Error, check};
use crate::math::vectorised::{combine_columns, dot, ln_in_place, sum, tanh_in_place};
use crate::math::{inv_logit, log1p_exp};
use crate::rng::Stream;

/// softplus⁻¹(1): where w·u has this value, w·û is 0.
pub(super) const SOFTPLUS_IS_ONE: f64 = 0.541_324_854_612_918_1;

/// Standard deviation of w·z at the start, for a standard normal z. Energies in the plane were fitted better from 1.4 and 2.4 than from 1, by the medians of 20 seeds.
const START_STEEPNESS: f64 = 2.0;

/// A planar layer; its parameters are w, u and b.
#[derive(Debug, Clone)]
pub(super) struct Planar {
    weights: Vec<f64>,
    free_direction: Vec<f64>,
    bias: f64,
    /// û
    direction: Vec<f64>,
    /// w·u
    product: f64,
    /// softplus(w·u), which is 1 + w·û.
    steepness: f64,
    squared_norm: f64,
    scratch: Vec<f64>,
}

impl Planar {
    pub(super) fn new(dim: usize) -> Self {
        let zeros = vec![0.0; dim];
        Self {
            weights: zeros.clone(),
            free_direction: zeros.clone(),
            direction: zeros.clone(),
            scratch: zeros,
            bias: 0.0,
            product: 0.0,
            steepness: 1.0,
            squared_norm: 1.0,
        }
    }

    fn dim(&self) -> usize {
        self.weights.len()
    }
}

/// Rows of the memory: the points that went in, tanh(w·z + b), the reciprocal of the determinant, scratch.
struct Rows<'m> {
    inputs: &'m mut [f64],
    tanh: &'m mut [f64],
    reciprocal: &'m mut [f64],
    scratch: &'m mut [f64],
}

fn rows(memory: &mut [f64], dim: usize) -> Rows<'_> {
    let n = memory.len() / (dim + 3);
    let (inputs, rest) = memory.split_at_mut(dim * n);
    let (tanh, rest) = rest.split_at_mut(n);
    let (reciprocal, scratch) = rest.split_at_mut(n);
    Rows { inputs, tanh, reciprocal, scratch }
}

impl Layer for Planar {
    fn n_parameters(&self) -> usize {
        2 * self.dim() + 1
    }

    /// Weights and bias are random, w·u is such that û = 0.
    fn start(&self, rng: &mut Stream, parameters: &mut [f64]) {
        let dim = self.dim();
        rng.fill_normal(parameters);
        let (weights, rest) = parameters.split_at_mut(dim);
        let scale = START_STEEPNESS / (dim as f64).sqrt();
        weights.iter_mut().for_each(|w| *w *= scale);
        let squared_norm = dot(weights, weights);
        for (u, w) in rest[..dim].iter_mut().zip(weights) {
            *u = SOFTPLUS_IS_ONE * *w / squared_norm;
        }
    }

    fn check(&self, parameters: &[f64]) -> Result<(), Error> {
        let (weights, rest) = parameters.split_at(self.dim());
        check::positive("squared norm of the weights of a planar layer", dot(weights, weights))?;
        check::positive("smallest determinant of a planar layer", log1p_exp(dot(weights, rest)))
    }

    fn set(&mut self, parameters: &[f64]) {
        let dim = self.dim();
        self.weights.copy_from_slice(&parameters[..dim]);
        self.free_direction.copy_from_slice(&parameters[dim..2 * dim]);
        self.bias = parameters[2 * dim];
        self.product = dot(&self.weights, &self.free_direction);
        self.steepness = log1p_exp(self.product);
        self.squared_norm = dot(&self.weights, &self.weights);
        let along = (self.steepness - 1.0 - self.product) / self.squared_norm;
        for i in 0..dim {
            self.direction[i] = self.free_direction[i] + along * self.weights[i];
        }
    }

    fn n_rows(&self) -> usize {
        self.dim() + 3
    }

    fn forward(&mut self, points: &mut [f64], log_determinants: &mut [f64], memory: &mut [f64]) {
        let Rows { inputs, tanh, reciprocal, scratch } = rows(memory, self.dim());
        inputs.copy_from_slice(points);
        combine_columns(points, &self.weights, tanh);
        tanh.iter_mut().for_each(|a| *a += self.bias);
        tanh_in_place(tanh);
        for ((determinant, reciprocal), t) in scratch.iter_mut().zip(reciprocal).zip(&*tanh) {
            let square = t * t;
            *determinant = square + (1.0 - square) * self.steepness;
            *reciprocal = 1.0 / *determinant;
        }
        ln_in_place(scratch);
        add_scaled(log_determinants, 1.0, scratch);
        for (row, direction) in points.chunks_exact_mut(tanh.len()).zip(&self.direction) {
            add_scaled(row, *direction, tanh);
        }
    }

    fn backward(&mut self, cotangents: &mut [f64], coefficients: &[f64], memory: &mut [f64], gradient: &mut [f64]) {
        let dim = self.dim();
        let Rows { inputs, tanh, reciprocal, scratch } = rows(memory, dim);
        let n = tanh.len();
        combine_columns(cotangents, &self.direction, scratch);
        // In `scratch` the derivative in w·z + b; beside it that in w·û through the determinant.
        let product = self.steepness - 1.0;
        let mut through_product = 0.0;
        for i in 0..n {
            let (t, slope) = (tanh[i], 1.0 - tanh[i] * tanh[i]);
            let of_logarithm = coefficients[i] * slope * reciprocal[i];
            through_product += of_logarithm;
            scratch[i] = scratch[i] * slope - 2.0 * t * product * of_logarithm;
        }
        let (weights, rest) = gradient.split_at_mut(dim);
        let (direction, bias) = rest.split_at_mut(dim);
        bias[0] += sum(scratch);
        for i in 0..dim {
            self.scratch[i] = dot(&cotangents[i * n..(i + 1) * n], tanh);
            weights[i] += dot(&inputs[i * n..(i + 1) * n], scratch);
            add_scaled(&mut cotangents[i * n..(i + 1) * n], self.weights[i], scratch);
        }
        // From û and w·û to u and w.
        let (w, u, of_direction) = (&self.weights, &self.free_direction, &self.scratch);
        let slope = inv_logit(self.product);
        let along = (self.steepness - 1.0 - self.product) / self.squared_norm;
        let of_along = dot(w, of_direction) / self.squared_norm;
        let of_product = (slope - 1.0) * of_along + slope * through_product;
        for i in 0..dim {
            direction[i] += of_direction[i] + of_product * w[i];
            weights[i] += of_product * u[i] + along * (of_direction[i] - 2.0 * of_along * w[i]);
        }
    }

    /// By the Sherman-Morrison formula: J⁻ᵀ v = v - w h' (û·v) / (1 + h' w·û).
    fn push_scores(&mut self, scores: &mut [f64], memory: &mut [f64]) {
        let Rows { tanh, reciprocal, scratch, .. } = rows(memory, self.dim());
        let product = self.steepness - 1.0;
        combine_columns(scores, &self.direction, scratch);
        for i in 0..tanh.len() {
            let (t, slope) = (tanh[i], 1.0 - tanh[i] * tanh[i]);
            let of_logarithm = -2.0 * t * slope * product * reciprocal[i];
            let projected = scratch[i] - product * of_logarithm;
            scratch[i] = -of_logarithm - slope * projected * reciprocal[i];
        }
        for (row, weight) in scores.chunks_exact_mut(tanh.len()).zip(&self.weights) {
            add_scaled(row, *weight, scratch);
        }
    }

    fn invert(&mut self, points: &mut [f64], memory: &mut [f64]) {
        let Rows { tanh, .. } = rows(memory, self.dim());
        combine_columns(points, &self.weights, tanh);
        tanh.iter_mut().for_each(|a| *a = solve(*a + self.bias, self.steepness).tanh());
        for (row, direction) in points.chunks_exact_mut(tanh.len()).zip(&self.direction) {
            add_scaled(row, -direction, tanh);
        }
    }

    fn clone_box(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

/// The root a of a + c tanh a = `value`, where c = `steepness` - 1 > -1: Newton's method within a bracket, and bisection if that does not end.
fn solve(value: f64, steepness: f64) -> f64 {
    const NEWTON_STEPS: usize = 30;
    let c = steepness - 1.0;
    let (mut low, mut high) = (value - c.abs(), value + c.abs());
    let rounding = f64::EPSILON * (value.abs() + c.abs());
    let mut a = value;
    for step in 0..NEWTON_STEPS + 100 {
        let t = a.tanh();
        let error = a + c * t - value;
        *(if error > 0.0 { &mut high } else { &mut low }) = a;
        let newton = a - error / (t * t + (1.0 - t * t) * steepness);
        let inside = newton > low && newton < high;
        if error.abs() <= rounding || !(low < high) {
            return if inside { newton } else { a };
        }
        a = if inside && step < NEWTON_STEPS { newton } else { 0.5 * (low + high) };
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scalar_equation_is_solved() {
        for steepness in [1e-12, 1e-3, 0.3, 1.0, 2.0, 50.0, 1e6] {
            for a in [-1e5, -30.0, -2.0, -0.1, -1e-8, 0.0, 1e-5, 0.4, 1.0, 7.0, 1e4] {
                let value = a + (steepness - 1.0) * f64::tanh(a);
                let found = solve(value, steepness);
                let back = found + (steepness - 1.0) * f64::tanh(found);
                assert!((back - value).abs() <= 1e-15 * (a.abs() + steepness + 1.0), "{steepness} {a}: {found}");
            }
        }
        assert!(solve(f64::NAN, 2.0).is_nan());
    }
}
