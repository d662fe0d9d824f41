//! When to stop a stochastic ascent, and which of its iterates to keep.
//!
//! ```text
//! search      until split R̂ ≤ 1.1 for all parameters over some window of the iterates
//! average     over n iterations, n doubled until KL(φ̄₁, φ̄₂) ≤ accuracy for the averages φ̄ of its two halves
//! compare     stop if KL(average, average at the former learning rate) ≤ accuracy; else halve the learning rate, and search
//! ```
//! KL is symmetrised and in nats: what is compared are distributions, so that no choice of parameters matters. Averages of halves
//! that differ by it have about an eighth of it as their own noise, for the average of both, in KL(q‖q*), where the halves are
//! long beside the autocorrelation of the iterates. *Not* a test of quality: a family may be at rest far from the posterior,
//! which k̂ tells; and a learning rate so small that nothing moves looks like rest to every rule. *References* A. Dhaka et al.
//! 2020, <https://arxiv.org/abs/2009.00666>; M. Welandawe et al. 2022, <https://arxiv.org/abs/2203.15945>, from which the phases
//! are; the comparison of halves stands in for their Monte Carlo standard errors of parameters.

use super::approximation::Approximation;
use crate::error::{Error, check};
use crate::rng::{Purpose, Stream};

/// Default accuracy, and the change between two windows of a run of fixed length that counts as rest, in nats.
const SETTLED: f64 = 0.1;
/// Draws for a comparison of two approximations.
const COMPARED_DRAWS: usize = 200;
/// Iterations between two looks at the iterates.
const CHECK: usize = 100;
/// Fewest iterations of a window, and of a half of an average; a multiple of those between two looks.
const LEAST_WINDOW: usize = 200;
/// Fewest iterates that stand for a window.
const LEAST_ROWS: usize = 20;
/// Windows tried per look.
const WINDOWS: usize = 5;
/// Largest split R̂ at rest.
const R_HAT: f64 = 1.1;
/// Most iterates and coordinates that are remembered.
const MOST_ROWS: usize = 512;
const MOST_COORDINATES: usize = 2000;
/// The share of the accuracy below which a change between two windows is rest whatever R̂ says: iterates without noise approach
/// their limit in a line.
const STILL: f64 = 0.01;

/// When a stochastic ascent ends.
///
/// ```
/// use posterity::model::zoo::EightSchoolsNoncentered;
/// use posterity::vi::{MeanField, Stopping, Vi};
/// let vi = Vi::new(MeanField).stopping(Stopping::stationary()).n_iterations(20_000);
/// let fit = vi.fit(&EightSchoolsNoncentered::rubin(), 1)?;
/// assert!(fit.n_iterations() < 20_000);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum Stopping {
    /// After the number of iterations that is set.
    #[default]
    Iterations,
    /// When the approximation stands still: the learning rate is halved whenever its iterates are stationary and their average is
    /// precise, until two successive averages agree. Rules without a learning rate stop at the first such average. The number of
    /// iterations that is set is the most there will be; reaching it gives [`Warning::NotSettled`](super::Warning::NotSettled).
    Stationary {
        /// What counts as agreement, a symmetrised Kullback-Leibler divergence in nats; for all coordinates together.
        accuracy: f64,
    },
}

impl Stopping {
    /// [`Stopping::Stationary`] with an accuracy of 0.1 nats.
    #[must_use]
    pub fn stationary() -> Self {
        Self::Stationary { accuracy: SETTLED }
    }

    pub(super) fn validate(self, n_iterations: usize) -> Result<(), Error> {
        check::at_least("n_iterations", n_iterations, 1, "at least 1")?;
        let Self::Stationary { accuracy } = self else { return Ok(()) };
        check::positive("accuracy", accuracy)?;
        let rule = "at least 1000 where the approximation must stand still";
        check::at_least("n_iterations", n_iterations, 1000, rule)
    }

    /// Whether members of the family can be compared.
    pub(super) fn check_family(self, comparison: &mut Comparison, parameters: &[f64]) -> Result<(), Error> {
        match self {
            Self::Stationary { .. } if comparison.divergence(parameters, parameters).is_none() => {
                let reason = "the family has no density but at its own draws";
                Err(Error::NotAvailable { what: "stopping where the approximation stands still", reason })
            }
            _ => Ok(()),
        }
    }
}

/// What to do after an iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    /// Go on with half the learning rate.
    Halve,
    Stop,
}

/// What a run ends with.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) parameters: Vec<f64>,
    /// The last change of the approximation in nats, if it is too large to be at rest.
    pub(super) unsettled: Option<f64>,
}

/// Compares approximations of one family.
#[derive(Debug)]
pub(super) struct Comparison {
    pair: [Box<dyn Approximation>; 2],
    seed: u64,
    draws: Vec<f64>,
    log_densities: Vec<f64>,
    gradient: Vec<f64>,
}

impl Comparison {
    pub(super) fn new(approximation: &dyn Approximation, seed: u64) -> Self {
        let dim = approximation.dim();
        Self {
            pair: [approximation.clone_box(), approximation.clone_box()],
            seed,
            draws: vec![0.0; COMPARED_DRAWS * dim],
            log_densities: vec![0.0; COMPARED_DRAWS],
            gradient: vec![0.0; dim],
        }
    }

    /// The symmetrised Kullback-Leibler divergence, from draws of both with the same noise, by which the terms that are odd in it
    /// cancel. Infinite if either leaves the range of numbers; `None` if the family has no density but at its own draws.
    fn divergence(&mut self, first: &[f64], second: &[f64]) -> Option<f64> {
        match self.sum(first, second) {
            Ok(total) => Some(total / COMPARED_DRAWS as f64).map(|d| if d.is_nan() { f64::INFINITY } else { d }),
            Err(Error::NotFinite { .. } | Error::InvalidSetting { value: f64::INFINITY | 0.0, .. }) => Some(f64::INFINITY),
            Err(_) => None,
        }
    }

    fn sum(&mut self, first: &[f64], second: &[f64]) -> Result<f64, Error> {
        let mut total = 0.0;
        for (from, to) in [(first, second), (second, first)] {
            let [p, q] = &mut self.pair;
            p.set_parameters(from)?;
            q.set_parameters(to)?;
            p.sample(&mut Stream::keyed(self.seed, Purpose::Approximation, 1, 0), &mut self.draws, &mut self.log_densities);
            for (draw, log_density) in self.draws.chunks_exact(self.gradient.len()).zip(&self.log_densities) {
                total += log_density - q.log_density_gradient(draw, &mut self.gradient)?;
            }
        }
        Ok(total)
    }
}

/// A running mean of parameters.
#[derive(Debug, Clone, Default)]
struct Average {
    n: usize,
    mean: Vec<f64>,
}

impl Average {
    fn push(&mut self, parameters: &[f64]) {
        self.mean.resize(parameters.len(), 0.0);
        self.n += 1;
        let share = 1.0 / self.n as f64;
        for (mean, x) in self.mean.iter_mut().zip(parameters) {
            *mean += (x - *mean) * share;
        }
    }

    /// Takes in another one's parameters.
    fn merge(&mut self, other: &Self) {
        if other.n > 0 {
            self.mean.resize(other.mean.len(), 0.0);
            self.n += other.n;
            let share = other.n as f64 / self.n as f64;
            for (mean, x) in self.mean.iter_mut().zip(&other.mean) {
                *mean += (x - *mean) * share;
            }
        }
    }

    fn clear(&mut self) {
        self.n = 0;
        self.mean.fill(0.0);
    }
}

/// A run's iterates, as its stopping rule sees them.
#[derive(Debug)]
pub(super) enum Monitor {
    Iterations(Tail),
    Stationary(Box<Stationarity>),
}

impl Monitor {
    /// For a run that starts at these parameters. `average` says how many of the last iterates are averaged in a run of fixed
    /// length.
    pub(super) fn new(stopping: Stopping, n_iterations: usize, average: usize, start: &[f64], has_learning_rate: bool) -> Self {
        match stopping {
            Stopping::Iterations => Self::Iterations(Tail::new(n_iterations, average, start)),
            Stopping::Stationary { accuracy } => {
                Self::Stationary(Box::new(Stationarity::new(accuracy, start.len(), has_learning_rate)))
            }
        }
    }

    /// Takes in the parameters after an iteration.
    pub(super) fn push(&mut self, parameters: &[f64], comparison: &mut Comparison) -> Verdict {
        match self {
            Self::Iterations(tail) => {
                tail.push(parameters);
                Verdict::GoOn
            }
            Self::Stationary(stationarity) => stationarity.push(parameters, comparison),
        }
    }

    /// The parameters to keep, for a run that ends at these.
    pub(super) fn finish(self, last: &[f64], comparison: &mut Comparison) -> Ending {
        match self {
            Self::Iterations(tail) => tail.finish(last, comparison),
            Self::Stationary(stationarity) => stationarity.finish(last, comparison),
        }
    }
}

/// The end of a run of fixed length: the average to keep, and those of its last two fifths.
#[derive(Debug)]
pub(super) struct Tail {
    iteration: usize,
    n_iterations: usize,
    n_averaged: usize,
    average: Average,
    before: Average,
    last: Average,
}

impl Tail {
    fn new(n_iterations: usize, n_averaged: usize, start: &[f64]) -> Self {
        let [average, before, last] = std::array::from_fn(|_| Average::default());
        let mut tail = Self { iteration: 0, n_iterations, n_averaged, average, before, last };
        tail.take(start);
        tail
    }

    fn push(&mut self, parameters: &[f64]) {
        self.iteration += 1;
        self.take(parameters);
    }

    fn take(&mut self, parameters: &[f64]) {
        // However few are averaged: over the end of a decaying learning rate nothing moves far.
        let window = self.n_iterations.div_ceil(5);
        let to_go = self.n_iterations - self.iteration;
        if to_go < window {
            self.last.push(parameters);
        } else if to_go < 2 * window {
            self.before.push(parameters);
        }
        if to_go < self.n_averaged {
            self.average.push(parameters);
        }
    }

    fn finish(self, last: &[f64], comparison: &mut Comparison) -> Ending {
        let divergence = comparison.divergence(&self.before.mean, &self.last.mean);
        let parameters = if self.average.n > 0 { self.average.mean } else { last.to_vec() };
        Ending { parameters, unsettled: divergence.filter(|d| !(*d <= SETTLED)) }
    }
}

/// The phases of [`Stopping::Stationary`].
#[derive(Debug)]
pub(super) struct Stationarity {
    accuracy: f64,
    has_learning_rate: bool,
    iterates: Iterates,
    /// Iterations since the last look.
    n_since: usize,
    /// Averages between the last three looks.
    before: Average,
    recent: Average,
    /// Iterations in each half of the average; 0 while searching.
    half: usize,
    first: Average,
    second: Average,
    /// The average at the former learning rate, empty at the first one.
    former: Vec<f64>,
    /// The last change that was too large.
    change: f64,
    settled: bool,
}

impl Stationarity {
    fn new(accuracy: f64, n_parameters: usize, has_learning_rate: bool) -> Self {
        Self {
            accuracy,
            has_learning_rate,
            iterates: Iterates::new(n_parameters),
            n_since: 0,
            before: Average::default(),
            recent: Average::default(),
            half: 0,
            first: Average::default(),
            second: Average::default(),
            former: Vec::new(),
            change: f64::INFINITY,
            settled: false,
        }
    }

    fn push(&mut self, parameters: &[f64], comparison: &mut Comparison) -> Verdict {
        self.iterates.push(parameters);
        self.recent.push(parameters);
        if self.half > 0 {
            let average = if self.first.n < self.half { &mut self.first } else { &mut self.second };
            average.push(parameters);
        }
        self.n_since += 1;
        if self.n_since < CHECK {
            return Verdict::GoOn;
        }
        self.n_since = 0;
        let verdict = if self.half == 0 {
            if self.is_stationary(comparison) {
                self.half = LEAST_WINDOW;
            }
            Verdict::GoOn
        } else if self.second.n == self.half {
            self.judge(comparison)
        } else {
            Verdict::GoOn
        };
        std::mem::swap(&mut self.before, &mut self.recent);
        self.recent.clear();
        verdict
    }

    fn is_stationary(&self, comparison: &mut Comparison) -> bool {
        let still = STILL * self.accuracy;
        self.iterates.are_stationary()
            || self.before.n > 0 && comparison.divergence(&self.before.mean, &self.recent.mean).is_some_and(|d| d <= still)
    }

    /// Both halves of the average are complete.
    fn judge(&mut self, comparison: &mut Comparison) -> Verdict {
        let divergence = comparison.divergence(&self.first.mean, &self.second.mean).unwrap_or(f64::INFINITY);
        if !(divergence <= self.accuracy) {
            self.change = divergence;
            if self.is_stationary(comparison) {
                self.first.merge(&self.second);
                self.half = self.first.n;
                self.second.clear();
            } else {
                self.search();
            }
            return Verdict::GoOn;
        }
        self.first.merge(&self.second);
        self.second.clear();
        let average = self.first.mean.clone();
        if !self.former.is_empty() {
            self.change = comparison.divergence(&self.former, &average).unwrap_or(f64::INFINITY);
        }
        self.settled = !self.has_learning_rate || !self.former.is_empty() && self.change <= self.accuracy;
        if self.settled {
            return Verdict::Stop;
        }
        self.former = average;
        self.iterates.clear();
        self.search();
        Verdict::Halve
    }

    fn search(&mut self) {
        self.half = 0;
        self.first.clear();
        self.second.clear();
    }

    fn finish(mut self, last: &[f64], comparison: &mut Comparison) -> Ending {
        if self.settled {
            return Ending { parameters: self.first.mean, unsettled: None };
        }
        if !self.change.is_finite() && self.before.n > 0 && self.recent.n > 0 {
            self.change = comparison.divergence(&self.before.mean, &self.recent.mean).unwrap_or(f64::INFINITY);
        }
        // An average that was under way, or else that of the last iterates.
        if self.first.n > 0 {
            self.first.merge(&self.second);
        } else {
            self.first.merge(&self.before);
            self.first.merge(&self.recent);
        }
        let parameters = if self.first.n > 0 { self.first.mean } else { last.to_vec() };
        Ending { parameters, unsettled: Some(self.change) }
    }
}

/// Iterates of one learning rate, thinned so that they take bounded memory: of more than 2000 parameters as many, evenly spaced;
/// of many iterations every 2nd, 4th, ...
#[derive(Debug)]
struct Iterates {
    coordinates: Vec<usize>,
    stride: usize,
    n_pushed: usize,
    /// One iterate after the other.
    rows: Vec<f64>,
}

impl Iterates {
    fn new(n_parameters: usize) -> Self {
        let n = n_parameters.min(MOST_COORDINATES);
        Self { coordinates: (0..n).map(|i| i * n_parameters / n).collect(), stride: 1, n_pushed: 0, rows: Vec::new() }
    }

    fn push(&mut self, parameters: &[f64]) {
        self.n_pushed += 1;
        if !self.n_pushed.is_multiple_of(self.stride) {
            return;
        }
        let width = self.coordinates.len();
        if self.n_rows() == MOST_ROWS {
            for i in 0..MOST_ROWS / 2 {
                self.rows.copy_within((2 * i + 1) * width..(2 * i + 2) * width, i * width);
            }
            self.rows.truncate(MOST_ROWS / 2 * width);
            self.stride *= 2;
            if !self.n_pushed.is_multiple_of(self.stride) {
                return;
            }
        }
        self.rows.extend(self.coordinates.iter().map(|&i| parameters[i]));
    }

    fn n_rows(&self) -> usize {
        self.rows.len() / self.coordinates.len()
    }

    fn clear(&mut self) {
        self.rows.clear();
        (self.stride, self.n_pushed) = (1, 0);
    }

    /// Whether all coordinates are stationary over one of the windows: between the least one and 95 % of all iterates.
    fn are_stationary(&self) -> bool {
        let n_rows = self.n_rows();
        let (least, most) = ((LEAST_WINDOW / self.stride).max(LEAST_ROWS), n_rows * 95 / 100);
        let windows = (0..WINDOWS).map(|i| least + (most.saturating_sub(least)) * i / (WINDOWS - 1));
        windows.filter(|&window| window <= n_rows).any(|window| {
            let half = window / 2;
            let rows = &self.rows[(n_rows - 2 * half) * self.coordinates.len()..];
            (0..self.coordinates.len()).all(|i| split_r_hat(rows, self.coordinates.len(), i, half) <= R_HAT)
        })
    }
}

/// R̂ of the two halves of one column, each of n rows; 1 for a constant.
fn split_r_hat(rows: &[f64], width: usize, column: usize, n: usize) -> f64 {
    let moments = |half: usize| {
        let values = || rows[half * n * width..(half + 1) * n * width].iter().skip(column).step_by(width);
        let mean = values().sum::<f64>() / n as f64;
        (mean, values().map(|x| (x - mean).powi(2)).sum::<f64>() / (n as f64 - 1.0))
    };
    let ((first, s), (second, t)) = (moments(0), moments(1));
    let (within, between) = (0.5 * (s + t), 0.5 * (first - second).powi(2));
    if between == 0.0 { 1.0 } else { ((n as f64 - 1.0) / n as f64 + between / within).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vi::normal;
    use ndarray::{Array2, array};

    /// By hand, for variances (1, 4) and (2, 4) and means (0, 0) and (1, 2): (tr(Σ₂⁻¹Σ₁) + tr(Σ₁⁻¹Σ₂))/2 - d + the quadratic
    /// forms.
    #[test]
    fn divergences_are_those_of_normal_distributions() {
        let first = normal(&[0.0, 0.0], array![[1.0, 0.0], [0.0, 4.0]].view()).unwrap();
        let second = normal(&[1.0, 2.0], array![[2.0, 0.0], [0.0, 4.0]].view()).unwrap();
        let exact = 0.5 * (0.5 + 1.0 + 2.0 + 1.0) - 2.0 + 0.5 * (0.5 + 1.0 + 1.0 + 1.0);
        let divergences: Vec<f64> = (0..50)
            .map(|seed| Comparison::new(first.as_ref(), seed).divergence(first.parameters(), second.parameters()).unwrap())
            .collect();
        let mean = divergences.iter().sum::<f64>() / 50.0;
        let sd = (divergences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 49.0).sqrt();
        assert!((mean - exact).abs() < 4.0 * sd / 50_f64.sqrt(), "{mean} instead of {exact}, sd {sd}");
        // A shift without noise: the linear terms cancel.
        let (wide, mut shifted) = (normal(&[0.0], array![[4.0]].view()).unwrap(), vec![0.2]);
        shifted.push(wide.parameters()[1]);
        let found = Comparison::new(wide.as_ref(), 1).divergence(wide.parameters(), &shifted).unwrap();
        assert!((found - 0.01).abs() < 1e-14, "{found}");
        // Beyond the range of numbers.
        let mut comparison = Comparison::new(wide.as_ref(), 1);
        assert_eq!(comparison.divergence(&[0.0, 709.0], &[0.0, -700.0]), Some(f64::INFINITY));
        assert_eq!(comparison.divergence(&[f64::NAN, 0.0], &[0.0, 0.0]), Some(f64::INFINITY));
    }

    #[test]
    fn r_hat_of_a_trend_and_of_noise() {
        // Two columns: 0, 1, ..., 9, and a constant. Means 2 and 7, variances 5/2.
        let rows: Vec<f64> = (0..10).flat_map(|i| [f64::from(i), 3.0]).collect();
        assert!((split_r_hat(&rows, 2, 0, 5) - (0.8_f64 + 12.5 / 2.5).sqrt()).abs() < 1e-14);
        assert_eq!(split_r_hat(&rows, 2, 1, 5), 1.0);
        assert_eq!(split_r_hat(&[1.0, 1.0, 2.0, 2.0], 1, 0, 2), f64::INFINITY);
    }

    #[test]
    fn memory_of_iterates_is_bounded_and_the_latest_are_kept() {
        let mut iterates = Iterates::new(5000);
        let mut parameters = vec![0.0; 5000];
        for i in 1..=10_000 {
            parameters.fill(f64::from(i));
            iterates.push(&parameters);
        }
        assert_eq!(iterates.coordinates.len(), MOST_COORDINATES);
        assert!(iterates.n_rows() >= MOST_ROWS / 2 && iterates.n_rows() <= MOST_ROWS);
        let times: Vec<f64> = iterates.rows.iter().copied().step_by(MOST_COORDINATES).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == iterates.stride as f64), "{times:?}");
        assert!(10_000.0 - times.last().unwrap() < iterates.stride as f64);
    }

    /// Iterates of a first-order autoregression around 0, from `start`. The information of the parameters has trace 7, and the
    /// average of n iterates a variance of noise²/n in each, so halves of n agree to 0.1 nats where 14 noise²/n < 0.1.
    fn run(start: f64, noise: f64, n_iterations: usize, seed: u64) -> (usize, usize, Ending) {
        let mut rng = Stream::new(seed);
        let q = normal(&[0.0; 2], Array2::eye(2).view()).unwrap();
        let mut comparison = Comparison::new(q.as_ref(), seed);
        let mut parameters = q.parameters().to_vec();
        parameters[0] = start;
        let mut monitor = Monitor::new(Stopping::stationary(), n_iterations, 0, &parameters, true);
        let (mut rate, mut n_halved) = (0.02, 0);
        for iteration in 1..=n_iterations {
            for x in &mut parameters {
                *x += -rate * *x + rate * noise * rng.normal();
            }
            match monitor.push(&parameters, &mut comparison) {
                Verdict::GoOn => {}
                Verdict::Halve => {
                    rate *= 0.5;
                    n_halved += 1;
                }
                Verdict::Stop => return (iteration, n_halved, monitor.finish(&parameters, &mut comparison)),
            }
        }
        (n_iterations, n_halved, monitor.finish(&parameters, &mut comparison))
    }

    /// KL to the limit must be within the accuracy, in all but one of 20 runs: an average may pass by chance.
    #[test]
    fn stops_where_iterates_are_stationary_and_not_before() {
        let limit = normal(&[0.0; 2], Array2::eye(2).view()).unwrap();
        let mut comparison = Comparison::new(limit.as_ref(), 1);
        for (start, noise) in [(0.0, 1.0), (30.0, 1.0), (30.0, 0.0), (0.0, 2.0)] {
            let mut n_off = 0;
            for seed in 0..20 {
                let (n, n_halved, ending) = run(start, noise, 50_000, seed);
                assert!(ending.unsettled.is_none() && n < 20_000 && n_halved >= 1, "{start} {noise}: {n} {n_halved}");
                assert!(start == 0.0 || n >= 600, "{n}");
                let kl = 0.5 * comparison.divergence(limit.parameters(), &ending.parameters).unwrap();
                n_off += usize::from(!(kl < SETTLED));
            }
            assert!(n_off <= 1, "{start} {noise}: {n_off} of 20");
        }
    }

    #[test]
    fn a_drift_never_settles() {
        let q = normal(&[0.0; 2], Array2::eye(2).view()).unwrap();
        let mut comparison = Comparison::new(q.as_ref(), 1);
        let mut rng = Stream::new(1);
        for stopping in [Stopping::Iterations, Stopping::stationary()] {
            let mut parameters = q.parameters().to_vec();
            let mut monitor = Monitor::new(stopping, 5000, 1000, &parameters, true);
            for _ in 0..5000 {
                parameters[3] += 0.01 + 0.02 * rng.normal();
                assert_eq!(monitor.push(&parameters, &mut comparison), Verdict::GoOn);
            }
            let ending = monitor.finish(&parameters, &mut comparison);
            assert!(ending.unsettled.unwrap() > 0.1, "{stopping:?}");
        }
    }

    #[test]
    fn short_runs_are_compared_with_their_start() {
        let q = normal(&[0.0; 2], Array2::eye(2).view()).unwrap();
        let mut comparison = Comparison::new(q.as_ref(), 1);
        let mut monitor = Monitor::new(Stopping::Iterations, 1, 0, q.parameters(), true);
        let moved = [1.0, 0.0, 0.0, 0.0, 0.0];
        monitor.push(&moved, &mut comparison);
        let ending = monitor.finish(&moved, &mut comparison);
        assert!((ending.unsettled.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(ending.parameters, moved);
    }
}
