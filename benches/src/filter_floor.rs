//! Bootstrap filters written by hand as plain loops, without an engine: the floor of the particle filter's benchmark.

use posterity::math::vectorised::exp_in_place;
use posterity::rng::{Purpose, Stream};

/// Particles per random stream.
const BLOCK: usize = 256;

/// Moves a block of particles: (t, parents, ancestors, random numbers, children, log-weight increments).
pub trait MoveBlock<X>: Fn(usize, &[X], &[u32], &mut Stream, &mut [X], &mut [f64]) {}
impl<X, F: Fn(usize, &[X], &[u32], &mut Stream, &mut [X], &mut [f64])> MoveBlock<X> for F {}

/// The memory of a filter.
#[derive(Debug)]
pub struct FloorFilter<X> {
    x: Vec<X>,
    next: Vec<X>,
    ancestors: Vec<u32>,
    increments: Vec<f64>,
    log_weights: Vec<f64>,
    weights: Vec<f64>,
    identity: bool,
}

impl<X: Copy + Default> FloorFilter<X> {
    /// Memory for `n` particles.
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self {
            x: vec![X::default(); n],
            next: vec![X::default(); n],
            ancestors: (0..n as u32).collect(),
            increments: vec![0.0; n],
            log_weights: vec![0.0; n],
            weights: vec![0.0; n],
            identity: true,
        }
    }

    /// Filters `n_steps` steps, resampling systematically below half of the effective sample size; returns the log-evidence.
    pub fn run(&mut self, n_steps: usize, seed: u64, initial: impl MoveBlock<X>, step: impl MoveBlock<X>) -> f64 {
        let n = self.x.len();
        let mut log_evidence = 0.0;
        self.log_weights.fill(0.0);
        let mut log_mean_before = 0.0;
        for t in 0..n_steps {
            let blocks = self.next.chunks_mut(BLOCK).zip(self.ancestors.chunks(BLOCK)).zip(self.increments.chunks_mut(BLOCK));
            for (b, ((next, ancestors), increments)) in blocks.enumerate() {
                let mut rng = Stream::keyed(seed, Purpose::Simulation, t as u64, b as u64);
                if t == 0 {
                    initial(t, &self.x, ancestors, &mut rng, next, increments);
                } else {
                    step(t, &self.x, ancestors, &mut rng, next, increments);
                }
            }
            std::mem::swap(&mut self.x, &mut self.next);
            let largest = add_and_max(&mut self.log_weights, &self.increments);
            let (sum, squares) = exponentiate(&self.log_weights, largest, &mut self.weights);
            let log_mean = largest + (sum / n as f64).ln();
            log_evidence += log_mean - log_mean_before;
            log_mean_before = log_mean;
            if sum * sum / squares < 0.5 * n as f64 {
                let mut rng = Stream::keyed(seed, Purpose::Resampling, t as u64, 0);
                systematic(&self.weights, sum, rng.uniform(), &mut self.ancestors);
                self.identity = false;
                self.log_weights.fill(0.0);
                log_mean_before = 0.0;
            } else if !self.identity {
                self.ancestors.iter_mut().zip(0..).for_each(|(a, i)| *a = i);
                self.identity = true;
            }
        }
        log_evidence
    }
}

fn add_and_max(log_weights: &mut [f64], increments: &[f64]) -> f64 {
    let mut lanes = [f64::NEG_INFINITY; 8];
    for (w, d) in log_weights.chunks_mut(8).zip(increments.chunks(8)) {
        for ((w, d), lane) in w.iter_mut().zip(d).zip(&mut lanes) {
            *w += d;
            *lane = if *w > *lane { *w } else { *lane };
        }
    }
    lanes.into_iter().fold(f64::NEG_INFINITY, f64::max)
}

fn exponentiate(log_weights: &[f64], largest: f64, weights: &mut [f64]) -> (f64, f64) {
    let (mut sums, mut squares) = ([0.0; 8], [0.0; 8]);
    for (weights, log_weights) in weights.chunks_mut(BLOCK).zip(log_weights.chunks(BLOCK)) {
        for (w, l) in weights.iter_mut().zip(log_weights) {
            *w = l - largest;
        }
        exp_in_place(weights);
        let (chunks, rest) = weights.as_chunks::<8>();
        for chunk in chunks {
            for i in 0..8 {
                sums[i] += chunk[i];
                squares[i] += chunk[i] * chunk[i];
            }
        }
        for w in rest {
            sums[0] += w;
            squares[0] += w * w;
        }
    }
    (sums.iter().sum(), squares.iter().sum())
}

/// Systematic resampling without branches: the first offspring's place of every parent, then a running maximum.
pub fn systematic(weights: &[f64], sum: f64, u: f64, ancestors: &mut [u32]) {
    let n = ancestors.len();
    let scale = n as f64 / sum;
    ancestors.fill(0);
    let mut cumulative = 0.0;
    for (j, w) in weights.iter().enumerate() {
        let first = (cumulative * scale - u).ceil().max(0.0) as usize;
        if first < n {
            ancestors[first] = j as u32;
        }
        cumulative += w;
    }
    let mut largest = 0;
    for a in ancestors {
        largest = largest.max(*a);
        *a = largest;
    }
}
