//! The sink of a model's log density.

use crate::autodiff::{Accumulator, Jet, Real};
use crate::distributions::Statement;
use crate::error::DensityError;

/// Takes the statements of a model: `lp.normal(&y, &mu, &sigma)` adds the log density of every `y[i]`.
///
/// Each argument is data (`f64`, slices, `Vec`, ndarray vectors) or a parameter (`T`, slices and `Vec` of it); scalars are broadcast over
/// the length of the others. What a likelihood adds can be asked for as a sum, row by row, or for a subset of rows: it is written once.
///
/// An argument out of its domain does not panic: the first problem is kept, and the evaluation ends with it as a [`DensityError`].
#[derive(Debug)]
pub struct LogP<T: Real> {
    accumulator: Accumulator<T>,
    error: Option<DensityError>,
    rows: Option<Rows>,
    pointwise: Option<Pointwise>,
}

/// A chosen subset of the observations.
#[derive(Debug)]
struct Rows {
    chosen: Vec<usize>,
    n_observations: usize,
}

#[derive(Debug)]
struct Pointwise {
    n_observations: Option<usize>,
    terms: Vec<f64>,
    scratch: Vec<f64>,
}

/// Takes the terms of a [`LogP::recursion`], each with the number of its observation.
#[derive(Debug)]
pub struct RowTerms<'a, T> {
    /// True if all terms are simply added up.
    plain: bool,
    total: T,
    /// How often each observation counts, if not all do once.
    counts: Option<Vec<u32>>,
    pointwise: Option<&'a mut Vec<f64>>,
}

impl<T: Real> RowTerms<'_, T> {
    /// Adds a term of observation `row`.
    #[inline(always)]
    pub fn add(&mut self, row: usize, term: T) {
        if self.plain {
            self.total += term;
        } else {
            self.add_chosen(row, term);
        }
    }

    #[inline(never)]
    fn add_chosen(&mut self, row: usize, term: T) {
        if let Some(counts) = &self.counts {
            match counts.get(row) {
                None | Some(0) => return,
                Some(&count) => self.total += term * f64::from(count),
            }
        } else {
            self.total += term;
        }
        if let Some(pointwise) = self.pointwise.as_deref_mut() {
            if row >= pointwise.len() {
                pointwise.resize(row + 1, 0.0);
            }
            pointwise[row] += term.value();
        }
    }
}

impl<T: Real> Default for LogP<T> {
    fn default() -> Self {
        Self::sum()
    }
}

impl<T: Real> LogP<T> {
    /// A sink for the sum of all statements.
    pub(crate) fn sum() -> Self {
        Self { accumulator: Accumulator::new(), error: None, rows: None, pointwise: None }
    }

    /// A sink that goes on from what is accumulated.
    pub(crate) fn continuing(accumulator: Accumulator<T>) -> Self {
        Self { accumulator, error: None, rows: None, pointwise: None }
    }

    /// A sink for the sum over some of the observations.
    pub(crate) fn for_rows(chosen: Vec<usize>, n_observations: usize) -> Self {
        Self { rows: Some(Rows { chosen, n_observations }), ..Self::sum() }
    }

    /// A sink that keeps the terms of the observations apart.
    pub(crate) fn pointwise(n_observations: Option<usize>) -> Self {
        let terms = vec![0.0; n_observations.unwrap_or(0)];
        Self { pointwise: Some(Pointwise { n_observations, terms, scratch: Vec::new() }), ..Self::sum() }
    }

    pub(crate) fn accumulator(&self) -> &Accumulator<T> {
        &self.accumulator
    }

    pub(crate) fn take_error(&mut self) -> Option<DensityError> {
        self.error.take()
    }

    pub(crate) fn into_accumulator(self) -> Accumulator<T> {
        self.accumulator
    }

    pub(crate) fn into_terms(self) -> Vec<f64> {
        self.pointwise.map_or_else(Vec::new, |p| p.terms)
    }

    /// The observations that are asked for, if not all of them: for likelihoods that loop by hand. Add their terms by [`LogP::add_row`].
    #[must_use]
    pub fn rows(&self) -> Option<&[usize]> {
        self.rows.as_ref().map(|r| r.chosen.as_slice())
    }

    /// Adds a term that belongs to no single observation.
    pub fn add(&mut self, term: T) {
        if let Some(rows) = &self.rows {
            let error =
                DensityError::Length { what: "statement of a likelihood by rows", expected: rows.n_observations, found: 1 };
            self.reject(error);
            return;
        }
        if let Some(pointwise) = &mut self.pointwise {
            match pointwise.n_observations {
                None => pointwise.terms.push(term.value()),
                Some(1) => pointwise.terms[0] += term.value(),
                Some(expected) => {
                    let error = DensityError::Length { what: "statement of a likelihood by rows", expected, found: 1 };
                    self.reject(error);
                }
            }
        }
        self.accumulator.add(term);
    }

    /// Adds a term of observation `row`; where rows are chosen, it counts as often as the row is among them.
    pub fn add_row(&mut self, row: usize, term: T) {
        if let Some(rows) = &self.rows {
            match rows.chosen.iter().filter(|&&chosen| chosen == row).count() {
                0 => {}
                1 => self.accumulator.add(term),
                count => self.accumulator.add(term * count as f64),
            }
            return;
        }
        if let Some(pointwise) = &mut self.pointwise {
            if row >= pointwise.terms.len() {
                pointwise.terms.resize(row + 1, 0.0);
            }
            pointwise.terms[row] += term.value();
        }
        self.accumulator.add(term);
    }

    /// Adds the terms of a recursion of few parameters over long data, differentiated in forward mode into one node.
    ///
    /// `f` gets the inputs as [`Jet`]s, which are [`Real`] like any parameter, and hands each observation's term to [`RowTerms::add`]. Rows
    /// that are not asked for still run through the recursion, but do not count.
    ///
    /// ```
    /// # use posterity::autodiff::Real;
    /// # use posterity::model::LogP;
    /// /// Exponential smoothing: y[t] ~ N(level[t], 1), level[t+1] = level[t] + a (y[t] - level[t]).
    /// fn smoothing<T: Real>(y: &[f64], level: T, a: T, lp: &mut LogP<T>) {
    ///     lp.recursion([level, a], |[mut level, a], terms| {
    ///         for (t, &y) in y.iter().enumerate() {
    ///             let error = -level + y;
    ///             terms.add(t, error.square() * -0.5);
    ///             level += a * error;
    ///         }
    ///     });
    /// }
    /// ```
    #[inline(always)]
    pub fn recursion<const K: usize>(
        &mut self,
        inputs: [T; K],
        f: impl FnOnce([Jet<T::Element, K>; K], &mut RowTerms<'_, Jet<T::Element, K>>),
    ) {
        if self.error.is_some() {
            return;
        }
        let jets = std::array::from_fn(|k| Jet::variable(inputs[k].element(), k));
        let counts = self.rows.as_ref().map(|rows| {
            let mut counts = vec![0; rows.n_observations];
            for &row in &rows.chosen {
                counts[row] += 1;
            }
            counts
        });
        let pointwise = self.pointwise.as_mut().map(|pointwise| &mut pointwise.terms);
        let mut terms = RowTerms { plain: counts.is_none() && pointwise.is_none(), total: 0.0.into(), counts, pointwise };
        f(jets, &mut terms);
        let total = terms.total;
        self.accumulator.add_value(total.value);
        for (input, tangent) in inputs.into_iter().zip(total.tangents) {
            self.accumulator.push(input, tangent);
        }
    }

    /// Declares the point impossible: the evaluation ends with this error. The first one counts.
    pub fn reject(&mut self, error: DensityError) {
        self.error.get_or_insert(error);
    }

    /// The value of a fallible operation, or `None` after keeping its error.
    ///
    /// ```ignore
    /// let Some(factor) = lp.require(cholesky(&covariance)) else { return };
    /// ```
    pub fn require<V>(&mut self, result: Result<V, DensityError>) -> Option<V> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.reject(error);
                None
            }
        }
    }

    /// Runs one statement over `n` rows.
    #[inline(always)]
    pub(crate) fn statement(
        &mut self,
        n: impl FnOnce() -> usize,
        run: impl FnOnce(Statement<'_, T>) -> Result<(), DensityError>,
    ) {
        if self.error.is_some() {
            return;
        }
        let result = if self.rows.is_none() && self.pointwise.is_none() {
            run(Statement::whole(&mut self.accumulator))
        } else {
            self.statement_by_rows(n(), run)
        };
        if let Err(error) = result {
            self.reject(error);
        }
    }

    fn statement_by_rows(
        &mut self,
        n: usize,
        run: impl FnOnce(Statement<'_, T>) -> Result<(), DensityError>,
    ) -> Result<(), DensityError> {
        let fits = |expected: usize| {
            if n == expected {
                Ok(())
            } else {
                Err(DensityError::Length { what: "statement of a likelihood by rows", expected, found: n })
            }
        };
        if let Some(rows) = &self.rows {
            fits(rows.n_observations)?;
            return run(Statement { accumulator: &mut self.accumulator, rows: Some(&rows.chosen), pointwise: None });
        }
        let Some(pointwise) = &mut self.pointwise else { return run(Statement::whole(&mut self.accumulator)) };
        if let Some(expected) = pointwise.n_observations {
            fits(expected)?;
        }
        pointwise.scratch.clear();
        run(Statement { accumulator: &mut self.accumulator, rows: None, pointwise: Some(&mut pointwise.scratch) })?;
        match pointwise.n_observations {
            None => pointwise.terms.append(&mut pointwise.scratch),
            Some(_) => pointwise.terms.iter_mut().zip(&pointwise.scratch).for_each(|(sum, term)| *sum += term),
        }
        Ok(())
    }
}

/// The length of a statement: that of its first argument that has one.
pub(super) fn length(lengths: &[Option<usize>]) -> usize {
    lengths.iter().flatten().next().copied().unwrap_or(1)
}
