//! Milliseconds per step of coin SVGD against its unavoidable arithmetic, in turns on one core.
//!
//! `cargo bench -p posterity-benches --bench particle_flows`; exits with 1 over the gate. The floor is what a plain implementation cannot do
//! without: X X' and K X by faer, each on all N² entries, and N² exponentials by the library's vectorised function. A step of the library does
//! more (scores of a standard normal target, distances, an exact median, the coin rule), and leaves out half of what is symmetric.

use std::process::ExitCode;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::Array2;
use posterity::DensityError;
use posterity::math::vectorised::exp_in_place;
use posterity::model::{Density, WithGradient};
use posterity::parallel::Threads;
use posterity::parvi::{Bandwidth, Blob, CloudStart, CoordinateSvgd, Flow, Gfsd, Kernel, ParticleFlow, Svgd};
use posterity::rng::Stream;
use posterity::step_rules::{Coin, StepRule};
use posterity_benches::filter;
use posterity_benches::stopwatch::compare_within;

/// Seconds per comparison.
const BUDGET: f64 = 3.0;
/// Sizes, and the largest ratio of step and floor that is allowed.
const SIZES: [(usize, usize, Option<f64>); 3] = [(100, 2, None), (1000, 50, Some(2.2)), (2000, 100, Some(2.2))];

struct StandardNormal(usize);

impl Density for StandardNormal {
    fn dim(&self) -> usize {
        self.0
    }

    fn log_density_gradient(&self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        gradient.iter_mut().zip(x).for_each(|(g, x)| *g = -x);
        Ok(-0.5 * x.iter().map(|x| x * x).sum::<f64>())
    }
}

/// X X', exp of its entries, and their product with X.
struct Floor {
    n: usize,
    dim: usize,
    x: Vec<f64>,
    k: Vec<f64>,
    out: Vec<f64>,
}

impl Floor {
    fn run(&mut self) -> f64 {
        let Self { n, dim, .. } = *self;
        let x = MatRef::from_row_major_slice(&self.x, n, dim);
        let k = MatMut::from_row_major_slice_mut(&mut self.k, n, n);
        // A scale that keeps the exponentials in range.
        matmul(k, Accum::Replace, x, x.transpose(), -1.0 / dim as f64, Par::Seq);
        exp_in_place(&mut self.k);
        let out = MatMut::from_row_major_slice_mut(&mut self.out, n, dim);
        matmul(out, Accum::Replace, MatRef::from_row_major_slice(&self.k, n, n), x, 1.0, Par::Seq);
        self.out[0]
    }
}

/// Steps of a flow with the coin rule on one thread, each from where the last one ended.
fn stepper<'t, F: Flow + Clone + 't>(
    flow: F,
    start: &Array2<f64>,
    target: &'t WithGradient<StandardNormal>,
) -> Result<impl FnMut() -> f64 + 't, posterity::Error> {
    let flow = ParticleFlow::coin(flow).start(CloudStart::Positions(start.clone())).threads(Threads::serial());
    let mut transport = flow.begin(target, 1)?;
    Ok(move || {
        // A step that fails at once would pass every gate.
        transport.step().unwrap_or_else(|error| panic!("{error}"));
        transport.directions()[0]
    })
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let filter = filter();
    println!("{:<26} {:>5} {:>4} {:>10} {:>10} {:>7}", "step", "N", "d", "ms", "floor", "ratio");
    let mut passed = true;
    for (n, dim, gate) in SIZES {
        let mut random = Stream::new(n as u64);
        let start = Array2::from_shape_simple_fn((n, dim), || random.normal());
        let target = WithGradient(StandardNormal(dim));
        let x: Vec<f64> = start.iter().copied().collect();
        let mut floor = Floor { n, dim, k: vec![0.0; n * n], out: vec![0.0; n * dim], x: x.clone() };
        let mut line = |name: &str, us: f64, floor: f64, ratio: f64, gate: Option<f64>| {
            let missed = gate.is_some_and(|gate| !(ratio <= gate));
            let verdict = if missed { "  over its gate" } else { "" };
            println!("{name:<26} {n:>5} {dim:>4} {:>10.3} {:>10.3} {ratio:>7.2}{verdict}", us * 1e-3, floor * 1e-3);
            passed &= !missed;
        };
        if "coin SVGD".contains(&filter) {
            let mut step = stepper(Svgd::default(), &start, &target)?;
            let whole = compare_within(BUDGET, &mut step, || floor.run());
            line("coin SVGD", whole.first, whole.second, whole.ratio, gate);
            // The median: what a step takes longer than one with a fixed bandwidth.
            let mut fixed = stepper(Svgd::new(Kernel::Rbf(Bandwidth::Fixed(0.5))), &start, &target)?;
            let median = compare_within(BUDGET, &mut step, &mut fixed);
            let share = 1.0 - 1.0 / median.ratio;
            line("  of it the median", share * median.first, whole.second, share * whole.ratio, None);
            let (mut state, mut position) = (Coin::default().start(&x)?, x.clone());
            // In turns forward and back: in one direction the wealth would soon leave the range of numbers.
            let mut directions = [x.clone(), x.iter().map(|x| -x).collect()];
            let mut rule = || {
                state.step(&directions[0], &mut position).unwrap_or_else(|error| panic!("{error}"));
                directions.swap(0, 1);
                position[0]
            };
            let rule = compare_within(BUDGET, &mut rule, || floor.run());
            line("  of it the coin rule", rule.first, rule.second, rule.ratio, None);
        }
        let mut row = |name: &str, step: &mut dyn FnMut() -> f64| {
            if name.contains(&filter) {
                let measured = compare_within(BUDGET, step, || floor.run());
                line(name, measured.first, measured.second, measured.ratio, None);
            }
        };
        row("coin SVGD, IMQ", &mut stepper(Svgd::new(Kernel::Imq(Bandwidth::Median)), &start, &target)?);
        row("coin GFSD", &mut stepper(Gfsd::default(), &start, &target)?);
        row("coin blob", &mut stepper(Blob::default(), &start, &target)?);
        row("coin SVGD per coordinate", &mut stepper(CoordinateSvgd::default(), &start, &target)?);
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
