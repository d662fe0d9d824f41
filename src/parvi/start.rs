//! Where a cloud starts.

use ndarray::Array2;

use crate::error::{Error, check};
use crate::model::Target;
use crate::rng::{Purpose, Stream};

/// Where the particles start, in the target's unconstrained coordinates.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CloudStart {
    /// Independent draws of N(0, sd²) in every coordinate.
    Normal {
        /// Standard deviation, positive.
        sd: f64,
    },
    /// Draws of the prior, if the target offers them.
    Prior,
    /// Given positions, one particle per row: they decide the number of particles.
    Positions(Array2<f64>),
}

impl Default for CloudStart {
    fn default() -> Self {
        Self::Normal { sd: 1.0 }
    }
}

impl CloudStart {
    /// The positions of all particles, row-major. Each particle draws from its own stream, so that more of them leave the first ones as they are.
    pub(super) fn positions<T: Target + ?Sized>(
        &self,
        target: &T,
        n_particles: usize,
        dim: usize,
        seed: u64,
    ) -> Result<Vec<f64>, Error> {
        let stream = |particle: usize| Stream::keyed(seed, Purpose::Start, 0, particle as u64);
        let n_coordinates = || {
            check::at_least("n_particles", n_particles, 1, "at least 1")?;
            let fits = n_particles.checked_mul(dim).filter(|n| *n <= isize::MAX as usize / size_of::<f64>());
            let rule = "so few that their coordinates fit into memory";
            fits.ok_or(Error::InvalidSetting { setting: "n_particles", value: n_particles as f64, rule })
        };
        match self {
            Self::Normal { sd } => {
                let n = n_coordinates()?;
                check::positive("sd of the start", *sd)?;
                let mut positions = vec![0.0; n];
                for (i, position) in positions.chunks_exact_mut(dim).enumerate() {
                    stream(i).fill_normal(position);
                }
                positions.iter_mut().for_each(|x| *x *= sd);
                Ok(positions)
            }
            Self::Prior => {
                n_coordinates()?;
                let mut positions = Vec::new();
                for i in 0..n_particles {
                    let values = target.sample_prior(&mut stream(i))?.ok_or(Error::NoPriorSampler)?;
                    positions.extend(target.unconstrain(&values)?);
                }
                Ok(positions)
            }
            Self::Positions(given) => {
                if given.nrows() == 0 {
                    return Err(Error::Empty { what: "start positions" });
                }
                if given.ncols() != dim {
                    return Err(Error::Dimension { what: "columns of the start positions", expected: dim, found: given.ncols() });
                }
                Ok(given.iter().copied().collect())
            }
        }
    }
}

/// Fails for the first coordinate that is not finite.
pub(super) fn check_finite(positions: &[f64], dim: usize) -> Result<(), Error> {
    match positions.iter().position(|x| !x.is_finite()) {
        Some(at) => Err(Error::ParticleNotFinite {
            particle: at / dim,
            iteration: 0,
            what: "start position",
            index: at % dim,
            value: positions[at],
        }),
        None => Ok(()),
    }
}
