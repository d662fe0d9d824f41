//! The one estimator of gradients, whatever the bound: coefficients per draw times path terms and scores.

use super::approximation::Approximation;
use super::objective::{Estimator, Objective};
use crate::error::{DensityError, Error, StartFailure};
use crate::model::{LogDensityGradient, check_value};
use crate::rng::Stream;

/// What one estimate found, beside the gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BoundEstimate {
    /// The bound, averaged over the groups. Groups in which no draw counts are left out, as if they had not been drawn, and what is left is no lower bound on the log evidence then: `n_failed` says so.
    pub bound: f64,
    /// Draws that were dropped: as the target's log density or gradient is not finite there, or the approximation's log density; and all draws of groups left out.
    pub n_failed: usize,
}

/// Estimates a bound and its gradient in φ; owns all memory that this takes.
///
/// Draws at which the target fails recoverably are dropped and counted. One at which its density is zero keeps its place, with weight 0, where α < 1; else it is
/// dropped too, since its log ratio is -∞. A group without any draw of positive density is left out and counted: bound and gradient are those of the groups that hit.
///
/// ```
/// use posterity::model::{FromFn, LogDensityGradient};
/// use posterity::rng::Stream;
/// use posterity::vi::{BoundGradient, Family, MeanField, Objective};
/// let mut target = FromFn::new(1, |z: &[f64], g: &mut [f64]| { g[0] = 3.0 - z[0]; Ok(-0.5 * (z[0] - 3.0).powi(2)) });
/// let mut rng = Stream::new(1);
/// let mut q = MeanField.start(1, 1.0, &mut rng)?;
/// let mut bound = BoundGradient::new(Objective::elbo(100), q.as_ref())?;
/// let mut gradient = vec![0.0; 2];
/// bound.estimate(q.as_mut(), &mut target, &mut rng, &mut gradient)?;
/// // The mean is 3 too low and the scale is right.
/// assert!((gradient[0] - 3.0).abs() < 1e-12);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct BoundGradient {
    objective: Objective,
    has_noise_scores: bool,
    dim: usize,
    draws: Vec<f64>,
    log_densities: Vec<f64>,
    /// log q of the draws, then their log ratios; NaN where a draw is dropped.
    log_ratios: Vec<f64>,
    scores: Vec<f64>,
    /// ∇ log p of the draws, then their cotangents.
    cotangents: Vec<f64>,
    weights: Vec<f64>,
    path: Vec<f64>,
    score: Vec<f64>,
    noise_score: Vec<f64>,
}

impl BoundGradient {
    /// An estimator for approximations like this one.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a setting out of range, or draws that do not fit into memory. [`Error::NotAvailable`] for an estimator that needs a reparameterisation, a closed entropy or scores in the parameters that
    /// the family lacks; for double reparameterisation, other than of the evidence lower bound, where the noise depends on the parameters.
    pub fn new(objective: Objective, approximation: &dyn Approximation) -> Result<Self, Error> {
        objective.validate()?;
        let refuse = |reason| Err(Error::NotAvailable { what: objective.estimator.name(), reason });
        if objective.needs_gradients() && !approximation.is_reparameterised() {
            return refuse("the family is not reparameterised; leave-one-out and the wake phase need no reparameterisation");
        }
        if objective.estimator == Estimator::ClosedEntropy && approximation.entropy().is_none() {
            return refuse("the entropy of the family is not known in closed form");
        }
        if objective.needs_parameter_scores() && !approximation.has_parameter_scores() {
            return refuse("the family does not know its scores in the parameters");
        }
        let doubly = matches!(objective.estimator, Estimator::DoublyReparameterised | Estimator::StickingTheLanding);
        if doubly && objective.alpha != 1.0 && approximation.has_noise_scores() {
            return refuse("the family's noise depends on its parameters, which allows it for the evidence lower bound only");
        }
        let (n, dim) = (objective.n_draws(), approximation.dim());
        let zeros = |width: usize| {
            let mut buffer = Vec::new();
            let n_entries = n.checked_mul(width).filter(|n_entries| buffer.try_reserve_exact(*n_entries).is_ok());
            let rule = "so few that they fit into memory";
            let n_entries = n_entries.ok_or(Error::InvalidSetting { setting: "number of draws", value: n as f64, rule })?;
            buffer.resize(n_entries, 0.0);
            Ok::<Vec<f64>, Error>(buffer)
        };
        Ok(Self {
            objective,
            has_noise_scores: approximation.has_noise_scores(),
            dim,
            draws: zeros(dim)?,
            log_densities: zeros(1)?,
            log_ratios: zeros(1)?,
            scores: zeros(dim)?,
            cotangents: zeros(dim)?,
            weights: zeros(1)?,
            path: zeros(1)?,
            score: zeros(1)?,
            noise_score: zeros(1)?,
        })
    }

    /// Draws from the approximation, evaluates the target there, and writes the gradient of the bound.
    ///
    /// # Errors
    /// [`Error::Dimension`]; [`Error::Density`] for a fatal error of the target; [`Error::NoUsableDraw`] if all draws had to be dropped.
    pub fn estimate(
        &mut self,
        approximation: &mut dyn Approximation,
        target: &mut dyn LogDensityGradient,
        rng: &mut Stream,
        gradient: &mut [f64],
    ) -> Result<BoundEstimate, Error> {
        for (what, expected, found) in [
            ("dimension of the approximation", self.dim, approximation.dim()),
            ("dimension of the target", self.dim, target.dim()),
            ("gradient of the bound", approximation.parameters().len(), gradient.len()),
        ] {
            if expected != found {
                return Err(Error::Dimension { what, expected, found });
            }
        }
        approximation.sample(rng, &mut self.draws, &mut self.log_ratios);
        let n_failed = self.evaluate(target)?;
        let (bound, n_left_out) = self.weigh();
        gradient.fill(0.0);
        self.differentiate(approximation, gradient);
        Ok(BoundEstimate { bound, n_failed: n_failed + n_left_out })
    }

    /// Log ratios of the latest draws, group by group; NaN for those dropped.
    #[must_use]
    pub fn log_ratios(&self) -> &[f64] {
        &self.log_ratios
    }

    /// The latest draws, n x d row-major.
    #[must_use]
    pub fn draws(&self) -> &[f64] {
        &self.draws
    }

    /// Weights wᵢ of the latest draws: they sum to 1 in every group, and are 0 for draws dropped. The gradient of the bound in parameters θ of the model itself is Σ wᵢ ∇θ log p(zᵢ; θ), over the
    /// number of groups.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Evaluates the target at the draws: log densities, log ratios and gradients. Returns the number of draws dropped.
    fn evaluate(&mut self, target: &mut dyn LogDensityGradient) -> Result<usize, Error> {
        let needs_gradients = self.objective.needs_gradients();
        let keeps_zero_density = self.objective.alpha < 1.0;
        let (mut n_failed, mut n_zero) = (0, 0);
        let mut last = StartFailure::ZeroDensity;
        let rows = self.draws.chunks_exact(self.dim).zip(self.cotangents.chunks_exact_mut(self.dim));
        for (((draw, gradient), log_ratio), log_density) in rows.zip(&mut self.log_ratios).zip(&mut self.log_densities) {
            let value = if !log_ratio.is_finite() || draw.iter().any(|x| !x.is_finite()) {
                Err(DensityError::NotANumber)
            } else if needs_gradients {
                target.log_density_gradient(draw, gradient)
            } else {
                target.log_density(draw)
            };
            let checked = value.and_then(check_value).and_then(|value| match gradient.iter().position(|g| !g.is_finite()) {
                Some(index) if needs_gradients && value > f64::NEG_INFINITY => {
                    Err(DensityError::GradientNotFinite { index, value: gradient[index] })
                }
                _ => Ok(value),
            });
            *log_density = match checked {
                Ok(value) if value == f64::NEG_INFINITY => {
                    n_zero += 1;
                    gradient.fill(0.0);
                    if keeps_zero_density { value } else { f64::NAN }
                }
                Ok(value) => value,
                Err(error) if error.is_recoverable() => {
                    gradient.fill(0.0);
                    n_failed += 1;
                    last = StartFailure::Failed(error);
                    f64::NAN
                }
                Err(error) => return Err(error.into()),
            };
            *log_ratio = *log_density - *log_ratio;
        }
        if n_failed + n_zero == self.log_ratios.len() {
            return Err(Error::NoUsableDraw { n_draws: n_failed + n_zero, cause: last });
        }
        Ok(n_failed + if keeps_zero_density { 0 } else { n_zero })
    }

    /// Weights, coefficients and the bound. A group in which every density is zero or every draw is dropped has no bound; the others are averaged. Returns the bound, and the draws of density zero in
    /// groups left out.
    fn weigh(&mut self) -> (f64, usize) {
        let Objective { alpha, n_importance: k, estimator, .. } = self.objective;
        let closed_entropy = estimator == Estimator::ClosedEntropy;
        let tilt = 1.0 - alpha;
        let (mut sum, mut n_usable, mut n_left_out) = (0.0, 0.0, 0);
        let groups =
            self.log_ratios.chunks_exact(k).zip(self.log_densities.chunks_exact(k)).zip(self.weights.chunks_exact_mut(k));
        let coefficients =
            self.path.chunks_exact_mut(k).zip(self.score.chunks_exact_mut(k)).zip(self.noise_score.chunks_exact_mut(k));
        for (((a, log_density), w), ((path, score), noise)) in groups.zip(coefficients) {
            path.fill(0.0);
            score.fill(0.0);
            noise.fill(0.0);
            let Some(bound) = weigh_group(tilt, a, w) else {
                n_left_out += a.iter().filter(|a| !a.is_nan()).count();
                continue;
            };
            sum += bound;
            n_usable += 1.0;
            for i in 0..k {
                match estimator {
                    Estimator::Total => (path[i], score[i]) = (w[i], -w[i]),
                    Estimator::StickingTheLanding | Estimator::ClosedEntropy => path[i] = w[i],
                    Estimator::DoublyReparameterised => path[i] = alpha * w[i] + tilt * w[i] * w[i],
                    Estimator::WakePhase => score[i] = w[i],
                    Estimator::LeaveOneOut => {}
                }
            }
            match estimator {
                Estimator::LeaveOneOut => {
                    leave_one_out(tilt, a, bound, score);
                    if alpha != 1.0 {
                        score.iter_mut().zip(w).for_each(|(s, w)| *s -= *w);
                    }
                }
                Estimator::WakePhase => {}
                _ if !self.has_noise_scores => {}
                // Nothing predicts a single draw.
                _ if k == 1 => noise[0] = if closed_entropy { log_density[0] } else { bound },
                // The score of the noise in the entropy is part of the closed form.
                _ if closed_entropy => leave_one_out(tilt, log_density, bound, noise),
                _ => leave_one_out(tilt, a, bound, noise),
            }
        }
        for coefficients in [&mut self.path, &mut self.score, &mut self.noise_score] {
            coefficients.iter_mut().for_each(|c| *c /= n_usable);
        }
        (sum / n_usable, n_left_out)
    }

    fn differentiate(&mut self, approximation: &mut dyn Approximation, gradient: &mut [f64]) {
        let estimator = self.objective.estimator;
        if self.objective.needs_gradients() {
            let closed_entropy = estimator == Estimator::ClosedEntropy;
            if !closed_entropy {
                approximation.scores(&mut self.scores);
            }
            let rows = self.cotangents.chunks_exact_mut(self.dim).zip(self.scores.chunks_exact(self.dim)).zip(&self.path);
            for ((cotangent, score), &coefficient) in rows {
                // Not multiplied: a draw that does not count may have scores that are not finite.
                if coefficient == 0.0 {
                    cotangent.fill(0.0);
                } else if closed_entropy {
                    cotangent.iter_mut().for_each(|c| *c *= coefficient);
                } else {
                    cotangent.iter_mut().zip(score).for_each(|(c, s)| *c = coefficient * (*c - s));
                }
            }
            approximation.pull_back(&self.cotangents, gradient);
            if closed_entropy {
                approximation.entropy_gradient(1.0, gradient);
            }
            if self.has_noise_scores {
                approximation.noise_scores(&self.noise_score, gradient);
            }
        }
        if self.objective.needs_parameter_scores() {
            approximation.parameter_scores(&self.score, gradient);
        }
    }
}

/// Weights of one group, and its bound; `None` if no draw counts.
fn weigh_group(tilt: f64, log_ratios: &[f64], weights: &mut [f64]) -> Option<f64> {
    let usable = log_ratios.iter().filter(|a| !a.is_nan());
    let n = usable.clone().count() as f64;
    if tilt == 0.0 {
        weights.iter_mut().zip(log_ratios).for_each(|(w, a)| *w = if a.is_nan() { 0.0 } else { 1.0 / n });
        return (n > 0.0).then(|| usable.sum::<f64>() / n);
    }
    let largest = usable.map(|a| tilt * a).fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        weights.fill(0.0);
        return None;
    }
    let mut total = 0.0;
    for (w, a) in weights.iter_mut().zip(log_ratios) {
        *w = if a.is_nan() { 0.0 } else { (tilt * a - largest).exp() };
        total += *w;
    }
    weights.iter_mut().for_each(|w| *w /= total);
    Some((largest + (total / n).ln()) / tilt)
}

/// Writes L - L₋ᵢ for the draws that count, where in L₋ᵢ the log ratio of draw i is the mean of the others; zero for a draw alone.
fn leave_one_out(tilt: f64, log_ratios: &[f64], bound: f64, out: &mut [f64]) {
    let usable = || log_ratios.iter().copied().filter(|a| !a.is_nan());
    let (n, n_finite) = (usable().count() as f64, usable().filter(|a| a.is_finite()).count() as f64);
    let sum: f64 = usable().filter(|a| a.is_finite()).sum();
    let largest = usable().map(|a| tilt * a).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = usable().map(|a| (tilt * a - largest).exp()).sum();
    for (i, &a) in log_ratios.iter().enumerate() {
        let others = n_finite - if a.is_finite() { 1.0 } else { 0.0 };
        if a.is_nan() || others == 0.0 {
            continue;
        }
        let predicted = (sum - if a.is_finite() { a } else { 0.0 }) / others;
        if tilt == 0.0 {
            out[i] = (a - predicted) / n;
            continue;
        }
        let own = (tilt * a - largest).exp();
        // A draw that dominates is left out of the sum, not subtracted from it; there is at most one.
        let log_sum = if own > 0.5 * total {
            let rest = || usable_but(log_ratios, i).chain(std::iter::once(predicted)).map(|a| tilt * a);
            let largest = rest().fold(f64::NEG_INFINITY, f64::max);
            largest + rest().map(|a| (a - largest).exp()).sum::<f64>().ln()
        } else {
            largest + (total - own + (tilt * predicted - largest).exp()).ln()
        };
        out[i] = bound - (log_sum - n.ln()) / tilt;
    }
}

/// Log ratios of the draws that count, all but one.
fn usable_but(log_ratios: &[f64], left_out: usize) -> impl Iterator<Item = f64> {
    log_ratios.iter().copied().enumerate().filter(move |(i, a)| *i != left_out && !a.is_nan()).map(|(_, a)| a)
}
