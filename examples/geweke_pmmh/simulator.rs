//! Geweke's joint test of particle marginal Metropolis-Hastings, shared by the test suite and the long program.
//!
//! ```text
//! marginal-conditional     θ ~ p(θ), x ~ p(x | θ), y ~ p(y | x, θ), independently
//! successive-conditional   y ~ p(y | x, θ), then a kernel that preserves p(θ, x | y), over and over
//! ```
//! Both have the same law if the kernel is right. The weight of (θ, x) under new data is drawn by a conditional filter (`Redraw`): it is part
//! of what the kernel preserves. Source: J. Geweke 2004, doi:10.1198/016214504000001132.

use std::sync::RwLock;

use ndarray::{Array2, ArrayView2};
use posterity::diagnostics::mcse_mean;
use posterity::model::zoo::Ar1;
use posterity::model::{ModelFamily, StateSpaceModel};
use posterity::rng::Stream;
use posterity::smc::blocks::{Block, Exact, FilterEvidence, Product, PseudoMarginal, Pullback, Redraw, Weighted, WeightedPoint};
use posterity::smc::{Bootstrap, SmcConfig};
use posterity::{DensityError, Error};

/// Steps of the series.
const T: usize = 4;
/// Particles of each filter.
const N_PARTICLES: usize = 5;
/// Metropolis steps per sweep.
const STEPS: usize = 4;
/// Standard deviations of the prior, normal in both coordinates of θ.
const PRIOR_SD: [f64; 2] = [0.8, 0.4];

/// What is compared. States and data enter by a(x) = x / (1 + |x|): their own second moments under the prior have tails so heavy that
/// z-scores would not be normal.
pub(crate) const MOMENTS: [&str; 8] = ["θ0", "θ1", "θ0²", "θ1²", "θ0 θ1", "a(x3)²", "a(x0)a(y3)", "θ0a(y0)a(y1)"];

/// Autoregressions with ρ = logit⁻¹(θ0), σ_x = exp(θ1), over data that change.
struct Family {
    y: RwLock<Vec<f64>>,
}

fn model(theta: &[f64], y: Vec<f64>) -> Ar1 {
    Ar1 { rho: 1.0 / (1.0 + (-theta[0]).exp()), sigma_x: theta[1].exp(), sigma_y: 0.7, y }
}

impl ModelFamily for Family {
    type Model = Bootstrap<Ar1>;

    fn at(&self, parameters: &[f64]) -> Result<Self::Model, DensityError> {
        let y = self.y.read().map_err(|_| DensityError::Panicked { message: "lock".to_owned() })?;
        Ok(Bootstrap(model(parameters, y.clone())))
    }
}

/// What the successive-conditional simulator gets wrong, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Nothing.
    None,
    /// The weight under new data comes from a fresh filter instead of a conditional one.
    FreshWeight,
    /// The prior counts half in Metropolis steps, as if a Jacobian were missing.
    HalfPrior,
    /// The weight of the current point is drawn anew before every Metropolis step.
    Reestimated,
}

type State = WeightedPoint<Vec<f64>, (Weighted<()>, Weighted<Vec<f64>>)>;

fn log_prior(theta: &[f64]) -> f64 {
    theta.iter().zip(PRIOR_SD).map(|(x, sd)| -0.5 * (x / sd).powi(2)).sum()
}

fn draw_prior(rng: &mut Stream) -> (Vec<f64>, Vec<f64>) {
    let theta: Vec<f64> = PRIOR_SD.iter().map(|sd| sd * rng.normal()).collect();
    let model = model(&theta, Vec::new());
    let mut path = vec![model.initial(rng)];
    for t in 1..T {
        path.push(model.transition(t, &path[t - 1], rng));
    }
    (theta, path)
}

fn draw_data(theta: &[f64], path: &[f64], rng: &mut Stream) -> Vec<f64> {
    let sd = model(theta, Vec::new()).sigma_y;
    path.iter().map(|x| x + sd * rng.normal()).collect()
}

fn moments(theta: &[f64], x: &[f64], y: &[f64]) -> [f64; 8] {
    let (a, b) = (theta[0], theta[1]);
    let [x0, x3, y0, y1, y3] = [x[0], x[3], y[0], y[1], y[3]].map(|x| x / (1.0 + x.abs()));
    [a, b, a * a, b * b, a * b, x3 * x3, x0 * y3, a * y0 * y1]
}

fn walk(from: &[f64], rng: &mut Stream) -> (Vec<f64>, f64) {
    (from.iter().zip(PRIOR_SD).map(|(x, sd)| x + 1.5 * sd * rng.normal()).collect(), 0.0)
}

/// z-scores of the moments: `n` sweeps against `n` independent draws.
pub(crate) fn scores(n: usize, bug: Bug, seed: u64) -> Result<[f64; 8], Error> {
    let mut rng = Stream::new(seed);
    let family = Family { y: RwLock::new(vec![0.0; T]) };
    let weight = || -> Result<_, Error> {
        let config = SmcConfig::new(N_PARTICLES, 0).ess_threshold(0.7);
        let same = |theta: &Vec<f64>, out: &mut Vec<f64>| {
            out.extend_from_slice(theta);
            Ok(())
        };
        let power = if bug == Bug::HalfPrior { 0.5 } else { 1.0 };
        let prior = Exact(move |theta: &Vec<f64>| Ok(power * log_prior(theta)));
        Ok(Product(prior, Pullback::new(same, FilterEvidence::new(&family, config)?)))
    };
    let mut metropolis = PseudoMarginal::new(|from: &Vec<f64>, rng: &mut Stream| walk(from, rng), weight()?);
    let mut redraw = Redraw(weight()?);
    let mut fresh = weight()?;

    let (theta, path) = draw_prior(&mut rng);
    let unknown = |auxiliary| Weighted { log_weight: 0.0, auxiliary };
    let auxiliary = (Weighted { log_weight: 0.0, auxiliary: () }, unknown(path));
    let mut state: State = WeightedPoint { point: theta, log_weight: 0.0, auxiliary };
    let mut successive = Array2::zeros((8, n));
    let mut independent = Array2::zeros((8, n));
    for sweep in 0..n {
        let y = draw_data(&state.point, &state.auxiliary.1.auxiliary, &mut rng);
        if let Ok(mut data) = family.y.write() {
            data.clone_from(&y);
        }
        if bug == Bug::FreshWeight {
            if let Some(drawn) = WeightedPoint::draw(state.point.clone(), &mut fresh, &mut rng)? {
                state = drawn;
            }
        } else {
            redraw.step(&mut state, &mut rng)?;
        }
        for _ in 0..STEPS {
            if bug == Bug::Reestimated
                && let Some(drawn) = WeightedPoint::draw(state.point.clone(), &mut fresh, &mut rng)?
            {
                state.log_weight = drawn.log_weight;
            }
            metropolis.step(&mut state, &mut rng)?;
        }
        for (k, value) in moments(&state.point, &state.auxiliary.1.auxiliary, &y).into_iter().enumerate() {
            successive[[k, sweep]] = value;
        }
        let (theta, path) = draw_prior(&mut rng);
        let y = draw_data(&theta, &path, &mut rng);
        for (k, value) in moments(&theta, &path, &y).into_iter().enumerate() {
            independent[[k, sweep]] = value;
        }
    }
    Ok(std::array::from_fn(|k| {
        let row = |all: &Array2<f64>| (all.row(k).mean().unwrap_or(f64::NAN), standard_error(all.slice(ndarray::s![k..=k, ..])));
        let ((a, se_a), (b, se_b)) = (row(&successive), row(&independent));
        (a - b) / se_a.hypot(se_b)
    }))
}

fn standard_error(chain: ArrayView2<'_, f64>) -> f64 {
    mcse_mean(chain).unwrap_or(f64::NAN)
}
