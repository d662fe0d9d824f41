//! The matrix of second derivatives, from products with unit vectors.

use crate::error::DensityError;
use crate::model::Evaluator;

/// Gradient evaluations that one product with the Hessian counts for.
pub(super) const EVALUATIONS_PER_PRODUCT: u64 = 2;

/// Writes the negative Hessian of the log density to `out`, d x d row-major and exactly symmetric, from d products.
///
/// # Errors
/// Those of the target; [`DensityError::NotANumber`] for an entry that is not finite.
pub(super) fn negative_hessian(evaluator: &mut dyn Evaluator, position: &[f64], out: &mut [f64]) -> Result<(), DensityError> {
    let dim = position.len();
    let mut unit = vec![0.0; dim];
    for (j, row) in out.chunks_exact_mut(dim).enumerate() {
        unit[j] = 1.0;
        evaluator.hessian_vector(position, &unit, row)?;
        unit[j] = 0.0;
    }
    for i in 0..dim {
        for j in 0..=i {
            let symmetric = -0.5 * (out[i * dim + j] + out[j * dim + i]);
            if !symmetric.is_finite() {
                return Err(DensityError::NotANumber);
            }
            out[i * dim + j] = symmetric;
            out[j * dim + i] = symmetric;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Density, Target, WithGradient};

    /// Gradients that are none, as those with errors are: their Jacobian is [[-2, -3], [-1, -5]].
    struct Skewed;

    impl Density for Skewed {
        fn dim(&self) -> usize {
            2
        }
        fn log_density_gradient(&self, q: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
            gradient.copy_from_slice(&[-2.0 * q[0] - 3.0 * q[1], -q[0] - 5.0 * q[1]]);
            Ok(0.0)
        }
    }

    #[test]
    fn the_matrix_is_the_symmetric_part() {
        let target = WithGradient(Skewed);
        let mut hessian = [0.0; 4];
        negative_hessian(&mut *target.evaluator().unwrap(), &[0.3, -0.2], &mut hessian).unwrap();
        assert!(hessian.iter().zip([2.0, 2.0, 2.0, 5.0]).all(|(h, e)| (h - e).abs() < 1e-8), "{hessian:?}");
        assert_eq!(hessian[1], hessian[2]);
    }
}
