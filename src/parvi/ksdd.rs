//! Descent of the kernel Stein discrepancy.

use ndarray::ArrayView2;

use super::density::{CloudDensity, TargetDensity};
use super::flow::{Cloud, Flow};
use super::kernel::{Bandwidth, Kernel};
use super::radial::{Distances, Radial, squared_distance};
use crate::error::Error;
use crate::model::Target;
use crate::parallel::Threads;

/// Kernel Stein discrepancy descent: every particle goes down the gradient of the cloud's squared kernel Stein discrepancy.
///
/// ```text
/// F  = 1/N² Σᵢⱼ uᵢⱼ,     uᵢⱼ = κ sᵢ·sⱼ - 2κ' (sᵢ - sⱼ)·r - 2d κ' - 4κ'' D,     r = xᵢ - xⱼ,   D = |r|²,   s = ∇ log π
/// φᵢ = -∂F/∂xᵢ = -2/N² (Hᵢ wᵢ + Σⱼ 2κ' (sᵢ·sⱼ) r - 2κ' (sᵢ - sⱼ) - (4κ'' (sᵢ - sⱼ)·r + 4(d + 2) κ'' + 8κ''' D) r)
/// wᵢ = Σⱼ κ sⱼ - 2κ' r,     Hᵢ = ∇² log π(xᵢ)
/// ```
/// κ(D) is the kernel; by default RBF of the fixed length h = 1, so of variance h² = 1, which suits targets of few coordinates with scales of
/// about one; in ten dimensions all distances are beyond it, and the particles do not see each other. A length by the median is that of the cloud at
/// each iteration, and is not differentiated: F then changes under way, and small clouds end narrower. One iteration takes N gradients, N Hessians
/// times a vector, and O(N² d) further work.
///
/// Unlike SVGD it descends a loss, so its progress can be watched ([`Ksdd::loss`]). But F has spurious stationary points and says little of modes
/// that are apart: on ½N((-2, 2), ½I) + ½N((2, -2), ½I), 20 particles by coin from 20 starts N(0, 0.1² I) end between F = 0.0009 and 0.18, and stay there
/// however many iterations follow. The large values are of clouds with many particles strewn between the modes, the smallest of clouds that hold one mode
/// alone. Variances are too small where particles are few for the dimension: with h = 1 and 50 particles those of a standard normal distribution are
/// 0.99, 0.95, 0.64, 0.39 and 0.26 in 1, 2, 5, 10 and 20 dimensions. [`Svgd`](super::Svgd) fills modes better, though it gets their weights no better; in one dimension [`Lawgd`](super::Lawgd) does.
///
/// ```
/// use ndarray::array;
/// use posterity::model::WithGradient;
/// use posterity::model::zoo::analytic::Gaussian;
/// use posterity::parvi::{Ksdd, ParticleFlow};
///
/// let target = WithGradient(Gaussian::new(array![1.0, -2.0], &array![[1.0, 0.3], [0.3, 0.5]])?);
/// let flow = Ksdd::default();
/// let coin = ParticleFlow::coin(flow.clone()).n_particles(20);
/// let before = flow.loss(&target, coin.clone().n_iterations(0).run(&target, 1)?.positions())?;
/// let after = flow.loss(&target, coin.n_iterations(300).run(&target, 1)?.positions())?;
/// assert!(after < 0.01 * before);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// Source: Korba, Aubin-Frankowski, Majewski & Ablin, *Kernel Stein Discrepancy Descent*, ICML 2021, <https://arxiv.org/abs/2105.09994>.
#[derive(Debug, Clone)]
pub struct Ksdd {
    kernel: Kernel,
    scores: Vec<f64>,
    /// w and the part of the gradient without H, particle by particle.
    sums: Vec<f64>,
    vectors: Vec<f64>,
    distances: Distances,
}

impl Default for Ksdd {
    fn default() -> Self {
        Self::new(Kernel::Rbf(Bandwidth::Fixed(1.0)))
    }
}

/// Particles that one call works on.
const BLOCK: usize = 64;

impl Ksdd {
    /// With another kernel than the default.
    #[must_use]
    pub fn new(kernel: Kernel) -> Self {
        Self { kernel, scores: Vec::new(), sums: Vec::new(), vectors: Vec::new(), distances: Distances::default() }
    }

    /// The squared kernel Stein discrepancy F of a cloud (V-statistic), of shape (particle, unconstrained coordinate).
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for the kernel; [`Error::Dimension`], [`Error::Empty`]; [`Error::Particle`] for a score that is not finite.
    pub fn loss<T: Target + ?Sized>(&self, target: &T, positions: ArrayView2<'_, f64>) -> Result<f64, Error> {
        let (n, dim) = positions.dim();
        self.kernel.validate(n)?;
        let expected = target.dim()?;
        if dim != expected {
            return Err(Error::Dimension { what: "columns of the positions", expected, found: dim });
        }
        if dim == 0 {
            return Err(Error::Empty { what: "positions" });
        }
        let positions: Vec<f64> = positions.iter().copied().collect();
        let mut scores = vec![0.0; positions.len()];
        TargetDensity::new(target, Threads::serial(), 0, None)?.scores(&positions, &mut scores)?;
        let radial = Radial::new(self.kernel, &positions, dim, &mut Distances::default());
        let mut total = 0.0;
        for (x, s) in positions.chunks_exact(dim).zip(scores.chunks_exact(dim)) {
            let pairs = positions.chunks_exact(dim).zip(scores.chunks_exact(dim));
            total += pairs.map(|(y, t)| Pair::new(radial, (x, s), (y, t)).stein(dim)).sum::<f64>();
        }
        Ok(total / (n * n) as f64)
    }
}

/// What F needs of two particles and their scores.
struct Pair {
    kappa: [f64; 4],
    squared_distance: f64,
    /// sᵢ·sⱼ
    scores: f64,
    /// (sᵢ - sⱼ)·(xᵢ - xⱼ)
    difference: f64,
}

impl Pair {
    fn new(radial: Radial, (x, s): (&[f64], &[f64]), (y, t): (&[f64], &[f64])) -> Self {
        let squared_distance = squared_distance(x, y);
        let (mut scores, mut difference) = (0.0, 0.0);
        for c in 0..x.len() {
            scores += s[c] * t[c];
            difference += (s[c] - t[c]) * (x[c] - y[c]);
        }
        Self { kappa: radial.derivatives(squared_distance), squared_distance, scores, difference }
    }

    /// The Stein kernel u.
    fn stein(&self, dim: usize) -> f64 {
        let [k, k1, k2, _] = self.kappa;
        k * self.scores - 2.0 * k1 * (self.difference + dim as f64) - 4.0 * k2 * self.squared_distance
    }
}

impl Flow for Ksdd {
    fn name(&self) -> String {
        format!("KSDD ({})", self.kernel)
    }

    fn validate(&self, n_particles: usize, _: usize) -> Result<(), Error> {
        self.kernel.validate(n_particles)
    }

    fn uses_minibatches(&self) -> bool {
        false
    }

    fn directions(&mut self, cloud: Cloud<'_>, density: &mut dyn CloudDensity, out: &mut [f64]) -> Result<(), Error> {
        let Cloud { n_particles: n, dim, positions } = cloud;
        let Self { scores, sums, vectors, .. } = self;
        scores.resize(positions.len(), 0.0);
        density.scores(positions, scores)?;
        let radial = Radial::new(self.kernel, positions, dim, &mut self.distances);
        sums.resize(2 * positions.len(), 0.0);
        let scores = scores.as_slice();
        density.threads().for_each_block(sums.as_mut_slice(), BLOCK * 2 * dim, |block, sums| {
            for (i, sums) in sums.chunks_exact_mut(2 * dim).enumerate() {
                sums.fill(0.0);
                let (w, rest) = sums.split_at_mut(dim);
                let i = block * BLOCK + i;
                let (x, s) = (cloud.particle(i), &scores[i * dim..(i + 1) * dim]);
                for (j, t) in scores.chunks_exact(dim).enumerate() {
                    let y = cloud.particle(j);
                    let pair = Pair::new(radial, (x, s), (y, t));
                    let [k, k1, k2, k3] = pair.kappa;
                    let along = 2.0 * k1 * pair.scores
                        - 4.0 * k2 * (pair.difference + dim as f64 + 2.0)
                        - 8.0 * k3 * pair.squared_distance;
                    for c in 0..dim {
                        let r = x[c] - y[c];
                        w[c] += k * t[c] - 2.0 * k1 * r;
                        rest[c] += along * r - 2.0 * k1 * (s[c] - t[c]);
                    }
                }
            }
        });
        vectors.clear();
        vectors.extend(sums.chunks_exact(2 * dim).flat_map(|sums| &sums[..dim]));
        density.hessian_vectors(positions, vectors, out)?;
        let scale = -2.0 / (n * n) as f64;
        for (out, sums) in out.chunks_exact_mut(dim).zip(sums.chunks_exact(2 * dim)) {
            out.iter_mut().zip(&sums[dim..]).for_each(|(out, rest)| *out = scale * (*out + rest));
        }
        Ok(())
    }
}
