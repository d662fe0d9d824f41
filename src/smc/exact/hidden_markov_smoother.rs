//! The backward smoother of hidden Markov models and exact draws of paths.
//!
//! ```text
//! backward   log βₜ(i) = log Σⱼ exp(log Aₜ₊₁(i, j) + log gₜ₊₁(j) + log βₜ₊₁(j)) - log cₜ₊₁,     β_T = 1
//! marginal   P(xₜ = i | y) = αₜ(i) βₜ(i)
//! pairwise   P(xₜ = i, xₜ₊₁ = j | y) = αₜ(i) Aₜ₊₁(i, j) gₜ₊₁(j) βₜ₊₁(j) / cₜ₊₁
//! draws      x_T ~ α_T, then P(xₜ = i | xₜ₊₁ = j, y) ∝ αₜ(i) Aₜ₊₁(i, j) for t = T-1, ..., 0
//! ```
//!
//! α and c are those of the forward filter; all is on the log scale. The smoother costs O(K²) per step, n draws O(K² + n K) per step.
//!
//! References: Rabiner (1989), <https://doi.org/10.1109/5.18626>; draws: Chib (1996), <https://doi.org/10.1016/0304-4076(95)01770-4>.

use ndarray::{Array2, Array3};

use super::dense::{array2, array3};
use super::hidden_markov::{HiddenMarkovFilter, add};
use crate::error::{Result, check};
use crate::math::{log_sum_exp, softmax_in_place};
use crate::rng::Stream;

/// Laws of the states given all observations.
#[derive(Debug, Clone)]
pub struct HiddenMarkovSmoother {
    marginals: Array2<f64>,
    pairwise: Array3<f64>,
}

impl HiddenMarkovSmoother {
    /// Probabilities of each state (T x K).
    #[must_use]
    pub fn marginals(&self) -> &Array2<f64> {
        &self.marginals
    }

    /// P(xₜ = i, xₜ₊₁ = j | y) at [t, i, j] (T-1 x K x K).
    #[must_use]
    pub fn pairwise(&self) -> &Array3<f64> {
        &self.pairwise
    }
}

impl HiddenMarkovFilter {
    /// Runs the backward smoother.
    ///
    /// # Errors
    /// None for a filter made by this crate; the shape of the result is checked all the same.
    pub fn smooth(&self) -> Result<HiddenMarkovSmoother> {
        let (k, n_steps) = (self.model.k, self.model.n_steps);
        let mut marginals = vec![0.0; n_steps * k];
        let mut pairwise = vec![0.0; (n_steps - 1) * k * k];
        let mut log_beta = vec![0.0; k];
        let [mut ahead, mut terms] = [(); 2].map(|()| vec![0.0; k]);
        for t in (0..n_steps).rev() {
            if t + 1 < n_steps {
                let log_c = self.log_likelihoods[t + 1];
                add(&log_beta, self.model.log_potential(t + 1), &mut ahead);
                let pairs = &mut pairwise[t * k * k..][..k * k];
                for i in 0..k {
                    for j in 0..k {
                        terms[j] = self.model.log_transition_into(t + 1, j)[i] + ahead[j] - log_c;
                        pairs[i * k + j] = self.log_filtered(t)[i] + terms[j];
                    }
                    log_beta[i] = log_sum_exp(&terms);
                }
                // They sum to 1 but for rounding.
                softmax_in_place(pairs);
            }
            let marginal = &mut marginals[t * k..][..k];
            add(self.log_filtered(t), &log_beta, marginal);
            softmax_in_place(marginal);
        }
        Ok(HiddenMarkovSmoother { marginals: array2(n_steps, k, marginals)?, pairwise: array3(n_steps - 1, k, k, pairwise)? })
    }

    /// Independent draws of the whole path given all observations (n_draws x T).
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) if `n_draws` is 0.
    pub fn sample_paths(&self, n_draws: usize, rng: &mut Stream) -> Result<Array2<usize>> {
        check::at_least("n_draws", n_draws, 1, "at least 1")?;
        let (k, n_steps) = (self.model.k, self.model.n_steps);
        let mut paths = Array2::zeros((n_draws, n_steps));
        // Row j: the law of the state at t given state j at t + 1.
        let mut laws = vec![0.0; k * k];
        for t in (0..n_steps).rev() {
            let last = t + 1 == n_steps;
            for (j, law) in laws.chunks_exact_mut(k).enumerate() {
                if last {
                    law.copy_from_slice(self.log_filtered(t));
                } else {
                    add(self.log_filtered(t), self.model.log_transition_into(t + 1, j), law);
                }
                // The row of a state that cannot be reached has no law and is never asked for.
                softmax_in_place(law);
            }
            for mut path in paths.outer_iter_mut() {
                let row = if last { 0 } else { path[t + 1] };
                path[t] = categorical(&laws[row * k..][..k], rng.uniform());
            }
        }
        Ok(paths)
    }
}

/// The index at which the cumulated probabilities pass u in [0, 1); never one of probability zero.
fn categorical(probabilities: &[f64], u: f64) -> usize {
    let mut rest = u;
    let mut found = 0;
    for (i, &p) in probabilities.iter().enumerate() {
        if p > 0.0 {
            found = i;
            if rest < p {
                break;
            }
        }
        rest -= p;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_probability_zero_is_never_drawn() {
        assert_eq!(categorical(&[0.0, 0.5, 0.5, 0.0], 0.0), 1);
        assert_eq!(categorical(&[0.0, 0.5, 0.5, 0.0], 0.5), 2);
        // What rounding leaves over goes to the last state that has any probability.
        assert_eq!(categorical(&[0.0, 0.3, 0.6, 0.0], 0.95), 2);
    }
}
