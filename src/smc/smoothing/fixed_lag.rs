//! Fixed-lag smoothing while the filter runs, in bounded memory.

use std::collections::VecDeque;
use std::ops::Index;

use crate::smc::{Collector, Population, Snapshot};

/// Weighted means and variances of K functions of the state at step t given the observations up to t + lag, collected during a run.
///
/// ```text
/// E[f(x_t) | y_0, …, y_{t+L}] ≈ Σ_i W_{t+L}^i f(ancestor of i at step t)
/// ```
/// Memory is that of L + 1 generations of K values and one ancestor per particle; each step costs N L (K + 1). Steps in the last L of the run
/// are smoothed with the observations that there are. The lag trades bias (too short to hold what later observations say) for variance
/// (ancestors that have coalesced). Source: G. Kitagawa and S. Sato 2001, doi:10.1007/978-1-4757-3437-9_9; J. Olsson, O. Cappé,
/// R. Douc and E. Moulines 2008, doi:10.3150/07-BEJ6150.
///
/// ```
/// use posterity::model::zoo::Ar1;
/// use posterity::smc::smoothing::FixedLagSmoother;
/// use posterity::smc::{Bootstrap, Smc, SmcConfig};
/// let model = Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 1.0, y: vec![0.2; 30] };
/// let mut smoother = FixedLagSmoother::new(5, |x: &f64| [*x]);
/// Smc::new(Bootstrap(model), SmcConfig::new(500, 1))?.run_with(&mut smoother)?;
/// assert_eq!(smoother.moments().len(), 30);
/// let (mean, variance) = smoother.moments()[12];
/// assert!(mean[0].abs() < 1.0 && variance[0] > 0.0);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FixedLagSmoother<F, const K: usize> {
    lag: usize,
    f: F,
    window: VecDeque<Slice<K>>,
    last_step: Option<usize>,
    /// Final entries, followed by those of the window, which later steps still change.
    moments: Vec<([f64; K], [f64; K])>,
    weights: Vec<f64>,
    scratch: Vec<f64>,
}

/// One generation in the window.
#[derive(Debug, Clone)]
struct Slice<const K: usize> {
    values: Vec<[f64; K]>,
    ancestors: Vec<u32>,
    copies: usize,
}

impl<F, const K: usize> FixedLagSmoother<F, K> {
    /// A smoother with a lag; 0 gives the filter's moments.
    pub fn new<X: ?Sized>(lag: usize, f: F) -> Self
    where
        F: Fn(&X) -> [f64; K],
    {
        Self { lag, f, window: VecDeque::new(), last_step: None, moments: Vec::new(), weights: Vec::new(), scratch: Vec::new() }
    }

    /// Means and variances per step seen so far; the last `lag` of them with fewer later observations.
    #[must_use]
    pub fn moments(&self) -> &[([f64; K], [f64; K])] {
        &self.moments
    }

    /// Takes weights of the newest generation back through the window, and writes the moments of its generations.
    fn smooth(&mut self) {
        let first = self.moments.len() - self.window.len();
        for (index, slice) in self.window.iter().enumerate().rev() {
            self.moments[first + index] = weighted_moments(&slice.values, &self.weights);
            if index > 0 {
                self.scratch.clear();
                self.scratch.resize(self.window[index - 1].values.len(), 0.0);
                for (child, w) in self.weights.iter().enumerate() {
                    let parent = slice.ancestors[child / slice.copies.max(1)];
                    self.scratch[parent as usize] += w;
                }
                std::mem::swap(&mut self.weights, &mut self.scratch);
            }
        }
    }
}

/// Mean and variance under weights that need not sum to 1.
fn weighted_moments<const K: usize>(values: &[[f64; K]], weights: &[f64]) -> ([f64; K], [f64; K]) {
    let (mut mean, mut variance) = ([0.0; K], [0.0; K]);
    let total: f64 = weights.iter().sum();
    // Weight 0 counts for nothing, even where the value is not finite.
    let weighted = || values.iter().zip(weights).filter(|(_, w)| **w > 0.0);
    for (value, w) in weighted() {
        for k in 0..K {
            mean[k] += w / total * value[k];
        }
    }
    for (value, w) in weighted() {
        for k in 0..K {
            variance[k] += w / total * (value[k] - mean[k]).powi(2);
        }
    }
    (mean, variance)
}

impl<P, F, const K: usize> Collector<P> for FixedLagSmoother<F, K>
where
    P: Population + Index<usize>,
    F: Fn(&P::Output) -> [f64; K],
{
    /// A step that does not follow the one before starts a new window; step 0 starts a new run.
    fn collect(&mut self, snapshot: &Snapshot<'_, P>) {
        let (t, view) = (snapshot.info.t, &snapshot.view);
        if t == 0 {
            self.moments.clear();
        }
        if self.last_step.map(|last| last + 1) != Some(t) {
            self.window.clear();
        }
        self.last_step = Some(t);
        let recycled = if self.window.len() > self.lag { self.window.pop_front() } else { None };
        let mut slice = recycled.unwrap_or(Slice { values: Vec::new(), ancestors: Vec::new(), copies: 1 });
        slice.values.clear();
        slice.values.extend((0..view.population.len()).map(|slot| (self.f)(&view.population[slot])));
        slice.ancestors.clear();
        slice.ancestors.extend_from_slice(snapshot.ancestors);
        slice.copies = snapshot.copies;
        self.window.push_back(slice);
        self.moments.push(([0.0; K], [0.0; K]));
        self.weights.clear();
        self.weights.extend_from_slice(view.weights.relative_weights);
        self.smooth();
    }
}
