//! Resampling without replacement, and decoding by it.

use std::collections::BTreeSet;

use posterity::reasoning::{
    Base, Budget, Decoded, DecoderConfig, Models, Potential, Prefix, ReasoningError, Severity, Stopped, TableModel,
    WithoutReplacement,
};
use posterity::rng::Stream;
use posterity::weights::ResampleError;
use posterity::weights::resampling::resample_without_replacement;

use super::exact::markov;
use super::flaky::Flaky;

/// Largest |mean of new weight - weight| of all items, in standard errors.
fn worst(weights: &[f64], resample: impl Fn(&mut Stream) -> Vec<(usize, f64)>) -> f64 {
    let n_draws = 20_000;
    let (mut sums, mut squares) = (vec![0.0; weights.len()], vec![0.0; weights.len()]);
    let mut stream = Stream::new(5);
    for _ in 0..n_draws {
        for (i, w) in resample(&mut stream) {
            sums[i] += w;
            squares[i] += w * w;
        }
    }
    let n = f64::from(n_draws);
    let z = weights.iter().zip(sums.iter().zip(&squares)).map(|(w, (sum, square))| {
        let mean = sum / n;
        let error = ((square / n - mean * mean).max(0.0) / n).sqrt();
        // Round-off of weights that never change.
        (mean - w).abs() / (error + 1e-13 * w)
    });
    z.fold(0.0, f64::max)
}

#[test]
fn new_weights_are_unbiased_item_by_item_and_their_sum_does_not_change() {
    for (weights, n) in [
        (vec![8.0, 1.0, 1.0, 2.0], 2),
        (vec![1.0; 9], 4),
        (vec![5.0, 5.0, 5.0, 1e-3, 1e-3, 1e-3, 1e-3], 5),
        (vec![0.3, 2.0, 0.7, 0.1, 4.0, 0.2, 0.9, 1.1, 0.05, 3.0], 6),
        (vec![2.0, 1.0, 1.0], 1),
    ] {
        let logs: Vec<f64> = weights.iter().map(|w: &f64| w.ln()).collect();
        let resample = |stream: &mut Stream| {
            let kept = resample_without_replacement(&logs, n, stream).unwrap();
            assert_eq!(kept.indices.len(), n);
            let c = kept.log_threshold.exp();
            assert!((weights.iter().map(|w| (w / c).min(1.0)).sum::<f64>() - n as f64).abs() < 1e-12, "the threshold's equation");
            assert!(kept.indices.windows(2).all(|pair| pair[0] < pair[1]), "each at most once");
            let pairs: Vec<(usize, f64)> = kept.indices.into_iter().zip(kept.log_weights.iter().map(|w| w.exp())).collect();
            let (old, new): (f64, f64) = (weights.iter().sum(), pairs.iter().map(|(_, w)| w).sum());
            assert!((new / old - 1.0).abs() < 1e-12);
            pairs
        };
        let z = worst(&weights, resample);
        println!("{weights:?} {n}: {z}");
        // At most 10 items in each of 5 cases: 4.5 standard errors are exceeded with probability 3e-4.
        assert!(z < 4.5, "{weights:?}: {z}");
    }
    // A systematic sample whose threshold does not know of heavy items keeps those once, where they should stand for more.
    let weights = [8.0, 1.0, 1.0, 2.0];
    let wrong = |stream: &mut Stream| {
        let c = 6.0;
        let mut point = stream.uniform() * c;
        let mut sum = 0.0;
        let mut kept = Vec::new();
        for (i, w) in weights.iter().enumerate() {
            sum += w;
            if point < sum {
                kept.push((i, c));
                point += c;
            }
        }
        kept
    };
    assert!(worst(&weights, wrong) > 20.0);
}

#[test]
fn extreme_weights_and_bad_input() {
    let mut stream = Stream::new(1);
    let mut keep = |logs: &[f64], n| resample_without_replacement(logs, n, &mut stream);
    // No more items of positive weight than places: nothing changes.
    let kept = keep(&[0.0, f64::NEG_INFINITY, -3.0], 2).unwrap();
    assert_eq!((kept.indices, kept.log_weights, kept.log_threshold), (vec![0, 2], vec![0.0, -3.0], f64::NEG_INFINITY));
    assert_eq!(keep(&[1.0, 2.0], 100).unwrap().indices, [0, 1]);
    // Weights that no common scale of numbers can hold.
    let kept = keep(&[0.0, -2000.0, -2000.0, -2000.0, -5000.0], 3).unwrap();
    assert_eq!(kept.indices.len(), 3);
    assert_eq!((kept.indices[0], kept.log_weights[0]), (0, 0.0));
    assert!((kept.log_weights[1] - (-2000.0 + 1.5_f64.ln())).abs() < 1e-9);
    assert_eq!(keep(&[], 1), Err(ResampleError::Empty));
    assert_eq!(keep(&[0.0], 0), Err(ResampleError::Empty));
    assert_eq!(keep(&[f64::NEG_INFINITY], 1), Err(ResampleError::AllZero));
    assert!(matches!(keep(&[0.0, f64::NAN], 1), Err(ResampleError::Weight { slot: 1, .. })));
    assert!(matches!(keep(&[f64::INFINITY], 1), Err(ResampleError::Weight { slot: 0, .. })));
}

fn decode(table: &TableModel, config: DecoderConfig, budget: Budget) -> Result<Decoded, ReasoningError> {
    let (mut generator, mut rewards) = (table.clone(), table.clone());
    let mut models = Models::new(&mut generator, &mut rewards).with_budget(budget);
    WithoutReplacement::new(config).decode(&mut models, &Prefix::prompt(""))
}

#[test]
fn the_evidence_is_unbiased_and_all_texts_are_different() {
    for (n, k, temperature, base, potential, runs) in [
        (1, 1, 1.0, Base::Sampled, Potential::last(), 4000),
        (2, 3, 1.0, Base::Sampled, Potential::product(), 2000),
        (4, 2, 1.0, Base::Sampled, Potential::last(), 1500),
        (4, 2, 2.0, Base::Power(1.0), Potential::product(), 1500),
        (16, 2, 1.0, Base::Sampled, Potential::product(), 300),
    ] {
        let exact = markov().enumerate(&potential);
        let table = markov().at_temperature(temperature);
        let mut ratios = Vec::new();
        let mut answer = 0.0;
        for seed in 0..runs {
            let config = DecoderConfig::new(n, seed).n_candidates(k).base(base).potential(potential.clone());
            let decoded = decode(&table, config, Budget::default()).unwrap();
            let keys: BTreeSet<_> = decoded.texts.iter().map(|text| text.prefix.key()).collect();
            assert_eq!(keys.len(), decoded.texts.len());
            assert!(decoded.texts.len() <= n * k && decoded.texts.iter().all(|text| text.prefix.is_finished()));
            assert!((decoded.texts.iter().map(|text| text.weight).sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(decoded.ledger.generations <= (n * k * decoded.steps.len()) as u64);
            assert_eq!(decoded.ledger.generate_batches, decoded.steps.len() as u64);
            assert!(decoded.ledger.reward_batches <= decoded.steps.len() as u64);
            let ratio = decoded.evidence.unwrap().log.exp() / exact.evidence;
            // The weighted sum, not its ratio to the evidence, is unbiased too.
            answer += ratio * decoded.mean(|x| f64::from(x.written().ends_with('G'))) / runs as f64;
            ratios.push(ratio);
        }
        let count = ratios.len() as f64;
        let mean = ratios.iter().sum::<f64>() / count;
        let error = (ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (count * (count - 1.0))).sqrt();
        let expected = exact.mean(|x| f64::from(x.text().ends_with('G')));
        println!("N={n} x {k}: {mean} +- {error}, answer {answer} {expected}");
        assert!((mean - 1.0).abs() < 4.0 * error, "N={n} x {k}: {mean} +- {error}");
        assert!((answer - expected).abs() < 4.0 * error.max(0.5 / count.sqrt()), "N={n} x {k}: {answer} {expected}");
    }
}

#[test]
fn with_room_for_every_text_what_is_left_is_the_noise_of_the_candidates() {
    let table = TableModel::two_step_example();
    let exact = table.enumerate(&Potential::product());
    let decoded =
        decode(&table, DecoderConfig::new(4, 1).n_candidates(5000).potential(Potential::product()), Budget::default()).unwrap();
    assert_eq!(decoded.texts.len(), 4);
    assert!((decoded.evidence.unwrap().log - exact.evidence.ln()).abs() < 0.03);
    assert_eq!(decoded.steps.len(), 2);
    assert_eq!(decoded.steps[1].ancestors.len(), 4);
}

#[test]
fn budgets_and_impossible_targets() {
    for limit in [0, 7, 20] {
        let decoded = decode(&markov(), DecoderConfig::new(4, 1).n_candidates(2), Budget::generations(limit)).unwrap();
        assert_eq!(decoded.stopped, Stopped::Budget);
        assert!(decoded.ledger.generations <= limit && !decoded.texts.is_empty());
    }
    // No step is paid for whose scores are not covered.
    let budget = Budget { reward_calls: Some(7), ..Budget::default() };
    let decoded = decode(&markov(), DecoderConfig::new(4, 1).n_candidates(2), budget).unwrap();
    assert_eq!((decoded.stopped, decoded.ledger.generations), (Stopped::Budget, 0));
    let impossible = DecoderConfig::new(4, 1).potential(Potential::custom("0", |_, _| f64::NEG_INFINITY));
    assert!(decode(&markov(), impossible, Budget::default()).is_err());
    let not_a_number = DecoderConfig::new(4, 1).potential(Potential::custom("nan", |_, _| f64::NAN));
    assert!(decode(&markov(), not_a_number, Budget::default()).is_err());
}

#[test]
fn outages_change_nothing_and_failures_for_good_are_counted_or_end_the_run() {
    let table = markov();
    let run = |severity: Severity, drop: bool| {
        let (mut generator, mut rewards) = (Flaky::new(&table, severity), Flaky::new(&table, severity));
        let config = DecoderConfig::new(6, 1).n_candidates(2).drop_failed(drop);
        WithoutReplacement::new(config).decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""))
    };
    let summary = |decoded: &Decoded| {
        let texts = decoded.texts.iter().map(|text| (text.prefix.key(), text.weight.to_bits()));
        (texts.collect::<Vec<_>>(), decoded.evidence.unwrap().log.to_bits())
    };
    let calm = decode(&table, DecoderConfig::new(6, 1).n_candidates(2), Budget::default()).unwrap();
    let flaky = run(Severity::Transient, false).unwrap();
    assert_eq!(summary(&calm), summary(&flaky));
    assert!(flaky.ledger.failed > 0 && flaky.n_dropped == 0);
    let dropped = run(Severity::Slot, true).unwrap();
    assert!(dropped.n_dropped > 0 && dropped.failed.len() == dropped.n_dropped);
    assert!(matches!(run(Severity::Slot, false), Err(ReasoningError::Call { .. })));
    assert!(matches!(run(Severity::Fatal, true), Err(ReasoningError::Call { .. })));
}
