//! What writing and running a model takes: `use posterity::prelude::*;`.
//!
//! Left out on purpose are the two error types' common names: say [`posterity::Error`](crate::Error) and
//! [`posterity::Result`](crate::Result), so that those of the standard library stay what they are.
//!
//! ```
//! use posterity::prelude::*;
//!
//! struct Coin { heads: u64, tosses: u64 }
//!
//! impl Model for Coin {
//!     type Parameters<T: Real> = T;
//!     fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> T { space.probability("p") }
//!     fn log_prior<T: Real>(&self, p: &T, lp: &mut LogP<T>) { lp.beta(p, &1.0, &1.0) }
//!     fn log_likelihood<T: Real>(&self, p: &T, lp: &mut LogP<T>) { lp.binomial(&self.heads, &self.tosses, p) }
//! }
//!
//! let draws = Nuts::default().sample(&Coin { heads: 8, tosses: 10 }, Run::new(1))?;
//! // The posterior is Beta(9, 3), of mean 0.75.
//! assert!((draws.mean("p")?[[]] - 0.75).abs() < 0.02);
//! # Ok::<(), posterity::Error>(())
//! ```

pub use crate::autodiff::{DataMatrix, Lower, Real, Value};
pub use crate::draws::Draws;
pub use crate::error::DensityError;
pub use crate::mcmc::{Hmc, Mala, Nuts, RandomWalk, Run, Sampler, Start, posterior_predictive, prior_draws};
pub use crate::model::{
    Density, Labels, LogDensityGradient, LogP, Model, Space, StateSpaceModel, Target, Values, Variable, WithGradient,
    check_gradient,
};
pub use crate::parvi::{ParticleFlow, Svgd};
pub use crate::rng::Stream;
pub use crate::smc::{Auxiliary, Bootstrap, Guided, Smc, SmcConfig};
pub use crate::vi::{FullRank, MeanField, Vi};
