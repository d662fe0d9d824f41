//! Kernel Stein discrepancy: how far are points from a density whose score is known?

use std::borrow::Cow;

use ndarray::ArrayView2;

use super::points::{Checked, Points, finite, rows};
use crate::error::{Error, check};

/// The kernel of a Stein discrepancy; by default the inverse multiquadric with c = 1, β = -1/2.
///
/// ```text
/// KSD² = E k₀(X, X')
/// k₀(x, y) = s(x)·s(y) k + s(x)·∇ᵧk + s(y)·∇ₓk + ∇ₓ·∇ᵧk,    s = ∇ log π
/// ```
/// The mean of k₀(x, ·) under π is 0 for every x, so π has the discrepancy 0; as both kernels are integrally strictly positive definite, no other
/// distribution with a smooth density has.
///
/// If π is distantly dissipative and its score Lipschitz, then with the inverse multiquadric a discrepancy that goes to 0 means weak convergence to π;
/// with the RBF kernel this fails from 3 dimensions (Gorham & Mackey 2017, <https://arxiv.org/abs/1703.01717>). A funnel or a ring, whose scores are
/// not Lipschitz, has no such guarantee.
///
/// Not to be trusted alone where modes lie far apart: there the score says next to nothing about their weights.
///
/// Source: Liu, Lee & Jordan 2016, *A Kernelized Stein Discrepancy for Goodness-of-fit Tests*, <https://arxiv.org/abs/1602.03253>; Chwialkowski,
/// Strathmann & Gretton 2016, <https://arxiv.org/abs/1602.02964>.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum SteinKernel {
    /// k(x, y) = (c² + |x - y|²)^β
    InverseMultiquadric {
        /// The length c, positive.
        c: f64,
        /// The exponent β, in (-1, 0).
        beta: f64,
    },
    /// k(x, y) = exp(-|x - y|² / 2h²)
    Rbf {
        /// The bandwidth h, positive.
        bandwidth: f64,
    },
}

impl Default for SteinKernel {
    fn default() -> Self {
        Self::InverseMultiquadric { c: 1.0, beta: -0.5 }
    }
}

/// Kernel Stein discrepancy of points with the default kernel: the square root of the V-statistic.
///
/// `scores` holds the gradient of the log density at each point, of the shape of the points; [`scores_of`](super::scores_of) evaluates them.
///
/// ```
/// use posterity::diagnostics::{ksd, scores_of};
/// use posterity::model::{WithGradient, zoo::toy::{Gaussian, Planar}};
/// use posterity::rng::Stream;
/// let exact = Gaussian.samples(100, &mut Stream::new(1));
/// let shifted = &exact + 1.0;
/// let target = WithGradient(Gaussian);
/// assert!(ksd(&exact, scores_of(&target, exact.view())?.view())? < 0.4);
/// assert!(ksd(&shifted, scores_of(&target, shifted.view())?.view())? > 1.0);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// # Errors
/// As [`SteinKernel::ksd`].
pub fn ksd<'a>(points: impl Into<Points<'a>>, scores: ArrayView2<'_, f64>) -> Result<f64, Error> {
    SteinKernel::default().ksd(points, scores)
}

impl SteinKernel {
    /// Kernel Stein discrepancy √(Σᵢⱼ wᵢ wⱼ k₀(xᵢ, xⱼ)), the diagonal included: of N exact draws about √(E k₀(X, X) / N).
    ///
    /// # Errors
    /// [`Error::Empty`]; [`Error::Dimension`] for scores or weights that do not fit; [`Error::NotFinite`]; [`Error::OutsideSupport`] for a negative
    /// weight, [`Error::InvalidSetting`] if all are 0 or the kernel is out of range.
    pub fn ksd<'a>(&self, points: impl Into<Points<'a>>, scores: ArrayView2<'_, f64>) -> Result<f64, Error> {
        let (points, pairs) = self.checked(points.into(), scores)?;
        let diagonal: f64 = points.weights.iter().enumerate().map(|(i, w)| w * w * pairs.value(i, i)).sum();
        let square = diagonal + points.sum_over_pairs(|i, j| pairs.value(i, j));
        // A positive semidefinite form; rounding may leave it a little below 0.
        finite("kernel Stein discrepancy", square).map(|square| square.max(0.0).sqrt())
    }

    /// The square of the discrepancy without bias, the U-statistic Σ_{i≠j} wᵢ wⱼ k₀ / Σ_{i≠j} wᵢ wⱼ: of exact draws it is 0 on average, and
    /// may be negative. Weights have to be independent of the positions; with importance weights it is biased.
    ///
    /// # Errors
    /// As [`SteinKernel::ksd`], and [`Error::TooFewDraws`] for a single point.
    pub fn ksd_squared_unbiased<'a>(&self, points: impl Into<Points<'a>>, scores: ArrayView2<'_, f64>) -> Result<f64, Error> {
        let (points, pairs) = self.checked(points.into(), scores)?;
        let share = points.share_of_pairs("an unbiased Stein discrepancy")?;
        finite("kernel Stein discrepancy", points.sum_over_pairs(|i, j| pairs.value(i, j)) / share)
    }

    fn checked<'a, 's>(&self, points: Points<'a>, scores: ArrayView2<'s, f64>) -> Result<(Checked<'a>, SteinPairs<'s>), Error> {
        self.validate()?;
        let points = Checked::new(points)?;
        let pairs = SteinPairs::new(*self, &points, scores, None)?;
        Ok((points, pairs))
    }

    fn validate(&self) -> Result<(), Error> {
        match *self {
            Self::InverseMultiquadric { c, beta } => {
                check::positive("c", c)?;
                check::in_range("beta", beta, beta > -1.0 && beta < 0.0, "in (-1, 0)")
            }
            Self::Rbf { bandwidth } => check::positive("bandwidth", bandwidth),
        }
    }

    /// The kernel and its first two derivatives with respect to the squared distance.
    fn derivatives(&self, r2: f64) -> [f64; 3] {
        match *self {
            Self::InverseMultiquadric { c, beta } => {
                let q = c * c + r2;
                let k = if beta == -0.5 { q.sqrt().recip() } else { q.powf(beta) };
                let first = beta * k / q;
                [k, first, (beta - 1.0) * first / q]
            }
            Self::Rbf { bandwidth } => {
                let factor = -0.5 / bandwidth / bandwidth;
                let k = (factor * r2).exp();
                [k, factor * k, factor * factor * k]
            }
        }
    }
}

/// A linear map Λ of differences: the kernel sees the squared distance u·Λu.
#[derive(Debug, Clone)]
pub(super) enum Inverse {
    /// λ I
    Scaled(f64),
    /// Symmetric, row by row.
    Full(Vec<f64>),
}

/// The Stein kernel between all points of a sample.
#[derive(Debug)]
pub(super) struct SteinPairs<'s> {
    kernel: SteinKernel,
    dim: usize,
    positions: Vec<f64>,
    /// Times `factor`: Λ times the positions, up to a constant.
    mapped: Vec<f64>,
    factor: f64,
    scores: Cow<'s, [f64]>,
    /// tr Λ
    trace: f64,
}

impl<'s> SteinPairs<'s> {
    /// Λ is the identity where `inverse` is `None`.
    pub(super) fn new(
        kernel: SteinKernel,
        points: &Checked<'_>,
        scores: ArrayView2<'s, f64>,
        inverse: Option<Inverse>,
    ) -> Result<Self, Error> {
        let (n, dim) = (points.len(), points.dim);
        for (what, expected, found) in [("rows of the scores", n, scores.nrows()), ("columns of the scores", dim, scores.ncols())]
        {
            if found != expected {
                return Err(Error::Dimension { what, expected, found });
            }
        }
        let scores = rows("scores", scores)?;
        let positions = points.values.to_vec();
        let (mapped, factor, trace) = match inverse.unwrap_or(Inverse::Scaled(1.0)) {
            Inverse::Scaled(factor) => (positions.clone(), factor, factor * dim as f64),
            Inverse::Full(matrix) => {
                let rows = || matrix.chunks_exact(dim);
                // From the first point: far from 0, differences of products would be rounding.
                let origin = points.row(0);
                let times = |x: &[f64]| -> Vec<f64> {
                    rows().map(|row| row.iter().zip(x).zip(origin).map(|((a, x), o)| a * (x - o)).sum()).collect()
                };
                let mapped = positions.chunks_exact(dim).flat_map(times).collect();
                (mapped, 1.0, rows().enumerate().map(|(c, row)| row[c]).sum())
            }
        };
        Ok(Self { kernel, dim, positions, mapped, factor, scores, trace })
    }

    /// k₀ between points i and j. With u = x - y, v = Λu and k = φ(u·v):
    ///
    /// ```text
    /// k₀ = φ s·t + 2φ' v·(t - s) - 2φ' tr Λ - 4φ'' |v|²
    /// ```
    pub(super) fn value(&self, i: usize, j: usize) -> f64 {
        let (a, b) = (i * self.dim..(i + 1) * self.dim, j * self.dim..(j + 1) * self.dim);
        let positions = self.positions[a.clone()].iter().zip(&self.positions[b.clone()]);
        let mapped = self.mapped[a.clone()].iter().zip(&self.mapped[b.clone()]);
        let scores = self.scores[a].iter().zip(&self.scores[b]);
        let (mut distance, mut square, mut drift, mut product) = (0.0, 0.0, 0.0, 0.0);
        for (((x, y), (p, q)), (s, t)) in positions.zip(mapped).zip(scores) {
            let v = self.factor * (p - q);
            distance += (x - y) * v;
            square += v * v;
            drift += v * (t - s);
            product += s * t;
        }
        // At least 0 but for rounding where Λ is nearly singular.
        let [k, first, second] = self.kernel.derivatives(distance.max(0.0));
        k * product + 2.0 * first * (drift - self.trace) - 4.0 * second * square
    }
}
