//! Particle Gibbs by the joint test of Geweke 2004 (doi:10.1198/016214504000001132): (θ, x, y) drawn one after the other from the model, and
//! by a chain that alternates particle Gibbs with fresh data y | θ, x, have the same law.

use std::sync::RwLock;

use posterity::Error;
use posterity::model::{StateSpaceModel, TransitionDensity, Variable};
use posterity::rng::Stream;
use posterity::smc::{Bootstrap, ConditionalConfig, GibbsRun, ParticleGibbs, PathSampling};
use posterity::weights::Scheme;
use rand_distr::{Distribution, Gamma};

const RHO: f64 = 0.8;
const FIRST_MEAN: f64 = 0.5;
const SIGMA_Y: f64 = 1.5;
const N_STEPS: usize = 6;
/// The precision of the innovations is Gamma(SHAPE, RATE) a priori: not symmetric.
const SHAPE: f64 = 5.0;
const RATE: f64 = 2.5;

/// x_0 ~ N(FIRST_MEAN, 1), x_t ~ N(RHO x_{t-1}, 1 / precision), y_t ~ N(x_t, SIGMA_Y^2).
#[derive(Debug, Clone)]
struct Walk {
    precision: f64,
    y: Vec<f64>,
}

impl StateSpaceModel for Walk {
    type State = f64;

    fn n_steps(&self) -> usize {
        N_STEPS
    }

    fn initial(&self, rng: &mut Stream) -> f64 {
        FIRST_MEAN + rng.normal()
    }

    fn transition(&self, _t: usize, x: &f64, rng: &mut Stream) -> f64 {
        RHO * x + rng.normal() / self.precision.sqrt()
    }

    fn log_observation(&self, t: usize, x: &f64) -> f64 {
        -0.5 * ((self.y[t] - x) / SIGMA_Y).powi(2)
    }
}

impl TransitionDensity for Walk {
    fn log_initial(&self, x: &f64) -> f64 {
        -0.5 * (x - FIRST_MEAN).powi(2)
    }

    fn log_transition(&self, _t: usize, from: &f64, to: &f64) -> f64 {
        0.5 * self.precision.ln() - 0.5 * self.precision * (to - RHO * from).powi(2)
    }
}

fn gamma(shape: f64, rate: f64, rng: &mut Stream) -> f64 {
    Gamma::new(shape, 1.0 / rate).unwrap().sample(rng)
}

fn squares(x: &[f64]) -> f64 {
    x.windows(2).map(|pair| (pair[1] - RHO * pair[0]).powi(2)).sum()
}

fn observe(x: &[f64], rng: &mut Stream) -> Vec<f64> {
    x.iter().map(|x| x + SIGMA_Y * rng.normal()).collect()
}

/// None has a heavy tail, which would make the errors unreliable.
fn moments(precision: f64, x: &[f64], y: &[f64]) -> [f64; 8] {
    [
        precision,
        precision * precision,
        x[0],
        (x[1] * x[2]).tanh(),
        x[5].abs(),
        precision * squares(x),
        (x[0] * y[1]).tanh(),
        y[5].abs(),
    ]
}

/// What the chain does wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    None,
    /// States are moved with the parameters before the update.
    OldParameters,
    /// The update of the parameters forgets the factor 1/2 of the sum of squares.
    WrongRate,
    /// The reference is not used: a new path at every step.
    Unconditional,
}

/// The largest |z| of eight moments, after `n` iterations kept out of `n` x `thin`.
fn largest_z(config: &ConditionalConfig, mistake: Mistake, n: usize, thin: usize, seed: u64) -> f64 {
    let mut rng = Stream::new(seed);
    // From the model itself.
    let mut independent = Vec::with_capacity(n);
    let draw_model = |rng: &mut Stream| {
        let precision = gamma(SHAPE, RATE, rng);
        let model = Walk { precision, y: Vec::new() };
        let mut x = vec![model.initial(rng)];
        for t in 1..N_STEPS {
            x.push(model.transition(t, &x[t - 1], rng));
        }
        let y = observe(&x, rng);
        (precision, x, y)
    };
    for _ in 0..n {
        let (precision, x, y) = draw_model(&mut rng);
        independent.push(moments(precision, &x, &y));
    }
    // By the chain, which starts from the model's law too.
    let (precision, _, y) = draw_model(&mut rng);
    let y = RwLock::new(y);
    let former = RwLock::new(precision);
    let family = |p: &[f64]| {
        let mut former = former.write().unwrap();
        let precision = if mistake == Mistake::OldParameters { *former } else { p[0] };
        *former = p[0];
        Ok(Bootstrap(Walk { precision, y: y.read().unwrap().clone() }))
    };
    let update = |p: &mut [f64], x: &Vec<f64>, rng: &mut Stream| {
        let half = if mistake == Mistake::WrongRate { 1.0 } else { 0.5 };
        p[0] = gamma(SHAPE + 0.5 * (N_STEPS - 1) as f64, RATE + half * squares(x), rng);
        Ok(())
    };
    let gibbs = ParticleGibbs::new(&family, &update, config.clone()).unwrap();
    let mut chain = gibbs.chain(&[precision], seed).unwrap();
    let mut dependent = Vec::with_capacity(n);
    for i in 0..n * thin {
        let seed = seed + 1 + i as u64;
        if mistake == Mistake::Unconditional {
            let parameters = chain.parameters().to_vec();
            chain = gibbs.chain(&parameters, seed).unwrap();
        }
        chain.step(seed).unwrap();
        let fresh = observe(chain.path(), &mut rng);
        y.write().unwrap().clone_from(&fresh);
        if i % thin == thin - 1 {
            dependent.push(moments(chain.parameters()[0], chain.path(), &fresh));
        }
    }
    // Standard errors by 50 batches, much longer than the chain's memory.
    let n_batches = 50;
    let statistics = |draws: &[[f64; 8]], k: usize| {
        let means: Vec<f64> = draws
            .chunks_exact(draws.len() / n_batches)
            .map(|batch| batch.iter().map(|m| m[k]).sum::<f64>() / batch.len() as f64)
            .collect();
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (means.len() - 1) as f64;
        (mean, variance / means.len() as f64)
    };
    let z = |k| {
        let ((a, var_a), (b, var_b)) = (statistics(&independent, k), statistics(&dependent, k));
        ((a - b) / (var_a + var_b).sqrt()).abs()
    };
    (0..8).map(z).fold(0.0, f64::max)
}

/// Particle Gibbs as it was proposed, PGAS, and backward sampling with adaptive systematic resampling; few particles.
fn kernels() -> [ConditionalConfig; 3] {
    [
        ConditionalConfig::new(5).path_sampling(PathSampling::Genealogy),
        ConditionalConfig::new(5).path_sampling(PathSampling::Ancestor),
        ConditionalConfig::new(5).path_sampling(PathSampling::Backward).scheme(Scheme::Systematic).ess_threshold(0.7),
    ]
}

/// None of 180 runs (60 seeds per kernel) was above 4; the largest was 3.7.
#[test]
fn particle_gibbs_and_fresh_data_have_the_joint_law_of_the_model() {
    for config in kernels() {
        let z = largest_z(&config, Mistake::None, 20_000, 1, 10_000_000);
        println!("{config:?}: largest |z| {z:.2}");
        assert!(z <= 4.0, "{config:?}: {z}");
    }
}

/// The first mistake is the hardest to see: the least z of 20 seeds was 10.
#[test]
fn the_joint_test_finds_mistakes() {
    let [_, config, _] = kernels();
    for mistake in [Mistake::OldParameters, Mistake::WrongRate, Mistake::Unconditional] {
        let z = largest_z(&config, mistake, 20_000, 1, 20_000_000);
        println!("{mistake:?}: largest |z| {z:.1}");
        assert!(z > 8.0, "{mistake:?}: {z}");
    }
}

#[test]
#[ignore = "slow: 100,000 sweeps kept of 1,000,000, per kernel"]
fn the_joint_test_with_many_sweeps() {
    for config in kernels() {
        let z = largest_z(&config, Mistake::None, 100_000, 10, 30_000_000);
        println!("{config:?}: largest |z| {z:.2}");
        assert!(z <= 4.0, "{config:?}: {z}");
    }
}

#[test]
fn draws_hold_parameters_and_paths_and_misfits_are_refused() {
    let y = vec![0.3, -0.2, 1.1, 0.4, 0.0, 0.9];
    let family = |p: &[f64]| Ok(Bootstrap(Walk { precision: p[0], y: y.clone() }));
    let update = |p: &mut [f64], x: &Vec<f64>, rng: &mut Stream| {
        p[0] = gamma(SHAPE + 2.5, RATE + 0.5 * squares(x), rng);
        Ok(())
    };
    let gibbs = ParticleGibbs::new(family, update, ConditionalConfig::new(4)).unwrap();
    let run = GibbsRun { n_chains: 2, n_warmup: 10, n_draws: 30, thin: 2, ..GibbsRun::new(3) };
    let variables = || vec![Variable::new("precision", &[])];
    let draws = gibbs.sample(variables(), &[vec![1.0]], run).unwrap();
    assert_eq!(draws.variable("x").unwrap().shape(), [2, 30, 6]);
    assert_eq!(draws.sample_stats().float("ess").unwrap().dim(), (2, 30));
    assert_eq!(gibbs.sample(variables(), &[vec![1.0]], run).unwrap(), draws);
    let error = gibbs.sample(variables(), &[vec![1.0, 2.0]], run).unwrap_err();
    assert!(matches!(error, Error::Dimension { expected: 1, found: 2, .. }), "{error}");
    let error = gibbs.sample(variables(), &[], run).unwrap_err();
    assert!(matches!(error, Error::Dimension { expected: 2, found: 0, .. }), "{error}");
    let error = gibbs.sample(variables(), &[vec![1.0]], GibbsRun { thin: 0, ..run }).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { setting: "thin", .. }), "{error}");
}
