//! Pareto-smoothed importance sampling: importance weights whose largest ones are made stable, and a number that says whether to trust them.
//!
//! ```text
//! tail: the M = ⌈min(S/5, 3 √(S/r))⌉ largest ratios, less the largest of the others  ~  generalised Pareto(k, σ)
//! the i-th smallest of them ← min(cutoff + F⁻¹((i - 1/2)/M), largest raw ratio)
//! ```
//! where r is the relative efficiency of draws that are not independent. k̂ < 0.5: averages have a variance; up to 0.7 (for fewer than 2200
//! draws 1 - 1/log₁₀ S): usable; above: no number of draws that anyone can afford suffices, the proposal is a poor approximation of the
//! target.
//!
//! Cost: S + M log M + M √M operations. A small k̂ is no proof: draws that never reach a region where the target has mass cannot know of it.
//!
//! Vehtari, Simpson, Gelman, Yao & Gabry (2024), *Pareto smoothed importance sampling*, JMLR 25, <https://arxiv.org/abs/1507.02646>.

use std::fmt::{self, Display, Formatter};

use super::pareto::GeneralisedPareto;
use crate::error::{Error, Result, check};
use crate::math::log_sum_exp;
use crate::rng::Stream;

/// Fewest exceedances that a tail is fitted to.
const LEAST_TAIL: usize = 5;
/// Below this k̂ importance sampling has a finite variance.
pub(super) const GOOD: f64 = 0.5;
/// Above this k̂ no affordable number of draws suffices.
const USABLE: f64 = 0.7;

/// Pareto k̂ of unnormalised log importance ratios, as [`Psis::pareto_k`] has it; `None` also where there are no weights.
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
    Psis::new(log_ratios).ok()?.pareto_k()
}

/// Pareto-smoothed importance weights of draws from a proposal.
///
/// ```
/// use posterity::{diagnostics::{Psis, Reliability}, rng::Stream};
/// // Draws from N(0, 1), weighted towards N(0.5, 1).
/// let mut stream = Stream::new(1);
/// let draws: Vec<f64> = (0..4000).map(|_| stream.normal()).collect();
/// let log_ratios: Vec<f64> = draws.iter().map(|x| 0.5 * x - 0.125).collect();
/// let psis = Psis::new(&log_ratios)?;
/// assert_eq!(psis.reliability(), Reliability::Good);
/// assert!((psis.mean(&draws)? - 0.5).abs() < 4.0 * psis.mcse_mean(&draws)?);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Psis {
    log_weights: Vec<f64>,
    smoothed: Smoothed,
    relative_efficiency: f64,
    log_mean_ratio: f64,
}

impl Psis {
    /// Smoothed weights of independent draws, from unnormalised log ratios log p - log q. A ratio of -∞ is a weight of zero.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`] for NaN or +∞, [`Error::ZeroWeights`] if every ratio is -∞.
    pub fn new(log_ratios: &[f64]) -> Result<Self> {
        Self::with_relative_efficiency(log_ratios, 1.0)
    }

    /// As [`Psis::new`], for draws of Markov chains whose effective sample size is `relative_efficiency` · S: the tail that is fitted is
    /// longer, and standard errors are larger.
    ///
    /// # Errors
    /// As [`Psis::new`], and [`Error::InvalidSetting`] for a relative efficiency that is not positive and finite.
    pub fn with_relative_efficiency(log_ratios: &[f64], relative_efficiency: f64) -> Result<Self> {
        check::positive("relative_efficiency", relative_efficiency)?;
        let mut log_weights = log_ratios.to_vec();
        let smoothed = Smoother::default().smooth(&mut log_weights, relative_efficiency)?;
        let log_sum = log_sum_exp(&log_weights);
        log_weights.iter_mut().for_each(|x| *x -= log_sum);
        Ok(Self {
            log_weights,
            smoothed,
            relative_efficiency,
            log_mean_ratio: smoothed.largest + (log_sum - (log_ratios.len() as f64).ln()),
        })
    }

    /// Log weights, in the order of the draws; their exponentials sum to 1.
    #[must_use]
    pub fn log_weights(&self) -> &[f64] {
        &self.log_weights
    }

    /// Weights, in the order of the draws, of sum 1.
    #[must_use]
    pub fn weights(&self) -> Vec<f64> {
        self.log_weights.iter().map(|x| x.exp()).collect()
    }

    /// k̂ of the ratios; infinite if fewer than five of them do not vanish beside the largest one.
    ///
    /// `None`, and the weights are the raw ones, if no tail can be fitted: fewer than 21 draws at a relative efficiency of 1 (whose tail has
    /// fewer than five), or fewer than five ratios above the cutoff because many are equal, or a tail that is all the same.
    #[must_use]
    pub fn pareto_k(&self) -> Option<f64> {
        self.smoothed.pareto_k
    }

    /// Effective sample size r / Σ w², r being the relative efficiency.
    #[must_use]
    pub fn ess(&self) -> f64 {
        self.relative_efficiency / self.log_weights.iter().map(|x| (2.0 * x).exp()).sum::<f64>()
    }

    /// Logarithm of the mean of the smoothed ratios: of draws from a normalised proposal, an estimate of the log evidence.
    #[must_use]
    pub fn log_mean_ratio(&self) -> f64 {
        self.log_mean_ratio
    }

    /// Self-normalised estimate Σ wᵢ xᵢ of a mean under the target; `values` has one entry per draw. What stands at a weight of zero does not
    /// count.
    ///
    /// # Errors
    /// [`Error::Dimension`], [`Error::NotFinite`].
    pub fn mean(&self, values: &[f64]) -> Result<f64> {
        self.check(values)?;
        Ok(self.weighted(values).map(|(weight, x)| weight * x).sum())
    }

    /// Monte Carlo standard error √(Σ wᵢ² (xᵢ - mean)² / r) of [`Psis::mean`], r being the relative efficiency. It means nothing where
    /// [`Psis::reliability`] is not at least [`Reliability::Usable`].
    ///
    /// # Errors
    /// As [`Psis::mean`].
    pub fn mcse_mean(&self, values: &[f64]) -> Result<f64> {
        let mean = self.mean(values)?;
        let variance: f64 = self.weighted(values).map(|(weight, x)| (weight * (x - mean)).powi(2)).sum();
        Ok((variance / self.relative_efficiency).sqrt())
    }

    /// Indices of `n` draws, taken independently and with replacement in proportion to the weights.
    #[must_use]
    pub fn resample(&self, n: usize, rng: &mut Stream) -> Vec<usize> {
        let mut total = 0.0;
        let cumulative: Vec<f64> = self
            .log_weights
            .iter()
            .map(|x| {
                total += x.exp();
                total
            })
            .collect();
        // The first entry that holds the total: what follows has weight zero, and a product may round up to the total.
        let last = cumulative.partition_point(|&c| c < total);
        (0..n)
            .map(|_| {
                let u = rng.uniform() * total;
                cumulative.partition_point(|&c| c <= u).min(last)
            })
            .collect()
    }

    /// The largest k̂ that counts as usable for this number of draws: min(1 - 1/log₁₀ S, 0.7), and -∞ for a single draw.
    #[must_use]
    pub fn pareto_k_limit(&self) -> f64 {
        pareto_k_limit(self.log_weights.len())
    }

    /// Whether averages under these weights can be trusted.
    #[must_use]
    pub fn reliability(&self) -> Reliability {
        self.smoothed.reliability(self.log_weights.len())
    }

    /// The number of draws from which on estimates are expected to be as reliable as k̂ lets them: 10^(1/(1 - max(k, 0))), infinite for
    /// k ≥ 1.
    #[must_use]
    pub fn min_sample_size(pareto_k: f64) -> f64 {
        if pareto_k < 1.0 { 10_f64.powf(1.0 / (1.0 - pareto_k.max(0.0))) } else { f64::INFINITY }
    }

    fn check(&self, values: &[f64]) -> Result<()> {
        if values.len() != self.log_weights.len() {
            return Err(Error::Dimension {
                what: "values of weighted draws",
                expected: self.log_weights.len(),
                found: values.len(),
            });
        }
        match self.log_weights.iter().zip(values).position(|(w, x)| !x.is_finite() && w.exp() > 0.0) {
            Some(index) => Err(Error::NotFinite { what: "values", index, value: values[index] }),
            None => Ok(()),
        }
    }

    /// Positive weights with their values.
    fn weighted<'a>(&'a self, values: &'a [f64]) -> impl Iterator<Item = (f64, f64)> + 'a {
        self.log_weights.iter().zip(values).map(|(w, &x)| (w.exp(), x)).filter(|pair| pair.0 > 0.0)
    }
}

/// How far importance weights can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reliability {
    /// k̂ < 0.5, or no weight is twice the average: a nearly exact proposal may have any k̂, as the fit then is to the shape of the
    /// density ratio about its maximum.
    Good,
    /// k̂ up to the limit of [`Psis::pareto_k_limit`]: averages converge, more slowly.
    Usable,
    /// k̂ above that limit: the proposal is a poor approximation of the target, and estimates and their standard errors may be far off.
    Unreliable,
    /// No tail could be fitted.
    Unknown,
}

impl Reliability {
    /// The verdict on a k̂ from `n_draws` draws; NaN is [`Reliability::Unknown`].
    #[must_use]
    pub fn of(pareto_k: f64, n_draws: usize) -> Self {
        let limit = pareto_k_limit(n_draws);
        if pareto_k.is_nan() {
            Self::Unknown
        } else if pareto_k > limit {
            Self::Unreliable
        } else if pareto_k < GOOD {
            Self::Good
        } else {
            Self::Usable
        }
    }
}

impl Display for Reliability {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "good",
            Self::Usable => "usable",
            Self::Unreliable => "unreliable",
            Self::Unknown => "unknown",
        })
    }
}

pub(super) fn pareto_k_limit(n_draws: usize) -> f64 {
    (1.0 - 1.0 / (n_draws as f64).log10()).min(USABLE)
}

/// Smooths one set of ratios after another in the same memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Smoother {
    /// Scratch for the selection of the cutoff.
    order: Vec<f64>,
    /// Log ratio and index of what exceeds the cutoff.
    tail: Vec<(f64, usize)>,
    exceedances: Vec<f64>,
}

/// What [`Smoother::smooth`] found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Smoothed {
    pub(super) pareto_k: Option<f64>,
    /// The largest log ratio, which has become 0.
    pub(super) largest: f64,
    /// No ratio is twice the mean of all, so that there is no tail; looked at only where k̂ has not settled the matter.
    even: bool,
}

impl Smoothed {
    pub(super) fn reliability(&self, n_draws: usize) -> Reliability {
        match self.pareto_k {
            // Nearly plain averages, of so many draws that a tail would have been seen.
            _ if self.even && n_draws > 4 * LEAST_TAIL => Reliability::Good,
            Some(k) => Reliability::of(k, n_draws),
            None => Reliability::Unknown,
        }
    }
}

impl Smoother {
    /// Replaces log ratios by the smoothed ones relative to the largest raw one, so that all are at most 0.
    ///
    /// # Errors
    /// As [`Psis::new`].
    pub(super) fn smooth(&mut self, log_ratios: &mut [f64], relative_efficiency: f64) -> Result<Smoothed> {
        if log_ratios.is_empty() {
            return Err(Error::Empty { what: "log_ratios" });
        }
        if let Some(index) = log_ratios.iter().position(|x| x.is_nan() || *x == f64::INFINITY) {
            return Err(Error::NotFinite { what: "log_ratios", index, value: log_ratios[index] });
        }
        let largest = log_ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if largest == f64::NEG_INFINITY {
            return Err(Error::ZeroWeights { what: "log_ratios" });
        }
        log_ratios.iter_mut().for_each(|x| *x -= largest);
        let constant = log_ratios.iter().all(|&x| x == 0.0);
        let pareto_k = if constant { None } else { self.smooth_tail(log_ratios, relative_efficiency) };
        let settled = pareto_k.is_some_and(|k| k < GOOD);
        let even = !settled && log_ratios.iter().map(|x| x.exp()).sum::<f64>() > 0.5 * log_ratios.len() as f64;
        Ok(Smoothed { pareto_k, largest, even })
    }

    fn smooth_tail(&mut self, log_ratios: &mut [f64], relative_efficiency: f64) -> Option<f64> {
        let size = log_ratios.len() as f64;
        let n_tail = (0.2 * size).min(3.0 * (size / relative_efficiency).sqrt()).ceil() as usize;
        if n_tail < LEAST_TAIL || n_tail >= log_ratios.len() {
            return None;
        }
        self.order.clear();
        self.order.extend_from_slice(log_ratios);
        let first = log_ratios.len() - n_tail;
        let below = *self.order.select_nth_unstable_by(first - 1, f64::total_cmp).1;
        let least = f64::MIN_POSITIVE.ln();
        let cutoff = below.max(least);
        self.tail.clear();
        self.tail.extend(log_ratios.iter().enumerate().filter(|(_, x)| **x > cutoff).map(|(i, &x)| (x, i)));
        if self.tail.len() < LEAST_TAIL {
            return (below < least).then_some(f64::INFINITY);
        }
        self.tail.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let base = cutoff.exp();
        self.exceedances.clear();
        // Exact where ratios differ by rounding errors only.
        self.exceedances.extend(self.tail.iter().map(|(x, _)| base * (x - cutoff).exp_m1()));
        let (smallest, greatest) = (*self.exceedances.first()?, *self.exceedances.last()?);
        if !(smallest > 0.0 && smallest < greatest) {
            return None;
        }
        let pareto = GeneralisedPareto::fit(&self.exceedances)?;
        let n = self.tail.len() as f64;
        for (rank, &(_, index)) in self.tail.iter().enumerate() {
            let smoothed = base + pareto.quantile((rank as f64 + 0.5) / n);
            log_ratios[index] = smoothed.ln().min(0.0);
        }
        Some(pareto.shape)
    }
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
    fn weights_agree_with_arviz() {
        // Of arviz.psislw(-k * numpy.log(u), reff=r)[0]: the two largest, the twentieth and the smallest, the sum of squared weights, and the sum of
        // log weights times cos(index), for the order.
        #[rustfmt::skip]
        let golden = [
            (0.3, 1.0, 0.3048691857529974, [-4.734436490034826, -5.0908160334558135, -5.967449458594716, -7.2872680857329275,
                0.00129117283090034, -2.8601210477400514]),
            (0.3, 0.3, 0.40695339317047435, [-4.661843193325831, -5.016339606115696, -5.994078313781223, -7.2871602158559154,
                0.0013046483429920027, -3.068230102717523]),
            (0.8, 1.0, 0.7944708667322987, [-2.056493700581225, -2.9363598954532346, -5.058717407238008, -8.522615676497987,
                0.024279969652526063, 3.4182037769381086]),
            (0.8, 0.3, 0.9646191176413516, [-1.6885950471030338, -2.7473357800072042, -5.205014496340046, -8.620814239773038,
                0.04333915808323477, 2.312241046230099]),
            (1.5, 1.0, 1.5083388468679135, [-0.48343517891046695, -2.1410891958279725, -6.0437563064445285, -12.442523175673418,
                0.39947789147918367, 9.941168377717005]),
            (1.5, 0.3, 1.7345317189303266, [-0.3304363913168084, -2.2359866656554868, -6.682236747400726, -13.039905091762348,
                0.5309754407340945, 7.52828570603522]),
        ];
        for (k, efficiency, shape, expected) in golden {
            let log_ratios: Vec<f64> = uniforms(1000).iter().map(|u| -k * u.ln()).collect();
            let psis = Psis::with_relative_efficiency(&log_ratios, efficiency).unwrap();
            assert!((psis.pareto_k().unwrap() - shape).abs() < 1e-9);
            let mut sorted = psis.log_weights().to_vec();
            sorted.sort_by(f64::total_cmp);
            let squares: f64 = psis.weights().iter().map(|w| w * w).sum();
            let order: f64 = psis.log_weights().iter().enumerate().map(|(i, x)| x * (i as f64).cos()).sum();
            let found = [sorted[999], sorted[998], sorted[980], sorted[0], squares, order];
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-9, "{k} {efficiency}: {found} {expected}");
            }
            assert!((psis.ess() - efficiency / squares).abs() < 1e-9);
        }
    }

    /// Averages of k̂ over `n` runs of 10,000 draws.
    fn mean_pareto_k(n: u64, log_ratio: impl Fn(&mut Stream) -> f64) -> f64 {
        let run = |seed| {
            let mut stream = Stream::new(seed);
            let log_ratios: Vec<f64> = (0..10_000).map(|_| log_ratio(&mut stream)).collect();
            pareto_k(&log_ratios).unwrap()
        };
        (0..n).map(run).sum::<f64>() / n as f64
    }

    #[test]
    fn shapes_of_known_tails_are_found() {
        // Ratios that are exactly Pareto: 1/2 is pulled in, so that the average over 200 runs is 0.215, 0.502, 0.694, 0.981; its standard
        // deviation between runs is 0.064 to 0.106, that of an average of 20 at most 0.024, of which five are allowed.
        for (k, expected) in [(0.2, 0.215), (0.5, 0.502), (0.7, 0.694), (1.0, 0.981)] {
            let found = mean_pareto_k(20, |stream| -k * stream.uniform_positive().ln());
            assert!((found - expected).abs() < 0.12 && (found - k).abs() < 0.14, "{k}: {found}");
        }
        // N(0, s²) from draws of N(0, 1): the tail's index is 1 - 1/s² = 0.56, 0.75, 0.89, and far out only: 0.524, 0.691, 0.811 at this size
        // over 200 runs, between which the standard deviation is 0.088 to 0.104. A proposal wider than the target has a bounded ratio: -1.748.
        for (s, expected) in [(1.5, 0.524), (2.0, 0.691), (3.0, 0.811), (0.8, -1.748)] {
            let found = mean_pareto_k(20, |stream| 0.5 * (1.0 - 1.0_f64 / (s * s)) * stream.normal().powi(2));
            assert!((found - expected).abs() < 0.12, "{s}: {found}");
        }
    }

    #[test]
    fn only_the_tail_changes_and_keeps_its_order() {
        let log_ratios: Vec<f64> = uniforms(4000).iter().map(|u| -0.9 * u.ln()).collect();
        let psis = Psis::new(&log_ratios).unwrap();
        let mut order: Vec<usize> = (0..4000).collect();
        order.sort_by(|&a, &b| log_ratios[a].total_cmp(&log_ratios[b]));
        let n_tail = 190; // ⌈3 √4000⌉
        let shift = psis.log_weights()[order[0]] - log_ratios[order[0]];
        let of = |rank: usize| psis.log_weights()[order[rank]];
        for rank in 0..4000 - n_tail {
            assert!((of(rank) - log_ratios[order[rank]] - shift).abs() < 1e-12);
        }
        assert!((1..4000).all(|rank| of(rank - 1) <= of(rank)));
        assert!(of(3999) <= log_ratios[order[3999]] + shift + 1e-12, "truncated at the largest raw weight");
        assert!((3900..3990).any(|rank| (of(rank) - log_ratios[order[rank]] - shift).abs() > 1e-3));
        assert!((log_sum_exp(psis.log_weights())).abs() < 1e-12);
    }

    #[test]
    fn a_factor_changes_the_evidence_alone() {
        let log_ratios: Vec<f64> = uniforms(500).iter().map(|u| (-0.7 * u.ln() * 1024.0).round() / 1024.0).collect();
        let psis = Psis::new(&log_ratios).unwrap();
        // Multiples of 2^-10: the shift is exact.
        let shifted = Psis::new(&log_ratios.iter().map(|x| x - 4096.0).collect::<Vec<_>>()).unwrap();
        assert_eq!(psis.log_weights(), shifted.log_weights());
        assert_eq!(psis.pareto_k(), shifted.pareto_k());
        assert!((psis.log_mean_ratio() - shifted.log_mean_ratio() - 4096.0).abs() < 1e-11);
    }

    #[test]
    fn estimates_under_a_known_target() {
        // p = N(1, 0.8²) without its constant, q = N(0, 1.5²): evidence √(2π) 0.8, mean 1. Over 300 seeds the three ratios to their standard errors
        // have root mean squares of 1.02, 1.05 and 0.96 and a maximum of 3.6, and √S mcse is at most 0.02 off: no failures.
        let mut stream = Stream::new(5);
        let draws: Vec<f64> = (0..20_000).map(|_| 1.5 * stream.normal()).collect();
        let log_q = |x: f64| -0.5 * (x / 1.5).powi(2) - 1.5_f64.ln() - 0.5 * std::f64::consts::TAU.ln();
        let log_ratios: Vec<f64> = draws.iter().map(|x| -0.5 * ((x - 1.0) / 0.8).powi(2) - log_q(*x)).collect();
        let psis = Psis::new(&log_ratios).unwrap();
        assert_eq!(psis.reliability(), Reliability::Good);
        let (mean, mcse) = (psis.mean(&draws).unwrap(), psis.mcse_mean(&draws).unwrap());
        // Delta method by quadrature: √S times the standard error is √(E_q[(p/q)² (x - 1)²]) / evidence = 0.862.
        assert!((mcse * 20_000_f64.sqrt() - 0.862).abs() < 0.03, "{}", mcse * 20_000_f64.sqrt());
        assert!((mean - 1.0).abs() < 5.0 * mcse);
        let evidence = (0.8 * std::f64::consts::TAU.sqrt()).ln();
        assert!((psis.log_mean_ratio() - evidence).abs() < 5.0 * (1.0 / psis.ess() - 1.0 / 20_000.0).sqrt());
        let resampled = psis.resample(20_000, &mut stream);
        let mean_of = resampled.iter().map(|&i| draws[i]).sum::<f64>() / 20_000.0;
        assert!((mean_of - mean).abs() < 5.0 * 0.8 / 20_000_f64.sqrt());
        // Twice the efficiency, half the variance; the tail is shorter.
        let efficient = Psis::with_relative_efficiency(&log_ratios, 2.0).unwrap();
        assert!((efficient.mcse_mean(&draws).unwrap() / mcse - 0.5_f64.sqrt()).abs() < 0.01);
    }

    #[test]
    fn what_is_no_ratio_is_refused() {
        assert!(matches!(Psis::new(&[]), Err(Error::Empty { .. })));
        assert!(matches!(Psis::new(&[f64::NEG_INFINITY; 9]), Err(Error::ZeroWeights { .. })));
        for value in [f64::NAN, f64::INFINITY] {
            let found = Psis::new(&[0.0, 1.0, value, f64::NAN]);
            assert!(matches!(found, Err(Error::NotFinite { index: 2, .. })), "{found:?}");
        }
        for efficiency in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(Psis::with_relative_efficiency(&[0.0], efficiency), Err(Error::InvalidSetting { .. })));
        }
        let psis = Psis::new(&[0.0, 0.0, f64::NEG_INFINITY]).unwrap();
        assert!(matches!(psis.mean(&[1.0]), Err(Error::Dimension { expected: 3, found: 1, .. })));
        assert!(matches!(psis.mean(&[1.0, f64::NAN, 1.0]), Err(Error::NotFinite { index: 1, .. })));
        // What stands at a weight of zero may be anything.
        assert!((psis.mean(&[1.0, 2.0, f64::NAN]).unwrap() - 1.5).abs() < 1e-15);
        assert!((0..50).all(|seed| psis.resample(9, &mut Stream::new(seed)).iter().all(|&i| i < 2)));
    }

    #[test]
    fn small_flat_and_extreme_sets() {
        // No tail, raw weights.
        for n in [1, 4, 20] {
            let log_ratios: Vec<f64> = uniforms(n).iter().map(|u| 3.0 * u).collect();
            let psis = Psis::new(&log_ratios).unwrap();
            assert_eq!((psis.pareto_k(), psis.reliability()), (None, Reliability::Unknown));
            let log_sum = log_sum_exp(&log_ratios);
            assert!(psis.log_weights().iter().zip(&log_ratios).all(|(w, x)| (w - (x - log_sum)).abs() < 1e-14));
            assert!((psis.log_mean_ratio() - (log_sum - (n as f64).ln())).abs() < 1e-14);
        }
        let one = Psis::new(&[-7.0]).unwrap();
        assert_eq!((one.ess(), one.log_mean_ratio(), one.resample(2, &mut Stream::new(1))), (1.0, -7.0, vec![0, 0]));
        // A tail of five.
        for n in [21, 25] {
            assert!(Psis::new(&uniforms(n)).unwrap().pareto_k().is_some());
        }
        // All the same: plain averages.
        let flat = Psis::new(&[3.0; 100]).unwrap();
        assert_eq!((flat.pareto_k(), flat.reliability()), (None, Reliability::Good));
        assert!((flat.ess() - 100.0).abs() < 1e-9 && (flat.log_mean_ratio() - 3.0).abs() < 1e-14);
        // The same but for rounding errors.
        let rounding: Vec<f64> = uniforms(1000).iter().map(|u| 1.0 + 8.0 * f64::EPSILON * (4.0 * u).floor()).collect();
        assert_ne!(Psis::new(&rounding).unwrap().reliability(), Reliability::Unreliable);
        // Half of the draws outside the support, the others all alike: nothing is known of a tail.
        let halves: Vec<f64> = (0..100).map(|i| if i % 2 == 0 { 0.0 } else { f64::NEG_INFINITY }).collect();
        let psis = Psis::new(&halves).unwrap();
        assert_eq!((psis.pareto_k(), psis.reliability()), (None, Reliability::Unknown));
        assert!((psis.ess() - 50.0).abs() < 1e-9);
        // Many draws of few values: ties in the tail.
        let ties: Vec<f64> = uniforms(1000).iter().map(|u| (-8.0 * u.ln()).floor() / 8.0).collect();
        assert!((0.6..1.4).contains(&pareto_k(&ties).unwrap()), "{:?}", pareto_k(&ties));
        // One ratio beside which all others vanish.
        for spread in [800.0, 1e300, f64::MAX] {
            let mut extreme: Vec<f64> = uniforms(1000).iter().map(|u| -u * spread).collect();
            extreme[17] = spread;
            let psis = Psis::new(&extreme).unwrap();
            assert_eq!((psis.pareto_k(), psis.reliability()), (Some(f64::INFINITY), Reliability::Unreliable));
            assert!((psis.ess() - 1.0).abs() < 1e-12 && psis.resample(3, &mut Stream::new(1)) == [17, 17, 17]);
        }
    }

    #[test]
    fn a_million_draws() {
        let log_ratios: Vec<f64> = uniforms(1_000_000).iter().map(|u| -0.4 * u.ln()).collect();
        let psis = Psis::new(&log_ratios).unwrap();
        assert!((psis.pareto_k().unwrap() - 0.4).abs() < 0.1);
        // The mean of u^(-0.4) is 1/0.6; its standard error is √(1/0.2 - 1/0.36) / 1000.
        assert!((psis.log_mean_ratio() - (1.0_f64 / 0.6).ln()).abs() < 5.0 * 0.0015 * 0.6);
    }

    #[test]
    fn verdicts() {
        for (k, n, expected) in [
            (0.49, 10_000, Reliability::Good),
            (0.5, 10_000, Reliability::Usable),
            (0.7, 10_000, Reliability::Usable),
            (0.71, 10_000, Reliability::Unreliable),
            // 1 - 1/log₁₀ 1000 = 0.667, 1 - 1/log₁₀ 50 = 0.411.
            (0.68, 1000, Reliability::Unreliable),
            (0.45, 50, Reliability::Unreliable),
            (f64::INFINITY, 10_000, Reliability::Unreliable),
            (f64::NAN, 10_000, Reliability::Unknown),
        ] {
            assert_eq!(Reliability::of(k, n), expected, "{k} {n}");
        }
        assert!((Psis::min_sample_size(0.5) - 100.0).abs() < 1e-9 && (Psis::min_sample_size(-2.0) - 10.0).abs() < 1e-12);
        assert_eq!(Psis::min_sample_size(1.0), f64::INFINITY);
        assert_eq!(Psis::min_sample_size(f64::NAN), f64::INFINITY);
        assert_eq!(format!("[{:8}]", Reliability::Good), "[good    ]");
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
