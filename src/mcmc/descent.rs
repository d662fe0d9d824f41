//! From a point to where the posterior's mass is, or on to its mode, by L-BFGS.
//!
//! A search for the mass stops once iterations gain little: the densest points of a posterior are not typical of it, and those of a hierarchical
//! one may have no end. A search for the mode goes on until they gain nothing, and where the line search fails (at an edge, at an overflow, on
//! curvature of the wrong sign) it forgets what it has learned and starts anew from the densest point seen. Steps are scaled so that the first one
//! promises about one unit of log density per coordinate.
//!
//! *Reference* Nocedal & Wright 2006, *Numerical Optimization*, chapter 7; the solver is argmin's.

use std::cell::RefCell;

use argmin::core::{CostFunction, Gradient, IterState, Problem, Solver, State as _};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;

use super::point::Point;
use crate::adaptation::DrawBuffer;
use crate::error::{DensityError, Error};
use crate::kernels::State;
use crate::model::Evaluator;

/// Evaluations of one line search at most.
const MAX_TRIALS: usize = 100;
/// Restarts in a row without a gain, after which a search for the mode is over.
const MAX_RESTARTS: u32 = 5;
/// Factor of the scales after a restart without a gain.
const SHORTER: f64 = 0.03;
/// Coordinates and log densities beyond this have left all bounds.
const OUT_OF_BOUNDS: f64 = 1e20;
/// Gain in log density below which an iteration has found the mode.
const NO_GAIN: f64 = 1e-8;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// A point about as dense as most of the mass.
    Mass,
    /// The densest point.
    Mode,
}

impl Goal {
    /// Pairs of steps and gradient differences that the solver remembers. Posteriors whose scales differ by 10³ need more pairs than they have dimensions: on a regression in
    /// 26 dimensions 1000 iterations with 10 pairs reach the mode from 5 of 10 starts, 157 to 266 with 100 pairs from all.
    fn memory(self) -> usize {
        match self {
            Self::Mass => 8,
            Self::Mode => 100,
        }
    }

    /// Gain below which an iteration counts as small; two of them in a row end the search.
    fn small_gain(self, dim: usize) -> f64 {
        match self {
            Self::Mass => 0.5 + 0.05 * dim as f64,
            Self::Mode => NO_GAIN,
        }
    }
}

/// Where a descent ended.
#[derive(Debug)]
pub(crate) struct Descent {
    /// The densest point that an iteration ended at; of a search for the mode, the densest one seen.
    pub(crate) state: State,
    /// Points on the way to the mass, with their gradients: they tell the scales of the coordinates.
    pub(super) path: DrawBuffer,
    /// Position or density left all bounds, or the search for the mode is stuck beside points of infinite density.
    pub(crate) ran_off: bool,
    pub(crate) n_iterations: usize,
    pub(crate) n_evaluations: u32,
}

/// Descends from `start`, which has a finite density and gradient.
///
/// # Errors
/// [`Error::Density`] for a fatal error of the density.
pub(crate) fn descend(evaluator: &mut dyn Evaluator, start: State, goal: Goal, max_iterations: usize) -> Result<Descent, Error> {
    let mut path = DrawBuffer::new(start.position.len());
    path.push(&start.position, &start.gradient);
    let (last, densest) = (start.clone(), start.clone());
    let mut shared = Shared { evaluator, fatal: None, last, densest, is_unbounded: false, n_trials: 0, n_evaluations: 0 };
    let mut reached = Descent { state: start, path, ran_off: false, n_iterations: 0, n_evaluations: 0 };
    let (mut factor, mut n_restarts) = (1.0, 0);
    loop {
        let before = reached.state.log_density;
        let (end, now) = follow(shared, &mut reached, goal, max_iterations, factor);
        shared = now;
        if let Some(error) = shared.fatal {
            return Err(error.into());
        }
        reached.n_evaluations = shared.n_evaluations;
        // A line search may have met a denser point in the basin of another mode than the one it ended in.
        let is_denser = shared.densest.log_density > reached.state.log_density + NO_GAIN;
        let go_on = goal == Goal::Mode && (end == End::LineSearchFailed || (end == End::SmallGains && is_denser));
        if goal == Goal::Mode && is_denser {
            reached.state.clone_from(&shared.densest);
        }
        if reached.state.log_density > before + NO_GAIN {
            (factor, n_restarts) = (1.0, 0);
        } else {
            (factor, n_restarts) = (factor * SHORTER, n_restarts + 1);
        }
        let out_of_bounds = is_out_of_bounds(&reached.state);
        if !go_on || out_of_bounds || n_restarts > MAX_RESTARTS {
            reached.ran_off = out_of_bounds || (go_on && shared.is_unbounded);
            return Ok(reached);
        }
    }
}

/// Why one run of the solver ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    SmallGains,
    OutOfIterations,
    LineSearchFailed,
}

/// One run of the solver from the point reached, with fresh scales.
fn follow<'e>(
    mut shared: Shared<'e>,
    reached: &mut Descent,
    goal: Goal,
    max_iterations: usize,
    factor: f64,
) -> (End, Shared<'e>) {
    let dim = reached.state.position.len();
    shared.last.clone_from(&reached.state);
    shared.is_unbounded = false;
    let scale = |g: &f64| factor * (1.0 / g.abs().max(1.0)).max(1e-12);
    let scales = reached.state.gradient.iter().map(scale).collect();
    let objective = Objective { shared: RefCell::new(shared), origin: reached.state.position.clone(), scales };
    let mut problem = Problem::new(&objective);
    let mut solver = LBFGS::new(MoreThuenteLineSearch::<Point, Point, f64>::new(), goal.memory());
    let mut end = End::LineSearchFailed;
    let mut small_gains = 0;
    if let Ok((mut state, _)) = solver.init(&mut problem, IterState::new().param(Point(vec![0.0; dim]))) {
        loop {
            if reached.n_iterations == max_iterations {
                end = End::OutOfIterations;
                break;
            }
            reached.n_iterations += 1;
            objective.shared.borrow_mut().n_trials = 0;
            // A failure of the line search leaves the solver no state to go on from.
            let Ok((next, _)) = solver.next_iter(&mut problem, state) else { break };
            if next.terminated() {
                break;
            }
            state = next;
            state.increment_iter();
            let last = objective.shared.borrow().last.clone();
            let gain = last.log_density - reached.state.log_density;
            if gain > 0.0 {
                if goal == Goal::Mass {
                    reached.path.push(&last.position, &last.gradient);
                }
                reached.state = last;
            }
            // argmin's line search may also end at a point that is worse than its start.
            if goal == Goal::Mode && gain < -NO_GAIN {
                break;
            }
            small_gains = if gain < goal.small_gain(dim) { small_gains + 1 } else { 0 };
            if small_gains == 2 {
                end = End::SmallGains;
                break;
            }
        }
    }
    (end, objective.shared.into_inner())
}

fn is_out_of_bounds(state: &State) -> bool {
    state.log_density >= OUT_OF_BOUNDS || state.position.iter().any(|x| x.abs() >= OUT_OF_BOUNDS)
}

/// The negative log density in scaled coordinates around the start.
struct Objective<'e> {
    shared: RefCell<Shared<'e>>,
    origin: Vec<f64>,
    scales: Vec<f64>,
}

struct Shared<'e> {
    evaluator: &'e mut dyn Evaluator,
    fatal: Option<DensityError>,
    /// The last point evaluated: value and gradient are asked for one after the other.
    last: State,
    densest: State,
    /// A density of +∞ was met since the last start.
    is_unbounded: bool,
    /// Evaluations of the line search under way.
    n_trials: usize,
    n_evaluations: u32,
}

impl Objective<'_> {
    fn evaluate<R>(&self, point: &Point, read: impl FnOnce(&State) -> R) -> Result<R, argmin::core::Error> {
        let failed = |reason: &'static str| Err(argmin::core::Error::msg(reason));
        let mut shared = self.shared.borrow_mut();
        let shared = &mut *shared;
        let position: Vec<f64> = self.origin.iter().zip(&self.scales).zip(&point.0).map(|((o, s), u)| o + s * u).collect();
        if position != shared.last.position {
            if shared.n_trials == MAX_TRIALS || !position.iter().all(|x| x.is_finite()) {
                return failed("no end of the line search");
            }
            shared.n_trials += 1;
            shared.n_evaluations += 1;
            match State::new(shared.evaluator, position) {
                Ok(state) if state.log_density.is_finite() => shared.last = state,
                Ok(_) => return failed("zero density"),
                Err(error) => {
                    shared.is_unbounded |= matches!(error, DensityError::PositiveInfinity);
                    if !error.is_recoverable() {
                        shared.fatal.get_or_insert(error);
                    }
                    return failed("no density");
                }
            }
            if shared.last.log_density > shared.densest.log_density {
                shared.densest.clone_from(&shared.last);
                if is_out_of_bounds(&shared.last) {
                    return failed("no bounds");
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
        let descent = descend(evaluator.as_mut(), start, Goal::Mass, 50).unwrap();
        assert!(descent.state.log_density > -10.0, "{descent:?}");
        assert!(descent.n_evaluations < 150);
        assert!(descent.path.len() > 2);
    }

    #[derive(Clone, Copy)]
    struct Closure<F>(usize, F);
    impl<F: Fn(&[f64], &mut [f64]) -> Result<f64, DensityError> + Sync> Density for Closure<F> {
        fn dim(&self) -> usize {
            self.0
        }
        fn log_density_gradient(&self, q: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
            (self.1)(q, g)
        }
    }

    fn descent<F>(dim: usize, f: F, start: Vec<f64>, goal: Goal) -> Result<Descent, Error>
    where
        F: Fn(&[f64], &mut [f64]) -> Result<f64, DensityError> + Sync,
    {
        let target = WithGradient(Closure(dim, f));
        let mut evaluator = target.evaluator().unwrap();
        let start = State::new(evaluator.as_mut(), start).unwrap();
        descend(evaluator.as_mut(), start, goal, 1000)
    }

    /// Rises to 0.5, where something else begins.
    fn cliff(beyond: Result<f64, DensityError>) -> impl Fn(&[f64], &mut [f64]) -> Result<f64, DensityError> + Sync {
        move |q, g| {
            g[0] = 1.0;
            if q[0] <= 0.5 { Ok(q[0]) } else { beyond.clone() }
        }
    }

    #[test]
    fn an_edge_ends_it_and_a_fatal_error_is_reported() {
        for beyond in [Ok(f64::NEG_INFINITY), Err(DensityError::NotANumber)] {
            let mass = descent(1, cliff(beyond.clone()), vec![0.0], Goal::Mass).unwrap();
            assert!(mass.state.position[0] <= 0.5 && !mass.ran_off);
            let mode = descent(1, cliff(beyond), vec![0.0], Goal::Mode).unwrap();
            assert!(mode.state.position[0] > 0.49 && mode.state.position[0] <= 0.5 && !mode.ran_off, "{mode:?}");
        }
        let fatal = Err(DensityError::Panicked { message: "over the edge".to_owned() });
        for goal in [Goal::Mass, Goal::Mode] {
            let found = descent(1, cliff(fatal.clone()), vec![0.0], goal);
            assert!(matches!(found, Err(Error::Density(DensityError::Panicked { .. }))));
        }
    }

    /// The first step, as long as promises one unit of log density, ends beyond the edge: without restarts the search would end at its start.
    #[test]
    fn a_mode_just_inside_an_edge_is_found_by_shorter_steps() {
        let density = |q: &[f64], g: &mut [f64]| {
            let x = q[0] - 0.01;
            let y = (q[1] - 0.5 * x) / 0.1;
            g.copy_from_slice(&[-x / 0.9 + 5.0 * y, -10.0 * y]);
            Ok(if q[0] < 0.0 { f64::NEG_INFINITY } else { -0.5 * (x * x / 0.9 + y * y) })
        };
        let found = descent(2, density, vec![0.9, 0.445], Goal::Mode).unwrap();
        assert!((found.state.position[0] - 0.01).abs() < 1e-3 && found.state.position[1].abs() < 1e-3, "{found:?}");
        assert!(found.n_evaluations < 100, "{found:?}");
    }

    #[test]
    fn badly_scaled_normals_and_rosenbrocks_valley_are_followed_to_the_mode() {
        let far = |q: &[f64], g: &mut [f64]| Far.log_density_gradient(q, g);
        let found = descent(3, far, vec![0.0; 3], Goal::Mode).unwrap();
        assert!(found.state.log_density > -1e-6 && found.n_evaluations < 100, "{found:?}");
        let valley = |q: &[f64], g: &mut [f64]| {
            let (a, b) = (1.0 - q[0], q[1] - q[0] * q[0]);
            g.copy_from_slice(&[2.0 * a + 400.0 * b * q[0], -200.0 * b]);
            Ok(-a * a - 100.0 * b * b)
        };
        let found = descent(2, valley, vec![-1.2, 1.0], Goal::Mode).unwrap();
        assert!(found.state.position.iter().all(|x| (x - 1.0).abs() < 1e-3) && found.n_evaluations < 100, "{found:?}");
        assert!(found.n_iterations < 60, "{found:?}");
    }

    /// Standard deviations from 1e-3 to 1 in 26 dimensions, mirrored so that no coordinate has one of its own.
    #[test]
    fn many_scales_in_no_coordinate_are_learned() {
        let dim = 26;
        let mirrored = |x: &[f64]| -> Vec<f64> {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            x.iter().map(|x| x - 2.0 * mean).collect()
        };
        let density = |q: &[f64], g: &mut [f64]| {
            let mut z = mirrored(q);
            let mut value = 0.0;
            for (i, z) in z.iter_mut().enumerate() {
                let sd = 10_f64.powf(-3.0 * i as f64 / 25.0);
                value -= 0.5 * (*z / sd).powi(2);
                *z = -*z / (sd * sd);
            }
            g.copy_from_slice(&mirrored(&z));
            Ok(value)
        };
        let found = descent(dim, density, (0..dim).map(|i| (i as f64).sin()).collect(), Goal::Mode).unwrap();
        assert!(found.state.log_density > -0.1 && found.n_iterations < 400, "{found:?}");
    }

    /// Linear, quadratic, exponential, and one whose values overflow to +∞ beyond 3 while its positions and densities stay small.
    #[test]
    fn densities_without_a_maximum_are_found_out() {
        let with = |value: fn(f64) -> f64, slope: fn(f64) -> f64| {
            let density = move |q: &[f64], g: &mut [f64]| {
                g.copy_from_slice(&[slope(q[0]), -q[1]]);
                let value = value(q[0]) - 0.5 * q[1] * q[1];
                if value == f64::INFINITY { Err(DensityError::PositiveInfinity) } else { Ok(value) }
            };
            descent(2, density, vec![0.5, 1.0], Goal::Mode).unwrap()
        };
        for found in [
            with(|x| x, |_| 1.0),
            with(|x| 1e-8 * x, |_| 1e-8),
            with(|x| x * x, |x| 2.0 * x),
            with(f64::exp, f64::exp),
            with(|x| if x < 3.0 { x } else { f64::INFINITY }, |_| 1.0),
        ] {
            assert!(found.ran_off, "{found:?}");
        }
        let bounded = with(|x| -(x * x), |x| -2.0 * x);
        assert!(!bounded.ran_off && bounded.state.log_density > -1e-6);
    }

    #[test]
    fn a_start_at_the_mode_stays_there() {
        let normal = |q: &[f64], g: &mut [f64]| {
            g[0] = -q[0];
            Ok(-0.5 * q[0] * q[0])
        };
        let found = descent(1, normal, vec![0.0], Goal::Mode).unwrap();
        assert!(found.state.position == [0.0] && !found.ran_off && found.n_evaluations == 0, "{found:?}");
    }
}
