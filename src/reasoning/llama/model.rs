//! The forward pass.

use std::path::Path;

use ndarray::{ArrayView2, ArrayViewMut1};

use super::cache::{FreeTiles, KvCache, Row, TokenBatch, head_at};
use super::config::LlamaConfig;
use super::error::LlamaError;
use super::weights::Weights;
use crate::math::vectorised::single::{TILE, attend, rms_norm, rotate_heads, swiglu};

/// Tokens that go through the layers together: enough for efficient matrix products, few enough for the activations to stay in cache.
const BLOCK: usize = 128;

/// Which outputs of a forward pass are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// Those at the last token of each entry of the batch.
    Last,
    /// Those at every token.
    All,
}

/// A language model or value model of the Llama architecture (Touvron et al. 2023, arXiv:2302.13971), in single precision on the
/// processor.
///
/// ```text
/// x += Wₒ Attention(RoPE(Wq y), RoPE(Wk y), Wᵥ y)        y = RMSNorm(x)
/// x += Wd (silu(Wg y) ⊙ Wu y)                            y = RMSNorm(x)
/// outputs = W RMSNorm(x)
/// ```
///
/// The head may have one output per token of the vocabulary or any other number; a value model has one.
///
/// Each row's numbers depend on its own tokens alone: the same bits come out in any batch, and whether tokens are read at once or one by
/// one.
#[derive(Debug, Clone)]
pub struct Llama {
    config: LlamaConfig,
    weights: Weights,
    /// One line per position, one column per pair of components.
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Llama {
    /// A model from the content of a safetensors file, with tensors named as in Hugging Face's Llama and of type F16, BF16 or F32.
    ///
    /// # Errors
    /// [`LlamaError::Undecodable`], [`LlamaError::MissingTensor`], [`LlamaError::Shape`], [`LlamaError::TensorType`],
    /// [`LlamaError::NotFinite`] for a file that does not fit; [`LlamaError::Config`] for sizes out of range.
    pub fn from_safetensors(config: LlamaConfig, bytes: &[u8]) -> Result<Self, LlamaError> {
        config.validate()?;
        let weights = Weights::from_safetensors(&config, bytes)?;
        let d_head = config.d_head();
        let angles = (0..config.max_positions).flat_map(|position| {
            let angle = move |j: usize| config.rope_theta.powf(-2.0 * j as f64 / d_head as f64) * position as f64;
            (0..d_head / 2).map(angle)
        });
        let (cosines, sines) = angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).unzip();
        Ok(Self { weights, cosines, sines, config })
    }

    /// A model from its configuration (JSON) and its weights (safetensors).
    ///
    /// # Errors
    /// [`LlamaError::Io`] for a file that cannot be read, and those of [`LlamaConfig::from_json`] and [`Llama::from_safetensors`].
    pub fn load(config: impl AsRef<Path>, weights: impl AsRef<Path>) -> Result<Self, LlamaError> {
        let io = |path: &Path, source| LlamaError::Io { path: path.to_owned(), source };
        let (config, weights) = (config.as_ref(), weights.as_ref());
        let text = std::fs::read_to_string(config).map_err(|source| io(config, source))?;
        let bytes = std::fs::read(weights).map_err(|source| io(weights, source))?;
        Self::from_safetensors(LlamaConfig::from_json(&text)?, &bytes)
    }

    /// Its sizes.
    #[must_use]
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Number of its weights.
    #[must_use]
    pub fn n_parameters(&self) -> usize {
        self.weights.n_parameters()
    }

    /// An empty cache for its keys and values.
    #[must_use]
    pub fn new_cache(&self) -> KvCache {
        KvCache::new(&self.config)
    }

    /// Reads a batch of tokens, each after what its row of the cache holds, and adds them there.
    ///
    /// Returns one line of [`LlamaConfig::output_size`] numbers per entry of the batch, or per token of it. Two entries of one row follow
    /// each other.
    ///
    /// # Errors
    /// [`LlamaError::Size`] for a cache of a model of other sizes, [`LlamaError::Row`], [`LlamaError::NoTokens`],
    /// [`LlamaError::UnknownToken`], [`LlamaError::ContextFull`]. The cache is then as before.
    pub fn forward<'c>(
        &self,
        batch: &TokenBatch,
        cache: &'c mut KvCache,
        outputs: Outputs,
    ) -> Result<ArrayView2<'c, f32>, LlamaError> {
        let KvCache { config: of_cache, rows, free, scratch, .. } = cache;
        for (what, expected, found) in [
            ("layers of a cache", self.config.n_layers, of_cache.n_layers),
            ("width of a cache", self.config.d_model, of_cache.d_model),
            ("heads of a cache", self.config.n_heads, of_cache.n_heads),
            ("positions of a cache", self.config.max_positions, of_cache.max_positions),
        ] {
            if expected != found {
                return Err(LlamaError::Size { what, expected, found });
            }
        }
        scratch.places.clear();
        let placed = self.place(batch, rows, free, outputs, &mut scratch.places);
        // Rows count their tokens while they are placed, and lose them again until these are read.
        for place in &scratch.places {
            rows[place.row].len -= 1;
        }
        let n_outputs = placed?;
        scratch.reserve(&self.config, n_outputs);
        let mut done = 0;
        for start in (0..scratch.places.len()).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(scratch.places.len());
            done = self.forward_block(block, rows, scratch, done);
        }
        Ok(lines(&cache.scratch.outputs[..n_outputs * self.config.output_size()], self.config.output_size()))
    }

    /// Says for each token of a batch where it goes; returns the number of outputs.
    fn place(
        &self,
        batch: &TokenBatch,
        rows: &mut [Row],
        free: &mut FreeTiles,
        outputs: Outputs,
        places: &mut Vec<Place>,
    ) -> Result<usize, LlamaError> {
        let n_rows = rows.len();
        let mut start = 0;
        for (i, entry) in batch.entries.iter().enumerate() {
            let row = rows.get_mut(entry.row).ok_or(LlamaError::Row { row: entry.row, n_rows })?;
            let tokens = &batch.tokens[start..entry.end];
            let (needed, limit) = (row.len + tokens.len(), self.config.max_positions);
            if tokens.is_empty() {
                return Err(LlamaError::NoTokens { entry: i });
            }
            if needed > limit {
                return Err(LlamaError::ContextFull { needed, limit });
            }
            row.reserve(&self.config, tokens.len(), free);
            for (j, &token) in tokens.iter().enumerate() {
                if token as usize >= self.config.vocab_size {
                    return Err(LlamaError::UnknownToken { token });
                }
                let wanted = outputs == Outputs::All || j + 1 == tokens.len();
                places.push(Place { row: entry.row, position: row.len, token: token as usize, wanted });
                row.len += 1;
            }
            start = entry.end;
        }
        Ok(if outputs == Outputs::All { batch.tokens.len() } else { batch.entries.len() })
    }

    /// Passes a block of placed tokens through all layers; returns the number of outputs written so far.
    fn forward_block(&self, block: std::ops::Range<usize>, rows: &mut [Row], scratch: &mut Scratch, done: usize) -> usize {
        let config = &self.config;
        let (d, d_head, ff) = (config.d_model, config.d_head(), config.d_ff);
        let epsilon = config.norm_epsilon as f32;
        let Scratch { places, x, normed, projected, attended, hidden, scores, outputs } = scratch;
        // Not a slice, for tokens without a wanted output leave it in the last layer.
        let places = &mut places[block];
        let mut n = places.len();
        for (place, x) in places.iter().zip(x.chunks_exact_mut(d)) {
            ArrayViewMut1::from(x).assign(&self.weights.embedding.row(place.token));
        }
        for (l, layer) in self.weights.layers.iter().enumerate() {
            rms_norm(&x[..n * d], &layer.attention_norm, epsilon, &mut normed[..n * d]);
            layer.query_key_value.times(&normed[..n * d], &mut projected[..n * 3 * d]);
            for (place, projected) in places.iter().zip(projected.chunks_exact_mut(3 * d)) {
                let angles = place.position * d_head / 2..(place.position + 1) * d_head / 2;
                let (query_key, value) = projected.split_at_mut(2 * d);
                rotate_heads(query_key, &self.cosines[angles.clone()], &self.sines[angles]);
                rows[place.row].write(config, l, place.position, &query_key[d..], value);
            }
            if l + 1 == self.weights.layers.len() {
                // Only keys and values of the others are needed.
                n = 0;
                for i in 0..places.len() {
                    rows[places[i].row].len += 1;
                    if places[i].wanted {
                        places[n] = places[i];
                        x.copy_within(i * d..(i + 1) * d, n * d);
                        projected.copy_within(i * 3 * d..i * 3 * d + d, n * 3 * d);
                        n += 1;
                    }
                }
                if n == 0 {
                    return done;
                }
            }
            let tokens = places[..n].iter().zip(projected.chunks_exact(3 * d)).zip(attended.chunks_exact_mut(d));
            for ((place, projected), attended) in tokens {
                let heads = projected[..d].chunks_exact(d_head).zip(attended.chunks_exact_mut(d_head)).enumerate();
                for (head, (query, out)) in heads {
                    attend(query, &rows[place.row].tiles, head_at(config, l, head), place.position + 1, scores, out);
                }
            }
            layer.output.times(&attended[..n * d], &mut normed[..n * d]);
            add_to(&mut x[..n * d], normed);
            rms_norm(&x[..n * d], &layer.feed_forward_norm, epsilon, &mut normed[..n * d]);
            layer.gate_up.times(&normed[..n * d], &mut projected[..n * 2 * ff]);
            swiglu(&projected[..n * 2 * ff], ff, &mut hidden[..n * ff]);
            layer.down.times(&hidden[..n * ff], &mut normed[..n * d]);
            add_to(&mut x[..n * d], normed);
        }
        rms_norm(&x[..n * d], &self.weights.norm, epsilon, &mut normed[..n * d]);
        let width = config.output_size();
        self.weights.head.times(&normed[..n * d], &mut outputs[done * width..(done + n) * width]);
        done + n
    }
}

/// Where a token goes.
#[derive(Debug, Clone, Copy)]
struct Place {
    row: usize,
    position: usize,
    token: usize,
    wanted: bool,
}

/// Activations of a block, and the outputs.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    places: Vec<Place>,
    x: Vec<f32>,
    /// What a block of a layer reads, then what it adds.
    normed: Vec<f32>,
    /// Queries, keys and values, or gate and up.
    projected: Vec<f32>,
    attended: Vec<f32>,
    hidden: Vec<f32>,
    scores: Vec<f32>,
    outputs: Vec<f32>,
}

impl Scratch {
    fn reserve(&mut self, config: &LlamaConfig, n_outputs: usize) {
        let n = self.places.len().min(BLOCK);
        let (d, ff) = (config.d_model, config.d_ff);
        for (buffer, size) in [
            (&mut self.x, n * d),
            (&mut self.normed, n * d),
            (&mut self.projected, n * (3 * d).max(2 * ff)),
            (&mut self.attended, n * d),
            (&mut self.hidden, n * ff),
            (&mut self.scores, config.max_positions.next_multiple_of(TILE)),
            (&mut self.outputs, n_outputs * config.output_size()),
        ] {
            if buffer.len() < size {
                buffer.resize(size, 0.0);
            }
        }
    }
}

fn add_to(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

fn lines(numbers: &[f32], width: usize) -> ArrayView2<'_, f32> {
    match ArrayView2::from_shape((numbers.len() / width, width), numbers) {
        Ok(lines) => lines,
        Err(_) => unreachable!("whole lines"),
    }
}
