//! The linear Gaussian state-space model: what the Kalman filter is exact for.

use ndarray::{Array2, ArrayView1, ArrayView2, ArrayView3, Axis, arr1, arr2};

use super::dense::{Series, add_product, array2, cholesky_semidefinite};
use crate::error::{Error, Result, check};
use crate::linalg::symmetric_eigen;
use crate::rng::Stream;

pub(super) const F: &str = "transition matrix F";
pub(super) const B: &str = "transition offset b";
pub(super) const Q: &str = "transition covariance Q";
pub(super) const H: &str = "observation matrix H";
pub(super) const C: &str = "observation offset c";
pub(super) const R: &str = "observation covariance R";

/// A state-space model with linear maps and Gaussian noise.
///
/// ```text
/// x₀ ~ N(m₀, P₀)
/// xₜ = Fₜ xₜ₋₁ + bₜ + N(0, Qₜ)      t = 1, 2, ...
/// yₜ = Hₜ xₜ + cₜ + N(0, Rₜ)        t = 0, 1, ...
/// ```
///
/// The covariances may be singular: a noise-free component, an integrated state or an exactly known start are all valid. Everything is
/// constant in time until a `with_...` method says otherwise. What varies with time must cover the steps that are asked for; entry t - 1
/// of a transition part belongs to the move into step t, entry t of an observation part to the observation at step t.
///
/// ```
/// use ndarray::{array, Array1, Array2};
/// use posterity::smc::exact::LinearGaussian;
///
/// // A position observed with noise, and its velocity.
/// let model = LinearGaussian::new(
///     Array1::zeros(2).view(),
///     Array2::eye(2).view(),
///     array![[1.0, 1.0], [0.0, 0.9]].view(),
///     array![[0.0, 0.0], [0.0, 0.1]].view(),
///     array![[1.0, 0.0]].view(),
///     array![[0.5]].view(),
/// )?;
/// let filter = model.filter(array![[0.3], [f64::NAN], [1.1]].view())?;
/// assert!(filter.log_evidence() < 0.0);
/// assert_eq!(filter.log_likelihoods()[1], 0.0); // nothing was observed at step 1
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LinearGaussian {
    pub(super) dx: usize,
    pub(super) dy: usize,
    pub(super) initial_mean: Vec<f64>,
    pub(super) initial_covariance: Vec<f64>,
    pub(super) transition: Series,
    pub(super) transition_offset: Series,
    pub(super) transition_covariance: Series,
    pub(super) observation: Series,
    pub(super) observation_offset: Series,
    pub(super) observation_covariance: Series,
}

impl LinearGaussian {
    /// The model with m₀ (dx), P₀ (dx x dx), F (dx x dx), Q (dx x dx), H (dy x dx) and R (dy x dy), and zero offsets.
    ///
    /// # Errors
    /// [`Error::Empty`] if dx or dy is 0; [`Error::Dimension`], [`Error::NotFinite`] (position in row-major order),
    /// [`Error::NotSymmetric`] and [`Error::NotPositiveSemidefinite`] name the vector or matrix at fault.
    pub fn new(
        initial_mean: ArrayView1<'_, f64>,
        initial_covariance: ArrayView2<'_, f64>,
        transition: ArrayView2<'_, f64>,
        transition_covariance: ArrayView2<'_, f64>,
        observation: ArrayView2<'_, f64>,
        observation_covariance: ArrayView2<'_, f64>,
    ) -> Result<Self> {
        let (dx, dy) = (initial_mean.len(), observation.nrows());
        if dx == 0 {
            return Err(Error::Empty { what: "initial mean m0" });
        }
        if dy == 0 {
            return Err(Error::Empty { what: H });
        }
        Ok(Self {
            dx,
            dy,
            initial_mean: vector("initial mean m0", initial_mean, dx)?,
            initial_covariance: covariance("initial covariance P0", initial_covariance, dx)?,
            transition: Series::constant(matrix(F, transition, dx, dx)?),
            transition_offset: Series::constant(vec![0.0; dx]),
            transition_covariance: Series::constant(covariance(Q, transition_covariance, dx)?),
            observation: Series::constant(matrix(H, observation, dy, dx)?),
            observation_offset: Series::constant(vec![0.0; dy]),
            observation_covariance: Series::constant(covariance(R, observation_covariance, dy)?),
        })
    }

    /// The stationary autoregression xₜ = ρ xₜ₋₁ + N(0, σx²) observed as yₜ = xₜ + N(0, σy²), with x₀ ~ N(0, σx² / (1 - ρ²)).
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless |ρ| < 1, σx is positive and finite, and σy is non-negative and finite.
    pub fn ar1(rho: f64, sigma_x: f64, sigma_y: f64) -> Result<Self> {
        check::in_range("rho", rho, rho.abs() < 1.0, "in (-1, 1)")?;
        check::positive("sigma_x", sigma_x)?;
        check::in_range("sigma_y", sigma_y, sigma_y >= 0.0 && sigma_y.is_finite(), "non-negative and finite")?;
        let q = sigma_x * sigma_x;
        // (1 - ρ)(1 + ρ) keeps its digits where 1 - ρ² loses them.
        let stationary = q / ((1.0 - rho) * (1.0 + rho));
        Self::new(
            arr1(&[0.0]).view(),
            arr2(&[[stationary]]).view(),
            arr2(&[[rho]]).view(),
            arr2(&[[q]]).view(),
            arr2(&[[1.0]]).view(),
            arr2(&[[sigma_y * sigma_y]]).view(),
        )
    }

    /// Sets the offset b (dx) of every move.
    ///
    /// # Errors
    /// [`Error::Dimension`] or [`Error::NotFinite`].
    pub fn with_transition_offset(mut self, b: ArrayView1<'_, f64>) -> Result<Self> {
        self.transition_offset = Series::constant(vector(B, b, self.dx)?);
        Ok(self)
    }

    /// Sets the offset c (dy) of every observation.
    ///
    /// # Errors
    /// [`Error::Dimension`] or [`Error::NotFinite`].
    pub fn with_observation_offset(mut self, c: ArrayView1<'_, f64>) -> Result<Self> {
        self.observation_offset = Series::constant(vector(C, c, self.dy)?);
        Ok(self)
    }

    /// Sets F for each move (moves x dx x dx).
    ///
    /// # Errors
    /// [`Error::Step`] with the entry and what is wrong with it.
    pub fn with_transition_matrices(mut self, f: ArrayView3<'_, f64>) -> Result<Self> {
        let d = self.dx;
        self.transition = matrices(f, d * d, |f| matrix(F, f, d, d))?;
        Ok(self)
    }

    /// Sets b for each move (moves x dx).
    ///
    /// # Errors
    /// [`Error::Step`] with the entry and what is wrong with it.
    pub fn with_transition_offsets(mut self, b: ArrayView2<'_, f64>) -> Result<Self> {
        self.transition_offset = vectors(b, B, self.dx)?;
        Ok(self)
    }

    /// Sets Q for each move (moves x dx x dx).
    ///
    /// # Errors
    /// [`Error::Step`] with the entry and what is wrong with it.
    pub fn with_transition_covariances(mut self, q: ArrayView3<'_, f64>) -> Result<Self> {
        let d = self.dx;
        self.transition_covariance = matrices(q, d * d, |q| covariance(Q, q, d))?;
        Ok(self)
    }

    /// Sets H for each step (steps x dy x dx).
    ///
    /// # Errors
    /// [`Error::Step`] with the entry and what is wrong with it.
    pub fn with_observation_matrices(mut self, h: ArrayView3<'_, f64>) -> Result<Self> {
        let (dy, dx) = (self.dy, self.dx);
        self.observation = matrices(h, dy * dx, |h| matrix(H, h, dy, dx))?;
        Ok(self)
    }

    /// Sets c for each step (steps x dy).
    ///
    /// # Errors
    /// [`Error::Step`] with the entry and what is wrong with it.
    pub fn with_observation_offsets(mut self, c: ArrayView2<'_, f64>) -> Result<Self> {
        self.observation_offset = vectors(c, C, self.dy)?;
        Ok(self)
    }

    /// Sets R for each step (steps x dy x dy).
    ///
    /// # Errors
    /// [`Error::Step`] with the entry and what is wrong with it.
    pub fn with_observation_covariances(mut self, r: ArrayView3<'_, f64>) -> Result<Self> {
        let d = self.dy;
        self.observation_covariance = matrices(r, d * d, |r| covariance(R, r, d))?;
        Ok(self)
    }

    /// Dimension of the state.
    #[must_use]
    pub fn state_dim(&self) -> usize {
        self.dx
    }

    /// Dimension of an observation.
    #[must_use]
    pub fn observation_dim(&self) -> usize {
        self.dy
    }

    /// Draws states (n_steps x dx) and observations (n_steps x dy) from the model.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if `n_steps` is 0; [`Error::Dimension`] if a part that varies with time has too few entries.
    pub fn simulate(&self, n_steps: usize, rng: &mut Stream) -> Result<(Array2<f64>, Array2<f64>)> {
        check::at_least("n_steps", n_steps, 1, "at least 1")?;
        self.check_steps(n_steps)?;
        let (dx, dy) = (self.dx, self.dy);
        let (mut states, mut observations) = (Vec::with_capacity(n_steps * dx), Vec::with_capacity(n_steps * dy));
        let (mut x, mut next, mut y) = (vec![0.0; dx], vec![0.0; dx], vec![0.0; dy]);
        let mut noise = Noise::default();
        for t in 0..n_steps {
            if t == 0 {
                next.copy_from_slice(&self.initial_mean);
                noise.add(&self.initial_covariance, rng, &mut next);
            } else {
                next.copy_from_slice(self.transition_offset.at(t - 1));
                add_product(self.transition.at(t - 1), &x, &mut next);
                noise.add(self.transition_covariance.at(t - 1), rng, &mut next);
            }
            std::mem::swap(&mut x, &mut next);
            y.copy_from_slice(self.observation_offset.at(t));
            add_product(self.observation.at(t), &x, &mut y);
            noise.add(self.observation_covariance.at(t), rng, &mut y);
            states.extend_from_slice(&x);
            observations.extend_from_slice(&y);
        }
        Ok((array2(n_steps, dx, states)?, array2(n_steps, dy, observations)?))
    }

    /// Fails if a part that varies with time does not cover `n_steps` steps.
    pub(super) fn check_steps(&self, n_steps: usize) -> Result<()> {
        let moves = n_steps.saturating_sub(1);
        self.transition.check_len(F, moves)?;
        self.transition_offset.check_len(B, moves)?;
        self.transition_covariance.check_len(Q, moves)?;
        self.observation.check_len(H, n_steps)?;
        self.observation_offset.check_len(C, n_steps)?;
        self.observation_covariance.check_len(R, n_steps)
    }
}

/// Gaussian noise of a given covariance; keeps its buffers.
#[derive(Debug, Default)]
struct Noise {
    factor: Vec<f64>,
    normals: Vec<f64>,
}

impl Noise {
    /// `out += N(0, covariance)`.
    fn add(&mut self, covariance: &[f64], rng: &mut Stream, out: &mut [f64]) {
        self.factor.clear();
        self.factor.extend_from_slice(covariance);
        cholesky_semidefinite(&mut self.factor, out.len());
        self.normals.resize(out.len(), 0.0);
        rng.fill_normal(&mut self.normals);
        add_product(&self.factor, &self.normals, out);
    }
}

fn finite(what: &'static str, values: Vec<f64>) -> Result<Vec<f64>> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index, value: values[index] }),
        None => Ok(values),
    }
}

fn length(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Dimension { what, expected, found }) }
}

fn vector(what: &'static str, x: ArrayView1<'_, f64>, n: usize) -> Result<Vec<f64>> {
    length(what, n, x.len())?;
    finite(what, x.to_vec())
}

fn matrix(what: &'static str, a: ArrayView2<'_, f64>, rows: usize, columns: usize) -> Result<Vec<f64>> {
    length(what, rows, a.nrows())?;
    length(what, columns, a.ncols())?;
    finite(what, a.iter().copied().collect())
}

/// Checks symmetry and the sign of the eigenvalues, both to 1e-10 of the largest entry, and makes the matrix exactly symmetric.
fn covariance(what: &'static str, a: ArrayView2<'_, f64>, n: usize) -> Result<Vec<f64>> {
    let mut entries = matrix(what, a, n, n)?;
    let tolerance = 1e-10 * entries.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    for row in 0..n {
        for column in 0..row {
            let (x, y) = (entries[row * n + column], entries[column * n + row]);
            if !((x - y).abs() <= tolerance) {
                return Err(Error::NotSymmetric { what, row, column });
            }
            let mean = 0.5 * x + 0.5 * y;
            entries[row * n + column] = mean;
            entries[column * n + row] = mean;
        }
    }
    let smallest = if n == 1 {
        entries[0]
    } else {
        symmetric_eigen(array2(n, n, entries.clone())?.view())?.values.iter().copied().fold(f64::INFINITY, f64::min)
    };
    if smallest < -tolerance || n == 1 && smallest < 0.0 {
        return Err(Error::NotPositiveSemidefinite { what, eigenvalue: smallest });
    }
    Ok(entries)
}

fn at_step(step: usize) -> impl FnOnce(Error) -> Error {
    move |source| Error::Step { step, source: Box::new(source) }
}

fn matrices(a: ArrayView3<'_, f64>, size: usize, check: impl Fn(ArrayView2<'_, f64>) -> Result<Vec<f64>>) -> Result<Series> {
    let mut data = Vec::with_capacity(a.len());
    for (step, a) in a.axis_iter(Axis(0)).enumerate() {
        data.extend(check(a).map_err(at_step(step))?);
    }
    Ok(Series::varying(data, size))
}

fn vectors(x: ArrayView2<'_, f64>, what: &'static str, n: usize) -> Result<Series> {
    let mut data = Vec::with_capacity(x.len());
    for (step, x) in x.axis_iter(Axis(0)).enumerate() {
        data.extend(vector(what, x, n).map_err(at_step(step))?);
    }
    Ok(Series::varying(data, n))
}
