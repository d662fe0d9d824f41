//! Generalised linear models: the predictor `intercept + X·beta`, the density and the gradient in one pass over X.
//!
//! A block of rows is read twice while it is in cache, once for the predictors and once for the gradient; the tape gets one edge per
//! coefficient, whatever the number of rows.

use super::family::{Statement, check_nonempty, check_observed, check_variate, common_length, require_positive};
use super::links::{BLOCK, Link, require_numbers};
use super::normal::HALF_LN_2PI;
use crate::autodiff::{Counts, DataMatrix, Element, Operands, Real, dot_row};
use crate::error::DensityError;

/// Rows shorter than this are summed in order, four at a time; longer ones one by one in eight partial sums.
const FEW_COLUMNS: usize = 16;

/// The predictors of a model and the gradient by their coefficients.
struct Predictor<'a, T: Real, A: Operands<T> + ?Sized, B: Operands<T> + ?Sized> {
    x: &'a DataMatrix,
    intercept: &'a A,
    beta: &'a B,
    coefficients: Vec<T::Element>,
    gradient: Vec<T::Element>,
    by_intercept: A::Partial,
}

impl<'a, T: Real, A: Operands<T> + ?Sized, B: Operands<T> + ?Sized> Predictor<'a, T, A, B> {
    fn new(name: &'static str, x: &'a DataMatrix, intercept: &'a A, beta: &'a B) -> Result<Self, DensityError> {
        let n_cols = x.n_cols();
        common_length(name, &[Some(n_cols), beta.length()])?;
        let coefficients = (0..n_cols).map(|j| beta.at(j)).collect();
        let gradient = vec![T::Element::constant(0.0); if B::TRACKED { n_cols } else { 0 }];
        Ok(Self { x, intercept, beta, coefficients, gradient, by_intercept: intercept.partial() })
    }

    /// Writes the predictors of these rows.
    #[inline(always)]
    fn write(&self, name: &'static str, rows: &[usize], eta: &mut [T::Element; BLOCK]) -> Result<(), DensityError> {
        if self.coefficients.len() < FEW_COLUMNS {
            self.write_few(rows, eta);
        } else {
            for (&i, eta) in rows.iter().zip(eta.iter_mut()) {
                *eta = self.intercept.at(i) + dot_row(self.x.row(i), &self.coefficients);
            }
        }
        require_numbers(name, &eta[..rows.len()])
    }

    /// As [`Predictor::write`] for short rows: four of them at a time, each summed in order.
    #[inline(always)]
    fn write_few(&self, rows: &[usize], eta: &mut [T::Element; BLOCK]) {
        let zero = T::Element::constant(0.0);
        let (fours, rest) = rows.as_chunks::<4>();
        for (&rows, eta) in fours.iter().zip(eta.as_chunks_mut::<4>().0) {
            let [a, b, c, d] = rows.map(|i| self.x.row(i));
            let mut sums = [zero; 4];
            for ((((&coefficient, &a), &b), &c), &d) in self.coefficients.iter().zip(a).zip(b).zip(c).zip(d) {
                sums[0] += coefficient * a;
                sums[1] += coefficient * b;
                sums[2] += coefficient * c;
                sums[3] += coefficient * d;
            }
            for k in 0..4 {
                eta[k] = self.intercept.at(rows[k]) + sums[k];
            }
        }
        for (&i, eta) in rest.iter().zip(&mut eta[rows.len() - rest.len()..]) {
            let mut sum = zero;
            for (&coefficient, &x) in self.coefficients.iter().zip(self.x.row(i)) {
                sum += coefficient * x;
            }
            *eta = self.intercept.at(i) + sum;
        }
    }

    /// Collects the derivatives by the predictors of these rows.
    #[inline(always)]
    fn collect(&mut self, rows: &[usize], slope: &[T::Element; BLOCK], sink: &mut T::Sink) {
        if A::TRACKED {
            for (&i, &slope) in rows.iter().zip(slope) {
                self.intercept.collect(i, slope, &mut self.by_intercept, sink);
            }
        }
        if !B::TRACKED {
            return;
        }
        // Four rows at a time: the gradient is loaded and stored once for them.
        let (fours, rest) = rows.as_chunks::<4>();
        for (rows, slope) in fours.iter().zip(slope.as_chunks::<4>().0) {
            let [a, b, c, d] = rows.map(|i| self.x.row(i));
            let columns = self.gradient.iter_mut().zip(a).zip(b).zip(c).zip(d);
            for ((((sum, &a), &b), &c), &d) in columns {
                *sum += (slope[0] * a + slope[1] * b) + (slope[2] * c + slope[3] * d);
            }
        }
        for (&i, &slope) in rest.iter().zip(&slope[rows.len() - rest.len()..]) {
            for (sum, &x) in self.gradient.iter_mut().zip(self.x.row(i)) {
                *sum += slope * x;
            }
        }
    }

    fn flush(self, sink: &mut T::Sink) {
        self.intercept.flush(self.by_intercept, sink);
        if B::TRACKED {
            let mut partial = self.beta.partial();
            for (j, &derivative) in self.gradient.iter().enumerate() {
                self.beta.collect(j, derivative, &mut partial, sink);
            }
            self.beta.flush(partial, sink);
        }
    }
}

/// Adds the log probability of every row of counts under a generalised linear model.
pub(crate) fn linked_glm<K: Link, T, Y, A, B>(
    statement: Statement<'_, T>,
    y: &Y,
    x: &DataMatrix,
    intercept: &A,
    beta: &B,
) -> Result<(), DensityError>
where
    T: Real,
    Y: Counts + ?Sized,
    A: Operands<T> + ?Sized,
    B: Operands<T> + ?Sized,
{
    check_observed(K::NAME, &[Some(x.n_rows()), y.length()])?;
    let n = common_length(K::NAME, &[Some(x.n_rows()), y.length(), intercept.length()])?;
    let mut predictor = Predictor::<T, A, B>::new(K::NAME, x, intercept, beta)?;
    let mut slope = [T::Element::constant(0.0); BLOCK];
    let Statement { accumulator, rows, pointwise } = statement;
    Statement { accumulator: &mut *accumulator, rows, pointwise }.run_blocks(n, |rows, values, sink| {
        predictor.write(K::NAME, rows, values)?;
        K::evaluate(y, rows, values, &mut slope);
        predictor.collect(rows, &slope, sink);
        Ok(())
    })?;
    predictor.flush(accumulator.sink_mut());
    Ok(())
}

/// Adds the log density of every row of a linear regression with normal errors.
pub(crate) fn normal_glm<T, Y, A, B, S>(
    statement: Statement<'_, T>,
    y: &Y,
    x: &DataMatrix,
    intercept: &A,
    beta: &B,
    sd: &S,
) -> Result<(), DensityError>
where
    T: Real,
    Y: Operands<T> + ?Sized,
    A: Operands<T> + ?Sized,
    B: Operands<T> + ?Sized,
    S: Operands<T> + ?Sized,
{
    const NAME: &str = "normal";
    check_observed(NAME, &[Some(x.n_rows())])?;
    check_nonempty::<T, Y>(NAME, y)?;
    let n = common_length(NAME, &[Some(x.n_rows()), y.length(), intercept.length(), sd.length()])?;
    let mut predictor = Predictor::<T, A, B>::new(NAME, x, intercept, beta)?;
    let scale = |i| -> Result<(T::Element, T::Element), DensityError> {
        let sd = sd.at(i);
        require_positive(NAME, "sd", sd.value())?;
        Ok((sd.recip(), sd.ln() + HALF_LN_2PI))
    };
    let shared = if S::SCALAR { Some(scale(0)?) } else { None };
    let (mut by_y, mut by_sd) = (y.partial(), sd.partial());
    let mut slope = [T::Element::constant(0.0); BLOCK];
    let Statement { accumulator, rows, pointwise } = statement;
    Statement { accumulator: &mut *accumulator, rows, pointwise }.run_blocks(n, |rows, values, sink| {
        predictor.write(NAME, rows, values)?;
        for ((&i, value), slope) in rows.iter().zip(values.iter_mut()).zip(slope.iter_mut()) {
            let (precision_root, normaliser) = match shared {
                Some(scale) => scale,
                None => scale(i)?,
            };
            let z = (check_variate::<T, Y>(NAME, y, i)? - *value) * precision_root;
            *value = z * z * -0.5 - normaliser;
            *slope = z * precision_root;
            if Y::TRACKED {
                y.collect(i, -*slope, &mut by_y, sink);
            }
            if S::TRACKED {
                sd.collect(i, z * *slope - precision_root, &mut by_sd, sink);
            }
        }
        predictor.collect(rows, &slope, sink);
        Ok(())
    })?;
    predictor.flush(accumulator.sink_mut());
    y.flush(by_y, accumulator.sink_mut());
    sd.flush(by_sd, accumulator.sink_mut());
    Ok(())
}
