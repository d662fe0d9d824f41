//! Independent component analysis.

use ndarray::{Array2, ArrayView2};

use super::check_data;
use crate::error::{DensityError, Error, check};
use crate::math::vectorised::exp_in_place;
use crate::model::{PriorAndLikelihood, Variable};
use crate::rng::Stream;

/// Independent component analysis: the unmixing matrix W of sources that are independent with hyperbolic secant densities.
///
/// ```text
/// W[k, j] ~ N(0, sd²)
/// log p(X | W) = n ln|det W| + Σᵢ Σₖ ln p((W xᵢ)ₖ),    p(s) = 1 / (π cosh s)
/// ∇ log p(X | W) = n W⁻ᵀ - tanh(W X) Xᵀ
/// ```
/// X holds one component per row and one observation per column. Sources come in any order and with any sign, so the posterior has 2ᵖ p! modes
/// alike; [`amari_distance`] does not see which.
///
/// The likelihood may count by a weight: with 1/n the score is that of the experiment of Korba et al. 2021
/// (<https://arxiv.org/abs/2105.09994>), -(tanh(W X) Xᵀ/n - W⁻ᵀ) - W/sd², whose density is the prior times the n-th root of the likelihood.
///
/// ```
/// use posterity::model::{Target, WithParts};
/// use posterity::model::zoo::{Ica, amari_distance};
/// let (ica, a) = Ica::simulated(2, 500, 1)?;
/// assert_eq!(WithParts(ica).dim()?, 4);
/// let inverse = ndarray::array![[a[[1, 1]], -a[[0, 1]]], [-a[[1, 0]], a[[0, 0]]]] / (a[[0, 0]] * a[[1, 1]] - a[[0, 1]] * a[[1, 0]]);
/// assert!(amari_distance(inverse.view(), a.view())? < 1e-12);
/// assert!(amari_distance(ndarray::Array2::eye(2).view(), a.view())? > 0.1);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Ica {
    x: Array2<f64>,
    sd: f64,
    weight: f64,
}

impl Ica {
    /// Observations `x` of shape (component, observation), and the prior standard deviation of the entries of W.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`], [`Error::InvalidSetting`] for an `sd` that is not positive.
    pub fn new(x: Array2<f64>, sd: f64) -> Result<Self, Error> {
        check_data("x", &x.iter().copied().collect::<Vec<_>>())?;
        check::positive("sd", sd)?;
        Ok(Self { x: x.as_standard_layout().into_owned(), sd, weight: 1.0 })
    }

    /// The weight of the likelihood, positive: 1 for the posterior, 1/n for one observation's worth of information.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`].
    pub fn likelihood_weight(mut self, weight: f64) -> Result<Self, Error> {
        check::positive("likelihood_weight", weight)?;
        self.weight = weight;
        Ok(self)
    }

    /// Mixed Laplace sources of scale 1, and the mixing matrix A, the inverse of a matrix of N(0, 1) entries: X = A S. Prior standard deviation 1.
    ///
    /// # Errors
    /// [`Error::Empty`] for no components or observations.
    pub fn simulated(n_components: usize, n_observations: usize, seed: u64) -> Result<(Self, Array2<f64>), Error> {
        let mut rng = Stream::new(seed);
        let unmixing = Array2::from_shape_simple_fn((n_components, n_components), || rng.normal());
        let sources = Array2::from_shape_simple_fn((n_components, n_observations), || {
            let sign = if rng.coin() { 1.0 } else { -1.0 };
            -sign * rng.uniform_positive().ln()
        });
        let (inverse, _) = inverse(unmixing.iter().copied().collect(), n_components)
            .map_err(|pivot| Error::Singular { what: "unmixing matrix", pivot })?;
        let mixing = Array2::from_shape_fn((n_components, n_components), |(i, j)| inverse[i * n_components + j]);
        Ok((Self::new(mixing.dot(&sources), 1.0)?, mixing))
    }

    fn n_components(&self) -> usize {
        self.x.nrows()
    }
}

impl PriorAndLikelihood for Ica {
    fn dim(&self) -> usize {
        self.n_components() * self.n_components()
    }

    fn variables(&self) -> Vec<Variable> {
        vec![Variable::new("W", &[self.n_components(), self.n_components()])]
    }

    fn log_prior(&self, w: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let mut squares = 0.0;
        for (g, w) in gradient.iter_mut().zip(w) {
            *g = -w / (self.sd * self.sd);
            squares += w * w;
        }
        let log_normaliser = (self.sd * (2.0 * std::f64::consts::PI).sqrt()).ln();
        Ok(-0.5 * squares / (self.sd * self.sd) - w.len() as f64 * log_normaliser)
    }

    /// -∞ for a singular matrix.
    fn log_likelihood(&self, w: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let (p, n) = self.x.dim();
        let Ok((inverse, log_determinant)) = inverse(w.to_vec(), p) else { return Ok(f64::NEG_INFINITY) };
        let mut log_sources = 0.0;
        let (mut sources, mut decays) = (vec![0.0; n], vec![0.0; n]);
        for k in 0..p {
            sources.fill(0.0);
            for (w, x) in w[k * p..(k + 1) * p].iter().zip(self.x.rows()) {
                sources.iter_mut().zip(x).for_each(|(s, x)| *s += w * x);
            }
            decays.iter_mut().zip(&sources).for_each(|(e, s)| *e = -2.0 * s.abs());
            exp_in_place(&mut decays);
            log_sources += log_secants(&sources, &decays);
            for (s, e) in sources.iter_mut().zip(&decays) {
                *s = s.signum() * (1.0 - e) / (1.0 + e);
            }
            for (j, x) in self.x.rows().into_iter().enumerate() {
                let moment: f64 = sources.iter().zip(x).map(|(tanh, x)| tanh * x).sum();
                gradient[k * p + j] = self.weight * (n as f64 * inverse[j * p + k] - moment);
            }
        }
        Ok(self.weight * (n as f64 * log_determinant + log_sources))
    }

    fn sample_prior(&self, rng: &mut Stream, position: &mut [f64]) -> bool {
        position.iter_mut().for_each(|w| *w = self.sd * rng.normal());
        true
    }
}

/// Σ ln(1 / (π cosh s)) with `decays` = e^(-2|s|): ln cosh s = |s| + ln(1 + e^(-2|s|)) - ln 2, one logarithm for a block of factors up to 2.
fn log_secants(sources: &[f64], decays: &[f64]) -> f64 {
    let constant = std::f64::consts::FRAC_PI_2.ln() * sources.len() as f64;
    let sizes: f64 = sources.iter().map(|s| s.abs()).sum();
    let logs: f64 = decays.chunks(512).map(|block| block.iter().map(|e| 1.0 + e).product::<f64>().ln()).sum();
    -constant - sizes - logs
}

/// A⁻¹ and ln|det A| of a row-major matrix by Gauss-Jordan elimination with row pivots; the index of the first pivot that is 0.
fn inverse(mut a: Vec<f64>, n: usize) -> Result<(Vec<f64>, f64), usize> {
    let mut inverse: Vec<f64> = (0..n * n).map(|at| f64::from(u8::from(at / n == at % n))).collect();
    let mut log_determinant = 0.0;
    for column in 0..n {
        let size = |row: &usize| a[row * n + column].abs();
        let pivot = (column..n).max_by(|x, y| size(x).total_cmp(&size(y))).unwrap_or(column);
        let value = a[pivot * n + column];
        if !(value.abs() > 0.0) {
            return Err(column);
        }
        log_determinant += value.abs().ln();
        for matrix in [&mut a, &mut inverse] {
            for k in 0..n {
                matrix.swap(column * n + k, pivot * n + k);
                matrix[column * n + k] /= value;
            }
        }
        for row in (0..n).filter(|&row| row != column) {
            let factor = a[row * n + column];
            for matrix in [&mut a, &mut inverse] {
                for k in 0..n {
                    matrix[row * n + k] -= factor * matrix[column * n + k];
                }
            }
        }
    }
    Ok((inverse, log_determinant))
}

/// Amari's distance of an unmixing matrix W from the inverse of the mixing matrix A: with P = |W A|,
///
/// ```text
/// 1/(2p) Σᵢ (Σⱼ Pᵢⱼ / maxⱼ Pᵢⱼ - 1) + 1/(2p) Σⱼ (Σᵢ Pᵢⱼ / maxᵢ Pᵢⱼ - 1)
/// ```
/// from 0, if W finds the sources in any order and on any scale, to p - 1.
///
/// Some programs take P², the squared entries of W A, in place of P. Their figures are smaller, for random matrices by a factor of about 0.6, and
/// not comparable with these.
///
/// Source: Amari, Cichocki & Yang 1996, *A New Learning Algorithm for Blind Signal Separation* (NeurIPS 8), who define it by |W A|, in the form of
/// Bach & Jordan 2002, <https://www.jmlr.org/papers/v3/bach02a.html>, who divide by 2p.
///
/// # Errors
/// [`Error::Empty`]; [`Error::Dimension`] unless both are square and of one size; [`Error::NotFinite`], also for a row or column of W A that is 0.
pub fn amari_distance(unmixing: ArrayView2<'_, f64>, mixing: ArrayView2<'_, f64>) -> Result<f64, Error> {
    let p = mixing.nrows();
    let sizes = [mixing.ncols(), unmixing.nrows(), unmixing.ncols()];
    if let Some(&found) = sizes.iter().find(|&&size| size != p) {
        return Err(Error::Dimension { what: "order of the matrices", expected: p, found });
    }
    if p == 0 {
        return Err(Error::Empty { what: "mixing matrix" });
    }
    let product = unmixing.dot(&mixing).mapv(f64::abs);
    let excess = |lines: ndarray::iter::Lanes<'_, f64, ndarray::Ix1>| -> f64 {
        lines.into_iter().map(|line| line.sum() / line.fold(0.0, |max: f64, &x| max.max(x)) - 1.0).sum()
    };
    let value = (excess(product.rows()) + excess(product.columns())) / (2.0 * p as f64);
    if value.is_finite() { Ok(value) } else { Err(Error::NotFinite { what: "Amari distance", index: 0, value }) }
}
