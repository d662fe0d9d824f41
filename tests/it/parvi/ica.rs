//! Independent component analysis: the score, Amari's distance, and coin sampling beside gradient steps of the usual learning rate.

use ndarray::{Array2, array};
use posterity::Error;
use posterity::linalg::matmul;
use posterity::model::zoo::{Ica, amari_distance};
use posterity::model::{Target, WithParts, check_gradient};
use posterity::parvi::{CloudStart, ParticleFlow, Particles, Svgd};
use posterity::rng::Stream;
use posterity::step_rules::Sgd;

#[test]
fn the_score_is_the_gradient_of_the_log_density() {
    for (p, n, weight, sd) in [(1, 7, 1.0, 2.0), (2, 50, 1.0, 0.5), (3, 40, 0.025, 1.7), (5, 30, 1.0 / 30.0, 1.0)] {
        let (ica, _) = Ica::simulated(p, n, 4).unwrap();
        let x = Array2::from_shape_fn((p, n), |(k, i)| ((k * 31 + i * 17) % 23) as f64 / 7.0 - 1.2);
        for ica in [ica, Ica::new(x, sd).unwrap()] {
            let target = WithParts(ica.likelihood_weight(weight).unwrap());
            let mut rng = Stream::new(9);
            let w: Vec<f64> = (0..p * p).map(|_| rng.normal()).collect();
            let report = check_gradient(&target, Some(&w)).unwrap();
            assert!(report.is_ok(), "{report}");
        }
    }
}

#[test]
fn one_component_is_a_scale() {
    let x = [0.3, -1.7, 40.0, 0.0];
    let target = WithParts(Ica::new(Array2::from_shape_vec((1, 4), x.to_vec()).unwrap(), 1.5).unwrap());
    for w in [0.8_f64, -2.5] {
        let prior = -0.5 * (w / 1.5).powi(2) - (1.5 * std::f64::consts::TAU.sqrt()).ln();
        // cosh overflows at 711.
        let likelihood: f64 = x.iter().map(|x| -(std::f64::consts::PI * (w * x).cosh()).ln() + w.abs().ln()).sum();
        let found = target.evaluator().unwrap().log_density_parts(&[w]).unwrap();
        assert!((found.log_prior - prior).abs() < 1e-12, "{found:?} {prior}");
        assert!((found.log_likelihood - likelihood).abs() < 1e-11, "{found:?} {likelihood}");
    }
}

#[test]
fn a_singular_matrix_has_no_density() {
    let (ica, _) = Ica::simulated(2, 20, 1).unwrap();
    let start = CloudStart::Positions(array![[1.0, 0.0, 0.0, 1.0], [1.0, 2.0, 0.5, 1.0]]);
    let error = ParticleFlow::coin(Svgd::default()).start(start).run(&WithParts(ica), 1).unwrap_err();
    assert!(matches!(error, Error::Particle { particle: 1, iteration: 1, .. }), "{error}");
}

#[test]
fn amari_distance_sees_neither_order_nor_scale() {
    let mut rng = Stream::new(3);
    let mixing = Array2::from_shape_simple_fn((3, 3), || rng.normal());
    let unmixing = inverse(&mixing);
    let zero = amari_distance(unmixing.view(), mixing.view()).unwrap();
    assert!(zero.abs() < 1e-12, "{zero}");
    let shuffled = matmul(array![[0.0, -3.0, 0.0], [0.0, 0.0, 0.01], [7.0, 0.0, 0.0]].view(), unmixing.view()).unwrap();
    assert!(amari_distance(shuffled.view(), mixing.view()).unwrap() < 1e-12);

    // W A = [[2, 1], [0, 4]]: rows 1/2 + 0, columns 0 + 1/4; over 2p.
    let identity = array![[1.0, 0.0], [0.0, 1.0]];
    let other = array![[2.0, -1.0], [0.0, 4.0]];
    assert!((amari_distance(other.view(), identity.view()).unwrap() - 0.75 / 4.0).abs() < 1e-15);
    // The largest value: all sources alike.
    let ones = Array2::ones((3, 3));
    assert!((amari_distance(ones.view(), Array2::eye(3).view()).unwrap() - 2.0).abs() < 1e-14);

    let fails = |w: Array2<f64>| amari_distance(w.view(), identity.view()).unwrap_err();
    assert!(matches!(fails(Array2::zeros((2, 3))), Error::Dimension { expected: 2, found: 3, .. }));
    assert!(matches!(fails(Array2::zeros((2, 2))), Error::NotFinite { .. }));
}

/// By solving for the columns of the identity.
fn inverse(a: &Array2<f64>) -> Array2<f64> {
    let n = a.nrows();
    let mut inverse = Array2::zeros((n, n));
    for (k, mut column) in inverse.columns_mut().into_iter().enumerate() {
        let unit = ndarray::Array1::from_shape_fn(n, |i| f64::from(u8::from(i == k)));
        column.assign(&posterity::linalg::solve(a.view(), unit.view()).unwrap());
    }
    inverse
}

#[test]
fn wrong_arguments_are_typed() {
    assert!(matches!(Ica::new(Array2::zeros((0, 3)), 1.0), Err(Error::Empty { .. })));
    assert!(matches!(Ica::new(array![[f64::NAN]], 1.0), Err(Error::NotFinite { .. })));
    assert!(matches!(Ica::new(array![[1.0]], f64::NAN), Err(Error::InvalidSetting { setting: "sd", .. })));
    let ica = Ica::new(array![[1.0]], 1.0).unwrap();
    assert!(matches!(ica.likelihood_weight(0.0), Err(Error::InvalidSetting { setting: "likelihood_weight", .. })));
}

fn distances(particles: &Particles, mixing: &Array2<f64>) -> Vec<f64> {
    let p = mixing.nrows();
    let rows = particles.positions();
    let matrix = |row: ndarray::ArrayView1<'_, f64>| Array2::from_shape_vec((p, p), row.to_vec()).unwrap();
    rows.rows().into_iter().map(|row| amari_distance(matrix(row).view(), mixing.view()).unwrap()).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    0.5 * (values[(values.len() - 1) / 2] + values[values.len() / 2])
}

/// A small version of what `scripts/validate_coin_ica` runs 40 times at full size.
#[test]
fn coin_separates_sources_as_well_as_the_usual_learning_rate() {
    let (mut coin, mut svgd, mut random) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..6 {
        let (ica, mixing) = Ica::simulated(2, 200, seed).unwrap();
        let target = WithParts(ica.likelihood_weight(1.0 / 200.0).unwrap());
        let run = |flow: ParticleFlow<Svgd>, n| {
            let particles = flow.n_particles(10).n_iterations(n).run(&target, seed).unwrap();
            distances(&particles, &mixing)
        };
        coin.extend(run(ParticleFlow::coin(Svgd::default()), 500));
        svgd.extend(run(ParticleFlow::new(Svgd::default(), Sgd::new(0.1)), 500));
        random.extend(run(ParticleFlow::coin(Svgd::default()), 0));
    }
    let (coin, svgd, random) = (median(coin), median(svgd), median(random));
    assert!(coin <= 1.05 * svgd, "coin {coin}, SVGD {svgd}, random {random}");
    // So few observations' worth of information leaves the posterior wide: 0.41, 0.48 and 0.48 here.
    assert!(coin < 0.95 * random, "coin {coin}, SVGD {svgd}, random {random}");
}
