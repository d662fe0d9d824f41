//! Batch and match: a normal distribution whose scores agree with gradients of the target.
//!
//! ```text
//! z₁ … z_B ~ N(m, S), gᵢ = ∇log p(zᵢ); means z̄, ḡ and covariances C, G of both
//! U = λ G + λ/(1+λ) ḡ ḡᵀ                  V = S + λ C + λ/(1+λ) (m - z̄)(m - z̄)ᵀ
//! S ← the solution of S U S + S = V      m ← (m + λ (S ḡ + z̄)) / (1+λ)
//! ```
//! On a normal target the batch is matched exactly, so a few iterations suffice; each costs B gradients. *Costs* besides d² B, and a Cholesky factor, for B < d - 1, else an
//! eigendecomposition of order d; seven d x d matrices of memory. *Not* where d² numbers do not fit: see [`Pathfinder`](super::Pathfinder); nor where a normal distribution is too poor: k̂ tells.
//! *Reference* D. Cai, C. Modi, L. Pillaud-Vivien, C. Margossian, R. Gower, D. Blei & L. Saul 2024, <https://arxiv.org/abs/2402.14758>.

use std::fmt;
use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::fit::{Fit, Record};
use super::score_matching::{Batch, Matching, MatchingSettings, run};
use super::start::FamilyStart;
use crate::error::{Error, check};
use crate::linalg;
use crate::model::Target;
use crate::parallel::Threads;

/// The weight λ of the batch against the distribution that drew it, in iteration t = 0, 1, …
#[derive(Clone)]
#[non_exhaustive]
pub enum BamSchedule {
    /// λ = B d: fastest on targets that are nearly normal.
    Constant,
    /// λ = B d / (t + 1): averages over batches in the end.
    Decaying,
    /// λ by a function of t.
    Custom(Arc<dyn Fn(usize) -> f64 + Send + Sync>),
}

impl fmt::Debug for BamSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Constant => "constant",
            Self::Decaying => "decaying",
            Self::Custom(_) => "custom",
        })
    }
}

/// Batch and match, a fit of a normal distribution with any covariance.
///
/// ```
/// use ndarray::array;
/// use posterity::model::{WithGradient, zoo::analytic::Gaussian};
/// use posterity::vi::Bam;
/// let target = WithGradient(Gaussian::new(array![1.0, -2.0], &array![[1.0, 0.3], [0.3, 0.5]])?);
/// let fit = Bam::default().fit(&target, 1)?;
/// assert!((fit.approximation().mean().unwrap()[1] + 2.0).abs() < 1e-3);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bam {
    schedule: BamSchedule,
    settings: MatchingSettings,
}

impl Default for Bam {
    fn default() -> Self {
        let settings = MatchingSettings {
            batch_size: 32,
            n_iterations: 100,
            tolerance: 1e-3,
            averaged_share: 0.5,
            start: FamilyStart::default(),
            n_draws: 4000,
            threads: Threads::shared(),
        };
        Self { schedule: BamSchedule::Decaying, settings }
    }
}

impl Bam {
    /// The weight λ of a batch; decaying.
    #[must_use]
    pub fn schedule(mut self, schedule: BamSchedule) -> Self {
        self.schedule = schedule;
        self
    }
}

/// Setters that [`Bam`], [`Gsm`](super::Gsm) and [`NaturalGradient`](super::NaturalGradient) share.
macro_rules! matching_setters {
    ($batch:literal, $iterations:literal, $tolerance:literal, $share:literal) => {
        #[doc = concat!("Draws per iteration, ", $batch, ".")]
        #[must_use]
        pub fn batch_size(mut self, batch_size: usize) -> Self {
            self.settings.batch_size = batch_size;
            self
        }

        #[doc = concat!("Iterations at most; ", $iterations, ".")]
        #[must_use]
        pub fn n_iterations(mut self, n_iterations: usize) -> Self {
            self.settings.n_iterations = n_iterations;
            self
        }

        #[doc = concat!("The fit ends after three iterations in a row that changed no mean and no entry of the Cholesky factor by more than this many standard \
            deviations; ", $tolerance, ", and 0 for all iterations.")]
        #[must_use]
        pub fn tolerance(mut self, tolerance: f64) -> Self {
            self.settings.tolerance = tolerance;
            self
        }

        #[doc = concat!("The share of the last iterations whose means and covariances are averaged, unless the fit ends before; ", $share, ", and 0 for the last ones alone.")]
        #[must_use]
        pub fn averaged_share(mut self, share: f64) -> Self {
            self.settings.averaged_share = share;
            self
        }

        /// Where the distribution starts, without correlations; where the best of four paths of Pathfinder has been.
        #[must_use]
        pub fn start(mut self, start: crate::vi::FamilyStart) -> Self {
            self.settings.start = start;
            self
        }

        /// Number of weighted draws at the end; 4000.
        #[must_use]
        pub fn n_draws(mut self, n_draws: usize) -> Self {
            self.settings.n_draws = n_draws;
            self
        }

        /// Where the draws at the end are evaluated; on all threads.
        #[must_use]
        pub fn threads(mut self, threads: crate::parallel::Threads) -> Self {
            self.settings.threads = threads;
            self
        }
    };
}
pub(super) use matching_setters;

impl Bam {
    matching_setters!("each of which costs a gradient; 32", "100", "0.001", "0.5");

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
    /// [`Error::InvalidSetting`], also for a λ that is not positive and finite; [`Error::NoParameters`]; [`Error::Dimension`] or [`Error::NotFinite`] for a start.
    /// [`Error::Iteration`] with the iteration for what happens on the way: [`Error::NoUsableDraw`] if the target cannot be evaluated at any draw, ten times in a row,
    /// [`Error::Unbounded`] if the distribution leaves the range of numbers, [`Error::Density`] for a fatal error of the target. [`Error::NoUsableDraw`] if that is so of the draws at the end.
    pub fn fit<T: Target + ?Sized>(&self, target: &T, seed: u64) -> Result<Fit, Error> {
        self.validate()?;
        let MatchingSettings { batch_size, n_draws, threads, .. } = &self.settings;
        let mut record = Record::new(format!("batch and match, {batch_size} draws"), seed)
            .with_setting("batch_size", batch_size)
            .with_setting("schedule", format!("{:?}", self.schedule));
        let approximation = run(target, self, &self.settings, &mut record)?;
        Fit::assess(target, approximation, record, *n_draws, threads.clone())
    }
}

impl Matching for Bam {
    fn update(&self, batch: &Batch, iteration: usize, mean: &mut [f64], covariance: &mut Array2<f64>) -> Result<(), Error> {
        let (n, dim) = batch.draws.dim();
        let lambda = match &self.schedule {
            BamSchedule::Constant => (n * dim) as f64,
            BamSchedule::Decaying => (n * dim) as f64 / (iteration + 1) as f64,
            BamSchedule::Custom(of) => of(iteration),
        };
        check::positive("lambda of the schedule", lambda)?;
        let centre = |rows: &Array2<f64>| rows.mean_axis(Axis(0)).unwrap_or_default();
        let (mean_draw, mean_gradient) = (centre(&batch.draws), centre(&batch.gradients));
        let share = lambda / (1.0 + lambda);
        let away = &ArrayView1::from(&*mean) - &mean_draw;
        let draws = root(&batch.draws, &mean_draw, &away, lambda);
        let gradients = root(&batch.gradients, &mean_gradient, &mean_gradient, lambda);
        *covariance += &draws.dot(&draws.t());
        match_scores(covariance, &gradients)?;
        let moved = covariance.dot(&mean_gradient) + mean_draw;
        mean.iter_mut().zip(moved).for_each(|(m, x)| *m = *m / (1.0 + lambda) + share * x);
        Ok(())
    }
}

/// A d x (B + 1) matrix X with X Xᵀ = λ · covariance of the rows + λ/(1+λ) · offset offsetᵀ.
fn root(rows: &Array2<f64>, centre: &Array1<f64>, offset: &Array1<f64>, lambda: f64) -> Array2<f64> {
    let (n, dim) = rows.dim();
    let mut root = Array2::zeros((dim, n + 1));
    let weight = (lambda / n as f64).sqrt();
    for (row, mut column) in rows.rows().into_iter().zip(root.columns_mut()) {
        column.assign(&((&row - centre) * weight));
    }
    root.column_mut(n).assign(&(offset * (lambda / (1.0 + lambda)).sqrt()));
    root
}

/// Replaces V by the positive definite solution S of S Q Qᵀ S + S = V, for Q of shape d x k.
///
/// ```text
/// k < d     S = V - V Q E (1/2 + √(e + 1/4))⁻² Eᵀ Qᵀ V      QᵀVQ = E diag(e) Eᵀ, of order k
/// k ≥ d     S = R E 2 / (1 + √(1 + 4e)) Eᵀ Rᵀ              V = R Rᵀ,   RᵀQQᵀR = E diag(e) Eᵀ, of order d
/// ```
fn match_scores(v: &mut Array2<f64>, q: &Array2<f64>) -> Result<(), Error> {
    let (dim, k) = q.dim();
    if k < dim {
        let image = v.dot(q);
        let eigen = linalg::symmetric_eigen(q.t().dot(&image).view())?;
        let weights = eigen.values.mapv(|e| (0.5 + (e.max(0.0) + 0.25).sqrt()).recip());
        let subtracted = image.dot(&(eigen.vectors * weights));
        *v -= &subtracted.dot(&subtracted.t());
    } else {
        let factor = linalg::cholesky(v.view())?;
        let image = factor.t().dot(q);
        let eigen = linalg::symmetric_eigen(image.dot(&image.t()).view())?;
        let weights = eigen.values.mapv(|e| (2.0 / (1.0 + (1.0 + 4.0 * e.max(0.0)).sqrt())).sqrt());
        let root = factor.dot(&(eigen.vectors * weights));
        *v = root.dot(&root.t());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use ndarray::array;

    fn random(n: usize, m: usize, seed: u64) -> Array2<f64> {
        let mut rng = Stream::new(seed);
        Array2::from_shape_simple_fn((n, m), || rng.normal())
    }

    #[test]
    fn both_forms_solve_the_equation() {
        for (dim, k) in [(1, 1), (5, 2), (5, 5), (5, 9), (12, 11)] {
            let (a, q) = (random(dim, dim + 2, 1), random(dim, k, 2));
            let v = a.dot(&a.t());
            let mut s = v.clone();
            match_scores(&mut s, &q).unwrap();
            let residual = s.dot(&q).dot(&q.t().dot(&s)) + &s - &v;
            assert!(residual.iter().all(|r| r.abs() < 1e-10), "{dim} {k}");
            assert!(linalg::cholesky(s.view()).is_ok());
        }
    }

    #[test]
    fn a_root_is_the_root_of_its_covariance() {
        let rows = random(4, 3, 5);
        let centre = rows.mean_axis(Axis(0)).unwrap();
        let offset = Array1::from_vec(vec![1.0, -2.0, 0.5]);
        let root = root(&rows, &centre, &offset, 3.0);
        let product = root.dot(&root.t());
        for i in 0..3 {
            for j in 0..3 {
                let covariance: f64 = (0..4).map(|k| (rows[[k, i]] - centre[i]) * (rows[[k, j]] - centre[j])).sum::<f64>() / 4.0;
                let expected = 3.0 * covariance + 0.75 * offset[i] * offset[j];
                assert!((product[[i, j]] - expected).abs() < 1e-12);
            }
        }
    }

    /// The equations of the module's head, with U and V written out.
    #[test]
    fn an_update_solves_its_equations() {
        for n in [3, 7] {
            let (batch, root) = (Batch { draws: random(n, 4, 1), gradients: random(n, 4, 2), curvature: None }, random(4, 6, 3));
            let old = (array![0.5, -1.0, 2.0, 0.1], root.dot(&root.t()));
            let (mut mean, mut s, lambda) = (old.0.to_vec(), old.1.clone(), 1.5);
            let bam = Bam::default().schedule(BamSchedule::Custom(Arc::new(move |t| lambda / (t + 1) as f64)));
            bam.update(&batch, 1, &mut mean, &mut s).unwrap();
            let lambda = lambda / 2.0;
            let moments = |rows: &Array2<f64>| {
                let mean: Vec<f64> = (0..4).map(|j| (0..n).map(|b| rows[[b, j]]).sum::<f64>() / n as f64).collect();
                let entry = |i: usize, j: usize| {
                    (0..n).map(|b| (rows[[b, i]] - mean[i]) * (rows[[b, j]] - mean[j])).sum::<f64>() / n as f64
                };
                let covariance = Array2::from_shape_fn((4, 4), |(i, j)| entry(i, j));
                (mean, covariance)
            };
            let ((draw, c), (gradient, g)) = (moments(&batch.draws), moments(&batch.gradients));
            let share = lambda / (1.0 + lambda);
            let u = Array2::from_shape_fn((4, 4), |(i, j)| lambda * g[[i, j]] + share * gradient[i] * gradient[j]);
            let away = |i: usize| old.0[i] - draw[i];
            let v = Array2::from_shape_fn((4, 4), |(i, j)| old.1[[i, j]] + lambda * c[[i, j]] + share * away(i) * away(j));
            assert!((s.dot(&u).dot(&s) + &s - &v).iter().all(|x| x.abs() < 1e-12), "{n}");
            for i in 0..4 {
                let image: f64 = (0..4).map(|j| s[[i, j]] * gradient[j]).sum();
                assert!((mean[i] - (old.0[i] + lambda * (image + draw[i])) / (1.0 + lambda)).abs() < 1e-13, "{n}");
            }
        }
    }
}
