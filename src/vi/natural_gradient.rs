//! Natural-gradient ascent of the evidence lower bound over normal distributions with any covariance: the variational online Newton method.
//!
//! ```text
//! z₁ … z_B ~ N(m, S) in pairs m ± e, L = S⁻¹; ḡ mean gradient, H̄ mean negative Hessian of log p
//! L' = L + r G,  in directions where that is too little of L  L + r G + r²/2 G S G      G = H̄ - L,  S' = L'⁻¹
//! m' = m + r S' (ḡ + H̄ (z̄ - m))
//! ```
//! The mean of the draws is m if all pairs are complete; the term H̄ (z̄ - m) stands in for missing halves. With r = 1 a normal target is matched exactly by one iteration from anywhere. The
//! more the Hessians at the draws differ, the shorter is the longest step of the mean, down to √d standard deviations, and the less may a precision change, down to a factor of
//! 1/2 or 10: from where a target is not quadratic, one iteration is not to jump by its quadratic form.
//!
//! *Asks* of the target its gradient and products of its Hessian with vectors: those of models are exact, those of hand-written densities differences of gradients. *Costs* 2 d + 1 gradients per
//! draw, and an eigendecomposition of order d. It ends where the evidence lower bound has its maximum, as [`Vi`](super::Vi) with [`FullRank`](super::FullRank). *Not* where gradients are
//! dear, or dimensions many: [`Bam`](super::Bam) does with fewer; nor where a normal distribution is too poor: k̂ tells. *References* M. E. Khan & H. Rue 2023,
//! <https://arxiv.org/abs/2107.04562>; the term of second order, W. Lin, M. Schmidt & M. E. Khan 2020, <https://arxiv.org/abs/2002.10060>.

use std::fmt;
use std::sync::Arc;

use ndarray::{Array2, ArrayView1, Axis};

use super::bam::matching_setters;
use super::fit::{Fit, Record};
use super::score_matching::{Batch, Curvature, Matching, MatchingSettings, run};
use super::start::FamilyStart;
use crate::error::{Error, check};
use crate::linalg;
use crate::model::Target;
use crate::parallel::Threads;

/// The share of a precision that remains after one iteration, however even the curvature: differences of gradients have errors of this order.
const LEAST_SHARE: f64 = 1e-10;
/// That share where the curvature is uneven; a half is what the term of second order leaves.
const MOST_SHARE: f64 = 0.5;
/// Factor by which a precision may grow where the curvature is uneven. With 2, fits that became too wide in heavy tails do not narrow again (55 of 60 of those from far away); without a bound,
/// those that start where a density falls exponentially become too narrow to be mended by 100 iterations (3 of 30).
const MOST_GROWTH: f64 = 10.0;

/// The rate r in (0, 1] of iteration t = 0, 1, …
#[derive(Clone)]
#[non_exhaustive]
pub enum NaturalGradientSchedule {
    /// The same in all iterations; 1 is best on targets that are nearly normal.
    Constant(f64),
    /// `initial` / (t + 1)^`power`.
    Decaying {
        /// The rate of the first iteration, in (0, 1].
        initial: f64,
        /// At least 0; up to 1, so that the rates of all iterations have no finite sum.
        power: f64,
    },
    /// By a function of t.
    Custom(Arc<dyn Fn(usize) -> f64 + Send + Sync>),
}

impl NaturalGradientSchedule {
    fn rate(&self, iteration: usize) -> f64 {
        match self {
            Self::Constant(rate) => *rate,
            Self::Decaying { initial, power } => initial / ((iteration + 1) as f64).powf(*power),
            Self::Custom(of) => of(iteration),
        }
    }
}

impl fmt::Debug for NaturalGradientSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(rate) => write!(f, "constant {rate}"),
            Self::Decaying { initial, power } => write!(f, "{initial} / (t + 1)^{power}"),
            Self::Custom(_) => f.write_str("custom"),
        }
    }
}

/// Rates that are checked before the fit.
const MOST_CHECKED: usize = 10_000;

/// Natural-gradient variational inference, a fit of a normal distribution with any covariance.
///
/// ```
/// use posterity::model::zoo::EightSchoolsNoncentered;
/// use posterity::vi::NaturalGradient;
/// let fit = NaturalGradient::default().fit(&EightSchoolsNoncentered::rubin(), 1)?;
/// // Reference: the mean of mu is 4.4.
/// assert!((fit.summary().row("mu").unwrap().mean - 4.4).abs() < 0.5);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct NaturalGradient {
    schedule: NaturalGradientSchedule,
    settings: MatchingSettings,
}

impl Default for NaturalGradient {
    fn default() -> Self {
        let settings = MatchingSettings {
            batch_size: 4,
            n_iterations: 100,
            tolerance: 1e-3,
            averaged_share: 0.5,
            start: FamilyStart::default(),
            n_draws: 4000,
            threads: Threads::shared(),
        };
        Self { schedule: NaturalGradientSchedule::Decaying { initial: 1.0, power: 0.5 }, settings }
    }
}

impl NaturalGradient {
    /// The rate r of an iteration; 1 / √(t + 1).
    #[must_use]
    pub fn schedule(mut self, schedule: NaturalGradientSchedule) -> Self {
        self.schedule = schedule;
        self
    }

    matching_setters!(
        "in pairs on opposite sides of the mean, so an even number; each of them costs a gradient and a Hessian; 4",
        "100",
        "0.001",
        "0.5"
    );

    /// Checks all settings, and the rates of the first 10,000 iterations.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first one out of range.
    pub fn validate(&self) -> Result<(), Error> {
        self.settings.validate()?;
        let batch_size = self.settings.batch_size;
        check::in_range("batch_size", batch_size as f64, batch_size.is_multiple_of(2), "even, as draws come in pairs")?;
        (0..self.settings.n_iterations.min(MOST_CHECKED))
            .map(|t| self.schedule.rate(t))
            .try_for_each(|rate| check::in_range("rate of the schedule", rate, rate > 0.0 && rate <= 1.0, "in (0, 1]"))
    }

    /// Fits a target.
    ///
    /// # Errors
    /// As [`Bam::fit`](super::Bam::fit).
    pub fn fit<T: Target + ?Sized>(&self, target: &T, seed: u64) -> Result<Fit, Error> {
        self.validate()?;
        let MatchingSettings { batch_size, n_draws, threads, .. } = &self.settings;
        let mut record = Record::new(format!("natural gradients, {batch_size} draws"), seed)
            .with_setting("batch_size", batch_size)
            .with_setting("schedule", format!("{:?}", self.schedule));
        let approximation = run(target, self, &self.settings, &mut record)?;
        Fit::assess(target, approximation, record, *n_draws, threads.clone())
    }
}

impl Matching for NaturalGradient {
    fn is_second_order(&self) -> bool {
        true
    }

    fn rate(&self, iteration: usize) -> f64 {
        self.schedule.rate(iteration)
    }

    fn update(&self, batch: &Batch, iteration: usize, mean: &mut [f64], covariance: &mut Array2<f64>) -> Result<(), Error> {
        let Some(curvature) = &batch.curvature else { return Ok(()) };
        let (rate, dim) = (self.schedule.rate(iteration), mean.len());
        check::in_range("rate of the schedule", rate, rate > 0.0 && rate <= 1.0, "in (0, 1]")?;
        let away = batch.draws.mean_axis(Axis(0)).unwrap_or_default() - ArrayView1::from(&*mean);
        let slope = batch.gradients.mean_axis(Axis(0)).unwrap_or_default() + curvature.mean.dot(&away);
        let factor = linalg::cholesky(covariance.view())?;
        let unevenness = unevenness(batch, curvature, mean, &factor);
        let eigen = linalg::symmetric_eigen(factor.t().dot(&curvature.mean).dot(&factor).view())?;
        let shares = eigen.values.mapv(|curvature| precision_share(curvature, rate, unevenness));
        let axes = factor.dot(&eigen.vectors);
        let mut along = axes.t().dot(&slope) * rate / &shares;
        // The length of the step in the former standard deviations.
        let (length, longest) = (along.dot(&along).sqrt(), (dim as f64).sqrt() * (0.5 / unevenness).max(1.0));
        if length > longest {
            along *= longest / length;
        }
        mean.iter_mut().zip(&axes.dot(&along)).for_each(|(m, s)| *m += s);
        *covariance = (&axes / &shares).dot(&axes.t());
        Ok(())
    }
}

/// The next precision in one direction as a multiple of the former, by the curvature there as such a multiple.
fn precision_share(curvature: f64, rate: f64, unevenness: f64) -> f64 {
    let least = unevenness.clamp(LEAST_SHARE, MOST_SHARE);
    let change = rate * (curvature - 1.0);
    let share = if 1.0 + change >= least { 1.0 + change } else { 1.0 + change + 0.5 * change * change };
    share.clamp(least, (0.5 / unevenness).max(MOST_GROWTH))
}

/// How far the Hessians at the draws differ from their mean, by what they make of the draws' distances from the mean: the root of Σ|(Hᵢ - H̄) eᵢ|² / Σ|H̄ eᵢ|² in the metric of the
/// covariance. 0 for a normal target; 1 if a single draw cannot tell.
fn unevenness(batch: &Batch, curvature: &Curvature, mean: &[f64], factor: &Array2<f64>) -> f64 {
    if batch.draws.nrows() < 2 {
        return 1.0;
    }
    let expected = (&batch.draws - &ArrayView1::from(mean)).dot(&curvature.mean);
    let largest = expected.iter().chain(&curvature.images).fold(0.0_f64, |m, x| m.max(x.abs()));
    // In units of the largest, squares do not overflow.
    let square = |rows: Array2<f64>| (rows / largest).dot(factor).iter().map(|x| x * x).sum::<f64>();
    let ratio = (square(&curvature.images - &expected) / square(expected)).sqrt();
    // Without any curvature, or with one beyond all numbers, nothing is known.
    if ratio.is_finite() { ratio } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// What is found at these draws of a normal target.
    fn batch(draws: Array2<f64>, mean: &[f64], precision: &Array2<f64>, centre: &[f64]) -> Batch {
        let gradients = -(&draws - &ArrayView1::from(centre)).dot(precision);
        let images = (&draws - &ArrayView1::from(mean)).dot(precision);
        Batch { draws, gradients, curvature: Some(Curvature { mean: precision.clone(), images }) }
    }

    fn step(rate: f64, batch: &Batch, mean: &[f64], covariance: &Array2<f64>) -> (Vec<f64>, Array2<f64>) {
        let (mut mean, mut covariance) = (mean.to_vec(), covariance.clone());
        let method = NaturalGradient::default().schedule(NaturalGradientSchedule::Constant(rate));
        method.update(batch, 0, &mut mean, &mut covariance).unwrap();
        (mean, covariance)
    }

    /// Squares of what the Hessians make of the draws overflow, or all of it is nothing.
    #[test]
    fn curvature_beyond_all_numbers_or_none_is_no_panic() {
        for scale in [1e200_f64, 0.0] {
            let draws = array![[1.0, 0.0], [-1.0, 0.5]];
            let curvature =
                Curvature { mean: array![[scale, 0.0], [0.0, 1.0]] * scale.min(1.0), images: draws.clone() * (1.5 * scale) };
            let batch = Batch { gradients: draws.clone(), draws, curvature: Some(curvature) };
            let (mut mean, mut covariance) = (vec![0.0; 2], array![[1.0, 0.9], [0.9, 1.0]]);
            let updated = NaturalGradient::default().update(&batch, 0, &mut mean, &mut covariance);
            assert!(updated.is_err() || covariance.iter().chain(&mean).all(|x| x.is_finite()), "{scale}: {mean:?} {covariance}");
        }
    }

    /// Draws without their mirror images, far from a narrow target: the mean of the draws is not that of the distribution.
    #[test]
    fn a_normal_target_is_matched_by_one_iteration() {
        let (precision, centre) = (array![[4.0, 1.0], [1.0, 2.0]], [300.0, -50.0]);
        let start = array![[9.0, -0.3], [-0.3, 0.04]];
        let batch = batch(array![[0.4, 0.1], [1.5, -0.3], [-2.0, 0.2]], &[0.5, 0.0], &precision, &centre);
        let (mean, covariance) = step(1.0, &batch, &[0.5, 0.0], &start);
        assert!(mean.iter().zip(&centre).all(|(m, c)| (m - c).abs() < 1e-11), "{mean:?}");
        let product = covariance.dot(&precision);
        assert!((product - Array2::<f64>::eye(2)).iter().all(|x| x.abs() < 1e-13));
    }

    /// Rates below 1 mix the precisions, not the covariances, and the mean moves in the new metric: by hand in one dimension, precisions 1 and 4, r = 1/4, centre at 3.
    #[test]
    fn precisions_are_mixed_and_the_new_one_moves_the_mean() {
        let batch = batch(array![[0.5], [-0.5]], &[0.0], &array![[4.0]], &[3.0]);
        let (mean, covariance) = step(0.25, &batch, &[0.0], &array![[1.0]]);
        assert!((covariance[[0, 0]] - 1.0 / 1.75).abs() < 1e-15);
        assert!((mean[0] - 0.25 * 12.0 / 1.75).abs() < 1e-14);
    }

    /// By hand in one dimension: L = 2, H̄ = -4, r = 1/2, G = -6, so that L + r G = -1, and r²/2 G S G = 9/4.
    #[test]
    fn a_precision_that_is_not_positive_gets_the_term_of_second_order() {
        let batch = batch(array![[0.5], [-0.5]], &[0.0], &array![[-4.0]], &[0.0]);
        let (_, covariance) = step(0.5, &batch, &[0.0], &array![[0.5]]);
        assert!((covariance[[0, 0]] - 1.0 / 1.25).abs() < 1e-15);
        // Of an uneven target, a half to the tenfold remains whatever the curvature.
        for rate in [0.01, 0.3, 1.0] {
            assert!(
                [-1e6, -3.0, -1.0, 0.0, 0.4, 1e6].iter().all(|c| (0.5..=10.0).contains(&precision_share(*c, rate, 0.7))),
                "{rate}"
            );
        }
    }

    /// Where Hessians differ, steps are bounded, and a small curvature is not believed.
    #[test]
    fn uneven_curvature_bounds_the_step_and_the_loss_of_precision() {
        let draws = array![[1.0], [-1.0]];
        let uneven = |mean: f64, spread: f64, slope: f64| Batch {
            draws: draws.clone(),
            gradients: array![[slope - mean], [slope + mean]],
            curvature: Some(Curvature { mean: array![[mean]], images: array![[mean + spread], [-mean + spread]] }),
        };
        // Unevenness 1/10: at most five of the former standard deviations, which are 2.
        let far = step(1.0, &uneven(1.0, 0.1, 1e6), &[0.0], &array![[4.0]]);
        assert!((far.0[0] - 10.0).abs() < 1e-12, "{far:?}");
        assert!((far.1[[0, 0]] - 1.0).abs() < 1e-14);
        // A step that is shorter is not touched.
        assert!((step(1.0, &uneven(1.0, 0.1, 9.0), &[0.0], &array![[4.0]]).0[0] - 9.0).abs() < 1e-12);
        // A thousandth of the precision is believed of an even target, and not of an uneven one, of which 1/2 (1 + 0.001²) remain.
        let wide = |unevenness: f64| 1.0 / step(1.0, &uneven(0.001, 0.001 * unevenness, 0.0), &[0.0], &array![[1.0]]).1[[0, 0]];
        assert!((wide(0.0) / 0.001 - 1.0).abs() < 1e-12 && (wide(0.5) - 0.500_000_5).abs() < 1e-12);
    }

    /// Of two draws at ±(1, 1) the images are off by 1/2 along the narrower coordinate: √(1/4 / (9 + 1)).
    #[test]
    fn unevenness_is_measured_in_standard_deviations() {
        let draws = array![[1.0, 1.0], [-1.0, -1.0]];
        let curvature = Curvature { mean: Array2::eye(2), images: array![[1.0, 1.5], [-1.0, -0.5]] };
        let batch = Batch { gradients: draws.clone(), draws, curvature: None };
        let found = unevenness(&batch, &curvature, &[0.0, 0.0], &array![[3.0, 0.0], [0.0, 1.0]]);
        assert!((found - 0.025_f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn schedules_are_what_they_say() {
        let decaying = NaturalGradientSchedule::Decaying { initial: 0.8, power: 0.5 };
        assert!((decaying.rate(0) - 0.8).abs() < 1e-15 && (decaying.rate(3) - 0.4).abs() < 1e-15);
        let custom = |rate: f64| {
            NaturalGradient::default()
                .schedule(NaturalGradientSchedule::Custom(Arc::new(move |t| if t == 7 { rate } else { 0.5 })))
        };
        assert!(custom(1.0).validate().is_ok());
        for rate in [0.0, -0.1, 1.1, f64::NAN] {
            assert!(matches!(custom(rate).validate(), Err(Error::InvalidSetting { setting: "rate of the schedule", .. })));
        }
        assert!(matches!(
            NaturalGradient::default().batch_size(3).validate(),
            Err(Error::InvalidSetting { setting: "batch_size", .. })
        ));
    }
}
