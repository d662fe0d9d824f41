//! Descent of the kernel Stein discrepancy against finite differences of its loss, and against the numbers of an independent implementation.

use ndarray::{Array2, array};
use posterity::model::zoo::EightSchoolsNoncentered;
use posterity::model::{Density, Target, WithGradient};
use posterity::parallel::Threads;
use posterity::parvi::{Bandwidth, Cloud, CloudDensity, CloudStart, Flow, Kernel, Ksdd, ParticleFlow};
use posterity::rng::Stream;
use posterity::{DensityError, Error};

use super::Golden;

/// A density in the plane by its log density and gradient.
struct Plane(fn(f64, f64) -> (f64, [f64; 2]));

impl Density for Plane {
    fn dim(&self) -> usize {
        2
    }

    fn log_density_gradient(&self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let (value, g) = (self.0)(x[0], x[1]);
        gradient.copy_from_slice(&g);
        Ok(value)
    }
}

/// Bent and skewed: its Hessian differs from place to place, and its third derivatives are not 0.
fn bent(x: f64, y: f64) -> (f64, [f64; 2]) {
    let a = y - 0.5 * x * x;
    (0.7 * x - 0.4 * x.exp() - a * a, [0.7 - 0.4 * x.exp() + 2.0 * a * x, -2.0 * a])
}

/// ½ N((-2, 2), ½ I) + ½ N((2, -2), ½ I)
fn mixture(x: f64, y: f64) -> (f64, [f64; 2]) {
    let (p, q) = (-(x + 2.0).powi(2) - (y - 2.0).powi(2), -(x - 2.0).powi(2) - (y + 2.0).powi(2));
    let top = p.max(q);
    let (p, q) = ((p - top).exp(), (q - top).exp());
    let share = p / (p + q);
    let pull = 4.0 * (1.0 - 2.0 * share);
    (top + (p + q).ln(), [-2.0 * x + pull, -2.0 * y - pull])
}

fn normal(n: usize, dim: usize, sd: f64, seed: u64) -> Array2<f64> {
    let mut stream = Stream::new(seed);
    Array2::from_shape_simple_fn((n, dim), || sd * stream.normal())
}

/// The largest error of the directions as the negative gradient of the loss, relative to the largest entry of the gradient.
fn gap<T: Target>(flow: &Ksdd, target: &T, positions: &Array2<f64>, directions: &[f64]) -> f64 {
    let (mut worst, mut largest) = (0.0_f64, 0.0_f64);
    // Truncation errs by about step², rounding by about 1e-16 / step of the loss.
    let step = 1e-5;
    for (index, direction) in directions.iter().enumerate() {
        let at = |by: f64| {
            let mut moved = positions.clone();
            moved.as_slice_mut().unwrap()[index] += by;
            flow.loss(target, moved.view()).unwrap()
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        worst = worst.max((slope + direction).abs());
        largest = largest.max(slope.abs());
    }
    worst / largest
}

fn directions<T: Target>(flow: &Ksdd, target: &T, positions: &Array2<f64>) -> Vec<f64> {
    let mut transport =
        ParticleFlow::coin(flow.clone()).start(CloudStart::Positions(positions.clone())).begin(target, 1).unwrap();
    transport.step().unwrap();
    transport.directions().to_vec()
}

#[test]
fn directions_are_the_negative_gradient_of_the_loss() {
    let target = WithGradient(Plane(bent));
    let model = EightSchoolsNoncentered::rubin();
    for kernel in [Kernel::Rbf(Bandwidth::Fixed(0.8)), Kernel::Imq(Bandwidth::Fixed(1.3))] {
        let flow = Ksdd::new(kernel);
        let positions = normal(6, 2, 0.9, 2);
        let found = gap(&flow, &target, &positions, &directions(&flow, &target, &positions));
        assert!(found < 1e-7, "{kernel:?}: {found}");
        let positions = normal(4, 10, 0.5, 3);
        let found = gap(&flow, &model, &positions, &directions(&flow, &model, &positions));
        assert!(found < 1e-7, "{kernel:?}, model: {found}");
    }
}

/// The bent density without its Hessian.
struct NoHessian;

impl CloudDensity for NoHessian {
    fn dim(&self) -> usize {
        2
    }

    fn scores(&mut self, positions: &[f64], out: &mut [f64]) -> Result<(), Error> {
        for (x, out) in positions.chunks_exact(2).zip(out.chunks_exact_mut(2)) {
            out.copy_from_slice(&bent(x[0], x[1]).1);
        }
        Ok(())
    }

    fn hessian_vectors(&mut self, _: &[f64], _: &[f64], out: &mut [f64]) -> Result<(), Error> {
        out.fill(0.0);
        Ok(())
    }

    fn threads(&self) -> &Threads {
        static SERIAL: std::sync::LazyLock<Threads> = std::sync::LazyLock::new(Threads::serial);
        &SERIAL
    }
}

#[test]
fn the_gradient_without_the_hessian_is_noticed() {
    let (mut flow, positions) = (Ksdd::default(), normal(6, 2, 0.9, 2));
    let cloud = Cloud { n_particles: 6, dim: 2, positions: positions.as_slice().unwrap() };
    let mut out = vec![0.0; 12];
    flow.directions(cloud, &mut NoHessian, &mut out).unwrap();
    assert!(gap(&flow, &WithGradient(Plane(bent)), &positions, &out) > 0.1);
}

/// 20 particles from N(0, 0.1² I).
fn coin() -> ParticleFlow<Ksdd> {
    let flow = ParticleFlow::coin(Ksdd::default()).n_particles(20).n_iterations(2000);
    flow.start(CloudStart::Normal { sd: 0.1 }).threads(Threads::serial())
}

#[test]
fn a_gaussian_is_found() {
    let target = WithGradient(Golden);
    for seed in 1..=3 {
        let positions = coin().run(&target, seed).unwrap().positions().to_owned();
        let loss = Ksdd::default().loss(&target, positions.view()).unwrap();
        // An independent implementation ends at 0.0015.
        assert!(loss < 0.003, "{loss}");
        for (column, (mean, variance)) in positions.columns().into_iter().zip([(-1.0, 4.0 / 11.0), (1.0, 12.0 / 11.0)]) {
            let found = column.mean().unwrap();
            assert!((found - mean).abs() < 0.01, "mean {found}");
            assert!((column.var(0.0) / variance - 1.0).abs() < 0.1, "variance {}", column.var(0.0));
        }
    }
}

#[test]
fn a_mixture_shows_what_the_documentation_warns_of() {
    let target = WithGradient(Plane(mixture));
    let end = |seed: u64, n_iterations: usize| {
        let positions = coin().n_iterations(n_iterations).run(&target, seed).unwrap().positions().to_owned();
        let left = positions.column(0).iter().filter(|x| **x < 0.0).count();
        (Ksdd::default().loss(&target, positions.view()).unwrap(), left)
    };
    // A cloud strewn between the modes: it stays where it is.
    let ((before, _), (after, left)) = (end(18, 1000), end(18, 2000));
    assert!(after > 0.15 && before < 1.05 * after && (3..18).contains(&left), "{before}, {after}, {left}");
    // All particles in one mode: the loss does not see it.
    let (loss, left) = end(10, 2000);
    assert!(loss < 0.002 && left == 0, "{loss}, {left}");
}

#[test]
fn one_particle_finds_the_mode() {
    let target = WithGradient(Golden);
    let start = CloudStart::Positions(array![[0.3, -0.4]]);
    for kernel in [Kernel::Rbf(Bandwidth::Median), Kernel::Imq(Bandwidth::MedianOfPairs)] {
        let flow = ParticleFlow::coin(Ksdd::new(kernel)).start(start.clone()).n_iterations(500);
        let found = flow.run(&target, 1).unwrap().positions().to_owned();
        assert!((found[[0, 0]] + 1.0).abs() < 1e-6 && (found[[0, 1]] - 1.0).abs() < 1e-6, "{found}");
    }
}

#[test]
fn the_bits_do_not_depend_on_threads() {
    // More particles than one block of pairs, and evaluations so slow that they are shared out: a cheap density is evaluated by one thread,
    // whatever is asked for.
    let target = WithGradient(Plane(|x, y| {
        std::thread::sleep(std::time::Duration::from_micros(5));
        bent(x, y)
    }));
    let run = |threads: usize| {
        let threads = Threads::new(threads).unwrap();
        let flow =
            ParticleFlow::coin(Ksdd::new(Kernel::Rbf(Bandwidth::Median))).n_particles(150).n_iterations(3).threads(threads);
        flow.run(&target, 4).unwrap().positions().to_owned()
    };
    let serial = run(1);
    assert!(run(2) == serial && run(4) == serial);
}

#[test]
fn bad_input_is_refused() {
    let target = WithGradient(Golden);
    let flow = Ksdd::default();
    let wrong = Ksdd::new(Kernel::Rbf(Bandwidth::Fixed(f64::NAN)));
    assert!(matches!(wrong.loss(&target, array![[0.0, 0.0]].view()), Err(Error::InvalidSetting { setting: "bandwidth", .. })));
    assert!(matches!(ParticleFlow::coin(wrong).run(&target, 1), Err(Error::InvalidSetting { setting: "bandwidth", .. })));
    assert!(matches!(flow.loss(&target, array![[0.0]].view()), Err(Error::Dimension { expected: 2, found: 1, .. })));
    assert!(matches!(flow.loss(&target, Array2::zeros((0, 2)).view()), Err(Error::Empty { .. })));
    let infinite = array![[0.0, 0.0], [f64::INFINITY, 0.0]];
    assert!(matches!(flow.loss(&target, infinite.view()), Err(Error::Particle { particle: 1, .. })));
}
