//! Coupling and autoregressive layers: groups of coordinates, each shifted and scaled by what a network makes of the groups before it.
//!
//! ```text
//! f(z)ᵢ = zᵢ exp(sᵢ) + tᵢ,   (s, t)ᵢ = network of the groups before that of i;   f(z)ᵢ = zᵢ in the first group
//! s = 2 tanh(ŝ)              log |det ∂f/∂z| = Σᵢ sᵢ
//! ```
//! Two groups, halves of the coordinates, are a coupling layer: of `RealNVP`, or with s = 0 of NICE. Groups of one coordinate are inverse autoregressive flow. Layers take the coordinates in turns from the
//! front and from the back. *Costs* two passes of the network per draw and direction; scores and inverses solve their triangular systems within one pass. *Not* for d = 1. *References* Dinh, Krueger & Bengio 2015,
//! <https://arxiv.org/abs/1410.8516>; Dinh, Sohl-Dickstein & Bengio 2017, <https://arxiv.org/abs/1605.08803>; Kingma et al. 2016, <https://arxiv.org/abs/1606.04934>.

use std::ops::Range;

use super::layer::{Layer, add_scaled};
use super::network::{Network, even_ends};
use crate::math::vectorised::{exp_in_place, tanh_in_place};
use crate::rng::Stream;

/// Bound of |s|: a layer stretches by e² at most, so that no draw leaves the range of numbers at once.
const LARGEST_LOG_SCALE: f64 = 2.0;

/// A coupling or autoregressive layer; its parameters are those of the network.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    /// Where each group of coordinates ends.
    ends: Vec<usize>,
    /// Whether coordinates are counted from the last one.
    reversed: bool,
    /// Whether s is not always 0.
    scaled: bool,
    network: Network,
}

/// Rows of the memory: the points that went in, in the layer's order; exp(s); all units of the network, ŝ replaced by tanh ŝ; their cotangents.
struct Rows<'m> {
    inputs: &'m mut [f64],
    stretches: &'m mut [f64],
    values: &'m mut [f64],
    cotangents: &'m mut [f64],
}

/// What shifts and scales a group.
struct Heads {
    coordinates: Range<usize>,
    /// Outputs ŝ, none where s is 0.
    log_scales: Range<usize>,
    /// Outputs t.
    shifts: Range<usize>,
}

impl Affine {
    /// Two groups, the halves.
    pub(super) fn coupling(dim: usize, reversed: bool, scaled: bool, hidden: &[usize]) -> Self {
        Self::new(vec![dim.div_ceil(2), dim], reversed, scaled, hidden)
    }

    /// A group per coordinate.
    pub(super) fn autoregressive(dim: usize, reversed: bool, hidden: &[usize]) -> Self {
        Self::new((1..=dim).collect(), reversed, true, hidden)
    }

    fn new(ends: Vec<usize>, reversed: bool, scaled: bool, hidden: &[usize]) -> Self {
        let n_blocks = ends.len() - 1;
        let per_coordinate = if scaled { 2 } else { 1 };
        let mut levels = vec![ends[..n_blocks].to_vec()];
        levels.extend(hidden.iter().map(|width| even_ends(*width, n_blocks)));
        levels.push(ends[1..].iter().map(|end| per_coordinate * (end - ends[0])).collect());
        Self { ends, reversed, scaled, network: Network::new(levels) }
    }

    fn dim(&self) -> usize {
        self.ends[self.ends.len() - 1]
    }

    /// Where the layer's i-th coordinate stands among all.
    fn place(&self, i: usize) -> usize {
        if self.reversed { self.dim() - 1 - i } else { i }
    }

    /// Those of the group that a block of the network serves.
    fn heads(&self, block: usize) -> Heads {
        let coordinates = self.ends[block]..self.ends[block + 1];
        let (before, size) = (coordinates.start - self.ends[0], coordinates.len());
        if self.scaled {
            Heads { coordinates, log_scales: 2 * before..2 * before + size, shifts: 2 * before + size..2 * (before + size) }
        } else {
            Heads { coordinates, log_scales: 0..0, shifts: before..before + size }
        }
    }

    fn rows<'m>(&self, memory: &'m mut [f64]) -> (usize, Rows<'m>) {
        let n = memory.len() / self.n_rows();
        let (inputs, rest) = memory.split_at_mut(self.dim() * n);
        let (stretches, rest) = rest.split_at_mut(self.dim() * n);
        let (values, cotangents) = rest.split_at_mut(self.network.n_units() * n);
        (n, Rows { inputs, stretches, values, cotangents })
    }

    /// Lets the network see the first coordinates up to the end of a group.
    fn show(&self, group: usize, n: usize, inputs: &[f64], values: &mut [f64]) {
        let shown = (if group == 0 { 0 } else { self.ends[group - 1] }) * n..self.ends[group] * n;
        values[shown.clone()].copy_from_slice(&inputs[shown]);
    }

    /// Runs a block of the network, and from its outputs makes tanh ŝ and exp(s).
    fn run_block(&self, block: usize, n: usize, values: &mut [f64], stretches: &mut [f64]) {
        self.network.forward(block, n, values);
        let Heads { coordinates, log_scales, .. } = self.heads(block);
        let stretches = &mut stretches[coordinates.start * n..coordinates.end * n];
        if !self.scaled {
            stretches.fill(1.0);
            return;
        }
        let first = self.network.first_output();
        let bounded = &mut values[(first + log_scales.start) * n..(first + log_scales.end) * n];
        tanh_in_place(bounded);
        stretches.iter_mut().zip(bounded).for_each(|(stretch, bounded)| *stretch = LARGEST_LOG_SCALE * *bounded);
        exp_in_place(stretches);
    }

    /// Writes the cotangents of a block's outputs, from that of each stretched coordinate and that of its s, apart from what comes through the coordinate.
    fn output_cotangents(
        &self,
        block: usize,
        n: usize,
        rows: &mut Rows<'_>,
        of_coordinates: &[f64],
        of_log_scale: impl Fn(usize) -> f64,
    ) {
        let Heads { coordinates, log_scales, shifts } = self.heads(block);
        let first = self.network.first_output();
        for (k, i) in coordinates.enumerate() {
            let place = self.place(i) * n;
            let of_coordinate = &of_coordinates[place..place + n];
            let shift = (first + shifts.start + k) * n;
            rows.cotangents[shift..shift + n].copy_from_slice(of_coordinate);
            if self.scaled {
                let log_scale = (first + log_scales.start + k) * n;
                let bounded = &rows.values[log_scale..log_scale + n];
                let out = &mut rows.cotangents[log_scale..log_scale + n];
                let (inputs, stretches) = (&rows.inputs[i * n..(i + 1) * n], &rows.stretches[i * n..(i + 1) * n]);
                for j in 0..n {
                    let of_s = of_coordinate[j] * inputs[j] * stretches[j] + of_log_scale(j);
                    out[j] = of_s * LARGEST_LOG_SCALE * (1.0 - bounded[j] * bounded[j]);
                }
            }
        }
    }
}

impl Layer for Affine {
    fn n_parameters(&self) -> usize {
        self.network.n_parameters()
    }

    fn start(&self, rng: &mut Stream, parameters: &mut [f64]) {
        self.network.start(rng, parameters);
    }

    fn set(&mut self, parameters: &[f64]) {
        self.network.set(parameters);
    }

    fn n_rows(&self) -> usize {
        2 * (self.dim() + self.network.n_units())
    }

    fn forward(&mut self, points: &mut [f64], log_determinants: &mut [f64], memory: &mut [f64]) {
        let (n, Rows { inputs, stretches, values, .. }) = self.rows(memory);
        for (i, input) in inputs.chunks_exact_mut(n).enumerate() {
            let place = self.place(i) * n;
            input.copy_from_slice(&points[place..place + n]);
        }
        let first = self.network.first_output();
        for block in 0..self.network.n_blocks() {
            self.show(block, n, inputs, values);
            self.run_block(block, n, values, stretches);
            let Heads { coordinates, log_scales, shifts } = self.heads(block);
            for (k, i) in coordinates.enumerate() {
                let (place, shift) = (self.place(i) * n, (first + shifts.start + k) * n);
                let point = &mut points[place..place + n];
                for j in 0..n {
                    point[j] = inputs[i * n + j] * stretches[i * n + j] + values[shift + j];
                }
            }
            for row in log_scales {
                let bounded = &values[(first + row) * n..(first + row + 1) * n];
                add_scaled(log_determinants, LARGEST_LOG_SCALE, bounded);
            }
        }
    }

    fn backward(&mut self, cotangents: &mut [f64], coefficients: &[f64], memory: &mut [f64], gradient: &mut [f64]) {
        let (n, mut rows) = self.rows(memory);
        for block in (0..self.network.n_blocks()).rev() {
            self.output_cotangents(block, n, &mut rows, cotangents, |j| coefficients[j]);
            self.network.backward(block, n, rows.values, rows.cotangents);
        }
        self.network.accumulate(n, rows.values, rows.cotangents, gradient);
        for i in 0..self.dim() {
            let place = self.place(i) * n;
            let cotangent = &mut cotangents[place..place + n];
            if i >= self.ends[0] {
                cotangent.iter_mut().zip(&rows.stretches[i * n..]).for_each(|(c, stretch)| *c *= stretch);
            }
            if i < self.ends[self.ends.len() - 2] {
                add_scaled(cotangent, 1.0, &rows.cotangents[i * n..(i + 1) * n]);
            }
        }
    }

    /// Solves Jᵀ x = s - ∇ Σ sᵢ from the last group to the first: with the last unknowns known, the network's cotangents of the group before them are.
    fn push_scores(&mut self, scores: &mut [f64], memory: &mut [f64]) {
        let (n, mut rows) = self.rows(memory);
        for block in (0..self.network.n_blocks()).rev() {
            for i in self.ends[block]..self.ends[block + 1] {
                let place = self.place(i) * n;
                scores[place..place + n].iter_mut().zip(&rows.stretches[i * n..]).for_each(|(x, stretch)| *x /= stretch);
            }
            self.output_cotangents(block, n, &mut rows, scores, |_| 1.0);
            self.network.backward(block, n, rows.values, rows.cotangents);
            for i in (if block == 0 { 0 } else { self.ends[block - 1] })..self.ends[block] {
                let place = self.place(i) * n;
                add_scaled(&mut scores[place..place + n], -1.0, &rows.cotangents[i * n..(i + 1) * n]);
            }
        }
    }

    fn invert(&mut self, points: &mut [f64], memory: &mut [f64]) {
        let (n, Rows { inputs, stretches, values, .. }) = self.rows(memory);
        for i in 0..self.ends[0] {
            let place = self.place(i) * n;
            inputs[i * n..(i + 1) * n].copy_from_slice(&points[place..place + n]);
        }
        let first = self.network.first_output();
        for block in 0..self.network.n_blocks() {
            self.show(block, n, inputs, values);
            self.run_block(block, n, values, stretches);
            let Heads { coordinates, shifts, .. } = self.heads(block);
            for (k, i) in coordinates.enumerate() {
                let (place, shift) = (self.place(i) * n, (first + shifts.start + k) * n);
                for j in 0..n {
                    let x = (points[place + j] - values[shift + j]) / stretches[i * n + j];
                    inputs[i * n + j] = x;
                    points[place + j] = x;
                }
            }
        }
    }

    fn clone_box(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}
