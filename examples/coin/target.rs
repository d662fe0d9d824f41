//! Targets by name: toys in the plane, a normal distribution of any dimension, the eight schools, and posteriors of files.

use ndarray::Array2;
use posterity::linalg::cholesky;
use posterity::model::zoo::EightSchoolsNoncentered;
use posterity::model::zoo::analytic::Gaussian;
use posterity::model::zoo::posteriordb::ReferencePosterior;
use posterity::model::zoo::toy::{self, Planar};
use posterity::model::{Target, WithGradient};
use posterity::rng::Stream;

use super::AnyError;
use super::input::Input;

pub(crate) enum NamedTarget {
    Planar(WithGradient<Box<dyn Planar>>),
    Normal(WithGradient<Gaussian>),
    EightSchools(EightSchoolsNoncentered),
    Posterior(Box<ReferencePosterior>),
}

impl NamedTarget {
    pub(crate) fn of(input: &Input) -> Result<Self, AnyError> {
        if input.dim.is_some() && input.target.as_deref() != Some("normal") {
            return Err("dim is for the target normal only".into());
        }
        Ok(match (input.target.as_deref(), &input.posterior) {
            (Some("normal"), None) => Self::Normal(WithGradient(Gaussian::autoregressive(input.dim.unwrap_or(10), 0.5)?)),
            (Some("eight_schools"), None) => Self::EightSchools(EightSchoolsNoncentered::rubin()),
            (Some(name), None) => Self::Planar(WithGradient(toy::by_name(name)?)),
            (None, Some(path)) => Self::Posterior(Box::new(ReferencePosterior::read(path)?)),
            (Some(_), Some(_)) | (None, None) => return Err("give either a target or a posterior".into()),
        })
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Planar(target) => target.0.name(),
            Self::Normal(_) => "normal",
            Self::EightSchools(_) => "eight_schools",
            Self::Posterior(posterior) => &posterior.name,
        }
    }

    pub(crate) fn target(&self) -> &dyn Target {
        match self {
            Self::Planar(target) => target,
            Self::Normal(target) => target,
            Self::EightSchools(model) => model,
            Self::Posterior(posterior) => posterior.target.as_ref(),
        }
    }

    /// Independent draws in the coordinates of the particles.
    pub(crate) fn exact_draws(&self, n: usize, rng: &mut Stream) -> Option<Array2<f64>> {
        match self {
            Self::Planar(target) => Some(target.0.samples(n, rng)),
            Self::Normal(WithGradient(normal)) => {
                let factor = cholesky(normal.covariance().view()).ok()?;
                let z = Array2::from_shape_simple_fn((n, factor.nrows()), || rng.normal());
                Some(z.dot(&factor.t()) + normal.mean())
            }
            Self::EightSchools(_) | Self::Posterior(_) => None,
        }
    }

    /// Mean and standard deviation that are known of an element.
    pub(crate) fn reference(&self, element: &str) -> Option<(f64, f64)> {
        match self {
            Self::Posterior(posterior) => {
                let k = posterior.quantities.iter().position(|quantity| quantity.element == element)?;
                Some((posterior.mean[k], posterior.sd[k]))
            }
            Self::Normal(WithGradient(normal)) => {
                let k: usize = element.strip_prefix("q[")?.strip_suffix(']')?.parse().ok()?;
                Some((*normal.mean().get(k)?, normal.covariance().get([k, k])?.sqrt()))
            }
            Self::Planar(_) | Self::EightSchools(_) => None,
        }
    }
}
