//! The forward pass of the small language model against its matrix products alone, on the same shapes, in turns on the same machine.
//!
//! `cargo bench -p posterity-benches --bench language_model`. Rows of `decode` write 54 tokens each, one at a time, after a prompt of 19;
//! `prefill` reads prompts; `gather` resamples a cache of 64 rows with 46 tokens (half of the slots are copies) against the decoding of
//! the 15 tokens of one step.

use std::process::ExitCode;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use posterity::reasoning::llama::{KvCache, Llama, LlamaConfig, LlamaError, Outputs, TokenBatch};
use posterity::rng::Stream;
use posterity_benches::filter;
use posterity_benches::stopwatch::compare_within;

/// Seconds per row of the table.
const BUDGET: f64 = 2.0;
const PROMPT: usize = 19;
const WRITTEN: usize = 54;

/// The matrix products of one pass, with weights and activations of the same shapes.
struct Products {
    /// Shapes and entries.
    weights: Vec<((usize, usize), Vec<f32>)>,
}

impl Products {
    fn new(config: &LlamaConfig) -> Self {
        let mut random = Stream::new(1);
        let (d, ff) = (config.d_model, config.d_ff);
        let layer = [(d, 3 * d), (d, d), (d, 2 * ff), (ff, d)];
        let layers = (0..config.n_layers).flat_map(|_| layer);
        let shapes = layers.chain([(d, config.output_size())]);
        let mut entries = |n: usize| (0..n).map(|_| random.normal() as f32 * 0.1).collect();
        Self { weights: shapes.map(|shape| (shape, entries(shape.0 * shape.1))).collect() }
    }

    /// Inputs and outputs of each product for `n` tokens.
    fn buffers(&self, n: usize) -> Vec<(Vec<f32>, Vec<f32>)> {
        self.weights.iter().map(|((rows, columns), _)| (vec![0.1; n * rows], vec![0.0; n * columns])).collect()
    }

    fn pass(&self, buffers: &mut [(Vec<f32>, Vec<f32>)]) -> f64 {
        for (((rows, columns), w), (x, out)) in self.weights.iter().zip(buffers.iter_mut()) {
            let n = x.len() / rows;
            let (x, w) = (MatRef::from_row_major_slice(x, n, *rows), MatRef::from_row_major_slice(w, *rows, *columns));
            matmul(MatMut::from_row_major_slice_mut(out, n, *columns), Accum::Replace, x, w, 1.0, Par::Seq);
        }
        f64::from(buffers[0].1[0])
    }
}

fn tokens(n: usize, seed: usize) -> Vec<u32> {
    (0..n).map(|i| (3 + (i * 7 + seed * 5) % 10) as u32).collect()
}

/// A cache with `n_rows` rows of `len` tokens.
fn filled(model: &Llama, n_rows: usize, len: usize) -> Result<KvCache, LlamaError> {
    let mut cache = model.new_cache();
    let mut batch = TokenBatch::new();
    for i in 0..n_rows {
        let row = cache.push_row();
        batch.push(row, &tokens(len, i));
    }
    model.forward(&batch, &mut cache, Outputs::Last)?;
    Ok(cache)
}

/// Writes `n_written` tokens per row after what the rows hold.
fn decode(model: &Llama, cache: &mut KvCache, batch: &mut TokenBatch, n_written: usize) -> Result<f64, LlamaError> {
    let mut last = 0.0;
    for _ in 0..n_written {
        batch.clear();
        for row in 0..cache.n_rows() {
            batch.push(row, &[3 + (row % 10) as u32]);
        }
        last = f64::from(model.forward(batch, cache, Outputs::Last)?[[0, 0]]);
    }
    Ok(last)
}

fn run() -> Result<(), LlamaError> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/countdown");
    let model = Llama::load(format!("{folder}/policy.json"), format!("{folder}/policy.safetensors"))?;
    let products = Products::new(model.config());
    let filter = filter();
    println!("{} weights", model.n_parameters());
    println!("{:<10} {:>5} {:>12} {:>12} {:>12} {:>7}", "case", "rows", "us / token", "products", "tokens / s", "ratio");
    let print = |case: &str, rows: usize, n: usize, first: f64, second: f64, ratio: f64| {
        let per_token = |us: f64| us / n as f64;
        let rate = 1e6 / per_token(first);
        println!("{case:<10} {rows:>5} {:>12.2} {:>12.2} {rate:>12.0} {ratio:>7.2}", per_token(first), per_token(second));
    };
    let mut batch = TokenBatch::new();
    for n_rows in [1, 4, 16, 64, 256] {
        if "decode".contains(&filter) {
            let mut cache = filled(&model, n_rows, PROMPT)?;
            let mut buffers = products.buffers(n_rows);
            let comparison = compare_within(
                BUDGET,
                || {
                    (0..n_rows).for_each(|row| cache.truncate(row, PROMPT).unwrap_or_default());
                    decode(&model, &mut cache, &mut batch, WRITTEN).unwrap_or(f64::NAN)
                },
                || (0..WRITTEN).map(|_| products.pass(&mut buffers)).sum(),
            );
            print("decode", n_rows, n_rows * WRITTEN, comparison.first, comparison.second, comparison.ratio);
        }
    }
    if "prefill".contains(&filter) {
        let n_rows = 64;
        let mut cache = filled(&model, n_rows, 1)?;
        let mut buffers = products.buffers(n_rows * PROMPT);
        batch.clear();
        (0..n_rows).for_each(|row| batch.push(row, &tokens(PROMPT, row)));
        let comparison = compare_within(
            BUDGET,
            || {
                (0..n_rows).for_each(|row| cache.truncate(row, 0).unwrap_or_default());
                model.forward(&batch, &mut cache, Outputs::Last).map_or(f64::NAN, |out| f64::from(out[[0, 0]]))
            },
            || products.pass(&mut buffers),
        );
        print("prefill", n_rows, n_rows * PROMPT, comparison.first, comparison.second, comparison.ratio);
    }
    if "gather".contains(&filter) {
        let (n_rows, len, step) = (64, 46, 15);
        let mut cache = filled(&model, n_rows, len)?;
        let ancestors: Vec<usize> = (0..n_rows).map(|i| i / 2).collect();
        let mut decoding = cache.clone();
        let comparison = compare_within(
            BUDGET,
            || cache.gather(&ancestors).map_or(f64::NAN, |()| 1.0),
            || {
                (0..n_rows).for_each(|row| decoding.truncate(row, len).unwrap_or_default());
                decode(&model, &mut decoding, &mut batch, step).unwrap_or(f64::NAN)
            },
        );
        print("gather", n_rows, n_rows * step, comparison.first, comparison.second, comparison.ratio);
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
