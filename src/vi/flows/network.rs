//! Networks whose outputs see only some of the inputs, by blocks: what shifts and scales the coordinates of a coupling or autoregressive layer.
//!
//! ```text
//! hᵏ = tanh(Wᵏ hᵏ⁻¹ + bᵏ), outputs linear;   units of block m see those of blocks 0..=m of the level below
//! ```
//! One block is a plain network, d - 1 blocks of one input each make the masks of MADE (Germain et al. 2015, <https://arxiv.org/abs/1502.03509>). Going through the blocks in order, or backwards in
//! reverse order, costs one pass in all: what a triangular system, or an inverse, asks for.

use std::ops::Range;

use crate::math::vectorised::{combine_columns, dot, sum, tanh_in_place};
use crate::rng::Stream;

/// One level of weights.
#[derive(Debug, Clone)]
struct Dense {
    /// Inputs that each unit sees, the first ones; ascending.
    seen: Vec<usize>,
    /// First unit that sees each input; ascending.
    first: Vec<usize>,
    /// Weights unit by unit, as many as it sees, then biases.
    parameters: Vec<f64>,
    /// Where a unit's weights start.
    rows: Vec<usize>,
    /// The same weights input by input.
    columns: Vec<f64>,
    column_starts: Vec<usize>,
}

impl Dense {
    /// From the end of each block of inputs and of units.
    fn new(input_ends: &[usize], unit_ends: &[usize]) -> Self {
        let (mut seen, mut first) = (Vec::new(), Vec::new());
        let mut units_before = 0;
        for (&inputs, &units) in input_ends.iter().zip(unit_ends) {
            first.resize(inputs, units_before);
            seen.resize(units, inputs);
            units_before = units;
        }
        let starts = |counts: &[usize]| -> Vec<usize> {
            let mut total = 0;
            let before = counts.iter().map(|n| {
                total += n;
                total - n
            });
            before.collect()
        };
        let n_weights: usize = seen.iter().sum();
        let column_lengths: Vec<usize> = first.iter().map(|first| seen.len() - first).collect();
        Self {
            parameters: vec![0.0; n_weights + seen.len()],
            columns: vec![0.0; n_weights],
            rows: starts(&seen),
            column_starts: starts(&column_lengths),
            seen,
            first,
        }
    }

    fn n_units(&self) -> usize {
        self.seen.len()
    }

    fn n_weights(&self) -> usize {
        self.columns.len()
    }

    /// Random weights of about unit gain, and small biases that set the units apart.
    fn start(&self, rng: &mut Stream, parameters: &mut [f64]) {
        rng.fill_normal(parameters);
        for (row, seen) in self.rows.iter().zip(&self.seen) {
            parameters[*row..row + seen].iter_mut().for_each(|w| *w /= (*seen as f64).sqrt());
        }
        parameters[self.n_weights()..].iter_mut().for_each(|b| *b *= 0.5);
    }

    fn set(&mut self, parameters: &[f64]) {
        self.parameters.copy_from_slice(parameters);
        for input in 0..self.first.len() {
            for unit in self.first[input]..self.seen.len() {
                self.columns[self.column_starts[input] + unit - self.first[input]] = parameters[self.rows[unit] + input];
            }
        }
    }

    /// Values of some units.
    fn forward(&self, units: Range<usize>, n: usize, inputs: &[f64], outputs: &mut [f64]) {
        for unit in units {
            let (row, seen) = (self.rows[unit], self.seen[unit]);
            let out = &mut outputs[unit * n..(unit + 1) * n];
            combine_columns(&inputs[..seen * n], &self.parameters[row..row + seen], out);
            let bias = self.parameters[self.n_weights() + unit];
            out.iter_mut().for_each(|x| *x += bias);
        }
    }

    /// Cotangents of some inputs from those of the units that see them.
    fn backward(&self, inputs: Range<usize>, n: usize, unit_cotangents: &[f64], input_cotangents: &mut [f64]) {
        for input in inputs {
            let (first, start) = (self.first[input], self.column_starts[input]);
            let column = &self.columns[start..start + self.n_units() - first];
            combine_columns(&unit_cotangents[first * n..], column, &mut input_cotangents[input * n..(input + 1) * n]);
        }
    }

    fn accumulate(&self, n: usize, inputs: &[f64], unit_cotangents: &[f64], gradient: &mut [f64]) {
        let (weights, biases) = gradient.split_at_mut(self.n_weights());
        for (unit, cotangent) in unit_cotangents.chunks_exact(n).enumerate() {
            let row = &mut weights[self.rows[unit]..self.rows[unit] + self.seen[unit]];
            for (weight, input) in row.iter_mut().zip(inputs.chunks_exact(n)) {
                *weight += dot(cotangent, input);
            }
            biases[unit] += sum(cotangent);
        }
    }
}

/// A network; values of all its levels stand one below the other, inputs first, n numbers per unit.
#[derive(Debug, Clone)]
pub(super) struct Network {
    levels: Vec<Dense>,
    /// Where each block of each level ends: inputs, hidden levels, outputs.
    ends: Vec<Vec<usize>>,
    /// First unit of each level among all.
    offsets: Vec<usize>,
}

impl Network {
    /// From the ends of the blocks of every level.
    pub(super) fn new(ends: Vec<Vec<usize>>) -> Self {
        let levels: Vec<Dense> = ends.windows(2).map(|pair| Dense::new(&pair[0], &pair[1])).collect();
        let mut offsets = vec![0];
        for (i, ends) in ends.iter().enumerate() {
            offsets.push(offsets[i] + ends.last().copied().unwrap_or(0));
        }
        Self { levels, ends, offsets }
    }

    pub(super) fn n_blocks(&self) -> usize {
        self.ends[0].len()
    }

    /// Units of all levels, inputs and outputs among them.
    pub(super) fn n_units(&self) -> usize {
        self.offsets[self.levels.len() + 1]
    }

    /// First output among all units.
    pub(super) fn first_output(&self) -> usize {
        self.offsets[self.levels.len()]
    }

    pub(super) fn n_parameters(&self) -> usize {
        self.levels.iter().map(|level| level.parameters.len()).sum()
    }

    /// Random hidden levels and outputs that are all 0.
    pub(super) fn start(&self, rng: &mut Stream, mut parameters: &mut [f64]) {
        for (i, level) in self.levels.iter().enumerate() {
            let (own, rest) = parameters.split_at_mut(level.parameters.len());
            if i + 1 < self.levels.len() {
                level.start(rng, own)
            } else {
                own.fill(0.0)
            }
            parameters = rest;
        }
    }

    pub(super) fn set(&mut self, mut parameters: &[f64]) {
        for level in &mut self.levels {
            let (own, rest) = parameters.split_at(level.parameters.len());
            level.set(own);
            parameters = rest;
        }
    }

    fn units(&self, level: usize, block: usize) -> Range<usize> {
        let ends = &self.ends[level];
        (if block == 0 { 0 } else { ends[block - 1] })..ends[block]
    }

    /// Values of a block's units, from the inputs of the blocks up to it.
    pub(super) fn forward(&self, block: usize, n: usize, values: &mut [f64]) {
        for (i, level) in self.levels.iter().enumerate() {
            let (below, above) = values.split_at_mut(self.offsets[i + 1] * n);
            let units = self.units(i + 1, block);
            level.forward(units.clone(), n, &below[self.offsets[i] * n..], above);
            if i + 1 < self.levels.len() {
                tanh_in_place(&mut above[units.start * n..units.end * n]);
            }
        }
    }

    /// Cotangents of a block's hidden units and inputs, from those of the outputs of the blocks from it on; these blocks come first.
    pub(super) fn backward(&self, block: usize, n: usize, values: &[f64], cotangents: &mut [f64]) {
        for (i, level) in self.levels.iter().enumerate().rev() {
            let (below, above) = cotangents.split_at_mut(self.offsets[i + 1] * n);
            let units = self.units(i, block);
            let below = &mut below[self.offsets[i] * n..];
            level.backward(units.clone(), n, above, below);
            if i > 0 {
                let own = units.start * n..units.end * n;
                let values = &values[self.offsets[i] * n..];
                below[own.clone()].iter_mut().zip(&values[own]).for_each(|(c, h)| *c *= 1.0 - h * h);
            }
        }
    }

    /// Adds the gradient in the parameters, once all cotangents are known.
    pub(super) fn accumulate(&self, n: usize, values: &[f64], cotangents: &[f64], mut gradient: &mut [f64]) {
        for (i, level) in self.levels.iter().enumerate() {
            let (own, rest) = gradient.split_at_mut(level.parameters.len());
            let above = &cotangents[self.offsets[i + 1] * n..self.offsets[i + 2] * n];
            level.accumulate(n, &values[self.offsets[i] * n..], above, own);
            gradient = rest;
        }
    }
}

/// Where blocks end if `n_units` are dealt out as evenly as it goes.
pub(super) fn even_ends(n_units: usize, n_blocks: usize) -> Vec<usize> {
    (1..=n_blocks).map(|block| (block * n_units).div_ceil(n_blocks)).collect()
}
