//! Weights of a model, from a safetensors file.

use half::{bf16, f16};
use ndarray::{Array2, ArrayView2};
use safetensors::{Dtype, SafeTensors};

use super::config::LlamaConfig;
use super::error::LlamaError;
use crate::linalg::single::multiply;

/// Weights in the layout of the forward pass: a matrix product `x · w` has `w` with one row per input.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    /// One row per token.
    pub(super) embedding: Array2<f32>,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    pub(super) head: Matrix,
}

/// What `x · w` multiplies with: one row per input.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    shape: (usize, usize),
    /// Row by row.
    entries: Vec<f32>,
}

#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) attention_norm: Vec<f32>,
    /// Queries, keys and values side by side.
    pub(super) query_key_value: Matrix,
    pub(super) output: Matrix,
    pub(super) feed_forward_norm: Vec<f32>,
    /// Gate and up side by side.
    pub(super) gate_up: Matrix,
    pub(super) down: Matrix,
}

impl Weights {
    /// Reads tensors with the names of Hugging Face's Llama.
    pub(super) fn from_safetensors(config: &LlamaConfig, bytes: &[u8]) -> Result<Self, LlamaError> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|source| LlamaError::Undecodable { what: "the safetensors file", source: source.into() })?;
        check_all_used(config, &file)?;
        let (d, ff) = (config.d_model, config.d_ff);
        let layers = (0..config.n_layers).map(|i| {
            let name = |part: &str| format!("model.layers.{i}.{part}.weight");
            let beside = |parts: &[&str], n_out: usize| -> Result<Matrix, LlamaError> {
                let mut all = Array2::zeros((d, parts.len() * n_out));
                for (part, mut columns) in parts.iter().zip(all.axis_chunks_iter_mut(ndarray::Axis(1), n_out)) {
                    columns.assign(&matrix(&file, &name(part), n_out, d)?.t());
                }
                Ok(Matrix::new(all.view()))
            };
            Ok(Layer {
                attention_norm: vector(&file, &name("input_layernorm"), d)?,
                query_key_value: beside(&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], d)?,
                output: beside(&["self_attn.o_proj"], d)?,
                feed_forward_norm: vector(&file, &name("post_attention_layernorm"), d)?,
                gate_up: beside(&["mlp.gate_proj", "mlp.up_proj"], ff)?,
                down: Matrix::new(matrix(&file, &name("mlp.down_proj"), d, ff)?.t()),
            })
        });
        let layers = layers.collect::<Result<_, LlamaError>>()?;
        let embedding = matrix(&file, "model.embed_tokens.weight", config.vocab_size, d)?;
        let head = if config.tied_embeddings {
            Matrix::new(embedding.t())
        } else {
            // A classifier's head has a name of its own.
            let name = if file.tensor("score.weight").is_ok() { "score.weight" } else { "lm_head.weight" };
            Matrix::new(matrix(&file, name, config.output_size(), d)?.t())
        };
        Ok(Self { embedding, layers, norm: vector(&file, "model.norm.weight", d)?, head })
    }

    pub(super) fn n_parameters(&self) -> usize {
        let layer = |layer: &Layer| {
            let matrices = [&layer.query_key_value, &layer.output, &layer.gate_up, &layer.down];
            matrices.iter().map(|m| m.entries.len()).sum::<usize>() + layer.attention_norm.len() + layer.feed_forward_norm.len()
        };
        self.embedding.len() + self.layers.iter().map(layer).sum::<usize>() + self.norm.len() + self.head.entries.len()
    }
}

impl Matrix {
    fn new(matrix: ArrayView2<'_, f32>) -> Self {
        Self { shape: matrix.dim(), entries: matrix.iter().copied().collect() }
    }

    /// `out = x · self` for the rows of `x`.
    pub(super) fn times(&self, x: &[f32], out: &mut [f32]) {
        multiply(x, &self.entries, self.shape, out);
    }
}

/// The parts of a layer that have weights.
const PARTS: [&str; 9] = [
    "input_layernorm",
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "post_attention_layernorm",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// Refuses tensors that would be left out: biases, norms of queries, further layers.
fn check_all_used(config: &LlamaConfig, file: &SafeTensors<'_>) -> Result<(), LlamaError> {
    let in_layer = |name: &str| {
        let (layer, tensor) = name.strip_prefix("model.layers.")?.split_once('.')?;
        let in_range = layer.parse::<usize>().ok()? < config.n_layers;
        // Old files state the frequencies of the rotary embedding, which follow from its base.
        let is_weight = tensor.strip_suffix(".weight").is_some_and(|part| PARTS.contains(&part));
        Some(in_range && (is_weight || tensor == "self_attn.rotary_emb.inv_freq"))
    };
    let used = |name: &str| match name {
        "model.embed_tokens.weight" | "model.norm.weight" | "lm_head.weight" | "score.weight" => true,
        _ => in_layer(name).unwrap_or(false),
    };
    match file.names().into_iter().find(|name| !used(name)) {
        Some(tensor) => Err(LlamaError::UnusedTensor { tensor: tensor.to_string() }),
        None => Ok(()),
    }
}

fn vector(file: &SafeTensors<'_>, name: &str, n: usize) -> Result<Vec<f32>, LlamaError> {
    numbers(file, name, &[n])
}

fn matrix(file: &SafeTensors<'_>, name: &str, n_rows: usize, n_columns: usize) -> Result<Array2<f32>, LlamaError> {
    let numbers = numbers(file, name, &[n_rows, n_columns])?;
    let found = numbers.len();
    Array2::from_shape_vec((n_rows, n_columns), numbers).map_err(|_| LlamaError::Shape {
        tensor: name.to_owned(),
        expected: vec![n_rows, n_columns],
        found: vec![found],
    })
}

fn numbers(file: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, LlamaError> {
    let tensor = file.tensor(name).map_err(|_| LlamaError::MissingTensor { tensor: name.to_owned() })?;
    if tensor.shape() != shape {
        return Err(LlamaError::Shape { tensor: name.to_owned(), expected: shape.to_vec(), found: tensor.shape().to_vec() });
    }
    let bytes = tensor.data();
    let numbers: Vec<f32> = match tensor.dtype() {
        Dtype::F16 => bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
        Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        other => return Err(LlamaError::TensorType { tensor: name.to_owned(), dtype: format!("{other:?}") }),
    };
    match numbers.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(LlamaError::NotFinite { tensor: name.to_owned(), index, value: numbers[index] }),
        None => Ok(numbers),
    }
}
