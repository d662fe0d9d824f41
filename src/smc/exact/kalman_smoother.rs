//! The Rauch-Tung-Striebel smoother and exact joint draws of the states.
//!
//! ```text
//! backward law   xₜ | xₜ₊₁, y₀..ₜ ~ N(mₜ + J (xₜ₊₁ - m⁻ₜ₊₁), C)
//!                J = Pₜ F' (P⁻ₜ₊₁)⁻¹        C = (I - J F) Pₜ (I - J F)' + J Q J'
//! smoother       mˢₜ = mₜ + J (mˢₜ₊₁ - m⁻ₜ₊₁)       Pˢₜ = C + J Pˢₜ₊₁ J'       Cov(xₜ₊₁, xₜ) = Pˢₜ₊₁ J'
//! draws          x_T ~ N(m_T, P_T), then xₜ from its backward law for t = T-1, ..., 0
//! ```
//!
//! Covariances are sums of positive semidefinite terms. Where P⁻ is singular (deterministic moves) a generalised inverse takes the place of
//! the inverse; the result is the same for each of them.
//!
//! The smoother costs O(dx³) per step, n draws O(dx³ + n dx²) per step.
//!
//! References: Rauch, Tung & Striebel (1965), <https://doi.org/10.2514/3.3166>; draws: Carter & Kohn (1994),
//! <https://doi.org/10.1093/biomet/81.3.541>; Frühwirth-Schnatter (1994), <https://doi.org/10.1111/j.1467-9892.1994.tb00184.x>.

use ndarray::{Array2, Array3};

use super::dense::{
    add_product, add_sandwich, array2, array3, at, cholesky_semidefinite, multiply, multiply_transposed, solve_semidefinite,
};
use super::kalman::KalmanFilter;
use crate::error::{Error, Result, check};
use crate::rng::Stream;

/// Moments of the states given all observations.
#[derive(Debug, Clone)]
pub struct KalmanSmoother {
    means: Array2<f64>,
    covariances: Array3<f64>,
    lag_one_covariances: Array3<f64>,
}

impl KalmanSmoother {
    /// Means of each state (T x dx).
    #[must_use]
    pub fn means(&self) -> &Array2<f64> {
        &self.means
    }

    /// Covariances of each state (T x dx x dx).
    #[must_use]
    pub fn covariances(&self) -> &Array3<f64> {
        &self.covariances
    }

    /// Cov(xₜ₊₁, xₜ) at entry t: rows belong to the later state (T-1 x dx x dx).
    #[must_use]
    pub fn lag_one_covariances(&self) -> &Array3<f64> {
        &self.lag_one_covariances
    }
}

impl KalmanFilter {
    /// Runs the smoother back over the filtered steps.
    ///
    /// # Errors
    /// [`Error::Step`] around [`Error::NotFinite`] if a covariance overflows.
    pub fn smooth(&self) -> Result<KalmanSmoother> {
        let (d, n_steps) = (self.model.dx, self.n_steps);
        let size = d * d;
        let mut means = self.filtered_means.iter().copied().collect::<Vec<_>>();
        let mut covariances = self.filtered_covariances.iter().copied().collect::<Vec<_>>();
        let mut lag_one = vec![0.0; (n_steps - 1) * size];
        let mut law = BackwardLaw::new(d);
        let mut difference = vec![0.0; d];
        for t in (0..n_steps - 1).rev() {
            law.find(self, t)?;
            let (mean, later) = means[t * d..].split_at_mut(d);
            let predicted = at(&self.predicted_means, t + 1, d);
            for ((out, x), p) in difference.iter_mut().zip(later.iter()).zip(predicted) {
                *out = x - p;
            }
            add_product(&law.gain, &difference, mean);

            let (covariance, later) = covariances[t * size..].split_at_mut(size);
            covariance.copy_from_slice(&law.covariance);
            add_sandwich(&law.gain, &later[..size], d, d, &mut law.scratch, covariance);
            multiply_transposed(&later[..size], &law.gain, d, d, &mut lag_one[t * size..][..size]);
        }
        Ok(KalmanSmoother {
            means: array2(n_steps, d, means)?,
            covariances: array3(n_steps, d, d, covariances)?,
            lag_one_covariances: array3(n_steps - 1, d, d, lag_one)?,
        })
    }

    /// Independent draws of the whole state sequence given all observations (n_draws x T x dx).
    ///
    /// ```
    /// use ndarray::array;
    /// use posterity::rng::Stream;
    /// use posterity::smc::exact::LinearGaussian;
    ///
    /// let filter = LinearGaussian::ar1(0.9, 1.0, 1.0)?.filter(array![[0.4], [1.1], [0.7]].view())?;
    /// assert_eq!(filter.sample_states(10, &mut Stream::new(1))?.dim(), (10, 3, 1));
    /// # Ok::<(), posterity::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if `n_draws` is 0; otherwise as [`KalmanFilter::smooth`].
    pub fn sample_states(&self, n_draws: usize, rng: &mut Stream) -> Result<Array3<f64>> {
        check::at_least("n_draws", n_draws, 1, "at least 1")?;
        let (d, n_steps) = (self.model.dx, self.n_steps);
        let mut draws = vec![0.0; n_draws * n_steps * d];
        let mut law = BackwardLaw::new(d);
        let [mut normals, mut difference] = [(); 2].map(|()| vec![0.0; d]);
        for t in (0..n_steps).rev() {
            let last = t + 1 == n_steps;
            if last {
                law.covariance.copy_from_slice(at(&self.filtered_covariances, t, d * d));
            } else {
                law.find(self, t)?;
            }
            cholesky_semidefinite(&mut law.covariance, d);
            let mean = at(&self.filtered_means, t, d);
            for draw in draws.chunks_exact_mut(n_steps * d) {
                let (x, later) = draw[t * d..].split_at_mut(d);
                x.copy_from_slice(mean);
                if !last {
                    let predicted = at(&self.predicted_means, t + 1, d);
                    for ((out, x), p) in difference.iter_mut().zip(later.iter()).zip(predicted) {
                        *out = x - p;
                    }
                    add_product(&law.gain, &difference, x);
                }
                rng.fill_normal(&mut normals);
                add_product(&law.covariance, &normals, x);
            }
        }
        array3(n_draws, n_steps, d, draws)
    }
}

/// The gain J and covariance C of a state given the next one, and buffers.
struct BackwardLaw {
    d: usize,
    gain: Vec<f64>,
    covariance: Vec<f64>,
    factor: Vec<f64>,
    keep: Vec<f64>,
    scratch: Vec<f64>,
}

impl BackwardLaw {
    fn new(d: usize) -> Self {
        let [gain, covariance, factor, keep, scratch] = [(); 5].map(|()| vec![0.0; d * d]);
        Self { d, gain, covariance, factor, keep, scratch }
    }

    /// The law of the state at step t given that at t + 1.
    fn find(&mut self, filter: &KalmanFilter, t: usize) -> Result<()> {
        let (d, f) = (self.d, filter.model.transition.at(t));
        let p = at(&filter.filtered_covariances, t, d * d);
        self.factor.copy_from_slice(at(&filter.predicted_covariances, t + 1, d * d));
        cholesky_semidefinite(&mut self.factor, d);
        multiply_transposed(p, f, d, d, &mut self.gain);
        for row in self.gain.chunks_exact_mut(d) {
            solve_semidefinite(&self.factor, d, row);
        }
        // I - J F
        multiply(&self.gain, f, d, d, &mut self.keep);
        for (index, x) in self.keep.iter_mut().enumerate() {
            *x = f64::from(u8::from(index % (d + 1) == 0)) - *x;
        }
        self.covariance.fill(0.0);
        add_sandwich(&self.keep, p, d, d, &mut self.scratch, &mut self.covariance);
        add_sandwich(&self.gain, filter.model.transition_covariance.at(t), d, d, &mut self.scratch, &mut self.covariance);
        match self.covariance.iter().position(|x| !x.is_finite()) {
            None => Ok(()),
            Some(index) => {
                let source = Error::NotFinite { what: "smoothed covariance", index, value: self.covariance[index] };
                Err(Error::Step { step: t, source: Box::new(source) })
            }
        }
    }
}
