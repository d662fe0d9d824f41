//! Averages of a rule's positions.

use super::check_finite;
use crate::error::{Error, check};

/// Which iterates count, and for how much.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Averaging {
    /// All alike: what the guarantees of coin betting are about. The start is forgotten slowly, as 1/t.
    Uniform,
    /// Later ones for more: a weight of about tᵉᵗᵃ.
    ///
    /// Source: Shamir & Zhang, *Stochastic Gradient Descent for Non-smooth Optimization*, ICML 2013, <https://arxiv.org/abs/1212.1824>.
    PolynomialDecay {
        /// At least 0, by which all count alike; 3 in the source.
        eta: f64,
    },
    /// The later ones alike, the earlier ones not at all: about the last half to three quarters, without knowing the end beforehand.
    ///
    /// Source: the α-suffix average of Rakhlin, Shamir & Sridharan 2012, <https://arxiv.org/abs/1109.5647>.
    Tail,
}

/// The running mean of the positions of one run.
///
/// Coin betting promises that the *average* of its iterates converges; the last one does where the objective is smooth and free of noise.
///
/// ```
/// use posterity::step_rules::{Averaging, Coin, IterateAverage, StepRule};
/// // The maximum of -|x - 10|: the last iterate keeps jumping about it.
/// let mut x = [0.0];
/// let mut state = Coin::default().start(&x)?;
/// let mut average = IterateAverage::new(Averaging::Tail, 1)?;
/// for _ in 0..10_000 {
///     state.step(&[f64::signum(10.0 - x[0])], &mut x)?;
///     average.push(&x)?;
/// }
/// assert!((average.mean()[0] - 10.0).abs() < 0.05);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// Cost: one pass over the position and no allocation for each iterate; memory of one position, of two for the tail.
#[derive(Debug, Clone)]
pub struct IterateAverage {
    averaging: Averaging,
    n_iterates: u64,
    mean: Vec<f64>,
    /// Iterates in `mean`.
    n_mean: u64,
    /// Of the tail: the mean since the last power of two, which takes the place of `mean` at the next one.
    recent: Vec<f64>,
    n_recent: u64,
}

impl IterateAverage {
    /// The average of no positions yet, of this many coordinates.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for an `eta` below 0 or not finite.
    pub fn new(averaging: Averaging, n_coordinates: usize) -> Result<Self, Error> {
        let n_recent = match averaging {
            Averaging::Tail => n_coordinates,
            Averaging::Uniform => 0,
            Averaging::PolynomialDecay { eta } => {
                check::in_range("eta", eta, eta >= 0.0 && eta.is_finite(), "finite and at least 0")?;
                0
            }
        };
        let (mean, recent) = (vec![0.0; n_coordinates], vec![0.0; n_recent]);
        Ok(Self { averaging, n_iterates: 0, mean, n_mean: 0, recent, n_recent: 0 })
    }

    /// Takes in the next position.
    ///
    /// # Errors
    /// [`Error::Dimension`] for another length, [`Error::NotFinite`] for an entry that is not finite; the average stays what it was.
    pub fn push(&mut self, position: &[f64]) -> Result<(), Error> {
        if position.len() != self.mean.len() {
            return Err(Error::Dimension {
                what: "coordinates of the iterate",
                expected: self.mean.len(),
                found: position.len(),
            });
        }
        check_finite("iterate", position)?;
        self.n_iterates += 1;
        let t = self.n_iterates as f64;
        match self.averaging {
            Averaging::Uniform => mix(&mut self.mean, position, 1.0 / t),
            Averaging::PolynomialDecay { eta } => mix(&mut self.mean, position, (eta + 1.0) / (t + eta)),
            Averaging::Tail => {
                if self.n_iterates.is_power_of_two() {
                    std::mem::swap(&mut self.mean, &mut self.recent);
                    (self.n_mean, self.n_recent) = (self.n_recent, 0);
                }
                for (mean, n) in [(&mut self.mean, &mut self.n_mean), (&mut self.recent, &mut self.n_recent)] {
                    *n += 1;
                    mix(mean, position, 1.0 / *n as f64);
                }
            }
        }
        Ok(())
    }

    /// The average; all 0 before the first position.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Positions taken in, whether they still count or not.
    #[must_use]
    pub fn n_iterates(&self) -> u64 {
        self.n_iterates
    }
}

/// mean ← (1 - share) mean + share · position; a share of 1 forgets what was there.
fn mix(mean: &mut [f64], position: &[f64], share: f64) {
    for (mean, x) in mean.iter_mut().zip(position) {
        *mean = if share == 1.0 { *x } else { *mean + share * (x - *mean) };
    }
}
