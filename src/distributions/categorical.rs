//! The categorical distribution, by probabilities or by logits.

use rand::rand_core::Rng;
use rand_distr::{Distribution, StandardUniform};

use super::bernoulli::require_probability;
use super::family::{Statement, check_observed, require};
use crate::autodiff::{Counts, Element, Operands, Real, Value};
use crate::error::DensityError;

/// Categorical(probabilities): log probability ln p\[k\] of the categories k = 0, …, K - 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Categorical {
    probabilities: Vec<f64>,
}

impl Categorical {
    /// The distribution with these probabilities, one per category.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless all are in \[0, 1\] and their sum is 1 up to 1e-8, [`DensityError::NoData`] if there are none.
    pub fn new(probabilities: Vec<f64>) -> Result<Self, DensityError> {
        check_probabilities::<Value, _>(&probabilities)?;
        Ok(Self { probabilities })
    }

    /// The distribution with probabilities proportional to the exponentials of `logits`.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] if one is NaN or +∞, or all are -∞; [`DensityError::NoData`] if there are none.
    pub fn from_logits(mut logits: Vec<f64>) -> Result<Self, DensityError> {
        normaliser::<Value, _>(&logits)?;
        crate::math::softmax_in_place(&mut logits);
        Ok(Self { probabilities: logits })
    }

    /// The log probability of category `k`; -∞ beyond the last.
    #[must_use]
    pub fn ln_pmf(&self, k: u64) -> f64 {
        usize::try_from(k).ok().and_then(|k| self.probabilities.get(k)).map_or(f64::NEG_INFINITY, |p| p.ln())
    }
}

impl Distribution<u64> for Categorical {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> u64 {
        let mut u: f64 = StandardUniform.sample(rng);
        let mut last = 0;
        for (k, &p) in self.probabilities.iter().enumerate() {
            if p > 0.0 {
                last = k;
                if u < p {
                    break;
                }
            }
            u -= p;
        }
        last as u64
    }
}

const NAME: &str = "categorical";
const LOGIT_NAME: &str = "categorical_logit";

/// Checks probabilities, and gives their logarithms.
fn check_probabilities<T: Real, P: Operands<T> + ?Sized>(probabilities: &P) -> Result<Vec<T::Element>, DensityError> {
    let n = probabilities.length().unwrap_or(1);
    if n == 0 {
        return Err(DensityError::NoData { distribution: NAME });
    }
    let mut total = 0.0;
    let mut logs = Vec::with_capacity(n);
    for k in 0..n {
        let p = probabilities.at(k);
        require_probability(NAME, "probabilities", p.value())?;
        total += p.value();
        logs.push(p.ln());
    }
    require((total - 1.0).abs() <= 1e-8, NAME, "sum of probabilities", total, "1")?;
    Ok(logs)
}

/// ln Σ exp of the logits.
fn normaliser<T: Real, H: Operands<T> + ?Sized>(logits: &H) -> Result<T::Element, DensityError> {
    let n = logits.length().unwrap_or(1);
    if n == 0 {
        return Err(DensityError::NoData { distribution: LOGIT_NAME });
    }
    let mut largest = f64::NEG_INFINITY;
    for k in 0..n {
        let logit = logits.at(k).value();
        require(logit < f64::INFINITY, LOGIT_NAME, "logits", logit, "less than infinity")?;
        largest = largest.max(logit);
    }
    require(largest > f64::NEG_INFINITY, LOGIT_NAME, "logits", largest, "finite for one category")?;
    let mut total = T::Element::constant(0.0);
    for k in 0..n {
        total += (logits.at(k) - largest).exp();
    }
    Ok(total.ln() + largest)
}

/// Adds ln p of the category of every row, and gives the number of rows of each category.
fn add_rows<T: Real, Y: Counts + ?Sized>(
    statement: Statement<'_, T>,
    y: &Y,
    logs: &[T::Element],
) -> Result<Vec<f64>, DensityError> {
    let mut numbers = vec![0.0; logs.len()];
    statement.run(y.length().unwrap_or(1), |i, _| {
        let k = usize::try_from(y.count(i)).unwrap_or(usize::MAX);
        match (logs.get(k), numbers.get_mut(k)) {
            (Some(&log), Some(number)) if log.value() > f64::NEG_INFINITY => {
                *number += 1.0;
                Ok(log)
            }
            _ => Ok(T::Element::constant(f64::NEG_INFINITY)),
        }
    })?;
    Ok(numbers)
}

/// Adds the log probability of every row, given probabilities.
pub(crate) fn categorical<T, Y, P>(statement: Statement<'_, T>, y: &Y, probabilities: &P) -> Result<(), DensityError>
where
    T: Real,
    Y: Counts + ?Sized,
    P: Operands<T> + ?Sized,
{
    check_observed(NAME, &[y.length()])?;
    let logs = check_probabilities::<T, P>(probabilities)?;
    let Statement { accumulator, rows, pointwise } = statement;
    let numbers = add_rows(Statement { accumulator: &mut *accumulator, rows, pointwise }, y, &logs)?;
    if P::TRACKED {
        let mut partial = probabilities.partial();
        for (k, &number) in numbers.iter().enumerate() {
            if number > 0.0 {
                probabilities.collect(k, probabilities.at(k).recip() * number, &mut partial, accumulator.sink_mut());
            }
        }
        probabilities.flush(partial, accumulator.sink_mut());
    }
    Ok(())
}

/// Adds the log probability of every row, given logits.
pub(crate) fn categorical_logit<T, Y, H>(statement: Statement<'_, T>, y: &Y, logits: &H) -> Result<(), DensityError>
where
    T: Real,
    Y: Counts + ?Sized,
    H: Operands<T> + ?Sized,
{
    check_observed(LOGIT_NAME, &[y.length()])?;
    let normaliser = normaliser::<T, H>(logits)?;
    let logs: Vec<T::Element> = (0..logits.length().unwrap_or(1)).map(|k| logits.at(k) - normaliser).collect();
    let Statement { accumulator, rows, pointwise } = statement;
    let numbers = add_rows(Statement { accumulator: &mut *accumulator, rows, pointwise }, y, &logs)?;
    if H::TRACKED {
        let total: f64 = numbers.iter().sum();
        let mut partial = logits.partial();
        for (k, (&number, &log)) in numbers.iter().zip(&logs).enumerate() {
            logits.collect(k, log.exp() * -total + number, &mut partial, accumulator.sink_mut());
        }
        logits.flush(partial, accumulator.sink_mut());
    }
    Ok(())
}
