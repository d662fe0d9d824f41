//! Draws against the means and standard deviations of reference draws.

use ndarray::{Array3, ArrayView2, Axis};
use posterity::diagnostics::{ess_bulk, ess_sd, ess_tail, mcse_mean, mcse_sd, rhat};
use posterity::model::zoo::posteriordb::ReferencePosterior;

/// The worst of every figure over the parameters; NaN if one cannot be computed, as for a chain that stands still.
pub(crate) struct Comparison {
    pub(crate) min_ess_bulk: f64,
    pub(crate) min_ess_tail: f64,
    pub(crate) max_rhat: f64,
    /// |mean - reference mean| / reference sd
    pub(crate) max_err_sd: f64,
    /// |mean - reference mean| / √(mcse² + reference sd² / reference ess)
    pub(crate) max_abs_z: f64,
    /// Parameters with |z| above 4.
    pub(crate) n_z_over_4: usize,
    /// |ln sd - ln reference sd| / its standard error; the reference's own error is ours, scaled to its effective sample size.
    pub(crate) max_abs_z_log_sd: f64,
    pub(crate) min_sd_ratio: f64,
    pub(crate) max_sd_ratio: f64,
}

/// Compares draws of shape (chain, draw, parameter), parameters in the reference's order.
pub(crate) fn compare(draws: &Array3<f64>, reference: &ReferencePosterior) -> Comparison {
    let mut worst = Comparison {
        min_ess_bulk: f64::INFINITY,
        min_ess_tail: f64::INFINITY,
        max_rhat: 0.0,
        max_err_sd: 0.0,
        max_abs_z: 0.0,
        n_z_over_4: 0,
        max_abs_z_log_sd: 0.0,
        min_sd_ratio: f64::INFINITY,
        max_sd_ratio: 0.0,
    };
    let smaller = |sofar: &mut f64, new: f64| *sofar = if new.is_nan() || new < *sofar { new } else { *sofar };
    let larger = |sofar: &mut f64, new: f64| *sofar = if new.is_nan() || new > *sofar { new } else { *sofar };
    for (k, column) in draws.axis_iter(Axis(2)).enumerate() {
        let (reference_mean, reference_sd) = (reference.mean[k], reference.sd[k]);
        let or_nan = |statistic: fn(ArrayView2<'_, f64>) -> Option<f64>| statistic(column).unwrap_or(f64::NAN);
        smaller(&mut worst.min_ess_bulk, or_nan(ess_bulk));
        smaller(&mut worst.min_ess_tail, or_nan(ess_tail));
        larger(&mut worst.max_rhat, or_nan(rhat));

        let difference = (column.mean().unwrap_or(f64::NAN) - reference_mean).abs();
        larger(&mut worst.max_err_sd, difference / reference_sd);
        let standard_error = or_nan(mcse_mean).hypot(reference_sd / reference.ess.sqrt());
        let z = difference / standard_error;
        larger(&mut worst.max_abs_z, z);
        worst.n_z_over_4 += usize::from(!(z <= 4.0));
        let sd = column.std(1.0);
        let ratio = sd / reference_sd;
        let error = or_nan(mcse_sd) / sd;
        let both = error * (1.0 + or_nan(ess_sd) / reference.ess).sqrt();
        larger(&mut worst.max_abs_z_log_sd, ratio.ln().abs() / both);
        smaller(&mut worst.min_sd_ratio, ratio);
        larger(&mut worst.max_sd_ratio, ratio);
    }
    worst
}
