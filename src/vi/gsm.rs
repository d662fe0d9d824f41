//! Gaussian score matching: a normal distribution that is moved as little as needed for its score to agree with the target's, draw by draw.
//!
//! ```text
//! z ~ N(m, S), g = ∇log p(z)
//! ρ = (√(1 + 4 (gᵀSg + ((m - z)ᵀg)²)) - 1) / 2         e = S g - m + z
//! m' = m + (e - (m - z) gᵀe / (1 + ρ + (m - z)ᵀg)) / (1 + ρ)
//! S' = S + (m - z)(m - z)ᵀ - (m' - z)(m' - z)ᵀ         both averaged over a batch
//! ```
//! *Costs* per iteration a gradient and d² per draw, and a Cholesky factor. It has no setting to tune, and no memory either: where no normal distribution fits, it never rests, and
//! [`Bam`](super::Bam) with a decaying schedule is better. *Reference* C. Modi, C. Margossian, Y. Yao, R. Gower, D. Blei & L. Saul 2023, <https://arxiv.org/abs/2307.07849>.

use ndarray::{Array1, Array2, ArrayView1};

use super::bam::matching_setters;
use super::fit::{Fit, Record};
use super::score_matching::{Batch, Matching, MatchingSettings, run};
use super::start::FamilyStart;
use crate::error::Error;
use crate::model::Target;
use crate::parallel::Threads;

/// Gaussian score matching, a fit of a normal distribution with any covariance.
///
/// ```
/// use ndarray::array;
/// use posterity::model::{WithGradient, zoo::analytic::Gaussian};
/// use posterity::vi::Gsm;
/// let target = WithGradient(Gaussian::new(array![1.0, -2.0], &array![[1.0, 0.3], [0.3, 0.5]])?);
/// let fit = Gsm::default().fit(&target, 1)?;
/// assert!((fit.approximation().mean().unwrap()[1] + 2.0).abs() < 1e-2);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Gsm {
    settings: MatchingSettings,
}

impl Default for Gsm {
    fn default() -> Self {
        let settings = MatchingSettings {
            batch_size: 2,
            n_iterations: 1000,
            tolerance: 1e-3,
            averaged_share: 0.5,
            start: FamilyStart::default(),
            n_draws: 4000,
            threads: Threads::shared(),
        };
        Self { settings }
    }
}

impl Gsm {
    matching_setters!("each of which costs a gradient; 2", "1000", "0.001", "0.5");

    /// Checks all settings.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first one out of range.
    pub fn validate(&self) -> Result<(), Error> {
        self.settings.validate()
    }

    /// Fits a target.
    ///
    /// # Errors
    /// As [`Bam::fit`](super::Bam::fit).
    pub fn fit<T: Target + ?Sized>(&self, target: &T, seed: u64) -> Result<Fit, Error> {
        self.validate()?;
        let MatchingSettings { batch_size, n_draws, threads, .. } = &self.settings;
        let mut record =
            Record::new(format!("Gaussian score matching, {batch_size} draws"), seed).with_setting("batch_size", batch_size);
        let approximation = run(target, self, &self.settings, &mut record)?;
        Fit::assess(target, approximation, record, *n_draws, threads.clone())
    }
}

impl Matching for Gsm {
    fn update(&self, batch: &Batch, _iteration: usize, mean: &mut [f64], covariance: &mut Array2<f64>) -> Result<(), Error> {
        let n = batch.draws.nrows() as f64;
        let old = Array1::from_iter(mean.iter().copied());
        let moves: Vec<_> = (batch.draws.rows().into_iter().zip(batch.gradients.rows()))
            .map(|(draw, gradient)| (&old - &draw, matched_mean(&old, covariance, draw, gradient) - draw))
            .collect();
        for (before, after) in moves {
            for (m, (x, y)) in mean.iter_mut().zip(after.iter().zip(&before)) {
                *m += (x - y) / n;
            }
            for ((i, j), entry) in covariance.indexed_iter_mut() {
                *entry += (before[i] * before[j] - after[i] * after[j]) / n;
            }
        }
        Ok(())
    }
}

/// The mean m' of the distribution whose score at the draw is the gradient.
fn matched_mean(
    mean: &Array1<f64>,
    covariance: &Array2<f64>,
    draw: ArrayView1<'_, f64>,
    gradient: ArrayView1<'_, f64>,
) -> Array1<f64> {
    let image = covariance.dot(&gradient);
    let away = mean - &draw;
    let along = away.dot(&gradient);
    let rho = 0.5 * ((1.0 + 4.0 * (gradient.dot(&image) + along * along)).sqrt() - 1.0);
    let error = image - &away;
    let factor = gradient.dot(&error) / (1.0 + rho + along);
    mean + (error - away * factor) / (1.0 + rho)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// After an update from one draw, the score of the distribution there is the gradient; unlike the formula, this is what the update is for.
    #[test]
    fn the_score_at_the_draw_is_the_gradient() {
        let batch = Batch { draws: array![[0.3, -1.2, 2.0]], gradients: array![[1.5, -0.4, -0.7]], curvature: None };
        let mut mean = vec![0.5, -0.5, 1.0];
        let mut covariance = array![[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 0.5]];
        Gsm::default().update(&batch, 0, &mut mean, &mut covariance).unwrap();
        let away: Array1<f64> = Array1::from_vec(mean) - batch.draws.row(0);
        let score = crate::linalg::solve(covariance.view(), away.view()).unwrap();
        assert!(score.iter().zip(batch.gradients.row(0)).all(|(a, b)| (a - b).abs() < 1e-12), "{score}");
        assert!(crate::linalg::cholesky(covariance.view()).is_ok());
    }

    /// The moves of single draws, from the same distribution, are averaged.
    #[test]
    fn a_batch_makes_the_mean_of_the_moves_of_its_draws() {
        let batches = [(array![[0.3, -1.2]], array![[1.5, -0.4]]), (array![[2.0, 0.1]], array![[-0.2, 0.9]])];
        let update = |draws: &Array2<f64>, gradients: &Array2<f64>| {
            let batch = Batch { draws: draws.clone(), gradients: gradients.clone(), curvature: None };
            let (mut mean, mut covariance) = (vec![0.5, -0.5], array![[2.0, 0.3], [0.3, 1.0]]);
            Gsm::default().update(&batch, 0, &mut mean, &mut covariance).unwrap();
            (Array1::from_vec(mean), covariance)
        };
        let [one, other] = batches.each_ref().map(|(draws, gradients)| update(draws, gradients));
        let [(draws, gradients), (other_draws, other_gradients)] = &batches;
        let stack = |a: &Array2<f64>, b: &Array2<f64>| ndarray::concatenate![ndarray::Axis(0), a.view(), b.view()];
        let both = update(&stack(draws, other_draws), &stack(gradients, other_gradients));
        assert!((both.0 - (one.0 + other.0) * 0.5).iter().all(|x| x.abs() < 1e-14));
        assert!((both.1 - (one.1 + other.1) * 0.5).iter().all(|x| x.abs() < 1e-14));
    }
}
