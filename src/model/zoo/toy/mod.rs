//! Six targets in the plane: what each sampler can and cannot do is seen at once, and all of them are sampled exactly.
//!
//! | name | target | difficulty |
//! |---|---|---|
//! | `gaussian` | [`Gaussian`] | none: correlation |
//! | `mixture` | [`Mixture`] | two modes far apart |
//! | `rosenbrock` | [`Rosenbrock`] | a bent ridge |
//! | `donut` | [`Donut`] | a ring without a mode |
//! | `funnel` | [`Funnel`] | scales over several orders of magnitude |
//! | `squiggle` | [`Squiggle`] | a wave |
//!
//! Four [energies](Energy) more are known up to how they are sampled, the usual trials of normalizing flows.
//!
//! Log densities of the six are normalised. They are the planar targets of Sharrock & Nemeth 2023, <https://arxiv.org/abs/2301.11294>; the score of the
//! funnel is the gradient of its log density.

mod bivariate;
mod curved;
mod donut;
mod energy;
mod funnel;
mod gaussian;

use std::fmt::Debug;

use ndarray::Array2;

pub use curved::{Rosenbrock, Squiggle};
pub use donut::Donut;
pub use energy::Energy;
pub use funnel::Funnel;
pub use gaussian::{Gaussian, Mixture};

use crate::error::{DensityError, Error};
use crate::model::{Density, Variable};
use crate::rng::Stream;

/// A density in the plane that is sampled exactly.
///
/// ```
/// use posterity::model::{Target, WithGradient};
/// use posterity::model::zoo::toy;
/// use posterity::rng::Stream;
/// let donut = toy::by_name("donut")?;
/// let [x, y] = donut.sample(&mut Stream::new(1));
/// // The ring has radius 2.5 and is 0.5 thick.
/// assert!((x.hypot(y) - 2.5).abs() < 2.5);
/// assert_eq!(WithGradient(donut).dim()?, 2);
/// # Ok::<(), posterity::Error>(())
/// ```
pub trait Planar: Density + Debug + Send {
    /// The name by which [`by_name`] finds it.
    fn name(&self) -> &'static str;

    /// An exact draw.
    fn sample(&self, rng: &mut Stream) -> [f64; 2];

    /// Independent exact draws, of shape (n, 2).
    fn samples(&self, n: usize, rng: &mut Stream) -> Array2<f64> {
        let mut draws = Array2::zeros((n, 2));
        for mut row in draws.rows_mut() {
            [row[0], row[1]] = self.sample(rng);
        }
        draws
    }
}

impl Density for Box<dyn Planar> {
    fn dim(&self) -> usize {
        (**self).dim()
    }

    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        (**self).log_density_gradient(position, gradient)
    }

    fn variables(&self) -> Vec<Variable> {
        (**self).variables()
    }
}

/// All six, in the order of the table above.
#[must_use]
pub fn all() -> [Box<dyn Planar>; 6] {
    [Box::new(Gaussian), Box::new(Mixture), Box::new(Rosenbrock), Box::new(Donut), Box::new(Funnel), Box::new(Squiggle)]
}

/// The target of this name.
///
/// # Errors
/// [`Error::UnknownModel`].
pub fn by_name(name: &str) -> Result<Box<dyn Planar>, Error> {
    all().into_iter().find(|target| target.name() == name).ok_or_else(|| Error::UnknownModel { name: name.to_owned() })
}
