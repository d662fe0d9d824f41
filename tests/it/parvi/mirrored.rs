//! Mirror maps against their defining identities, and mirrored flows against known moments.

use ndarray::{Array2, array};
use posterity::autodiff::Real;
use posterity::diagnostics::energy_distance;
use posterity::distributions::Dirichlet;
use posterity::model::{Density, LogP, Model, Space, Target, WithGradient};
use posterity::parallel::Threads;
use posterity::parvi::mirrored::{EntropicSimplex, MirrorMap, MirroredSvgd, OpenBox, PositiveOrthant};
use posterity::parvi::{Bandwidth, CloudStart, Kernel, ParticleFlow, Svgd};
use posterity::rng::Stream;
use posterity::step_rules::{Coin, RmsProp, StepRule};
use posterity::{DensityError, Error};
use rand_distr::Distribution;

/// A density by its dimension and a function that writes its gradient.
struct By<F>(usize, F);

impl<F: Fn(&[f64], &mut [f64]) -> f64 + Sync> Density for By<F> {
    fn dim(&self) -> usize {
        self.0
    }

    fn log_density_gradient(&self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        Ok((self.1)(x, gradient))
    }
}

/// The density of a Dirichlet distribution by all of its probabilities but the last.
fn dirichlet(alpha: Vec<f64>) -> impl Target {
    let d = alpha.len() - 1;
    WithGradient(By(d, move |theta: &[f64], g: &mut [f64]| {
        let rest = 1.0 - theta.iter().sum::<f64>();
        let mut value = (alpha[d] - 1.0) * rest.ln();
        for k in 0..d {
            value += (alpha[k] - 1.0) * theta[k].ln();
            g[k] = (alpha[k] - 1.0) / theta[k] - (alpha[d] - 1.0) / rest;
        }
        value
    }))
}

/// Draws without their last probability.
fn dirichlet_draws(alpha: &[f64], n: usize, seed: u64) -> Array2<f64> {
    let (dirichlet, mut stream) = (Dirichlet::new(alpha.to_vec()).unwrap(), Stream::new(seed));
    let mut draws = Array2::zeros((n, alpha.len() - 1));
    for mut row in draws.rows_mut() {
        let draw: Vec<f64> = dirichlet.sample(&mut stream);
        row.iter_mut().zip(draw).for_each(|(to, from)| *to = from);
    }
    draws
}

fn inverse_hessian(map: &dyn MirrorMap, primal: &[f64]) -> Array2<f64> {
    let d = primal.len();
    let mut matrix = Array2::zeros((d, d));
    for j in 0..d {
        let (mut unit, mut column) = (vec![0.0; d], vec![0.0; d]);
        unit[j] = 1.0;
        map.inverse_hessian_times(primal, &unit, &mut column);
        matrix.column_mut(j).iter_mut().zip(column).for_each(|(to, from)| *to = from);
    }
    matrix
}

fn determinant(m: &Array2<f64>) -> f64 {
    m[[0, 0]] * (m[[1, 1]] * m[[2, 2]] - m[[1, 2]] * m[[2, 1]]) - m[[0, 1]] * (m[[1, 0]] * m[[2, 2]] - m[[1, 2]] * m[[2, 0]])
        + m[[0, 2]] * (m[[1, 0]] * m[[2, 1]] - m[[1, 1]] * m[[2, 0]])
}

#[test]
fn maps_keep_the_identities_of_a_mirror_map() {
    let sides = OpenBox::new(vec![(0.0, 1.0), (-3.0, 0.5), (0.1, 7.0)]).unwrap();
    let maps: [&dyn MirrorMap; 3] = [&EntropicSimplex, &PositiveOrthant, &sides];
    for map in maps {
        let eta = [0.4, -1.1, 0.9];
        let primal = |eta: &[f64]| {
            let mut theta = vec![0.0; 3];
            map.primal(eta, &mut theta);
            theta
        };
        let theta = primal(&eta);
        let mut back = vec![0.0; 3];
        map.dual(&theta, &mut back).unwrap();
        let mut gradient = vec![0.0; 3];
        map.log_determinant_gradient(&theta, &mut gradient);
        let jacobian = inverse_hessian(map, &theta);
        for j in 0..3 {
            assert!((back[j] - eta[j]).abs() < 1e-13, "{}: {back:?}", map.name());
            // Central differences with a step of 1e-5 err by about 1e-10.
            let at = |by: f64| {
                let mut moved = eta;
                moved[j] += by;
                primal(&moved)
            };
            let (up, down) = (at(1e-5), at(-1e-5));
            for i in 0..3 {
                let slope = (up[i] - down[i]) / 2e-5;
                assert!((slope - jacobian[[i, j]]).abs() < 1e-8, "{}: {slope} at {i}, {j}", map.name());
            }
            let ln = |theta: &[f64]| determinant(&inverse_hessian(map, theta)).ln();
            let slope = (ln(&up) - ln(&down)) / 2e-5;
            assert!((slope - gradient[j]).abs() < 1e-8, "{}: {slope} is not {}", map.name(), gradient[j]);
        }
    }
}

#[test]
fn maps_stay_strictly_inside_however_far_out() {
    let sides = OpenBox::new(vec![(1.0, 1.0 + 4.0 * f64::EPSILON), (-1e300, 1e300), (0.0, 1e-300)]).unwrap();
    for eta in [[800.0, -800.0, 0.0], [1e308, 1e308, -1e308], [-1e308, 40.0, 39.0], [36.0, 37.0, -745.0], [0.0, 0.0, -50.0]] {
        for (map, bounded) in [(&EntropicSimplex as &dyn MirrorMap, true), (&PositiveOrthant, false)] {
            let mut theta = [0.0; 3];
            map.primal(&eta, &mut theta);
            assert!(theta.iter().all(|x| *x > 0.0 && x.is_finite() && (1e8 / x).is_finite()), "{theta:?}");
            let (forward, backward) = (1.0 - theta.iter().sum::<f64>(), 1.0 - theta.iter().rev().sum::<f64>());
            assert!(!bounded || (forward > 0.0 && backward > 0.0 && 1.0 - theta[0] - theta[1] - theta[2] > 0.0), "{theta:?}");
            map.dual(&theta, &mut [0.0; 3]).unwrap();
        }
        let mut theta = [0.0; 3];
        sides.primal(&eta, &mut theta);
        sides.dual(&theta, &mut [0.0; 3]).unwrap();
    }
}

#[test]
fn one_particle_follows_the_dual_score_of_a_dirichlet() {
    let alpha = vec![91.0, 6.0, 1.5, 0.7];
    let total: f64 = alpha.iter().sum();
    for theta in [[0.5, 0.2, 0.2], [0.01, 0.9, 0.05], [0.7, 0.2, 0.1 - 2.0_f64.powi(-20)]] {
        let start = CloudStart::Positions(Array2::from_shape_vec((1, 3), theta.to_vec()).unwrap());
        let target = dirichlet(alpha.clone());
        let mut transport = ParticleFlow::coin(MirroredSvgd::new(EntropicSimplex)).start(start).begin(&target, 1).unwrap();
        transport.step().unwrap();
        for (k, found) in transport.directions().iter().enumerate() {
            let exact = alpha[k] - total * theta[k];
            // Scores of about 1 / θ_D, 1e6 at most, are rounded to 1e-10.
            assert!((found - exact).abs() < 1e-9, "{found} is not {exact}");
        }
    }
}

fn sparse_dirichlet(rule: impl StepRule + 'static, reference: &Array2<f64>, n_seeds: u64) -> f64 {
    let mut alpha = vec![1.0; 20];
    alpha[..3].copy_from_slice(&[91.0, 6.0, 6.0]);
    let (target, flow) = (dirichlet(alpha), ParticleFlow::new(MirroredSvgd::new(EntropicSimplex), rule));
    let mut total = 0.0;
    for seed in 1..=n_seeds {
        let start = CloudStart::Positions(dirichlet_draws(&[5.0; 20], 50, seed));
        let run = flow.clone().start(start).n_iterations(500).threads(Threads::serial()).run(&target, seed).unwrap();
        let cloud = run.positions().to_owned();
        assert!(cloud.rows().into_iter().all(|theta| theta.iter().all(|x| *x > 0.0) && theta.sum() < 1.0));
        total += energy_distance(&cloud, reference).unwrap();
    }
    total / n_seeds as f64
}

#[test]
fn a_sparse_dirichlet_by_coin_and_by_learning_rates() {
    let mut alpha = vec![1.0; 20];
    alpha[..3].copy_from_slice(&[91.0, 6.0, 6.0]);
    let reference = dirichlet_draws(&alpha, 1000, 77);
    let coin = sparse_dirichlet(Coin::default(), &reference, 3);
    let large = sparse_dirichlet(RmsProp::new(0.5), &reference, 1);
    let small = sparse_dirichlet(RmsProp::new(0.001), &reference, 1);

    // 50 independent draws are 0.0018 away on average.
    assert!(coin <= 0.002, "coin {coin}");
    assert!(large > 0.03, "learning rate 0.5: {large}");
    assert!(small > 1.0, "learning rate 0.001: {small}");
}

/// The means of the coordinates and of their products under exp(log density) on a grid of cells, where `inside` holds.
fn moments(log_density: impl Fn(f64, f64) -> f64, sides: [(f64, f64); 2], inside: impl Fn(f64, f64) -> bool) -> [f64; 4] {
    let (n, mut sums, mut total) = (400, [0.0; 4], 0.0);
    let at = |(a, b): (f64, f64), i: usize| a + (b - a) * (i as f64 + 0.5) / n as f64;
    for i in 0..n {
        for j in 0..n {
            let (x, y) = (at(sides[0], i), at(sides[1], j));
            if inside(x, y) {
                let p = log_density(x, y).exp();
                total += p;
                for (sum, f) in sums.iter_mut().zip([x, y, x * x, y * y]) {
                    *sum += p * f;
                }
            }
        }
    }
    let [x, y, xx, yy] = sums.map(|sum| sum / total);
    [x, y, xx - x * x, yy - y * y]
}

/// -½ (x - m)' A (x - m) with A = [[9, -4], [-4, 6]].
fn quadratic(m: [f64; 2]) -> impl Fn(&[f64], &mut [f64]) -> f64 + Copy {
    move |x: &[f64], g: &mut [f64]| {
        let (a, b) = (x[0] - m[0], x[1] - m[1]);
        g[0] = -(9.0 * a - 4.0 * b);
        g[1] = -(-4.0 * a + 6.0 * b);
        0.5 * (a * g[0] + b * g[1])
    }
}

/// The largest error of the means in standard deviations, and of the standard deviations as ratios.
fn errors<M: MirrorMap + Clone>(map: M, target: impl Density, start: Array2<f64>, [x, y, vx, vy]: [f64; 4]) -> (f64, f64) {
    let flow = ParticleFlow::coin(MirroredSvgd::new(map)).start(CloudStart::Positions(start)).n_iterations(500);
    let cloud = flow.threads(Threads::serial()).run(&WithGradient(target), 1).unwrap().positions().to_owned();
    let (mut mean, mut sd) = (0.0_f64, 0.0_f64);
    for (column, (centre, variance)) in cloud.columns().into_iter().zip([(x, vx), (y, vy)]) {
        mean = mean.max((column.mean().unwrap() - centre).abs() / variance.sqrt());
        sd = sd.max((column.std(0.0) / variance.sqrt() - 1.0).abs());
    }
    (mean, sd)
}

fn uniform(n: usize, sides: [(f64, f64); 2]) -> Array2<f64> {
    let mut stream = Stream::new(5);
    Array2::from_shape_fn((n, 2), |(_, c)| sides[c].0 + (sides[c].1 - sides[c].0) * stream.uniform_positive())
}

/// A map whose log-determinant is forgotten.
#[derive(Debug, Clone)]
struct NoDeterminant<M>(M);

impl<M: MirrorMap> MirrorMap for NoDeterminant<M> {
    fn name(&self) -> String {
        self.0.name()
    }

    fn validate(&self, dim: usize) -> Result<(), Error> {
        self.0.validate(dim)
    }

    fn dual(&self, primal: &[f64], out: &mut [f64]) -> Result<(), Error> {
        self.0.dual(primal, out)
    }

    fn primal(&self, dual: &[f64], out: &mut [f64]) {
        self.0.primal(dual, out);
    }

    fn inverse_hessian_times(&self, primal: &[f64], vector: &[f64], out: &mut [f64]) {
        self.0.inverse_hessian_times(primal, vector, out);
    }

    fn log_determinant_gradient(&self, _: &[f64], out: &mut [f64]) {
        out.fill(0.0);
    }
}

// 60 particles: their means err by a few hundredths of a standard deviation, and their standard deviations are too small by some hundredths.
const MEAN: f64 = 0.05;
const SD: f64 = 0.1;

#[test]
fn truncated_gaussians_and_a_quadratic_on_the_simplex() {
    let value = |m: [f64; 2]| move |x: f64, y: f64| quadratic(m)(&[x, y], &mut [0.0; 2]);
    let check = |what: &str, (mean, sd): (f64, f64), (wrong, _): (f64, f64)| {
        assert!(mean < MEAN && sd < SD, "{what}: mean {mean}, sd {sd}");
        assert!(wrong > 2.0 * MEAN, "{what} without the determinant: mean {wrong}");
    };

    let sides = [(0.0, 1.0), (-0.5, 2.0)];
    let map = OpenBox::new(sides.to_vec()).unwrap();
    let exact = moments(value([0.9, 0.0]), sides, |_, _| true);
    let run = |wrong: bool| {
        let (start, target) = (uniform(60, sides), By(2, quadratic([0.9, 0.0])));
        if wrong { errors(NoDeterminant(map.clone()), target, start, exact) } else { errors(map.clone(), target, start, exact) }
    };
    check("box", run(false), run(true));

    let exact = moments(value([-0.2, 0.3]), [(0.0, 3.0), (0.0, 4.0)], |_, _| true);
    let run = |wrong: bool| {
        let (start, target) = (uniform(60, [(0.0, 1.0); 2]), By(2, quadratic([-0.2, 0.3])));
        if wrong {
            errors(NoDeterminant(PositiveOrthant), target, start, exact)
        } else {
            errors(PositiveOrthant, target, start, exact)
        }
    };
    check("orthant", run(false), run(true));

    let exact = moments(value([0.1, 0.7]), [(0.0, 1.0); 2], |x, y| x + y < 1.0);
    let run = |wrong: bool| {
        let (start, target) = (dirichlet_draws(&[2.0, 2.0, 2.0], 60, 3), By(2, quadratic([0.1, 0.7])));
        if wrong {
            errors(NoDeterminant(EntropicSimplex), target, start, exact)
        } else {
            errors(EntropicSimplex, target, start, exact)
        }
    };
    check("simplex", run(false), run(true));
}

/// Counts of four kinds, with a Dirichlet(1, 2, ½, 1) prior of their probabilities, and beside it Gamma(3, 2) and Uniform(-1, 4).
struct Counts;

struct Parameters<T> {
    shares: Vec<T>,
    rate: T,
    place: T,
}

impl Model for Counts {
    type Parameters<T: Real> = Parameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Parameters<T> {
        Parameters { shares: space.simplex("shares", 4), rate: space.positive("rate"), place: space.interval("place", -1.0, 4.0) }
    }

    fn log_prior<T: Real>(&self, p: &Parameters<T>, lp: &mut LogP<T>) {
        lp.dirichlet(&p.shares, &[1.0, 2.0, 0.5, 1.0]);
        lp.gamma(&p.rate, &3.0, &2.0);
        lp.uniform(&p.place, &-1.0, &4.0);
    }

    fn log_likelihood<T: Real>(&self, p: &Parameters<T>, lp: &mut LogP<T>) {
        for (share, count) in p.shares.iter().zip([6.0, 3.0, 1.0, 0.0]) {
            lp.add(share.ln() * count);
        }
    }
}

#[test]
fn the_same_posterior_through_the_transforms_of_a_model() {
    let alpha = [7.0, 5.0, 1.5, 1.0];
    let total: f64 = alpha.iter().sum();
    let plain = ParticleFlow::coin(Svgd::default()).n_particles(100).n_iterations(500).threads(Threads::serial());
    let draws = plain.run(&Counts, 1).unwrap().draws().unwrap();
    let mirrored = ParticleFlow::coin(MirroredSvgd::new(EntropicSimplex)).n_iterations(500).threads(Threads::serial());
    let start = CloudStart::Positions(dirichlet_draws(&[3.0; 4], 100, 1));
    let cloud = mirrored.start(start).run(&dirichlet(alpha.to_vec()), 1).unwrap().positions().to_owned();
    let shares = draws.mean("shares").unwrap();
    for k in 0..3 {
        let exact = alpha[k] / total;
        // A tenth of the largest standard deviation, 0.125.
        assert!((shares[[k]] - exact).abs() < 0.0125, "transforms, {k}: {}", shares[[k]]);
        assert!((cloud.column(k).mean().unwrap() - exact).abs() < 0.0125, "mirrored, {k}");
    }
    // Standard deviations are 0.87 and 1.44.
    assert!((draws.mean("rate").unwrap()[[]] - 1.5).abs() < 0.087);
    assert!((draws.mean("place").unwrap()[[]] - 1.5).abs() < 0.144);
}

#[test]
fn the_bits_do_not_depend_on_threads() {
    let target = dirichlet(vec![3.0, 1.0, 2.0, 0.8]);
    let run = |threads: usize| {
        let start = CloudStart::Positions(dirichlet_draws(&[2.0; 4], 150, 1));
        let flow = ParticleFlow::coin(MirroredSvgd::new(EntropicSimplex)).start(start).n_iterations(5);
        flow.threads(Threads::new(threads).unwrap()).run(&target, 1).unwrap().positions().to_owned()
    };
    let serial = run(1);
    assert!(run(2) == serial && run(4) == serial);
}

#[test]
fn bad_input_is_refused() {
    let begin = |map: &'static str, start: Array2<f64>| {
        let target = dirichlet(vec![2.0, 3.0, 1.0]);
        let start = CloudStart::Positions(start);
        match map {
            "simplex" => ParticleFlow::coin(MirroredSvgd::new(EntropicSimplex)).start(start).run(&target, 1).map(drop),
            "orthant" => ParticleFlow::coin(MirroredSvgd::new(PositiveOrthant)).start(start).run(&target, 1).map(drop),
            _ => {
                ParticleFlow::coin(MirroredSvgd::new(OpenBox::cube(0.0, 1.0, 2).unwrap())).start(start).run(&target, 1).map(drop)
            }
        }
    };
    for (map, start, expected) in [
        ("simplex", array![[0.2, 0.3], [0.4, 0.6]], "last probability"),
        ("simplex", array![[0.0, 0.3]], "primal coordinate 0"),
        ("simplex", array![[0.3, -0.1]], "primal coordinate 1"),
        ("orthant", array![[0.3, 0.0]], "primal coordinate 1"),
        ("box", array![[1.0, 0.5]], "primal coordinate 0"),
    ] {
        let error = begin(map, start).unwrap_err();
        assert!(matches!(&error, Error::OutsideSupport { variable, .. } if *variable == expected), "{error}");
    }

    for (bounds, name) in [((f64::NAN, 1.0), "lower bound"), ((0.0, f64::NAN), "upper bound"), ((1.0, 1.0), "upper bound")] {
        assert!(matches!(OpenBox::new(vec![bounds]), Err(Error::InvalidSetting { setting, .. }) if setting == name));
    }
    assert!(matches!(OpenBox::new(vec![]), Err(Error::Empty { .. })));
    assert!(matches!(OpenBox::new(vec![(1.0, 1.0_f64.next_up())]), Err(Error::InvalidSetting { .. })));
    let target = dirichlet(vec![2.0, 3.0, 1.0]);
    let wrong = MirroredSvgd::new(OpenBox::cube(0.0, 1.0, 3).unwrap());
    assert!(matches!(ParticleFlow::coin(wrong).run(&target, 1), Err(Error::Dimension { expected: 2, found: 3, .. })));
    let wrong = MirroredSvgd::new(EntropicSimplex).kernel(Kernel::Rbf(Bandwidth::Fixed(-1.0)));
    let start = CloudStart::Positions(array![[0.2, 0.3]]);
    let error = ParticleFlow::coin(wrong).start(start).run(&target, 1).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { setting: "bandwidth", .. }), "{error}");
}
