//! Kernels of a transformer's forward pass in single precision, between its matrix products.
//!
//! They follow the rules of the parent module: no fused multiply-add, sums lane by lane in an order fixed by the lengths, so the bits do
//! not depend on the width of the machine's vectors. The exponential is good to 2 units in the last place, enough for activations.

use std::sync::Arc;

const LANES: usize = 8;
/// Number of positions whose keys and values lie together.
pub(crate) const TILE: usize = 16;

/// 9 fractional bits of log 2, and the rest.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// (eʳ - 1 - r) / r² on |r| <= log(2)/2, highest power first; fit error 2.2e-10.
const EXP: [f32; 6] = [0.000_198_909_81, 0.001_393_364_2, 0.008_333_311, 0.041_666_467, 0.166_666_67, 0.5];

#[inline(always)]
fn exp_kernel(x: f32) -> f32 {
    let bounded = if x > 88.0 { 88.0 } else { x };
    let bounded = if bounded < -87.0 { -87.0 } else { bounded };
    let k = (bounded * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (bounded - k * LN_2_HIGH) - k * LN_2_LOW;
    let mut polynomial = EXP[0];
    for c in &EXP[1..] {
        polynomial = polynomial * r + c;
    }
    let value = (r * r * polynomial + r) + 1.0;
    value * f32::from_bits((k + (ROUND + 127.0)).to_bits() << 23)
}

#[inline(always)]
fn fold(lanes: [f32; LANES]) -> f32 {
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

#[inline(always)]
fn sum_of(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += term(chunk[i]);
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(rest) {
        *lane += term(v);
    }
    fold(lanes)
}

dispatched! {
    /// `out = weight ⊙ x / √(mean x² + epsilon)` for each row of the length of `weight` (Zhang & Sennrich 2019, arXiv:1910.07467).
    pub(crate) fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
        let width = weight.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let mean_square = sum_of(x, #[inline(always)] |v| v * v) / width as f32;
            let scale = 1.0 / (mean_square + epsilon).sqrt();
            for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                *out = x * scale * weight;
            }
        }
    }
}

dispatched! {
    /// Replaces each row `(gate, up)` of two halves by `gate · σ(gate) · up`, in rows of `width` in `out` (Shazeer 2020, arXiv:2002.05202).
    pub(crate) fn swiglu(gate_up: &[f32], width: usize, out: &mut [f32]) {
        for (gate_up, out) in gate_up.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
            let (gate, up) = gate_up.split_at(width);
            for ((out, &gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate / (1.0 + exp_kernel(-gate)) * up;
            }
        }
    }
}

dispatched! {
    /// Rotates each head in place: `(a, b) -> (a cos - b sin, b cos + a sin)` for its halves a and b (Su et al. 2021, arXiv:2104.09864, in
    /// the order of halves that Hugging Face's Llama uses).
    pub(crate) fn rotate_heads(heads: &mut [f32], cosines: &[f32], sines: &[f32]) {
        let half = cosines.len();
        for head in heads.chunks_exact_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}

dispatched! {
    /// Attention of one query to the first `n` positions: `out = Σₜ softmax(q·kₜ / √width) vₜ`.
    ///
    /// Positions lie in tiles of [`TILE`]. In each, keys start `at.0` numbers from its begin, one line per component along positions, and
    /// values `at.1` numbers from it, one line per position. `scores` is scratch for `n` rounded up to whole tiles. What lies behind
    /// position `n` is not looked at.
    pub(crate) fn attend(query: &[f32], tiles: &[Arc<[f32]>], at: (usize, usize), n: usize, scores: &mut [f32], out: &mut [f32]) {
        let width = query.len();
        let scale = 1.0 / (width as f32).sqrt();
        for (tile, scores) in tiles.iter().zip(scores[..n.next_multiple_of(TILE)].as_chunks_mut::<TILE>().0) {
            let keys = tile[at.0..at.0 + width * TILE].as_chunks::<TILE>().0;
            let mut sums = [0.0; TILE];
            for (component, &q) in keys.iter().zip(query) {
                for i in 0..TILE {
                    sums[i] += q * component[i];
                }
            }
            for i in 0..TILE {
                scores[i] = scale * sums[i];
            }
        }
        let scores = &mut scores[..n];
        let (chunks, rest) = scores.as_chunks::<LANES>();
        let mut largest = [f32::NEG_INFINITY; LANES];
        for chunk in chunks {
            for i in 0..LANES {
                largest[i] = if chunk[i] > largest[i] { chunk[i] } else { largest[i] };
            }
        }
        let largest = largest.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        for score in scores.iter_mut() {
            *score = exp_kernel(*score - largest);
        }
        let total = sum_of(scores, #[inline(always)] |v| v);

        let (lanes, tail) = out.as_chunks_mut::<LANES>();
        for (c, out) in lanes.iter_mut().enumerate() {
            let first = LANES * c;
            // Four positions at a time, so that one sum does not wait for the other.
            let mut sums = [[0.0; LANES]; 4];
            for (tile, weights) in tiles.iter().zip(scores.chunks(TILE)) {
                let values = &tile[at.1..at.1 + width * TILE];
                let (fours, rest) = weights.as_chunks::<4>();
                for (weights, lines) in fours.iter().zip(values.chunks_exact(4 * width)) {
                    for u in 0..4 {
                        let line = &lines[u * width + first..u * width + first + LANES];
                        for i in 0..LANES {
                            sums[u][i] += weights[u] * line[i];
                        }
                    }
                }
                for (weight, line) in rest.iter().zip(values[4 * fours.len() * width..].chunks_exact(width)) {
                    for i in 0..LANES {
                        sums[0][i] += weight * line[first + i];
                    }
                }
            }
            for i in 0..LANES {
                out[i] = ((sums[0][i] + sums[2][i]) + (sums[1][i] + sums[3][i])) / total;
            }
        }
        let first = LANES * lanes.len();
        for (j, out) in tail.iter_mut().enumerate() {
            let mut sum = 0.0;
            for (tile, weights) in tiles.iter().zip(scores.chunks(TILE)) {
                for (weight, line) in weights.iter().zip(tile[at.1..].chunks_exact(width)) {
                    sum += weight * line[first + j];
                }
            }
            *out = sum / total;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn normals(n: usize, seed: u64) -> Vec<f32> {
        let mut random = Stream::new(seed);
        (0..n).map(|_| random.normal() as f32).collect()
    }

    #[test]
    fn the_exponential_is_good_to_two_units() {
        for i in 0..200_000 {
            let x = -87.0 + 175.0 * i as f32 / 200_000.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp_kernel(x)) / expected - 1.0).abs() < 2.0 * f64::from(f32::EPSILON), "{x}");
        }
    }

    #[test]
    fn attention_equals_its_formula_and_ignores_what_lies_behind() {
        for (width, n) in [(24_usize, 1_usize), (24, 31), (24, 32), (24, 45), (12, 63), (3, 7)] {
            // Something lies before keys and values.
            let (query, n_tiles, at) = (normals(width, 1), n.div_ceil(TILE), (3, 10 + width * TILE));
            let key = |t: usize, j: usize| at.0 + j * TILE + t % TILE;
            let value = |t: usize, j: usize| at.1 + t % TILE * width + j;
            let tile = |i: usize| {
                let mut tile = normals(10 + 2 * width * TILE, 2 + i as u64);
                for t in (i * TILE..(i + 1) * TILE).filter(|&t| t >= n) {
                    (0..width).for_each(|j| (tile[key(t, j)], tile[value(t, j)]) = (f32::NAN, f32::NAN));
                }
                tile.into()
            };
            let tiles: Vec<Arc<[f32]>> = (0..n_tiles).map(tile).collect();
            let (mut scores, mut out, mut portable) = (vec![0.0; n_tiles * TILE], vec![0.0; width], vec![0.0; width]);
            attend(&query, &tiles, at, n, &mut scores, &mut out);
            attend::portable(&query, &tiles, at, n, &mut scores, &mut portable);
            assert_eq!(out, portable);

            let score = |t: usize| {
                (0..width).map(|j| f64::from(query[j] * tiles[t / TILE][key(t, j)])).sum::<f64>() / (width as f64).sqrt()
            };
            let weights: Vec<f64> = (0..n).map(|t| score(t).exp()).collect();
            let total: f64 = weights.iter().sum();
            for j in 0..width {
                let expected: f64 = (0..n).map(|t| weights[t] * f64::from(tiles[t / TILE][value(t, j)])).sum::<f64>() / total;
                assert!((f64::from(out[j]) - expected).abs() < 1e-5, "{width} {n}: {} {expected}", out[j]);
            }
        }
    }

    #[test]
    fn rows_equal_their_formulas_on_both_paths() {
        let width = 20;
        let (x, weight) = (normals(2 * width, 1), normals(width, 2));
        let (mut out, mut portable) = (vec![0.0; 2 * width], vec![0.0; 2 * width]);
        rms_norm(&x, &weight, 1e-5, &mut out);
        rms_norm::portable(&x, &weight, 1e-5, &mut portable);
        assert_eq!(out, portable);
        let mean_square = x[width..].iter().map(|v| v * v).sum::<f32>() / width as f32;
        assert!((out[width + 3] - x[width + 3] * weight[3] / (mean_square + 1e-5).sqrt()).abs() < 1e-5);

        swiglu(&x, width, &mut out[..width]);
        swiglu::portable(&x, width, &mut portable[..width]);
        assert_eq!(out, portable);
        assert!((out[5] - x[5] / (1.0 + (-x[5]).exp()) * x[width + 5]).abs() < 1e-5);

        let mut turned = x.clone();
        rotate_heads(&mut turned, &[0.6; 5], &[0.8; 5]);
        assert_eq!(turned[10], x[10] * 0.6 - x[15] * 0.8);
        assert_eq!(turned[15], x[15] * 0.6 + x[10] * 0.8);
    }
}
