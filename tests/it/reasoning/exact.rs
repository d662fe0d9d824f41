//! The decoder against enumeration: a Markov model of steps with an end, and a reward for each.

use std::collections::BTreeMap;

use posterity::reasoning::{
    Base, CallError, Decoder, DecoderConfig, EndRule, ExactTarget, Extension, Link, Models, Potential, Prefix, SamplingPrior,
    StepGenerator, StepRequest, TableModel, TableRow,
};
use posterity::weights::Scheme;

/// Steps G and B; from G: G .6, B .2, end .2; from B: G .2, B .5, end .3; at most five.
pub(crate) fn markov() -> TableModel {
    let row = |g: f64, b: f64, end: f64| TableRow { next: BTreeMap::from([("G".into(), g), ("B".into(), b)]), end };
    TableModel {
        transitions: BTreeMap::from([
            (String::new(), row(0.5, 0.5, 0.0)),
            ("G".into(), row(0.6, 0.2, 0.2)),
            ("B".into(), row(0.2, 0.5, 0.3)),
        ]),
        end_rule: EndRule::WithStep,
        max_steps: 5,
        unfinished: BTreeMap::from([("G".into(), 0.8), ("B".into(), 0.3)]),
        finished: BTreeMap::from([("G".into(), 0.9), ("B".into(), 0.2)]),
        temperature: 1.0,
    }
}

fn summary(exact: &ExactTarget) -> (f64, f64, f64, f64) {
    let answer = exact.mean(|text| f64::from(text.text().ends_with('G')));
    let length = exact.mean(|text| text.steps.len() as f64);
    let short = exact.mean(|text| f64::from(text.steps.len() == 1));
    (exact.evidence, answer, length, short)
}

fn close(found: (f64, f64, f64, f64), expected: (f64, f64, f64, f64)) {
    for (found, expected) in [(found.0, expected.0), (found.1, expected.1), (found.2, expected.2), (found.3, expected.3)] {
        // The values are given to nine digits.
        assert!((found / expected - 1.0).abs() < 4e-9, "{found} {expected}");
    }
}

#[test]
fn enumeration_agrees_with_values_computed_by_hand() {
    let table = markov();
    table.validate().unwrap();
    assert_eq!(table.enumerate(&Potential::none()).texts.len(), 62);
    let exact = |potential| summary(&table.enumerate(&potential));
    close(exact(Potential::none()), (1.0, 0.4695, 3.06375, 0.25));
    close(exact(Potential::product()), (0.257028972, 0.8115180455, 2.1741391472, 0.4668734387));
    close(exact(Potential::last()), (0.52865, 0.7993001040, 3.1930767048, 0.2269932848));
    close(exact(Potential::min()), (0.39815, 0.7335175185, 2.8772070828, 0.3013939470));
    close(exact(Potential::product().link(Link::Odds)), (184.776720481, 0.9893305325, 4.8101548605, 0.0050736911));
    close(exact(Potential::product().link(Link::Exp)), (11.7426373619, 0.7536594091, 4.4429590436, 0.0365480694));
}

fn decode(config: DecoderConfig) -> posterity::reasoning::Decoded {
    let table = markov();
    let (mut generator, mut rewards) = (table.clone(), table);
    Decoder::new(config).decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt("")).unwrap()
}

#[test]
fn the_evidence_is_unbiased_at_any_number_of_particles() {
    let exact = markov().enumerate(&Potential::product()).evidence;
    for (n, threshold, scheme, runs) in [
        (1, 0.5, Scheme::Systematic, 8000),
        (4, 0.5, Scheme::Systematic, 4000),
        (16, 0.5, Scheme::Multinomial, 1000),
        (16, 9.0, Scheme::Residual, 1000),
        (64, 0.0, Scheme::Systematic, 300),
        (256, 0.5, Scheme::Systematic, 80),
    ] {
        let mut ratios = Vec::new();
        for run in 0..runs {
            let config = DecoderConfig::new(n, 1_000_000 * n as u64 + run)
                .potential(Potential::product())
                .ess_threshold(threshold)
                .scheme(scheme);
            ratios.push(decode(config).evidence.unwrap().log.exp() / exact);
        }
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        let sd = (ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (ratios.len() * (ratios.len() - 1)) as f64).sqrt();
        println!("N={n} {mean} +- {sd}");
        assert!((mean - 1.0).abs() < 4.0 * sd, "N={n}: {mean} +- {sd}");
    }
}

#[test]
fn look_ahead_and_a_model_at_another_temperature_keep_the_target() {
    let hot = markov().at_temperature(2.0);
    let exact = markov().enumerate(&Potential::last()).evidence;
    let mut ratios = Vec::new();
    for seed in 0..1000 {
        let (mut generator, mut rewards) = (hot.clone(), hot.clone());
        let config = DecoderConfig::new(8, seed).base(Base::Power(1.0)).n_candidates(3);
        let decoded = Decoder::new(config).decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt("")).unwrap();
        ratios.push(decoded.evidence.unwrap().log.exp() / exact);
    }
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    let sd = (ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (ratios.len() * (ratios.len() - 1)) as f64).sqrt();
    println!("{mean} +- {sd}");
    assert!((mean - 1.0).abs() < 4.0 * sd, "{mean} +- {sd}");
}

/// Counts what it is asked for, and notes requests that should not be made.
struct Watched {
    table: TableModel,
    batches: Vec<usize>,
    finished: usize,
}

impl StepGenerator for Watched {
    fn sampling_prior(&self) -> SamplingPrior {
        self.table.sampling_prior()
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
        self.batches.push(requests.len());
        self.finished += requests.iter().filter(|request| request.prefix.is_finished()).count();
        self.table.extend(requests)
    }
}

#[test]
fn one_call_of_each_model_per_step_and_none_for_finished_texts() {
    let mut generator = Watched { table: markov(), batches: Vec::new(), finished: 0 };
    let mut rewards = markov();
    let decoder = Decoder::new(DecoderConfig::new(64, 3));
    let decoded = decoder.decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt("")).unwrap();
    assert_eq!(generator.batches.len(), decoded.steps.len());
    assert_eq!(generator.finished, 0);
    assert_eq!(decoded.ledger.generate_batches as usize, decoded.steps.len());
    assert_eq!(decoded.ledger.reward_batches as usize, decoded.steps.len());
    assert_eq!(generator.batches.iter().sum::<usize>() as u64, decoded.ledger.generations);
    assert!(decoded.ledger.generations < 64 * 5, "some texts end before the last step");
    assert!(decoded.texts.iter().all(|text| text.prefix.is_finished()));
}
