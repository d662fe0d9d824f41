//! Draws of a fit against the means and standard deviations of reference draws.

use posterity::model::zoo::posteriordb::ReferencePosterior;
use posterity::vi::Fit;
use serde::Serialize;

/// The worst figures over the parameters, in the reference's standard deviations; NaN if one cannot be computed.
#[derive(Debug, Serialize)]
pub(crate) struct Errors {
    /// |mean - reference mean|
    max_mean_error: f64,
    rms_mean_error: f64,
    /// |mean - reference mean| less four standard errors of the difference
    max_mean_excess: f64,
    min_sd_ratio: f64,
    max_sd_ratio: f64,
}

pub(crate) struct Comparison {
    pub(crate) raw: Errors,
    pub(crate) psis: Errors,
}

/// Compares the draws of q as they are, and weighted.
pub(crate) fn compare(fit: &Fit, posterior: &ReferencePosterior) -> posterity::Result<Comparison> {
    let positions = fit.positions();
    let mut columns = vec![Vec::with_capacity(positions.nrows()); posterior.mean.len()];
    for position in positions.rows() {
        for (column, value) in columns.iter_mut().zip(posterior.values_at(&position.to_vec())?) {
            column.push(value);
        }
    }
    let equal = vec![1.0 / positions.nrows() as f64; positions.nrows()];
    Ok(Comparison { raw: errors(&columns, &equal, posterior), psis: errors(&columns, &fit.psis().weights(), posterior) })
}

fn errors(columns: &[Vec<f64>], weights: &[f64], posterior: &ReferencePosterior) -> Errors {
    let mut worst = Errors {
        max_mean_error: 0.0,
        rms_mean_error: 0.0,
        max_mean_excess: f64::NEG_INFINITY,
        min_sd_ratio: f64::INFINITY,
        max_sd_ratio: 0.0,
    };
    let smaller = |sofar: &mut f64, new: f64| *sofar = if new.is_nan() || new < *sofar { new } else { *sofar };
    let larger = |sofar: &mut f64, new: f64| *sofar = if new.is_nan() || new > *sofar { new } else { *sofar };
    let mut squares = 0.0;
    for (column, (reference_mean, reference_sd)) in columns.iter().zip(posterior.mean.iter().zip(&posterior.sd)) {
        let counted = || column.iter().zip(weights).filter(|(_, w)| **w > 0.0);
        let mean: f64 = counted().map(|(x, w)| w * x).sum();
        let sd = counted().map(|(x, w)| w * (x - mean).powi(2)).sum::<f64>().sqrt();
        let mcse = counted().map(|(x, w)| (w * (x - mean)).powi(2)).sum::<f64>().sqrt();
        let error = (mean - reference_mean).abs();
        let standard_error = mcse.hypot(reference_sd / posterior.ess.sqrt());
        squares += (error / reference_sd).powi(2);
        larger(&mut worst.max_mean_error, error / reference_sd);
        larger(&mut worst.max_mean_excess, (error - 4.0 * standard_error) / reference_sd);
        smaller(&mut worst.min_sd_ratio, sd / reference_sd);
        larger(&mut worst.max_sd_ratio, sd / reference_sd);
    }
    worst.rms_mean_error = (squares / columns.len() as f64).sqrt();
    worst
}
