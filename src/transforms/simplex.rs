//! The unit simplex by stick-breaking.

use super::OutsideSupport;
use crate::autodiff::{Accumulator, Element, Real};

/// K - 1 numbers to K positive ones of sum 1, by breaking a stick of length 1.
///
/// ```text
/// sₖ = 1 / (1 + exp(-(uₖ - ln(K - k))))       the share broken off, k = 1 .. K-1
/// xₖ = rₖ sₖ,   rₖ₊₁ = rₖ (1 - sₖ),   r₁ = 1,   xK = rK
/// ln |J| = Σₖ ln rₖ + ln sₖ + ln(1 - sₖ)
/// ```
/// u = 0 is the centre of the simplex.
pub fn simplex<T: Real>(u: &[T], jacobian: &mut Accumulator<T>) -> Vec<T> {
    let n = u.len() + 1;
    let mut rest = T::constant(1.0);
    let mut x = Vec::with_capacity(n);
    for (k, &u) in u.iter().enumerate() {
        let shifted = u - ((n - 1 - k) as f64).ln();
        let e = shifted.element();
        jacobian.add_value(-(e.log1p_exp()) - (-e).log1p_exp());
        jacobian.push(shifted, -(e.inv_logit() * 2.0) + 1.0);
        if k > 0 {
            jacobian.add(rest.ln());
        }
        x.push(rest * shifted.inv_logit());
        rest *= (-shifted).inv_logit();
    }
    x.push(rest);
    x
}

/// The inverse of [`simplex`].
///
/// # Errors
/// [`OutsideSupport`] unless all entries are positive and their sum is 1 up to 1e-8; the sum is reported at the index past the end.
pub fn simplex_inverse(x: &[f64]) -> Result<Vec<f64>, OutsideSupport> {
    let support = "positive entries of sum 1";
    if let Some(index) = x.iter().position(|&x| !(x > 0.0)) {
        return Err(OutsideSupport { index, value: x[index], support });
    }
    let total: f64 = x.iter().sum();
    if !((total - 1.0).abs() <= 1e-8) {
        return Err(OutsideSupport { index: x.len(), value: total, support });
    }
    // Sums from the end keep small remainders exact.
    let mut rest = vec![0.0; x.len()];
    for k in (0..x.len() - 1).rev() {
        rest[k] = rest[k + 1] + x[k + 1];
    }
    Ok((0..x.len() - 1).map(|k| (x[k] / rest[k]).ln() + ((x.len() - 1 - k) as f64).ln()).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::check_bijection;
    use super::*;
    use crate::autodiff::Value;

    #[test]
    fn stick_breaking_is_a_bijection() {
        for u in [vec![0.4], vec![0.3, -1.0, 2.0], vec![-3.0, 0.1, 0.2, 1.0]] {
            let free: Vec<usize> = (0..u.len()).collect();
            check_bijection(&u, &free, simplex, |u, j| simplex(u, j), |x| simplex_inverse(x).unwrap());
        }
    }

    #[test]
    fn zero_is_the_centre_and_extremes_stay_on_the_simplex() {
        let at = |u: &[f64]| -> Vec<f64> {
            let u: Vec<Value> = u.iter().map(|&u| Value(u)).collect();
            simplex(&u, &mut Accumulator::new()).into_iter().map(f64::from).collect()
        };
        for x in at(&[0.0; 4]) {
            approx::assert_relative_eq!(x, 0.2, max_relative = 1e-14);
        }
        let x = at(&[40.0, -600.0, 3.0]);
        assert!(x.iter().all(|&x| x >= 0.0));
        approx::assert_relative_eq!(x.iter().sum::<f64>(), 1.0, max_relative = 1e-14);
    }

    #[test]
    fn values_outside_are_refused() {
        assert_eq!(simplex_inverse(&[0.5, -0.1, 0.6]).unwrap_err().index, 1);
        assert_eq!(simplex_inverse(&[0.5, 0.4]).unwrap_err().index, 2);
        assert!(simplex_inverse(&[f64::NAN, 0.5]).is_err());
        assert!(simplex_inverse(&[]).is_err());
    }
}
