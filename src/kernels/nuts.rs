//! The no-U-turn sampler: Hamiltonian Monte Carlo that chooses its own trajectory length. The default for smooth densities on ℝᵈ.
//!
//! ```text
//! p ~ N(0, M);  the trajectory is {(q, p)}
//! repeat, at most `max_tree_depth` times:
//!     a coin says forward or backward in time; leapfrog as many new points as the trajectory has
//!     stop, dropping the new points, if they diverge or if any dyadic subtree of them makes a U-turn
//!     within subtrees the proposal is multinomial: a point's weight is w = exp(H₀ − H)
//!     the new half's proposal replaces the old one with probability min(1, Σ w_new / Σ w_old)
//!     stop if the whole trajectory makes a U-turn
//! ```
//! A trajectory with ends − and + and momentum sum ρ = Σ p makes a U-turn unless ρ·M⁻¹p₋ > 0 and ρ·M⁻¹p₊ > 0; the same is asked of
//! each half together with the adjoining point of the other half, which catches turns that fit a whole period.
//!
//! *Asks* a log density and its gradient. *Costs* `n_steps` gradients and O(d) more per gradient (beside the metric); memory for 7 d
//! numbers per level of the tree.
//! *References* Hoffman & Gelman 2014, <https://jmlr.org/papers/v15/hoffman14a.html> (arXiv 1111.4246); Betancourt 2017, appendix A,
//! <https://arxiv.org/abs/1701.02434>; the checks across halves as in Stan since 2.21.
//! *Not* for discrete parameters or densities with jumps; for strongly separated modes temper it; when d is in the tens of thousands and a
//! trajectory needs hundreds of gradients, microcanonical methods need fewer.

use std::mem::swap;

use serde::{Deserialize, Serialize};

use super::{Kernel, Metric, PhasePoint, State, axpy, log_add_exp, tuned_by_step_size_and_metric};
use crate::error::{DensityError, Error, check};
use crate::model::LogDensityGradient;
use crate::rng::Stream;

/// Settings of [`Nuts`] beside step size and metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NutsConfig {
    /// Largest number of doublings, so at most 2^this − 1 gradients; 10, allowed 1 to 24.
    pub max_tree_depth: usize,
    /// Energy error above which a point counts as divergent; 1000.
    pub max_energy_error: f64,
}

impl Default for NutsConfig {
    fn default() -> Self {
        Self { max_tree_depth: 10, max_energy_error: 1000.0 }
    }
}

impl NutsConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first one out of range.
    pub fn validate(&self) -> Result<(), Error> {
        let depth = self.max_tree_depth;
        check::in_range("max_tree_depth", depth as f64, (1..=24).contains(&depth), "between 1 and 24")?;
        check::positive("max_energy_error", self.max_energy_error)
    }
}

/// What happened in one transition of [`Nuts`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NutsInfo {
    /// Mean of min(1, exp(H₀ − H)) over the new points of the trajectory: what dual averaging steers.
    pub acceptance_rate: f64,
    /// Mean of 2 / (1 + exp|H − H₀|): falls as well when the energy drops, so that step sizes stay sane while a chain still descends
    /// towards the bulk.
    pub symmetric_acceptance_rate: f64,
    /// Leapfrog steps made: gradient evaluations.
    pub n_steps: usize,
    /// Completed doublings.
    pub tree_depth: usize,
    /// True if the trajectory ended at a point whose energy error exceeds the threshold or that could not be evaluated.
    pub diverging: bool,
    /// True if the trajectory ended for want of depth.
    pub reached_max_tree_depth: bool,
    /// Energy H of the new state, with the momentum it was found with.
    pub energy: f64,
    /// Its difference from the energy at the start, H − H₀.
    pub energy_error: f64,
    /// The difference largest in absolute value along the trajectory, with its sign.
    pub max_energy_error: f64,
    /// Place of the new state on the trajectory in leapfrog steps from the start; negative is back in time.
    pub index_in_trajectory: i64,
}

/// The no-U-turn sampler.
///
/// ```
/// use posterity::kernels::{Kernel, Metric, Nuts, NutsConfig, State};
/// use posterity::model::FromFn;
/// use posterity::rng::Stream;
/// let mut target = FromFn::new(1, |q: &[f64], g: &mut [f64]| { g[0] = -q[0]; Ok(-0.5 * q[0] * q[0]) });
/// let mut nuts = Nuts::new(NutsConfig::default(), Metric::identity(1), 0.9)?;
/// let mut state = State::new(&mut target, vec![0.0])?;
/// let mut rng = Stream::new(1);
/// let mut second_moment = 0.0;
/// for _ in 0..2000 {
///     nuts.step(&mut state, &mut target, &mut rng)?;
///     second_moment += state.position[0] * state.position[0] / 2000.0;
/// }
/// assert!((second_moment - 1.0).abs() < 0.15);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Nuts {
    config: NutsConfig,
    metric: Metric,
    step_size: f64,
    #[serde(skip)]
    scratch: Scratch,
    #[cfg(test)]
    #[serde(skip)]
    pub(super) fault: Fault,
}

/// Wrong versions of the algorithm that the statistical tests must reject.
#[cfg(test)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// Every point of the trajectory weighs the same.
    UniformWeights,
    /// The newest half's proposal is always taken.
    AlwaysLast,
    /// Biased progressive sampling inside subtrees as well.
    BiasedSubtrees,
    /// U-turns inside the new half do not end the trajectory.
    NoSubtreeCheck,
    /// The proposal of a new half that turned is kept.
    KeepInvalid,
    /// The trajectory only ever grows forward.
    OneDirection,
}

impl Nuts {
    /// A sampler with the given tuning.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a setting or step size out of range.
    pub fn new(config: NutsConfig, metric: Metric, step_size: f64) -> Result<Self, Error> {
        config.validate()?;
        check::positive("step_size", step_size)?;
        let scratch = Scratch::new(metric.dim(), config.max_tree_depth);
        Ok(Self {
            config,
            metric,
            step_size,
            scratch,
            #[cfg(test)]
            fault: Fault::None,
        })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &NutsConfig {
        &self.config
    }
}

tuned_by_step_size_and_metric!(Nuts);

impl Kernel for Nuts {
    type Info = NutsInfo;

    fn step(
        &mut self,
        state: &mut State,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
    ) -> Result<NutsInfo, DensityError> {
        let dim = self.metric.dim();
        state.check_with_gradient(dim, target)?;
        if self.scratch.pool.len() != self.config.max_tree_depth || self.scratch.front.position.len() != dim {
            self.scratch = Scratch::new(dim, self.config.max_tree_depth); // after deserialisation
        }
        let Scratch { front, back, tree, grown, pool } = &mut self.scratch;

        front.start(state, &self.metric, rng);
        back.copy_from(front);
        let initial_energy = front.energy();
        tree.start(front, initial_energy);
        let (mut front_index, mut back_index) = (0, 0);
        let mut forward = true;
        let mut walk = Walk {
            target,
            rng,
            metric: &self.metric,
            step_size: self.step_size,
            direction: 1,
            index: 0,
            initial_energy,
            threshold: self.config.max_energy_error,
            acceptance: 0.0,
            symmetric_acceptance: 0.0,
            n_steps: 0,
            max_energy_error: 0.0,
            diverging: false,
            #[cfg(test)]
            fault: self.fault,
        };

        let mut tree_depth = 0;
        let mut ended = false;
        while !ended && tree_depth < self.config.max_tree_depth {
            let go_forward = walk.coin();
            if go_forward != forward {
                swap(front, back);
                tree.reverse();
                swap(&mut front_index, &mut back_index);
                forward = go_forward;
            }
            walk.direction = if forward { 1 } else { -1 };
            walk.index = front_index;
            let valid = walk.grow(front, grown, &mut pool[..tree_depth])?;
            front_index = walk.index;
            if !valid {
                #[cfg(test)]
                if walk.fault == Fault::KeepInvalid && !walk.diverging {
                    walk.merge(tree, grown, Selection::Biased);
                }
                break;
            }
            tree_depth += 1;
            ended = !walk.merge(tree, grown, Selection::Biased);
        }

        let chosen = &tree.proposal;
        if chosen.index != 0 {
            state.position.copy_from_slice(&chosen.position);
            state.gradient.copy_from_slice(&chosen.gradient);
            state.log_density = chosen.log_density;
        }
        let n = walk.n_steps as f64;
        Ok(NutsInfo {
            acceptance_rate: walk.acceptance / n,
            symmetric_acceptance_rate: walk.symmetric_acceptance / n,
            n_steps: walk.n_steps,
            tree_depth,
            diverging: walk.diverging,
            reached_max_tree_depth: !ended && tree_depth == self.config.max_tree_depth,
            energy: chosen.energy,
            energy_error: chosen.energy - initial_energy,
            max_energy_error: walk.max_energy_error,
            index_in_trajectory: chosen.index,
        })
    }
}

/// How the second of two halves' proposals replaces the first one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selection {
    /// With probability w₂ / (w₁ + w₂).
    Multinomial,
    /// With probability min(1, w₂ / w₁).
    Biased,
}

/// One transition under way.
struct Walk<'a> {
    target: &'a mut dyn LogDensityGradient,
    rng: &'a mut Stream,
    metric: &'a Metric,
    step_size: f64,
    direction: i64,
    /// Index of the last point made in the current direction.
    index: i64,
    initial_energy: f64,
    threshold: f64,
    acceptance: f64,
    symmetric_acceptance: f64,
    n_steps: usize,
    max_energy_error: f64,
    diverging: bool,
    #[cfg(test)]
    fault: Fault,
}

impl Walk<'_> {
    fn coin(&mut self) -> bool {
        #[cfg(test)]
        if self.fault == Fault::OneDirection {
            return true;
        }
        self.rng.coin()
    }

    /// Makes 2^(length of `pool`) steps from `point` and sums them up in `out`; false if they diverge or turn.
    fn grow(&mut self, point: &mut PhasePoint, out: &mut Tree, pool: &mut [Tree]) -> Result<bool, DensityError> {
        let Some((second, pool)) = pool.split_last_mut() else {
            return self.leaf(point, out);
        };
        let valid = self.grow(point, out, pool)? && self.grow(point, second, pool)?;
        Ok(valid && self.merge(out, second, Selection::Multinomial))
    }

    /// Makes one step; false if it diverges.
    fn leaf(&mut self, point: &mut PhasePoint, out: &mut Tree) -> Result<bool, DensityError> {
        let energy = point.leapfrog(self.target, self.metric, self.direction as f64 * self.step_size)?;
        self.n_steps += 1;
        self.index += self.direction;
        let error = energy - self.initial_energy;
        let small = (-error.abs()).exp();
        self.acceptance += if error <= 0.0 { 1.0 } else { small };
        self.symmetric_acceptance += 2.0 * small / (1.0 + small);
        if error.abs() > self.max_energy_error.abs() {
            self.max_energy_error = error;
        }
        if !(error <= self.threshold) {
            self.diverging = true;
            return Ok(false);
        }
        out.set_leaf(point, energy, -error, self.index);
        #[cfg(test)]
        if self.fault == Fault::UniformWeights {
            out.log_weight = 0.0;
        }
        Ok(true)
    }

    /// Joins the adjoining `second` to `first`; false if the whole turns.
    fn merge(&mut self, first: &mut Tree, second: &mut Tree, selection: Selection) -> bool {
        let turns = first.turns_with(second);
        #[cfg(test)]
        let (turns, selection) = match (self.fault, selection) {
            (Fault::NoSubtreeCheck, Selection::Multinomial) => (false, selection),
            (Fault::BiasedSubtrees, Selection::Multinomial) => (turns, Selection::Biased),
            _ => (turns, selection),
        };
        let total = log_add_exp(first.log_weight, second.log_weight);
        let against = match selection {
            Selection::Multinomial => total,
            Selection::Biased => first.log_weight,
        };
        let take = self.rng.uniform() < (second.log_weight - against).exp();
        #[cfg(test)]
        let take = take || (self.fault == Fault::AlwaysLast && selection == Selection::Biased);
        if take {
            swap(&mut first.proposal, &mut second.proposal);
        }
        first.log_weight = total;
        first.append(second);
        !turns
    }
}

/// Momentum and velocity at one end of a tree.
#[derive(Debug, Clone, Default)]
struct End {
    momentum: Vec<f64>,
    velocity: Vec<f64>,
}

impl End {
    fn copy_from(&mut self, point: &PhasePoint) {
        self.momentum.copy_from_slice(&point.momentum);
        self.velocity.copy_from_slice(&point.velocity);
    }
}

/// The state that a tree proposes.
#[derive(Debug, Clone, Default)]
struct Proposal {
    position: Vec<f64>,
    gradient: Vec<f64>,
    log_density: f64,
    energy: f64,
    index: i64,
}

/// A stretch of the trajectory, summed up; the last end is the one that grows.
#[derive(Debug, Clone, Default)]
struct Tree {
    /// A single point: `first` is then both ends, its momentum the sum, and `last` and `momentum_sum` are stale.
    is_leaf: bool,
    first: End,
    last: End,
    /// ρ = Σ p.
    momentum_sum: Vec<f64>,
    /// log Σ exp(H₀ − H).
    log_weight: f64,
    proposal: Proposal,
}

impl Tree {
    fn new(dim: usize) -> Self {
        let zeros = || vec![0.0; dim];
        let end = || End { momentum: zeros(), velocity: zeros() };
        let proposal = Proposal { position: zeros(), gradient: zeros(), ..Proposal::default() };
        Self { is_leaf: true, first: end(), last: end(), momentum_sum: zeros(), log_weight: 0.0, proposal }
    }

    /// The trajectory before its first step; the proposal's vectors stay stale, index 0 says that the state does not change.
    fn start(&mut self, point: &PhasePoint, energy: f64) {
        self.set_summary(point, 0.0);
        self.proposal.log_density = point.log_density;
        self.proposal.energy = energy;
        self.proposal.index = 0;
    }

    fn set_leaf(&mut self, point: &PhasePoint, energy: f64, log_weight: f64, index: i64) {
        self.set_summary(point, log_weight);
        self.proposal.position.copy_from_slice(&point.position);
        self.proposal.gradient.copy_from_slice(&point.gradient);
        self.proposal.log_density = point.log_density;
        self.proposal.energy = energy;
        self.proposal.index = index;
    }

    fn set_summary(&mut self, point: &PhasePoint, log_weight: f64) {
        self.is_leaf = true;
        self.first.copy_from(point);
        self.log_weight = log_weight;
    }

    fn last(&self) -> &End {
        if self.is_leaf { &self.first } else { &self.last }
    }

    fn momentum_sum(&self) -> &[f64] {
        if self.is_leaf { &self.first.momentum } else { &self.momentum_sum }
    }

    /// Makes the other end the one that grows.
    fn reverse(&mut self) {
        if !self.is_leaf {
            swap(&mut self.first, &mut self.last);
        }
    }

    /// Takes over the far end and the momenta of the adjoining `other`.
    fn append(&mut self, other: &mut Self) {
        if self.is_leaf {
            self.momentum_sum.copy_from_slice(&self.first.momentum);
        }
        axpy(1.0, other.momentum_sum(), &mut self.momentum_sum);
        swap(&mut self.last, if other.is_leaf { &mut other.first } else { &mut other.last });
        self.is_leaf = false;
    }

    /// True if this tree and the adjoining `other` make a U-turn together, or either with the next point of the other.
    fn turns_with(&self, other: &Self) -> bool {
        let goes_on = |x: &[f64], y: &[f64], first: &End, last: &End| sum_points_along(x, y, &first.velocity, &last.velocity);
        let (sum, other_sum) = (self.momentum_sum(), other.momentum_sum());
        let (last, other_last) = (self.last(), other.last());
        if !goes_on(sum, other_sum, &self.first, other_last) {
            return true;
        }
        if self.is_leaf && other.is_leaf {
            return false; // the other two checks are the same
        }
        !(goes_on(sum, &other.first.momentum, &self.first, &other.first) && goes_on(&last.momentum, other_sum, last, other_last))
    }
}

/// True if (x + y)·u > 0 and (x + y)·v > 0; false for NaN.
fn sum_points_along(x: &[f64], y: &[f64], u: &[f64], v: &[f64]) -> bool {
    const LANES: usize = 4;
    let (mut with_u, mut with_v) = ([0.0; LANES], [0.0; LANES]);
    let n = u.len();
    let (x, y, v) = (&x[..n], &y[..n], &v[..n]);
    let whole = n - n % LANES;
    for start in (0..whole).step_by(LANES) {
        let (x, y, u, v) =
            (&x[start..start + LANES], &y[start..start + LANES], &u[start..start + LANES], &v[start..start + LANES]);
        for i in 0..LANES {
            let sum = x[i] + y[i];
            with_u[i] += sum * u[i];
            with_v[i] += sum * v[i];
        }
    }
    for i in whole..n {
        let sum = x[i] + y[i];
        with_u[i - whole] += sum * u[i];
        with_v[i - whole] += sum * v[i];
    }
    with_u.iter().sum::<f64>() > 0.0 && with_v.iter().sum::<f64>() > 0.0
}

/// Memory of one transition; nothing in it outlives the transition.
#[derive(Debug, Clone, Default)]
struct Scratch {
    front: PhasePoint,
    back: PhasePoint,
    tree: Tree,
    grown: Tree,
    pool: Vec<Tree>,
}

impl Scratch {
    fn new(dim: usize, max_tree_depth: usize) -> Self {
        Self {
            front: PhasePoint::new(dim),
            back: PhasePoint::new(dim),
            tree: Tree::new(dim),
            grown: Tree::new(dim),
            pool: (0..max_tree_depth).map(|_| Tree::new(dim)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::invariance::{assert_error_paths, skewed};
    use crate::model::FromFn;

    fn nuts(metric: Metric, step_size: f64) -> Nuts {
        Nuts::new(NutsConfig::default(), metric, step_size).unwrap()
    }

    fn normal(dim: usize) -> impl LogDensityGradient {
        FromFn::new(dim, |q: &[f64], g: &mut [f64]| {
            g.iter_mut().zip(q).for_each(|(g, q)| *g = -q);
            Ok(-0.5 * q.iter().map(|q| q * q).sum::<f64>())
        })
    }

    #[test]
    fn info_agrees_with_the_trajectory() {
        // Replays the whole transition with leapfrog steps from the same momentum.
        let (step_size, metric) = (0.3, Metric::diagonal(vec![0.5, 1.0, 2.0]).unwrap());
        let mut kernel = nuts(metric.clone(), step_size);
        let mut state = State::new(&mut skewed(), vec![0.1, 0.2, -0.3]).unwrap();
        let mut rng = Stream::new(8);
        for _ in 0..200 {
            let mut point = PhasePoint::new(3);
            point.start(&state, &metric, &mut rng.clone());
            let start = point.energy();
            let info = kernel.step(&mut state, &mut skewed(), &mut rng).unwrap();
            let mut energy = start;
            for _ in 0..info.index_in_trajectory.abs() {
                let direction = info.index_in_trajectory.signum() as f64;
                energy = point.leapfrog(&mut skewed(), &metric, direction * step_size).unwrap();
            }
            assert_eq!(state.position, point.position);
            assert_eq!(state, State::new(&mut skewed(), state.position.clone()).unwrap());
            assert_eq!((info.energy, info.energy_error), (energy, energy - start));
            assert!(info.n_steps >= (1 << info.tree_depth) - 1 && info.n_steps < 2 << info.tree_depth);
            assert!(info.acceptance_rate <= 1.0 && info.symmetric_acceptance_rate <= 1.0);
            assert!(!info.diverging && !info.reached_max_tree_depth);
        }
    }

    #[test]
    fn one_dimension_and_a_thousand() {
        for (dim, step_size, n) in [(1, 0.8, 4000), (1000, 0.25, 200)] {
            let mut kernel = nuts(Metric::identity(dim), step_size);
            let mut target = normal(dim);
            let mut state = State::new(&mut target, vec![0.0; dim]).unwrap();
            let (mut rng, mut sum) = (Stream::new(2), 0.0);
            for i in 0..n + 20 {
                let info = kernel.step(&mut state, &mut target, &mut rng).unwrap();
                assert!(!info.diverging);
                if i >= 20 {
                    sum += state.position.iter().map(|q| q * q).sum::<f64>() / (n * dim) as f64;
                }
            }
            // q² has variance 2; successive draws of NUTS on a normal have squares correlated at most 0.5 here, so the standard error is
            // below sqrt(3·2/(n·dim)) = 0.039 and 0.0055; five of them.
            assert!((sum - 1.0).abs() < 5.0 * (6.0 / (n * dim) as f64).sqrt(), "{dim}: {sum}");
        }
    }

    #[test]
    fn a_wrong_metric_costs_steps_but_not_truth() {
        // Scales 1000 times too small: the trajectory needs about π/(step·1e-3)… bounded by the depth.
        let mut target = normal(2);
        let mut state = State::new(&mut target, vec![1.0, -1.0]).unwrap();
        let mut small = nuts(Metric::diagonal(vec![1e-4; 2]).unwrap(), 0.9);
        let info = small.step(&mut state, &mut target, &mut Stream::new(1)).unwrap();
        assert!(info.n_steps >= 127 && info.acceptance_rate > 0.999, "{info:?}");
        let mut large = nuts(Metric::diagonal(vec![1e8; 2]).unwrap(), 0.9);
        let before = state.clone();
        let info = large.step(&mut state, &mut target, &mut Stream::new(1)).unwrap();
        assert!(info.diverging && info.n_steps == 1 && info.tree_depth == 0 && info.acceptance_rate < 1e-100);
        assert_eq!(state, before);
    }

    #[test]
    fn depth_bounds_the_steps() {
        let config = NutsConfig { max_tree_depth: 3, ..NutsConfig::default() };
        let mut kernel = Nuts::new(config, Metric::identity(1), 1e-4).unwrap();
        let mut state = State::new(&mut normal(1), vec![1.0]).unwrap();
        let info = kernel.step(&mut state, &mut normal(1), &mut Stream::new(1)).unwrap();
        assert_eq!((info.n_steps, info.tree_depth, info.reached_max_tree_depth), (7, 3, true));
    }

    #[test]
    fn half_normal_by_zero_density() {
        let density = |outside: Result<f64, DensityError>| {
            FromFn::new(1, move |q: &[f64], g: &mut [f64]| {
                g[0] = -q[0];
                if q[0] < 0.0 { outside.clone() } else { Ok(-0.5 * q[0] * q[0]) }
            })
        };
        for outside in [Ok(f64::NEG_INFINITY), Err(DensityError::Rejected { reason: "negative" })] {
            let mut target = density(outside);
            let mut kernel = nuts(Metric::identity(1), 0.2);
            let mut state = State::new(&mut target, vec![1.0]).unwrap();
            let (mut rng, mut mean, mut divergences, n) = (Stream::new(6), 0.0, 0, 20_000);
            for _ in 0..n {
                let info = kernel.step(&mut state, &mut target, &mut rng).unwrap();
                divergences += usize::from(info.diverging);
                assert!(state.position[0] >= 0.0 && info.acceptance_rate <= 1.0);
                mean += state.position[0] / n as f64;
            }
            // E|z| = sqrt(2/π), sd 0.60; about 10 correlated draws per independent one: 0.60·sqrt(10/20,000) = 0.013; four of them.
            assert!((mean - (2.0 / std::f64::consts::PI).sqrt()).abs() < 0.054, "{mean}");
            assert!(divergences > 1000, "{divergences}");
        }
    }

    #[test]
    fn a_fatal_error_deep_in_the_tree_leaves_the_state() {
        let mut calls = 0;
        let mut target = FromFn::new(1, |q: &[f64], g: &mut [f64]| {
            calls += 1;
            g[0] = -q[0];
            if calls > 20 { Err(DensityError::Panicked { message: "x".into() }) } else { Ok(-0.5 * q[0] * q[0]) }
        });
        let mut state = State::new(&mut target, vec![1.0]).unwrap();
        let before = state.clone();
        let mut kernel = nuts(Metric::identity(1), 0.01);
        assert!(matches!(kernel.step(&mut state, &mut target, &mut Stream::new(1)), Err(DensityError::Panicked { .. })));
        assert_eq!(state, before);
    }

    #[test]
    fn errors_reject_or_end() {
        assert_error_paths(|dim| nuts(Metric::identity(dim), 1.0), |info| info.diverging && info.n_steps == 1);
    }

    #[test]
    fn a_saved_chain_goes_on_bit_for_bit() {
        let mut kernel = nuts(Metric::diagonal(vec![0.5, 1.0, 2.0]).unwrap(), 0.4);
        let mut state = State::new(&mut skewed(), vec![0.0; 3]).unwrap();
        let mut rng = Stream::new(12);
        for _ in 0..10 {
            kernel.step(&mut state, &mut skewed(), &mut rng).unwrap();
        }
        let bytes = postcard::to_stdvec(&(&kernel, &state, &rng)).unwrap();
        let (mut kernel2, mut state2, mut rng2): (Nuts, State, Stream) = postcard::from_bytes(&bytes).unwrap();
        for _ in 0..10 {
            let a = kernel.step(&mut state, &mut skewed(), &mut rng).unwrap();
            let b = kernel2.step(&mut state2, &mut skewed(), &mut rng2).unwrap();
            assert_eq!((a, &state, &rng), (b, &state2, &rng2));
        }
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let good = NutsConfig::default();
        for (config, name) in [
            (NutsConfig { max_tree_depth: 0, ..good }, "max_tree_depth"),
            (NutsConfig { max_tree_depth: 60, ..good }, "max_tree_depth"),
            (NutsConfig { max_energy_error: f64::NAN, ..good }, "max_energy_error"),
        ] {
            assert!(matches!(config.validate(), Err(Error::InvalidSetting { setting, .. }) if setting == name));
        }
        let mut kernel = nuts(Metric::identity(2), 0.5);
        assert!(matches!(kernel.set_metric(Metric::identity(3)), Err(Error::Dimension { expected: 2, found: 3, .. })));
        assert!(matches!(kernel.set_step_size(0.0), Err(Error::InvalidSetting { setting: "step_size", .. })));
        assert_eq!(kernel.step_size(), 0.5);
    }
}
