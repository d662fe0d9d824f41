//! Hidden Markov models on a finite state space: the forward filter and the most probable path.
//!
//! ```text
//! filter    log αₜ(j) = log gₜ(j) + log Σᵢ exp(log αₜ₋₁(i) + log Aₜ(i, j)) - log cₜ,     Σⱼ αₜ(j) = 1
//! evidence  log p(y) = Σₜ log cₜ
//! Viterbi   δₜ(j) = log gₜ(j) + maxᵢ (δₜ₋₁(i) + log Aₜ(i, j))
//! ```
//!
//! Everything stays on the log scale, so that a state of probability e⁻⁸⁰⁰ is still there when a later observation rules out all others:
//! scaled probabilities would have lost it.
//!
//! A step costs O(K²), each of them an exponential. Do not use it to discretise a continuous state in more than two or three dimensions: K
//! grows exponentially.
//!
//! References: Rabiner (1989), <https://doi.org/10.1109/5.18626>; Viterbi (1967), <https://doi.org/10.1109/TIT.1967.1054010>.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayView3, Axis};

use super::dense::{Series, array2};
use crate::error::{Error, Result};
use crate::math::{log_sum_exp, softmax_in_place};

/// A Markov chain on K states, each step weighted by a potential.
///
/// ```text
/// x₀ ~ π      P(xₜ = j | xₜ₋₁ = i) = Aₜ(i, j)      gₜ(k) = exp(log_potentials[t, k]), the likelihood of observation t in state k
/// ```
///
/// A missing observation is a row of equal potentials (zeros).
///
/// ```
/// use ndarray::array;
/// use posterity::smc::exact::HiddenMarkov;
///
/// let model = HiddenMarkov::new(
///     array![0.5, 0.5].view(),
///     array![[0.9, 0.1], [0.2, 0.8]].view(),
///     array![[-1.0, -3.0], [0.0, 0.0], [-4.0, -0.5]].view(),
/// )?;
/// let filter = model.filter()?;
/// let smoother = filter.smooth()?;
/// assert!(smoother.marginals()[[1, 0]] < filter.filtered()[[1, 0]]); // the last observation speaks for state 1
/// assert_eq!(model.viterbi()?.states().to_vec(), [0, 0, 1]);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HiddenMarkov {
    pub(super) k: usize,
    pub(super) n_steps: usize,
    log_initial: Vec<f64>,
    /// Row-major K x K for each move, transposed: entry (j, i) is log A(i, j), so that the filter reads rows.
    log_transition: Series,
    log_potentials: Vec<f64>,
}

impl HiddenMarkov {
    /// The model with initial law π (K), transition matrix A (K x K, rows sum to 1) and log-potentials (T x K, -∞ allowed).
    ///
    /// # Errors
    /// [`Error::Empty`] without states or steps; [`Error::Dimension`]; [`Error::OutsideSupport`] for an entry that is no probability or a
    /// row whose sum is off 1 by more than 1e-8; [`Error::NotFinite`] for a log-potential that is NaN or +∞ (position in row-major
    /// order).
    pub fn new(
        initial: ArrayView1<'_, f64>,
        transition: ArrayView2<'_, f64>,
        log_potentials: ArrayView2<'_, f64>,
    ) -> Result<Self> {
        let log_transition = Series::constant(log_matrix(transition, initial.len(), None)?);
        Self::with_log_transition(initial, log_transition, log_potentials)
    }

    /// The same with a transition matrix for each move (T-1 x K x K): entry t - 1 leads into step t.
    ///
    /// # Errors
    /// As [`HiddenMarkov::new`].
    pub fn with_transitions(
        initial: ArrayView1<'_, f64>,
        transitions: ArrayView3<'_, f64>,
        log_potentials: ArrayView2<'_, f64>,
    ) -> Result<Self> {
        let k = initial.len();
        let moves = log_potentials.nrows().saturating_sub(1);
        if transitions.len_of(Axis(0)) != moves {
            return Err(Error::Dimension { what: "transitions", expected: moves, found: transitions.len_of(Axis(0)) });
        }
        let mut data = Vec::with_capacity(transitions.len());
        for (step, matrix) in transitions.outer_iter().enumerate() {
            data.extend(log_matrix(matrix, k, Some(step))?);
        }
        Self::with_log_transition(initial, Series::varying(data, k * k), log_potentials)
    }

    fn with_log_transition(
        initial: ArrayView1<'_, f64>,
        log_transition: Series,
        potentials: ArrayView2<'_, f64>,
    ) -> Result<Self> {
        let (k, n_steps) = (initial.len(), potentials.nrows());
        if k == 0 {
            return Err(Error::Empty { what: "initial" });
        }
        if n_steps == 0 {
            return Err(Error::Empty { what: "log_potentials" });
        }
        if potentials.ncols() != k {
            return Err(Error::Dimension { what: "columns of log_potentials", expected: k, found: potentials.ncols() });
        }
        check_probabilities(initial, || "initial".to_owned())?;
        if let Some((index, &value)) = potentials.iter().enumerate().find(|(_, g)| g.is_nan() || **g == f64::INFINITY) {
            return Err(Error::NotFinite { what: "log_potentials", index, value });
        }
        let log_initial = initial.iter().map(|p| p.ln()).collect();
        Ok(Self { k, n_steps, log_initial, log_transition, log_potentials: potentials.iter().copied().collect() })
    }

    /// Number of states K.
    #[must_use]
    pub fn n_states(&self) -> usize {
        self.k
    }

    /// Number of steps T.
    #[must_use]
    pub fn n_steps(&self) -> usize {
        self.n_steps
    }

    /// log A(·, j) of the move into step t.
    pub(super) fn log_transition_into(&self, t: usize, j: usize) -> &[f64] {
        &self.log_transition.at(t - 1)[j * self.k..][..self.k]
    }

    /// log gₜ.
    pub(super) fn log_potential(&self, t: usize) -> &[f64] {
        &self.log_potentials[t * self.k..][..self.k]
    }

    /// Runs the forward filter.
    ///
    /// # Errors
    /// [`Error::Impossible`] with the first step at which every reachable state has potential zero.
    pub fn filter(&self) -> Result<HiddenMarkovFilter> {
        let k = self.k;
        let mut log_filtered = vec![0.0; self.n_steps * k];
        let mut log_likelihoods = Vec::with_capacity(self.n_steps);
        let mut terms = vec![0.0; k];
        for t in 0..self.n_steps {
            let (earlier, now) = log_filtered.split_at_mut(t * k);
            for (j, (out, &log_g)) in now[..k].iter_mut().zip(self.log_potential(t)).enumerate() {
                let log_predicted = if t == 0 {
                    self.log_initial[j]
                } else {
                    add(&earlier[(t - 1) * k..], self.log_transition_into(t, j), &mut terms);
                    log_sum_exp(&terms)
                };
                *out = log_predicted + log_g;
            }
            let log_c = log_sum_exp(&now[..k]);
            if !(log_c > f64::NEG_INFINITY) {
                return Err(Error::Impossible { step: t });
            }
            now[..k].iter_mut().for_each(|x| *x -= log_c);
            log_likelihoods.push(log_c);
        }
        let mut filtered = log_filtered.clone();
        filtered.chunks_exact_mut(k).for_each(|row| {
            softmax_in_place(row);
        });
        Ok(HiddenMarkovFilter {
            model: self.clone(),
            log_filtered,
            filtered: array2(self.n_steps, k, filtered)?,
            log_evidence: log_likelihoods.iter().sum(),
            log_likelihoods: Array1::from(log_likelihoods),
        })
    }

    /// The most probable path given all observations; among equals, the one whose last differing state has the lowest index.
    ///
    /// # Errors
    /// [`Error::Impossible`] as [`HiddenMarkov::filter`].
    pub fn viterbi(&self) -> Result<ViterbiPath> {
        let k = self.k;
        let mut best: Vec<f64> = self.log_initial.iter().zip(self.log_potential(0)).map(|(p, g)| p + g).collect();
        let mut next = vec![0.0; k];
        let mut parents = vec![0_usize; self.n_steps * k];
        let (mut last, mut log_joint) = (0, f64::NEG_INFINITY);
        for t in 0..self.n_steps {
            if t > 0 {
                for j in 0..k {
                    let (parent, value) = largest(best.iter().zip(self.log_transition_into(t, j)).map(|(d, a)| d + a));
                    parents[t * k + j] = parent;
                    next[j] = value + self.log_potential(t)[j];
                }
                std::mem::swap(&mut best, &mut next);
            }
            (last, log_joint) = largest(best.iter().copied());
            if log_joint == f64::NEG_INFINITY {
                return Err(Error::Impossible { step: t });
            }
        }
        let mut states = Array1::zeros(self.n_steps);
        for t in (0..self.n_steps).rev() {
            states[t] = last;
            last = parents[t * k + last];
        }
        Ok(ViterbiPath { states, log_joint })
    }
}

/// What the forward filter found.
#[derive(Debug, Clone)]
pub struct HiddenMarkovFilter {
    pub(super) model: HiddenMarkov,
    pub(super) log_filtered: Vec<f64>,
    filtered: Array2<f64>,
    pub(super) log_likelihoods: Array1<f64>,
    log_evidence: f64,
}

impl HiddenMarkovFilter {
    /// The model that was filtered.
    #[must_use]
    pub fn model(&self) -> &HiddenMarkov {
        &self.model
    }

    /// log Σ over all paths of their probability times their potentials.
    #[must_use]
    pub fn log_evidence(&self) -> f64 {
        self.log_evidence
    }

    /// The log density of each observation given the earlier ones (T).
    #[must_use]
    pub fn log_likelihoods(&self) -> &Array1<f64> {
        &self.log_likelihoods
    }

    /// Probabilities of each state given the observations up to its step (T x K).
    #[must_use]
    pub fn filtered(&self) -> &Array2<f64> {
        &self.filtered
    }

    /// log αₜ.
    pub(super) fn log_filtered(&self, t: usize) -> &[f64] {
        &self.log_filtered[t * self.model.k..][..self.model.k]
    }
}

/// The most probable path of a hidden Markov model.
#[derive(Debug, Clone)]
pub struct ViterbiPath {
    states: Array1<usize>,
    log_joint: f64,
}

impl ViterbiPath {
    /// The states (T).
    #[must_use]
    pub fn states(&self) -> &Array1<usize> {
        &self.states
    }

    /// Log probability of the path plus its log-potentials; subtract the log-evidence for its log posterior probability.
    #[must_use]
    pub fn log_joint(&self) -> f64 {
        self.log_joint
    }
}

/// `out = a + b` for the first entries of each.
pub(super) fn add(a: &[f64], b: &[f64], out: &mut [f64]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = a + b;
    }
}

/// Index and value of the first largest entry.
fn largest(values: impl Iterator<Item = f64>) -> (usize, f64) {
    values.enumerate().fold((0, f64::NEG_INFINITY), |best, (i, x)| if x > best.1 { (i, x) } else { best })
}

/// The logarithms of a transition matrix, transposed.
fn log_matrix(a: ArrayView2<'_, f64>, k: usize, step: Option<usize>) -> Result<Vec<f64>> {
    for (what, found) in [("rows of the transition matrix", a.nrows()), ("columns of the transition matrix", a.ncols())] {
        if found != k {
            return Err(Error::Dimension { what, expected: k, found });
        }
    }
    for (i, row) in a.outer_iter().enumerate() {
        check_probabilities(row, || match step {
            Some(step) => format!("transitions[{step}, {i}]"),
            None => format!("transition[{i}]"),
        })?;
    }
    Ok(a.t().iter().map(|p| p.ln()).collect())
}

fn check_probabilities(row: ArrayView1<'_, f64>, name: impl Fn() -> String) -> Result<()> {
    if let Some((j, &value)) = row.iter().enumerate().find(|(_, p)| !(**p >= 0.0 && **p <= 1.0 + 1e-8)) {
        return Err(Error::OutsideSupport { variable: format!("{}[{j}]", name()), value, support: "a probability" });
    }
    let sum = row.sum();
    if !((sum - 1.0).abs() <= 1e-8) {
        return Err(Error::OutsideSupport { variable: format!("the sum of {}", name()), value: sum, support: "1" });
    }
    Ok(())
}
