//! Methods by name.

use posterity::model::Target;
use posterity::vi::{Bam, Family, Fit, FullRank, Gsm, Laplace, LowRank, MeanField, NaturalGradient, Pathfinder, Vi};

use super::AnyError;
use super::input::{Input, Method};

impl Method {
    /// Whether the method is stochastic ascent of a bound, rather than a fit of its own kind.
    pub(crate) fn climbs_a_bound(self) -> bool {
        matches!(self, Self::MeanField | Self::FullRank | Self::LowRank)
    }
}

/// Passes on a setting that is given.
fn set<T, X>(to: T, value: Option<X>, setter: fn(T, X) -> T) -> T {
    match value {
        Some(value) => setter(to, value),
        None => to,
    }
}

pub(crate) fn fit(input: &Input, target: &dyn Target) -> Result<Fit, AnyError> {
    input.check()?;
    let (n_iterations, n_draws, seed) = (input.n_iterations, input.n_draws, input.seed);
    Ok(match input.method {
        Method::MeanField => ascend(input, MeanField, target)?,
        Method::FullRank => ascend(input, FullRank, target)?,
        Method::LowRank => ascend(input, LowRank::default(), target)?,
        Method::Bam => {
            let bam = set(Bam::default(), n_iterations, Bam::n_iterations);
            set(bam, n_draws, Bam::n_draws).fit(target, seed)?
        }
        Method::Gsm => {
            let gsm = set(Gsm::default(), n_iterations, Gsm::n_iterations);
            set(gsm, n_draws, Gsm::n_draws).fit(target, seed)?
        }
        Method::NaturalGradient => {
            let natural = set(NaturalGradient::default(), n_iterations, NaturalGradient::n_iterations);
            set(natural, n_draws, NaturalGradient::n_draws).fit(target, seed)?
        }
        Method::Laplace => {
            let laplace = set(Laplace::default(), n_iterations, Laplace::n_iterations);
            set(laplace, n_draws, Laplace::n_draws).fit(target, seed)?
        }
        Method::Pathfinder => {
            let pathfinder = set(Pathfinder::default(), n_iterations, Pathfinder::n_iterations);
            set(pathfinder, n_draws, Pathfinder::n_draws).fit(target, seed)?
        }
    })
}

fn ascend(input: &Input, family: impl Family + 'static, target: &dyn Target) -> Result<Fit, AnyError> {
    let vi = Vi::new(family).objective(input.objective()?);
    let vi = set(vi, input.n_iterations, Vi::n_iterations);
    Ok(set(vi, input.n_draws, Vi::n_draws).fit(target, input.seed)?)
}
