//! Microseconds per gradient of a planar flow against a plain loop over draws and layers, in turns on one core.
//!
//! `cargo bench -p posterity-benches --bench variational_flows`; exits with 1 over the gate, or if the two gradients differ. The loop is what one would write for this flow alone: a
//! draw at a time, in the plane, every intermediate value on the stack, one pass back. The library takes a batch of any dimension, and passes back twice, for the scores and for the parameters.

use std::process::ExitCode;

use posterity::rng::Stream;
use posterity::vi::{Approximation, Family, NormalizingFlow};
use posterity_benches::discrepancy;
use posterity_benches::stopwatch::compare_within;

/// Seconds per comparison.
const BUDGET: f64 = 3.0;
const N_DRAWS: usize = 100;
const N_LAYERS: usize = 32;
/// Largest ratio that is allowed.
const GATE: f64 = 1.0;

/// Gradient of the evidence lower bound under a standard normal target.
fn library(q: &mut dyn Approximation, rng: &mut Stream, memory: &mut [Vec<f64>; 3], gradient: &mut [f64]) {
    let [draws, log_densities, scores] = memory;
    q.sample(rng, draws, log_densities);
    q.scores(scores);
    scores.iter_mut().zip(draws).for_each(|(score, z)| *score = (-*z - *score) / N_DRAWS as f64);
    gradient.fill(0.0);
    q.pull_back(scores, gradient);
}

/// One layer: its parameters w, u, b, and what follows from them.
struct Layer {
    w: [f64; 2],
    u: [f64; 2],
    b: f64,
    direction: [f64; 2],
    steepness: f64,
    slope: f64,
    squared: f64,
}

impl Layer {
    fn new(p: &[f64]) -> Self {
        let (w, u) = ([p[0], p[1]], [p[2], p[3]]);
        let (product, squared) = (w[0] * u[0] + w[1] * u[1], w[0] * w[0] + w[1] * w[1]);
        let steepness = product.exp().ln_1p();
        let along = (steepness - 1.0 - product) / squared;
        let direction = [u[0] + along * w[0], u[1] + along * w[1]];
        Self { w, u, b: p[4], direction, steepness, slope: 1.0 / (1.0 + (-product).exp()), squared }
    }
}

/// The same in plain loops: total gradient, the entropy through the log determinants.
fn plain(parameters: &[f64], rng: &mut Stream, gradient: &mut [f64]) -> f64 {
    let layers: [Layer; N_LAYERS] = std::array::from_fn(|k| Layer::new(&parameters[4 + 5 * k..]));
    let sd = [parameters[2].exp(), parameters[3].exp()];
    gradient.fill(0.0);
    // Per layer: by û, and by w·û through the determinant.
    let mut through = [[0.0; 3]; N_LAYERS];
    let mut bound = 0.0;
    for _ in 0..N_DRAWS {
        let noise = [rng.normal(), rng.normal()];
        let mut z = [parameters[0] + sd[0] * noise[0], parameters[1] + sd[1] * noise[1]];
        let mut inputs = [[0.0; 2]; N_LAYERS];
        let mut tanh = [0.0; N_LAYERS];
        for (k, layer) in layers.iter().enumerate() {
            inputs[k] = z;
            let t = (layer.w[0] * z[0] + layer.w[1] * z[1] + layer.b).tanh();
            tanh[k] = t;
            z[0] += layer.direction[0] * t;
            z[1] += layer.direction[1] * t;
            bound += (t * t + (1.0 - t * t) * layer.steepness).ln() / N_DRAWS as f64;
        }
        bound -= 0.5 * (z[0] * z[0] + z[1] * z[1]) / N_DRAWS as f64;
        let mut c = [-z[0] / N_DRAWS as f64, -z[1] / N_DRAWS as f64];
        for (k, layer) in layers.iter().enumerate().rev() {
            let (t, slope) = (tanh[k], 1.0 - tanh[k] * tanh[k]);
            let of_logarithm = slope / (t * t + slope * layer.steepness) / N_DRAWS as f64;
            let along = c[0] * layer.direction[0] + c[1] * layer.direction[1];
            let of_argument = along * slope - 2.0 * t * (layer.steepness - 1.0) * of_logarithm;
            let own = &mut gradient[4 + 5 * k..9 + 5 * k];
            own[0] += of_argument * inputs[k][0];
            own[1] += of_argument * inputs[k][1];
            own[4] += of_argument;
            through[k][0] += c[0] * t;
            through[k][1] += c[1] * t;
            through[k][2] += of_logarithm;
            c[0] += of_argument * layer.w[0];
            c[1] += of_argument * layer.w[1];
        }
        for i in 0..2 {
            gradient[i] += c[i];
            gradient[2 + i] += c[i] * noise[i] * sd[i];
        }
    }
    for (k, layer) in layers.iter().enumerate() {
        let [x, y, of_determinant] = through[k];
        let product = layer.w[0] * layer.u[0] + layer.w[1] * layer.u[1];
        let along = (layer.steepness - 1.0 - product) / layer.squared;
        let of_along = (layer.w[0] * x + layer.w[1] * y) / layer.squared;
        let of_product = (layer.slope - 1.0) * of_along + layer.slope * of_determinant;
        for (i, by_direction) in [x, y].into_iter().enumerate() {
            gradient[4 + 5 * k + i] += of_product * layer.u[i] + along * (by_direction - 2.0 * of_along * layer.w[i]);
            gradient[6 + 5 * k + i] += by_direction + of_product * layer.w[i];
        }
    }
    for i in 0..2 {
        gradient[2 + i] += 1.0;
    }
    bound
}

fn main() -> Result<ExitCode, posterity::Error> {
    let mut rng = Stream::new(1);
    let mut q = NormalizingFlow::planar(N_LAYERS).start(2, 1.0, &mut rng)?;
    let parameters: Vec<f64> = q.parameters().iter().map(|x| x + 0.2 * rng.normal()).collect();
    q.set_parameters(&parameters)?;
    let mut memory = [vec![0.0; 2 * N_DRAWS], vec![0.0; N_DRAWS], vec![0.0; 2 * N_DRAWS]];
    let (mut gradient, mut by_loop) = (vec![0.0; parameters.len()], vec![0.0; parameters.len()]);

    // The total gradient of both, from the same noise.
    library(q.as_mut(), &mut Stream::new(2), &mut memory, &mut gradient);
    q.parameter_scores(&[-1.0 / N_DRAWS as f64; N_DRAWS], &mut gradient);
    plain(&parameters, &mut Stream::new(2), &mut by_loop);
    let difference = discrepancy(&gradient, &by_loop);

    let (mut first, mut second) = (Stream::new(3), Stream::new(3));
    let compared = compare_within(
        BUDGET,
        || {
            library(q.as_mut(), &mut first, &mut memory, &mut gradient);
            gradient[0]
        },
        || plain(&parameters, &mut second, &mut by_loop),
    );
    println!("{N_LAYERS} planar layers, d = 2, {N_DRAWS} draws: largest difference of the gradients {difference:.1e}");
    println!("library {:.1} us, plain loop {:.1} us, ratio {:.2}", compared.first, compared.second, compared.ratio);
    let passed = compared.ratio <= GATE && difference < 1e-10;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
