//! The metric of a Hamiltonian system: the covariance of its momentum, stored through its inverse.
//!
//! ```text
//! K(p) = ½ pᵀ M⁻¹ p        p ~ N(0, M)        dq/dt = M⁻¹ p
//! diagonal   M⁻¹ = diag(v)                        O(d)    v: variances of the target
//! dense      M⁻¹ = Σ = L Lᵀ                       O(d²)   Σ: covariance of the target
//! low rank   M⁻¹ = D (I + U (Λ − I) Uᵀ) D         O(dk)   D: scales; U (d × k) orthonormal, Λ: the k variances along U
//! ```
//! Sampling is fastest when M⁻¹ is the target's covariance. Diagonal is right for uncorrelated posteriors, low rank where few directions
//! carry the correlation, dense for small d only.
//!
//! *References* Neal 2011, <https://arxiv.org/abs/1206.1901>; Betancourt 2017, <https://arxiv.org/abs/1701.02434>; for the low-rank form
//! nuts-rs, <https://github.com/pymc-devs/nuts-rs>.

use serde::{Deserialize, Serialize};

use super::{axpy, dot};
use crate::error::Error;
use crate::rng::Stream;

/// The inverse mass matrix M⁻¹ in one of three forms.
///
/// ```
/// use posterity::kernels::Metric;
/// let metric = Metric::diagonal(vec![4.0, 1.0])?;
/// let mut velocity = [0.0; 2];
/// metric.velocity(&[1.0, 3.0], &mut velocity);
/// assert_eq!(velocity, [4.0, 3.0]);
/// assert_eq!(metric.kinetic_energy(&[1.0, 3.0], &mut velocity), 6.5);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub enum Metric {
    /// Variances only.
    Diagonal(DiagonalMetric),
    /// A full covariance.
    Dense(DenseMetric),
    /// Scales and a few directions.
    LowRank(LowRankMetric),
}

/// A diagonal inverse mass matrix; built by [`Metric::diagonal`].
#[derive(Debug, Clone, PartialEq)]
pub struct DiagonalMetric {
    variances: Vec<f64>,
    momentum_scales: Vec<f64>,
}

/// A dense inverse mass matrix; built by [`Metric::dense`].
#[derive(Debug, Clone, PartialEq)]
pub struct DenseMetric {
    dim: usize,
    covariance: Vec<f64>,
    /// Lower Cholesky factor, row-major.
    cholesky: Vec<f64>,
}

/// A low-rank update of a diagonal inverse mass matrix; built by [`Metric::low_rank`].
#[derive(Debug, Clone, PartialEq)]
pub struct LowRankMetric {
    scales: Vec<f64>,
    /// One eigenvector after the other.
    eigenvectors: Vec<f64>,
    eigenvalues: Vec<f64>,
}

/// What is saved of a metric; loading checks it as the constructors do and recomputes the rest, to the same bits.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Metric")]
enum Stored {
    Diagonal { variances: Vec<f64> },
    Dense { dim: usize, covariance: Vec<f64> },
    LowRank { scales: Vec<f64>, eigenvectors: Vec<f64>, eigenvalues: Vec<f64> },
}

impl From<Metric> for Stored {
    fn from(metric: Metric) -> Self {
        match metric {
            Metric::Diagonal(DiagonalMetric { variances, .. }) => Self::Diagonal { variances },
            Metric::Dense(DenseMetric { dim, covariance, .. }) => Self::Dense { dim, covariance },
            Metric::LowRank(LowRankMetric { scales, eigenvectors, eigenvalues }) => {
                Self::LowRank { scales, eigenvectors, eigenvalues }
            }
        }
    }
}

impl TryFrom<Stored> for Metric {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self, Error> {
        match stored {
            Stored::Diagonal { variances } => Self::diagonal(variances),
            Stored::Dense { dim, covariance } => Self::dense(dim, covariance),
            Stored::LowRank { scales, eigenvectors, eigenvalues } => Self::low_rank(scales, eigenvectors, eigenvalues),
        }
    }
}

/// Largest deviation from orthonormality that [`Metric::low_rank`] accepts.
const ORTHONORMAL_TOLERANCE: f64 = 1e-8;

impl Metric {
    /// The identity in d dimensions.
    #[must_use]
    pub fn identity(dim: usize) -> Self {
        Self::Diagonal(DiagonalMetric { variances: vec![1.0; dim], momentum_scales: vec![1.0; dim] })
    }

    /// M⁻¹ = diag(`variances`).
    ///
    /// # Errors
    /// [`Error::NoParameters`] for none, [`Error::OutsideSupport`] names an entry that is not positive and finite.
    pub fn diagonal(variances: Vec<f64>) -> Result<Self, Error> {
        check_positive("inverse_mass_matrix", &variances)?;
        let momentum_scales = variances.iter().map(|v| 1.0 / v.sqrt()).collect();
        Ok(Self::Diagonal(DiagonalMetric { variances, momentum_scales }))
    }

    /// M⁻¹ = `covariance`, a symmetric positive definite d × d matrix; row-major, of which the lower triangle is read.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the length is not d², [`Error::NotFinite`] names an entry, [`Error::NotPositiveDefinite`] the pivot.
    pub fn dense(dim: usize, covariance: Vec<f64>) -> Result<Self, Error> {
        if dim == 0 {
            return Err(Error::NoParameters);
        }
        let expected = dim.saturating_mul(dim);
        if covariance.len() != expected {
            return Err(Error::Dimension { what: "entries of the inverse mass matrix", expected, found: covariance.len() });
        }
        check_finite("inverse_mass_matrix", &covariance)?;
        let mut covariance = covariance;
        for i in 0..dim {
            for j in i + 1..dim {
                covariance[i * dim + j] = covariance[j * dim + i];
            }
        }
        let mut cholesky = covariance.clone();
        cholesky_in_place(&mut cholesky, dim)?;
        Ok(Self::Dense(DenseMetric { dim, covariance, cholesky }))
    }

    /// M⁻¹ = D (I + U (Λ − I) Uᵀ) D with D = diag(`scales`) and Λ = diag(`eigenvalues`); `eigenvectors` holds the k columns of U, one
    /// after the other. For k = 0 this is the diagonal metric with variances `scales`².
    ///
    /// # Errors
    /// [`Error::NoParameters`] for d = 0, [`Error::Dimension`] if there are not d·k eigenvector entries or k > d,
    /// [`Error::OutsideSupport`] for a scale or eigenvalue that is not positive and finite, [`Error::NotFinite`] for an eigenvector
    /// entry, [`Error::InvalidSetting`] if the eigenvectors are not orthonormal to 1e-8.
    pub fn low_rank(scales: Vec<f64>, eigenvectors: Vec<f64>, eigenvalues: Vec<f64>) -> Result<Self, Error> {
        check_positive("scales", &scales)?;
        let (d, k) = (scales.len(), eigenvalues.len());
        if k > d {
            return Err(Error::Dimension { what: "number of eigenvalues, at most", expected: d, found: k });
        }
        if eigenvectors.len() != d * k {
            return Err(Error::Dimension { what: "entries of the eigenvectors", expected: d * k, found: eigenvectors.len() });
        }
        if k > 0 {
            check_positive("eigenvalues", &eigenvalues)?;
        }
        check_finite("eigenvectors", &eigenvectors)?;
        for (i, u) in eigenvectors.chunks_exact(d).enumerate() {
            for (j, v) in eigenvectors.chunks_exact(d).enumerate().take(i + 1) {
                let deviation = (dot(u, v) - f64::from(u8::from(i == j))).abs();
                if !(deviation <= ORTHONORMAL_TOLERANCE) {
                    return Err(Error::InvalidSetting {
                        setting: "deviation of the eigenvectors from orthonormality",
                        value: deviation,
                        rule: "at most 1e-8",
                    });
                }
            }
        }
        Ok(Self::LowRank(LowRankMetric { scales, eigenvectors, eigenvalues }))
    }

    /// Dimension d.
    #[must_use]
    pub fn dim(&self) -> usize {
        match self {
            Self::Diagonal(metric) => metric.variances.len(),
            Self::Dense(metric) => metric.dim,
            Self::LowRank(metric) => metric.scales.len(),
        }
    }

    /// The diagonal of M⁻¹: the variances that the metric gives to the coordinates.
    #[must_use]
    pub fn variances(&self) -> Vec<f64> {
        match self {
            Self::Diagonal(metric) => metric.variances.clone(),
            Self::Dense(metric) => metric.covariance.iter().step_by(metric.dim + 1).copied().collect(),
            Self::LowRank(metric) => {
                let mut variances = vec![1.0; metric.scales.len()];
                for (lambda, u) in metric.eigenvalues.iter().zip(metric.eigenvectors.chunks_exact(metric.scales.len())) {
                    variances.iter_mut().zip(u).for_each(|(v, u)| *v += (lambda - 1.0) * u * u);
                }
                variances.iter_mut().zip(&metric.scales).for_each(|(v, s)| *v *= s * s);
                variances
            }
        }
    }

    /// Draws a momentum p ~ N(0, M) into `out` (length d).
    pub fn sample_momentum(&self, rng: &mut Stream, out: &mut [f64]) {
        rng.fill_normal(out);
        match self {
            Self::Diagonal(metric) => scale(out, &metric.momentum_scales),
            // p = L⁻ᵀ z, by rows of L from the last one.
            Self::Dense(DenseMetric { dim, cholesky, .. }) => {
                for i in (0..*dim).rev() {
                    let row = &cholesky[i * dim..=i * dim + i];
                    let (head, tail) = out.split_at_mut(i);
                    tail[0] /= row[i];
                    axpy(-tail[0], &row[..i], head);
                }
            }
            // p = D⁻¹ (I + U (Λ^−½ − I) Uᵀ) z; the columns are orthonormal, so their updates do not see each other.
            Self::LowRank(metric) => {
                metric.stretch(out, |lambda| 1.0 / lambda.sqrt());
                out.iter_mut().zip(&metric.scales).for_each(|(p, s)| *p /= s);
            }
        }
    }

    /// Writes M⁻¹ p to `out` (both of length d).
    pub fn velocity(&self, momentum: &[f64], out: &mut [f64]) {
        match self {
            Self::Diagonal(metric) => {
                for ((v, p), variance) in out.iter_mut().zip(momentum).zip(&metric.variances) {
                    *v = variance * p;
                }
            }
            Self::Dense(metric) => {
                for (v, row) in out.iter_mut().zip(metric.covariance.chunks_exact(metric.dim)) {
                    *v = dot(row, momentum);
                }
            }
            Self::LowRank(metric) => {
                for ((v, p), s) in out.iter_mut().zip(momentum).zip(&metric.scales) {
                    *v = s * p;
                }
                metric.stretch(out, |lambda| lambda);
                scale(out, &metric.scales);
            }
        }
    }

    /// ½ pᵀ M⁻¹ p; M⁻¹ p is left in `velocity` (length d).
    pub fn kinetic_energy(&self, momentum: &[f64], velocity: &mut [f64]) -> f64 {
        self.velocity(momentum, velocity);
        0.5 * dot(momentum, velocity)
    }
}

impl DiagonalMetric {
    /// The diagonal of M⁻¹.
    #[must_use]
    pub fn variances(&self) -> &[f64] {
        &self.variances
    }
}

impl LowRankMetric {
    /// Number of directions, k.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.eigenvalues.len()
    }

    /// x ← (I + U (f(Λ) − I) Uᵀ) x.
    fn stretch(&self, x: &mut [f64], f: impl Fn(f64) -> f64) {
        for (&lambda, u) in self.eigenvalues.iter().zip(self.eigenvectors.chunks_exact(self.scales.len())) {
            axpy((f(lambda) - 1.0) * dot(u, x), u, x);
        }
    }
}

fn scale(x: &mut [f64], factors: &[f64]) {
    x.iter_mut().zip(factors).for_each(|(x, f)| *x *= f);
}

fn check_positive(name: &'static str, values: &[f64]) -> Result<(), Error> {
    if values.is_empty() {
        return Err(Error::NoParameters);
    }
    match values.iter().position(|v| !(*v > 0.0 && v.is_finite())) {
        Some(i) => {
            Err(Error::OutsideSupport { variable: format!("{name}[{i}]"), value: values[i], support: "positive and finite" })
        }
        None => Ok(()),
    }
}

fn check_finite(what: &'static str, values: &[f64]) -> Result<(), Error> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index, value: values[index] }),
        None => Ok(()),
    }
}

/// Overwrites the lower triangle of a row-major symmetric matrix with its Cholesky factor.
fn cholesky_in_place(a: &mut [f64], n: usize) -> Result<(), Error> {
    for i in 0..n {
        let (above, rest) = a.split_at_mut(i * n);
        let row = &mut rest[..n];
        for j in 0..i {
            let other = &above[j * n..j * n + n];
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let pivot = row[i] - dot(&row[..i], &row[..i]);
        if !(pivot > 0.0) {
            return Err(Error::NotPositiveDefinite { what: "the inverse mass matrix", pivot: i });
        }
        row[i] = pivot.sqrt();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three metrics on ℝ³, each with its M⁻¹ written out.
    fn metrics() -> Vec<(Metric, [[f64; 3]; 3])> {
        let dense = [[4.0, 1.0, -0.5], [1.0, 2.0, 0.3], [-0.5, 0.3, 1.0]];
        let (s, u, w, lambda) =
            ([2.0, 0.5, 3.0], [0.6, 0.8, 0.0], [0.8 / 2_f64.sqrt(), -0.6 / 2_f64.sqrt(), 0.5_f64.sqrt()], [9.0, 0.25]);
        let mut low_rank = [[0.0; 3]; 3];
        for i in 0..3 {
            for j in 0..3 {
                let identity = f64::from(u8::from(i == j));
                low_rank[i][j] = s[i] * (identity + (lambda[0] - 1.0) * u[i] * u[j] + (lambda[1] - 1.0) * w[i] * w[j]) * s[j];
            }
        }
        vec![
            (Metric::diagonal(vec![4.0, 1.0, 0.25]).unwrap(), [[4.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.25]]),
            (Metric::dense(3, dense.concat()).unwrap(), dense),
            (Metric::low_rank(s.to_vec(), [u, w].concat(), lambda.to_vec()).unwrap(), low_rank),
        ]
    }

    #[test]
    fn velocity_and_energy_are_the_matrix_products() {
        let p = [0.7, -1.3, 2.1];
        for (metric, inverse_mass) in metrics() {
            let expected: Vec<f64> = inverse_mass.iter().map(|row| row.iter().zip(&p).map(|(a, b)| a * b).sum()).collect();
            let mut velocity = [0.0; 3];
            let energy = metric.kinetic_energy(&p, &mut velocity);
            for (found, expected) in velocity.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-13, "{metric:?}");
            }
            let expected_energy: f64 = 0.5 * p.iter().zip(&expected).map(|(a, b)| a * b).sum::<f64>();
            assert!((energy - expected_energy).abs() < 1e-13);
            for (i, v) in metric.variances().into_iter().enumerate() {
                assert!((v - inverse_mass[i][i]).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn momenta_have_covariance_m() {
        // M⁻¹ Cov(p) = I, so E[(M⁻¹p)ᵢ pⱼ] = δᵢⱼ; the summand's variance is M⁻¹ᵢᵢ Mⱼⱼ + δᵢⱼ, below 50 here: the standard error is below
        // sqrt(50/200,000) = 0.016; five of them.
        for (metric, inverse_mass) in metrics() {
            let mut rng = Stream::new(11);
            let (mut p, mut v, mut sums) = ([0.0; 3], [0.0; 3], [[0.0; 3]; 3]);
            let n = 200_000;
            for _ in 0..n {
                metric.sample_momentum(&mut rng, &mut p);
                for i in 0..3 {
                    v[i] = inverse_mass[i].iter().zip(&p).map(|(a, b)| a * b).sum();
                    for j in 0..3 {
                        sums[i][j] += v[i] * p[j] / f64::from(n);
                    }
                }
            }
            for i in 0..3 {
                for j in 0..3 {
                    assert!((sums[i][j] - f64::from(u8::from(i == j))).abs() < 0.08, "{metric:?} {sums:?}");
                }
            }
        }
    }

    #[test]
    fn bad_entries_are_named() {
        let is = |result: Result<Metric, Error>, words: &str| assert_eq!(result.unwrap_err().to_string(), words);
        is(Metric::diagonal(vec![1.0, f64::NAN]), "inverse_mass_matrix[1]: NaN is outside the support (positive and finite)");
        is(Metric::dense(2, vec![1.0, 2.0, 2.0, 1.0]), "the inverse mass matrix is not positive definite (pivot 1)");
        is(Metric::dense(2, vec![1.0; 3]), "entries of the inverse mass matrix: expected 4, found 3");
        is(Metric::dense(1, vec![f64::INFINITY]), "inverse_mass_matrix[0] is inf");
        is(
            Metric::low_rank(vec![1.0, 1.0], vec![1.0, 0.0], vec![-1.0]),
            "eigenvalues[0]: -1 is outside the support (positive and finite)",
        );
        assert!(matches!(
            Metric::low_rank(vec![1.0; 2], vec![1.0, 1.0], vec![2.0]),
            Err(Error::InvalidSetting { value, .. }) if value == 1.0
        ));
        assert!(matches!(Metric::diagonal(vec![]), Err(Error::NoParameters)));
    }

    #[test]
    fn saved_metrics_load_to_the_same_bits_and_are_checked() {
        for (metric, _) in metrics() {
            let text = serde_json::to_string(&metric).unwrap();
            assert_eq!(serde_json::from_str::<Metric>(&text).unwrap(), metric);
        }
        let bad = r#"{"Diagonal":{"variances":[1.0,-2.0]}}"#;
        let message = serde_json::from_str::<Metric>(bad).unwrap_err().to_string();
        assert!(message.starts_with("inverse_mass_matrix[1]: -2 is outside the support"), "{message}");
    }

    #[test]
    fn rank_zero_is_diagonal() {
        let mut out = [0.0; 2];
        Metric::low_rank(vec![2.0, 3.0], vec![], vec![]).unwrap().velocity(&[1.0, 1.0], &mut out);
        assert_eq!(out, [4.0, 9.0]);
    }
}
