//! Where fits start.

use ndarray::Array2;

use super::approximation::{Approximation, Closure};
use super::families::{HALF_LOG_TWO_PI, check_memory};
use super::fit::Record;
use super::pathfinder::{Best, PathSettings, SpikedNormal, follow, is_fatal};
use super::shifted::Shifted;
use crate::error::Error;
use crate::mcmc::Start;
use crate::model::Target;

/// Paths of which the start is taken from the best: one alone may end in a mode without mass.
pub(super) const N_PATHS: usize = 4;

/// Where a family starts.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub enum FamilyStart {
    /// Around the mean of the best of four paths of [`Pathfinder`](super::Pathfinder), in units of its standard deviations, or of its covariance for families that
    /// [are closed under linear maps](super::Family::closed_under). For families that are closed under nothing, where Pathfinder fails, and where no gradients are asked for, as [`Origin`](FamilyStart::Origin); the fit's settings say so.
    /// The components of a [`Mixture`](super::Mixture) start at separate modes, where further paths find some.
    #[default]
    Pathfinder,
    /// Around the origin of the unconstrained space, all scales 1.
    Origin,
    /// Around a centre, in units of given scales, one per coordinate.
    At {
        /// The centre, of length d.
        centre: Vec<f64>,
        /// A positive scale per coordinate, of length d.
        scales: Vec<f64>,
    },
}

/// A centre with scales, and the covariance if one is known.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) centre: Vec<f64>,
    pub(super) scales: Vec<f64>,
    /// Half the logarithm of the determinant of the covariance.
    pub(super) log_volume: f64,
    pub(super) covariance: Option<Array2<f64>>,
}

impl Frame {
    /// A distribution around the origin, moved and stretched to where the frame is.
    pub(super) fn around(self, inner: Box<dyn Approximation>) -> Result<Box<dyn Approximation>, Error> {
        Ok(Box::new(match self.covariance {
            Some(covariance) => Shifted::by(inner, self.centre, covariance.view())?,
            None => Shifted::new(inner, self.centre, &self.scales)?,
        }))
    }

    /// That of a normal distribution; [`Error::InvalidSetting`] for a covariance beyond the memory.
    pub(super) fn of(normal: &SpikedNormal, wants_covariance: bool) -> Result<Self, Error> {
        let dim = normal.dim();
        if wants_covariance {
            check_memory("dimension", dim, dim.checked_mul(dim))?;
        }
        Ok(Self {
            centre: normal.mean().unwrap_or_default(),
            log_volume: normal.entropy().unwrap_or_default() - dim as f64 * (HALF_LOG_TWO_PI + 0.5),
            scales: normal.variances().iter().map(|variance| variance.sqrt()).collect(),
            covariance: if wants_covariance { normal.covariance() } else { None },
        })
    }
}

impl FamilyStart {
    /// The frame; `None` for the origin. A family that is closed under nothing starts at the origin unless it is told otherwise, and the covariance is worked out only for one that is closed under linear maps. What it costs, and which start it came to be, goes to the record.
    pub(super) fn resolve<T: Target + ?Sized>(
        &self,
        target: &T,
        has_gradients: bool,
        closure: Closure,
        record: &mut Record,
    ) -> Result<Option<Frame>, Error> {
        let (frame, description) = match self {
            Self::At { centre, scales } => {
                let log_volume = scales.iter().map(|s| s.ln()).sum();
                let frame = Frame { centre: centre.clone(), scales: scales.clone(), log_volume, covariance: None };
                (Some(frame), "given".to_owned())
            }
            Self::Pathfinder if has_gradients && closure != Closure::Nothing => {
                best_path(target, closure == Closure::LinearMaps, record)?
            }
            Self::Pathfinder | Self::Origin => (None, "origin".to_owned()),
        };
        record.settings.push(("start".to_owned(), description));
        Ok(frame)
    }
}

/// The normal distribution of the path with the best bound.
fn best_path<T: Target + ?Sized>(
    target: &T,
    wants_covariance: bool,
    record: &mut Record,
) -> Result<(Option<Frame>, String), Error> {
    let settings = PathSettings::default();
    let mut best = Best::new(settings.n_bound_draws);
    let mut failure = None;
    for index in 0..N_PATHS {
        let (path, cost) = follow(target, settings, &Start::Search, record.seed, index);
        record.n_gradient_evaluations += cost.n_gradient_evaluations;
        record.n_density_evaluations += cost.n_density_evaluations;
        match path {
            Ok(path) => {
                best.offer(path.normal, path.score);
            }
            Err(error) if is_fatal(&error) => return Err(error),
            Err(error) => failure = Some(error),
        }
    }
    Ok(match (best.into_inner(), failure) {
        (Some((normal, _)), _) => (Some(Frame::of(&normal, wants_covariance)?), "Pathfinder".to_owned()),
        (None, Some(error)) => (None, format!("origin, as Pathfinder failed: {error}")),
        (None, None) => (None, "origin".to_owned()),
    })
}
