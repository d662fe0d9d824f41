//! The radial layer: points move away from a centre, or towards it.
//!
//! ```text
//! f(z) = z₀ + y (r + γ)/(r + α)      y = z - z₀, r = |y|,  α = softplus(α̂), γ = softplus(γ̂)
//! log |det ∂f/∂z| = (d-1) log (r + γ)/(r + α) + log (r² + 2αr + αγ)/(r + α)²
//! ```
//! This is z + β h (z - z₀) with h = 1/(α + r) and β = γ - α > -α. *Costs* 4d per draw; the inverse is the root of a quadratic. *Not* alone where a density has more than a few humps. *Reference*
//! Rezende & Mohamed 2015, <https://arxiv.org/abs/1505.05770>.

use super::layer::{Layer, add_scaled};
use super::planar::SOFTPLUS_IS_ONE;
use crate::error::{Error, check};
use crate::math::vectorised::{ln_in_place, sum};
use crate::math::{inv_logit, log1p_exp};
use crate::rng::Stream;

/// A radial layer; its parameters are z₀, α̂ and γ̂.
#[derive(Debug, Clone)]
pub(super) struct Radial {
    centre: Vec<f64>,
    /// dα/dα̂ and dγ/dγ̂.
    slopes: [f64; 2],
    alpha: f64,
    gamma: f64,
}

impl Radial {
    pub(super) fn new(dim: usize) -> Self {
        Self { centre: vec![0.0; dim], slopes: [0.5; 2], alpha: 1.0, gamma: 1.0 }
    }

    fn dim(&self) -> usize {
        self.centre.len()
    }
}

/// Rows of the memory: y, r, and two of scratch.
fn rows(memory: &mut [f64], dim: usize) -> [&mut [f64]; 4] {
    let n = memory.len() / (dim + 3);
    let (offsets, rest) = memory.split_at_mut(dim * n);
    let (radii, rest) = rest.split_at_mut(n);
    let (first, second) = rest.split_at_mut(n);
    [offsets, radii, first, second]
}

/// Writes y = z - z₀ and r = |y|.
fn polar(points: &[f64], centre: &[f64], offsets: &mut [f64], radii: &mut [f64]) {
    let n = radii.len();
    radii.fill(0.0);
    for ((offsets, points), centre) in offsets.chunks_exact_mut(n).zip(points.chunks_exact(n)).zip(centre) {
        for i in 0..n {
            offsets[i] = points[i] - centre;
            radii[i] += offsets[i] * offsets[i];
        }
    }
    radii.iter_mut().for_each(|r| *r = r.sqrt());
}

/// out = Σ over coordinates of x y, for every draw.
fn inner_products(x: &[f64], y: &[f64], out: &mut [f64]) {
    let n = out.len();
    out.fill(0.0);
    for (x, y) in x.chunks_exact(n).zip(y.chunks_exact(n)) {
        for i in 0..n {
            out[i] += x[i] * y[i];
        }
    }
}

/// x = x scale + y along, with a scale and a length per draw.
fn combine(x: &mut [f64], scale: &[f64], y: &[f64], along: &[f64]) {
    let n = scale.len();
    for (x, y) in x.chunks_exact_mut(n).zip(y.chunks_exact(n)) {
        for i in 0..n {
            x[i] = x[i] * scale[i] + y[i] * along[i];
        }
    }
}

/// 1/r, and 0 at the centre, where what it multiplies is 0.
fn reciprocal(r: f64) -> f64 {
    if r > 0.0 { 1.0 / r } else { 0.0 }
}

impl Layer for Radial {
    fn n_parameters(&self) -> usize {
        self.dim() + 2
    }

    /// A random centre, and α = γ = 1.
    fn start(&self, rng: &mut Stream, parameters: &mut [f64]) {
        rng.fill_normal(parameters);
        parameters[self.dim()..].fill(SOFTPLUS_IS_ONE);
    }

    fn check(&self, parameters: &[f64]) -> Result<(), Error> {
        check::positive("alpha of a radial layer", log1p_exp(parameters[self.dim()]))?;
        check::positive("gamma of a radial layer", log1p_exp(parameters[self.dim() + 1]))
    }

    fn set(&mut self, parameters: &[f64]) {
        let (centre, rest) = parameters.split_at(self.dim());
        self.centre.copy_from_slice(centre);
        (self.alpha, self.gamma) = (log1p_exp(rest[0]), log1p_exp(rest[1]));
        self.slopes = [inv_logit(rest[0]), inv_logit(rest[1])];
    }

    fn n_rows(&self) -> usize {
        self.dim() + 3
    }

    fn forward(&mut self, points: &mut [f64], log_determinants: &mut [f64], memory: &mut [f64]) {
        let (dim, alpha, gamma) = (self.dim(), self.alpha, self.gamma);
        let [offsets, radii, factor, logarithm] = rows(memory, dim);
        polar(points, &self.centre, offsets, radii);
        for i in 0..radii.len() {
            let r = radii[i];
            factor[i] = (r + gamma) / (r + alpha);
            logarithm[i] = (r * r + 2.0 * alpha * r + alpha * gamma) / ((r + alpha) * (r + alpha));
        }
        for ((points, offsets), centre) in
            points.chunks_exact_mut(radii.len()).zip(offsets.chunks_exact(radii.len())).zip(&self.centre)
        {
            for i in 0..radii.len() {
                points[i] = centre + offsets[i] * factor[i];
            }
        }
        ln_in_place(logarithm);
        ln_in_place(factor);
        add_scaled(log_determinants, 1.0, logarithm);
        add_scaled(log_determinants, dim as f64 - 1.0, factor);
    }

    fn backward(&mut self, cotangents: &mut [f64], coefficients: &[f64], memory: &mut [f64], gradient: &mut [f64]) {
        let (dim, alpha, gamma) = (self.dim(), self.alpha, self.gamma);
        let [offsets, radii, along, factor] = rows(memory, dim);
        let n = radii.len();
        inner_products(cotangents, offsets, along);
        let others = dim as f64 - 1.0;
        let (mut of_alpha, mut of_gamma) = (0.0, 0.0);
        for i in 0..n {
            let (r, h, coefficient) = (radii[i], 1.0 / (radii[i] + alpha), coefficients[i]);
            let (per_side, per_square) = (1.0 / (r + gamma), 1.0 / (r * r + 2.0 * alpha * r + alpha * gamma));
            factor[i] = (r + gamma) * h;
            of_alpha += coefficient * ((2.0 * r + gamma) * per_square - (others + 2.0) * h) - along[i] * (r + gamma) * h * h;
            of_gamma += coefficient * (others * per_side + alpha * per_square) + along[i] * h;
            let of_radius = coefficient * (others * (per_side - h) + 2.0 * (r + alpha) * per_square - 2.0 * h)
                + along[i] * (alpha - gamma) * h * h;
            along[i] = of_radius * reciprocal(r);
        }
        let (centre, rest) = gradient.split_at_mut(dim);
        rest[0] += of_alpha * self.slopes[0];
        rest[1] += of_gamma * self.slopes[1];
        for (centre, row) in centre.iter_mut().zip(cotangents.chunks_exact(n)) {
            *centre += sum(row);
        }
        combine(cotangents, factor, offsets, along);
        for (centre, row) in centre.iter_mut().zip(cotangents.chunks_exact(n)) {
            *centre -= sum(row);
        }
    }

    /// The Jacobian matrix is symmetric, with one eigenvalue along y and another across.
    fn push_scores(&mut self, scores: &mut [f64], memory: &mut [f64]) {
        let (dim, alpha, gamma) = (self.dim(), self.alpha, self.gamma);
        let [offsets, radii, along, factor] = rows(memory, dim);
        inner_products(scores, offsets, along);
        let others = dim as f64 - 1.0;
        for i in 0..radii.len() {
            let r = radii[i];
            let (h, square) = (1.0 / (r + alpha), r * r + 2.0 * alpha * r + alpha * gamma);
            let (across, radial) = ((r + alpha) / (r + gamma), (r + alpha) * (r + alpha) / square);
            let of_radius = others * (1.0 / (r + gamma) - h) + 2.0 * (r + alpha) / square - 2.0 * h;
            let per_radius = reciprocal(r);
            factor[i] = across;
            along[i] = per_radius * ((radial - across) * along[i] * per_radius - radial * of_radius);
        }
        combine(scores, factor, offsets, along);
    }

    /// From |f - z₀| = r (r + γ)/(r + α).
    fn invert(&mut self, points: &mut [f64], memory: &mut [f64]) {
        let [offsets, radii, factor, _] = rows(memory, self.dim());
        polar(points, &self.centre, offsets, radii);
        for (factor, moved) in factor.iter_mut().zip(&*radii) {
            let (b, c) = (moved - self.gamma, self.alpha * moved);
            let root = (b * b + 4.0 * c).sqrt();
            let r = if b > 0.0 { 0.5 * (b + root) } else { 2.0 * c / (root - b) };
            *factor = (r + self.alpha) / (r + self.gamma);
        }
        let n = radii.len();
        for ((points, offsets), centre) in points.chunks_exact_mut(n).zip(offsets.chunks_exact(n)).zip(&self.centre) {
            for i in 0..n {
                points[i] = centre + offsets[i] * factor[i];
            }
        }
    }

    fn clone_box(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}
