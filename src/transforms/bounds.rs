//! Half-lines and intervals. Bounds may be constants or other parameters.

use super::OutsideSupport;
use crate::autodiff::{Accumulator, Element, Real};

/// x = lower + eᵘ, ln |J| = u.
pub fn lower<T: Real>(u: T, bound: T, jacobian: &mut Accumulator<T>) -> T {
    jacobian.add(u);
    bound + u.exp()
}

/// The inverse of [`lower`]: ln(x - lower).
///
/// # Errors
/// [`OutsideSupport`] unless lower < x < ∞.
pub fn lower_inverse(x: f64, bound: f64) -> Result<f64, OutsideSupport> {
    if x > bound && x.is_finite() {
        Ok((x - bound).ln())
    } else {
        Err(OutsideSupport { index: 0, value: x, support: "finite and above the lower bound" })
    }
}

/// x = upper - eᵘ, ln |J| = u.
pub fn upper<T: Real>(u: T, bound: T, jacobian: &mut Accumulator<T>) -> T {
    jacobian.add(u);
    bound - u.exp()
}

/// The inverse of [`upper`]: ln(upper - x).
///
/// # Errors
/// [`OutsideSupport`] unless -∞ < x < upper.
pub fn upper_inverse(x: f64, bound: f64) -> Result<f64, OutsideSupport> {
    if x < bound && x.is_finite() {
        Ok((bound - x).ln())
    } else {
        Err(OutsideSupport { index: 0, value: x, support: "finite and below the upper bound" })
    }
}

/// x = lower + (upper - lower)·s with s = 1/(1 + e⁻ᵘ), ln |J| = ln(upper - lower) + ln s + ln(1 - s).
///
/// An empty interval (lower ≥ upper) gives NaN, which an evaluation reports as an error.
pub fn interval<T: Real>(u: T, lower: T, upper: T, jacobian: &mut Accumulator<T>) -> T {
    let e = u.element();
    let share = e.inv_logit();
    jacobian.add_value(-(e.log1p_exp()) - (-e).log1p_exp());
    jacobian.push(u, -(share * 2.0) + 1.0);
    let width = upper - lower;
    jacobian.add(width.ln());
    lower + width * u.unary(share, share * (-share + 1.0))
}

/// The inverse of [`interval`]: the logit of (x - lower)/(upper - lower).
///
/// # Errors
/// [`OutsideSupport`] unless lower < x < upper.
pub fn interval_inverse(x: f64, lower: f64, upper: f64) -> Result<f64, OutsideSupport> {
    if x > lower && x < upper {
        Ok(((x - lower) / (upper - x)).ln())
    } else {
        Err(OutsideSupport { index: 0, value: x, support: "inside the interval" })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::check_bijection;
    use super::*;
    use crate::autodiff::Value;

    #[test]
    fn half_lines() {
        fn forward<T: Real>(u: &[T], jacobian: &mut Accumulator<T>) -> Vec<T> {
            let first = lower(u[0], T::constant(-1.5), jacobian);
            vec![first, lower(u[1], first, jacobian), upper(u[2], first * 2.0, jacobian)]
        }
        for u in [[0.3, -1.0, 2.0], [-4.0, 3.0, 0.0]] {
            check_bijection(
                &u,
                &[0, 1, 2],
                forward,
                |u, j| forward(u, j),
                |x| {
                    vec![
                        lower_inverse(x[0], -1.5).unwrap(),
                        lower_inverse(x[1], x[0]).unwrap(),
                        upper_inverse(x[2], 2.0 * x[0]).unwrap(),
                    ]
                },
            );
        }
    }

    #[test]
    fn an_interval_that_depends_on_another_parameter() {
        fn forward<T: Real>(u: &[T], jacobian: &mut Accumulator<T>) -> Vec<T> {
            let a = interval(u[0], T::constant(0.0), T::constant(1.0), jacobian);
            let b = interval(u[1], T::constant(0.0), -a + 1.0, jacobian);
            vec![a, b, interval(u[2], T::constant(-3.0), T::constant(4.0), jacobian)]
        }
        for u in [[0.3, -1.0, 2.0], [-4.0, 3.0, 0.0]] {
            check_bijection(
                &u,
                &[0, 1, 2],
                forward,
                |u, j| forward(u, j),
                |x| {
                    vec![
                        interval_inverse(x[0], 0.0, 1.0).unwrap(),
                        interval_inverse(x[1], 0.0, 1.0 - x[0]).unwrap(),
                        interval_inverse(x[2], -3.0, 4.0).unwrap(),
                    ]
                },
            );
        }
    }

    #[test]
    fn values_outside_are_refused() {
        for x in [1.0, 0.5, f64::NAN, f64::INFINITY] {
            assert!(lower_inverse(x, 1.0).is_err());
        }
        for x in [1.0, 1.5, f64::NAN, f64::NEG_INFINITY] {
            assert!(upper_inverse(x, 1.0).is_err());
        }
        for x in [0.0, 1.0, -0.1, 1.1, f64::NAN] {
            assert!(interval_inverse(x, 0.0, 1.0).is_err());
        }
    }

    #[test]
    fn an_empty_interval_is_nan() {
        let mut jacobian = Accumulator::new();
        interval(Value(0.0), Value(1.0), Value(0.5), &mut jacobian);
        assert!(jacobian.value().is_nan());
    }
}
