//! Power sampling against kernels multiplied out, with and without the ratio of lengths.

use std::collections::BTreeMap;

use posterity::reasoning::{
    Base, Budget, CallError, Decoder, DecoderConfig, EndRule, Extension, Finish, Models, Potential, PowerConfig, PowerDecoded,
    PowerSampler, Prefix, ReasoningError, SamplingPrior, Severity, Step, StepGenerator, StepRequest, Stopped, TableModel,
    TableRow,
};

use super::chi_squared::{chi_squared, limit};
use super::flaky::Flaky;

/// Steps a, b and the end, by context; at most three.
fn table() -> TableModel {
    let row = |a: f64, b: f64, end: f64| TableRow { next: BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]), end };
    let scores = |pairs: &[(&str, f64)]| pairs.iter().map(|&(key, value)| (key.to_owned(), value)).collect();
    TableModel {
        transitions: [
            ("", row(0.5, 0.4, 0.1)),
            ("a", row(0.3, 0.3, 0.4)),
            ("b", row(0.2, 0.6, 0.2)),
            ("aa", row(0.2, 0.2, 0.6)),
            ("ab", row(0.5, 0.2, 0.3)),
            ("ba", row(0.1, 0.3, 0.6)),
            ("bb", row(0.4, 0.4, 0.2)),
        ]
        .map(|(context, row)| (context.to_owned(), row))
        .into(),
        end_rule: EndRule::OwnStep,
        max_steps: 3,
        unfinished: scores(&[("", 0.5)]),
        finished: scores(&[("", 0.4), ("a", 0.9), ("b", 0.2)]),
        temperature: 1.0,
    }
}

/// A finished text with the log-probabilities of its steps under the model and as drawn at a temperature.
#[derive(Debug, Clone)]
struct Text {
    symbols: String,
    log_p: Vec<f64>,
    log_q: Vec<f64>,
    psi: f64,
}

/// All texts; E is the end as a step of its own.
fn texts(temperature: f64) -> Vec<Text> {
    let table = table();
    let mut open = vec![Text { symbols: String::new(), log_p: Vec::new(), log_q: Vec::new(), psi: 1.0 }];
    let mut finished = Vec::new();
    while let Some(text) = open.pop() {
        let row = &table.transitions[&text.symbols];
        let options = [('a', row.next["a"]), ('b', row.next["b"]), ('E', row.end)];
        let total: f64 = options.iter().map(|(_, p)| p.powf(1.0 / temperature)).sum();
        for (symbol, p) in options {
            let mut next = text.clone();
            next.symbols.push(symbol);
            next.log_p.push(p.ln());
            next.log_q.push((p.powf(1.0 / temperature) / total).ln());
            if symbol == 'E' || next.symbols.len() == 3 {
                let last = next.symbols.trim_end_matches('E').chars().last();
                next.psi = last.map_or(0.4, |last| if last == 'a' { 0.9 } else { 0.2 });
                finished.push(next);
            } else {
                open.push(next);
            }
        }
    }
    finished
}

fn power_law(texts: &[Text], alpha: f64, with_psi: bool) -> (f64, Vec<f64>) {
    let weights: Vec<f64> =
        texts.iter().map(|text| (alpha * text.log_p.iter().sum::<f64>()).exp() * if with_psi { text.psi } else { 1.0 }).collect();
    let z: f64 = weights.iter().sum();
    (z, weights.iter().map(|w| w / z).collect())
}

/// One move, from row to column.
fn kernel(texts: &[Text], law: &[f64], length_ratio: bool) -> Vec<Vec<f64>> {
    let tail = |text: &Text, cut: usize| text.log_q[cut..].iter().sum::<f64>().exp();
    let row = |i: usize| {
        let x = &texts[i];
        let n = x.symbols.len();
        let mut row = vec![0.0; texts.len()];
        for cut in 0..n {
            for (j, y) in texts.iter().enumerate() {
                if y.symbols.len() > cut && y.symbols[..cut] == x.symbols[..cut] {
                    let lengths = if length_ratio { n as f64 / y.symbols.len() as f64 } else { 1.0 };
                    let ratio = law[j] * tail(x, cut) / (law[i] * tail(y, cut)) * lengths;
                    let moved = tail(y, cut) / n as f64 * ratio.min(1.0);
                    row[j] += moved;
                    row[i] -= moved;
                }
            }
        }
        row[i] += 1.0;
        row
    };
    (0..texts.len()).map(row).collect()
}

fn after(law: &[f64], kernel: &[Vec<f64>]) -> Vec<f64> {
    (0..law.len()).map(|j| law.iter().zip(kernel).map(|(p, row)| p * row[j]).sum()).collect()
}

fn total_variation(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
}

#[test]
fn laws_and_kernels_by_hand_have_the_values_that_were_computed_before() {
    let texts = texts(1.0);
    assert_eq!(texts.len(), 15);
    let (z, law) = power_law(&texts, 4.0, false);
    assert!((z - 0.002025563266).abs() < 1e-12, "{z}");
    let mode = texts.iter().position(|text| text.symbols == "aE").unwrap();
    assert!((law[mode] - 0.7899037403).abs() < 1e-10);
    let length: f64 = texts.iter().zip(&law).map(|(text, p)| p * text.symbols.len() as f64).sum();
    assert!((length - 2.0911367564).abs() < 1e-10);
    assert!(total_variation(&after(&law, &kernel(&texts, &law, true)), &law) < 1e-15);
    let wrong = kernel(&texts, &law, false);
    let mut stationary = law.clone();
    for _ in 0..20_000 {
        stationary = after(&stationary, &wrong);
    }
    assert!((total_variation(&stationary, &law) - 0.061068).abs() < 1e-6, "{}", total_variation(&stationary, &law));
    let by_length: Vec<f64> = texts.iter().zip(&law).map(|(text, p)| p * text.symbols.len() as f64 / length).collect();
    assert!(total_variation(&stationary, &by_length) < 1e-9);
    // Token by token is another law.
    let token_wise = self::texts(0.25);
    let low: Vec<f64> = token_wise.iter().map(|text| text.log_q.iter().sum::<f64>().exp()).collect();
    assert!((total_variation(&low, &law) - 0.420878).abs() < 1e-6);
}

fn prefix(text: &Text) -> Prefix {
    let last = text.symbols.len() - 1;
    let steps = text.symbols.chars().enumerate().map(|(i, symbol)| {
        let written = if symbol == 'E' { String::new() } else { symbol.to_string() };
        Step {
            log_model: Some(text.log_p[i]),
            log_sampling: Some(text.log_q[i]),
            ..Step::new(written, if i == last { Finish::Eos } else { Finish::Step })
        }
    });
    steps.fold(Prefix::prompt(""), |prefix, step| prefix.extended(step))
}

#[test]
fn a_move_is_the_kernel_multiplied_out_and_not_the_one_without_the_ratio_of_lengths() {
    let n_chains = 3000;
    for (alpha, temperature, potential) in [(4.0, 1.0, None), (2.0, 0.6, None), (1.5, 2.0, Some(Potential::terminal()))] {
        let texts = texts(temperature);
        let (_, law) = power_law(&texts, alpha, potential.is_some());
        let (right, wrong) = (kernel(&texts, &law, true), kernel(&texts, &law, false));
        let mut found = [(0.0, 0.0); 2];
        for (i, text) in texts.iter().enumerate() {
            let mut generator = table().at_temperature(temperature);
            let mut rewards = generator.clone();
            let mut config = PowerConfig::new(alpha, 1, 40 + i as u64).n_chains(n_chains);
            if let Some(potential) = &potential {
                config = config.potential(potential.clone());
            }
            let moved = PowerSampler::new(config)
                .decode_from(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""), &vec![prefix(text); n_chains])
                .unwrap();
            let mut counts = vec![0.0; texts.len()];
            for chain in &moved.chains {
                let to = texts.iter().position(|text| prefix(text) == chain[0].prefix).unwrap();
                counts[to] += 1.0;
            }
            for (found, kernel) in found.iter_mut().zip([&right, &wrong]) {
                let (chi, df) = chi_squared(&counts, &kernel[i]);
                found.0 += chi;
                found.1 += df;
            }
            assert_eq!(moved.decoded.ledger.reward_calls > 0, potential.is_some());
        }
        println!("{alpha} {temperature} {found:?} {}", limit(found[0].1));
        assert!(found[0].0 < limit(found[0].1), "{found:?}");
        assert!(found[1].0 > 2.0 * limit(found[1].1), "{found:?}");
    }
}

/// aa, ab, ba, bb with probabilities 0, .4, .3, .3.
fn two_steps() -> TableModel {
    let row = |a: f64, b: f64| TableRow { next: BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]), end: 0.0 };
    TableModel {
        transitions: [("", row(0.4, 0.6)), ("a", row(0.0, 1.0)), ("b", row(0.5, 0.5))]
            .map(|(context, row)| (context.to_owned(), row))
            .into(),
        max_steps: 2,
        ..table()
    }
}

fn sample(table: &TableModel, config: PowerConfig, budget: Budget) -> PowerDecoded {
    let (mut generator, mut rewards) = (table.clone(), table.clone());
    let mut models = Models::new(&mut generator, &mut rewards).with_budget(budget);
    PowerSampler::new(config).decode(&mut models, &Prefix::prompt("")).unwrap()
}

#[test]
fn two_steps_at_the_square_of_their_probabilities() {
    let texts = ["ab", "ba", "bb"];
    let (z, power) = (0.34, [0.16 / 0.34, 0.09 / 0.34, 0.09 / 0.34]);
    let n = 20_000;
    let sampled = sample(&two_steps(), PowerConfig::new(2.0, n / 4, 3).n_chains(4).burn_in(20), Budget::default());
    for (text, p) in texts.iter().zip(power) {
        let found = sampled.decoded.mean(|x| f64::from(x.written() == *text));
        println!("{text} {found} {p} {:?}", sampled.acceptance_rate);
        // Acceptances are above 1/2, so draws are worth a third of independent ones at least; 4.5 standard errors.
        assert!((found - p).abs() < 4.5 * (3.0 * p * (1.0 - p) / n as f64).sqrt(), "{text} {found} {p}");
    }
    assert!(sampled.acceptance_rate.is_some_and(|rate| rate > 0.5));
    assert_eq!(sampled.decoded.ledger.reward_calls, 0);
    // The same target by particles.
    let mut ratios = Vec::new();
    for seed in 0..2000 {
        let (mut generator, mut rewards) = (two_steps(), two_steps());
        let config = DecoderConfig::new(4, seed).base(Base::Power(2.0)).potential(Potential::none());
        let decoded = Decoder::new(config).decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt("")).unwrap();
        ratios.push(decoded.evidence.unwrap().log.exp() / z);
    }
    let mean = ratios.iter().sum::<f64>() / 2000.0;
    let error = (ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (2000.0 * 1999.0)).sqrt();
    assert!((mean - 1.0).abs() < 4.0 * error, "{mean} +- {error}");
    // Token by token: the mode is another one.
    let token_wise = two_steps().at_temperature(0.5).enumerate(&Potential::none());
    for (text, p) in texts.iter().zip([0.3076923077, 0.3461538462, 0.3461538462]) {
        assert!((token_wise.mean(|x| f64::from(x.text() == *text)) - p).abs() < 1e-9);
    }
}

/// Reports no log-probabilities.
struct Silent(TableModel);

impl StepGenerator for Silent {
    fn sampling_prior(&self) -> SamplingPrior {
        self.0.sampling_prior()
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
        let mut replies = self.0.extend(requests);
        for extension in replies.iter_mut().flatten() {
            (extension.step.log_model, extension.step.log_sampling) = (None, None);
        }
        replies
    }
}

#[test]
fn budgets_cuts_and_bad_input() {
    for limit in [0, 2, 9, 200] {
        let sampled = sample(&table(), PowerConfig::new(4.0, 10_000, 1).n_chains(3), Budget::generations(limit));
        assert_eq!(sampled.decoded.stopped, Stopped::Budget);
        assert!(sampled.decoded.ledger.generations <= limit);
        assert!(sampled.chains.iter().flatten().all(|text| text.prefix.is_finished()));
        assert_eq!(sampled.acceptance_rate.is_some(), limit == 200);
    }
    // No text is paid for whose scores are not covered.
    let budget = Budget { reward_calls: Some(8), ..Budget::default() };
    let sampled = sample(&table(), PowerConfig::new(4.0, 10_000, 1).n_chains(9).potential(Potential::last()), budget);
    assert_eq!((sampled.decoded.stopped, sampled.decoded.ledger.generations), (Stopped::Budget, 0));
    let cut = sample(&table(), PowerConfig::new(1.0, 200, 1).max_steps(2), Budget::default());
    assert!(cut.chains[0].iter().all(|text| text.prefix.n_steps() <= 2));
    assert!(cut.chains[0].iter().any(|text| text.prefix.finish() == Some(Finish::MaxSteps)));
    let decode = |config: PowerConfig, starts: Option<Vec<Prefix>>| {
        let (mut generator, mut rewards) = (table(), table());
        let mut models = Models::new(&mut generator, &mut rewards);
        match starts {
            None => PowerSampler::new(config).decode(&mut models, &Prefix::prompt("")),
            Some(starts) => PowerSampler::new(config).decode_from(&mut models, &Prefix::prompt(""), &starts),
        }
    };
    for alpha in [f64::NAN, -1.0, 0.0, f64::INFINITY] {
        assert!(matches!(decode(PowerConfig::new(alpha, 1, 0), None), Err(ReasoningError::Setting(_))));
    }
    assert!(matches!(decode(PowerConfig::new(1.0, 0, 0), None), Err(ReasoningError::Setting(_))));
    for starts in [vec![], vec![Prefix::prompt("")], vec![Prefix::prompt("q").extended(Step::new("a", Finish::Eos))]] {
        assert!(matches!(decode(PowerConfig::new(1.0, 1, 0), Some(starts)), Err(ReasoningError::Setting(_))));
    }
    let long = |max_steps: usize| decode(PowerConfig::new(1.0, 1, 0).max_steps(max_steps), Some(vec![prefix(&texts(1.0)[0])]));
    let n_steps = texts(1.0)[0].symbols.len();
    assert!(long(n_steps).is_ok() && matches!(long(n_steps - 1), Err(ReasoningError::Setting(_))));
    let (mut generator, mut rewards) = (Silent(table()), table());
    let result = PowerSampler::new(PowerConfig::new(2.0, 1, 0))
        .decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""));
    assert!(matches!(result, Err(ReasoningError::NoLogProbability { .. })));
}

#[test]
fn outages_change_nothing() {
    let config = || PowerConfig::new(2.0, 50, 1).n_chains(3).potential(Potential::last());
    let calm = sample(&table(), config(), Budget::default());
    let (mut generator, mut rewards) = (Flaky::new(&table(), Severity::Transient), Flaky::new(&table(), Severity::Transient));
    let mut models = Models::new(&mut generator, &mut rewards);
    let flaky = PowerSampler::new(config()).decode(&mut models, &Prefix::prompt("")).unwrap();
    assert!(flaky.decoded.ledger.failed > 10);
    for (calm, flaky) in calm.chains.iter().flatten().zip(flaky.chains.iter().flatten()) {
        assert_eq!(calm.prefix, flaky.prefix);
    }
}

#[test]
fn texts_of_density_zero_are_no_samples() {
    let decode = |potential: Potential, starts: Option<&Text>| {
        let (mut generator, mut rewards) = (table(), table());
        let mut models = Models::new(&mut generator, &mut rewards);
        let sampler = PowerSampler::new(PowerConfig::new(1.0, 50, 3).n_chains(4).potential(potential));
        match starts {
            None => sampler.decode(&mut models, &Prefix::prompt("")),
            Some(start) => sampler.decode_from(&mut models, &Prefix::prompt(""), &vec![prefix(start); 4]),
        }
    };
    // Texts of three steps only: a third of those drawn.
    let three = || Potential::custom("n = 3", |scores, _| if scores.len() == 3 { 0.0 } else { f64::NEG_INFINITY });
    let sampled = decode(three(), None).unwrap();
    assert!(sampled.decoded.texts.iter().all(|text| text.prefix.n_steps() == 3));
    assert!(sampled.chains.iter().all(|chain| !chain.is_empty()));
    let none = || Potential::custom("0", |_, _| f64::NEG_INFINITY);
    assert!(matches!(decode(none(), None), Err(ReasoningError::ZeroDensity { chain: 0, n_moves: 50 })));
    assert!(matches!(decode(none(), Some(&texts(1.0)[0])), Err(ReasoningError::Setting(_))));
    for value in [f64::NAN, f64::INFINITY] {
        let result = decode(Potential::custom("no number", move |_, _| value), None);
        assert!(matches!(result, Err(ReasoningError::Score { index: 0, .. })), "{result:?}");
    }
}
