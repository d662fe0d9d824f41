//! Stein thinning: the few points of a sample that stand best for a density.

use ndarray::{Array3, ArrayView2, Axis};

use super::points::{Checked, Points, finite};
use super::preconditioner::Preconditioner;
use super::scores::{scores_of, unconstrained_draws};
use super::stein::{SteinKernel, SteinPairs};
use crate::draws::{Attributes, Draws, Group, SampleStats};
use crate::error::{Error, check};
use crate::model::Target;
use crate::parallel::for_each_block_mut;

/// Stein thinning: picks the points of a sample that stand best for a density whose scores are known.
///
/// ```text
/// i₁ = argmin k₀(xᵢ, xᵢ),    iⱼ = argmin ½ k₀(xᵢ, xᵢ) + Σ_{l<j} k₀(x_{i_l}, xᵢ)
/// ```
/// k₀ is the Stein kernel of k(x, y) = (1 + (x - y)·Γ⁻¹(x - y))^(-1/2), see [`SteinKernel`]. Each choice makes the discrepancy of those made so far as
/// small as it can: a burn-in is left out, and a bias is repaired as far as the sample has points where the target has mass. A point may be
/// chosen more than once. Choosing m of n points takes O(n m d).
///
/// The target is known by its scores alone, so modes far apart keep weights by accident. The chosen points are neither independent nor a chain, and
/// diagnostics of chains do not apply to them.
///
/// Source: Riabiz, Chen, Cockayne, Swietach, Niederer, Mackey & Oates 2022, *Optimal Thinning of MCMC Output*,
/// <https://arxiv.org/abs/2005.03952>.
///
/// ```
/// use posterity::diagnostics::{SteinThinning, ksd, scores_of};
/// use posterity::model::{WithGradient, zoo::toy::{Gaussian, Planar}};
/// use posterity::rng::Stream;
/// let sample = Gaussian.samples(500, &mut Stream::new(1));
/// let scores = scores_of(&WithGradient(Gaussian), sample.view())?;
/// let chosen = SteinThinning::new(20).choose(&sample, scores.view())?;
/// let axis = ndarray::Axis(0);
/// let thinned = ksd(&sample.select(axis, &chosen), scores.select(axis, &chosen).view())?;
/// let first = (0..20).collect::<Vec<_>>();
/// assert!(thinned < 0.5 * ksd(&sample.select(axis, &first), scores.select(axis, &first).view())?);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SteinThinning {
    n_points: usize,
    preconditioner: Preconditioner,
}

impl SteinThinning {
    /// Thinning to this number of points, at least 1, with the identity as preconditioner.
    ///
    /// The identity is wrong where distances between draws are not about 1: far below, the kernel takes all points for one; far above, points do not
    /// see each other, and the same few of small scores are chosen again and again. There use [`Preconditioner::ScaledMedian`], or
    /// [`Preconditioner::SampleCovariance`] if the coordinates differ in scale.
    #[must_use]
    pub fn new(n_points: usize) -> Self {
        Self { n_points, preconditioner: Preconditioner::default() }
    }

    /// The length scales of the kernel.
    #[must_use]
    pub fn preconditioner(mut self, preconditioner: Preconditioner) -> Self {
        self.preconditioner = preconditioner;
        self
    }

    /// The indices of the chosen points in the order of choice, of points with their scores (both of shape (point, coordinate)).
    ///
    /// Weights take part in the preconditioner, and points of weight 0 are not chosen; otherwise they do not matter, as the choice aims at the target
    /// and not at the sample.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for 0 points, or a median distance of 0; [`Error::Empty`]; [`Error::Dimension`]; [`Error::NotFinite`];
    /// [`Error::OutsideSupport`] for a negative weight; [`Error::TooFewDraws`] or [`Error::NotPositiveDefinite`] if the sample is too small for the
    /// preconditioner, or lies in a subspace.
    pub fn choose<'a>(&self, points: impl Into<Points<'a>>, scores: ArrayView2<'_, f64>) -> Result<Vec<usize>, Error> {
        check::at_least("n_points", self.n_points, 1, "at least 1")?;
        let points = Checked::new(points.into())?;
        let inverse = self.preconditioner.inverse(&points)?;
        let pairs = SteinPairs::new(SteinKernel::default(), &points, scores, Some(inverse))?;
        let mut objective: Vec<f64> = points
            .weights
            .iter()
            .enumerate()
            .map(|(i, &w)| if w > 0.0 { finite("Stein kernel", 0.5 * pairs.value(i, i)) } else { Ok(f64::INFINITY) })
            .collect::<Result<_, _>>()?;
        let mut chosen = Vec::with_capacity(self.n_points);
        loop {
            let best = smallest(&objective);
            finite("Stein kernel", objective[best])?;
            chosen.push(best);
            if chosen.len() == self.n_points {
                return Ok(chosen);
            }
            for_each_block_mut(&mut objective, BLOCK, None, |block, objective| {
                for (i, objective) in (block * BLOCK..).zip(objective) {
                    if points.weights[i] > 0.0 {
                        *objective += pairs.value(best, i);
                    }
                }
            });
        }
    }

    /// The chosen draws of all chains together, as one chain in the order of choice.
    ///
    /// Distances are those in the target's unconstrained coordinates. Variables of the posterior group beside the target's come along.
    ///
    /// # Errors
    /// As [`SteinThinning::choose`], [`scores_of`] and [`unconstrained_draws`].
    pub fn thin<T: Target + ?Sized>(&self, target: &T, draws: &Draws) -> Result<Draws, Error> {
        let positions = unconstrained_draws(target, draws)?;
        let scores = scores_of(target, positions.view())?;
        let chosen = self.choose(&positions, scores.view())?;
        let posterior = draws.posterior();
        let (n_draws, n_columns) = (draws.n_draws(), posterior.values().len_of(Axis(2)));
        let values = Array3::from_shape_fn((1, chosen.len(), n_columns), |(_, k, column)| {
            posterior.values()[[chosen[k] / n_draws, chosen[k] % n_draws, column]]
        });
        let mut attributes = Attributes::new(&format!("{}, Stein thinning", draws.attributes().sampler), draws.attributes().seed);
        attributes.settings.clone_from(&draws.attributes().settings);
        attributes = attributes.with_setting("thinned_from", n_draws * draws.n_chains());
        let group = Group::new(posterior.variables().to_vec(), values)?;
        let mut thinned = Draws::new(group, SampleStats::new(1, chosen.len()), attributes)?;
        for variable in posterior.variables() {
            for dim in &variable.dims {
                if let Some(labels) = draws.coords().get(dim) {
                    thinned = thinned.with_coords(dim, labels.clone())?;
                }
            }
        }
        Ok(thinned)
    }
}

/// Points that one task updates.
const BLOCK: usize = 2048;

/// The index of the smallest entry, the first of several; of a NaN, if there is one.
fn smallest(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if value.is_nan() || *value < values[best] {
            best = i;
        }
    }
    best
}
