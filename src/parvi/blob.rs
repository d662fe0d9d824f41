//! The blob flow.

use super::density::CloudDensity;
use super::flow::{Cloud, Flow};
use super::kernel::{Bandwidth, Kernel, KernelMatrix};
use crate::error::Error;

/// The blob flow: each particle goes down the Kullback-Leibler divergence of the cloud, with the cloud's density smoothed by a Gaussian kernel
/// inside the logarithm.
///
/// ```text
/// F = 1/N Σᵢ log ρᵢ - log π(xᵢ),    ρᵢ = 1/N Σⱼ k(xᵢ, xⱼ)
/// vᵢ = -N ∇ₓᵢ F = sᵢ - Σⱼ ∇ₓᵢ k(xᵢ, xⱼ) (1/Σₗ k(xᵢ, xₗ) + 1/Σₗ k(xⱼ, xₗ))
/// ```
/// With a fixed bandwidth the flow descends F; with the median as bandwidth, which moves along, it does so nearly. Cost per iteration as of
/// [`Svgd`](super::Svgd), with a second product of 2 N² d multiplications.
///
/// Scores are not averaged over neighbours: in few dimensions fewer particles than of SVGD give the same variances, 0.95 of a standard normal
/// distribution's with 20 particles in one dimension and 0.91 with 50 in two. In more dimensions they collapse as those of SVGD do, to 0.34 with
/// 50 particles in 10; and directions narrower than others, which share the one bandwidth with them, come out narrower still.
///
/// Source: Carrillo, Craig & Patacchini, *A blob method for diffusion*, Calculus of Variations 58, 2019, <https://arxiv.org/abs/1709.09195>; as a
/// sampler Chen, Zhang, Wang, Li & Chen, *A Unified Particle-Optimization Framework for Scalable Bayesian Sampling*, UAI 2018,
/// <https://arxiv.org/abs/1805.11659>.
///
/// ```
/// use posterity::DensityError;
/// use posterity::model::{Density, WithGradient};
/// use posterity::parvi::{Blob, ParticleFlow};
///
/// /// N(3, 4)
/// struct Normal;
///
/// impl Density for Normal {
///     fn dim(&self) -> usize {
///         1
///     }
///
///     fn log_density_gradient(&self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
///         gradient[0] = -(x[0] - 3.0) / 4.0;
///         Ok(-(x[0] - 3.0).powi(2) / 8.0)
///     }
/// }
///
/// let particles = ParticleFlow::coin(Blob::default()).n_particles(50).run(&WithGradient(Normal), 1)?;
/// let mean = particles.positions().mean().unwrap_or(f64::NAN);
/// assert!((mean - 3.0).abs() < 0.05);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Blob {
    kernel: Kernel,
    matrix: KernelMatrix,
    sums: Vec<f64>,
}

impl Blob {
    /// With another bandwidth of the Gaussian kernel than the default, the median.
    #[must_use]
    pub fn new(bandwidth: Bandwidth) -> Self {
        Self { kernel: Kernel::Rbf(bandwidth), ..Self::default() }
    }
}

impl Flow for Blob {
    fn name(&self) -> String {
        format!("blob ({})", self.kernel)
    }

    fn validate(&self, n_particles: usize, _: usize) -> Result<(), Error> {
        self.kernel.validate(n_particles)
    }

    fn directions(&mut self, cloud: Cloud<'_>, density: &mut dyn CloudDensity, out: &mut [f64]) -> Result<(), Error> {
        density.scores(cloud.positions, out)?;
        self.matrix.evaluate(&self.kernel, cloud, density.threads())?;
        self.matrix.row_sums(&mut self.sums, density.threads());
        let inverse = |i: usize| 1.0 / self.sums[i];
        self.matrix.add_repulsion(inverse, |_| 1.0, density.threads(), out);
        self.matrix.add_repulsion(|_| 1.0, inverse, density.threads(), out);
        Ok(())
    }

    /// With the median 2 e^(1.6 d), which left 0.90, 0.91, 0.89 and 0.87 of the variances of a standard normal distribution in 1 to 4 dimensions.
    fn particles_wanted(&self, dim: usize) -> Option<usize> {
        self.kernel.is_by_median().then(|| (2.0 * (1.6 * dim as f64).exp()).ceil() as usize)
    }
}
