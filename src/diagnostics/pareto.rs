//! Pareto k̂: is the tail of importance ratios light enough for averages over them to converge?
//!
//! ```text
//! the M = min(S/5, 3 √S) largest ratios, less the largest of the others  ~  generalised Pareto(k, σ)
//! ```
//! Above 0.7 no number of draws that anyone can afford suffices. The estimate is the profile posterior mean of Zhang & Stephens (2009),
//! <https://doi.org/10.1198/tech.2009.08017>, drawn towards 1/2 as by ten observations: Vehtari, Simpson, Gelman, Yao & Gabry (2024),
//! *Pareto smoothed importance sampling*, <https://arxiv.org/abs/1507.02646>.

use super::chains::mean;

/// Pareto k̂ of unnormalised log importance ratios.
///
/// `None` for a NaN or +∞ among them, fewer than 25 ratios (whose tail has fewer than 5), or a tail that is all the same or vanishes
/// beside the largest ratio.
///
/// ```
/// use posterity::{diagnostics::pareto_k, rng::Stream};
/// let mut stream = Stream::new(1);
/// // Ratios u^(-k) are Pareto with shape k.
/// let log_ratios: Vec<f64> = (0..20_000).map(|_| -0.8 * stream.uniform_positive().ln()).collect();
/// assert!((pareto_k(&log_ratios).unwrap() - 0.8).abs() < 0.15);
/// ```
#[must_use]
pub fn pareto_k(log_ratios: &[f64]) -> Option<f64> {
    const LEAST_TAIL: usize = 5;
    if log_ratios.iter().any(|x| x.is_nan() || *x == f64::INFINITY) {
        return None;
    }
    let size = log_ratios.len() as f64;
    let n_tail = (0.2 * size).min(3.0 * size.sqrt()).ceil() as usize;
    if n_tail < LEAST_TAIL || n_tail >= log_ratios.len() {
        return None;
    }
    let mut sorted = log_ratios.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let largest = sorted[sorted.len() - 1];
    // Ratios are taken relative to the largest one, so that none overflows.
    let cutoff = (sorted[sorted.len() - n_tail - 1] - largest).max(f64::MIN_POSITIVE.ln());
    let tail: Vec<f64> = sorted.iter().map(|x| x - largest).filter(|&x| x > cutoff).map(|x| x.exp() - cutoff.exp()).collect();
    if tail.len() < LEAST_TAIL || tail[0] <= 0.0 || tail[0] == tail[tail.len() - 1] {
        return None;
    }
    Some(shape(&tail)).filter(|k| k.is_finite())
}

/// Shape of a generalised Pareto distribution from exceedances in ascending order, all positive.
fn shape(exceedances: &[f64]) -> f64 {
    const PRIOR_SCALE: f64 = 3.0;
    const PRIOR_COUNT: f64 = 10.0;
    let n = exceedances.len() as f64;
    let grid_size = 30 + n.sqrt() as usize;
    let quartile = exceedances[(n / 4.0 + 0.5) as usize - 1];
    let largest = exceedances[exceedances.len() - 1];
    // θ = -k/σ on a grid about its prior, k given θ in closed form.
    let grid =
        (1..=grid_size).map(|i| (1.0 - (grid_size as f64 / (i as f64 - 0.5)).sqrt()) / (PRIOR_SCALE * quartile) + 1.0 / largest);
    let k_given = |theta: f64| mean(&exceedances.iter().map(|x| (-theta * x).ln_1p()).collect::<Vec<f64>>());
    let profile: Vec<(f64, f64)> = grid
        .map(|theta| {
            let k = k_given(theta);
            (theta, n * ((-theta / k).ln() - k - 1.0))
        })
        .collect();
    let greatest = profile.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    let (mut weighted, mut total) = (0.0, 0.0);
    for (theta, log_likelihood) in profile {
        let weight = (log_likelihood - greatest).exp();
        // Points without weight may have θ = -∞ and must not make the sum NaN.
        if weight >= 10.0 * f64::EPSILON {
            weighted += weight * theta;
            total += weight;
        }
    }
    let k = k_given(weighted / total);
    (n * k + 0.5 * PRIOR_COUNT) / (n + PRIOR_COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A linear congruential generator: the same uniforms in every language.
    fn uniforms(n: usize) -> Vec<f64> {
        let mut state = 12_345_u64;
        std::iter::repeat_with(|| {
            state = (1_103_515_245 * state + 12_345) % (1 << 31);
            (state as f64 + 0.5) / f64::from(1_u32 << 31)
        })
        .take(n)
        .collect()
    }

    #[test]
    fn shape_agrees_with_arviz() {
        // arviz.psislw(-k * numpy.log(u))[1] of version 0.23.4, and arviz.psislw(3 * u[:30])[1].
        for (k, expected) in [(0.3, 0.3048691857529974), (0.8, 0.7944708667322987), (1.5, 1.5083388468679135)] {
            let log_ratios: Vec<f64> = uniforms(1000).iter().map(|u| -k * u.ln()).collect();
            let found = pareto_k(&log_ratios).unwrap();
            assert!((found - expected).abs() < 1e-9, "{k}: {found}");
            // Ratios are known up to a factor only.
            let scaled: Vec<f64> = log_ratios.iter().map(|x| x + 900.0).collect();
            assert!((pareto_k(&scaled).unwrap() - expected).abs() < 1e-9);
        }
        let short: Vec<f64> = uniforms(30).iter().map(|u| 3.0 * u).collect();
        assert!((pareto_k(&short).unwrap() - 0.2402019631638984).abs() < 1e-9);
    }

    #[test]
    fn no_tail_no_number() {
        assert_eq!(pareto_k(&[]), None);
        assert_eq!(pareto_k(&uniforms(20)), None);
        assert_eq!(pareto_k(&[0.0; 100]), None);
        assert_eq!(pareto_k(&[f64::NEG_INFINITY; 100]), None);
        let mut broken = uniforms(100);
        broken[3] = f64::NAN;
        assert_eq!(pareto_k(&broken), None);
        broken[3] = f64::INFINITY;
        assert_eq!(pareto_k(&broken), None);
    }
}
