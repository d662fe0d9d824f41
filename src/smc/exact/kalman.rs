//! The Kalman filter, with missing observations, the exact log-likelihood and forecasts.
//!
//! ```text
//! predict   m⁻ₜ = Fₜ mₜ₋₁ + bₜ          P⁻ₜ = Fₜ Pₜ₋₁ Fₜ' + Qₜ        (m⁻₀ = m₀, P⁻₀ = P₀)
//! update    v = yₜ - Hₜ m⁻ₜ - cₜ        S = Hₜ P⁻ₜ Hₜ' + Rₜ           K = P⁻ₜ Hₜ' S⁻¹
//!           mₜ = m⁻ₜ + K v              Pₜ = (I - K Hₜ) P⁻ₜ (I - K Hₜ)' + K Rₜ K'
//! evidence  log p(yₜ | y₀..ₜ₋₁) = log N(v; 0, S)
//! ```
//!
//! The covariance is updated in Joseph's form, a sum of positive semidefinite terms, so it stays symmetric and semidefinite. A missing
//! observation is NaN: the update uses the components that are there, and the log-likelihood is that of these alone.
//!
//! A step costs O(dx³ + dx² dy + dy³) and allocates nothing. Do not use it for a start so diffuse that P₀ / R exceeds about 1e12: the
//! digits of the first updates cancel.
//!
//! References: Kalman (1960), <https://doi.org/10.1115/1.3662552>; Durbin & Koopman (2012), *Time Series Analysis by State Space Methods*,
//! <https://doi.org/10.1093/acprof:oso/9780199641178.001.0001>.

use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2};

use super::dense::{
    add_product, add_sandwich, array2, array3, at, cholesky_semidefinite, dot, multiply, multiply_transposed, solve_semidefinite,
};
use super::linear_gaussian::LinearGaussian;
use crate::error::{Error, Result, check};

const LN_2PI: f64 = 1.837_877_066_409_345_5;

/// What the Kalman filter found: predicted and filtered moments of the states, and the evidence.
///
/// ```
/// use ndarray::array;
/// use posterity::smc::exact::LinearGaussian;
///
/// let filter = LinearGaussian::ar1(0.9, 1.0, 1.0)?.filter(array![[0.4], [1.1], [0.7]].view())?;
/// let smoother = filter.smooth()?;
/// // What came later makes the first state more certain; the last one has no later.
/// assert!(smoother.covariances()[[0, 0, 0]] < filter.filtered_covariances()[[0, 0, 0]]);
/// assert_eq!(smoother.means()[[2, 0]], filter.filtered_means()[[2, 0]]);
/// assert_eq!(filter.forecast(5)?.state_means().dim(), (5, 1));
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct KalmanFilter {
    pub(super) model: LinearGaussian,
    pub(super) n_steps: usize,
    pub(super) predicted_means: Array2<f64>,
    pub(super) predicted_covariances: Array3<f64>,
    pub(super) filtered_means: Array2<f64>,
    pub(super) filtered_covariances: Array3<f64>,
    log_likelihoods: Array1<f64>,
    log_evidence: f64,
}

impl LinearGaussian {
    /// Runs the Kalman filter over observations (T x dy); NaN marks a missing one.
    ///
    /// # Errors
    /// [`Error::Empty`] without observations; [`Error::Dimension`] if they have not dy columns, or if a part that varies with time has
    /// too few entries; [`Error::NotFinite`] for an infinite observation, with its position in row-major order; [`Error::Step`] around
    /// [`Error::NotPositiveDefinite`] if S is singular at that step (the observed components have a combination without noise that the
    /// model knows already), or around [`Error::NotFinite`] if the moments of an explosive model overflow.
    pub fn filter(&self, observations: ArrayView2<'_, f64>) -> Result<KalmanFilter> {
        let (dx, dy, n_steps) = (self.dx, self.dy, observations.nrows());
        if observations.ncols() != dy {
            return Err(Error::Dimension { what: "columns of observations", expected: dy, found: observations.ncols() });
        }
        if n_steps == 0 {
            return Err(Error::Empty { what: "observations" });
        }
        if let Some((index, &value)) = observations.iter().enumerate().find(|(_, y)| y.is_infinite()) {
            return Err(Error::NotFinite { what: "observations", index, value });
        }
        self.check_steps(n_steps)?;

        let mut state = Moments::start(self);
        let mut update = Update::new(dx, dy);
        let mut log_likelihoods = Vec::with_capacity(n_steps);
        let [mut predicted_means, mut filtered_means] = [(); 2].map(|()| Vec::with_capacity(n_steps * dx));
        let [mut predicted_covariances, mut filtered_covariances] = [(); 2].map(|()| Vec::with_capacity(n_steps * dx * dx));
        for (t, y) in observations.outer_iter().enumerate() {
            let at_step = |source| Error::Step { step: t, source: Box::new(source) };
            if t > 0 {
                state.predict(self, t - 1).map_err(at_step)?;
            }
            predicted_means.extend_from_slice(&state.mean);
            predicted_covariances.extend_from_slice(&state.covariance);
            log_likelihoods.push(update.apply(self, t, y, &mut state).map_err(at_step)?);
            filtered_means.extend_from_slice(&state.mean);
            filtered_covariances.extend_from_slice(&state.covariance);
        }
        Ok(KalmanFilter {
            model: self.clone(),
            n_steps,
            predicted_means: array2(n_steps, dx, predicted_means)?,
            predicted_covariances: array3(n_steps, dx, dx, predicted_covariances)?,
            filtered_means: array2(n_steps, dx, filtered_means)?,
            filtered_covariances: array3(n_steps, dx, dx, filtered_covariances)?,
            log_evidence: log_likelihoods.iter().sum(),
            log_likelihoods: Array1::from(log_likelihoods),
        })
    }
}

impl KalmanFilter {
    /// The model that was filtered with.
    #[must_use]
    pub fn model(&self) -> &LinearGaussian {
        &self.model
    }

    /// Number of steps T.
    #[must_use]
    pub fn n_steps(&self) -> usize {
        self.n_steps
    }

    /// The log density of all observations.
    #[must_use]
    pub fn log_evidence(&self) -> f64 {
        self.log_evidence
    }

    /// The log density of each observation given the earlier ones (T); 0 where nothing was observed.
    #[must_use]
    pub fn log_likelihoods(&self) -> &Array1<f64> {
        &self.log_likelihoods
    }

    /// Means of each state given the earlier observations (T x dx).
    #[must_use]
    pub fn predicted_means(&self) -> &Array2<f64> {
        &self.predicted_means
    }

    /// Covariances of each state given the earlier observations (T x dx x dx).
    #[must_use]
    pub fn predicted_covariances(&self) -> &Array3<f64> {
        &self.predicted_covariances
    }

    /// Means of each state given the observations up to its step (T x dx).
    #[must_use]
    pub fn filtered_means(&self) -> &Array2<f64> {
        &self.filtered_means
    }

    /// Covariances of each state given the observations up to its step (T x dx x dx).
    #[must_use]
    pub fn filtered_covariances(&self) -> &Array3<f64> {
        &self.filtered_covariances
    }

    /// The law of the `horizon` states and observations after the last step, each step's marginal.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if `horizon` is 0; [`Error::Dimension`] if a part that varies with time does not reach so far;
    /// [`Error::Step`] if the moments overflow.
    pub fn forecast(&self, horizon: usize) -> Result<KalmanForecast> {
        check::at_least("horizon", horizon, 1, "at least 1")?;
        let (model, dx, dy, n_steps) = (&self.model, self.model.dx, self.model.dy, self.n_steps);
        model.check_steps(n_steps.saturating_add(horizon))?;
        let mut state = Moments::start(model);
        state.mean.copy_from_slice(at(&self.filtered_means, n_steps - 1, dx));
        state.covariance.copy_from_slice(at(&self.filtered_covariances, n_steps - 1, dx * dx));
        let mut scratch = vec![0.0; dy * dx];
        let (mut state_means, mut state_covariances) = (Vec::new(), Vec::new());
        let (mut observation_means, mut observation_covariances) = (Vec::new(), Vec::new());
        for t in n_steps..n_steps + horizon {
            state.predict(model, t - 1).map_err(|source| Error::Step { step: t, source: Box::new(source) })?;
            state_means.extend_from_slice(&state.mean);
            state_covariances.extend_from_slice(&state.covariance);
            let h = model.observation.at(t);
            let mut mean = model.observation_offset.at(t).to_vec();
            add_product(h, &state.mean, &mut mean);
            let mut covariance = model.observation_covariance.at(t).to_vec();
            add_sandwich(h, &state.covariance, dx, dy, &mut scratch, &mut covariance);
            observation_means.extend(mean);
            observation_covariances.extend(covariance);
        }
        Ok(KalmanForecast {
            state_means: array2(horizon, dx, state_means)?,
            state_covariances: array3(horizon, dx, dx, state_covariances)?,
            observation_means: array2(horizon, dy, observation_means)?,
            observation_covariances: array3(horizon, dy, dy, observation_covariances)?,
        })
    }
}

/// The Gaussian laws of future states and observations.
#[derive(Debug, Clone)]
pub struct KalmanForecast {
    state_means: Array2<f64>,
    state_covariances: Array3<f64>,
    observation_means: Array2<f64>,
    observation_covariances: Array3<f64>,
}

impl KalmanForecast {
    /// Means of the states (horizon x dx).
    #[must_use]
    pub fn state_means(&self) -> &Array2<f64> {
        &self.state_means
    }

    /// Covariances of the states (horizon x dx x dx).
    #[must_use]
    pub fn state_covariances(&self) -> &Array3<f64> {
        &self.state_covariances
    }

    /// Means of the observations (horizon x dy).
    #[must_use]
    pub fn observation_means(&self) -> &Array2<f64> {
        &self.observation_means
    }

    /// Covariances of the observations, their noise included (horizon x dy x dy).
    #[must_use]
    pub fn observation_covariances(&self) -> &Array3<f64> {
        &self.observation_covariances
    }
}

/// Mean and covariance of the state, and the buffers to move them.
struct Moments {
    mean: Vec<f64>,
    covariance: Vec<f64>,
    next_mean: Vec<f64>,
    next_covariance: Vec<f64>,
    scratch: Vec<f64>,
}

impl Moments {
    fn start(model: &LinearGaussian) -> Self {
        Self {
            mean: model.initial_mean.clone(),
            covariance: model.initial_covariance.clone(),
            next_mean: vec![0.0; model.dx],
            next_covariance: vec![0.0; model.dx * model.dx],
            scratch: vec![0.0; model.dx * model.dx],
        }
    }

    /// The move with index `step`, which leads into step + 1.
    fn predict(&mut self, model: &LinearGaussian, step: usize) -> Result<()> {
        let f = model.transition.at(step);
        self.next_mean.copy_from_slice(model.transition_offset.at(step));
        add_product(f, &self.mean, &mut self.next_mean);
        self.next_covariance.copy_from_slice(model.transition_covariance.at(step));
        add_sandwich(f, &self.covariance, model.dx, model.dx, &mut self.scratch, &mut self.next_covariance);
        self.advance();
        finite("predicted mean", &self.mean)?;
        finite("predicted covariance", &self.covariance)
    }

    fn advance(&mut self) {
        std::mem::swap(&mut self.mean, &mut self.next_mean);
        std::mem::swap(&mut self.covariance, &mut self.next_covariance);
    }
}

fn finite(what: &'static str, values: &[f64]) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index, value: values[index] }),
        None => Ok(()),
    }
}

/// Buffers of one update; those of observed components are used as far as components are observed.
struct Update {
    observed: Vec<usize>,
    h: Vec<f64>,
    r: Vec<f64>,
    residual: Vec<f64>,
    s: Vec<f64>,
    gain: Vec<f64>,
    keep: Vec<f64>,
    scratch: Vec<f64>,
}

impl Update {
    fn new(dx: usize, dy: usize) -> Self {
        Self {
            observed: Vec::with_capacity(dy),
            h: vec![0.0; dy * dx],
            r: vec![0.0; dy * dy],
            residual: vec![0.0; dy],
            s: vec![0.0; dy * dy],
            gain: vec![0.0; dx * dy],
            keep: vec![0.0; dx * dx],
            scratch: vec![0.0; dx * dx.max(dy)],
        }
    }

    /// Conditions the state on what is observed of `y` and returns the log density of that.
    fn apply(&mut self, model: &LinearGaussian, t: usize, y: ArrayView1<'_, f64>, state: &mut Moments) -> Result<f64> {
        let (dx, dy) = (model.dx, model.dy);
        self.observed.clear();
        self.observed.extend((0..dy).filter(|&i| !y[i].is_nan()));
        let m = self.observed.len();
        if m == 0 {
            return Ok(0.0);
        }
        let (h, r) = (&mut self.h[..m * dx], &mut self.r[..m * m]);
        let (residual, s, gain) = (&mut self.residual[..m], &mut self.s[..m * m], &mut self.gain[..dx * m]);
        let (all_h, all_r, c) = (model.observation.at(t), model.observation_covariance.at(t), model.observation_offset.at(t));
        for (row, &i) in self.observed.iter().enumerate() {
            h[row * dx..][..dx].copy_from_slice(&all_h[i * dx..][..dx]);
            for (column, &j) in self.observed.iter().enumerate() {
                r[row * m + column] = all_r[i * dy + j];
            }
            residual[row] = y[i] - c[i] - dot(&all_h[i * dx..][..dx], &state.mean);
        }

        s.copy_from_slice(r);
        add_sandwich(h, &state.covariance, dx, m, &mut self.scratch[..m * dx], s);
        if let Some(pivot) = cholesky_semidefinite(s, m) {
            return Err(Error::NotPositiveDefinite { what: "innovation covariance S", pivot });
        }
        multiply_transposed(&state.covariance, h, dx, m, gain);
        for row in gain.chunks_exact_mut(m) {
            solve_semidefinite(s, m, row);
        }

        state.next_mean.copy_from_slice(&state.mean);
        add_product(gain, residual, &mut state.next_mean);
        // I - K H
        multiply(gain, h, m, dx, &mut self.keep);
        for (index, x) in self.keep.iter_mut().enumerate() {
            *x = f64::from(u8::from(index % (dx + 1) == 0)) - *x;
        }
        state.next_covariance.fill(0.0);
        add_sandwich(&self.keep, &state.covariance, dx, dx, &mut self.scratch[..dx * dx], &mut state.next_covariance);
        add_sandwich(gain, r, m, dx, &mut self.scratch[..dx * m], &mut state.next_covariance);
        state.advance();

        let mut log_density = -0.5 * m as f64 * LN_2PI;
        for i in 0..m {
            let pivot = s[i * m + i];
            let z = (residual[i] - dot(&s[i * m..][..i], &residual[..i])) / pivot;
            residual[i] = z;
            log_density -= pivot.ln() + 0.5 * z * z;
        }
        Ok(log_density)
    }
}
