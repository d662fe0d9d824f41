//! Bijections from ℝᵈ to the supports of parameters, with log-Jacobians and inverses.
//!
//! A forward function maps unconstrained numbers to a constrained value and adds ln |∂x/∂u| to an [`Accumulator`]; it is generic over
//! [`Real`], so it is differentiated with the model. An inverse takes plain numbers and says which one lies outside the support.
//! Models use them through [`Space`](crate::model::Space).

mod bounds;
mod correlation;
mod ordered;
mod simplex;

pub use bounds::{interval, interval_inverse, lower, lower_inverse, upper, upper_inverse};
pub use correlation::{cholesky_correlation, cholesky_correlation_inverse};
pub use ordered::{ordered, ordered_inverse, positive_ordered, positive_ordered_inverse};
pub use simplex::{simplex, simplex_inverse};

#[cfg(doc)]
use crate::autodiff::{Accumulator, Real};

/// A value outside the support of a transform.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("entry {index} is {value}, outside the support ({support})")]
pub struct OutsideSupport {
    /// Position of the entry.
    pub index: usize,
    /// The entry.
    pub value: f64,
    /// The support in words.
    pub support: &'static str,
}

#[cfg(test)]
pub(crate) mod testing {
    use crate::autodiff::{Accumulator, Tape, Value, Var};

    /// Checks that `forward` inverts `inverse`, that its log-Jacobian is the log-determinant of the numerically differentiated map
    /// (restricted to the coordinates `free` of the output), and that tape and plain numbers agree.
    pub(crate) fn check_bijection(
        u: &[f64],
        free: &[usize],
        forward: impl Fn(&[Value], &mut Accumulator<Value>) -> Vec<Value>,
        on_tape: impl for<'t> Fn(&[Var<'t>], &mut Accumulator<Var<'t>>) -> Vec<Var<'t>>,
        inverse: impl Fn(&[f64]) -> Vec<f64>,
    ) {
        let map = |u: &[f64]| {
            let mut jacobian = Accumulator::new();
            let u: Vec<Value> = u.iter().map(|&x| Value(x)).collect();
            let x: Vec<f64> = forward(&u, &mut jacobian).into_iter().map(f64::from).collect();
            (x, jacobian.value())
        };
        let (x, log_jacobian) = map(u);
        for (back, &start) in inverse(&x).iter().zip(u) {
            assert!((back - start).abs() < 1e-9 * start.abs().max(1.0), "{back} is not {start}");
        }
        let n = u.len();
        assert_eq!(free.len(), n);
        // Central differences, h = 1e-5: relative error about 1e-9.
        let h = 1e-5;
        let mut matrix = vec![vec![0.0; n]; n];
        for j in 0..n {
            let (mut above, mut below) = (u.to_vec(), u.to_vec());
            above[j] += h;
            below[j] -= h;
            let (above, below) = (map(&above).0, map(&below).0);
            for (i, &coordinate) in free.iter().enumerate() {
                matrix[i][j] = (above[coordinate] - below[coordinate]) / (2.0 * h);
            }
        }
        let numeric = ln_abs_determinant(matrix);
        assert!((numeric - log_jacobian).abs() < 1e-6, "ln|J| {log_jacobian} against {numeric}");

        let mut tape = Tape::new();
        let mut gradient = vec![0.0; n];
        let weights: Vec<f64> = (0..x.len()).map(|i| 0.3 + (i as f64 * 1.3).sin()).collect();
        let plain = |u: &[f64]| {
            let (x, log_jacobian) = map(u);
            log_jacobian + x.iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>()
        };
        let value = tape.gradient(u, &mut gradient, |v| {
            let mut jacobian = Accumulator::new();
            let x = on_tape(v, &mut jacobian);
            for (&x, &w) in x.iter().zip(&weights) {
                jacobian.add(x * w);
            }
            jacobian.finish()
        });
        assert!((value - plain(u)).abs() < 1e-12 * value.abs().max(1.0));
        for j in 0..n {
            let (mut above, mut below) = (u.to_vec(), u.to_vec());
            above[j] += h;
            below[j] -= h;
            let slope = (plain(&above) - plain(&below)) / (2.0 * h);
            assert!((gradient[j] - slope).abs() < 1e-7 * slope.abs().max(1.0), "{j}: {} against {slope}", gradient[j]);
        }
    }

    fn ln_abs_determinant(mut a: Vec<Vec<f64>>) -> f64 {
        let n = a.len();
        let mut total = 0.0;
        for k in 0..n {
            let pivot = (k..n).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs())).unwrap();
            a.swap(k, pivot);
            total += a[k][k].abs().ln();
            for i in k + 1..n {
                let factor = a[i][k] / a[k][k];
                for j in k..n {
                    a[i][j] -= factor * a[k][j];
                }
            }
        }
        total
    }
}
