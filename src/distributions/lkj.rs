//! The LKJ distribution of correlation matrices, by their Cholesky factors.

use rand::rand_core::Rng;
use rand_distr::Distribution;

use super::beta::Beta;
use super::family::{Statement, require_positive};
use super::gamma_ratio::{digamma_difference, ln_gamma_difference};
use crate::autodiff::{Accumulator, Element, Lower, Operands, Real, Value};
use crate::error::DensityError;

/// LKJ(eta) for the Cholesky factor L of an n × n correlation matrix, whose density is proportional to |L·Lᵀ|^(eta - 1).
///
/// ```text
/// ln p(L) = Σᵢ₌₂ⁿ (n - i + 2·eta - 2) ln Lᵢᵢ - ln c
/// ln c    = Σₖ₌₁ⁿ⁻¹ ½ k ln π + ln Γ(eta + (n - 1 - k)/2) - ln Γ(eta + (n - 1)/2)
/// ```
/// The density is by the strictly lower entries. eta = 1 is uniform over correlation matrices, larger values prefer weak correlations.
/// Source: Lewandowski, Kurowicka & Joe 2009, <https://doi.org/10.1016/j.jmva.2009.04.008>.
#[derive(Debug, Clone, PartialEq)]
pub struct LkjCholesky {
    n: usize,
    eta: f64,
    /// One per column: partial correlations are 2·Beta - 1.
    betas: Vec<Beta>,
}

impl LkjCholesky {
    /// The distribution of factors with `n` rows.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless `eta` is positive and finite.
    pub fn new(n: usize, eta: f64) -> Result<Self, DensityError> {
        require_positive(NAME, "eta", eta)?;
        let betas = (1..n)
            .map(|k| {
                let b = eta + (n - 1 - k) as f64 * 0.5;
                Beta::new(b, b)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { n, eta, betas })
    }

    /// The log density at a factor.
    ///
    /// # Errors
    /// [`DensityError::Length`] if the factor has another size.
    pub fn ln_pdf(&self, factor: &Lower<f64>) -> Result<f64, DensityError> {
        if factor.n() != self.n {
            return Err(DensityError::Length { what: NAME, expected: self.n, found: factor.n() });
        }
        let mut node = Accumulator::<Value>::new();
        lkj_cholesky(Statement::whole(&mut node), factor, &self.eta)?;
        Ok(node.value())
    }
}

impl Distribution<Lower<f64>> for LkjCholesky {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> Lower<f64> {
        let mut rest = 1.0;
        Lower::from_fn(self.n, |i, j| {
            if j == 0 {
                rest = 1.0;
            }
            if i == j {
                return rest;
            }
            let half = self.betas[j].sample(rng);
            let entry = (2.0 * half - 1.0) * rest;
            rest *= 2.0 * (half * (1.0 - half)).sqrt();
            entry
        })
    }
}

const NAME: &str = "lkj_cholesky";
const LN_PI: f64 = 1.144_729_885_849_400_2;

/// Adds the log density of one factor.
pub(crate) fn lkj_cholesky<T, L, H>(statement: Statement<'_, T>, factor: &Lower<L>, eta: &H) -> Result<(), DensityError>
where
    T: Real,
    [L]: Operands<T>,
    H: Operands<T> + ?Sized,
{
    let (n, entries) = (factor.n(), factor.entries());
    if let Some(found) = eta.length() {
        return Err(DensityError::Length { what: "eta of lkj_cholesky, a scalar", expected: 1, found });
    }
    let shape = eta.at(0);
    require_positive(NAME, "eta", shape.value())?;
    let zero = T::Element::constant(0.0);
    let (mut value, mut slope) = (zero, zero);
    for k in 1..n {
        let (argument, gap) = (shape + (n - 1 - k) as f64 * 0.5, T::Element::constant(k as f64 * 0.5));
        value += ln_gamma_difference(argument, gap) - k as f64 * 0.5 * LN_PI;
        if H::TRACKED {
            slope += digamma_difference(argument, gap);
        }
    }
    let Statement { accumulator, rows, pointwise } = statement;
    Statement { accumulator: &mut *accumulator, rows, pointwise }.run(1, |_, sink| {
        let (mut by_entries, mut by_eta) = (entries.partial(), eta.partial());
        for i in 1..n {
            let index = (i + 1) * (i + 2) / 2 - 1;
            let diagonal = entries.at(index);
            if !(diagonal.value() > 0.0 || diagonal.value().is_nan()) {
                return Ok(T::Element::constant(f64::NEG_INFINITY));
            }
            let (ln_diagonal, power) = (diagonal.ln(), shape * 2.0 + (n as f64 - i as f64 - 3.0));
            value += power * ln_diagonal;
            slope += ln_diagonal * 2.0;
            if <[L]>::TRACKED {
                entries.collect(index, power / diagonal, &mut by_entries, sink);
            }
        }
        entries.flush(by_entries, sink);
        if H::TRACKED {
            eta.collect(0, slope, &mut by_eta, sink);
            eta.flush(by_eta, sink);
        }
        Ok(value)
    })
}
