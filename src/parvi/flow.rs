//! The face of a flow of particles.

use std::fmt::Debug;

use super::density::CloudDensity;
use crate::error::Error;

/// A cloud of particles: `positions` holds them one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Cloud<'a> {
    /// Number of particles, N.
    pub n_particles: usize,
    /// Coordinates of each, d.
    pub dim: usize,
    /// N · d numbers, row-major.
    pub positions: &'a [f64],
}

impl<'a> Cloud<'a> {
    /// The coordinates of one particle.
    ///
    /// # Panics
    /// If there is no such particle.
    #[must_use]
    pub fn particle(&self, index: usize) -> &'a [f64] {
        &self.positions[index * self.dim..(index + 1) * self.dim]
    }
}

/// In which direction each particle of a cloud goes.
///
/// Directions are those of *ascent*: of the log density, less what keeps particles apart. Their scale is the flow's own; the coin rule
/// does not see it.
///
/// A flow may move in other coordinates than those of the target, as mirrored flows do: then [`Flow::target_position`] and [`Flow::start_at`] map
/// between them, and the cloud that [`Flow::directions`] sees is in the flow's coordinates.
pub trait Flow: Debug + Send {
    /// The flow's name with the settings that matter.
    fn name(&self) -> String;

    /// Fails if the flow cannot run with these settings, on this many particles of this dimension.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::Dimension`]; [`Error::Empty`] for no particles.
    fn validate(&self, n_particles: usize, dim: usize) -> Result<(), Error>;

    /// Writes the direction of every particle to `out` (N · d, as the positions).
    ///
    /// # Errors
    /// What the density reports: [`Error::Particle`]. [`Error::NotFinite`] with the index of the particle for which something else leaves the range
    /// of numbers; runs report it as [`Error::ParticleNotFinite`].
    fn directions(&mut self, cloud: Cloud<'_>, density: &mut dyn CloudDensity, out: &mut [f64]) -> Result<(), Error>;

    /// Where one particle at `position` in the flow's coordinates stands in the target's.
    fn target_position(&self, position: &[f64], out: &mut [f64]) {
        out.copy_from_slice(position);
    }

    /// The flow's coordinates of one particle that starts at `position` in the target's.
    ///
    /// # Errors
    /// [`Error::OutsideSupport`] if the flow has no such position.
    fn start_at(&self, position: &[f64], out: &mut [f64]) -> Result<(), Error> {
        out.copy_from_slice(position);
        Ok(())
    }

    /// Whether scores estimated from minibatches of the observations will do. Not for flows that take anything else of the density.
    fn uses_minibatches(&self) -> bool {
        true
    }

    /// The number of particles from which variances come out right to about a tenth in this dimension; `None` where no
    /// such law has been measured.
    fn particles_wanted(&self, _dim: usize) -> Option<usize> {
        None
    }
}
