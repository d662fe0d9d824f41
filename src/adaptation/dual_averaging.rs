//! Dual averaging: a stochastic search for the step size whose mean acceptance rate is a given one.
//!
//! ```text
//! H̄ₜ = (1 − 1/(t+t₀)) H̄ₜ₋₁ + (δ − αₜ)/(t+t₀)
//! log εₜ₊₁ = μ − √t/γ · H̄ₜ
//! log ε̄ₜ₊₁ = t^−κ log εₜ₊₁ + (1 − t^−κ) log ε̄ₜ
//! ```
//! with αₜ the acceptance rate of transition t, δ its target, and μ = log(pull · ε₁), pull = 10: steps that are too long are tried early because they
//! are cheap. Warm-up uses εₜ, sampling the average ε̄.
//!
//! *Cost* O(1). *References* Nesterov 2009, <https://doi.org/10.1007/s10107-007-0149-x>; Hoffman & Gelman 2014, section 3.2,
//! <https://jmlr.org/papers/v15/hoffman14a.html> (arXiv 1111.4246). *Not* for a target whose acceptance does not fall with the step
//! size: the search then drifts to the bounds 10^±300.

use serde::{Deserialize, Serialize};

use crate::error::{Error, check};

/// Settings of [`DualAveraging`]; the defaults are those of Hoffman & Gelman 2014.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DualAveragingConfig {
    /// Acceptance rate aimed at, δ, in (0, 1); 0.8.
    pub target_acceptance: f64,
    /// Strength of the pull towards μ, γ > 0; 0.05.
    pub gamma: f64,
    /// Damping of the first iterations, t₀ ≥ 0; 10.
    pub t0: f64,
    /// Decay of the averaging weights, κ in (0.5, 1]; 0.75.
    pub kappa: f64,
    /// The search is pulled towards this multiple of its first step size, μ = ln(pull · ε₁); 10.
    pub pull: f64,
}

impl Default for DualAveragingConfig {
    fn default() -> Self {
        Self { target_acceptance: 0.8, gamma: 0.05, t0: 10.0, kappa: 0.75, pull: 10.0 }
    }
}

impl DualAveragingConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first one out of range.
    pub fn validate(&self) -> Result<(), Error> {
        check::open_unit("target_acceptance", self.target_acceptance)?;
        check::positive("gamma", self.gamma)?;
        check::in_range("t0", self.t0, self.t0 >= 0.0 && self.t0.is_finite(), "finite and not negative")?;
        check::positive("pull", self.pull)?;
        check::in_range("kappa", self.kappa, self.kappa > 0.5 && self.kappa <= 1.0, "in (0.5, 1]")
    }
}

/// The search's state: a serialisable value.
///
/// ```
/// use posterity::adaptation::{DualAveraging, DualAveragingConfig};
/// let mut search = DualAveraging::new(DualAveragingConfig::default(), 1.0)?;
/// for _ in 0..2000 {
///     search.update((-search.current()).exp()); // acceptance exp(-step size): 0.8 at 0.223
/// }
/// assert!((search.final_value() - 0.223).abs() < 0.01);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DualAveraging {
    config: DualAveragingConfig,
    mu: f64,
    count: f64,
    mean_error: f64,
    log_current: f64,
    log_average: f64,
}

/// Bound of |log ε|: keeps the step size positive and finite.
const LOG_BOUND: f64 = 690.0;

impl DualAveraging {
    /// A search that starts at `step_size`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a setting out of range or a step size that is not positive and finite.
    pub fn new(config: DualAveragingConfig, step_size: f64) -> Result<Self, Error> {
        config.validate()?;
        let mut search = Self { config, mu: 0.0, count: 0.0, mean_error: 0.0, log_current: 0.0, log_average: 0.0 };
        search.restart(step_size)?;
        Ok(search)
    }

    /// Forgets everything and starts again at `step_size`, as after a change of the metric.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a step size that is not positive and finite; the search is then unchanged.
    pub fn restart(&mut self, step_size: f64) -> Result<(), Error> {
        check::positive("step_size", step_size)?;
        let log_step = step_size.ln().clamp(-LOG_BOUND, LOG_BOUND);
        self.mu = self.config.pull.ln() + log_step;
        self.count = 0.0;
        self.mean_error = 0.0;
        self.log_current = log_step;
        self.log_average = log_step;
        Ok(())
    }

    /// Learns from the acceptance rate of one transition, made at [`DualAveraging::current`]; NaN counts as 0, values outside \[0, 1\] as
    /// the nearer end.
    pub fn update(&mut self, acceptance_rate: f64) {
        let acceptance = if acceptance_rate.is_nan() { 0.0 } else { acceptance_rate.clamp(0.0, 1.0) };
        self.count += 1.0;
        let eta = 1.0 / (self.count + self.config.t0);
        self.mean_error += eta * (self.config.target_acceptance - acceptance - self.mean_error);
        self.log_current = (self.mu - self.count.sqrt() / self.config.gamma * self.mean_error).clamp(-LOG_BOUND, LOG_BOUND);
        let weight = self.count.powf(-self.config.kappa);
        self.log_average += weight * (self.log_current - self.log_average);
    }

    /// The step size to use for the next warm-up transition.
    #[must_use]
    pub fn current(&self) -> f64 {
        self.log_current.exp()
    }

    /// The averaged step size, to be used once adaptation ends; the start value if nothing was learnt.
    #[must_use]
    pub fn final_value(&self) -> f64 {
        self.log_average.exp()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &DualAveragingConfig {
        &self.config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_updates_by_hand() {
        let mut search = DualAveraging::new(DualAveragingConfig::default(), 0.5).unwrap();
        search.update(0.3);
        // H̄₁ = 0.5/11; log ε₂ = log 5 − 20·0.5/11; the average's first weight is 1.
        let first = 5_f64.ln() - 20.0 * 0.5 / 11.0;
        assert!((search.current().ln() - first).abs() < 1e-14);
        assert!((search.final_value().ln() - first).abs() < 1e-14);
        search.update(0.9);
        let mean_error = (11.0 / 12.0) * (0.5 / 11.0) - 0.1 / 12.0;
        let second = 5_f64.ln() - 2_f64.sqrt() * 20.0 * mean_error;
        assert!((search.current().ln() - second).abs() < 1e-14);
        let weight = 2_f64.powf(-0.75);
        assert!((search.final_value().ln() - (weight * second + (1.0 - weight) * first)).abs() < 1e-14);
    }

    #[test]
    fn nan_counts_as_zero_and_bounds_hold() {
        let mut a = DualAveraging::new(DualAveragingConfig::default(), 1.0).unwrap();
        let mut b = a.clone();
        a.update(f64::NAN);
        b.update(0.0);
        assert_eq!(a, b);
        for _ in 0..200_000 {
            a.update(f64::INFINITY);
            b.update(f64::NAN);
        }
        assert!(a.current().is_finite() && b.current() > 0.0);
    }

    #[test]
    fn restart_forgets() {
        let mut search = DualAveraging::new(DualAveragingConfig::default(), 1.0).unwrap();
        search.update(0.1);
        search.restart(0.25).unwrap();
        assert_eq!(search, DualAveraging::new(DualAveragingConfig::default(), 0.25).unwrap());
        assert!((search.current() - 0.25).abs() < 1e-15 && (search.final_value() - 0.25).abs() < 1e-15);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let bad = |config: DualAveragingConfig| match config.validate() {
            Err(Error::InvalidSetting { setting, .. }) => setting,
            other => panic!("{other:?}"),
        };
        let good = DualAveragingConfig::default();
        assert_eq!(bad(DualAveragingConfig { target_acceptance: f64::NAN, ..good }), "target_acceptance");
        assert_eq!(bad(DualAveragingConfig { gamma: 0.0, ..good }), "gamma");
        assert_eq!(bad(DualAveragingConfig { t0: -1.0, ..good }), "t0");
        assert_eq!(bad(DualAveragingConfig { kappa: 0.5, ..good }), "kappa");
        for step_size in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(DualAveraging::new(good, step_size), Err(Error::InvalidSetting { setting: "step_size", .. })));
        }
    }

    #[test]
    fn a_saved_search_goes_on_bit_for_bit() {
        let mut search = DualAveraging::new(DualAveragingConfig::default(), 0.7).unwrap();
        (0..10).for_each(|i| search.update(f64::from(i) / 10.0));
        let mut copy: DualAveraging = postcard::from_bytes(&postcard::to_stdvec(&search).unwrap()).unwrap();
        search.update(0.5);
        copy.update(0.5);
        assert_eq!(search.current().to_bits(), copy.current().to_bits());
    }
}
