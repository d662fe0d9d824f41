//! Mixtures: of two log densities, and of two normal distributions fused over rows.

use rand::rand_core::Rng;
use rand_distr::{Distribution, StandardUniform};

use super::bernoulli::require_probability;
use super::family::{Statement, check_nonempty, check_variate, common_length, require_finite, require_positive};
use super::links::{BLOCK, log1p_exp_block};
use super::normal::{HALF_LN_2PI, Normal};
use crate::autodiff::{Accumulator, Element, Operands, Real, Value};
use crate::error::DensityError;

/// ln(weight·eᵃ + (1 - weight)·eᵇ) as one node, without overflow: the log density of a mixture of two.
///
/// A weight outside of \[0, 1\] gives NaN.
///
/// ```
/// use posterity::autodiff::{Real, Value};
/// use posterity::distributions::log_mix;
/// let mixed = log_mix(Value(0.25), Value(-1000.0), Value(-1000.0));
/// assert!((mixed.value() + 1000.0).abs() < 1e-12);
/// ```
#[must_use]
pub fn log_mix<T: Real>(weight: T, a: T, b: T) -> T {
    let w = weight.element();
    let rest = -w + 1.0;
    let first = a.element() + w.ln();
    let second = b.element() + (-w).ln_1p();
    let largest = if first.value() > second.value() { first } else { second };
    if largest.value() == f64::NEG_INFINITY {
        return T::constant(f64::NEG_INFINITY);
    }
    let distance = if first.value() > second.value() { second - first } else { first - second };
    let value = largest + distance.exp().ln_1p();
    let mut node = Accumulator::new();
    node.add_value(value);
    if T::TRACKED {
        let (by_first, by_second) = ((a.element() - value).exp(), (b.element() - value).exp());
        node.push(weight, by_first - by_second);
        node.push(a, w * by_first);
        node.push(b, rest * by_second);
    }
    node.finish()
}

/// The mixture weight·N(mean1, sd1) + (1 - weight)·N(mean2, sd2) on ℝ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormalMixture {
    weight: f64,
    first: Normal,
    second: Normal,
    parameters: [f64; 4],
}

impl NormalMixture {
    /// The mixture with the weight of the first component.
    ///
    /// # Errors
    /// [`DensityError::Parameter`] unless 0 ≤ weight ≤ 1, the means are finite and the standard deviations positive and finite.
    pub fn new(weight: f64, mean1: f64, sd1: f64, mean2: f64, sd2: f64) -> Result<Self, DensityError> {
        Prepared::new([weight, mean1, sd1, mean2, sd2])?;
        let (first, second) = (Normal::new(mean1, sd1)?, Normal::new(mean2, sd2)?);
        Ok(Self { weight, first, second, parameters: [mean1, sd1, mean2, sd2] })
    }

    /// The log density at `y`.
    #[must_use]
    pub fn ln_pdf(&self, y: f64) -> f64 {
        let [mean1, sd1, mean2, sd2] = self.parameters;
        let mut node = Accumulator::<Value>::new();
        let statement = Statement::whole(&mut node);
        match normal_mixture(statement, &Value(y), &self.weight, &mean1, &sd1, &mean2, &sd2) {
            Ok(()) => node.value(),
            Err(_) => f64::NAN,
        }
    }
}

impl Distribution<f64> for NormalMixture {
    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> f64 {
        let u: f64 = StandardUniform.sample(rng);
        if u < self.weight { self.first.sample(rng) } else { self.second.sample(rng) }
    }
}

const NAME: &str = "normal_mixture";

/// What depends on the parameters alone.
#[derive(Debug, Clone, Copy)]
struct Prepared<E> {
    /// weight, 1 - weight and their inverses
    weights: [E; 2],
    inverse_weights: [E; 2],
    means: [E; 2],
    precision_roots: [E; 2],
    /// ln weight - ln sd - ½ ln 2π
    normalisers: [E; 2],
}

impl<E: Element> Prepared<E> {
    #[inline(always)]
    fn new([weight, mean1, sd1, mean2, sd2]: [E; 5]) -> Result<Self, DensityError> {
        require_probability(NAME, "weight", weight.value())?;
        require_finite(NAME, "mean1", mean1.value())?;
        require_positive(NAME, "sd1", sd1.value())?;
        require_finite(NAME, "mean2", mean2.value())?;
        require_positive(NAME, "sd2", sd2.value())?;
        let rest = -weight + 1.0;
        Ok(Self {
            weights: [weight, rest],
            inverse_weights: [weight.recip(), rest.recip()],
            means: [mean1, mean2],
            precision_roots: [sd1.recip(), sd2.recip()],
            normalisers: [weight.ln() - sd1.ln() - HALF_LN_2PI, (-weight).ln_1p() - sd2.ln() - HALF_LN_2PI],
        })
    }

    /// Distances from the means in standard deviations.
    #[inline(always)]
    fn standardise(&self, y: E) -> [E; 2] {
        [(y - self.means[0]) * self.precision_roots[0], (y - self.means[1]) * self.precision_roots[1]]
    }

    /// Density of a component over that of the mixture, given its share of it, at standardised `z` with mixture log density `value`.
    #[inline(always)]
    fn density_ratio(&self, c: usize, share: E, z: E, value: E) -> E {
        if self.weights[c].value() > 0.0 {
            share * self.inverse_weights[c]
        } else {
            (z * z * -0.5 - HALF_LN_2PI - value).exp() * self.precision_roots[c]
        }
    }
}

/// Adds the log density of every row of a mixture of two normals.
///
/// Per row one exponential and one logarithm, both vectorised: with d the distance of the two log terms, the value is the larger plus
/// ln(1 + e⁻ᵈ), and the derivative of that logarithm is the share of the smaller.
pub(crate) fn normal_mixture<T, Y, W, A, S, B, R>(
    statement: Statement<'_, T>,
    y: &Y,
    weight: &W,
    mean1: &A,
    sd1: &S,
    mean2: &B,
    sd2: &R,
) -> Result<(), DensityError>
where
    T: Real,
    Y: Operands<T> + ?Sized,
    W: Operands<T> + ?Sized,
    A: Operands<T> + ?Sized,
    S: Operands<T> + ?Sized,
    B: Operands<T> + ?Sized,
    R: Operands<T> + ?Sized,
{
    let lengths = [y.length(), weight.length(), mean1.length(), sd1.length(), mean2.length(), sd2.length()];
    let n = common_length(NAME, &lengths)?;
    check_nonempty::<T, Y>(NAME, y)?;
    let prepare = |i| Prepared::new([weight.at(i), mean1.at(i), sd1.at(i), mean2.at(i), sd2.at(i)]);
    let scalars = W::SCALAR && A::SCALAR && S::SCALAR && B::SCALAR && R::SCALAR;
    let shared = if scalars { Some(prepare(0)?) } else { None };
    let prepared = |i| shared.map_or_else(|| prepare(i), Ok);
    let mut partials = (y.partial(), weight.partial(), mean1.partial(), sd1.partial(), mean2.partial(), sd2.partial());
    let zero = T::Element::constant(0.0);
    let (mut correction, mut smaller_share, mut first_is_larger) = ([zero; BLOCK], [zero; BLOCK], [false; BLOCK]);
    let Statement { accumulator, rows, pointwise } = statement;
    Statement { accumulator: &mut *accumulator, rows, pointwise }.run_blocks(n, |rows, values, sink| {
        for (k, &i) in rows.iter().enumerate() {
            let prepared = prepared(i)?;
            let z = prepared.standardise(check_variate::<T, Y>(NAME, y, i)?);
            let [first, second] = [0, 1].map(|c| prepared.normalisers[c] - z[c] * z[c] * 0.5);
            first_is_larger[k] = first.value() > second.value();
            let (larger, smaller) = if first_is_larger[k] { (first, second) } else { (second, first) };
            values[k] = larger;
            // Both are -∞ where the larger is.
            correction[k] = if larger.value() == f64::NEG_INFINITY { zero } else { smaller - larger };
        }
        log1p_exp_block(rows.len(), &mut correction, &mut smaller_share);
        for (value, &correction) in values.iter_mut().zip(&correction) {
            *value += correction;
        }
        if !T::TRACKED {
            return Ok(());
        }
        for (k, &i) in rows.iter().enumerate() {
            let prepared = prepared(i)?;
            let z = prepared.standardise(y.at(i));
            let (smaller, larger) = (smaller_share[k], -smaller_share[k] + 1.0);
            let share = if first_is_larger[k] { [larger, smaller] } else { [smaller, larger] };
            let pull = [0, 1].map(|c| share[c] * z[c]);
            let slope = [0, 1].map(|c| pull[c] * prepared.precision_roots[c]);
            if Y::TRACKED {
                y.collect(i, -(slope[0] + slope[1]), &mut partials.0, sink);
            }
            if W::TRACKED {
                let by = [0, 1].map(|c| prepared.density_ratio(c, share[c], z[c], values[k]));
                weight.collect(i, by[0] - by[1], &mut partials.1, sink);
            }
            if A::TRACKED {
                mean1.collect(i, slope[0], &mut partials.2, sink);
            }
            if S::TRACKED {
                sd1.collect(i, (pull[0] * z[0] - share[0]) * prepared.precision_roots[0], &mut partials.3, sink);
            }
            if B::TRACKED {
                mean2.collect(i, slope[1], &mut partials.4, sink);
            }
            if R::TRACKED {
                sd2.collect(i, (pull[1] * z[1] - share[1]) * prepared.precision_roots[1], &mut partials.5, sink);
            }
        }
        Ok(())
    })?;
    let sink = accumulator.sink_mut();
    y.flush(partials.0, sink);
    weight.flush(partials.1, sink);
    mean1.flush(partials.2, sink);
    sd1.flush(partials.3, sink);
    mean2.flush(partials.4, sink);
    sd2.flush(partials.5, sink);
    Ok(())
}
