//! Microseconds per draw of one gradient estimate, against loops written by hand for the same family, bound and target, in turns
//! on one core.
//!
//! `cargo bench -p posterity-benches --bench variational`; exits with 1 over the gate. The importance-weighted bound, doubly
//! reparameterised; the target is a normal distribution with independent coordinates. Both draw their normals from the library's
//! stream, and the result of both is compared before they are timed.

use std::process::ExitCode;

use posterity::model::{FromFn, LogDensityGradient};
use posterity::rng::Stream;
use posterity::vi::{BoundGradient, Family, FullRank, MeanField, Objective};
use posterity_benches::stopwatch::compare_within;
use posterity_benches::{discrepancy, filter};

/// Seconds per comparison.
const BUDGET: f64 = 3.0;
const HALF_LOG_TWO_PI: f64 = 0.918_938_533_204_672_8;
/// Largest ratio allowed, and the dimension from which on: below it, fixed costs of a draw are all there is.
const GATE: f64 = 1.5;
const GATED_FROM: usize = 10;

fn log_target(z: &[f64], gradient: &mut [f64]) -> f64 {
    let mut value = 0.0;
    for (g, z) in gradient.iter_mut().zip(z) {
        let difference = 1.0 - z;
        *g = difference;
        value -= 0.5 * difference * difference;
    }
    value
}

fn target(dim: usize) -> impl LogDensityGradient {
    FromFn::new(dim, |z: &[f64], g: &mut [f64]| Ok(log_target(z, g)))
}

/// What both floors share: draws, their noise, ∇ log p, and weights.
struct Draws {
    dim: usize,
    noise: Vec<f64>,
    draws: Vec<f64>,
    gradients: Vec<f64>,
    log_ratios: Vec<f64>,
}

impl Draws {
    fn new(dim: usize, n: usize) -> Self {
        let entries = vec![0.0; dim * n];
        Self { dim, noise: entries.clone(), draws: entries.clone(), gradients: entries, log_ratios: vec![0.0; n] }
    }

    /// log p - log q; the coefficients w² take their place.
    fn weigh(&mut self, log_scale: f64) {
        let rows = self.draws.chunks_exact(self.dim).zip(self.gradients.chunks_exact_mut(self.dim));
        let rows = rows.zip(self.noise.chunks_exact(self.dim)).zip(&mut self.log_ratios);
        for (((draw, gradient), noise), a) in rows {
            let square: f64 = noise.iter().map(|e| e * e).sum();
            *a = log_target(draw, gradient) + 0.5 * square + log_scale + self.dim as f64 * HALF_LOG_TWO_PI;
        }
        let largest = self.log_ratios.iter().fold(f64::NEG_INFINITY, |m, a| m.max(*a));
        self.log_ratios.iter_mut().for_each(|a| *a = (*a - largest).exp());
        let total: f64 = self.log_ratios.iter().sum();
        self.log_ratios.iter_mut().for_each(|a| *a = (*a / total).powi(2));
    }
}

fn mean_field_floor(draws: &mut Draws, parameters: &[f64], rng: &mut Stream, gradient: &mut [f64]) {
    let dim = draws.dim;
    let (mu, omega) = parameters.split_at(dim);
    let sd: Vec<f64> = omega.iter().map(|x| x.exp()).collect();
    rng.fill_normal(&mut draws.noise);
    for (draw, noise) in draws.draws.chunks_exact_mut(dim).zip(draws.noise.chunks_exact(dim)) {
        for i in 0..dim {
            draw[i] = mu[i] + sd[i] * noise[i];
        }
    }
    draws.weigh(omega.iter().sum());
    gradient.fill(0.0);
    let (location, log_scale) = gradient.split_at_mut(dim);
    let rows = draws.gradients.chunks_exact(dim).zip(draws.noise.chunks_exact(dim)).zip(&draws.log_ratios);
    for ((g, noise), coefficient) in rows {
        for i in 0..dim {
            let path = coefficient * (g[i] + noise[i] / sd[i]);
            location[i] += path;
            log_scale[i] += path * noise[i] * sd[i];
        }
    }
}

fn full_rank_floor(draws: &mut Draws, parameters: &[f64], rng: &mut Stream, gradient: &mut [f64]) {
    let dim = draws.dim;
    let (mu, rows) = parameters.split_at(dim);
    let mut factor = vec![0.0; dim * dim];
    let mut log_scale = 0.0;
    for i in 0..dim {
        let start = i * (i + 1) / 2;
        factor[i * dim..i * dim + i].copy_from_slice(&rows[start..start + i]);
        factor[i * dim + i] = rows[start + i].exp();
        log_scale += rows[start + i];
    }
    rng.fill_normal(&mut draws.noise);
    for (draw, noise) in draws.draws.chunks_exact_mut(dim).zip(draws.noise.chunks_exact(dim)) {
        for i in 0..dim {
            let row = &factor[i * dim..=i * dim + i];
            draw[i] = mu[i] + row.iter().zip(noise).map(|(l, e)| l * e).sum::<f64>();
        }
    }
    draws.weigh(log_scale);
    gradient.fill(0.0);
    let mut path = vec![0.0; dim];
    let rows = draws.gradients.chunks_exact(dim).zip(draws.noise.chunks_exact(dim)).zip(&draws.log_ratios);
    for ((g, noise), coefficient) in rows {
        // ∇ log q = -L⁻ᵀ ε
        path.copy_from_slice(noise);
        for i in (0..dim).rev() {
            path[i] /= factor[i * dim + i];
            for j in 0..i {
                path[j] -= path[i] * factor[i * dim + j];
            }
        }
        path.iter_mut().zip(g).for_each(|(x, g)| *x = coefficient * (g + *x));
        for i in 0..dim {
            gradient[i] += path[i];
            let start = dim + i * (i + 1) / 2;
            let row = &mut gradient[start..=start + i];
            for j in 0..i {
                row[j] += path[i] * noise[j];
            }
            row[i] += path[i] * noise[i] * factor[i * dim + i];
        }
    }
}

type Floor = fn(&mut Draws, &[f64], &mut Stream, &mut [f64]);

/// Name, family, floor and dimensions.
type Row = (&'static str, Box<dyn Family>, Floor, &'static [usize]);

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let filter = filter();
    println!("{:<12} {:>5} {:>4} {:>10} {:>10} {:>7}", "family", "d", "k", "us/draw", "floor", "ratio");
    let mut passed = true;
    let families: [Row; 2] = [
        ("mean-field", Box::new(MeanField), mean_field_floor, &[2, 10, 100, 1000]),
        ("full-rank", Box::new(FullRank), full_rank_floor, &[2, 10, 100, 400]),
    ];
    for (name, family, floor, dims) in families {
        for (&dim, k) in dims.iter().flat_map(|dim| [(dim, 10), (dim, 100)]) {
            if !name.contains(&filter) {
                continue;
            }
            let mut q = family.start(dim, 0.5, &mut Stream::new(1))?;
            let mut random = Stream::new(2);
            let parameters: Vec<f64> = q.parameters().iter().map(|x| x + 0.01 * random.normal()).collect();
            q.set_parameters(&parameters)?;
            let mut bound = BoundGradient::new(Objective::iwelbo(k), q.as_ref())?;
            let mut target = target(dim);
            let (mut gradient, mut other) = (vec![0.0; parameters.len()], vec![0.0; parameters.len()]);
            let mut draws = Draws::new(dim, k);
            bound.estimate(q.as_mut(), &mut target, &mut Stream::new(3), &mut gradient)?;
            floor(&mut draws, &parameters, &mut Stream::new(3), &mut other);
            assert!(discrepancy(&gradient, &other) < 1e-10, "the floor computes something else");
            let (mut rng, mut rng_of_floor) = (Stream::new(4), Stream::new(4));
            let measured = compare_within(
                BUDGET,
                || {
                    q.set_parameters(&parameters).unwrap_or_else(|error| panic!("{error}"));
                    bound.estimate(q.as_mut(), &mut target, &mut rng, &mut gradient).unwrap_or_else(|error| panic!("{error}"));
                    gradient[0]
                },
                || {
                    floor(&mut draws, &parameters, &mut rng_of_floor, &mut other);
                    other[0]
                },
            );
            let missed = dim >= GATED_FROM && !(measured.ratio <= GATE);
            let (first, second) = (measured.first / k as f64, measured.second / k as f64);
            let verdict = if missed { "  over its gate" } else { "" };
            println!("{name:<12} {dim:>5} {k:>4} {first:>10.3} {second:>10.3} {:>7.2}{verdict}", measured.ratio);
            passed &= !missed;
        }
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
