//! The metric from draws and gradients.
//!
//! ```text
//! scales     sᵢ = √(sd(xᵢ) / sd(gᵢ));  in y = x/s, h = g·s:  A = cov(y), B = cov(h)
//! covariance Σ = A # B⁻¹, the geometric mean: the solution of Σ B Σ = A
//! metric     M⁻¹ = D (I + U (Λ − I) Uᵀ) D,  D = diag(s), U and Λ the eigenpairs of Σ with λ outside [1/c, c]
//! ```
//! For a Gaussian target B = Σ⁻¹ A Σ⁻¹ holds exactly for any set of draws, so Σ is exact once the draws span the space, long before a
//! sample covariance would be. A cutoff c = ∞ gives the diagonal metric, c = 1 the dense one; which to use is decided on draws that the
//! estimate has not seen, by the number of leapfrog steps that a trajectory would need:
//!
//! ```text
//! length(M) = √(λmax(cov of whitened draws) · λmax(cov of whitened gradients)) / (1 + √(d/n))²
//! ```
//! The divisor is what sampling noise alone makes of a standard normal in d dimensions seen by n draws, so a Gaussian with the right metric
//! has length 1. If no metric promises a length below a bound, the posterior is far from any Gaussian (a funnel, a banana): then a global
//! correlation is no guide to the local ones, the diagonal is used, and [`MetricEstimate::is_hard`] says so.
//!
//! *Costs* O(n d + n² min(n, d) + m³) per estimate, m = min(d, number of directions). *References* the gradient-based diagonal and the
//! low-rank form are those of nuts-rs, <https://github.com/pymc-devs/nuts-rs>, and Seyboldt, Carlson & Carpenter 2026,
//! <https://arxiv.org/abs/2603.18845>; the geometric mean: Bhatia 2007, *Positive Definite Matrices*, chapter 4.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::error::{Error, check};
use crate::kernels::Metric;
use crate::linalg::{Eigen, symmetric_eigen};

/// Which form the metric takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MetricForm {
    /// Whatever promises the shortest trajectories on held-out draws.
    #[default]
    Automatic,
    /// Variances only.
    Diagonal,
    /// Variances and the directions of strong correlation.
    LowRank,
    /// A full covariance.
    Dense,
}

/// Settings of the estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricEstimateConfig {
    /// Form of the metric; automatic.
    pub form: MetricForm,
    /// A low-rank metric keeps eigenvalues outside \[1/c, c\]; c ≥ 1; 2.
    pub cutoff: f64,
    /// Largest dimension for which a dense metric is considered; 100.
    pub max_dense_dim: usize,
    /// Largest number of directions taken from draws, and from gradients, above that dimension; 50.
    pub max_rank: usize,
    /// Correlations are believed if they promise a trajectory length of at most this; 2.5, where 1 is a Gaussian's.
    pub max_length: f64,
}

impl Default for MetricEstimateConfig {
    fn default() -> Self {
        Self { form: MetricForm::Automatic, cutoff: 2.0, max_dense_dim: 100, max_rank: 50, max_length: 2.5 }
    }
}

impl MetricEstimateConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first one out of range.
    pub fn validate(&self) -> Result<(), Error> {
        check::in_range("cutoff", self.cutoff, self.cutoff >= 1.0 && self.cutoff.is_finite(), "finite and at least 1")?;
        check::at_least("max_rank", self.max_rank, 1, "at least 1")?;
        check::in_range("max_length", self.max_length, self.max_length >= 1.0, "at least 1")
    }
}

/// Draws of a chain with the gradients there, as collected in warm-up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DrawBuffer {
    dim: usize,
    positions: Vec<f64>,
    gradients: Vec<f64>,
}

impl DrawBuffer {
    /// An empty buffer for dimension `dim`.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        Self { dim, positions: Vec::new(), gradients: Vec::new() }
    }

    /// Adds a draw; ignored unless both have the buffer's dimension.
    pub fn push(&mut self, position: &[f64], gradient: &[f64]) {
        if position.len() == self.dim && gradient.len() == self.dim {
            self.positions.extend_from_slice(position);
            self.gradients.extend_from_slice(gradient);
        }
    }

    /// Number of draws.
    #[must_use]
    pub fn len(&self) -> usize {
        self.positions.len() / self.dim.max(1)
    }

    /// True if there are no draws.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Forgets the oldest draws, so that at most `n` are left.
    pub fn keep_last(&mut self, n: usize) {
        let surplus = self.len().saturating_sub(n) * self.dim;
        self.positions.drain(..surplus);
        self.gradients.drain(..surplus);
    }
}

/// Diagonal metric from one gradient: variances 1 / |gᵢ|, the scale on which the density changes.
///
/// # Errors
/// [`Error::NoParameters`] for an empty gradient.
pub fn metric_from_gradient(gradient: &[f64]) -> Result<Metric, Error> {
    let variance = |g: &f64| if g.abs() > 0.0 && g.is_finite() { (1.0 / g.abs()).clamp(1e-10, 1e10) } else { 1.0 };
    Metric::diagonal(gradient.iter().map(variance).collect())
}

/// A metric, and how well it fits.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricEstimate {
    /// The metric.
    pub metric: Metric,
    /// True if the posterior is so far from Gaussian that no metric promises short trajectories; only found out by
    /// [`MetricForm::Automatic`], and from enough draws.
    pub is_hard: bool,
}

/// The metric of the draws in the buffer. `None` if they do not determine one (fewer than three, or none that moved).
///
/// # Errors
/// [`Error::NoConvergence`] if an eigendecomposition fails; [`Error::InvalidSetting`] for a setting.
pub fn estimate_metric(draws: &DrawBuffer, config: &MetricEstimateConfig) -> Result<Option<MetricEstimate>, Error> {
    config.validate()?;
    let Some(all) = Standardised::new(draws, 0, draws.len()).filter(|all| all.n() >= 3) else { return Ok(None) };
    let choice = match config.form {
        MetricForm::Diagonal => Choice { cutoff: f64::INFINITY, is_hard: false },
        MetricForm::LowRank => Choice { cutoff: config.cutoff, is_hard: false },
        MetricForm::Dense => Choice { cutoff: 1.0, is_hard: false },
        MetricForm::Automatic => choose_cutoff(draws, config)?,
    };
    let spectrum = if choice.cutoff.is_finite() { all.spectrum(config)? } else { None };
    let metric = all.metric(spectrum.as_ref(), choice.cutoff)?;
    Ok(Some(MetricEstimate { metric, is_hard: choice.is_hard }))
}

/// The metric whose M⁻¹ is the sample covariance of the draws' positions, pulled to its diagonal by a weight of d / (n + d): for kernels
/// without gradients. `None` if the draws do not move, or are too few.
///
/// # Errors
/// What [`Metric::dense`] and [`Metric::diagonal`] report.
pub fn covariance_metric(draws: &DrawBuffer, max_dense_dim: usize) -> Result<Option<Metric>, Error> {
    let (n, d) = (draws.len(), draws.dim);
    if n < 3 {
        return Ok(None);
    }
    let Ok(mut positions) = Array2::from_shape_vec((n, d), draws.positions.clone()) else { return Ok(None) };
    let sds: Vec<f64> = (0..d).map(|j| centre(positions.column_mut(j))).collect();
    if !sds.iter().all(|&sd| sd > 0.0 && sd.is_finite()) {
        return Ok(None);
    }
    if d > max_dense_dim {
        return Metric::diagonal(sds.iter().map(|sd| sd * sd).collect()).map(Some);
    }
    let weight = n as f64 / (n + d) as f64;
    let mut matrix = covariance(&positions);
    for ((i, j), entry) in matrix.indexed_iter_mut() {
        if i != j {
            *entry *= weight;
        }
    }
    Metric::dense(d, matrix.into_iter().collect()).map(Some)
}

/// Fewest draws for which anything but a diagonal is considered.
const MIN_DRAWS_FOR_CORRELATIONS: usize = 10;
/// Fewest held-out draws, beside two per dimension, from which a posterior is called hard.
const MIN_DRAWS_FOR_VERDICT: usize = 100;
/// A less simple form must promise trajectories shorter by this factor.
const WORTHWHILE: f64 = 0.95;

/// Which eigenvalues count.
#[derive(Debug, Clone, Copy)]
struct Choice {
    cutoff: f64,
    is_hard: bool,
}

/// The cutoff whose metric, fitted to the earlier half of the draws, promises the shortest trajectories on the later half.
fn choose_cutoff(draws: &DrawBuffer, config: &MetricEstimateConfig) -> Result<Choice, Error> {
    let (n, d) = (draws.len(), draws.dim);
    let diagonal = Choice { cutoff: f64::INFINITY, is_hard: false };
    if n < MIN_DRAWS_FOR_CORRELATIONS || d == 1 {
        return Ok(diagonal);
    }
    let (Some(fit), Some(held_out)) = (Standardised::new(draws, 0, n / 2), Standardised::new(draws, n / 2, n)) else {
        return Ok(diagonal);
    };
    let Some(spectrum) = fit.spectrum(config)? else { return Ok(diagonal) };
    let mut best = (diagonal.cutoff, fit.trajectory_length(&held_out, &spectrum, diagonal.cutoff));
    let dense_allowed = d <= config.max_dense_dim && n / 2 > d;
    let cutoffs = [4.0 * config.cutoff, config.cutoff, 1.0];
    for &cutoff in &cutoffs[..if dense_allowed { 3 } else { 2 }] {
        let length = fit.trajectory_length(&held_out, &spectrum, cutoff);
        if length < WORTHWHILE * best.1 {
            best = (cutoff, length);
        }
    }
    // From few draws the length says more of the draws than of the posterior.
    let is_hard = n / 2 >= 2 * d + MIN_DRAWS_FOR_VERDICT && best.1 > config.max_length;
    Ok(if is_hard { Choice { is_hard, ..diagonal } } else { Choice { cutoff: best.0, is_hard } })
}

/// Draws and gradients centred, in coordinates in which both have the same standard deviations.
struct Standardised {
    dim: usize,
    scales: Vec<f64>,
    /// n × d.
    positions: Array2<f64>,
    gradients: Array2<f64>,
}

/// Eigenpairs of the covariance in standardised coordinates.
struct Spectrum {
    eigenvalues: Vec<f64>,
    /// One vector of length d after the other.
    eigenvectors: Vec<f64>,
}

impl Standardised {
    /// The draws from `start` to `end`; `None` if no coordinate varies.
    fn new(draws: &DrawBuffer, start: usize, end: usize) -> Option<Self> {
        let (dim, n) = (draws.dim, end - start);
        if n < 2 {
            return None;
        }
        let view = |all: &[f64]| ArrayView2::from_shape((n, dim), &all[start * dim..end * dim]).map(|rows| rows.to_owned()).ok();
        let (mut positions, mut gradients) = (view(&draws.positions)?, view(&draws.gradients)?);
        let mut scales = vec![1.0; dim];
        let mut varies = false;
        for j in 0..dim {
            let sd_position = centre(positions.column_mut(j));
            let sd_gradient = centre(gradients.column_mut(j));
            let scale = (sd_position / sd_gradient).sqrt();
            if scale > 0.0 && scale.is_finite() {
                scales[j] = scale.clamp(1e-150, 1e150);
                varies = true;
            } else if sd_position > 0.0 && sd_position.is_finite() {
                scales[j] = sd_position;
                varies = true;
            }
            positions.column_mut(j).mapv_inplace(|x| x / scales[j]);
            gradients.column_mut(j).mapv_inplace(|g| g * scales[j]);
        }
        let finite = positions.iter().chain(&gradients).all(|x| x.is_finite());
        (varies && finite).then_some(Self { dim, scales, positions, gradients })
    }

    fn n(&self) -> usize {
        self.positions.nrows()
    }

    /// Eigenpairs of the geometric mean of cov(y) and cov(h)⁻¹, in the whole space or in the span of the leading directions of both;
    /// `None` if the draws are degenerate.
    fn spectrum(&self, config: &MetricEstimateConfig) -> Result<Option<Spectrum>, Error> {
        let d = self.dim;
        if d <= config.max_dense_dim && self.n() > d + 1 {
            let (a, b) = (covariance(&self.positions), covariance(&self.gradients));
            let Some(Eigen { values, vectors }) = geometric_mean(a, b)? else { return Ok(None) };
            return Ok(Some(Spectrum { eigenvalues: values.to_vec(), eigenvectors: vectors.t().iter().copied().collect() }));
        }
        let n_directions = config.max_rank.min(self.n() / 2).max(1);
        let mut basis = Vec::new();
        leading_directions(&self.positions, n_directions, &mut basis)?;
        leading_directions(&self.gradients, n_directions, &mut basis)?;
        let m = basis.len();
        if m == 0 {
            return Ok(None);
        }
        let basis = Array2::from_shape_fn((d, m), |(i, j)| basis[j][i]);
        let (a, b) = (covariance(&self.positions.dot(&basis)), covariance(&self.gradients.dot(&basis)));
        // Directions known from few draws are pulled to the diagonal's unit eigenvalue.
        let pull = 0.05 / self.n() as f64;
        let shrunk = |mut c: Array2<f64>| {
            c.mapv_inplace(|x| x * (1.0 - pull));
            c.diag_mut().mapv_inplace(|x| x + pull);
            c
        };
        let Some(Eigen { values, vectors }) = geometric_mean(shrunk(a), shrunk(b))? else { return Ok(None) };
        let eigenvectors = basis.dot(&vectors);
        Ok(Some(Spectrum { eigenvalues: values.to_vec(), eigenvectors: eigenvectors.t().iter().copied().collect() }))
    }

    fn metric(&self, spectrum: Option<&Spectrum>, cutoff: f64) -> Result<Metric, Error> {
        let d = self.dim;
        let variances = || self.scales.iter().map(|s| s * s).collect();
        let Some(spectrum) = spectrum.filter(|_| cutoff.is_finite()) else { return Metric::diagonal(variances()) };
        let kept: Vec<usize> = spectrum.kept(cutoff).collect();
        if kept.is_empty() {
            return Metric::diagonal(variances());
        }
        let vector = |k: usize| &spectrum.eigenvectors[k * d..(k + 1) * d];
        if 2 * kept.len() > d {
            let mut covariance = vec![0.0; d * d];
            for i in 0..d {
                covariance[i * d + i] = 1.0;
            }
            for &k in &kept {
                let (u, lambda) = (vector(k), spectrum.eigenvalues[k]);
                for i in 0..d {
                    for j in 0..d {
                        covariance[i * d + j] += (lambda - 1.0) * u[i] * u[j];
                    }
                }
            }
            for i in 0..d {
                for j in 0..d {
                    covariance[i * d + j] *= self.scales[i] * self.scales[j];
                }
            }
            if let Ok(metric) = Metric::dense(d, covariance) {
                return Ok(metric);
            }
        }
        let eigenvalues = kept.iter().map(|&k| spectrum.eigenvalues[k]).collect();
        let eigenvectors = kept.iter().flat_map(|&k| vector(k).iter().copied()).collect();
        Metric::low_rank(self.scales.clone(), eigenvectors, eigenvalues)
    }

    /// √(λmax(cov of draws) · λmax(cov of gradients)) of `held_out` in the coordinates that this metric makes round, relative to a
    /// standard normal's.
    fn trajectory_length(&self, held_out: &Self, spectrum: &Spectrum, cutoff: f64) -> f64 {
        let whiten = |data: &Array2<f64>, scale: &dyn Fn(usize) -> f64, power: f64| {
            let mut rows = data.clone();
            for mut row in rows.rows_mut() {
                row.iter_mut().enumerate().for_each(|(j, x)| *x *= scale(j));
                for k in spectrum.kept(cutoff) {
                    let u = &spectrum.eigenvectors[k * self.dim..(k + 1) * self.dim];
                    let product: f64 = row.iter().zip(u).map(|(x, u)| x * u).sum();
                    let factor = (spectrum.eigenvalues[k].powf(power) - 1.0) * product;
                    row.iter_mut().zip(u).for_each(|(x, u)| *x += factor * u);
                }
            }
            largest_eigenvalue(&rows)
        };
        let draws = whiten(&held_out.positions, &|j| held_out.scales[j] / self.scales[j], -0.5);
        let gradients = whiten(&held_out.gradients, &|j| self.scales[j] / held_out.scales[j], 0.5);
        let noise = 1.0 + (self.dim as f64 / held_out.n() as f64).sqrt();
        (draws * gradients).sqrt() / (noise * noise)
    }
}

impl Spectrum {
    /// Eigenvalues outside [1/cutoff, cutoff].
    fn kept(&self, cutoff: f64) -> impl Iterator<Item = usize> + '_ {
        let outside = move |&k: &usize| self.eigenvalues[k] > cutoff || self.eigenvalues[k] < 1.0 / cutoff;
        (0..self.eigenvalues.len()).filter(outside)
    }
}

/// Subtracts the mean; gives the standard deviation.
fn centre(mut column: ndarray::ArrayViewMut1<'_, f64>) -> f64 {
    let n = column.len() as f64;
    let mean = column.sum() / n;
    column.mapv_inplace(|x| x - mean);
    (column.iter().map(|x| x * x).sum::<f64>() / (n - 1.0)).sqrt()
}

/// Covariance of centred rows.
fn covariance(rows: &Array2<f64>) -> Array2<f64> {
    rows.t().dot(rows) / (rows.nrows() as f64 - 1.0)
}

/// Eigenpairs of A # B⁻¹ = B^-½ (B^½ A B^½)^½ B^-½; `None` if A or B is not positive definite to working precision.
fn geometric_mean(a: Array2<f64>, b: Array2<f64>) -> Result<Option<Eigen>, Error> {
    let Some([root, inverse_root]) = root_and_inverse(&b)? else { return Ok(None) };
    let middle = symmetric(&root.dot(&a).dot(&root));
    let Some([middle_root, _]) = root_and_inverse(&middle)? else { return Ok(None) };
    let mean = symmetric(&inverse_root.dot(&middle_root).dot(&inverse_root));
    let eigen = symmetric_eigen(mean.view())?;
    let positive = eigen.values.iter().all(|&v| v > 0.0 && v.is_finite());
    Ok(positive.then_some(eigen))
}

fn symmetric(a: &Array2<f64>) -> Array2<f64> {
    (a + &a.t()) * 0.5
}

/// The symmetric square root and its inverse; eigenvalues are kept above 1e-12 of the largest.
fn root_and_inverse(a: &Array2<f64>) -> Result<Option<[Array2<f64>; 2]>, Error> {
    let eigen = symmetric_eigen(a.view())?;
    let largest = eigen.values.iter().fold(0.0_f64, |m, &v| m.max(v));
    if !(largest > 0.0 && largest.is_finite()) {
        return Ok(None);
    }
    let root = eigen.values.mapv(|v| v.max(1e-12 * largest).sqrt());
    let scaled = |d: &ndarray::Array1<f64>| (&eigen.vectors * d).dot(&eigen.vectors.t());
    Ok(Some([scaled(&root), scaled(&root.mapv(f64::recip))]))
}

/// Appends to an orthonormal basis the `k` leading principal directions of centred rows, orthogonalised.
fn leading_directions(rows: &Array2<f64>, k: usize, basis: &mut Vec<Vec<f64>>) -> Result<(), Error> {
    let (n, d) = rows.dim();
    // The smaller of the two Gram matrices has the same non-zero eigenvalues.
    let by_rows = n <= d;
    let gram = if by_rows { rows.dot(&rows.t()) } else { rows.t().dot(rows) };
    let eigen = symmetric_eigen(gram.view())?;
    for index in (0..eigen.values.len()).rev().take(k) {
        let vector = eigen.vectors.column(index);
        let mut direction: Vec<f64> = if by_rows { rows.t().dot(&vector).to_vec() } else { vector.to_vec() };
        if normalise(&mut direction) < 1e-10 * eigen.values[eigen.values.len() - 1].max(0.0).sqrt() && by_rows {
            break;
        }
        // Twice, so that the basis is orthonormal to working precision.
        let mut left = 1.0;
        for _ in 0..2 {
            for u in basis.iter() {
                let product: f64 = u.iter().zip(&direction).map(|(a, b)| a * b).sum();
                direction.iter_mut().zip(u).for_each(|(x, u)| *x -= product * u);
            }
            left *= normalise(&mut direction);
        }
        if left > 1e-6 && basis.len() < d {
            basis.push(direction);
        }
    }
    Ok(())
}

/// Scales to length 1; gives the former length.
fn normalise(x: &mut [f64]) -> f64 {
    let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
    if length > 0.0 {
        x.iter_mut().for_each(|x| *x /= length);
    }
    length
}

/// Largest eigenvalue of the covariance of centred rows, by power iteration from a fixed start.
fn largest_eigenvalue(rows: &Array2<f64>) -> f64 {
    let (n, d) = rows.dim();
    let mut v = ndarray::Array1::from_shape_fn(d, |i| 1.0 + 0.5 * ((i as f64) * 1.618).sin());
    let mut eigenvalue = 0.0;
    for _ in 0..30 {
        let norm = v.dot(&v).sqrt();
        if !(norm > 0.0 && norm.is_finite()) {
            return eigenvalue;
        }
        v /= norm;
        v = rows.t().dot(&rows.dot(&v)) / (n as f64 - 1.0);
        eigenvalue = v.dot(&v).sqrt();
    }
    eigenvalue
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// Draws of N(0, L Lᵀ) with the gradients of its log density.
    fn gaussian(l: &Array2<f64>, n: usize, seed: u64) -> DrawBuffer {
        let d = l.nrows();
        let covariance = l.dot(&l.t());
        let eigen = symmetric_eigen(covariance.view()).unwrap();
        let precision = (&eigen.vectors / &eigen.values).dot(&eigen.vectors.t());
        let mut rng = Stream::new(seed);
        let mut buffer = DrawBuffer::new(d);
        for _ in 0..n {
            let mut z = ndarray::Array1::zeros(d);
            rng.fill_normal(z.as_slice_mut().unwrap());
            let x = l.dot(&z);
            let g = -precision.dot(&x);
            buffer.push(x.as_slice().unwrap(), g.as_slice().unwrap());
        }
        buffer
    }

    /// M⁻¹ column by column.
    fn inverse_mass(metric: &Metric) -> Array2<f64> {
        let d = metric.dim();
        let mut out = Array2::zeros((d, d));
        for j in 0..d {
            let mut e = vec![0.0; d];
            e[j] = 1.0;
            let mut column = vec![0.0; d];
            metric.velocity(&e, &mut column);
            out.column_mut(j).assign(&ndarray::Array1::from(column));
        }
        out
    }

    fn skewed_factor(d: usize) -> Array2<f64> {
        Array2::from_shape_fn((d, d), |(i, j)| match i.cmp(&j) {
            std::cmp::Ordering::Greater => 0.9 * ((i * 3 + j) as f64).sin() * (i as f64 + 1.0),
            std::cmp::Ordering::Equal => 10_f64.powi(i as i32 % 4 - 2),
            std::cmp::Ordering::Less => 0.0,
        })
    }

    #[test]
    fn the_covariance_of_a_gaussian_is_found_exactly_from_few_draws() {
        let l = skewed_factor(5);
        let truth = l.dot(&l.t());
        let draws = gaussian(&l, 12, 3);
        let config = MetricEstimateConfig { form: MetricForm::Dense, ..MetricEstimateConfig::default() };
        let metric = estimate_metric(&draws, &config).unwrap().unwrap().metric;
        let found = inverse_mass(&metric);
        for (a, b) in found.iter().zip(&truth) {
            // Exact in exact arithmetic; the condition number of the problem is about 1e5.
            assert!((a - b).abs() < 1e-6 * truth[[4, 4]], "{found:?} {truth:?}");
        }
    }

    #[test]
    fn correlations_are_kept_where_they_matter_and_only_there() {
        let d = 6;
        let correlated = Array2::from_shape_fn((d, d), |(i, j)| {
            if i == j {
                if i == 1 { 0.02 } else { 1.0 }
            } else if (i, j) == (1, 0) {
                1.0
            } else {
                0.0
            }
        });
        let config = MetricEstimateConfig::default();
        let metric = estimate_metric(&gaussian(&correlated, 100, 1), &config).unwrap().unwrap().metric;
        assert!(!matches!(metric, Metric::Diagonal(_)), "{metric:?}");
        let independent = Array2::from_diag(&ndarray::array![1.0, 20.0, 0.1, 3.0, 1e-5, 1e6]);
        let metric = estimate_metric(&gaussian(&independent, 100, 1), &config).unwrap().unwrap().metric;
        let Metric::Diagonal(_) = &metric else { panic!("{metric:?}") };
        for (variance, sd) in metric.variances().iter().zip(independent.diag()) {
            approx::assert_relative_eq!(*variance, sd * sd, max_relative = 1e-9);
        }
    }

    #[test]
    fn a_long_vector_with_one_strong_direction_gets_a_low_rank_metric() {
        let d = 150;
        let mut l = Array2::eye(d);
        l.column_mut(0).fill(1.0);
        let metric = estimate_metric(&gaussian(&l, 80, 5), &MetricEstimateConfig::default()).unwrap().unwrap().metric;
        let Metric::LowRank(low_rank) = &metric else { panic!("{metric:?}") };
        assert!(low_rank.rank() >= 1);
        // Variance along the direction of ones: truth d + 1 for the mean direction, 1 elsewhere.
        let ones = vec![1.0 / (d as f64).sqrt(); d];
        let mut out = vec![0.0; d];
        metric.velocity(&ones, &mut out);
        let along: f64 = out.iter().zip(&ones).map(|(a, b)| a * b).sum();
        assert!(along > 0.5 * d as f64 && along < 2.0 * d as f64, "{along}");
    }

    #[test]
    fn draws_that_do_not_move_give_none_and_constants_do_not_spoil_the_rest() {
        let mut still = DrawBuffer::new(2);
        for _ in 0..20 {
            still.push(&[1.0, 2.0], &[0.5, 0.5]);
        }
        assert!(estimate_metric(&still, &MetricEstimateConfig::default()).unwrap().is_none());
        let mut half = DrawBuffer::new(2);
        let mut rng = Stream::new(4);
        for _ in 0..50 {
            let z = rng.normal();
            half.push(&[3.0 * z, 1.0], &[-z / 3.0, 0.0]);
        }
        let metric = estimate_metric(&half, &MetricEstimateConfig::default()).unwrap().unwrap().metric;
        approx::assert_relative_eq!(metric.variances()[0], 9.0, max_relative = 1e-9);
        assert!(metric.variances()[1].is_finite());
    }

    #[test]
    fn a_funnel_is_called_hard_and_a_correlated_normal_is_not() {
        // x₁ ~ N(0, 3), x₂ … | x₁ ~ N(0, exp(x₁/2)): Neal's funnel, with its gradient.
        let mut funnel = DrawBuffer::new(5);
        let mut rng = Stream::new(8);
        for _ in 0..600 {
            let log_scale = 3.0 * rng.normal();
            let mut x = vec![log_scale; 5];
            let mut g = vec![-log_scale / 9.0; 5];
            for i in 1..5 {
                let z = rng.normal();
                x[i] = (0.5 * log_scale).exp() * z;
                g[i] = -x[i] * (-log_scale).exp();
                g[0] += 0.5 * (z * z - 1.0);
            }
            funnel.push(&x, &g);
        }
        let config = MetricEstimateConfig::default();
        let estimate = estimate_metric(&funnel, &config).unwrap().unwrap();
        assert!(estimate.is_hard && matches!(estimate.metric, Metric::Diagonal(_)));
        let estimate = estimate_metric(&gaussian(&skewed_factor(5), 600, 1), &config).unwrap().unwrap();
        assert!(!estimate.is_hard && matches!(estimate.metric, Metric::Dense(_)));
    }

    #[test]
    fn the_buffer_forgets_the_oldest() {
        let mut buffer = DrawBuffer::new(1);
        for i in 0..5 {
            buffer.push(&[f64::from(i)], &[0.0]);
        }
        buffer.push(&[1.0, 2.0], &[0.0]);
        buffer.keep_last(2);
        assert_eq!((buffer.len(), buffer.positions.as_slice()), (2, &[3.0, 4.0][..]));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let config = MetricEstimateConfig { cutoff: f64::NAN, ..MetricEstimateConfig::default() };
        assert!(matches!(config.validate(), Err(Error::InvalidSetting { setting: "cutoff", .. })));
        assert!(metric_from_gradient(&[]).is_err());
        assert_eq!(metric_from_gradient(&[0.0, -4.0, f64::NAN]).unwrap().variances(), [1.0, 0.25, 1.0]);
    }
}
