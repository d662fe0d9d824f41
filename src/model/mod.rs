//! What a user writes, and the faces under which algorithms see it.
//!
//! A [`Model`] declares its parameters in a [`Space`], and its prior and likelihood as statements to a [`LogP`]. Algorithms see it as a
//! [`Target`], which gives each chain its own evaluator. A density with a hand-written gradient becomes a target by [`WithGradient`],
//! or by [`WithParts`] if prior and likelihood are written apart.

mod density;
mod gradient_check;
mod labels;
mod layout;
mod log_p;
mod minibatch;
mod model_family;
mod posterior;
mod simulate;
mod space;
mod state_space;
mod statements;
mod target;
mod values;
mod with_gradient;
mod with_parts;
pub mod zoo;

pub(crate) use density::check_value;
pub use density::{FromFn, LogDensityGradient};
pub use gradient_check::{CoordinateCheck, GradientReport, Verdict, check_gradient};
pub use labels::Labels;
pub use layout::Variable;
pub use log_p::{LogP, RowTerms};
pub(crate) use minibatch::Minibatch;
pub use model_family::ModelFamily;
pub use posterior::{Model, Posterior};
pub use simulate::Simulate;
pub use space::Space;
pub use state_space::{LookAhead, Proposal, StateSpaceModel, TransitionDensity};
pub use target::{Evaluator, LogDensityParts, Target};
pub use values::Values;
pub use with_gradient::{Density, WithGradient};
pub use with_parts::{PriorAndLikelihood, WithParts};
