//! The kernel matrix against direct sums: sizes, scales, coinciding particles, threads.

use posterity::Error;
use posterity::parallel::Threads;
use posterity::parvi::{Bandwidth, Blob, Cloud, CloudDensity, CoordinateSvgd, Flow, Gfsd, Kernel, Ksdd, Svgd};
use posterity::rng::Stream;

/// A density that is known by its score.
pub(super) struct ByScore {
    dim: usize,
    score: fn(&[f64], &mut [f64]),
    threads: Threads,
}

impl CloudDensity for ByScore {
    fn dim(&self) -> usize {
        self.dim
    }

    fn scores(&mut self, positions: &[f64], out: &mut [f64]) -> Result<(), Error> {
        positions.chunks_exact(self.dim).zip(out.chunks_exact_mut(self.dim)).for_each(|(x, out)| (self.score)(x, out));
        Ok(())
    }

    fn hessian_vectors(&mut self, _: &[f64], _: &[f64], _: &mut [f64]) -> Result<(), Error> {
        unreachable!("no flow under test asks for Hessians")
    }

    fn threads(&self) -> &Threads {
        &self.threads
    }
}

/// A score without symmetry.
pub(super) fn skewed(x: &[f64], out: &mut [f64]) {
    for c in 0..x.len() {
        let next = x[(c + 1) % x.len()];
        out[c] = 0.7 * (c as f64 + 1.0).ln() - (1.0 + 0.1 * c as f64) * x[c] + 0.3 * next.sin();
    }
}

/// The directions of a flow on this density.
pub(super) fn directions_on(
    flow: &mut dyn Flow,
    positions: &[f64],
    dim: usize,
    score: fn(&[f64], &mut [f64]),
    threads: Threads,
) -> Result<Vec<f64>, Error> {
    let mut out = vec![f64::NAN; positions.len()];
    let cloud = Cloud { n_particles: positions.len() / dim, dim, positions };
    flow.validate(cloud.n_particles, dim)?;
    flow.directions(cloud, &mut ByScore { dim, score, threads }, &mut out)?;
    Ok(out)
}

pub(super) fn directions(flow: &mut dyn Flow, positions: &[f64], dim: usize) -> Vec<f64> {
    directions_on(flow, positions, dim, skewed, Threads::serial()).unwrap()
}

/// A cloud of two unequal groups, of the given scale around the given centre.
pub(super) fn cloud(n: usize, dim: usize, scale: f64, centre: f64) -> Vec<f64> {
    let mut random = Stream::new((1000 * n + dim) as u64);
    (0..n * dim)
        .map(|i| {
            let group = if (i / dim).is_multiple_of(3) { 2.0 } else { -0.5 };
            centre + scale * (group + (1.0 + (i % dim) as f64 / dim as f64) * random.normal())
        })
        .collect()
}

pub(super) fn squared_distance(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum()
}

/// h² by the definition, with a sort.
pub(super) fn squared_length(kernel: Kernel, positions: &[f64], dim: usize) -> f64 {
    let particles: Vec<&[f64]> = positions.chunks_exact(dim).collect();
    let n = particles.len();
    let (Kernel::Rbf(bandwidth) | Kernel::Imq(bandwidth)) = kernel else { unreachable!() };
    let mut distances: Vec<f64> = Vec::new();
    for i in 0..n {
        for j in 0..n {
            let counts = match bandwidth {
                Bandwidth::Fixed(h) => return h * h,
                Bandwidth::Median => true,
                _ => j < i,
            };
            if counts {
                distances.push(squared_distance(particles[i], particles[j]));
            }
        }
    }
    distances.sort_by(f64::total_cmp);
    let m = distances.len();
    let median = 0.5 * (distances[(m - 1) / 2] + distances[m / 2]);
    if matches!(kernel, Kernel::Rbf(_)) { median / (2.0 * (n as f64 + 1.0).ln()) } else { median }
}

/// The kernel and its slope -2 k'(D).
pub(super) fn kernel_and_slope(kernel: Kernel, distance: f64, h2: f64) -> (f64, f64) {
    match kernel {
        Kernel::Rbf(_) => {
            let k = (-0.5 * distance / h2).exp();
            (k, k / h2)
        }
        _ => ((1.0 + distance / h2).powf(-0.5), (1.0 + distance / h2).powf(-1.5) / h2),
    }
}

fn svgd_directly(kernel: Kernel, positions: &[f64], dim: usize) -> Vec<f64> {
    let n = positions.len() / dim;
    let h2 = squared_length(kernel, positions, dim);
    let mut out = vec![0.0; positions.len()];
    let mut score = vec![0.0; dim];
    for (x, out) in positions.chunks_exact(dim).zip(out.chunks_exact_mut(dim)) {
        for y in positions.chunks_exact(dim) {
            skewed(y, &mut score);
            let (k, slope) = kernel_and_slope(kernel, squared_distance(x, y), h2);
            for c in 0..dim {
                out[c] += (k * score[c] + slope * (x[c] - y[c])) / n as f64;
            }
        }
    }
    out
}

/// The largest difference, relative to the largest entry.
pub(super) fn difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let worst = found.iter().zip(expected).fold(0.0_f64, |worst, (a, b)| {
        assert!(a.is_finite());
        worst.max((a - b).abs())
    });
    worst / scale
}

const SIZES: [(usize, usize); 11] =
    [(2, 1), (2, 9), (3, 2), (20, 2), (65, 7), (64, 8), (100, 2), (128, 1), (129, 9), (150, 50), (20, 64)];

fn kernels() -> impl Iterator<Item = Kernel> {
    let bandwidths = [Bandwidth::Median, Bandwidth::MedianOfPairs, Bandwidth::Fixed(1.7)];
    bandwidths.into_iter().flat_map(|b| [Kernel::Rbf(b), Kernel::Imq(b)])
}

#[test]
fn directions_are_the_direct_sums() {
    for (n, dim) in SIZES {
        let positions = cloud(n, dim, 1.0, 0.0);
        for kernel in kernels() {
            let found = directions(&mut Svgd::new(kernel), &positions, dim);
            // Sums of up to 150 terms, that partly cancel.
            let error = difference(&found, &svgd_directly(kernel, &positions, dim));
            assert!(error < 1e-12, "{kernel}, {n} particles in {dim} dimensions: {error:e}");
        }
    }
}

#[test]
fn scales_and_offsets_cost_no_digits() {
    for (n, dim) in [(100, 2), (100, 30)] {
        for scale in [1e-3, 1.0, 1e3] {
            for centre in [0.0, 1e6] {
                let positions = cloud(n, dim, scale, centre);
                for kernel in [Kernel::Rbf(Bandwidth::Median), Kernel::Imq(Bandwidth::MedianOfPairs)] {
                    // Far scores are large: they are the same numbers on both sides.
                    let found = directions(&mut Svgd::new(kernel), &positions, dim);
                    let error = difference(&found, &svgd_directly(kernel, &positions, dim));
                    assert!(error < 1e-11, "{kernel}, d = {dim}, scale {scale}, centre {centre}: {error:e}");
                }
            }
        }
    }
}

#[test]
fn close_particles_far_from_others_keep_their_distances() {
    // Two groups of width 1e-3 at ±1e4: by norms and products alone, distances of 1e-5 would carry errors of 1e8 · 2e-16 · d.
    let dim = 20;
    let mut positions = cloud(80, dim, 1e-3, 0.0);
    positions[..40 * dim].iter_mut().for_each(|x| *x += 1e4);
    positions[40 * dim..].iter_mut().for_each(|x| *x -= 1e4);
    let kernel = Kernel::Rbf(Bandwidth::Fixed(4e-3));
    let zero: fn(&[f64], &mut [f64]) = |_, out| out.fill(0.0);
    let found = directions_on(&mut Svgd::new(kernel), &positions, dim, zero, Threads::serial()).unwrap();
    let mut expected = vec![0.0; positions.len()];
    for (x, out) in positions.chunks_exact(dim).zip(expected.chunks_exact_mut(dim)) {
        for y in positions.chunks_exact(dim) {
            let (_, slope) = kernel_and_slope(kernel, squared_distance(x, y), 4e-3_f64.powi(2));
            (0..dim).for_each(|c| out[c] += slope * (x[c] - y[c]) / 80.0);
        }
    }
    // Σ k (xᵢ - xⱼ) is taken as xᵢ Σ k - Σ k xⱼ, of size 1e4 for a result of 1e-3: 1e7 · 2e-16 and some.
    let error = difference(&found, &expected);
    assert!(error < 1e-7, "{error:e}");
}

#[test]
fn threads_do_not_change_the_bits() {
    for (n, dim) in [(200, 3), (200, 20)] {
        let positions = cloud(n, dim, 1.0, 0.0);
        for kernel in [Kernel::Rbf(Bandwidth::Median), Kernel::Imq(Bandwidth::Median)] {
            let mut flow = Svgd::new(kernel);
            let serial = directions(&mut flow, &positions, dim);
            for threads in [2, 4] {
                let threads = Threads::new(threads).unwrap();
                assert_eq!(directions_on(&mut flow, &positions, dim, skewed, threads).unwrap(), serial);
            }
            // Nor does what the flow did before.
            directions(&mut flow, &cloud(90, dim, 3.0, 1.0), dim);
            assert_eq!(directions(&mut flow, &positions, dim), serial);
        }
    }
}

#[test]
fn particles_that_coincide_are_no_obstacle() {
    for kernel in [Kernel::default(), Kernel::Rbf(Bandwidth::MedianOfPairs), Kernel::Imq(Bandwidth::Median)] {
        for dim in [2, 10] {
            // One particle, and many in one place: the score alone, since repulsion is 0.
            for n in [1, 7, 100] {
                let positions = vec![0.5; n * dim];
                let mut score = vec![0.0; dim];
                skewed(&positions[..dim], &mut score);
                let found = directions(&mut Svgd::new(kernel), &positions, dim);
                assert!(difference(&found, &score.repeat(n)) < 1e-13, "{kernel}, n = {n}");
            }
            // Nine of ten in one place: the median is 0, and the mean of the squared distances, 2 · 9/100 · 4 d, takes its place.
            let mut positions = vec![0.0; 10 * dim];
            positions[9 * dim..].fill(2.0);
            let found = directions(&mut Svgd::new(kernel), &positions, dim);
            let mean = 0.18 * 4.0 * dim as f64;
            let fixed = match kernel {
                Kernel::Imq(_) => Kernel::Imq(Bandwidth::Fixed(mean.sqrt())),
                _ => Kernel::Rbf(Bandwidth::Fixed((mean / (2.0 * 11_f64.ln())).sqrt())),
            };
            assert!(difference(&found, &svgd_directly(fixed, &positions, dim)) < 1e-12, "{kernel}");
        }
    }
}

#[test]
fn numbers_out_of_range_are_errors() {
    for h in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-200, 1e200] {
        for kernel in [Kernel::Rbf(Bandwidth::Fixed(h)), Kernel::Imq(Bandwidth::Fixed(h))] {
            let error = Svgd::new(kernel).validate(10, 2).unwrap_err();
            assert!(matches!(error, Error::InvalidSetting { setting: "bandwidth", .. }), "{error}");
        }
    }
    for dim in [2, 10] {
        let mut positions = vec![0.0; 5 * dim];
        positions[3 * dim] = 1e200;
        let found = directions_on(&mut Svgd::default(), &positions, dim, |_, out| out.fill(0.0), Threads::serial());
        // The mean is 2e199: every particle is far from it, the first one first.
        assert!(matches!(found, Err(Error::NotFinite { index: 0, .. })), "{found:?}");
    }
}

#[test]
fn numbers_of_particles_out_of_range_are_errors() {
    let flows: [Box<dyn Flow>; 5] = [
        Box::new(Svgd::default()),
        Box::new(CoordinateSvgd::default()),
        Box::new(Blob::default()),
        Box::new(Gfsd::default()),
        Box::new(Ksdd::default()),
    ];
    for flow in flows {
        assert!(matches!(flow.validate(0, 2), Err(Error::Empty { what: "particles" })));
        for n in [1 << 31, usize::MAX] {
            assert!(matches!(flow.validate(n, 2), Err(Error::InvalidSetting { setting: "n_particles", .. })), "{n}");
        }
        assert!(flow.validate(1, 2).is_ok());
    }
}

#[test]
fn names_say_which_kernel() {
    assert_eq!(Svgd::default().name(), "SVGD (RBF, median)");
    assert_eq!(Svgd::new(Kernel::Imq(Bandwidth::Fixed(0.5))).name(), "SVGD (IMQ, h = 0.5)");
}

#[test]
fn later_iterations_allocate_nothing() {
    for (n, dim) in [(100, 2), (200, 20)] {
        let positions = cloud(n, dim, 1.0, 0.0);
        let mut density = ByScore { dim, score: skewed, threads: Threads::serial() };
        let (mut flow, mut out) = (Svgd::default(), vec![0.0; n * dim]);
        let cloud = Cloud { n_particles: n, dim, positions: &positions };
        flow.directions(cloud, &mut density, &mut out).unwrap();
        let allocations = allocation_counter::measure(|| flow.directions(cloud, &mut density, &mut out).unwrap());
        assert_eq!(allocations.count_total, 0);
    }
}
