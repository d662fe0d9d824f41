//! Running flows: the same bits on any number of threads, failures that name their particle, minibatches, small clouds, and what is said
//! about the result.

use std::ops::ControlFlow;

use ndarray::{Array2, array};
use posterity::autodiff::{DataMatrix, Real};
use posterity::mcmc::{Nuts, Run, Sampler};
use posterity::model::zoo::{EightSchools, EightSchoolsNoncentered, LogisticRegression};
use posterity::model::{Density, LogP, Model, Space, Target, WithGradient};
use posterity::parallel::Threads;
use posterity::parvi::{Cloud, CloudDensity, CloudStart, Flow, Ksdd, Lawgd, LawgdConfig, ParticleFlow, Svgd, Warning};
use posterity::rng::Stream;
use posterity::step_rules::{Averaging, Coin, CoinKt, Sgd};
use posterity::{DensityError, Error};

use super::slow::Slow;

/// Every particle climbs by itself, so that a test knows where each one is.
#[derive(Debug, Clone)]
struct Climb;

impl Flow for Climb {
    fn name(&self) -> String {
        "climb".to_owned()
    }

    fn validate(&self, _: usize, _: usize) -> Result<(), Error> {
        Ok(())
    }

    fn directions(&mut self, cloud: Cloud<'_>, density: &mut dyn CloudDensity, out: &mut [f64]) -> Result<(), Error> {
        density.scores(cloud.positions, out)
    }
}

fn bits(positions: impl IntoIterator<Item = f64>) -> Vec<u64> {
    positions.into_iter().map(f64::to_bits).collect()
}

fn the_same_bits<F: Flow + Clone>(flow: F, minibatch: Option<usize>, kinds: usize) {
    // 50 particles are four blocks, the last one shorter; a model with a tape of its own per block.
    let regression = Slow::new(LogisticRegression::simulated(60, 4, 3).unwrap());
    let run = |threads: Threads| {
        let mut flow = ParticleFlow::coin(flow.clone()).n_particles(50).n_iterations(10).threads(threads.clone());
        if let Some(size) = minibatch {
            flow = flow.minibatch(size);
        }
        let positions = bits(flow.run(&regression, 7).unwrap().positions().iter().copied());
        // One evaluator for the first iteration, then one per block and kind of derivative.
        let shared_out = if threads.count() > 1 { 9 * 4 * kinds } else { 0 };
        assert_eq!(regression.take_n_evaluators(), 1 + shared_out);
        positions
    };
    let serial = run(Threads::serial());
    for threads in [Threads::new(2).unwrap(), Threads::new(4).unwrap(), Threads::shared()] {
        assert_eq!(run(threads), serial, "minibatch {minibatch:?}");
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    the_same_bits(Svgd::default(), None, 1);
    the_same_bits(Svgd::default(), Some(10), 1);
    the_same_bits(Ksdd::default(), None, 2);
}

#[test]
fn a_minibatch_changes_the_result() {
    let regression = LogisticRegression::simulated(60, 4, 3).unwrap();
    let flow = ParticleFlow::coin(Svgd::default()).n_particles(10).n_iterations(5);
    assert_ne!(
        flow.run(&regression, 7).unwrap().positions(),
        flow.clone().minibatch(10).run(&regression, 7).unwrap().positions()
    );
}

#[test]
fn flows_that_cannot_use_minibatches_refuse_them() {
    let regression = LogisticRegression::simulated(20, 2, 1).unwrap();
    let error = ParticleFlow::coin(Ksdd::default()).minibatch(5).begin(&regression, 1).err().unwrap();
    assert!(matches!(error, Error::InvalidSetting { setting: "minibatch", value: 5.0, .. }), "{error}");
    let target = WithGradient(LogGamma);
    let lawgd = Lawgd::new(&target, &LawgdConfig::default()).unwrap();
    let error = ParticleFlow::coin(lawgd).minibatch(5).begin(&target, 1).err().unwrap();
    assert!(matches!(error, Error::InvalidSetting { setting: "minibatch", .. }), "{error}");
}

/// A normal density that goes wrong where its first coordinate exceeds 100, in the way that the second one says.
struct Trap;

impl Density for Trap {
    fn dim(&self) -> usize {
        2
    }

    fn log_density_gradient(&self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        // Long enough for the work to be shared out to threads.
        std::thread::sleep(std::time::Duration::from_micros(2));
        gradient.copy_from_slice(&[1.0, 0.0]);
        if x[0] <= 100.0 {
            return Ok(0.0);
        }
        Ok(match x[1] as i64 {
            1 => f64::NAN,
            2 => f64::INFINITY,
            3 => f64::NEG_INFINITY,
            4 => panic!("a trap"),
            5 => {
                gradient[1] = f64::NAN;
                0.0
            }
            _ => return Err(DensityError::Rejected { reason: "because" }),
        })
    }
}

#[test]
fn the_first_particle_that_fails_is_named_with_its_iteration() {
    let places = [Threads::serial(), Threads::new(2).unwrap(), Threads::new(4).unwrap()];
    for kind in 1..=6 {
        for threads in &places {
            // By 1 in every step: particles 37 and 70 pass 100 in step 4, and are noticed in iteration 5; they lie in different blocks.
            let mut start = Array2::zeros((80, 2));
            for (particle, other) in [(37, kind), (70, 7 - kind)] {
                start[[particle, 0]] = 96.5;
                start[[particle, 1]] = other as f64;
            }
            let flow = ParticleFlow::new(Climb, Sgd::new(1.0)).start(CloudStart::Positions(start)).threads(threads.clone());
            let target = WithGradient(Trap);
            let mut transport = flow.begin(&target, 1).unwrap();
            for _ in 0..4 {
                transport.step().unwrap();
            }
            let before = transport.positions();
            let error = transport.step().unwrap_err();
            let Error::Particle { particle: 37, iteration: 5, source } = &error else { panic!("{error}") };
            assert!(
                match kind {
                    1 => matches!(source, DensityError::NotANumber),
                    2 => matches!(source, DensityError::PositiveInfinity),
                    3 => matches!(source, DensityError::Rejected { reason } if reason.contains("-inf")),
                    4 => matches!(source, DensityError::Panicked { message } if message == "a trap"),
                    5 => matches!(source, DensityError::GradientNotFinite { index: 1, .. }),
                    _ => matches!(source, DensityError::Rejected { reason: "because" }),
                },
                "{kind}: {error}"
            );
            assert!(error.to_string().starts_with("particle 37, iteration 5: "), "{error}");
            assert_eq!(transport.positions(), before);
            assert_eq!(transport.iteration(), 4);
        }
    }
}

/// -x⁴, whose ascent explodes.
struct Quartic;

impl Density for Quartic {
    fn dim(&self) -> usize {
        3
    }

    fn log_density_gradient(&self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        gradient.iter_mut().zip(x).for_each(|(g, x)| *g = -4.0 * x.powi(3));
        Ok(-x.iter().map(|x| x.powi(4)).sum::<f64>())
    }
}

#[test]
fn a_learning_rate_far_too_large_is_an_error_with_particle_and_coordinate() {
    let start = CloudStart::Positions(array![[0.0, 0.0, 0.0], [0.0, 0.0, 1e70]]);
    let error = ParticleFlow::new(Climb, Sgd::new(1e300)).start(start).run(&WithGradient(Quartic), 1).unwrap_err();
    let Error::ParticleNotFinite { particle: 1, iteration: 1, what: "position after a step", index: 2, .. } = error else {
        panic!("{error}")
    };
    // A smaller one leaves the range of numbers by the log density.
    let start = CloudStart::Positions(array![[0.1, 0.0, 0.0], [0.0, 0.0, 2.0]]);
    let error = ParticleFlow::new(Climb, Sgd::new(10.0)).start(start).run(&WithGradient(Quartic), 1).unwrap_err();
    assert!(matches!(error, Error::Particle { particle: 1, .. } | Error::ParticleNotFinite { particle: 1, .. }), "{error}");
}

#[test]
fn a_cloud_too_wide_for_its_squared_distances_names_particle_and_coordinate() {
    let mut start = Array2::from_shape_fn((5, 3), |(i, c)| (i + c) as f64);
    start[[3, 1]] = 1e200;
    start[[4, 1]] = -1e200;
    let flow = ParticleFlow::coin(Svgd::default()).start(CloudStart::Positions(start.clone()));
    let error = flow.run(&WithGradient(Flat), 1).unwrap_err();
    assert!(matches!(error, Error::ParticleNotFinite { particle: 3, iteration: 1, index: 1, .. }), "{error}");
}

/// Any gradient would be far out of range there.
struct Flat;

impl Density for Flat {
    fn dim(&self) -> usize {
        3
    }

    fn log_density_gradient(&self, _: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        gradient.fill(0.0);
        Ok(0.0)
    }
}

#[test]
fn a_direction_above_the_bound_of_a_rule_names_particle_and_iteration() {
    let start = CloudStart::Positions(array![[0.0, 0.0, 0.0], [0.0, 1.0, -2.0]]);
    // The derivative of -x⁴ at -2 is 32; that at 1 is -4.
    let error = ParticleFlow::new(Climb, CoinKt::new(10.0)).start(start).run(&WithGradient(Quartic), 1).unwrap_err();
    let Error::Step { step: 1, source } = &error else { panic!("{error}") };
    assert!(matches!(**source, Error::OutsideSupport { value: 32.0, .. }), "{error}");
    assert!(error.to_string().contains("direction[2] of particle 1"), "{error}");
}

#[test]
fn wrong_settings_and_starts_are_typed() {
    let model = EightSchools::rubin();
    let flow = || ParticleFlow::coin(Svgd::default());
    let fail = |flow: ParticleFlow<Svgd>| flow.begin(&model, 1).err().unwrap();
    let positions = |x| CloudStart::Positions(x);

    for n in [0, usize::MAX, usize::MAX / 10, usize::MAX / 100] {
        assert!(matches!(fail(flow().n_particles(n)), Error::InvalidSetting { setting: "n_particles", .. }), "{n}");
        let error = fail(flow().n_particles(n).start(CloudStart::Prior));
        assert!(matches!(error, Error::InvalidSetting { setting: "n_particles", .. }), "{n}");
    }
    for sd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = fail(flow().start(CloudStart::Normal { sd }));
        assert!(matches!(error, Error::InvalidSetting { setting: "sd of the start", .. }));
    }
    assert!(matches!(fail(flow().start(positions(Array2::zeros((0, 10))))), Error::Empty { .. }));
    assert!(matches!(fail(flow().start(positions(Array2::zeros((5, 9))))), Error::Dimension { expected: 10, found: 9, .. }));
    let mut bad = Array2::zeros((5, 10));
    bad[[3, 7]] = f64::NEG_INFINITY;
    let error = fail(flow().start(positions(bad)));
    assert!(matches!(error, Error::ParticleNotFinite { particle: 3, iteration: 0, index: 7, .. }), "{error}");
    let error = ParticleFlow::coin(Svgd::default()).start(CloudStart::Prior).begin(&WithGradient(Quartic), 1).err().unwrap();
    assert!(matches!(error, Error::NoPriorSampler));
    let error = flow().minibatch(2).begin(&WithGradient(Quartic), 1).err().unwrap();
    assert!(matches!(error, Error::NoObservations));
    let regression = LogisticRegression::simulated(20, 2, 1).unwrap();
    for size in [0, 21] {
        let error = flow().minibatch(size).begin(&regression, 1).err().unwrap();
        assert!(matches!(error, Error::InvalidSetting { setting: "minibatch", .. }));
    }
    let error = ParticleFlow::new(Svgd::default(), Coin::default().alpha(f64::NAN)).begin(&model, 1).err().unwrap();
    assert!(matches!(error, Error::InvalidSetting { setting: "alpha", .. }));
}

#[test]
fn given_positions_decide_the_number_of_particles() {
    let flow = ParticleFlow::coin(Svgd::default()).n_particles(0).n_iterations(0);
    let start = Array2::from_elem((3, 3), 0.25);
    let particles = flow.start(CloudStart::Positions(start.clone())).run(&WithGradient(Quartic), 1).unwrap();
    assert_eq!(particles.positions(), start);
    assert_eq!((particles.n_iterations(), particles.n_evaluations()), (0, 0));
}

/// One skewed coordinate: the logarithm of a Gamma(3, 1) variable, with its mode at ln 3.
struct LogGamma;

impl Density for LogGamma {
    fn dim(&self) -> usize {
        1
    }

    fn log_density_gradient(&self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        gradient[0] = 3.0 - x[0].exp();
        Ok(3.0 * x[0] - x[0].exp())
    }
}

#[test]
fn one_particle_climbs_to_the_mode_and_many_find_the_mean() {
    let one = ParticleFlow::coin(Svgd::default()).n_particles(1).run(&WithGradient(LogGamma), 3).unwrap();
    assert!((one.positions()[[0, 0]] - 3.0_f64.ln()).abs() < 1e-6, "{}", one.positions());
    assert_eq!(one.largest_move(), None);

    let many = ParticleFlow::coin(Svgd::default()).n_particles(100).run(&WithGradient(LogGamma), 3).unwrap();
    let summary = many.summary();
    let row = summary.row("q[0]").unwrap();
    // digamma(3) and √trigamma(3). One dimension, 100 particles: the variance is a few per cent too small.
    assert!((row.mean - 0.922_784_335_098_467_1).abs() < 0.01, "{row:?}");
    assert!((row.sd / 0.394_934_066_848_226_4_f64.sqrt() - 1.0).abs() < 0.05, "{row:?}");
    assert_eq!(summary.warnings(), [], "{summary}");
}

#[test]
fn a_minibatch_of_all_rows_is_the_full_gradient() {
    let regression = LogisticRegression::simulated(40, 3, 5).unwrap();
    let flow = ParticleFlow::coin(Svgd::default()).n_particles(10).n_iterations(10);
    let full = flow.run(&regression, 1).unwrap();
    let all = flow.clone().minibatch(40).run(&regression, 1).unwrap();
    assert_eq!(bits(full.positions().iter().copied()), bits(all.positions().iter().copied()));
}

#[test]
fn the_scores_of_minibatches_are_right_on_average_and_shared_by_all_particles() {
    let n = 12;
    let x = Array2::from_shape_fn((n, 2), |(i, k)| ((3 * i + 7 * k) % 5) as f64 - 1.0);
    let model = LogisticRegression::new(DataMatrix::from(x), (0..n).map(|i| i % 3 == 0).collect(), 1.0).unwrap();
    let at = [0.4, -0.9];
    let mut full = [0.0; 2];
    model.evaluator().unwrap().log_density_gradient(&at, &mut full).unwrap();

    // Nobody moves by 1e-300, so that the directions of all iterations are scores in the same place.
    let start = CloudStart::Positions(array![[0.4, -0.9], [0.4, -0.9]]);
    let flow = ParticleFlow::new(Climb, Sgd::new(1e-300)).start(start).minibatch(5).n_iterations(4000);
    let (mut sum, mut squares) = ([0.0; 2], [0.0; 2]);
    flow.run_observed(&model, 11, |transport| {
        if transport.iteration() > 0 {
            let c = transport.directions();
            assert_eq!(c[..2], c[2..]);
            for k in 0..2 {
                sum[k] += c[k];
                squares[k] += c[k] * c[k];
            }
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    for k in 0..2 {
        let mean = sum[k] / 4000.0;
        let error = ((squares[k] / 4000.0 - mean * mean) / 4000.0).sqrt();
        // Four standard errors, two coordinates: one false alarm in 8000 seeds. A likelihood that is not scaled by 12/5 is off by more than 30.
        assert!((mean - full[k]).abs() < 4.0 * error, "{k}: {mean} +- {error}, {}", full[k]);
        let prior = -at[k];
        assert!((prior + (full[k] - prior) * 5.0 / 12.0 - mean).abs() > 30.0 * error, "{k}: the test could not tell");
    }
}

#[test]
fn a_cloud_that_moves_is_told_from_one_at_rest() {
    let flow = || ParticleFlow::coin(Svgd::default()).n_particles(30);
    let moving =
        |particles: &posterity::parvi::Particles| particles.warnings().iter().any(|w| matches!(w, Warning::StillMoving { .. }));
    let early = flow().n_iterations(20).run(&EightSchoolsNoncentered::rubin(), 1).unwrap();
    assert!(moving(&early), "{:?}", early.largest_move());
    let text = early.summary().to_string();
    assert!(text.contains("Warning: the particles had not come to rest"), "{text}");
    let late = flow().n_iterations(1000).run(&WithGradient(LogGamma), 1).unwrap();
    assert!(!moving(&late), "{:?}", late.largest_move());
}

/// mu ~ N(1, 2), sigma ~ half-normal(1), nothing observed.
struct Prior;

impl Model for Prior {
    type Parameters<T: Real> = (T, T);

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> (T, T) {
        (space.real("mu"), space.positive("sigma"))
    }

    fn log_prior<T: Real>(&self, (mu, sigma): &(T, T), lp: &mut LogP<T>) {
        lp.normal(mu, &1.0, &2.0);
        lp.half_normal(sigma, &1.0);
    }

    fn log_likelihood<T: Real>(&self, _: &(T, T), _: &mut LogP<T>) {}

    fn sample_prior(&self, rng: &mut Stream, out: &mut posterity::model::Values) -> bool {
        out.set("mu", 1.0 + 2.0 * rng.normal()).set("sigma", rng.normal().abs());
        true
    }
}

#[test]
fn the_summary_is_of_constrained_values() {
    let flow = ParticleFlow::coin(Svgd::default()).n_particles(40).n_iterations(300).start(CloudStart::Prior);
    let particles = flow.run(&Prior, 2).unwrap();
    let summary = particles.summary();
    let sigma = summary.row("sigma").unwrap();
    let values: Vec<f64> = particles.positions().column(1).iter().map(|u| u.exp()).collect();
    let mean = values.iter().sum::<f64>() / 40.0;
    let sd = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 40.0).sqrt();
    assert!((sigma.mean - mean).abs() < 1e-12 && (sigma.sd - sd).abs() < 1e-12);
    assert!(sigma.q05 < sigma.q50 && sigma.q50 < sigma.q95);
    let draws = particles.draws().unwrap();
    assert_eq!(draws.mean("sigma").unwrap()[[]], sigma.mean);

    let text = summary.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "SVGD (RBF, median), coin: 40 particles, 300 iterations, seed 2");
    assert!(lines[2].starts_with("mu ") && lines[3].starts_with("sigma "), "{text}");
    assert!(lines.iter().all(|line| !line.ends_with(' ')), "{text}");
}

#[test]
fn chains_start_at_particles() {
    let particles = ParticleFlow::coin(Svgd::default()).n_particles(10).n_iterations(50).run(&Prior, 2).unwrap();
    let run = Run::new(1).chains(3).warmup(100).draws(50).start(particles.start(3));
    let draws = Nuts::default().sample(&Prior, run).unwrap();
    assert_eq!(draws.n_chains(), 3);
}

#[test]
fn a_run_can_be_broken_off() {
    let flow = ParticleFlow::coin(Svgd::default()).n_particles(5).n_iterations(1000);
    let stop = |t: &posterity::parvi::Transport<'_, Svgd, Prior>| match t.iteration() {
        7 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    assert_eq!(flow.run_observed(&Prior, 1, stop).unwrap().n_iterations(), 7);
}

#[test]
fn draws_know_how_they_came_about() {
    let regression = LogisticRegression::simulated(60, 4, 3).unwrap();
    let flow = ParticleFlow::coin(Svgd::default()).n_particles(5).n_iterations(2).minibatch(10).averaging(Averaging::Tail);
    let draws = flow.start(CloudStart::Normal { sd: 0.5 }).run(&regression, 7).unwrap().draws().unwrap();
    let setting = |name: &str| draws.attributes().settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(setting("flow"), Some("SVGD (RBF, median)"));
    assert_eq!(setting("step_rule"), Some("coin"));
    assert_eq!(setting("n_iterations"), Some("2"));
    assert_eq!(setting("start"), Some("normal, sd 0.5"));
    assert_eq!(setting("minibatch"), Some("10"));
    assert_eq!(setting("averaging"), Some("Tail"));
    assert_eq!(draws.attributes().seed, 7);
}
