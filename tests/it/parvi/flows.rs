//! Flows against direct sums, finite differences of what they descend, and Gaussians.

use ndarray::Array2;
use posterity::DensityError;
use posterity::model::{Density, WithGradient};
use posterity::parallel::Threads;
use posterity::parvi::{Bandwidth, Blob, CoordinateSvgd, Flow, Gfsd, Kernel, ParticleFlow, Particles, Svgd, Warning};

use super::Golden;
use super::kernels::{cloud, difference, directions, directions_on, kernel_and_slope, skewed, squared_distance, squared_length};

/// Sums over pairs by the definition: for every particle the score and Σⱼ weight(i, j, ρ) gᵢⱼ (xᵢ - xⱼ), where ρᵢ = Σⱼ kᵢⱼ.
fn directly(kernel: Kernel, positions: &[f64], dim: usize, weight: fn(usize, usize, &[f64]) -> f64) -> Vec<f64> {
    let h2 = squared_length(kernel, positions, dim);
    let particles: Vec<&[f64]> = positions.chunks_exact(dim).collect();
    let pair = |x: &[f64], y: &[f64]| kernel_and_slope(kernel, squared_distance(x, y), h2);
    let sums: Vec<f64> = particles.iter().map(|x| particles.iter().map(|y| pair(x, y).0).sum()).collect();
    let mut out = vec![0.0; positions.len()];
    for (i, out) in out.chunks_exact_mut(dim).enumerate() {
        skewed(particles[i], out);
        for (j, y) in particles.iter().enumerate() {
            let slope = pair(particles[i], y).1;
            (0..dim).for_each(|c| out[c] += weight(i, j, &sums) * slope * (particles[i][c] - y[c]));
        }
    }
    out
}

#[test]
fn gfsd_and_blob_are_their_direct_sums() {
    for (n, dim) in [(1, 2), (3, 2), (70, 3), (130, 12)] {
        let positions = cloud(n, dim, 1.0, 0.0);
        for bandwidth in [Bandwidth::Median, Bandwidth::Fixed(1.3)] {
            // The median of one particle is 0.
            if n == 1 && bandwidth == Bandwidth::Median {
                continue;
            }
            let kernel = Kernel::Rbf(bandwidth);
            let gfsd = directly(kernel, &positions, dim, |i, _, sums| 1.0 / sums[i]);
            let error = difference(&directions(&mut Gfsd::new(bandwidth), &positions, dim), &gfsd);
            assert!(error < 1e-12, "GFSD, {kernel}, n = {n}: {error:e}");
            let blob = directly(kernel, &positions, dim, |i, j, sums| 1.0 / sums[i] + 1.0 / sums[j]);
            let error = difference(&directions(&mut Blob::new(bandwidth), &positions, dim), &blob);
            assert!(error < 1e-12, "blob, {kernel}, n = {n}: {error:e}");
        }
    }
}

/// Central differences of a function of the positions.
fn gradient(f: impl Fn(&[f64]) -> f64, positions: &[f64]) -> Vec<f64> {
    let mut x = positions.to_vec();
    (0..x.len())
        .map(|i| {
            let step = 1e-5;
            let at = x[i];
            x[i] = at + step;
            let up = f(&x);
            x[i] = at - step;
            let down = f(&x);
            x[i] = at;
            (up - down) / (2.0 * step)
        })
        .collect()
}

/// -log of an asymmetric density up to a constant: ½ x'Px - b'x with the score below.
fn potential(x: &[f64]) -> f64 {
    0.5 * (3.0 * x[0] * x[0] - x[0] * x[1] + x[1] * x[1]) + 0.25 * x[0].powi(4) - x[1]
}

fn potential_score(x: &[f64], out: &mut [f64]) {
    out[0] = -(3.0 * x[0] - 0.5 * x[1] + x[0].powi(3));
    out[1] = -(-0.5 * x[0] + x[1]) + 1.0;
}

fn log_mean_kernel(kernel: Kernel, h2: f64, x: &[f64], positions: &[f64]) -> f64 {
    let values = positions.chunks_exact(2).map(|y| kernel_and_slope(kernel, squared_distance(x, y), h2).0);
    (values.sum::<f64>() / (positions.len() / 2) as f64).ln()
}

#[test]
fn blob_descends_its_functional_and_gfsd_the_smoothed_density() {
    let n = 9;
    let positions = cloud(n, 2, 0.8, 0.1);
    let bandwidth = Bandwidth::Fixed(0.7);
    let (kernel, h2) = (Kernel::Rbf(bandwidth), 0.49);
    let run = |flow: &mut dyn Flow| directions_on(flow, &positions, 2, potential_score, Threads::serial()).unwrap();

    let functional = |x: &[f64]| -> f64 {
        x.chunks_exact(2).map(|particle| log_mean_kernel(kernel, h2, particle, x) + potential(particle)).sum::<f64>() / n as f64
    };
    let expected: Vec<f64> = gradient(functional, &positions).iter().map(|g| -(n as f64) * g).collect();
    // Central differences with steps of 1e-5 are right to about 1e-10.
    let error = difference(&run(&mut Blob::new(bandwidth)), &expected);
    assert!(error < 1e-8, "blob: {error:e}");

    let descent = |x: &[f64]| -> f64 {
        x.chunks_exact(2).map(|particle| log_mean_kernel(kernel, h2, particle, &positions) + potential(particle)).sum()
    };
    let expected: Vec<f64> = gradient(descent, &positions).iter().map(|g| -g).collect();
    let error = difference(&run(&mut Gfsd::new(bandwidth)), &expected);
    assert!(error < 1e-8, "GFSD: {error:e}");
}

#[test]
fn one_coordinate_is_svgd_in_one_dimension() {
    let positions = cloud(70, 1, 1.0, 3.0);
    assert_eq!(directions(&mut CoordinateSvgd::default(), &positions, 1), directions(&mut Svgd::default(), &positions, 1));
    // And in three dimensions each coordinate sees its own distances and scores only.
    let positions = cloud(40, 3, 1.0, 3.0);
    let found = directions(&mut CoordinateSvgd::default(), &positions, 3);
    let column = |c: usize| positions.iter().skip(c).step_by(3).copied().collect::<Vec<f64>>();
    for c in 0..3 {
        let x = column(c);
        let h2 = squared_length(Kernel::default(), &x, 1);
        let mut score = [0.0; 3];
        let expected: Vec<f64> = x
            .iter()
            .map(|&x_i| {
                let terms = positions.chunks_exact(3).map(|y| {
                    skewed(y, &mut score);
                    let (k, slope) = kernel_and_slope(Kernel::default(), (x_i - y[c]).powi(2), h2);
                    k * score[c] + slope * (x_i - y[c])
                });
                terms.sum::<f64>() / 40.0
            })
            .collect();
        let found: Vec<f64> = found.iter().skip(c).step_by(3).copied().collect();
        assert!(difference(&found, &expected) < 1e-12);
    }
}

/// N(mean, P⁻¹).
struct Gaussian {
    mean: Vec<f64>,
    precision: Array2<f64>,
}

impl Gaussian {
    /// Standard deviations 1 and correlation r between neighbours in two dimensions.
    fn correlated(r: f64) -> Self {
        let det = 1.0 - r * r;
        Self { mean: vec![1.0, -2.0], precision: ndarray::array![[1.0 / det, -r / det], [-r / det, 1.0 / det]] }
    }

    fn independent(dim: usize) -> Self {
        Self { mean: vec![1.0; dim], precision: Array2::eye(dim) }
    }
}

impl Density for Gaussian {
    fn dim(&self) -> usize {
        self.mean.len()
    }

    fn log_density_gradient(&self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let mut value = 0.0;
        for (i, row) in self.precision.rows().into_iter().enumerate() {
            gradient[i] = -row.iter().zip(x).zip(&self.mean).map(|((p, x), mean)| p * (x - mean)).sum::<f64>();
            value += 0.5 * gradient[i] * (x[i] - self.mean[i]);
        }
        Ok(value)
    }
}

/// Means and covariance (over N) of the particles.
fn moments(particles: &Particles) -> (Vec<f64>, Array2<f64>) {
    let positions = particles.positions();
    let n = positions.nrows() as f64;
    let mean = positions.sum_axis(ndarray::Axis(0)) / n;
    let centred = &positions - &mean;
    (mean.to_vec(), centred.t().dot(&centred) / n)
}

fn coin(flow: impl Flow + Clone, target: impl Density, n: usize, iterations: usize) -> Particles {
    coin_from(3, flow, target, n, iterations)
}

fn coin_from(seed: u64, flow: impl Flow + Clone, target: impl Density, n: usize, iterations: usize) -> Particles {
    ParticleFlow::coin(flow).n_particles(n).n_iterations(iterations).run(&WithGradient(target), seed).unwrap()
}

/// Variances over those of the target.
fn ratios(particles: &Particles, variances: &[f64]) -> Vec<f64> {
    let (_, covariance) = moments(particles);
    variances.iter().enumerate().map(|(i, v)| covariance[[i, i]] / v).collect()
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn correlation(particles: &Particles) -> f64 {
    let (_, covariance) = moments(particles);
    covariance[[0, 1]] / (covariance[[0, 0]] * covariance[[1, 1]]).sqrt()
}

/// Variances of the Gaussian of the golden traces.
const GOLDEN: [f64; 2] = [1.0 / 2.75, 3.0 / 2.75];

fn close_to_golden_mean(particles: &Particles) {
    let (found, _) = moments(particles);
    assert!((found[0] + 1.0).abs() < 3e-3 && (found[1] - 1.0).abs() < 3e-3, "{found:?}");
}

/// Coin SVGD on the golden Gaussian from several starts.
fn check_moments(n: usize, seeds: std::ops::RangeInclusive<u64>, expected: f64, tolerance: f64) {
    for seed in seeds {
        let particles = coin_from(seed, Svgd::default(), Golden, n, 1000);
        close_to_golden_mean(&particles);
        for ratio in ratios(&particles, &GOLDEN) {
            assert!((ratio - expected).abs() < tolerance, "{n} particles from start {seed}: {ratio}");
        }
        assert!((correlation(&particles) - 0.5 / 3_f64.sqrt()).abs() < 0.01);
    }
}

/// Expected are the numbers of an independent implementation. Those of five starts lie between 0.762 and 0.769 with 20 particles, and 0.919 and 0.929
/// with 100; correlations between 0.286 and 0.290 around 0.2887, means within 4e-4 of the target's.
#[test]
fn moments_of_coin_svgd() {
    check_moments(20, 1..=5, 0.77, 0.03);
    check_moments(100, 1..=2, 0.92, 0.02);
}

/// As above: five starts lie between 0.950 and 0.957.
#[test]
fn moments_of_coin_svgd_with_200_particles() {
    check_moments(200, 3..=3, 0.95, 0.015);
}

#[test]
fn variances_of_svgd_collapse_and_a_warning_says_so() {
    // The same; at d = 50 from 0.06 to 0.09.
    for (dim, expected) in [(2, 0.870), (5, 0.643), (10, 0.274), (20, 0.184), (50, 0.077)] {
        let particles = coin(Svgd::default(), Gaussian::independent(dim), 50, 400);
        let found = mean(&ratios(&particles, &vec![1.0; dim]));
        assert!((found / expected - 1.0).abs() < 0.06, "{found} in {dim} dimensions, not {expected}");
        let warnings = particles.warnings();
        assert!(matches!(warnings[..], [Warning::FewParticles { n_particles: 50, .. }]), "{warnings:?}");
        let text = warnings[0].to_string();
        assert!(text.contains("too small") && text.contains("IMQ"), "{text}");
        // 10 e⁵⁰ particles are no advice.
        assert_eq!(text.contains("or more"), dim < 10, "{text}");
    }
}

#[test]
fn enough_particles_leave_nine_tenths_and_no_warning() {
    let check = |particles: Particles| {
        let dim = particles.positions().ncols();
        let found = mean(&ratios(&particles, &vec![1.0; dim]));
        assert!(particles.warnings().is_empty());
        // The numbers asked for were fitted to 0.9; what they give was found between 0.89 and 0.91 for SVGD.
        assert!((found - 0.9).abs() < 0.03, "{found} in {dim} dimensions");
    };
    check(coin(Svgd::default(), Gaussian::independent(1), 28, 400));
    check(coin(Svgd::default(), Gaussian::independent(3), 201, 400));
    let imq = Kernel::Imq(Bandwidth::Median);
    check(coin(Svgd::new(imq), Gaussian::independent(1), 12, 400));
    check(coin(Svgd::new(imq), Gaussian::independent(20), 145, 300));
    check(coin(Blob::default(), Gaussian::independent(2), 50, 400));
    check(coin(CoordinateSvgd::default(), Gaussian::independent(20), 28, 300));
    check(coin(CoordinateSvgd::new(imq), Gaussian::independent(3), 12, 300));
}

#[test]
fn other_kernels_keep_variances_in_many_dimensions() {
    let coordinates = coin(CoordinateSvgd::default(), Gaussian::independent(50), 50, 300);
    let found = ratios(&coordinates, &[1.0; 50]);
    let (least, largest) = found.iter().fold((f64::INFINITY, 0.0_f64), |(l, h), &x| (l.min(x), h.max(x)));
    // Measured 0.936 in each; SVGD leaves 0.077.
    assert!(least > 0.92 && largest < 0.95, "{least} to {largest}");
    let imq = coin(Svgd::new(Kernel::Imq(Bandwidth::Median)), Gaussian::independent(50), 50, 400);
    // Measured 0.59.
    assert!(mean(&ratios(&imq, &[1.0; 50])) > 0.5);
}

#[test]
fn a_kernel_per_coordinate_loses_correlations() {
    let svgd = coin(Svgd::default(), Gaussian::correlated(0.9), 100, 1000);
    let coordinates = coin(CoordinateSvgd::default(), Gaussian::correlated(0.9), 100, 1000);
    assert!((correlation(&svgd) - 0.9).abs() < 0.01 && mean(&ratios(&svgd, &[1.0; 2])) > 0.9);
    // A mean-field approximation has correlation 0 and variances 0.19.
    assert!(correlation(&coordinates).abs() < 0.4 && mean(&ratios(&coordinates, &[1.0; 2])) < 0.3);
}

#[test]
fn gfsd_leaves_what_smoothing_adds() {
    // At rest the smoothed cloud has the target's covariance Σ, and the cloud Σ - h² I. A finite cloud falls short by a share that halves as
    // particles double: 0.036, 0.019 and 0.010 were measured with 75, 150 and 300.
    let h = 0.5;
    let particles = coin(Gfsd::new(Bandwidth::Fixed(h)), Golden, 150, 1000);
    close_to_golden_mean(&particles);
    let (_, covariance) = moments(&particles);
    let expected = ndarray::array![[1.0 / 2.75 - h * h, 0.5 / 2.75], [0.5 / 2.75, 3.0 / 2.75 - h * h]];
    for (found, expected) in covariance.iter().zip(&expected) {
        assert!((found / expected - 1.0).abs() < 0.03, "{covariance}");
    }
}

#[test]
fn blob_on_an_asymmetric_gaussian() {
    for seed in 1..=3 {
        let particles = coin_from(seed, Blob::default(), Golden, 100, 1000);
        close_to_golden_mean(&particles);
        let found = ratios(&particles, &GOLDEN);
        // Eight starts lie between 0.837 and 0.839, and 0.965 and 0.966.
        assert!((found[0] - 0.838).abs() < 0.01 && (found[1] - 0.9655).abs() < 0.005, "start {seed}: {found:?}");
    }
}

#[test]
fn numbers_of_particles_are_wanted_by_medians_only() {
    let fixed = Bandwidth::Fixed(1.0);
    let check = |by_median: &dyn Flow, fixed: &dyn Flow, wanted: usize| {
        assert_eq!((by_median.particles_wanted(1), fixed.particles_wanted(1)), (Some(wanted), None));
    };
    check(&Svgd::default(), &Svgd::new(Kernel::Rbf(fixed)), 28);
    check(&CoordinateSvgd::default(), &CoordinateSvgd::new(Kernel::Rbf(fixed)), 28);
    check(&Blob::default(), &Blob::new(fixed), 10);
    check(&Gfsd::default(), &Gfsd::new(fixed), usize::MAX);
    let particles = coin(Svgd::new(Kernel::Rbf(fixed)), Gaussian::independent(1), 20, 400);
    let found = ratios(&particles, &[1.0])[0];
    assert!(found > 0.95 && particles.warnings().is_empty(), "{found}");
}

#[test]
fn warnings_do_not_advise_what_is_in_use() {
    let imq = Kernel::Imq(Bandwidth::Median);
    let text = |flow: &dyn Flow, dim: usize| {
        let wanted = flow.particles_wanted(dim).unwrap();
        Warning::FewParticles { n_particles: 5, dim, wanted }.to_string()
    };
    for dim in [1, 2, 10, 100, 20_000] {
        for flow in [&Svgd::new(imq) as &dyn Flow, &CoordinateSvgd::default(), &CoordinateSvgd::new(imq)] {
            let text = text(flow, dim);
            assert!(text.ends_with("or more"), "{}: {text}", flow.name());
        }
    }
    assert!(
        text(&Svgd::default(), 3)
            .ends_with("take 201 or more, or SVGD with the IMQ kernel, or with a kernel per coordinate if correlations are weak")
    );
    assert!(text(&Gfsd::default(), 3).contains("take SVGD with the IMQ kernel"));
}

#[test]
fn no_iteration_is_no_move() {
    let at_start = coin(Svgd::default(), Golden, 20, 0);
    assert_eq!(at_start.largest_move(), None);
    assert!(coin(Svgd::default(), Golden, 20, 1).largest_move().is_some());
}

#[test]
fn flows_do_not_depend_on_threads() {
    let positions = cloud(150, 3, 1.0, 0.0);
    let flows: [Box<dyn Flow>; 3] =
        [Box::new(Gfsd::default()), Box::new(Blob::default()), Box::new(CoordinateSvgd::new(Kernel::Imq(Bandwidth::Median)))];
    for mut flow in flows {
        let mut run = |threads: usize| directions_on(&mut *flow, &positions, 3, skewed, Threads::new(threads).unwrap()).unwrap();
        let serial = run(1);
        assert_eq!(run(2), serial);
        assert_eq!(run(4), serial);
    }
}
