//! Draws made up to be difficult: autoregressive chains with little and much autocorrelation, and antithetic ones; heavy tails; one chain
//! off the others; whole numbers; a constant; values that are not finite.

use ndarray::{Array, Array2, Array3, Axis};
use posterity::draws::{Attributes, Draws, Group, Observed, SampleStats, StatValues};
use posterity::model::Variable;
use posterity::rng::Stream;

const N_CHAINS: usize = 4;
const N_DRAWS: usize = 1001;

/// Stationary chains x' = φ x + √(1 - φ²) z.
fn autoregressive(phi: f64, stream: &mut Stream) -> Array2<f64> {
    let mut chains = Array2::zeros((N_CHAINS, N_DRAWS));
    for mut chain in chains.rows_mut() {
        let mut x = stream.normal();
        for out in &mut chain {
            x = phi * x + (1.0 - phi * phi).sqrt() * stream.normal();
            *out = x;
        }
    }
    chains
}

pub(crate) fn draws(seed: u64) -> posterity::Result<Draws> {
    let stream = &mut Stream::new(seed);
    let heavy = autoregressive(0.3, stream).mapv(|z| (1.4 * z).sinh().powi(3));
    let mut shifted = autoregressive(0.5, stream).mapv(|z| 1e6 + z);
    shifted.row_mut(2).mapv_inplace(|x| x + 0.8);
    let mut wide = autoregressive(0.5, stream);
    wide.row_mut(1).mapv_inplace(|x| 3.0 * x);
    let mut columns = vec![
        autoregressive(0.0, stream),
        autoregressive(0.98, stream),
        autoregressive(-0.6, stream).mapv(|z| 1e-5 * z),
        heavy,
        shifted,
        wide,
        autoregressive(0.7, stream).mapv(|z| (2.0 * z).round()),
        Array2::from_elem((N_CHAINS, N_DRAWS), 0.1),
    ];
    columns.extend((0..6).map(|k| autoregressive(0.15 * f64::from(k), stream)));
    let names = ["independent", "slow", "antithetic", "heavy", "shifted", "wide", "whole", "constant"];
    let mut variables: Vec<Variable> = names.iter().map(|name| Variable::new(name, &[])).collect();
    let mut theta = Variable::new("theta", &[2, 3]);
    theta.dims[0] = "school".to_owned();
    variables.push(theta);
    let mut values = Array3::zeros((N_CHAINS, N_DRAWS, columns.len()));
    for (mut out, column) in values.axis_iter_mut(Axis(2)).zip(&columns) {
        out.assign(column);
    }
    let posterior = Group::new(variables, values)?;

    let mut stats = SampleStats::new(N_CHAINS, N_DRAWS);
    let lp = autoregressive(0.4, stream);
    let energy = autoregressive(0.9, stream) - &lp;
    stats.push("lp", StatValues::Float(lp))?;
    stats.push("acceptance_rate", StatValues::Float(autoregressive(0.0, stream).mapv(|z| 1.0 / (1.0 + z.exp()))))?;
    stats.push("step_size", StatValues::Float(Array2::from_elem((N_CHAINS, N_DRAWS), 0.25)))?;
    stats.push("tree_depth", StatValues::Integer(Array2::from_elem((N_CHAINS, N_DRAWS), 3)))?;
    stats.push("n_steps", StatValues::Integer(Array2::from_elem((N_CHAINS, N_DRAWS), 7)))?;
    let diverging = Array2::from_shape_fn((N_CHAINS, N_DRAWS), |(chain, draw)| chain == 1 && draw % 400 == 13);
    stats.push("diverging", StatValues::Flag(diverging))?;
    stats.push("energy", StatValues::Float(energy))?;

    let mut attributes =
        Attributes::new("synthetic", seed).with_setting("target_acceptance_rate", 0.8).with_setting("max_tree_depth", 8);
    attributes.n_warmup = 500;
    attributes.warmup_seconds = vec![0.25; N_CHAINS];
    attributes.sampling_seconds = vec![0.5; N_CHAINS];
    attributes.step_sizes = vec![0.25; N_CHAINS];
    attributes.inverse_mass_matrices = vec![vec![1.0, 2.5, 0.125]; N_CHAINS];

    let y = Variable::new("y", &[5]);
    let mut predictive = Array3::from_shape_simple_fn((N_CHAINS, N_DRAWS, 5), || stream.normal());
    predictive[[0, 0, 0]] = f64::NAN;
    let mut log_likelihood = predictive.mapv(|y| -0.5 * y * y);
    log_likelihood[[0, 0, 0]] = f64::NEG_INFINITY;
    Draws::new(posterior, stats, attributes)?
        .with_predictive(Group::new(vec![y.clone()], predictive)?)?
        .with_log_likelihood(Group::new(vec![y.clone()], log_likelihood)?)?
        .with_observed(Observed::new(y, Array::linspace(-1.0, 1.0, 5).into_dyn())?)?
        .with_coords("school", ["north", "south"])
}
