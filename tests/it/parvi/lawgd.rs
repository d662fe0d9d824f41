//! Laplacian-adjusted Wasserstein gradient descent against known eigenvalues, moments and quantiles.

use ndarray::{Array2, array};
use posterity::linalg::symmetric_eigen;
use posterity::model::zoo::EightSchoolsNoncentered;
use posterity::model::{Density, WithGradient};
use posterity::parallel::Threads;
use posterity::parvi::{Cloud, CloudDensity, CloudStart, Flow, Lawgd, LawgdConfig, ParticleFlow};
use posterity::rng::Stream;
use posterity::{DensityError, Error};

/// Weight · N(-2, ½) + (1 - weight) · N(2, ½)
#[derive(Clone, Copy)]
struct Mixture(f64);

impl Mixture {
    fn log_density(self, x: f64) -> (f64, f64) {
        let (p, q) = (self.0.ln() - (x + 2.0).powi(2), (1.0 - self.0).ln() - (x - 2.0).powi(2));
        let top = p.max(q);
        let (p, q) = ((p - top).exp(), (q - top).exp());
        (top + (p + q).ln(), (-2.0 * (x + 2.0) * p - 2.0 * (x - 2.0) * q) / (p + q))
    }

    /// The mean distance of the sorted particles from the quantiles at (i + ½) / N: their Wasserstein distance, nearly.
    fn distance(self, positions: &Array2<f64>) -> f64 {
        let mut particles: Vec<f64> = positions.iter().copied().collect();
        particles.sort_by(f64::total_cmp);
        let n = particles.len() as f64;
        let (step, mut x, mut below, mut total) = (1e-4, -9.0, 0.0, 0.0);
        let constant = std::f64::consts::PI.sqrt().recip();
        for (i, particle) in particles.iter().enumerate() {
            while below < (i as f64 + 0.5) / n {
                below += constant * self.log_density(x + 0.5 * step).0.exp() * step;
                x += step;
            }
            total += (particle - x).abs() / n;
        }
        total
    }
}

/// A density on the line by its log density and slope.
struct Line<F>(F);

impl<F: Fn(f64) -> (f64, f64) + Sync> Density for Line<F> {
    fn dim(&self) -> usize {
        1
    }

    fn log_density_gradient(&self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let (value, slope) = (self.0)(x[0]);
        gradient[0] = slope;
        Ok(value)
    }
}

fn mixture(weight: f64) -> WithGradient<Line<impl Fn(f64) -> (f64, f64) + Sync>> {
    WithGradient(Line(move |x| Mixture(weight).log_density(x)))
}

fn normal() -> WithGradient<Line<impl Fn(f64) -> (f64, f64) + Sync>> {
    WithGradient(Line(|x: f64| (-0.5 * x * x, -x)))
}

/// N(1, 1): on one side of both mixtures.
fn start(n: usize, seed: u64) -> CloudStart {
    let mut stream = Stream::new(seed);
    CloudStart::Positions(Array2::from_shape_simple_fn((n, 1), || 1.0 + stream.normal()))
}

#[test]
fn eigenvalues_and_eigenfunctions_of_a_normal_distribution() {
    let flow = Lawgd::new(&normal(), &LawgdConfig::default().bounds(-6.0, 6.0).n_nodes(128)).unwrap();
    for (k, found) in flow.eigenvalues()[..5].iter().enumerate() {
        let exact = (k + 1) as f64;
        assert!((found - exact).abs() < 5e-3, "{found} is not {exact}");
    }
    // Hermite polynomials by √k!, up to sign: orthonormal under the density, not under the sum over nodes.
    for x in [-1.7_f64, -0.3, 0.4, 1.1, 2.5] {
        let found = flow.eigenfunctions(x);
        let exact = [x, (x * x - 1.0) / 2.0_f64.sqrt(), (x.powi(3) - 3.0 * x) / 6.0_f64.sqrt()];
        for (found, exact) in found.iter().zip(exact) {
            assert!((found.abs() - exact.abs()).abs() < 0.02, "{found} is not {exact} at {x}");
        }
    }
}

#[test]
fn a_mixture_started_in_one_mode_gets_both() {
    for (weight, mean, variance) in [(0.5, 0.0, 4.5), (0.3, 0.8, 3.86)] {
        let target = mixture(weight);
        let flow = Lawgd::new(&target, &LawgdConfig::default().bounds(-6.0, 6.0)).unwrap();
        let coin = ParticleFlow::coin(flow).n_iterations(2000).threads(Threads::serial());
        for seed in 1..=3 {
            let positions = coin.clone().start(start(50, seed)).run(&target, seed).unwrap().positions().to_owned();
            let (found, spread) = (positions.mean().unwrap(), positions.var(0.0));
            assert!((found - mean).abs() < 0.05, "{weight}: mean {found}");
            assert!((spread - variance).abs() < 0.1, "{weight}: variance {spread}");
            let left = positions.iter().filter(|x| **x < 0.0).count() as f64;
            assert_eq!(left, 50.0 * weight, "weight of the left mode");
            // 50 independent draws are 0.318 away on average for weights ½.
            let distance = Mixture(weight).distance(&positions);
            assert!(distance < 0.2, "{weight}: distance {distance}");
        }
    }
}

#[test]
fn bounds_are_found_whatever_the_scale_and_place() {
    for (centre, scale) in [(0.0, 1.0), (-3e4, 1e-3), (70.0, 1e3)] {
        let target = WithGradient(Line(move |x: f64| {
            let z = (x - centre) / scale;
            (-0.5 * z * z, -z / scale)
        }));
        let flow = Lawgd::new(&target, &LawgdConfig::default()).unwrap();
        // The log density falls by 20 at √40 standard deviations.
        let (lower, upper) = flow.bounds();
        for (found, exact) in [((lower - centre) / scale, -40.0_f64.sqrt()), ((upper - centre) / scale, 40.0_f64.sqrt())] {
            assert!((found - exact).abs() < 1e-4, "{found} is not {exact}");
        }
        assert!((flow.eigenvalues()[0] * scale * scale - 1.0).abs() < 1e-3);
    }
    let (lower, upper) = Lawgd::new(&mixture(0.3), &LawgdConfig::default()).unwrap().bounds();
    assert!(lower < -6.0 && upper > 6.0, "{lower}, {upper}");
}

#[test]
fn a_particle_beyond_the_grid_comes_back() {
    let flow = Lawgd::new(&mixture(0.3), &LawgdConfig::default().bounds(-6.0, 6.0)).unwrap();
    let start = CloudStart::Positions(array![[-9.0], [-1.0], [0.5], [2.0], [40.0]]);
    let positions =
        ParticleFlow::coin(flow).start(start).n_iterations(2000).run(&mixture(0.3), 1).unwrap().positions().to_owned();
    assert!(positions.iter().all(|x| x.abs() < 4.0), "{positions}");
}

/// LAWGD as published: a constant potential, of the first node.
#[derive(Debug, Clone)]
struct Published {
    nodes: Vec<f64>,
    eigenvalues: Vec<f64>,
    functions: Array2<f64>,
}

impl Published {
    fn new(weight: f64) -> Self {
        let nodes: Vec<f64> = (0..128).map(|i| -6.0 + 12.0 * f64::from(i) / 127.0).collect();
        let step = nodes[1] - nodes[0];
        let density = |x: f64| Mixture(weight).log_density(x);
        let slope = |x: f64| density(x).1;
        let curvature = (slope(nodes[0] + 1e-4) - slope(nodes[0] - 1e-4)) / 2e-4;
        let potential = 0.25 * (slope(nodes[0]).powi(2) + 2.0 * curvature);
        let operator = Array2::from_shape_fn((128, 128), |(i, j)| match i.abs_diff(j) {
            0 => 2.0 / (step * step) + potential,
            1 => -1.0 / (step * step),
            _ => 0.0,
        });
        let eigen = symmetric_eigen(operator.view()).unwrap();
        let functions = Array2::from_shape_fn((128, 31), |(i, k)| eigen.vectors[[i, k]] / (0.5 * density(nodes[i]).0).exp());
        Self { nodes, eigenvalues: eigen.values.to_vec(), functions }
    }

    fn node(&self, x: f64) -> usize {
        (((x + 6.0) / (self.nodes[1] - self.nodes[0])).round().clamp(1.0, 126.0)) as usize
    }
}

impl Flow for Published {
    fn name(&self) -> String {
        "published LAWGD".to_owned()
    }

    fn validate(&self, _: usize, _: usize) -> Result<(), Error> {
        Ok(())
    }

    fn directions(&mut self, cloud: Cloud<'_>, _: &mut dyn CloudDensity, out: &mut [f64]) -> Result<(), Error> {
        let n = cloud.n_particles as f64;
        for (&x, out) in cloud.positions.iter().zip(out) {
            let i = self.node(x);
            *out = 0.0;
            for k in 1..31 {
                let mean = cloud.positions.iter().map(|&y| self.functions[[self.node(y), k]]).sum::<f64>() / n;
                *out -= (self.functions[[i + 1, k]] - self.functions[[i - 1, k]]) * mean / self.eigenvalues[k];
            }
        }
        Ok(())
    }
}

#[test]
fn the_published_constant_potential_is_noticed() {
    /// The variance and how many are left of 0; true are 4.5 and half.
    fn ends<F: Flow + Clone>(flow: F) -> (f64, usize) {
        let coin = ParticleFlow::coin(flow).n_iterations(300).start(start(50, 1)).threads(Threads::serial());
        let positions = coin.run(&mixture(0.5), 1).unwrap().positions().to_owned();
        (positions.var(0.0), positions.iter().filter(|x| **x < 0.0).count())
    }
    let (variance, left) = ends(Published::new(0.5));
    assert!((variance - 4.5).abs() > 0.5 && left < 20, "variance {variance}, {left} left");
    let config = LawgdConfig::default().bounds(-6.0, 6.0).n_nodes(128);
    let (variance, left) = ends(Lawgd::new(&mixture(0.5), &config).unwrap());
    assert!((variance - 4.5).abs() < 0.1 && left == 25, "variance {variance}, {left} left");
}

#[test]
fn a_grid_that_misses_the_mass_is_refused() {
    let refused = |error: Error| assert!(matches!(error, Error::InvalidSetting { setting: "n_nodes", .. }), "{error}");
    let config = LawgdConfig::default();
    // Tails that fall by 20 at ±22026, where nodes are 173 apart.
    let cauchy = WithGradient(Line(|x: f64| (-(x * x).ln_1p(), -2.0 * x / (1.0 + x * x))));
    refused(Lawgd::new(&cauchy, &config).unwrap_err());
    for n_nodes in [256, 257] {
        refused(Lawgd::new(&cauchy, &config.bounds(-22026.0, 22026.0).n_nodes(n_nodes)).unwrap_err());
    }
    assert!(Lawgd::new(&cauchy, &config.bounds(-50.0, 50.0)).is_ok());
    // Steps of 1.7 standard deviations, with which λ₁ would be 0.62.
    let coarse = config.bounds(-6.0, 6.0).n_eigen(2);
    refused(Lawgd::new(&normal(), &coarse.n_nodes(8)).unwrap_err());
    let eigenvalue = Lawgd::new(&normal(), &coarse.n_nodes(32)).unwrap().eigenvalues()[0];
    assert!((eigenvalue - 1.0).abs() < 0.1, "{eigenvalue}");
    // ½ N(0, 1) + ½ N(0, 0.001²): between smooth nodes 0.04 apart, half of the mass.
    let spike = WithGradient(Line(|x: f64| {
        let (wide, narrow) = ((-0.5 * x * x).exp(), 1e3 * (-0.5e6 * x * x).exp());
        ((wide + narrow).ln(), -x * (wide + 1e6 * narrow) / (wide + narrow))
    }));
    refused(Lawgd::new(&spike, &config).unwrap_err());
}

#[test]
fn bad_input_is_refused() {
    let refused = |config: LawgdConfig, name: &str| {
        let error = Lawgd::new(&normal(), &config).unwrap_err();
        assert!(matches!(&error, Error::InvalidSetting { setting, .. } if *setting == name), "{error}");
    };
    let config = LawgdConfig::default();
    refused(config.bounds(f64::NAN, 1.0), "lower bound of the grid");
    refused(config.bounds(1.0, 1.0), "upper bound of the grid");
    refused(config.n_nodes(3).n_eigen(1), "n_nodes");
    refused(config.n_eigen(0), "n_eigen");
    refused(config.n_nodes(40).n_eigen(21), "n_eigen");
    // 72 below the mode at the ends; then 4 nodes too far apart.
    refused(config.bounds(-12.0, 12.0), "node of the grid");
    refused(config.bounds(-9.0, 9.0).n_nodes(4).n_eigen(1), "n_nodes");

    let flat = WithGradient(Line(|_| (0.0, 0.0)));
    assert!(matches!(Lawgd::new(&flat, &config), Err(Error::InvalidSetting { setting: "bounds of the grid", .. })));
    let far = WithGradient(Line(|x: f64| (-(x * x - 49.0).powi(2) / 40.0, -x * (x * x - 49.0) / 10.0)));
    let error = Lawgd::new(&far, &config.bounds(-8.5, 8.5)).unwrap_err();
    assert!(
        matches!(error, Error::InvalidSetting { setting: "node of the grid" | "first eigenvalue of the grid", .. }),
        "{error}"
    );
    let half = WithGradient(Line(|x: f64| if x > 0.0 { (-x, -1.0) } else { (f64::NEG_INFINITY, 0.0) }));
    assert!(matches!(Lawgd::new(&half, &config), Err(Error::OutsideSupport { value: 0.0, .. })));
    assert!(matches!(Lawgd::new(&half, &config.bounds(-1.0, 9.0)), Err(Error::OutsideSupport { value: -1.0, .. })));

    let schools = EightSchoolsNoncentered::rubin();
    assert!(matches!(Lawgd::new(&schools, &config), Err(Error::Dimension { expected: 1, found: 10, .. })));
    let flow = Lawgd::new(&normal(), &config).unwrap();
    assert!(matches!(ParticleFlow::coin(flow).run(&schools, 1), Err(Error::Dimension { expected: 1, found: 10, .. })));
}
