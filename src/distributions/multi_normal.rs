//! The multivariate normal distribution, by the Cholesky factor of its covariance or by the covariance.

use rand::rand_core::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::family::{Statement, check_nonempty, check_variate, common_length, require_finite};
use super::normal::HALF_LN_2PI;
use crate::autodiff::{Accumulator, Element, Lower, Operands, Real, Value};
use crate::error::DensityError;

/// N(mean, L·Lᵀ) in n dimensions: log density -½|z|² - Σ ln Lᵢᵢ - ½ n ln 2π with L·z = y - mean.
///
/// ```
/// use posterity::autodiff::Lower;
/// use posterity::distributions::MultiNormal;
/// let factor = Lower::from_entries(2, vec![2.0, 0.6, 0.8])?;
/// let normal = MultiNormal::new(vec![1.0, -1.0], factor)?;
/// let at_mean = -(2.0 * std::f64::consts::PI).ln() - 1.6_f64.ln();
/// assert!((normal.ln_pdf(&[1.0, -1.0])? - at_mean).abs() < 1e-14);
/// # Ok::<(), posterity::DensityError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MultiNormal {
    mean: Vec<f64>,
    factor: Lower<f64>,
}

impl MultiNormal {
    /// The distribution with this mean and Cholesky factor of the covariance.
    ///
    /// # Errors
    /// [`DensityError::Length`] if the sizes differ, [`DensityError::Parameter`] if a mean is not finite,
    /// [`DensityError::NotPositiveDefinite`] if a diagonal entry of the factor is not positive and finite.
    pub fn new(mean: Vec<f64>, factor: Lower<f64>) -> Result<Self, DensityError> {
        common_length(NAME, &[Some(factor.n()), Some(mean.len())])?;
        for &m in &mean {
            require_finite(NAME, "mean", m)?;
        }
        check_factor(factor.n(), factor.entries())?;
        Ok(Self { mean, factor })
    }

    /// The log density at `y`.
    ///
    /// # Errors
    /// [`DensityError::Length`] if `y` has another length than the mean.
    pub fn ln_pdf(&self, y: &[f64]) -> Result<f64, DensityError> {
        let mut node = Accumulator::<Value>::new();
        multi_normal_cholesky(Statement::whole(&mut node), y, &self.mean, &self.factor)?;
        Ok(node.value())
    }
}

impl Distribution<Vec<f64>> for MultiNormal {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> Vec<f64> {
        let z: Vec<f64> = (0..self.mean.len()).map(|_| StandardNormal.sample(rng)).collect();
        let row = |i| self.factor.row(i).iter().zip(&z).map(|(l, z)| l * z).sum::<f64>();
        self.mean.iter().enumerate().map(|(i, mean)| mean + row(i)).collect()
    }
}

const NAME: &str = "multi_normal";

fn check_factor<E: Element>(n: usize, l: &[E]) -> Result<(), DensityError> {
    for i in 0..n {
        let pivot = l[at(i, i)].value();
        if !(pivot > 0.0 && pivot < f64::INFINITY) {
            return Err(DensityError::NotPositiveDefinite { what: "Cholesky factor of the covariance", pivot: i });
        }
    }
    Ok(())
}

/// Index of entry (i, j) in the lower triangle.
#[inline(always)]
const fn at(i: usize, j: usize) -> usize {
    i * (i + 1) / 2 + j
}

/// The value, z = L⁻¹(y - mean) and w = L⁻ᵀz.
struct Solved<E> {
    value: E,
    z: Vec<E>,
    w: Vec<E>,
}

fn solve<E: Element>(n: usize, l: &[E], residual: Vec<E>) -> Solved<E> {
    let mut z = residual;
    let mut value = E::constant(-HALF_LN_2PI * n as f64);
    for i in 0..n {
        for j in 0..i {
            let known = z[j];
            z[i] -= l[at(i, j)] * known;
        }
        z[i] = z[i] / l[at(i, i)];
        value -= z[i] * z[i] * 0.5 + l[at(i, i)].ln();
    }
    let mut w = z.clone();
    for i in (0..n).rev() {
        w[i] = w[i] / l[at(i, i)];
        let solved = w[i];
        for j in 0..i {
            w[j] -= l[at(i, j)] * solved;
        }
    }
    Solved { value, z, w }
}

/// y - mean, checked.
fn residual<T, Y, M>(n: usize, y: &Y, mean: &M) -> Result<Vec<T::Element>, DensityError>
where
    T: Real,
    Y: Operands<T> + ?Sized,
    M: Operands<T> + ?Sized,
{
    check_nonempty::<T, Y>(NAME, y)?;
    common_length(NAME, &[Some(n), y.length(), mean.length()])?;
    let mut residual = Vec::with_capacity(n);
    for i in 0..n {
        let centre = mean.at(i);
        require_finite(NAME, "mean", centre.value())?;
        residual.push(check_variate::<T, Y>(NAME, y, i)? - centre);
    }
    Ok(residual)
}

/// Adds the value with the derivatives by y and the mean, which are ∓w.
fn add<T, Y, M>(statement: Statement<'_, T>, y: &Y, mean: &M, solved: &Solved<T::Element>) -> Result<(), DensityError>
where
    T: Real,
    Y: Operands<T> + ?Sized,
    M: Operands<T> + ?Sized,
{
    let Statement { accumulator, rows, pointwise } = statement;
    Statement { accumulator: &mut *accumulator, rows, pointwise }.run(1, |_, sink| {
        let (mut by_y, mut by_mean) = (y.partial(), mean.partial());
        for (i, &w) in solved.w.iter().enumerate() {
            if Y::TRACKED {
                y.collect(i, -w, &mut by_y, sink);
            }
            if M::TRACKED {
                mean.collect(i, w, &mut by_mean, sink);
            }
        }
        y.flush(by_y, sink);
        mean.flush(by_mean, sink);
        Ok(solved.value)
    })
}

/// Adds the log density of one vector given the Cholesky factor of the covariance.
pub(crate) fn multi_normal_cholesky<T, Y, M, L>(
    statement: Statement<'_, T>,
    y: &Y,
    mean: &M,
    factor: &Lower<L>,
) -> Result<(), DensityError>
where
    T: Real,
    Y: Operands<T> + ?Sized,
    M: Operands<T> + ?Sized,
    [L]: Operands<T>,
{
    let (n, entries) = (factor.n(), factor.entries());
    let residual = residual::<T, Y, M>(n, y, mean)?;
    let l: Vec<T::Element> = (0..entries.len()).map(|k| entries.at(k)).collect();
    check_factor(n, &l)?;
    let solved = solve(n, &l, residual);
    let Statement { accumulator, rows, pointwise } = statement;
    add(Statement { accumulator: &mut *accumulator, rows, pointwise }, y, mean, &solved)?;
    if <[L]>::TRACKED && rows.is_none_or(|rows| rows.contains(&0)) {
        let mut partial = entries.partial();
        let sink = accumulator.sink_mut();
        for i in 0..n {
            for j in 0..=i {
                let product = solved.w[i] * solved.z[j];
                let derivative = if i == j { product - l[at(i, i)].recip() } else { product };
                entries.collect(at(i, j), derivative, &mut partial, sink);
            }
        }
        entries.flush(partial, sink);
    }
    Ok(())
}

/// Adds the log density of one vector given the lower triangle of the covariance.
///
/// With w = Σ⁻¹(y - mean) the derivative by Σᵢⱼ, which stands in the matrix twice, is wᵢwⱼ - (Σ⁻¹)ᵢⱼ, and half of it on the diagonal.
pub(crate) fn multi_normal<T, Y, M, L>(
    statement: Statement<'_, T>,
    y: &Y,
    mean: &M,
    covariance: &Lower<L>,
) -> Result<(), DensityError>
where
    T: Real,
    Y: Operands<T> + ?Sized,
    M: Operands<T> + ?Sized,
    [L]: Operands<T>,
{
    let (n, entries) = (covariance.n(), covariance.entries());
    let residual = residual::<T, Y, M>(n, y, mean)?;
    let mut l: Vec<T::Element> = (0..entries.len()).map(|k| entries.at(k)).collect();
    factorise(n, &mut l)?;
    let solved = solve(n, &l, residual);
    let Statement { accumulator, rows, pointwise } = statement;
    add(Statement { accumulator: &mut *accumulator, rows, pointwise }, y, mean, &solved)?;
    if <[L]>::TRACKED && rows.is_none_or(|rows| rows.contains(&0)) {
        let inverse = inverse_factor(n, &l);
        let mut partial = entries.partial();
        let sink = accumulator.sink_mut();
        for i in 0..n {
            for j in 0..=i {
                let mut derivative = solved.w[i] * solved.w[j];
                for k in i..n {
                    derivative -= inverse[at(k, i)] * inverse[at(k, j)];
                }
                entries.collect(at(i, j), if i == j { derivative * 0.5 } else { derivative }, &mut partial, sink);
            }
        }
        entries.flush(partial, sink);
    }
    Ok(())
}

/// Replaces a covariance by its Cholesky factor.
fn factorise<E: Element>(n: usize, l: &mut [E]) -> Result<(), DensityError> {
    for i in 0..n {
        for j in 0..=i {
            let mut sum = l[at(i, j)];
            for k in 0..j {
                sum -= l[at(i, k)] * l[at(j, k)];
            }
            if i != j {
                l[at(i, j)] = sum / l[at(j, j)];
            } else if sum.value() > 0.0 && sum.value() < f64::INFINITY {
                l[at(i, i)] = sum.sqrt();
            } else {
                return Err(DensityError::NotPositiveDefinite { what: "covariance", pivot: i });
            }
        }
    }
    Ok(())
}

/// L⁻¹, lower triangle.
fn inverse_factor<E: Element>(n: usize, l: &[E]) -> Vec<E> {
    let mut inverse = vec![E::constant(0.0); l.len()];
    for j in 0..n {
        inverse[at(j, j)] = l[at(j, j)].recip();
        for i in j + 1..n {
            let mut sum = E::constant(0.0);
            for k in j..i {
                sum -= l[at(i, k)] * inverse[at(k, j)];
            }
            inverse[at(i, j)] = sum / l[at(i, i)];
        }
    }
    inverse
}
