//! Stein variational gradient descent with a kernel per coordinate.

use super::density::CloudDensity;
use super::flow::{Cloud, Flow};
use super::kernel::{Kernel, KernelMatrix};
use crate::error::Error;

/// Stein variational gradient descent with one kernel per coordinate, each of that coordinate alone and with its own bandwidth.
///
/// ```text
/// φᵢ꜀ = 1/N Σⱼ k꜀(xᵢ꜀, xⱼ꜀) sⱼ꜀ + ∂ₓⱼ꜀ k꜀(xᵢ꜀, xⱼ꜀)
/// ```
/// A kernel of one coordinate sees neighbours in any number of dimensions, so that variances do not collapse as those of [`Svgd`](super::Svgd) do:
/// with 50 particles those of 50 independent normal coordinates come out as 0.94, not as 0.08. Cost per iteration: N² d / 2 values of the kernel and d
/// medians, 20 to 40 times that of SVGD at 1000 particles in 50 dimensions and 2000 in 100.
///
/// # When not to use it
///
/// Where coordinates are correlated. At rest the flow has E[sᵢ꜀ | xᵢ꜀] right in every coordinate, which says nothing about how coordinates hang
/// together: of two normal coordinates with correlation 0.5, 0.9 and 0.99 it leaves, from independent starts of 200 particles, correlations of 0.05 to
/// 0.11, 0.18 to 0.19 and 0.25 to 0.26, and variances of 0.75 to 0.78, 0.22 to 0.23 and 0.03, near the 1 - r² of a mean-field approximation. There
/// [`Svgd`](super::Svgd) with [`Kernel::Imq`] keeps both.
///
/// Source: one kernel per node of a graphical model, here of a graph without edges: Zhuo, Liu, Shi, Zhu, Chen & Zhang, *Message Passing Stein
/// Variational Gradient Descent*, ICML 2018, <https://arxiv.org/abs/1711.04425>.
///
/// ```
/// use posterity::model::zoo::EightSchoolsNoncentered;
/// use posterity::parvi::{CoordinateSvgd, ParticleFlow};
/// let flow = ParticleFlow::coin(CoordinateSvgd::default()).n_particles(50).n_iterations(200);
/// let particles = flow.run(&EightSchoolsNoncentered::rubin(), 1)?;
/// assert!((particles.draws()?.mean("mu")?[[]] - 4.4).abs() < 1.5);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct CoordinateSvgd {
    kernel: Kernel,
    matrix: KernelMatrix,
    scores: Vec<f64>,
    /// One coordinate of all particles: positions, scores, directions.
    column: [Vec<f64>; 3],
}

impl CoordinateSvgd {
    /// With another kernel than the default, RBF by the median.
    #[must_use]
    pub fn new(kernel: Kernel) -> Self {
        Self { kernel, ..Self::default() }
    }
}

impl Flow for CoordinateSvgd {
    fn name(&self) -> String {
        format!("SVGD per coordinate ({})", self.kernel)
    }

    fn validate(&self, n_particles: usize, _: usize) -> Result<(), Error> {
        self.kernel.validate(n_particles)
    }

    fn directions(&mut self, cloud: Cloud<'_>, density: &mut dyn CloudDensity, out: &mut [f64]) -> Result<(), Error> {
        let Cloud { n_particles: n, dim, positions } = cloud;
        self.scores.resize(positions.len(), 0.0);
        density.scores(positions, &mut self.scores)?;
        let [x, scores, directions] = &mut self.column;
        directions.resize(n, 0.0);
        for c in 0..dim {
            let column = |all: &[f64], one: &mut Vec<f64>| {
                one.clear();
                one.extend(all.iter().skip(c).step_by(dim));
            };
            column(positions, x);
            column(&self.scores, scores);
            self.matrix.evaluate(&self.kernel, Cloud { n_particles: n, dim: 1, positions: x }, density.threads())?;
            self.matrix.stein(scores, density.threads(), directions);
            for (out, phi) in out.iter_mut().skip(c).step_by(dim).zip(&*directions) {
                *out = phi / n as f64;
            }
        }
        Ok(())
    }

    /// Measured on independent coordinates, in any dimension.
    fn particles_wanted(&self, _: usize) -> Option<usize> {
        self.kernel.particles_wanted(1)
    }
}
