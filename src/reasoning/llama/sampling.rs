//! The distribution of the next token: from logits to probabilities by temperature and truncation.

use super::error::LlamaError;
use crate::math::vectorised::exp_in_place;
use crate::reasoning::generator::SamplingPrior;

/// Checks that the settings of a sampling prior are in range.
pub(super) fn validate(prior: &SamplingPrior) -> Result<(), LlamaError> {
    let check =
        |field, value: f64, holds: bool, rule| if holds { Ok(()) } else { Err(LlamaError::Config { field, value, rule }) };
    let SamplingPrior { temperature, top_p, top_k, min_p, max_tokens_per_step, .. } = *prior;
    check("temperature", temperature, temperature >= 0.0 && temperature.is_finite(), "at least 0 and finite")?;
    check("top_p", top_p, top_p > 0.0 && top_p <= 1.0, "in (0, 1]")?;
    check("top_k", top_k.unwrap_or(1).into(), top_k.is_none_or(|k| k > 0), "at least 1")?;
    check("min_p", min_p, (0.0..1.0).contains(&min_p), "in [0, 1)")?;
    check("max_tokens_per_step", 0.0, max_tokens_per_step.is_none_or(|n| n > 0), "at least 1")
}

/// The next token's distribution under a language model and under a sampling prior, with memory for the next one.
///
/// The order is temperature, top-k, top-p, min-p, each on what the one before kept, renormalised; ties go to the lower token.
#[derive(Debug, Default)]
pub(super) struct NextToken {
    log_model: Vec<f64>,
    /// As `log_model` where the prior is the model.
    log_sampling: Vec<f64>,
    probabilities: Vec<f64>,
    order: Vec<usize>,
}

impl NextToken {
    /// From the logits; tokens that are not `allowed` have probability 0 under the model too.
    pub(super) fn set(&mut self, logits: &[f32], allowed: &[bool], prior: &SamplingPrior) -> Result<(), LlamaError> {
        self.log_model.clear();
        let logits = logits.iter().zip(allowed).map(|(&x, &allowed)| if allowed { f64::from(x) } else { f64::NEG_INFINITY });
        self.log_model.extend(logits);
        self.probabilities.clone_from(&self.log_model);
        normalise(&mut self.log_model, &mut self.probabilities)?;
        if prior.is_model() {
            self.log_sampling.clone_from(&self.log_model);
            return Ok(());
        }
        self.order.clear();
        self.order.extend((0..self.log_model.len()).filter(|&i| self.log_model[i] > f64::NEG_INFINITY));
        self.order.sort_by(|&i, &j| self.log_model[j].total_cmp(&self.log_model[i]).then(i.cmp(&j)));
        let mut n_kept = self.order.len();
        if prior.temperature > 0.0 {
            self.log_sampling.clear();
            // The largest is subtracted first: a low temperature would take it to infinity.
            let largest = self.log_model[self.order[0]];
            self.log_sampling.extend(self.log_model.iter().map(|l| (l - largest) / prior.temperature));
            self.probabilities.clone_from(&self.log_sampling);
            normalise(&mut self.log_sampling, &mut self.probabilities)?;
            n_kept = n_kept.min(prior.top_k.map_or(usize::MAX, |k| k as usize));
            if prior.top_p < 1.0 {
                let total: f64 = self.order[..n_kept].iter().map(|&i| self.probabilities[i]).sum();
                let mut sum = 0.0;
                let before = self.order[..n_kept].iter().take_while(|&&i| {
                    sum += self.probabilities[i];
                    sum < prior.top_p * total
                });
                n_kept = n_kept.min(before.count() + 1);
            }
            let least = prior.min_p * self.probabilities[self.order[0]];
            n_kept = self.order[..n_kept].iter().take_while(|&&i| self.probabilities[i] >= least).count();
        } else {
            self.log_sampling.clone_from(&self.log_model);
            n_kept = 1;
        }
        if n_kept < self.order.len() {
            for &i in &self.order[n_kept..] {
                self.log_sampling[i] = f64::NEG_INFINITY;
            }
            self.probabilities.clone_from(&self.log_sampling);
            normalise(&mut self.log_sampling, &mut self.probabilities)?;
        }
        Ok(())
    }

    /// The token at a uniform number in [0, 1), by inversion in the order of tokens.
    pub(super) fn draw(&self, uniform: f64) -> usize {
        let target = uniform * self.probabilities.iter().sum::<f64>();
        let mut sum = 0.0;
        let found = self.probabilities.iter().position(|p| {
            sum += p;
            sum > target
        });
        found.unwrap_or_else(|| self.most_likely())
    }

    /// The token with the largest probability under the model.
    pub(super) fn most_likely(&self) -> usize {
        let mut best = 0;
        for (i, l) in self.log_model.iter().enumerate() {
            if *l > self.log_model[best] {
                best = i;
            }
        }
        best
    }

    pub(super) fn log_model(&self, token: u32) -> f64 {
        self.log_model[token as usize]
    }

    pub(super) fn log_sampling(&self, token: u32) -> f64 {
        self.log_sampling[token as usize]
    }
}

/// Makes log-weights log-probabilities, and a copy of them probabilities.
fn normalise(log_weights: &mut [f64], copy: &mut [f64]) -> Result<(), LlamaError> {
    let largest = log_weights.iter().fold(f64::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    copy.iter_mut().for_each(|x| *x -= largest);
    exp_in_place(copy);
    let total: f64 = copy.iter().sum();
    if !(total > 0.0 && total.is_finite()) {
        return Err(LlamaError::Output);
    }
    let shift = largest + total.ln();
    log_weights.iter_mut().for_each(|l| *l -= shift);
    copy.iter_mut().for_each(|p| *p /= total);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [0.0, 2.0, 1.0, 5.0, 2.0];
    /// The largest is not allowed.
    const ALLOWED: [bool; 5] = [true, true, true, false, true];

    fn kept(prior: &SamplingPrior) -> Vec<f64> {
        let mut next = NextToken::default();
        next.set(&LOGITS, &ALLOWED, prior).unwrap();
        let total: f64 = (0..5).map(|i| next.log_sampling(i).exp()).sum();
        assert!((total - 1.0).abs() < 1e-12);
        (0..5).for_each(|i| assert!((next.log_sampling(i).exp() - next.probabilities[i as usize]).abs() < 1e-12));
        next.probabilities.clone()
    }

    fn close(found: &[f64], weights: [f64; 5]) {
        let total: f64 = weights.iter().sum();
        found.iter().zip(weights).for_each(|(p, w)| assert!((p - w / total).abs() < 1e-12, "{found:?} {weights:?}"));
    }

    #[test]
    fn temperature_and_truncation() {
        let prior = SamplingPrior::of_model("m");
        let e = std::f64::consts::E;
        close(&kept(&prior), [1.0, e * e, e, 0.0, e * e]);
        let hot = SamplingPrior { temperature: 2.0, ..prior.clone() };
        close(&kept(&hot), [1.0, e, e.sqrt(), 0.0, e]);
        let cold = SamplingPrior { temperature: 1e-300, ..prior.clone() };
        close(&kept(&cold), [0.0, 1.0, 0.0, 0.0, 1.0]);
        close(&kept(&SamplingPrior { temperature: 0.0, ..prior.clone() }), [0.0, 1.0, 0.0, 0.0, 0.0]);
        close(&kept(&SamplingPrior { top_k: Some(3), ..prior.clone() }), [0.0, e * e, e, 0.0, e * e]);
        // Shares: .393, .393, .145, .053 of the total; the nucleus of .7 needs two, that of .8 three.
        close(&kept(&SamplingPrior { top_p: 0.7, ..prior.clone() }), [0.0, 1.0, 0.0, 0.0, 1.0]);
        close(&kept(&SamplingPrior { top_p: 0.8, ..prior.clone() }), [0.0, e * e, e, 0.0, e * e]);
        close(&kept(&SamplingPrior { top_p: 1e-9, ..prior.clone() }), [0.0, 1.0, 0.0, 0.0, 0.0]);
        close(&kept(&SamplingPrior { min_p: 0.3, ..prior.clone() }), [0.0, e * e, e, 0.0, e * e]);
        close(&kept(&SamplingPrior { min_p: 0.4, ..prior.clone() }), [0.0, 1.0, 0.0, 0.0, 1.0]);
        assert!(matches!(NextToken::default().set(&[f32::NAN, 1.0], &[true; 2], &prior), Err(LlamaError::Output)));
        assert!(matches!(NextToken::default().set(&[1.0, 1.0], &[false; 2], &prior), Err(LlamaError::Output)));
    }

    #[test]
    fn draws_invert_the_distribution() {
        let mut next = NextToken::default();
        next.set(&[0.0, f32::ln(3.0)], &[true; 2], &SamplingPrior::of_model("m")).unwrap();
        assert_eq!([0.0, 0.249, 0.251, 0.999_999].map(|u| next.draw(u)), [0, 0, 1, 1]);
    }
}
