//! Scores at given positions, and the positions of draws.

use ndarray::{Array2, ArrayView2};

use super::points::rows;
use crate::draws::Draws;
use crate::error::{DensityError, Error};
use crate::model::{Target, Values};
use crate::parallel::map_indexed;

/// Positions that one evaluator works on.
const BLOCK: usize = 64;

/// The gradients of the log density at positions of shape (point, coordinate) in the target's unconstrained coordinates, of the same shape.
///
/// # Errors
/// [`Error::Empty`], [`Error::NotFinite`] or [`Error::Dimension`] for the positions; [`Error::Position`] with the first one at which the log density
/// or its gradient is not finite.
pub fn scores_of<T: Target + ?Sized>(target: &T, positions: ArrayView2<'_, f64>) -> Result<Array2<f64>, Error> {
    let dim = target.dim()?;
    let (n, found) = positions.dim();
    let positions = rows("positions", positions)?;
    if found != dim {
        return Err(Error::Dimension { what: "coordinates of the positions", expected: dim, found });
    }
    let blocks = map_indexed(n.div_ceil(BLOCK), None, |block| {
        let mut evaluator = target.evaluator()?;
        let first = block * BLOCK;
        let positions = &positions[first * dim..n.min(first + BLOCK) * dim];
        let mut scores = vec![0.0; positions.len()];
        for (i, (position, score)) in positions.chunks_exact(dim).zip(scores.chunks_exact_mut(dim)).enumerate() {
            let at = |source| Error::Position { index: first + i, source };
            if evaluator.log_density_gradient(position, score).map_err(at)? == f64::NEG_INFINITY {
                return Err(at(DensityError::Rejected { reason: "the log density is -inf, a gradient does not exist" }));
            }
        }
        Ok(scores)
    });
    let mut scores = Vec::with_capacity(n * dim);
    for block in blocks {
        scores.extend(block?);
    }
    Array2::from_shape_vec((n, dim), scores).map_err(|_| Error::Dimension { what: "scores", expected: n * dim, found: 0 })
}

/// All draws of a posterior in the target's unconstrained coordinates, of shape (chain · draw, coordinate): chain by chain.
///
/// # Errors
/// [`Error::UnknownVariable`] if the draws lack a variable of the target; [`Error::OutsideSupport`] or what else the target's unconstraining map
/// reports.
pub fn unconstrained_draws<T: Target + ?Sized>(target: &T, draws: &Draws) -> Result<Array2<f64>, Error> {
    let dim = target.dim()?;
    let variables = target.variables()?;
    let columns = variables.iter().map(|variable| draws.variable(&variable.name)).collect::<Result<Vec<_>, _>>()?;
    let (n_chains, n_draws) = (draws.n_chains(), draws.n_draws());
    let mut positions = Vec::with_capacity(n_chains * n_draws * dim);
    for chain in 0..n_chains {
        for draw in 0..n_draws {
            let mut values = Values::new();
            for (variable, column) in variables.iter().zip(&columns) {
                let entries = column.index_axis(ndarray::Axis(0), chain).index_axis_move(ndarray::Axis(0), draw);
                values.set_array(&variable.name, entries.shape(), entries.iter().copied().collect());
            }
            positions.extend(target.unconstrain(&values)?);
        }
    }
    let found = positions.len();
    Array2::from_shape_vec((n_chains * n_draws, dim), positions).map_err(|_| Error::Dimension {
        what: "unconstrained coordinates",
        expected: n_chains * n_draws * dim,
        found,
    })
}
