//! The search for start points.

use super::descent::{Descent, Goal, descend};
use super::run::Start;
use crate::adaptation::DrawBuffer;
use crate::error::{DensityError, Error, StartFailure};
use crate::kernels::State;
use crate::model::{Evaluator, Target};
use crate::rng::{Purpose, Stream};

/// Points tried per descent before giving up.
const ATTEMPTS: usize = 100;
/// Points with positive density of which a descent takes the best.
const CANDIDATES: usize = 8;
/// Descents, of which the first is taken whose end is not much less dense than the best one's.
const DESCENTS: usize = 4;
/// Iterations of a descent at most.
const MAX_ITERATIONS: usize = 50;

/// Where a chain starts.
#[derive(Debug)]
pub(super) struct StartPoint {
    pub(super) state: State,
    /// Points with gradients seen on the way, if any.
    pub(super) path: DrawBuffer,
    pub(super) n_evaluations: u32,
}

/// The state in which a chain starts.
///
/// A search draws points uniformly from (-r, r)ᵈ, unconstrained, with r = 2 at first and half of it after every ten failures, and descends
/// from the densest of eight points with positive density. It does so four times, and takes the first end point that is not much less
/// dense than the best one: so a chain is not caught in a mode that holds next to no mass, while modes of like density keep their chance.
pub(super) fn start_state<T: Target + ?Sized>(
    target: &T,
    evaluator: &mut dyn Evaluator,
    start: &Start,
    seed: u64,
    chain: usize,
) -> Result<StartPoint, Error> {
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

/// The first point of an ascent, with the number of evaluations that it took: the densest of a few random points, or the point given.
pub(crate) fn first_point<T: Target + ?Sized>(
    target: &T,
    evaluator: &mut dyn Evaluator,
    start: &Start,
    seed: u64,
    index: usize,
) -> Result<(State, u32), Error> {
    if matches!(start, Start::Search) {
        let mut n_evaluations = 0;
        let mut rng = Stream::keyed(seed, Purpose::Start, 0, index as u64);
        let dim = evaluator.dim();
        let state = candidate(target, evaluator, dim, &mut rng, &mut n_evaluations)?;
        return Ok((state, n_evaluations));
    }
    let StartPoint { state, n_evaluations, .. } = start_state(target, evaluator, start, seed, index)?;
    Ok((state, n_evaluations))
}

fn pick<X>(all: &[X], chain: usize) -> Result<&X, Error> {
    let index = if all.len() == 1 { 0 } else { chain };
    all.get(index).ok_or(Error::Dimension { what: "start points, one or one per chain", expected: chain + 1, found: all.len() })
}

fn given<T: Target + ?Sized>(target: &T, evaluator: &mut dyn Evaluator, position: Vec<f64>) -> Result<StartPoint, Error> {
    match attempt(evaluator, &position)? {
        Ok(state) => Ok(StartPoint { state, path: DrawBuffer::new(position.len()), n_evaluations: 1 }),
        Err(cause) => Err(failure(target, evaluator, &position, 1, cause)),
    }
}

fn search<T: Target + ?Sized>(
    target: &T,
    evaluator: &mut dyn Evaluator,
    dim: usize,
    rng: &mut Stream,
) -> Result<StartPoint, Error> {
    let mut n_evaluations = 0;
    let mut ends = Vec::with_capacity(DESCENTS);
    for _ in 0..DESCENTS {
        let candidate = candidate(target, evaluator, dim, rng, &mut n_evaluations)?;
        let descent = descend(evaluator, candidate, Goal::Mass, MAX_ITERATIONS)?;
        n_evaluations += descent.n_evaluations;
        ends.push(descent);
    }
    let best = ends.iter().fold(f64::NEG_INFINITY, |best, end| best.max(end.state.log_density));
    let tolerance = 5.0 + (dim as f64).sqrt();
    let chosen = ends.iter().position(|end| end.state.log_density >= best - tolerance).unwrap_or(0);
    let Descent { state, path, .. } = ends.swap_remove(chosen);
    Ok(StartPoint { state, path, n_evaluations })
}

/// The densest of a few random points.
fn candidate<T: Target + ?Sized>(
    target: &T,
    evaluator: &mut dyn Evaluator,
    dim: usize,
    rng: &mut Stream,
    n_evaluations: &mut u32,
) -> Result<State, Error> {
    let mut position = vec![0.0; dim];
    let mut last = StartFailure::ZeroDensity;
    let mut best: Option<State> = None;
    let (mut n_found, mut n_failed) = (0_usize, 0_usize);
    while n_found < CANDIDATES && n_found + n_failed < ATTEMPTS {
        let radius = 2.0 * 0.5_f64.powi((n_failed / 10) as i32);
        position.iter_mut().for_each(|x| *x = radius * (2.0 * rng.uniform() - 1.0));
        *n_evaluations += 1;
        match attempt(evaluator, &position)? {
            Ok(state) => {
                n_found += 1;
                if best.as_ref().is_none_or(|b| state.log_density > b.log_density) {
                    best = Some(state);
                }
            }
            Err(cause) => {
                n_failed += 1;
                last = cause;
            }
        }
    }
    best.ok_or_else(|| failure(target, evaluator, &position, ATTEMPTS, last))
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
