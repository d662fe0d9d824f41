//! A normal random walk that learns its shape and scale.
//!
//! ```text
//! θ* ~ N(θ, e^{2s} Σ)
//! learn:  s ← s + γ (α - α*)      μ ← μ + γ (θ - μ)      Σ ← Σ + γ ((θ - μ)(θ - μ)' - Σ)      γ = n^{-0.6}
//! ```
//! *References* H. Haario, E. Saksman and J. Tamminen 2001, doi:10.2307/3318737; C. Andrieu and J. Thoms 2008,
//! doi:10.1007/s11222-008-9110-y, algorithm 4.

use super::pseudo_marginal::Propose;
use crate::error::{Error, check};
use crate::linalg::cholesky_in_place;
use crate::rng::Stream;

/// Variance of each coordinate before anything is learnt.
const FIRST_VARIANCE: f64 = 0.1;
/// Added to the diagonal of the covariance, as a fraction of it.
const RIDGE: f64 = 1e-8;

/// Symmetric normal proposals on ℝᵈ, with covariance and scale learnt from the chain.
///
/// It learns only when [`AdaptiveWalk::learn`] is called: call it in warm-up, and then no more, so that what is drawn afterwards comes from
/// one fixed kernel.
///
/// ```
/// use posterity::smc::blocks::{AdaptiveWalk, Propose};
/// use posterity::rng::Stream;
/// let mut walk = AdaptiveWalk::new(2, 0.234)?;
/// let (to, log_ratio) = walk.propose(&vec![0.0, 1.0], &mut Stream::new(1));
/// assert_eq!((to.len(), log_ratio), (2, 0.0));
/// walk.learn(&to, 1.0);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AdaptiveWalk {
    target_acceptance: f64,
    log_scale: f64,
    mean: Vec<f64>,
    covariance: Vec<f64>,
    /// Lower Cholesky factor of the covariance.
    factor: Vec<f64>,
    n_learnt: usize,
    scratch: Vec<f64>,
}

impl AdaptiveWalk {
    /// A walk in `dim` dimensions whose scale is tuned to an acceptance rate; it starts with independent coordinates.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless `target_acceptance` lies in (0, 1); [`Error::NoParameters`] for dimension 0.
    pub fn new(dim: usize, target_acceptance: f64) -> Result<Self, Error> {
        check::open_unit("target_acceptance", target_acceptance)?;
        if dim == 0 {
            return Err(Error::NoParameters);
        }
        let diagonal = |x: f64| {
            let mut matrix = vec![0.0; dim * dim];
            matrix.iter_mut().step_by(dim + 1).for_each(|entry| *entry = x);
            matrix
        };
        Ok(Self {
            target_acceptance,
            // 2.38/√d times the posterior's covariance is the optimal scale for a normal.
            log_scale: (2.38 / (dim as f64).sqrt()).ln(),
            mean: vec![0.0; dim],
            covariance: diagonal(FIRST_VARIANCE),
            factor: diagonal(FIRST_VARIANCE.sqrt()),
            n_learnt: 0,
            scratch: vec![0.0; dim],
        })
    }

    /// Learns from the point at which the chain is after a step that was accepted with probability `acceptance_rate`.
    pub fn learn(&mut self, position: &[f64], acceptance_rate: f64) {
        let dim = self.mean.len();
        if position.len() != dim {
            return;
        }
        if self.n_learnt == 0 {
            self.mean.copy_from_slice(position);
        }
        self.n_learnt += 1;
        let gain = (self.n_learnt as f64 + 1.0).powf(-0.6);
        self.log_scale += gain * (acceptance_rate - self.target_acceptance);
        let centred = &mut self.scratch;
        for (c, (x, m)) in centred.iter_mut().zip(position.iter().zip(&mut self.mean)) {
            *c = x - *m;
            *m += gain * *c;
        }
        for i in 0..dim {
            for j in 0..dim {
                let entry = &mut self.covariance[i * dim + j];
                *entry += gain * (centred[i] * centred[j] - *entry);
            }
        }
        let mut factor = self.covariance.clone();
        factor.iter_mut().step_by(dim + 1).for_each(|x| *x += RIDGE * *x + f64::MIN_POSITIVE);
        // Where rounding makes it indefinite, the factor before serves on.
        if cholesky_in_place(&mut factor, dim).is_ok() {
            self.factor = factor;
        }
    }

    /// Scale of the proposals in units of the learnt covariance's root.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.log_scale.exp()
    }

    /// Variances of the learnt covariance, one per coordinate.
    #[must_use]
    pub fn variances(&self) -> Vec<f64> {
        self.covariance.iter().step_by(self.mean.len() + 1).copied().collect()
    }
}

impl Propose<Vec<f64>> for AdaptiveWalk {
    fn propose(&mut self, from: &Vec<f64>, rng: &mut Stream) -> (Vec<f64>, f64) {
        let (dim, scale) = (self.mean.len(), self.log_scale.exp());
        rng.fill_normal(&mut self.scratch);
        let mut to = from.clone();
        for (x, row) in to.iter_mut().zip(self.factor.chunks_exact(dim)) {
            *x += scale * row.iter().zip(&self.scratch).map(|(l, z)| l * z).sum::<f64>();
        }
        (to, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_covariance_of_the_points_is_learnt() {
        // Points N(m, A A') with A = (2 0; 1 0.5): covariance (4 2; 2 1.25). The weights of the last estimates sum up some 2 n^{0.6} = 600
        // points: standard errors of 4 · √(2/600) = 0.23 at most; four of them.
        let (mut walk, mut rng) = (AdaptiveWalk::new(2, 0.3).unwrap(), Stream::new(5));
        for _ in 0..20_000 {
            let (a, b) = (rng.normal(), rng.normal());
            walk.learn(&[1.0 + 2.0 * a, a + 0.5 * b], 0.3);
        }
        for (found, expected) in walk.covariance.iter().zip([4.0, 2.0, 2.0, 1.25]) {
            assert!((found - expected).abs() < 0.9, "{:?}", walk.covariance);
        }
        assert!((walk.scale() - 2.38 / 2.0_f64.sqrt()).abs() < 1e-9);
        let l = &walk.factor;
        assert!((l[2] * l[2] + l[3] * l[3] - walk.covariance[3]).abs() < 1e-6 && l[1] == 0.0);
    }

    #[test]
    fn the_scale_follows_the_acceptance_rate() {
        let mut walk = AdaptiveWalk::new(1, 0.3).unwrap();
        let before = walk.scale();
        walk.learn(&[0.0], 0.0);
        assert!(walk.scale() < before);
        assert!(AdaptiveWalk::new(1, f64::NAN).is_err() && AdaptiveWalk::new(0, 0.5).is_err());
    }
}
