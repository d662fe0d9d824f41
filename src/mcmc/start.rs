//! The search for start points.

use super::run::Start;
use crate::error::{DensityError, Error, StartFailure};
use crate::kernels::State;
use crate::model::{Evaluator, Target};
use crate::rng::{Purpose, Stream};

/// Points tried per chain.
const ATTEMPTS: usize = 100;

/// The state in which a chain starts.
///
/// A search draws points uniformly from (-r, r)ᵈ, unconstrained, with r = 2 at first and smaller after every ten failures.
pub(super) fn start_state<T: Target + ?Sized>(
    target: &T,
    evaluator: &mut dyn Evaluator,
    start: &Start,
    seed: u64,
    chain: usize,
) -> Result<State, Error> {
    let dim = evaluator.dim();
    match start {
        Start::Search => search(target, evaluator, dim, &mut Stream::keyed(seed, Purpose::Start, 0, chain as u64)),
        Start::Values(all) => {
            let values = pick(all, chain)?;
            given(target, evaluator, target.unconstrain(values)?)
        }
        Start::Positions(all) => {
            let position = pick(all, chain)?.clone();
            if let Some(index) = position.iter().position(|x| !x.is_finite()) {
                return Err(Error::NotFinite { what: "start position", index, value: position[index] });
            }
            given(target, evaluator, position)
        }
    }
}

fn pick<X>(all: &[X], chain: usize) -> Result<&X, Error> {
    let index = if all.len() == 1 { 0 } else { chain };
    all.get(index).ok_or(Error::Dimension { what: "start points, one or one per chain", expected: chain + 1, found: all.len() })
}

fn given<T: Target + ?Sized>(target: &T, evaluator: &mut dyn Evaluator, position: Vec<f64>) -> Result<State, Error> {
    match attempt(evaluator, &position)? {
        Ok(state) => Ok(state),
        Err(cause) => Err(failure(target, evaluator, &position, 1, cause)),
    }
}

fn search<T: Target + ?Sized>(target: &T, evaluator: &mut dyn Evaluator, dim: usize, rng: &mut Stream) -> Result<State, Error> {
    let mut position = vec![0.0; dim];
    let mut last = StartFailure::ZeroDensity;
    for index in 0..ATTEMPTS {
        let radius = 2.0 * 0.5_f64.powi((index / 10) as i32);
        position.iter_mut().for_each(|x| *x = radius * (2.0 * rng.uniform() - 1.0));
        match attempt(evaluator, &position)? {
            Ok(state) => return Ok(state),
            Err(cause) => last = cause,
        }
    }
    Err(failure(target, evaluator, &position, ATTEMPTS, last))
}

/// The state at a position, or why there is none; fatal errors end the search.
fn attempt(evaluator: &mut dyn Evaluator, position: &[f64]) -> Result<Result<State, StartFailure>, Error> {
    match State::new(evaluator, position.to_vec()) {
        Ok(state) if state.log_density.is_finite() => Ok(Ok(state)),
        Ok(_) => Ok(Err(StartFailure::ZeroDensity)),
        Err(error) if error.is_recoverable() => Ok(Err(StartFailure::Failed(error))),
        Err(error) => Err(error.into()),
    }
}

/// Names the coordinate that decides: the one whose move to the origin, alone, makes the density positive; or the one whose gradient is
/// not finite; or the first.
fn failure<T: Target + ?Sized>(
    target: &T,
    evaluator: &mut dyn Evaluator,
    position: &[f64],
    attempts: usize,
    cause: StartFailure,
) -> Error {
    let mut moved = position.to_vec();
    let mut decisive = None;
    for index in 0..position.len().min(1000) {
        moved[index] = 0.0;
        if matches!(attempt(evaluator, &moved), Ok(Ok(_))) {
            decisive = Some(index);
            break;
        }
        moved[index] = position[index];
    }
    let index = match (&cause, decisive) {
        (_, Some(index)) => index,
        (StartFailure::Failed(DensityError::GradientNotFinite { index, .. }), None) => *index,
        _ => 0,
    };
    Error::NoStartPoint {
        attempts,
        parameter: target.coordinate_name(index),
        value: constrained_value(target, position, index),
        cause,
    }
}

/// The constrained value of a coordinate where variables and coordinates correspond one to one, else the coordinate itself.
fn constrained_value<T: Target + ?Sized>(target: &T, position: &[f64], index: usize) -> f64 {
    let mut constrained = Vec::new();
    match target.constrain(position, &mut constrained) {
        Ok(()) if constrained.len() == position.len() => constrained[index],
        _ => position[index],
    }
}
