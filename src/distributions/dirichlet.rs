//! The Dirichlet distribution.

use rand::rand_core::Rng;
use rand_distr::{Distribution, Open01};

use super::family::{Statement, check_nonempty, check_variate, common_length, require_positive};
use super::gamma::standard;
use super::gamma_ratio::{over, times_ln};
use crate::autodiff::{Accumulator, Element, Operands, Real, Value};
use crate::error::DensityError;

/// Dirichlet(concentration α): log density ln Γ(Σαₖ) - Σ ln Γ(αₖ) + Σ (αₖ - 1) ln yₖ on the simplex yₖ ≥ 0, Σ yₖ = 1.
///
/// The density is by the first K - 1 coordinates.
#[derive(Debug, Clone, PartialEq)]
pub struct Dirichlet {
    concentration: Vec<f64>,
    /// Samplers of Gamma(αₖ + 1).
    gammas: Vec<rand_distr::Gamma<f64>>,
}

impl Dirichlet {
    /// The distribution with these concentrations, one per coordinate.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless all are positive and finite, [`DensityError::NoData`] if there are none.
    pub fn new(concentration: Vec<f64>) -> Result<Self, DensityError> {
        if concentration.is_empty() {
            return Err(DensityError::NoData { distribution: NAME });
        }
        for &a in &concentration {
            require_positive(NAME, "concentration", a)?;
        }
        let gammas = concentration.iter().map(|a| standard(NAME, a + 1.0)).collect::<Result<_, _>>()?;
        Ok(Self { concentration, gammas })
    }

    /// The log density at `y`; -∞ unless `y` is a simplex (its sum may err by 1e-8).
    ///
    /// # Errors
    /// [`DensityError::Length`] if `y` has another length than the concentration.
    pub fn ln_pdf(&self, y: &[f64]) -> Result<f64, DensityError> {
        let mut node = Accumulator::<Value>::new();
        dirichlet(Statement::whole(&mut node), y, &self.concentration)?;
        Ok(node.value())
    }
}

impl Distribution<Vec<f64>> for Dirichlet {
    /// Gammas over their sum; on the log scale, where small concentrations do not underflow: Gamma(a) = Gamma(a + 1)·U^(1/a).
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> Vec<f64> {
        let mut y: Vec<f64> = Vec::with_capacity(self.concentration.len());
        for (gamma, a) in self.gammas.iter().zip(&self.concentration) {
            let u: f64 = Open01.sample(rng);
            y.push(gamma.sample(rng).ln() + u.ln() / a);
        }
        crate::math::softmax_in_place(&mut y);
        y
    }
}

const NAME: &str = "dirichlet";

/// Adds the log density of one simplex.
pub(crate) fn dirichlet<T, Y, A>(statement: Statement<'_, T>, y: &Y, concentration: &A) -> Result<(), DensityError>
where
    T: Real,
    Y: Operands<T> + ?Sized,
    A: Operands<T> + ?Sized,
{
    let n = common_length(NAME, &[y.length(), concentration.length()])?;
    check_nonempty::<T, Y>(NAME, y)?;
    let zero = T::Element::constant(0.0);
    let (mut alphas, mut value, mut total, mut terms) = (zero, zero, 0.0, Vec::with_capacity(n));
    let mut outside = false;
    for i in 0..n {
        let (variate, alpha) = (check_variate::<T, Y>(NAME, y, i)?, concentration.at(i));
        require_positive(NAME, "concentration", alpha.value())?;
        outside |= variate.value() < 0.0;
        total += variate.value();
        terms.push((variate, alpha));
        alphas += alpha;
    }
    outside |= (total - 1.0).abs() > 1e-8;
    if !outside {
        value = alphas.ln_gamma();
        for &(variate, alpha) in &terms {
            value += times_ln(alpha - 1.0, variate) - alpha.ln_gamma();
        }
    }
    let Statement { accumulator, rows, pointwise } = statement;
    Statement { accumulator: &mut *accumulator, rows, pointwise }.run(1, |_, sink| {
        if outside {
            return Ok(T::Element::constant(f64::NEG_INFINITY));
        }
        let (mut by_y, mut by_alpha) = (y.partial(), concentration.partial());
        let digamma = if A::TRACKED { alphas.digamma() } else { zero };
        for (i, &(variate, alpha)) in terms.iter().enumerate() {
            if Y::TRACKED {
                y.collect(i, over(alpha - 1.0, variate), &mut by_y, sink);
            }
            if A::TRACKED {
                concentration.collect(i, digamma - alpha.digamma() + variate.ln(), &mut by_alpha, sink);
            }
        }
        y.flush(by_y, sink);
        concentration.flush(by_alpha, sink);
        Ok(value)
    })
}
