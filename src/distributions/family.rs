//! How a distribution family meets data and parameters: one fused node per statement.
//!
//! A family writes its density once, for one variate and over any [`Element`]: [`Family::prepare`] holds what depends on the parameters
//! alone and is called once if all are scalars, [`Family::evaluate`] gives the value and the partial derivatives. The drivers here
//! broadcast scalars, choose rows, collect edges and check arguments.

use crate::autodiff::{Accumulator, Element, Operands, Real};
use crate::error::DensityError;

/// Which partial derivatives are wanted; constant after inlining, so the others cost nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want<const P: usize> {
    /// By the variate.
    pub(crate) variate: bool,
    /// By each parameter.
    pub(crate) parameters: [bool; P],
}

impl<const P: usize> Want<P> {
    /// Only the value.
    pub(crate) const NOTHING: Self = Self { variate: false, parameters: [false; P] };
}

/// A log density at one variate with its partial derivatives. Those not wanted hold anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<E, const P: usize> {
    pub(crate) value: E,
    pub(crate) variate: E,
    pub(crate) parameters: [E; P],
}

impl<E: Element, const P: usize> Terms<E, P> {
    /// Zero density: -∞ with derivatives 0.
    #[inline]
    pub(crate) fn outside() -> Self {
        let zero = E::constant(0.0);
        Self { value: E::constant(f64::NEG_INFINITY), variate: zero, parameters: [zero; P] }
    }
}

/// A continuous family with `P` parameters.
pub(crate) trait Family<const P: usize> {
    const NAME: &'static str;
    /// What depends on the parameters alone.
    type Prepared<E: Element>: Copy;

    /// Checks the parameters and computes what depends on them alone.
    fn prepare<E: Element>(parameters: [E; P], want: Want<P>) -> Result<Self::Prepared<E>, DensityError>;

    /// The log density at `y`; outside the support [`Terms::outside`].
    fn evaluate<E: Element>(y: E, prepared: &Self::Prepared<E>, want: Want<P>) -> Terms<E, P>;
}

/// A family on whole numbers ≥ 0; it leaves `Terms::variate` alone.
pub(crate) trait CountFamily<const P: usize> {
    const NAME: &'static str;
    /// What is observed in a row: a count, or a count with its number of trials.
    type Observation: Copy;
    /// What depends on the parameters alone.
    type Prepared<E: Element>: Copy;

    /// Checks the parameters and computes what depends on them alone.
    fn prepare<E: Element>(parameters: [E; P], want: Want<P>) -> Result<Self::Prepared<E>, DensityError>;

    /// The log probability of `k`; outside the support [`Terms::outside`].
    fn evaluate<E: Element>(k: Self::Observation, prepared: &Self::Prepared<E>, want: Want<P>) -> Terms<E, P>;
}

/// Fails unless `F` takes these parameters.
pub(crate) fn check<F: Family<P>, const P: usize>(parameters: [f64; P]) -> Result<(), DensityError> {
    F::prepare(parameters, Want::NOTHING).map(|_| ())
}

/// The log density of `F` for plain numbers; NaN for parameters out of their domain.
pub(crate) fn ln_pdf<F: Family<P>, const P: usize>(y: f64, parameters: [f64; P]) -> f64 {
    F::prepare(parameters, Want::NOTHING).map_or(f64::NAN, |prepared| F::evaluate(y, &prepared, Want::NOTHING).value)
}

/// Fails unless `F` takes these parameters.
pub(crate) fn check_counts<F: CountFamily<P>, const P: usize>(parameters: [f64; P]) -> Result<(), DensityError> {
    F::prepare(parameters, Want::NOTHING).map(|_| ())
}

/// The log probability of `F` for plain numbers; NaN for parameters out of their domain.
pub(crate) fn ln_pmf<F: CountFamily<P>, const P: usize>(k: F::Observation, parameters: [f64; P]) -> f64 {
    F::prepare(parameters, Want::NOTHING).map_or(f64::NAN, |prepared| F::evaluate(k, &prepared, Want::NOTHING).value)
}

/// Fails unless `holds`, naming the parameter.
#[inline(always)]
pub(crate) fn require(
    holds: bool,
    distribution: &'static str,
    parameter: &'static str,
    value: f64,
    rule: &'static str,
) -> Result<(), DensityError> {
    if holds { Ok(()) } else { Err(DensityError::Parameter { distribution, parameter, value, rule }) }
}

/// Fails unless the value is finite.
#[inline(always)]
pub(crate) fn require_finite(distribution: &'static str, parameter: &'static str, value: f64) -> Result<(), DensityError> {
    require(value.is_finite(), distribution, parameter, value, "finite")
}

/// Fails unless the value is positive and finite.
#[inline(always)]
pub(crate) fn require_positive(distribution: &'static str, parameter: &'static str, value: f64) -> Result<(), DensityError> {
    require(is_positive(value), distribution, parameter, value, "positive and finite")
}

/// True for a positive finite value.
#[inline(always)]
fn is_positive(value: f64) -> bool {
    value > 0.0 && value < f64::INFINITY
}

/// Where the terms of a statement go.
#[derive(Debug)]
pub(crate) struct Statement<'a, T: Real> {
    pub(crate) accumulator: &'a mut Accumulator<T>,
    /// Only these rows, if given.
    pub(crate) rows: Option<&'a [usize]>,
    /// Adds each row's value here too, if given; resized to the statement's length.
    pub(crate) pointwise: Option<&'a mut Vec<f64>>,
}

impl<'a, T: Real> Statement<'a, T> {
    pub(crate) fn whole(accumulator: &'a mut Accumulator<T>) -> Self {
        Self { accumulator, rows: None, pointwise: None }
    }

    /// Calls `row` for each row, and adds up.
    #[inline(always)]
    pub(crate) fn run(
        self,
        n: usize,
        mut row: impl FnMut(usize, &mut T::Sink) -> Result<T::Element, DensityError>,
    ) -> Result<(), DensityError> {
        let Self { accumulator, rows, pointwise } = self;
        let mut total = T::Element::constant(0.0);
        match (rows, pointwise) {
            (None, None) => {
                for i in 0..n {
                    total += row(i, accumulator.sink_mut())?;
                }
            }
            (rows, mut pointwise) => {
                if let Some(out) = &mut pointwise {
                    out.resize(n, 0.0);
                }
                for k in 0..rows.map_or(n, <[usize]>::len) {
                    let i = rows.map_or(k, |rows| rows[k]);
                    let value = row(i, accumulator.sink_mut())?;
                    if let Some(out) = &mut pointwise {
                        out[i] += value.value();
                    }
                    total += value;
                }
            }
        }
        accumulator.add_value(total);
        Ok(())
    }
}

/// The common length of a statement's arguments; 1 if all are scalars.
pub(crate) fn common_length(what: &'static str, lengths: &[Option<usize>]) -> Result<usize, DensityError> {
    let mut expected = None;
    for &length in lengths.iter().flatten() {
        match expected {
            None => expected = Some(length),
            Some(expected) if expected != length => return Err(DensityError::Length { what, expected, found: length }),
            Some(_) => {}
        }
    }
    Ok(expected.unwrap_or(1))
}

/// The variate of row `i`, which is not NaN if it is data. Without derivatives data and parameters look alike: a NaN then makes the
/// density NaN.
#[inline(always)]
pub(crate) fn check_variate<T: Real, Y: Operands<T> + ?Sized>(
    name: &'static str,
    y: &Y,
    i: usize,
) -> Result<T::Element, DensityError> {
    let variate = y.at(i);
    if T::TRACKED && !Y::TRACKED && variate.value().is_nan() {
        return Err(DensityError::Data { distribution: name, index: i, value: f64::NAN });
    }
    Ok(variate)
}

/// Fails if the variate is data and there is none.
pub(crate) fn check_nonempty<T: Real, Y: Operands<T> + ?Sized>(name: &'static str, y: &Y) -> Result<(), DensityError> {
    if !Y::TRACKED && T::TRACKED && y.length() == Some(0) {
        return Err(DensityError::NoData { distribution: name });
    }
    Ok(())
}

/// Fails if nothing is observed.
pub(crate) fn check_observed(name: &'static str, observed: &[Option<usize>]) -> Result<(), DensityError> {
    if observed.contains(&Some(0)) { Err(DensityError::NoData { distribution: name }) } else { Ok(()) }
}

macro_rules! continuous {
    ($continuous:ident, $n:literal, $($argument:ident: $type:ident = $k:tt),+) => {
        /// Adds the log density of every row of a continuous statement.
        pub(crate) fn $continuous<F: Family<$n>, T, Y, $($type),+>(
            statement: Statement<'_, T>, y: &Y, $($argument: &$type),+
        ) -> Result<(), DensityError>
        where
            T: Real,
            Y: Operands<T> + ?Sized,
            $($type: Operands<T> + ?Sized),+
        {
            let n = common_length(F::NAME, &[y.length(), $($argument.length()),+])?;
            check_nonempty::<T, Y>(F::NAME, y)?;
            let want = Want { variate: Y::TRACKED, parameters: [$($type::TRACKED),+] };
            let shared = if $($type::SCALAR)&&+ && n > 0 { Some(F::prepare([$($argument.at(0)),+], want)?) } else { None };
            let mut y_partial = y.partial();
            let mut partials = ($($argument.partial(),)+);
            let Statement { accumulator, rows, pointwise } = statement;
            Statement { accumulator: &mut *accumulator, rows, pointwise }.run(n, #[inline(always)] |i, sink| {
                let variate = check_variate::<T, Y>(F::NAME, y, i)?;
                let prepared = match shared {
                    Some(prepared) => prepared,
                    None => F::prepare([$($argument.at(i)),+], want)?,
                };
                let terms = F::evaluate(variate, &prepared, want);
                if Y::TRACKED {
                    y.collect(i, terms.variate, &mut y_partial, sink);
                }
                $(if $type::TRACKED {
                    $argument.collect(i, terms.parameters[$k], &mut partials.$k, sink);
                })+
                Ok(terms.value)
            })?;
            y.flush(y_partial, accumulator.sink_mut());
            $($argument.flush(partials.$k, accumulator.sink_mut());)+
            Ok(())
        }
    };
}
continuous!(continuous1, 1, a: A = 0);
continuous!(continuous2, 2, a: A = 0, b: B = 1);
continuous!(continuous3, 3, a: A = 0, b: B = 1, c: C = 2);

macro_rules! discrete {
    ($discrete:ident, $n:literal, $($argument:ident: $type:ident = $k:tt),+) => {
        /// Adds the log probability of every row of a statement about counts; `observed` are the lengths of what is observed.
        pub(crate) fn $discrete<F: CountFamily<$n>, T, $($type),+>(
            statement: Statement<'_, T>,
            observed: &[Option<usize>],
            observation: impl Fn(usize) -> F::Observation,
            $($argument: &$type),+
        ) -> Result<(), DensityError>
        where
            T: Real,
            $($type: Operands<T> + ?Sized),+
        {
            check_observed(F::NAME, observed)?;
            let rows = if observed.iter().all(Option::is_none) { None } else { Some(common_length(F::NAME, observed)?) };
            let n = common_length(F::NAME, &[rows, $($argument.length()),+])?;
            let want = Want { variate: false, parameters: [$($type::TRACKED),+] };
            let shared = if $($type::SCALAR)&&+ && n > 0 { Some(F::prepare([$($argument.at(0)),+], want)?) } else { None };
            let mut partials = ($($argument.partial(),)+);
            let Statement { accumulator, rows, pointwise } = statement;
            Statement { accumulator: &mut *accumulator, rows, pointwise }.run(n, #[inline(always)] |i, sink| {
                let prepared = match shared {
                    Some(prepared) => prepared,
                    None => F::prepare([$($argument.at(i)),+], want)?,
                };
                let terms = F::evaluate(observation(i), &prepared, want);
                $(if $type::TRACKED {
                    $argument.collect(i, terms.parameters[$k], &mut partials.$k, sink);
                })+
                Ok(terms.value)
            })?;
            $($argument.flush(partials.$k, accumulator.sink_mut());)+
            Ok(())
        }
    };
}
discrete!(discrete1, 1, a: A = 0);
discrete!(discrete2, 2, a: A = 0, b: B = 1);
