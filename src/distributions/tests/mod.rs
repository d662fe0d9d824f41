//! Tests of all distributions: values, derivatives, sampling, statements.

mod derivatives;
mod rows;
mod sampling;

mod values;

use crate::autodiff::{Real, Value};
use crate::error::DensityError;
use crate::model::LogP;

/// Some statements over parameters, for any number type.
trait Statements {
    fn add<T: Real>(&self, x: &[T], lp: &mut LogP<T>);
}

/// A value of [`Statements`] from an expression.
macro_rules! statements {
    (|$x:ident, $lp:ident| $body:expr) => {{
        #[derive(Clone, Copy)]
        struct Body;
        impl $crate::distributions::tests::Statements for Body {
            fn add<T: $crate::autodiff::Real>(&self, $x: &[T], $lp: &mut $crate::model::LogP<T>) {
                $body
            }
        }
        Body
    }};
}
use statements;

/// What the statements add, or why they cannot.
fn try_evaluate<T: Real>(statements: &impl Statements, x: &[T]) -> Result<T, DensityError> {
    let mut lp = LogP::sum();
    statements.add(x, &mut lp);
    lp.take_error().map_or_else(|| Ok(lp.into_accumulator().finish()), Err)
}

/// The value of statements at plain numbers.
fn value(statements: &impl Statements, x: &[f64]) -> Result<f64, DensityError> {
    let x: Vec<Value> = x.iter().map(|&x| Value(x)).collect();
    try_evaluate(statements, &x).map(Real::value)
}
