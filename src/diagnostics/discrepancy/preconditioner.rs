//! Length scales of the kernel of Stein thinning.

use super::mmd::median_of;
use super::points::Checked;
use super::stein::Inverse;
use crate::error::Error;
use crate::linalg::{cholesky_in_place, cholesky_inverse};

/// The matrix Γ of the kernel (1 + u·Γ⁻¹u)^(-1/2), estimated from the sample; the names in code style are those of Riabiz et al. 2022, *Optimal
/// Thinning of MCMC Output*, <https://arxiv.org/abs/2005.03952>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Preconditioner {
    /// The identity: the coordinates are on scale 1 already.
    #[default]
    Identity,
    /// `med`: the squared median distance times the identity.
    Median,
    /// `sclmed`: the squared median distance over log n, n at most 1000, times the identity.
    ScaledMedian,
    /// `smpcov`: the sample's covariance matrix.
    SampleCovariance,
}

/// A pivot of the correlation matrix below this is rounding.
const LEAST_PIVOT: f64 = 1e-12;

impl Preconditioner {
    /// Γ⁻¹.
    pub(super) fn inverse(self, points: &Checked<'_>) -> Result<Inverse, Error> {
        match self {
            Self::Identity => Ok(Inverse::Scaled(1.0)),
            Self::Median => Ok(Inverse::Scaled(positive_median(points)?.powi(-2))),
            Self::ScaledMedian => {
                let n = points.weights.iter().filter(|&&w| w > 0.0).count().min(1000);
                Ok(Inverse::Scaled((n as f64).ln() * positive_median(points)?.powi(-2)))
            }
            Self::SampleCovariance => inverse_covariance(points).map(Inverse::Full),
        }
    }
}

fn positive_median(points: &Checked<'_>) -> Result<f64, Error> {
    let value = median_of(points)?;
    if value > 0.0 { Ok(value) } else { Err(Error::InvalidSetting { setting: "median distance", value, rule: "positive" }) }
}

/// The inverse of the weighted covariance matrix, by way of the correlations, so that no unit of measurement matters.
fn inverse_covariance(points: &Checked<'_>) -> Result<Vec<f64>, Error> {
    let dim = points.dim;
    let share = points.share_of_pairs("a sample covariance")?;
    // From the first point, so that a constant coordinate has a variance of exactly 0.
    let origin = points.row(0);
    let mut mean = vec![0.0; dim];
    for (x, w) in points.values.chunks_exact(dim).zip(&points.weights) {
        for c in 0..dim {
            mean[c] += w * (x[c] - origin[c]);
        }
    }
    let mut covariance = vec![0.0; dim * dim];
    for (x, w) in points.values.chunks_exact(dim).zip(&points.weights) {
        for r in 0..dim {
            for c in 0..=r {
                covariance[r * dim + c] += w * (x[r] - origin[r] - mean[r]) * (x[c] - origin[c] - mean[c]) / share;
            }
        }
    }
    let singular = |pivot| Error::NotPositiveDefinite { what: "sample covariance", pivot };
    let sds: Vec<f64> = (0..dim).map(|c| covariance[c * dim + c].sqrt()).collect();
    if let Some(pivot) = sds.iter().position(|sd| !(*sd > 0.0 && sd.is_finite())) {
        return Err(singular(pivot));
    }
    let mut factor: Vec<f64> = (0..dim * dim)
        .map(|k| {
            let (r, c) = (k / dim, k % dim);
            covariance[r.max(c) * dim + r.min(c)] / (sds[r] * sds[c])
        })
        .collect();
    cholesky_in_place(&mut factor, dim).map_err(|error| error.named("sample covariance"))?;
    if let Some(pivot) = (0..dim).find(|&c| !(factor[c * dim + c].powi(2) > LEAST_PIVOT)) {
        return Err(singular(pivot));
    }
    let mut inverse = cholesky_inverse(&factor, dim).map_err(|error| error.named("sample covariance"))?;
    for (k, value) in inverse.iter_mut().enumerate() {
        *value /= sds[k / dim] * sds[k % dim];
    }
    Ok(inverse)
}
