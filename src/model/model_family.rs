//! Families of models: one model per value of the parameters.

use crate::error::DensityError;

/// A family of models indexed by parameters θ, for algorithms that infer θ together with the hidden states.
///
/// The trait says nothing of what a model is. Particle MCMC and nested filters ask for one that the engine runs: a
/// [`StateSpaceModel`](crate::model::StateSpaceModel) in an adapter, so that the family also chooses how particles are proposed. Closures
/// from `&[f64]` are families.
///
/// ```
/// use posterity::DensityError;
/// use posterity::model::{ModelFamily, zoo::Ar1};
/// use posterity::smc::Guided;
///
/// /// A random walk with unknown persistence, seen with unit noise.
/// struct Family { y: Vec<f64> }
///
/// impl ModelFamily for Family {
///     type Model = Guided<Ar1>;
///     fn at(&self, parameters: &[f64]) -> Result<Guided<Ar1>, DensityError> {
///         let &[rho] = parameters else { return Err(DensityError::Dimension { expected: 1, found: parameters.len() }) };
///         if !(rho.abs() < 1.0) {
///             return Err(DensityError::Rejected { reason: "not stationary" });
///         }
///         Ok(Guided(Ar1 { rho, sigma_x: 1.0, sigma_y: 1.0, y: self.y.clone() }))
///     }
/// }
///
/// let family = Family { y: vec![0.3, -0.1] };
/// assert_eq!(family.at(&[0.5])?.0.rho, 0.5);
/// assert!(family.at(&[1.5]).is_err_and(|error| error.is_recoverable()));
/// # Ok::<(), DensityError>(())
/// ```
pub trait ModelFamily: Sync {
    /// One model of the family. It owns its data or shares them, by an [`Arc`](std::sync::Arc) for instance.
    type Model;

    /// The model at a value of the parameters: constrained, in the order of the prior's variables, row-major within a variable.
    ///
    /// # Errors
    /// A recoverable error ([`DensityError::is_recoverable`]) says that there is no model at this value: its likelihood is 0, and a
    /// proposal is rejected. Any other one ends the run.
    fn at(&self, parameters: &[f64]) -> Result<Self::Model, DensityError>;
}

impl<M, F: Fn(&[f64]) -> Result<M, DensityError> + Sync> ModelFamily for F {
    type Model = M;

    fn at(&self, parameters: &[f64]) -> Result<M, DensityError> {
        self(parameters)
    }
}
