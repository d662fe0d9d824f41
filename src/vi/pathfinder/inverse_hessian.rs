//! What a path has learned of the curvature: a diagonal and the last pairs of steps and gradient differences.

use std::collections::VecDeque;

use ndarray::Array2;

use super::spiked_normal::SpikedNormal;
use crate::error::Error;
use crate::linalg;

/// Cosine between step and gradient difference, in the metric of the diagonal, below which a pair is taken for rounding.
const MIN_COSINE: f64 = 1e-8;

/// A step s and the difference y of the gradients of the *negative* log density along it.
#[derive(Debug, Clone)]
struct Pair {
    step: Vec<f64>,
    difference: Vec<f64>,
    /// y's > 0
    product: f64,
}

/// The BFGS estimate H of the inverse of the negative Hessian: diag(α), updated by the last pairs.
#[derive(Debug, Clone)]
pub(super) struct InverseHessian {
    diagonal: Vec<f64>,
    pairs: VecDeque<Pair>,
    history: usize,
}

impl InverseHessian {
    pub(super) fn new(diagonal: Vec<f64>, history: usize) -> Self {
        Self { diagonal, pairs: VecDeque::new(), history }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Forgets the pairs, the diagonal remains.
    pub(super) fn forget(&mut self) {
        self.pairs.clear();
    }

    /// Takes on a pair, if the curvature along it is positive: the diagonal becomes that of the BFGS update of itself (Gilbert & Lemaréchal 1989,
    /// <https://doi.org/10.1007/BF01589113>), and the pair replaces the oldest one.
    pub(super) fn update(&mut self, step: Vec<f64>, difference: Vec<f64>) {
        let product: f64 = step.iter().zip(&difference).map(|(s, y)| s * y).sum();
        let weighted = |x: &[f64], power: i32| -> f64 { x.iter().zip(&self.diagonal).map(|(x, a)| x * x * a.powi(power)).sum() };
        // y'Ay and s'A⁻¹s
        let (of_difference, of_step) = (weighted(&difference, 1), weighted(&step, -1));
        if !(product > MIN_COSINE * of_difference.sqrt() * of_step.sqrt()) {
            return;
        }
        for ((a, s), y) in self.diagonal.iter_mut().zip(&step).zip(&difference) {
            let remaining = (1.0 - s * s / (*a * of_step)).max(0.0);
            let updated = (of_difference / *a * remaining + y * y) / product;
            // Neither this coordinate nor its gradient moved: it keeps what it has.
            if updated > 0.0 && updated.is_finite() && updated.recip() > 0.0 {
                *a = updated.recip();
            }
        }
        if self.pairs.len() == self.history {
            self.pairs.pop_front();
        }
        self.pairs.push_back(Pair { step, difference, product });
    }

    /// H g, written to `out`, by the two-loop recursion.
    pub(super) fn times(&self, gradient: &[f64], out: &mut [f64]) {
        out.copy_from_slice(gradient);
        let mut coefficients = vec![0.0; self.pairs.len()];
        for (pair, coefficient) in self.pairs.iter().zip(&mut coefficients).rev() {
            *coefficient = dot(&pair.step, out) / pair.product;
            out.iter_mut().zip(&pair.difference).for_each(|(x, y)| *x -= *coefficient * y);
        }
        out.iter_mut().zip(&self.diagonal).for_each(|(x, a)| *x *= a);
        for (pair, coefficient) in self.pairs.iter().zip(&coefficients) {
            let factor = coefficient - dot(&pair.difference, out) / pair.product;
            out.iter_mut().zip(&pair.step).for_each(|(x, s)| *x += factor * s);
        }
    }

    /// The normal distribution N(`mean`, H).
    ///
    /// ```text
    /// H = A + B γ Bᵀ,   B = (S, A Y),   γ = ( R⁻ᵀ (D + YᵀAY) R⁻¹   -R⁻ᵀ ;  -R⁻¹   0 ),   R = upper triangle of SᵀY,   D = diag(SᵀY)
    /// A^(-1/2) B = Q P,   I + P γ Pᵀ = E diag(λ) Eᵀ,   W = Q E
    /// ```
    /// Source: Zhang et al. 2022, <https://arxiv.org/abs/2108.03782>, with eigenvalues in place of a Cholesky factor.
    ///
    /// # Errors
    /// [`Error::NotFinite`], [`Error::NoConvergence`], [`Error::InvalidSetting`] if rounding has left no positive definite H.
    pub(super) fn normal(&self, mean: &[f64]) -> Result<SpikedNormal, Error> {
        let (dim, n) = (mean.len(), self.pairs.len());
        let scales: Vec<f64> = self.diagonal.iter().map(|a| a.sqrt()).collect();
        if n == 0 {
            return SpikedNormal::new(mean, scales, Vec::new(), Vec::new());
        }
        let mut directions = Array2::zeros((dim, 2 * n));
        for (j, pair) in self.pairs.iter().enumerate() {
            for i in 0..dim {
                directions[[i, j]] = pair.step[i] / scales[i];
                directions[[i, n + j]] = scales[i] * pair.difference[i];
            }
        }
        let linalg::Qr { q, r } = linalg::qr(directions.view())?;
        let projected = r.dot(&self.middle(&directions)).dot(&r.t());
        let eigen = linalg::symmetric_eigen((&projected + &Array2::<f64>::eye(projected.nrows())).view())?;
        // Rows of Wᵀ.
        let directions = eigen.vectors.t().dot(&q.t());
        SpikedNormal::new(mean, scales, directions.iter().copied().collect(), eigen.values.to_vec())
    }

    /// γ, from A^(-1/2) S and A^(1/2) Y side by side: their products are those of S and Y.
    fn middle(&self, directions: &Array2<f64>) -> Array2<f64> {
        let n = self.pairs.len();
        let products = directions.t().dot(directions);
        // R⁻¹, column by column.
        let mut inverse = Array2::<f64>::zeros((n, n));
        for j in 0..n {
            for i in (0..=j).rev() {
                let known: f64 = (i + 1..=j).map(|k| products[[i, n + k]] * inverse[[k, j]]).sum();
                inverse[[i, j]] = (f64::from(u8::from(i == j)) - known) / products[[i, n + i]];
            }
        }
        let mut inner = products.slice(ndarray::s![n.., n..]).to_owned();
        for i in 0..n {
            inner[[i, i]] += products[[i, n + i]];
        }
        let block = inverse.t().dot(&inner).dot(&inverse);
        Array2::from_shape_fn((2 * n, 2 * n), |(i, j)| match (i < n, j < n) {
            (true, true) => block[[i, j]],
            (true, false) => -inverse[[j - n, i]],
            (false, true) => -inverse[[i - n, j]],
            (false, false) => 0.0,
        })
    }
}

pub(super) fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use crate::vi::approximation::Approximation;

    /// Pairs of the quadratic with this symmetric Hessian.
    fn learned(hessian: &Array2<f64>, n_pairs: usize, history: usize) -> InverseHessian {
        let dim = hessian.nrows();
        let mut estimate = InverseHessian::new(vec![1.0; dim], history);
        let mut rng = Stream::new(3);
        for _ in 0..n_pairs {
            let step: Vec<f64> = (0..dim).map(|_| rng.normal()).collect();
            let difference = hessian.dot(&ndarray::ArrayView1::from(&step)).to_vec();
            estimate.update(step, difference);
        }
        estimate
    }

    #[test]
    fn the_compact_form_is_the_recursion() {
        let hessian = ndarray::array![[4.0, 1.0, 0.0, 0.3], [1.0, 2.0, -0.5, 0.0], [0.0, -0.5, 1.0, 0.1], [0.3, 0.0, 0.1, 9.0]];
        // 2 · 1 directions in ℝ⁴, and 2 · 3 of them, more than there are dimensions.
        for history in [1, 3] {
            let estimate = learned(&hessian, 5, history);
            let covariance = estimate.normal(&[0.0; 4]).unwrap().covariance().unwrap();
            let mut column = [0.0; 4];
            for j in 0..4 {
                let mut unit = [0.0; 4];
                unit[j] = 1.0;
                estimate.times(&unit, &mut column);
                assert!(column.iter().zip(covariance.column(j)).all(|(a, b)| (a - b).abs() < 1e-12), "{column:?} {covariance}");
            }
            // The secant equation H y = s of the latest pair.
            let last = estimate.pairs.back().unwrap();
            estimate.times(&last.difference, &mut column);
            assert!(column.iter().zip(&last.step).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }

    #[test]
    fn one_dimension_is_exact_and_flat_or_convex_pairs_are_left_out() {
        let mut estimate = InverseHessian::new(vec![1.0], 5);
        estimate.update(vec![1.0], vec![0.0]);
        estimate.update(vec![1.0], vec![-2.0]);
        estimate.update(vec![1.0], vec![f64::NAN]);
        assert!(estimate.is_empty());
        estimate.update(vec![-0.5], vec![-2.0]);
        assert!((estimate.normal(&[0.0]).unwrap().variances()[0] - 0.25).abs() < 1e-15);
    }
}
