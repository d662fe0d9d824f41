//! Increasing vectors.

use super::OutsideSupport;
use crate::autodiff::{Accumulator, Real};

/// x₁ = u₁, xₖ = xₖ₋₁ + exp(uₖ); ln |J| = u₂ + … + uK.
pub fn ordered<T: Real>(u: &[T], jacobian: &mut Accumulator<T>) -> Vec<T> {
    let mut x: Vec<T> = Vec::with_capacity(u.len());
    for &u in u {
        match x.last() {
            None => x.push(u),
            Some(&previous) => {
                jacobian.add(u);
                x.push(previous + u.exp());
            }
        }
    }
    x
}

/// The inverse of [`ordered`].
///
/// # Errors
/// [`OutsideSupport`] unless the entries are finite and strictly increasing.
pub fn ordered_inverse(x: &[f64]) -> Result<Vec<f64>, OutsideSupport> {
    let mut u = Vec::with_capacity(x.len());
    for (index, &value) in x.iter().enumerate() {
        let inside = value.is_finite() && (index == 0 || value > x[index - 1]);
        if !inside {
            return Err(OutsideSupport { index, value, support: "finite and strictly increasing" });
        }
        u.push(if index == 0 { value } else { (value - x[index - 1]).ln() });
    }
    Ok(u)
}

/// x₁ = exp(u₁), xₖ = xₖ₋₁ + exp(uₖ); ln |J| = u₁ + … + uK.
pub fn positive_ordered<T: Real>(u: &[T], jacobian: &mut Accumulator<T>) -> Vec<T> {
    let mut x: Vec<T> = Vec::with_capacity(u.len());
    for &u in u {
        jacobian.add(u);
        let step = u.exp();
        x.push(x.last().map_or(step, |&previous| previous + step));
    }
    x
}

/// The inverse of [`positive_ordered`].
///
/// # Errors
/// [`OutsideSupport`] unless the entries are finite, positive and strictly increasing.
pub fn positive_ordered_inverse(x: &[f64]) -> Result<Vec<f64>, OutsideSupport> {
    let mut u = Vec::with_capacity(x.len());
    let mut previous = 0.0;
    for (index, &value) in x.iter().enumerate() {
        if !(value > previous && value.is_finite()) {
            return Err(OutsideSupport { index, value, support: "finite, positive and strictly increasing" });
        }
        u.push((value - previous).ln());
        previous = value;
    }
    Ok(u)
}

#[cfg(test)]
mod tests {
    use super::super::testing::check_bijection;
    use super::*;

    #[test]
    fn both_are_bijections() {
        for u in [[0.3, -1.0, 2.0], [-4.0, 3.0, 0.0]] {
            check_bijection(&u, &[0, 1, 2], ordered, |u, j| ordered(u, j), |x| ordered_inverse(x).unwrap());
            let inverse = |x: &[f64]| positive_ordered_inverse(x).unwrap();
            check_bijection(&u, &[0, 1, 2], positive_ordered, |u, j| positive_ordered(u, j), inverse);
        }
    }

    #[test]
    fn values_outside_are_refused() {
        assert_eq!(ordered_inverse(&[1.0, 1.0]).unwrap_err().index, 1);
        assert_eq!(ordered_inverse(&[f64::NAN]).unwrap_err().index, 0);
        assert_eq!(positive_ordered_inverse(&[0.0, 1.0]).unwrap_err().index, 0);
        assert_eq!(positive_ordered_inverse(&[0.5, f64::INFINITY]).unwrap_err().index, 1);
        assert_eq!(ordered_inverse(&[]).unwrap(), Vec::<f64>::new());
    }
}
