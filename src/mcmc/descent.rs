//! From a random point to where the posterior's mass is, by a few iterations of L-BFGS.
//!
//! The descent does not look for the mode: it stops once iterations gain little, as the densest points of a posterior are not typical of
//! it, and those of a hierarchical one may have no end. Steps are scaled so that the first one promises about one unit of log density per
//! coordinate.
//!
//! *Reference* Nocedal & Wright 2006, *Numerical Optimization*, chapter 7; the solver is argmin's.

use argmin::core::{CostFunction, Gradient, IterState, Problem, Solver, State as _};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;

use super::point::Point;
use crate::adaptation::DrawBuffer;
use crate::error::Error;
use crate::kernels::State;
use crate::model::Evaluator;

/// Iterations at most; each costs one or two evaluations.
const MAX_ITERATIONS: usize = 50;
/// Pairs of steps and gradient differences that the solver remembers.
const MEMORY: usize = 8;

/// Where a descent ended.
#[derive(Debug)]
pub(super) struct Descent {
    pub(super) state: State,
    /// The points on the way, with their gradients: they tell the scales of the coordinates.
    pub(super) path: DrawBuffer,
    pub(super) n_evaluations: u32,
}

/// Descends from `start`, which has a finite density and gradient.
pub(super) fn descend(evaluator: &mut dyn Evaluator, start: State) -> Result<Descent, Error> {
    let dim = start.position.len();
    let scales: Vec<f64> = start.gradient.iter().map(|g| (1.0 / g.abs().max(1.0)).max(1e-12)).collect();
    let mut path = DrawBuffer::new(dim);
    path.push(&start.position, &start.gradient);
    let objective = Objective {
        shared: std::cell::RefCell::new(Shared { evaluator, fatal: None, last: start.clone(), n_evaluations: 0 }),
        origin: start.position.clone(),
        scales,
    };
    let mut problem = Problem::new(&objective);
    let mut solver = LBFGS::new(MoreThuenteLineSearch::<Point, Point, f64>::new(), MEMORY);
    let mut best = start;
    let mut small_gains = 0;
    let state = IterState::new().param(Point(vec![0.0; dim]));
    if let Ok((mut state, _)) = solver.init(&mut problem, state) {
        for _ in 0..MAX_ITERATIONS {
            // A failure of the line search ends the descent where it is.
            let Ok((next, _)) = solver.next_iter(&mut problem, state) else { break };
            if next.terminated() {
                break;
            }
            state = next;
            state.increment_iter();
            let reached = objective.shared.borrow().last.clone();
            let gain = reached.log_density - best.log_density;
            if gain > 0.0 {
                path.push(&reached.position, &reached.gradient);
                best = reached;
            }
            small_gains = if gain < 0.5 + 0.05 * dim as f64 { small_gains + 1 } else { 0 };
            if small_gains == 2 {
                break;
            }
        }
    }
    let shared = objective.shared.into_inner();
    match shared.fatal {
        Some(error) => Err(error.into()),
        None => Ok(Descent { state: best, path, n_evaluations: shared.n_evaluations }),
    }
}

/// The negative log density in scaled coordinates around the start.
struct Objective<'e> {
    shared: std::cell::RefCell<Shared<'e>>,
    origin: Vec<f64>,
    scales: Vec<f64>,
}

struct Shared<'e> {
    evaluator: &'e mut dyn Evaluator,
    fatal: Option<crate::error::DensityError>,
    /// The last point evaluated: value and gradient are asked for one after the other.
    last: State,
    n_evaluations: u32,
}

impl Objective<'_> {
    fn evaluate<R>(&self, point: &Point, read: impl FnOnce(&State) -> R) -> Result<R, argmin::core::Error> {
        let mut shared = self.shared.borrow_mut();
        let shared = &mut *shared;
        let position: Vec<f64> = self.origin.iter().zip(&self.scales).zip(&point.0).map(|((o, s), u)| o + s * u).collect();
        if position != shared.last.position {
            shared.n_evaluations += 1;
            match State::new(shared.evaluator, position) {
                Ok(state) if state.log_density.is_finite() => shared.last = state,
                Ok(_) => return Err(argmin::core::Error::msg("zero density")),
                Err(error) => {
                    let message = error.to_string();
                    if !error.is_recoverable() {
                        shared.fatal.get_or_insert(error);
                    }
                    return Err(argmin::core::Error::msg(message));
                }
            }
        }
        Ok(read(&shared.last))
    }
}

impl CostFunction for &Objective<'_> {
    type Param = Point;
    type Output = f64;

    fn cost(&self, point: &Point) -> Result<f64, argmin::core::Error> {
        self.evaluate(point, |state| -state.log_density)
    }
}

impl Gradient for &Objective<'_> {
    type Param = Point;
    type Gradient = Point;

    fn gradient(&self, point: &Point) -> Result<Point, argmin::core::Error> {
        self.evaluate(point, |state| Point(state.gradient.iter().zip(&self.scales).map(|(g, s)| -g * s).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DensityError;
    use crate::model::{Density, Target, WithGradient};

    /// A normal with very different scales, far away.
    struct Far;
    impl Density for Far {
        fn dim(&self) -> usize {
            3
        }
        fn log_density_gradient(&self, q: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
            let mut value = 0.0;
            for (i, (&centre, &sd)) in [1e3, -2.0, 0.5].iter().zip(&[100.0, 1e-3, 1.0]).enumerate() {
                let z = (q[i] - centre) / sd;
                g[i] = -z / sd;
                value -= 0.5 * z * z;
            }
            Ok(value)
        }
    }

    #[test]
    fn it_comes_near_the_mass_and_learns_the_scales() {
        let target = WithGradient(Far);
        let mut evaluator = target.evaluator().unwrap();
        let start = State::new(evaluator.as_mut(), vec![0.0; 3]).unwrap();
        let descent = descend(evaluator.as_mut(), start).unwrap();
        assert!(descent.state.log_density > -10.0, "{descent:?}");
        assert!(descent.n_evaluations < 150);
        assert!(descent.path.len() > 2);
    }

    struct Cliff(bool);
    impl Density for Cliff {
        fn dim(&self) -> usize {
            1
        }
        fn log_density_gradient(&self, q: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
            g[0] = 1.0;
            if q[0] <= 0.5 {
                Ok(q[0])
            } else if self.0 {
                Err(DensityError::Panicked { message: "over the edge".to_owned() })
            } else {
                Ok(f64::NEG_INFINITY)
            }
        }
    }

    #[test]
    fn an_edge_ends_it_and_a_fatal_error_is_reported() {
        let target = WithGradient(Cliff(false));
        let mut evaluator = target.evaluator().unwrap();
        let start = State::new(evaluator.as_mut(), vec![0.0]).unwrap();
        assert!(descend(evaluator.as_mut(), start.clone()).unwrap().state.position[0] <= 0.5);
        let target = WithGradient(Cliff(true));
        let mut evaluator = target.evaluator().unwrap();
        assert!(matches!(descend(evaluator.as_mut(), start), Err(Error::Density(DensityError::Panicked { .. }))));
    }
}
