//! The normal distribution whose covariance is diagonal but for a few directions.
//!
//! ```text
//! φ = (μ, ω, B)      z = μ + D ε + B η,   D = diag(e^ω),  ε ~ N(0, I_d),  η ~ N(0, I_r)      Σ = D² + B B'
//! M = I_r + B' D⁻² B,   v = M⁻¹ B' D⁻² (z - μ),   Σ⁻¹ (z - μ) = D⁻² (z - μ - B v)
//! (z - μ)' Σ⁻¹ (z - μ) = |D⁻¹ (z - μ - B v)|² + |v|²,   log |Σ| = log |D²| + log |M|
//! ```
//! The quadratic form is a sum of squares, not the difference of the textbook, so that nothing cancels where B outweighs D. The
//! same v is B' Σ⁻¹ (z - μ), and with P = Σ⁻¹ B = D⁻² B M⁻¹ and s = -Σ⁻¹ (z - μ), the derivatives are
//!
//! ```text
//! ∇ωᵢ log q = e^(2ωᵢ) sᵢ² - 1 + Pᵢ·Bᵢ,   ∇B log q = -s v' - P,   ∇B log |Σ| / 2 = P
//! ```
//! B starts small and random: at B = 0 the bound has no slope in B. *Costs* d r per draw, d r² + r³ per change of parameters.
//! *Not* below about ten dimensions, where [`FullRank`](super::FullRank) has hardly more parameters. *Reference* Ong, Nott &
//! Smith 2018, <https://arxiv.org/abs/1701.03208>.

use ndarray::Array2;

use super::full_rank::{solve, solve_transposed};
use super::mean_field::HALF_LOG_TWO_PI;
use crate::error::{Error, check};
use crate::linalg;
use crate::linalg::dot;
use crate::rng::Stream;
use crate::vi::approximation::{Approximation, Family, check_parameters, check_scales, check_start};
use crate::vi::families::{check_evaluation, check_memory};

/// Share of the variance at the start that is due to B.
const SHARED: f64 = 0.01;

/// The family of normal distributions with covariance D² + B B', where D is diagonal and B has few columns.
///
/// ```
/// use posterity::{rng::Stream, vi::{Approximation, Family, LowRank}};
/// // μ, ω, and B with √100 columns.
/// let q = LowRank::default().start(100, 0.5, &mut Stream::new(1))?;
/// assert_eq!(q.parameters().len(), 1200);
/// assert_eq!(LowRank::default().rank(3).start(100, 0.5, &mut Stream::new(1))?.parameters().len(), 500);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LowRank {
    rank: Option<usize>,
}

impl LowRank {
    /// Columns r of B, from 1 to d; the root of d, rounded.
    #[must_use]
    pub fn rank(mut self, rank: usize) -> Self {
        self.rank = Some(rank);
        self
    }
}

impl Family for LowRank {
    fn name(&self) -> String {
        match self.rank {
            Some(rank) => format!("low-rank normal, rank {rank}"),
            None => "low-rank normal".to_owned(),
        }
    }

    fn start(&self, dim: usize, scale: f64, rng: &mut Stream) -> Result<Box<dyn Approximation>, Error> {
        check_start(dim, scale)?;
        let rank = self.rank.unwrap_or_else(|| (dim as f64).sqrt().round() as usize);
        check::in_range("rank", rank as f64, (1..=dim).contains(&rank), "from 1 to the dimension")?;
        check_memory("rank", rank, (2 + rank).checked_mul(dim))?;
        let mut parameters = vec![0.0; (2 + rank) * dim];
        parameters[dim..2 * dim].fill((scale * (1.0 - SHARED).sqrt()).ln());
        let entry = scale * (SHARED / rank as f64).sqrt();
        parameters[2 * dim..].iter_mut().for_each(|x| *x = entry * rng.normal());
        let mut q = LowRankNormal {
            parameters: parameters.clone(),
            dim,
            rank,
            sd: vec![1.0; dim],
            core: vec![0.0; rank * rank],
            next_sd: vec![1.0; dim],
            next_core: vec![0.0; rank * rank],
            weighted: vec![0.0; rank * dim],
            explained: vec![0.0; dim],
            log_normaliser: 0.0,
            noise: Vec::new(),
            scores: Vec::new(),
            shared: Vec::new(),
            scratch: vec![0.0; dim + rank],
        };
        q.set_parameters(&parameters)?;
        Ok(Box::new(q))
    }
}

/// A member of [`LowRank`].
#[derive(Debug, Clone)]
struct LowRankNormal {
    /// μ, ω, and the rows of B.
    parameters: Vec<f64>,
    dim: usize,
    rank: usize,
    /// The diagonal of D.
    sd: Vec<f64>,
    /// The Cholesky factor of M, r x r.
    core: Vec<f64>,
    /// Those of parameters that are being checked.
    next_sd: Vec<f64>,
    next_core: Vec<f64>,
    /// P, d x r, and the inner products of its rows with those of B, d.
    weighted: Vec<f64>,
    explained: Vec<f64>,
    /// Half the log determinant of 2π Σ.
    log_normaliser: f64,
    /// ε and η of the draws, n x (d + r).
    noise: Vec<f64>,
    /// s of the draws, n x d, and v, n x r.
    scores: Vec<f64>,
    shared: Vec<f64>,
    /// One s and one v.
    scratch: Vec<f64>,
}

impl LowRankNormal {
    /// The rows of B.
    fn rows(&self) -> std::slice::ChunksExact<'_, f64> {
        self.parameters[2 * self.dim..].chunks_exact(self.rank)
    }

    /// Writes s and v at a position; returns the log density there.
    fn evaluate(&self, position: &[f64], score: &mut [f64], shared: &mut [f64]) -> f64 {
        shared.fill(0.0);
        for (i, row) in self.rows().enumerate() {
            let deviation = position[i] - self.parameters[i];
            score[i] = deviation;
            let weighted = deviation / (self.sd[i] * self.sd[i]);
            shared.iter_mut().zip(row).for_each(|(v, b)| *v += weighted * b);
        }
        solve(&self.core, shared);
        solve_transposed(&self.core, shared);
        let mut square = dot(shared, shared);
        for (i, row) in self.rows().enumerate() {
            let own = (score[i] - dot(row, shared)) / self.sd[i];
            score[i] = -own / self.sd[i];
            square += own * own;
        }
        -0.5 * square - self.log_normaliser
    }

    /// *Adds* the part of a score in the parameters that varies between positions; [`LowRankNormal::add_common_score`] is the
    /// rest.
    fn add_own_score(&self, score: &[f64], shared: &[f64], coefficient: f64, out: &mut [f64]) {
        let (location, rest) = out.split_at_mut(self.dim);
        let (log_sd, factor) = rest.split_at_mut(self.dim);
        for (i, row) in factor.chunks_exact_mut(self.rank).enumerate() {
            let by_location = -coefficient * score[i];
            location[i] += by_location;
            log_sd[i] -= by_location * score[i] * self.sd[i] * self.sd[i];
            row.iter_mut().zip(shared).for_each(|(b, v)| *b += by_location * v);
        }
    }

    /// *Adds* c ∇φ log |Σ| / 2.
    fn add_normaliser_gradient(&self, coefficient: f64, out: &mut [f64]) {
        let (log_sd, factor) = out[self.dim..].split_at_mut(self.dim);
        log_sd.iter_mut().zip(&self.explained).for_each(|(out, explained)| *out += coefficient * (1.0 - explained));
        factor.iter_mut().zip(&self.weighted).for_each(|(out, p)| *out += coefficient * p);
    }
}

impl Approximation for LowRankNormal {
    fn dim(&self) -> usize {
        self.dim
    }

    fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        check_parameters(self.parameters.len(), parameters)?;
        let (dim, rank) = (self.dim, self.rank);
        let (sd, core) = (&mut self.next_sd, &mut self.next_core);
        sd.iter_mut().zip(&parameters[dim..]).for_each(|(sd, omega)| *sd = omega.exp());
        check_scales(sd)?;
        let factor = &parameters[2 * dim..];
        core.fill(0.0);
        (0..rank).for_each(|j| core[j * rank + j] = 1.0);
        for (row, sd) in factor.chunks_exact(rank).zip(&*sd) {
            for j in 0..rank {
                let weighted = row[j] / sd / sd;
                core[j * rank..=j * rank + j].iter_mut().zip(row).for_each(|(m, b)| *m += weighted * b);
            }
        }
        (0..rank).try_for_each(|j| check_scales(&[core[j * rank + j]]))?;
        if let Err(linalg::LinalgError::NotPositive { pivot }) = linalg::cholesky_in_place(core, rank) {
            // The columns of B are parallel up to rounding, and D is nothing beside them.
            let rule = "so small that the covariance is positive definite to working precision";
            let squares = factor.iter().skip(pivot).step_by(rank).zip(&*sd).map(|(b, sd)| (b / sd).powi(2));
            return Err(Error::InvalidSetting { setting: "scale of the approximation", value: 1.0 + squares.sum::<f64>(), rule });
        }
        for ((row, sd), (weighted, explained)) in
            factor.chunks_exact(rank).zip(&*sd).zip(self.weighted.chunks_exact_mut(rank).zip(&mut self.explained))
        {
            weighted.iter_mut().zip(row).for_each(|(p, b)| *p = b / sd / sd);
            solve(core, weighted);
            solve_transposed(core, weighted);
            *explained = dot(weighted, row);
        }
        let log_core: f64 = (0..rank).map(|j| core[j * rank + j].ln()).sum();
        self.log_normaliser = parameters[dim..2 * dim].iter().sum::<f64>() + log_core + dim as f64 * HALF_LOG_TWO_PI;
        self.parameters.copy_from_slice(parameters);
        std::mem::swap(&mut self.sd, &mut self.next_sd);
        std::mem::swap(&mut self.core, &mut self.next_core);
        self.noise.clear();
        self.scores.clear();
        self.shared.clear();
        Ok(())
    }

    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        let (dim, rank, n) = (self.dim, self.rank, log_densities.len());
        self.noise.resize(n * (dim + rank), 0.0);
        rng.fill_normal(&mut self.noise);
        let (mut scores, mut shared) = (std::mem::take(&mut self.scores), std::mem::take(&mut self.shared));
        scores.resize(n * dim, 0.0);
        shared.resize(n * rank, 0.0);
        let rows = draws.chunks_exact_mut(dim).zip(self.noise.chunks_exact(dim + rank)).zip(log_densities);
        let evaluated = scores.chunks_exact_mut(dim).zip(shared.chunks_exact_mut(rank));
        for (((draw, noise), log_density), (score, shared)) in rows.zip(evaluated) {
            let (own, common) = noise.split_at(dim);
            for (i, row) in self.rows().enumerate() {
                draw[i] = self.parameters[i] + self.sd[i] * own[i] + dot(row, common);
            }
            *log_density = self.evaluate(draw, score, shared);
        }
        (self.scores, self.shared) = (scores, shared);
    }

    fn scores(&mut self, out: &mut [f64]) {
        out.iter_mut().zip(&self.scores).for_each(|(out, score)| *out = *score);
    }

    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]) {
        let (dim, rank) = (self.dim, self.rank);
        let (location, rest) = out.split_at_mut(dim);
        let (log_sd, factor) = rest.split_at_mut(dim);
        for (cotangent, noise) in cotangents.chunks_exact(dim).zip(self.noise.chunks_exact(dim + rank)) {
            let (own, common) = noise.split_at(dim);
            for (i, row) in factor.chunks_exact_mut(rank).enumerate() {
                location[i] += cotangent[i];
                log_sd[i] += cotangent[i] * own[i] * self.sd[i];
                row.iter_mut().zip(common).for_each(|(b, eta)| *b += cotangent[i] * eta);
            }
        }
    }

    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        let mut total = 0.0;
        let draws = self.scores.chunks_exact(self.dim).zip(self.shared.chunks_exact(self.rank));
        for (&coefficient, (score, shared)) in coefficients.iter().zip(draws).filter(|(c, _)| **c != 0.0) {
            self.add_own_score(score, shared, coefficient, out);
            total += coefficient;
        }
        self.add_normaliser_gradient(-total, out);
    }

    fn parameter_scores_at(&mut self, positions: &[f64], coefficients: &[f64], out: &mut [f64]) -> bool {
        let mut scratch = std::mem::take(&mut self.scratch);
        let (score, shared) = scratch.split_at_mut(self.dim);
        let mut total = 0.0;
        for (&coefficient, position) in coefficients.iter().zip(positions.chunks_exact(self.dim)).filter(|(c, _)| **c != 0.0) {
            self.evaluate(position, score, shared);
            self.add_own_score(score, shared, coefficient, out);
            total += coefficient;
        }
        self.add_normaliser_gradient(-total, out);
        self.scratch = scratch;
        true
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        check_evaluation(self.dim, position, gradient)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        let log_density = self.evaluate(position, gradient, &mut scratch[self.dim..]);
        self.scratch = scratch;
        Ok(log_density)
    }

    fn entropy(&self) -> Option<f64> {
        Some(self.log_normaliser + 0.5 * self.dim as f64)
    }

    fn entropy_gradient(&self, coefficient: f64, out: &mut [f64]) -> bool {
        self.add_normaliser_gradient(coefficient, out);
        true
    }

    fn mean(&self) -> Option<Vec<f64>> {
        Some(self.parameters[..self.dim].to_vec())
    }

    fn covariance(&self) -> Option<Array2<f64>> {
        let row = |i: usize| &self.parameters[2 * self.dim + i * self.rank..][..self.rank];
        let own = |i: usize, j: usize| if i == j { self.sd[i] * self.sd[i] } else { 0.0 };
        Some(Array2::from_shape_fn((self.dim, self.dim), |(i, j)| own(i, j) + dot(row(i), row(j))))
    }

    fn clone_box(&self) -> Box<dyn Approximation> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vi::families::check::{check_at, check_family, check_moments};
    use crate::vi::normal;

    fn start(rank: usize, dim: usize) -> Box<dyn Approximation> {
        LowRank::default().rank(rank).start(dim, 0.8, &mut Stream::new(3)).unwrap()
    }

    #[test]
    fn derivatives_agree_with_differences() {
        check_family(&LowRank::default().rank(2), 4);
        check_family(&LowRank::default(), 1);
        let mut outweighed = start(2, 3);
        let parameters = [0.1, -0.2, 0.3, -0.5, -1.5, 0.2, 4.0, -3.0, 5.0, 1.0, 0.0, 2.0];
        check_at(outweighed.as_mut(), &parameters, 5);
    }

    /// Woodbury's identity and the determinant lemma, against the dense distribution with the same covariance.
    #[test]
    fn it_is_the_dense_normal_with_its_covariance() {
        let mut q = start(2, 4);
        let parameters: Vec<f64> = (0..16).map(|i| (1.3 * f64::from(i)).sin()).collect();
        q.set_parameters(&parameters).unwrap();
        let mut dense = normal(&parameters[..4], q.covariance().unwrap().view()).unwrap();
        assert!((q.entropy().unwrap() - dense.entropy().unwrap()).abs() < 1e-12);
        let (mut found, mut expected) = ([0.0; 4], [0.0; 4]);
        let position = [0.3, -2.0, 1.0, 0.7];
        let log_density = q.log_density_gradient(&position, &mut found).unwrap();
        assert!((log_density - dense.log_density_gradient(&position, &mut expected).unwrap()).abs() < 1e-12);
        found.iter().zip(&expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-12));
        check_moments(q.as_mut());
    }

    /// B is 10⁷ times D: the difference of the textbook, |D⁻¹u|² - |C⁻¹B'D⁻²u|² with C C' = M, is then of numbers near 10¹⁵.
    #[test]
    fn nothing_cancels_where_the_factor_outweighs_the_diagonal() {
        let mut q = start(1, 2);
        let ln_sd = 1e-7_f64.ln();
        q.set_parameters(&[0.0, 0.0, ln_sd, ln_sd, 1.0, 1.0]).unwrap();
        // Along (1, 1)/√2 the variance is 2 + 10⁻¹⁴, across it 10⁻¹⁴.
        let u: [f64; 2] = [3.0 + 1e-7, 3.0 - 1e-7];
        let textbook = (u[0] * u[0] + u[1] * u[1]) * 1e14 - ((u[0] + u[1]) * 1e14).powi(2) / (1.0 + 2e14);
        assert!((textbook - 11.0).abs() > 1e-2, "{textbook}");
        let log_density = q.log_density_gradient(&u, &mut [0.0; 2]).unwrap();
        let expected = -0.5 * (18.0 / 2.0 + 2.0) - std::f64::consts::TAU.ln() - 0.5 * (2.0_f64.ln() + 2.0 * ln_sd);
        assert!((log_density - expected).abs() < 1e-6, "{log_density} instead of {expected}");
    }

    #[test]
    fn it_works_in_five_thousand_dimensions() {
        let mut q = LowRank::default().start(5000, 1.0, &mut Stream::new(1)).unwrap();
        assert_eq!(q.parameters().len(), 5000 * (2 + 71));
        let (mut draws, mut log_densities) = (vec![0.0; 20 * 5000], vec![0.0; 20]);
        q.sample(&mut Stream::new(2), &mut draws, &mut log_densities);
        // The mean log density has a standard error of √(5000 / 2) / √20 = 11.
        let mean = log_densities.iter().sum::<f64>() / 20.0;
        assert!((mean + q.entropy().unwrap()).abs() < 45.0);
        let mut gradient = vec![0.0; q.parameters().len()];
        q.pull_back(&draws, &mut gradient);
        q.parameter_scores(&[1.0; 20], &mut gradient);
        assert!(gradient.iter().all(|g| g.is_finite()));
    }

    #[test]
    fn what_is_out_of_range_is_an_error() {
        let start = |rank, dim, scale| LowRank { rank }.start(dim, scale, &mut Stream::new(1)).map(|_| ());
        assert!(matches!(start(Some(0), 3, 1.0), Err(Error::InvalidSetting { setting: "rank", .. })));
        assert!(matches!(start(Some(4), 3, 1.0), Err(Error::InvalidSetting { setting: "rank", .. })));
        assert!(matches!(start(None, 0, 1.0), Err(Error::NoParameters)));
        assert!(matches!(start(None, 3, f64::NAN), Err(Error::InvalidSetting { .. })));
        let mut q = LowRank::default().rank(2).start(2, 1.0, &mut Stream::new(1)).unwrap();
        let parameters = q.parameters().to_vec();
        // A diagonal that is nothing beside two parallel columns.
        let broken = [0.0, 0.0, -60.0, -60.0, 1.0, 1.0, 1.0, 1.0];
        assert!(matches!(q.set_parameters(&broken), Err(Error::InvalidSetting { .. })));
        assert!(matches!(q.set_parameters(&[800.0; 8]), Err(Error::InvalidSetting { .. })));
        assert_eq!(q.parameters(), parameters);
        check_at(q.as_mut(), &parameters, 1);
    }
}
