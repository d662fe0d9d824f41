//! Laplacian-adjusted Wasserstein gradient descent in one dimension.

mod bounds;
mod spectrum;

use self::bounds::Found;
use self::spectrum::{Grid, Spectrum};
use super::density::CloudDensity;
use super::flow::{Cloud, Flow};
use crate::error::{Error, check};
use crate::model::Target;

/// The grid of [`Lawgd`].
///
/// Defaults: bounds found from the density, 256 nodes, 30 eigenfunctions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LawgdConfig {
    bounds: Option<(f64, f64)>,
    n_nodes: usize,
    n_eigen: usize,
}

impl Default for LawgdConfig {
    fn default() -> Self {
        Self { bounds: None, n_nodes: 256, n_eigen: 30 }
    }
}

impl LawgdConfig {
    /// The first and last node, in the target's unconstrained coordinate. They should hold all of the mass, and the log density must nowhere between
    /// them lie more than 60 below its largest value. By default the bounds are searched for: uphill from 0, then outward to where the log
    /// density has fallen by 20. The search does not find a mode behind a valley deeper than that.
    #[must_use]
    pub fn bounds(mut self, lower: f64, upper: f64) -> Self {
        self.bounds = Some((lower, upper));
        self
    }

    /// Number of nodes, at least 4; building takes the cube of it (256 nodes: some hundredths of a second).
    #[must_use]
    pub fn n_nodes(mut self, n: usize) -> Self {
        self.n_nodes = n;
        self
    }

    /// Number of eigenfunctions m in the kernel, the constant one not counted: at least 1 and at most half of the nodes. Fewer show less of the
    /// target's shape, more let particles react to smaller distances.
    #[must_use]
    pub fn n_eigen(mut self, n: usize) -> Self {
        self.n_eigen = n;
        self
    }

    fn validate(&self) -> Result<(), Error> {
        if let Some((lower, upper)) = self.bounds {
            check::in_range("lower bound of the grid", lower, lower.is_finite(), "finite")?;
            let holds = upper > lower && (upper - lower).is_finite();
            check::in_range("upper bound of the grid", upper, holds, "finite and above the lower bound")?;
        }
        check::at_least("n_nodes", self.n_nodes, 4, "at least 4")?;
        let holds = self.n_eigen >= 1 && self.n_eigen <= self.n_nodes / 2;
        check::in_range("n_eigen", self.n_eigen as f64, holds, "at least 1 and at most half of the nodes")
    }
}

/// Laplacian-adjusted Wasserstein gradient descent of a target in one dimension: particles follow the gradient of a kernel that is made of the
/// eigenfunctions of the target's Langevin diffusion.
///
/// ```text
/// φᵢ = -1/N Σⱼ ∂ₓ K(xᵢ, xⱼ),     K(x, y) = Σₖ ψₖ(x) ψₖ(y) / λₖ,   k = 1 .. m
/// -ψₖ'' - (log π)' ψₖ' = λₖ ψₖ,     ∫ ψₖ ψₗ π = δₖₗ,   0 = λ₀ < λ₁ < ..
/// ```
/// As K is the inverse of the diffusion's generator, in the limit of all eigenfunctions and many particles the flow descends the chi-squared
/// divergence at a rate that does not depend on the target, so particles cross between modes, and the weights of modes come out right. The
/// constant ψ₀ has no place in K.
///
/// On a grid of step Δ the eigenfunctions are ψ = v / √(π Δ), with the orthonormal eigenvectors v of a Schrödinger operator:
///
/// ```text
/// (A v)ᵢ = (Vᵢ + 2/Δ²) vᵢ - (vᵢ₋₁ + vᵢ₊₁) / Δ²,     Vᵢ = (√πᵢ₋₁ - 2√πᵢ + √πᵢ₊₁) / (Δ² √πᵢ)
/// ```
/// V is the difference quotient of (√π)''/√π = (((log π)')² + 2 (log π)'') / 4. Unlike that expression, it makes √π the exact ground state of A,
/// with λ₀ = 0, on every grid: with the expression itself λ₀ is -7e-4 where λ₁ = 0.044, for two modes of weight ½ and variance ½ at ±2 on 128
/// nodes. No term is carried over the bounds (there √π = 0). Eigenfunctions and their slopes are interpolated linearly. Particles beyond the
/// grid count as ones on its nearest end, and are driven back with the speed of one there.
///
/// Building takes one log density per node and an eigenproblem; an iteration takes O(N m) and no evaluation of the target. So the flow is that
/// of the target it was built from, whatever target it is run on: nothing notices if that is another one.
///
/// Use it where an accurate quantisation of a density in one dimension is wanted, modes and all. It does not carry over to more than two or
/// three dimensions, as every grid.
///
/// ```
/// use posterity::DensityError;
/// use posterity::model::{Density, WithGradient};
/// use posterity::parvi::{Lawgd, LawgdConfig, ParticleFlow};
/// /// 0.3 N(-2, ½) + 0.7 N(2, ½)
/// struct Mixture;
/// impl Density for Mixture {
///     fn dim(&self) -> usize { 1 }
///     fn log_density_gradient(&self, x: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
///         let (a, b) = (0.3 * (-(x[0] + 2.0).powi(2)).exp(), 0.7 * (-(x[0] - 2.0).powi(2)).exp());
///         g[0] = (-2.0 * (x[0] + 2.0) * a - 2.0 * (x[0] - 2.0) * b) / (a + b);
///         Ok((a + b).ln())
///     }
/// }
/// let target = WithGradient(Mixture);
/// let flow = Lawgd::new(&target, &LawgdConfig::default())?;
/// let particles = ParticleFlow::coin(flow).n_particles(50).n_iterations(1000).run(&target, 1)?;
/// assert_eq!(particles.positions().iter().filter(|x| **x < 0.0).count(), 15);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// Source: Chewi, Le Gouic, Lu, Maunu & Rigollet, *SVGD as a Kernelized Wasserstein Gradient Flow of the Chi-Squared Divergence*, NeurIPS 2020,
/// <https://arxiv.org/abs/2006.02509>.
#[derive(Debug, Clone)]
pub struct Lawgd {
    spectrum: Spectrum,
    /// Σⱼ ψₖ(xⱼ) / N
    means: Vec<f64>,
}

impl Lawgd {
    /// The flow of a target.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a setting out of range, for bounds between which the log density lies more than 60 below its largest value, or
    /// for so few nodes that none is near the mode found, or that the log density changes by more than 2 between neighbours where the mass is (20
    /// elsewhere): heavy tails want bounds of their own; [`Error::Dimension`] unless the target has one coordinate;
    /// [`Error::OutsideSupport`] if the density is 0 at a node, or at 0 where the search for bounds begins; [`Error::Density`].
    pub fn new<T: Target + ?Sized>(target: &T, config: &LawgdConfig) -> Result<Self, Error> {
        config.validate()?;
        check_dim(target.dim()?)?;
        let mut evaluator = target.evaluator()?;
        let mut log_density = |x: f64| evaluator.log_density(&[x]);
        let outside = |value| Error::OutsideSupport {
            variable: target.coordinate_name(0),
            value,
            support: "where the density is positive, at 0 and on the whole grid",
        };
        let Found { bounds: (lower, upper), highest } = match config.bounds {
            Some(bounds) => Found { bounds, highest: f64::NEG_INFINITY },
            None => {
                // Far out a density may fail that is fine where its mass is.
                let mut tolerant = |x: f64| match log_density(x) {
                    Err(error) if error.is_recoverable() => Ok(f64::NEG_INFINITY),
                    other => Ok(other?),
                };
                bounds::search(&mut tolerant)?.ok_or_else(|| outside(0.0))?
            }
        };
        let grid = Grid::new(lower, upper, config.n_nodes);
        let mut values = Vec::with_capacity(config.n_nodes);
        for x in grid.nodes() {
            let value = log_density(x)?;
            if value == f64::NEG_INFINITY {
                return Err(outside(x));
            }
            values.push(value);
        }
        Ok(Self { spectrum: Spectrum::new(grid, &values, highest, config.n_eigen)?, means: vec![0.0; config.n_eigen] })
    }

    /// λ₁ < λ₂ < .. of the eigenfunctions in the kernel, in the inverse square of the coordinate's unit.
    #[must_use]
    pub fn eigenvalues(&self) -> &[f64] {
        &self.spectrum.eigenvalues
    }

    /// ψ₁(x), ψ₂(x), .., whose signs are arbitrary.
    #[must_use]
    pub fn eigenfunctions(&self, x: f64) -> Vec<f64> {
        let mut values = vec![0.0; self.means.len()];
        self.spectrum.add_values(x, 1.0, &mut values);
        values
    }

    /// The first and the last node.
    #[must_use]
    pub fn bounds(&self) -> (f64, f64) {
        self.spectrum.grid.bounds()
    }
}

fn check_dim(found: usize) -> Result<(), Error> {
    if found == 1 { Ok(()) } else { Err(Error::Dimension { what: "coordinates of a target for LAWGD", expected: 1, found }) }
}

impl Flow for Lawgd {
    fn name(&self) -> String {
        format!("LAWGD ({} nodes, {} eigenfunctions)", self.spectrum.grid.n_nodes(), self.means.len())
    }

    fn validate(&self, _: usize, dim: usize) -> Result<(), Error> {
        check_dim(dim)
    }

    fn uses_minibatches(&self) -> bool {
        false
    }

    fn directions(&mut self, cloud: Cloud<'_>, _: &mut dyn CloudDensity, out: &mut [f64]) -> Result<(), Error> {
        self.means.fill(0.0);
        let share = 1.0 / cloud.n_particles as f64;
        for &x in cloud.positions {
            self.spectrum.add_values(x, share, &mut self.means);
        }
        let (lower, upper) = self.spectrum.grid.bounds();
        for (&x, out) in cloud.positions.iter().zip(out) {
            let drift = -self.spectrum.kernel_slope(x, &self.means);
            *out = if x < lower {
                drift.abs()
            } else if x > upper {
                -drift.abs()
            } else {
                drift
            };
        }
        Ok(())
    }
}
