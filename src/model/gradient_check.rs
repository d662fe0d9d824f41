//! Is the gradient the derivative of the log density? A test for hand-written gradients, and for models with operations of their own.
//!
//! Each coordinate's derivative is compared with central differences of the log density, extrapolated to step zero:
//!
//! ```text
//! D₀(h) = (f(x + h) − f(x − h)) / 2h        Dₖ(h) = Dₖ₋₁(h/2) + (Dₖ₋₁(h/2) − Dₖ₋₁(h)) / (4ᵏ − 1)
//! ```
//! from a first step at which the density bends by at most one unit, so that it suits a coordinate of any scale. The entry of the tableau
//! that differs least from its neighbours is taken, and that difference, or the noise of the density's values if larger, is its error.
//!
//! *Costs* 20 or more log densities per coordinate. *Reference* Ridders 1982, <https://doi.org/10.1016/S0141-1195(82)80057-0>.

use std::fmt::{self, Display, Formatter};

use super::target::{Evaluator, Target};
use crate::error::{DensityError, Error, StartFailure};
use crate::rng::Stream;

/// Largest relative error of a derivative that agrees.
const TOLERANCE: f64 = 1e-6;
/// Errors of the numeric derivative, in units of its estimate, that explain a difference.
const ERRORS: f64 = 10.0;
/// Steps of a tableau, each half of the one before.
const LEVELS: usize = 10;
/// Halvings of the first step before a coordinate is given up.
const MAX_HALVINGS: usize = 40;
/// Random points tried where none is given.
const ATTEMPTS: usize = 100;

/// What the check of one coordinate found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The gradient is the derivative to 1e-6.
    Agrees,
    /// The gradient is not the derivative.
    Differs,
    /// They differ, but by no more than the differences are in error: the log density is too noisy or too rough here.
    TooRough,
    /// The density is zero or fails next to the point, however small the step: there is nothing to compare with.
    AtEdge,
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Agrees => "agrees",
            Self::Differs => "WRONG: not the derivative of the log density",
            Self::TooRough => "unclear: the log density is too rough here for differences",
            Self::AtEdge => "unclear: the density is zero or fails next to the point",
        })
    }
}

/// One coordinate's derivative by both ways.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CoordinateCheck {
    /// Index of the unconstrained coordinate.
    pub index: usize,
    /// The parameter that it belongs to.
    pub name: String,
    /// The gradient's component.
    pub analytic: f64,
    /// The extrapolated difference; NaN at an edge.
    pub numeric: f64,
    /// How far the extrapolated difference may be off; NaN at an edge.
    pub numeric_error: f64,
    /// |analytic − numeric| relative to the larger one, or to a thousandth of a unit per scale of the coordinate if both are less than
    /// that; NaN at an edge.
    pub relative_error: f64,
    /// What to make of it.
    pub verdict: Verdict,
}

/// The outcome of [`check_gradient`]. `Display` prints a table, the worst coordinate first.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientReport {
    position: Vec<f64>,
    log_density: f64,
    value_difference: f64,
    coordinates: Vec<CoordinateCheck>,
}

impl GradientReport {
    /// True if every coordinate agrees, and the log density is the same with and without gradient.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.values_agree() && self.coordinates.iter().all(|c| c.verdict == Verdict::Agrees)
    }

    /// All coordinates, the worst one first.
    #[must_use]
    pub fn coordinates(&self) -> &[CoordinateCheck] {
        &self.coordinates
    }

    /// The unconstrained position at which the gradient was checked.
    #[must_use]
    pub fn position(&self) -> &[f64] {
        &self.position
    }

    /// The log density there.
    #[must_use]
    pub fn log_density(&self) -> f64 {
        self.log_density
    }

    fn values_agree(&self) -> bool {
        self.value_difference.abs() <= 1e-9 * self.log_density.abs().max(1.0)
    }
}

impl Display for GradientReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let count = |verdict| self.coordinates.iter().filter(|c| c.verdict == verdict).count();
        let (n, wrong, agree) = (self.coordinates.len(), count(Verdict::Differs), count(Verdict::Agrees));
        writeln!(f, "Gradient of {n} coordinates: {agree} agree, {wrong} wrong, {} unclear.", n - agree - wrong)?;
        if !self.values_agree() {
            let difference = self.value_difference;
            writeln!(f, "WRONG: the log density computed with its gradient is {difference:+.3e} off the one computed without.")?;
        }
        let names = self.coordinates.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).max("parameter".len());
        writeln!(f, "{:names$}  {:>14}  {:>14}  {:>9}  verdict", "parameter", "gradient", "difference", "rel. err.")?;
        for c in &self.coordinates {
            let CoordinateCheck { name, analytic, numeric, relative_error, verdict, .. } = c;
            writeln!(f, "{name:names$}  {analytic:>14.6e}  {numeric:>14.6e}  {relative_error:>9.1e}  {verdict}")?;
        }
        Ok(())
    }
}

/// Compares the gradient of a target with differences of its log density, coordinate by coordinate.
///
/// Without a `position` (unconstrained) a random point near the origin is taken, always the same one. A wrong sign or a forgotten Jacobian
/// can hide at a symmetric point: do not check at the origin or at a mode.
///
/// ```
/// use posterity::DensityError;
/// use posterity::model::{Density, Verdict, WithGradient, check_gradient};
///
/// struct Normal;
/// impl Density for Normal {
///     fn dim(&self) -> usize { 2 }
///     fn log_density_gradient(&self, q: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
///         (g[0], g[1]) = (-q[0], q[1]); // the second one has the wrong sign
///         Ok(-0.5 * (q[0] * q[0] + q[1] * q[1]))
///     }
/// }
/// let report = check_gradient(&WithGradient(Normal), None)?;
/// assert!(!report.is_ok());
/// assert_eq!((report.coordinates()[0].index, report.coordinates()[0].verdict), (1, Verdict::Differs));
/// println!("{report}");
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// # Errors
/// [`Error::NoStartPoint`] if the density is zero or fails at `position`, or at 100 random points; [`Error::NoParameters`];
/// [`Error::Density`] for fatal errors of the density, and a `position` of another dimension.
pub fn check_gradient<T: Target + ?Sized>(target: &T, position: Option<&[f64]>) -> Result<GradientReport, Error> {
    let mut evaluator = target.evaluator()?;
    let dim = evaluator.dim();
    if dim == 0 {
        return Err(Error::NoParameters);
    }
    let mut gradient = vec![0.0; dim];
    let (position, value) = match position {
        Some(position) => {
            let value = attempt(evaluator.as_mut(), position, &mut gradient)?;
            (position.to_vec(), value.map_err(|cause| no_point(target, position, 1, cause))?)
        }
        None => random_point(target, evaluator.as_mut(), &mut gradient)?,
    };
    let plain = evaluator.log_density(&position)?;
    let mut coordinates = Vec::with_capacity(dim);
    for (index, &analytic) in gradient.iter().enumerate() {
        let difference = difference(evaluator.as_mut(), &position, plain, index)?;
        coordinates.push(judge(index, target.coordinate_name(index), analytic, difference));
    }
    let rank = |c: &CoordinateCheck| match c.verdict {
        Verdict::Differs => 0,
        Verdict::AtEdge => 1,
        Verdict::TooRough => 2,
        Verdict::Agrees => 3,
    };
    coordinates.sort_by(|a, b| rank(a).cmp(&rank(b)).then(b.relative_error.total_cmp(&a.relative_error)));
    Ok(GradientReport { position, log_density: plain, value_difference: value - plain, coordinates })
}

/// Log density and gradient, or why there are none; fatal errors end the check.
fn attempt(evaluator: &mut dyn Evaluator, position: &[f64], gradient: &mut [f64]) -> Result<Result<f64, StartFailure>, Error> {
    match evaluator.log_density_gradient(position, gradient) {
        Ok(value) if value == f64::NEG_INFINITY => Ok(Err(StartFailure::ZeroDensity)),
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.is_recoverable() => Ok(Err(StartFailure::Failed(error))),
        Err(error) => Err(error.into()),
    }
}

fn no_point<T: Target + ?Sized>(target: &T, position: &[f64], attempts: usize, cause: StartFailure) -> Error {
    let index = match cause {
        StartFailure::Failed(DensityError::GradientNotFinite { index, .. }) => index,
        _ => 0,
    };
    let value = position.get(index).copied().unwrap_or(f64::NAN);
    Error::NoStartPoint { attempts, parameter: target.coordinate_name(index), value, cause }
}

/// A point of positive density in (-1, 1)ᵈ, or nearer to the origin if there is none so far out.
fn random_point<T: Target + ?Sized>(
    target: &T,
    evaluator: &mut dyn Evaluator,
    gradient: &mut [f64],
) -> Result<(Vec<f64>, f64), Error> {
    let mut rng = Stream::new(0);
    let mut position = vec![0.0; gradient.len()];
    let mut cause = StartFailure::ZeroDensity;
    for trial in 0..ATTEMPTS {
        let radius = 0.5_f64.powi((trial / 10) as i32);
        position.iter_mut().for_each(|x| *x = radius * (2.0 * rng.uniform() - 1.0));
        match attempt(evaluator, &position, gradient)? {
            Ok(value) => return Ok((position, value)),
            Err(failure) => cause = failure,
        }
    }
    Err(no_point(target, &position, ATTEMPTS, cause))
}

/// A derivative from differences.
struct Difference {
    value: f64,
    error: f64,
    /// First step: about the distance at which the density bends.
    step: f64,
}

/// The extrapolated central difference along one coordinate; `None` if the density is zero or fails on either side, however near.
fn difference(
    evaluator: &mut dyn Evaluator,
    position: &[f64],
    centre: f64,
    index: usize,
) -> Result<Option<Difference>, DensityError> {
    let mut moved = position.to_vec();
    // Values at both sides, and the distance between them as rounded.
    let mut sides = |h: f64| -> Result<Option<(f64, f64, f64)>, DensityError> {
        let mut side = |x: f64| {
            moved[index] = x;
            match evaluator.log_density(&moved) {
                Ok(value) => Ok(value.is_finite().then_some(value)),
                Err(error) if error.is_recoverable() => Ok(None),
                Err(error) => Err(error),
            }
        };
        let (above, below) = (position[index] + h, position[index] - h);
        Ok(side(above)?.zip(side(below)?).map(|(up, down)| (up, down, above - below)))
    };
    let mut step = 0.1 * position[index].abs().max(1.0);
    let mut suitable = false;
    for _ in 0..MAX_HALVINGS {
        suitable = sides(step)?.is_some_and(|(up, down, _)| (up + down - 2.0 * centre).abs() <= 1.0);
        if suitable {
            break;
        }
        step *= 0.5;
    }
    if !suitable {
        return Ok(None);
    }
    let mut entries = Vec::with_capacity(LEVELS * LEVELS / 2);
    let mut previous: Vec<f64> = Vec::with_capacity(LEVELS);
    let mut changes = Vec::with_capacity(LEVELS);
    for level in 0..LEVELS {
        let h = step * 0.5_f64.powi(level as i32);
        let Some((up, down, width)) = sides(h)? else { break };
        let mut row = vec![(up - down) / width];
        let mut power = 1.0;
        for (k, &coarser) in previous.iter().enumerate() {
            power *= 4.0;
            let finer = row[k];
            let extrapolated = finer + (finer - coarser) / (power - 1.0);
            entries.push((extrapolated, (extrapolated - finer).abs().max((extrapolated - coarser).abs()), h));
            row.push(extrapolated);
        }
        changes.extend(row.get(1).zip(previous.get(1)).map(|(finer, coarser)| h * (finer - coarser).abs()));
        previous = row;
    }
    // At the smallest steps D₁ of a smooth density hardly changes (by h⁴): what changes is noise of its values. It keeps an accidental
    // agreement in the tableau from passing for precision.
    let noise = changes.iter().rev().take(3).fold(0.0_f64, |m, &change| m.max(change));
    let with_noise = entries.into_iter().map(|(value, error, h)| Difference { value, error: error.max(noise / h), step });
    Ok(with_noise.filter(|d| d.value.is_finite()).min_by(|a, b| a.error.total_cmp(&b.error)))
}

fn judge(index: usize, name: String, analytic: f64, difference: Option<Difference>) -> CoordinateCheck {
    let Some(Difference { value: numeric, error, step }) = difference else {
        let (nan, verdict) = (f64::NAN, Verdict::AtEdge);
        return CoordinateCheck { index, name, analytic, numeric: nan, numeric_error: nan, relative_error: nan, verdict };
    };
    let distance = (analytic - numeric).abs();
    let relative_error = distance / analytic.abs().max(numeric.abs()).max(1e-3 / step);
    let verdict = if relative_error <= TOLERANCE {
        Verdict::Agrees
    } else if distance <= ERRORS * error {
        Verdict::TooRough
    } else {
        Verdict::Differs
    };
    CoordinateCheck { index, name, analytic, numeric, numeric_error: error, relative_error, verdict }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autodiff::Real;
    use crate::model::{Density, LogP, Model, Space, Variable, WithGradient, zoo};

    /// Scales from 1e-6 to 1e6, bends of all orders, and a mistake in the coordinate named.
    struct Scales {
        mistake: Option<(usize, f64)>,
    }

    const SDS: [f64; 4] = [1e-6, 0.03, 1.0, 1e6];

    impl Density for Scales {
        fn dim(&self) -> usize {
            4
        }
        fn log_density_gradient(&self, q: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
            let mut value = 0.0;
            for i in 0..4 {
                let z = q[i] / SDS[i];
                value += z.sin() - z.cosh().ln();
                g[i] = (z.cos() - z.tanh()) / SDS[i];
            }
            if let Some((index, factor)) = self.mistake {
                g[index] *= factor;
            }
            Ok(value)
        }
        fn variables(&self) -> Vec<Variable> {
            vec![Variable::new("a", &[]), Variable::new("b", &[2]), Variable::new("c", &[])]
        }
    }

    #[test]
    fn a_right_gradient_passes_at_every_scale() {
        let report = check_gradient(&WithGradient(Scales { mistake: None }), Some(&[3e-7, -0.05, 0.7, -4e5])).unwrap();
        assert!(report.is_ok(), "{report}");
        assert!(report.coordinates().iter().all(|c| c.relative_error < 1e-8), "{report}");
    }

    #[test]
    fn a_wrong_derivative_is_found_and_named() {
        for (index, name) in ["a", "b[0]", "b[1]", "c"].into_iter().enumerate() {
            for factor in [-1.0, 0.0, 1.001, 1.000_01] {
                let target = WithGradient(Scales { mistake: Some((index, factor)) });
                let report = check_gradient(&target, Some(&[3e-7, -0.05, 0.7, -4e5])).unwrap();
                assert!(!report.is_ok());
                let wrong: Vec<&CoordinateCheck> =
                    report.coordinates().iter().filter(|c| c.verdict == Verdict::Differs).collect();
                assert_eq!((wrong.len(), wrong[0].index, wrong[0].name.as_str()), (1, index, name), "{report}");
                let text = report.to_string();
                assert!(text.starts_with("Gradient of 4 coordinates: 3 agree, 1 wrong, 0 unclear."), "{text}");
                assert!(text.lines().nth(2).is_some_and(|line| line.starts_with(name) && line.contains("WRONG")), "{text}");
            }
        }
    }

    #[test]
    fn models_pass_by_automatic_differentiation() {
        let models: [&dyn Target; 2] = [&zoo::EightSchools::rubin(), &zoo::EightSchoolsNoncentered::rubin()];
        for model in models {
            let report = check_gradient(model, None).unwrap();
            assert!(report.is_ok(), "{report}");
            assert_eq!(report.position().len(), 10);
        }
    }

    /// Uniform on an interval by hand, without a transform.
    struct Box1;
    impl Model for Box1 {
        type Parameters<T: Real> = T;
        fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> T {
            space.real("x")
        }
        fn log_prior<T: Real>(&self, x: &T, lp: &mut LogP<T>) {
            lp.uniform(x, &0.0, &2.0);
        }
        fn log_likelihood<T: Real>(&self, x: &T, lp: &mut LogP<T>) {
            lp.add(x.square());
        }
    }

    #[test]
    fn an_edge_is_said() {
        let report = check_gradient(&Box1, Some(&[2.0])).unwrap();
        assert_eq!(report.coordinates()[0].verdict, Verdict::AtEdge);
        assert!(!report.is_ok() && report.to_string().contains("zero or fails next to the point"), "{report}");
        // A little inside the step is made small enough.
        assert!(check_gradient(&Box1, Some(&[1.99])).unwrap().is_ok());
        // Without a position, a point of positive density is found.
        assert!(check_gradient(&Box1, None).unwrap().is_ok());
    }

    #[test]
    fn what_cannot_be_checked_is_an_error() {
        assert!(matches!(check_gradient(&Box1, Some(&[3.0])), Err(Error::NoStartPoint { attempts: 1, .. })));
        assert!(matches!(check_gradient(&Box1, Some(&[])), Err(Error::Density(DensityError::Dimension { .. }))));
    }

    /// A value that is not the same with and without gradient, and one with noise.
    struct Noisy;
    impl Density for Noisy {
        fn dim(&self) -> usize {
            1
        }
        fn log_density_gradient(&self, q: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
            g[0] = -q[0];
            Ok(-0.5 * q[0] * q[0] + 1e-4 * (1e9 * q[0]).sin())
        }
    }

    #[test]
    fn noise_is_not_taken_for_a_mistake() {
        let report = check_gradient(&WithGradient(Noisy), Some(&[0.8])).unwrap();
        assert_eq!(report.coordinates()[0].verdict, Verdict::TooRough, "{report}");
    }
}
