//! Counts observed through a link function, row by row or in a generalised linear model, in blocks of rows with vectorised `exp` and `ln`.

use std::any::Any;

use super::family::{Statement, check_observed, common_length, require};
use super::gamma_ratio::{ln_factorial, times_count};
use crate::autodiff::{Counts, Element, Operands, Real};
use crate::error::DensityError;
use crate::math::vectorised;

/// Number of rows in a block: 64 rows of 50 columns stay in the first cache.
pub(crate) const BLOCK: usize = 64;

/// The entries of an array over a generic element if that is `f64`; decided at compile time.
#[inline(always)]
fn plain<E: Element>(x: &mut [E; BLOCK]) -> Option<&mut [f64; BLOCK]> {
    (x as &mut dyn Any).downcast_mut()
}

/// Replaces the first `n` entries by ln(1 + eˣ) and writes the derivatives, 1/(1 + e⁻ˣ).
#[inline(always)]
pub(crate) fn log1p_exp_block<E: Element>(n: usize, x: &mut [E; BLOCK], derivative: &mut [E; BLOCK]) {
    if let (Some(x), Some(derivative)) = (plain(x), plain(derivative)) {
        vectorised::log1p_exp_with_derivative(&mut x[..n], &mut derivative[..n]);
        return;
    }
    for (x, d) in x[..n].iter_mut().zip(derivative) {
        *d = x.inv_logit();
        *x = x.log1p_exp();
    }
}

/// Replaces the first `n` entries by their exponentials.
#[inline(always)]
fn exp_block<E: Element>(n: usize, x: &mut [E; BLOCK]) {
    if let Some(x) = plain(x) {
        vectorised::exp_in_place(&mut x[..n]);
        return;
    }
    for x in &mut x[..n] {
        *x = x.exp();
    }
}

impl<T: Real> Statement<'_, T> {
    /// Calls `block` for each block of rows with their indices; it writes their values. Adds up.
    #[inline(always)]
    pub(crate) fn run_blocks(
        self,
        n: usize,
        mut block: impl FnMut(&[usize], &mut [T::Element; BLOCK], &mut T::Sink) -> Result<(), DensityError>,
    ) -> Result<(), DensityError> {
        let Self { accumulator, rows, mut pointwise } = self;
        if let Some(out) = &mut pointwise {
            out.resize(n, 0.0);
        }
        let count = rows.map_or(n, <[usize]>::len);
        let mut indices = [0; BLOCK];
        let mut values = [T::Element::constant(0.0); BLOCK];
        let mut total = T::Element::constant(0.0);
        for start in (0..count).step_by(BLOCK) {
            let size = BLOCK.min(count - start);
            for (k, index) in indices[..size].iter_mut().enumerate() {
                *index = rows.map_or(start + k, |rows| rows[start + k]);
            }
            block(&indices[..size], &mut values, accumulator.sink_mut())?;
            for &value in &values[..size] {
                total += value;
            }
            if let Some(out) = &mut pointwise {
                for (&i, value) in indices[..size].iter().zip(&values) {
                    out[i] += value.value();
                }
            }
        }
        accumulator.add_value(total);
        Ok(())
    }
}

/// A distribution of counts given through a linear predictor.
pub(crate) trait Link {
    const NAME: &'static str;

    /// Replaces the predictors of these rows by log probabilities and writes the derivatives by the predictors.
    fn evaluate<E: Element, Y: Counts + ?Sized>(y: &Y, rows: &[usize], eta: &mut [E; BLOCK], slope: &mut [E; BLOCK]);
}

/// Bernoulli with p = 1/(1 + e^-eta).
#[derive(Debug, Clone, Copy)]
pub(crate) struct BernoulliLogit;

impl Link for BernoulliLogit {
    const NAME: &'static str = "bernoulli_logit";

    #[inline(always)]
    fn evaluate<E: Element, Y: Counts + ?Sized>(y: &Y, rows: &[usize], eta: &mut [E; BLOCK], slope: &mut [E; BLOCK]) {
        // -ln(1 + exp(∓eta)), the sign being that of the outcome
        for (&i, eta) in rows.iter().zip(eta.iter_mut()) {
            *eta = *eta * if y.count(i) == 0 { 1.0 } else { -1.0 };
        }
        log1p_exp_block(rows.len(), eta, slope);
        for ((&i, value), slope) in rows.iter().zip(eta.iter_mut()).zip(slope.iter_mut()) {
            let k = y.count(i);
            *value = -*value;
            *slope = *slope * if k == 0 { -1.0 } else { 1.0 };
            if k > 1 {
                (*value, *slope) = (E::constant(f64::NEG_INFINITY), E::constant(0.0));
            }
        }
    }
}

/// Poisson with rate e^eta.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoissonLog;

impl Link for PoissonLog {
    const NAME: &'static str = "poisson_log";

    #[inline(always)]
    fn evaluate<E: Element, Y: Counts + ?Sized>(y: &Y, rows: &[usize], eta: &mut [E; BLOCK], slope: &mut [E; BLOCK]) {
        *slope = *eta;
        exp_block(rows.len(), slope);
        for ((&i, value), slope) in rows.iter().zip(eta.iter_mut()).zip(slope.iter_mut()) {
            let (k, rate) = (y.count(i), *slope);
            if rate.value() == f64::INFINITY {
                (*value, *slope) = (E::constant(f64::NEG_INFINITY), E::constant(0.0));
                continue;
            }
            *value = times_count(k, *value) - rate - ln_factorial(k);
            *slope = -rate + k as f64;
        }
    }
}

/// Fails if a predictor is NaN.
#[inline(always)]
pub(crate) fn require_numbers<E: Element>(distribution: &'static str, eta: &[E]) -> Result<(), DensityError> {
    let nan = eta.iter().any(|eta| eta.value().is_nan());
    require(!nan, distribution, "eta", f64::NAN, "a number")
}

/// Adds the log probability of every row of counts given their predictors.
pub(crate) fn linked<K: Link, T, Y, H>(statement: Statement<'_, T>, y: &Y, eta: &H) -> Result<(), DensityError>
where
    T: Real,
    Y: Counts + ?Sized,
    H: Operands<T> + ?Sized,
{
    check_observed(K::NAME, &[y.length()])?;
    let n = common_length(K::NAME, &[y.length(), eta.length()])?;
    let mut partial = eta.partial();
    let mut slope = [T::Element::constant(0.0); BLOCK];
    let Statement { accumulator, rows, pointwise } = statement;
    Statement { accumulator: &mut *accumulator, rows, pointwise }.run_blocks(n, |rows, values, sink| {
        for (&i, value) in rows.iter().zip(values.iter_mut()) {
            *value = eta.at(i);
        }
        require_numbers(K::NAME, &values[..rows.len()])?;
        K::evaluate(y, rows, values, &mut slope);
        if H::TRACKED {
            for (&i, &slope) in rows.iter().zip(&slope) {
                eta.collect(i, slope, &mut partial, sink);
            }
        }
        Ok(())
    })?;
    eta.flush(partial, accumulator.sink_mut());
    Ok(())
}
