//! Kernels of particle flows, and the matrix of their values.

mod distances;
mod matrix;
mod median;

use std::fmt;

pub(super) use matrix::KernelMatrix;
pub(super) use median::Scratch;

use crate::error::{Error, check};

/// How far a kernel reaches: its length h.
///
/// Medians are computed anew in every iteration, exactly, and not differentiated. Where the median is 0 because most particles coincide, the
/// mean of the squared distances takes its place, or 1 if all coincide.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Bandwidth {
    /// By the median of all N² squared distances, the N zeros of particles to themselves included: h² = median / (2 ln(N + 1)) for
    /// [`Kernel::Rbf`], so that the N kernel values of a particle add up to about 1 beside its own, and h² = median for [`Kernel::Imq`].
    #[default]
    Median,
    /// The same with the median over the N (N - 1) / 2 pairs of different particles: a little longer where particles are few.
    MedianOfPairs,
    /// A fixed length h, positive.
    Fixed(f64),
}

/// A radial kernel, of the squared distance D = |x - y|² and the length h.
///
/// ```
/// use posterity::parvi::{Bandwidth, Kernel, ParticleFlow, Svgd};
/// use posterity::model::zoo::EightSchoolsNoncentered;
/// let flow = Svgd::new(Kernel::Imq(Bandwidth::Fixed(2.0)));
/// let particles = ParticleFlow::coin(flow).n_particles(30).n_iterations(50).run(&EightSchoolsNoncentered::rubin(), 1)?;
/// assert_eq!(particles.positions().dim(), (30, 10));
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Kernel {
    /// The Gaussian kernel, exp(-D / (2 h²)).
    Rbf(Bandwidth),
    /// The inverse multiquadric kernel, (1 + D / h²)^(-1/2). Its tails are heavy: particles of a cloud in many
    /// dimensions, which are all far from each other, keep each other in view, and variances come out right with far fewer of them than with
    /// [`Kernel::Rbf`] (see [`Svgd`](super::Svgd)).
    ///
    /// Source: Gorham & Mackey, *Measuring Sample Quality with Kernels*, ICML 2017, <https://arxiv.org/abs/1703.01717>.
    Imq(Bandwidth),
}

impl Default for Kernel {
    fn default() -> Self {
        Self::Rbf(Bandwidth::Median)
    }
}

/// Medians and means below it count as 0: their inverse would leave the range of numbers.
const TINY: f64 = 1e-300;

impl Kernel {
    /// Fails for a bandwidth out of range, for no particles, and for so many that no memory holds a matrix of them.
    pub(super) fn validate(&self, n_particles: usize) -> Result<(), Error> {
        if n_particles == 0 {
            return Err(Error::Empty { what: "particles" });
        }
        let bytes = n_particles.checked_mul(n_particles).and_then(|entries| entries.checked_mul(size_of::<f64>()));
        let fits = bytes.is_some_and(|bytes| isize::try_from(bytes).is_ok());
        check::in_range("n_particles", n_particles as f64, fits, "small enough for a matrix of all pairs")?;
        match self.bandwidth() {
            Bandwidth::Median | Bandwidth::MedianOfPairs => Ok(()),
            Bandwidth::Fixed(h) => {
                let inverse = 1.0 / (h * h);
                check::in_range("bandwidth", h, h > 0.0 && inverse > 0.0 && inverse.is_finite(), "positive, with a finite square")
            }
        }
    }

    /// The number of particles from which SVGD leaves nine tenths of the variances of a standard normal distribution, measured with the median as
    /// bandwidth for d = 1 to 5 and 1 to 40; unknown for a fixed one.
    pub(super) fn particles_wanted(&self, dim: usize) -> Option<usize> {
        self.is_by_median().then(|| match self {
            Self::Rbf(_) => (10.0 * (dim as f64).exp()).ceil() as usize,
            Self::Imq(_) => 5 + 7 * dim,
        })
    }

    /// Whether the length is that of the particles as they stand.
    pub(super) fn is_by_median(&self) -> bool {
        !matches!(self.bandwidth(), Bandwidth::Fixed(_))
    }

    /// h², from the squared distances in the strict lower triangle of an N × N matrix; nobody looks at them if the length is fixed.
    pub(super) fn squared_length(&self, distances: &[f64], n: usize, search: &mut Scratch) -> f64 {
        let median = match self.bandwidth() {
            Bandwidth::Fixed(h) => return h * h,
            Bandwidth::Median => median::of_all(distances, n, search),
            Bandwidth::MedianOfPairs => median::of_pairs(distances, n, search),
        };
        let median = if median > TINY { median } else { median::mean_of_all(distances, n) };
        let median = if median > TINY { median } else { 1.0 };
        match self {
            Self::Rbf(_) => median / (2.0 * (n as f64 + 1.0).ln()),
            Self::Imq(_) => median,
        }
    }

    fn bandwidth(&self) -> Bandwidth {
        let (Self::Rbf(bandwidth) | Self::Imq(bandwidth)) = self;
        *bandwidth
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rbf(_) => "RBF",
            Self::Imq(_) => "IMQ",
        })?;
        match self.bandwidth() {
            Bandwidth::Median => f.write_str(", median"),
            Bandwidth::MedianOfPairs => f.write_str(", median of pairs"),
            Bandwidth::Fixed(h) => write!(f, ", h = {h}"),
        }
    }
}
