//! Calibration of scores: against closed forms, and on bad input.

use posterity::math::logit;
use posterity::reasoning::{
    Calibrated, Calibration, CalibrationError, Decoder, DecoderConfig, Interpolation, Models, PlattTargets, Prefix, RewardModel,
    RewardScale,
};
use posterity::rng::Stream;

use super::exact::markov;

/// Scores .2 (one success in four) and .9 (two in three): two points, two parameters, so the fit goes through both frequencies.
const SCORES: [f64; 7] = [0.2, 0.9, 0.2, 0.9, 0.2, 0.9, 0.2];
const OUTCOMES: [bool; 7] = [true, true, false, false, false, true, false];

#[test]
fn platt_goes_through_two_points() {
    let platt = Calibration::platt(RewardScale::Probability, &SCORES, &OUTCOMES, PlattTargets::Outcomes).unwrap();
    assert!((platt.probability(0.2) - 0.25).abs() < 1e-10);
    assert!((platt.probability(0.9) - 2.0 / 3.0).abs() < 1e-10);
    // The same on other scales of the same scores.
    let logits = SCORES.map(logit);
    let by_logit = Calibration::platt(RewardScale::Logit, &logits, &OUTCOMES, PlattTargets::Outcomes).unwrap();
    let logs = SCORES.map(f64::ln);
    let by_log = Calibration::platt(RewardScale::LogProbability, &logs, &OUTCOMES, PlattTargets::Outcomes).unwrap();
    for score in [0.0, 0.3, 0.5, 0.99, 1.0_f64] {
        assert!((by_logit.probability(logit(score)) - platt.probability(score)).abs() < 1e-9);
        assert!((by_log.probability(score.ln()) - platt.probability(score)).abs() < 1e-9);
    }
    // Smoothed: the mean of the targets 4/5 and 1/6 at each score.
    let smoothed = Calibration::platt(RewardScale::Probability, &SCORES, &OUTCOMES, PlattTargets::Smoothed).unwrap();
    assert!((smoothed.probability(0.2) - (0.8 + 3.0 / 6.0) / 4.0).abs() < 1e-10);
    assert!((smoothed.probability(0.9) - (1.6 + 1.0 / 6.0) / 3.0).abs() < 1e-10);
}

#[test]
fn a_fit_finds_the_map_that_made_the_data() {
    let mut stream = Stream::new(4);
    let scores: Vec<f64> = (0..20_000).map(|_| 0.001 + 0.998 * stream.uniform()).collect();
    let truth = |score: f64| 1.0 / (1.0 + (-(0.4 * logit(score) - 0.7)).exp());
    let outcomes: Vec<bool> = scores.iter().map(|&score| stream.uniform() < truth(score)).collect();
    let platt = Calibration::platt(RewardScale::Probability, &scores, &outcomes, PlattTargets::Smoothed).unwrap();
    let isotonic = Calibration::isotonic(RewardScale::Probability, &scores, &outcomes, Interpolation::Linear).unwrap();
    for score in [0.1, 0.3, 0.5, 0.7, 0.9] {
        // Standard errors of about .005 and .015.
        assert!((platt.probability(score) - truth(score)).abs() < 0.02, "{score}");
        assert!((isotonic.probability(score) - truth(score)).abs() < 0.06, "{score}");
    }
}

/// The min-max formula: the value at i is the largest over a <= i of the smallest over b >= i of the mean of a..=b.
fn min_max(sorted: &[f64]) -> Vec<f64> {
    let mean = |a: usize, b: usize| sorted[a..=b].iter().sum::<f64>() / (b - a + 1) as f64;
    let smallest = |a: usize, i: usize| (i..sorted.len()).map(|b| mean(a, b)).fold(f64::INFINITY, f64::min);
    (0..sorted.len()).map(|i| (0..=i).map(|a| smallest(a, i)).fold(f64::NEG_INFINITY, f64::max)).collect()
}

#[test]
fn pooling_agrees_with_the_min_max_formula() {
    let mut stream = Stream::new(8);
    for n in [1, 2, 3, 7, 20, 41] {
        let outcomes: Vec<bool> = (0..n).map(|_| stream.coin()).collect();
        let scores: Vec<f64> = (0..n).map(|i| f64::from(i) - 3.0).collect();
        let isotonic = Calibration::isotonic(RewardScale::Real, &scores, &outcomes, Interpolation::Constant).unwrap();
        let expected = min_max(&outcomes.iter().map(|&outcome| f64::from(outcome)).collect::<Vec<_>>());
        for (&score, expected) in scores.iter().zip(expected) {
            assert!((isotonic.probability(score) - expected).abs() < 1e-14);
            assert_eq!(isotonic.probability(score + 0.5), isotonic.probability(score));
        }
    }
}

#[test]
fn equal_scores_are_one_point_and_lines_join_levels() {
    let fit = |interpolation| Calibration::isotonic(RewardScale::Probability, &SCORES, &OUTCOMES, interpolation).unwrap();
    let (steps, lines) = (fit(Interpolation::Constant), fit(Interpolation::Linear));
    for (score, by_step, by_line) in [
        (0.0, 0.25, 0.25),
        (0.2, 0.25, 0.25),
        (0.55, 0.25, (0.25 + 2.0 / 3.0) / 2.0),
        (0.9, 2.0 / 3.0, 2.0 / 3.0),
        (1.0, 2.0 / 3.0, 2.0 / 3.0),
    ] {
        assert!((steps.probability(score) - by_step).abs() < 1e-14);
        assert!((lines.probability(score) - by_line).abs() < 1e-14);
    }
}

#[test]
fn the_adaptor_is_a_reward_model_and_survives_a_file() {
    let calibration = Calibration::platt(RewardScale::Probability, &SCORES, &OUTCOMES, PlattTargets::Outcomes).unwrap();
    let read: Calibration = serde_json::from_str(&serde_json::to_string(&calibration).unwrap()).unwrap();
    assert_eq!(read, calibration);
    let mut generator = markov();
    let mut rewards = Calibrated::new(markov(), read).unwrap();
    let decoded = Decoder::new(DecoderConfig::new(50, 1))
        .decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""))
        .unwrap();
    let allowed = [0.9, 0.2].map(|score| calibration.probability(score));
    assert!(decoded.texts.iter().all(|text| allowed.contains(&text.reward().unwrap())));
    assert_eq!(rewards.into_inner().scale(), RewardScale::Probability);
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let platt = |scores: &[f64], outcomes: &[bool], targets| {
        Calibration::platt(RewardScale::Probability, scores, outcomes, targets).map(|fit| fit.probability(0.5))
    };
    let exact = PlattTargets::Outcomes;
    assert_eq!(platt(&[0.1, 0.2, 0.8], &[false, false, true], exact), Err(CalibrationError::Separable));
    assert_eq!(platt(&[0.1, 0.2, 0.8], &[true, true, false], exact), Err(CalibrationError::Separable));
    assert_eq!(platt(&[0.1, 0.2, 0.2], &[false, false, true], exact), Err(CalibrationError::Separable));
    assert!(platt(&[0.1, 0.2, 0.8], &[false, false, true], PlattTargets::Smoothed).is_ok_and(|p| p > 0.0 && p < 1.0));
    assert_eq!(platt(&[0.1, 0.2], &[true, true], exact), Err(CalibrationError::OneOutcome));
    assert_eq!(platt(&[0.1, 0.1], &[true, false], PlattTargets::Smoothed), Err(CalibrationError::ConstantScores));
    assert_eq!(platt(&[0.1], &[true, false], exact), Err(CalibrationError::Lengths { scores: 1, outcomes: 2 }));
    assert_eq!(platt(&[], &[], exact), Err(CalibrationError::Empty));
    assert!(matches!(platt(&[0.1, f64::NAN], &[true, false], exact), Err(CalibrationError::Score { index: 1, .. })));
    assert!(matches!(platt(&[1.5, 0.2], &[true, false], exact), Err(CalibrationError::Score { index: 0, .. })));
    let isotonic =
        Calibration::isotonic(RewardScale::Logit, &[f64::NEG_INFINITY, 1.0], &[false, true], Interpolation::Linear).unwrap();
    assert!(isotonic.probability(f64::NEG_INFINITY) == 0.0 && isotonic.probability(f64::NAN).is_nan());
    let found = Calibrated::new(markov(), isotonic).map(|_| ());
    assert_eq!(found, Err(CalibrationError::Scale { expected: RewardScale::Logit, found: RewardScale::Probability }));
    let broken = r#"{"scale":"probability","map":{"isotonic":{"interpolation":"linear","levels":[
        {"low":0.5,"high":0.6,"probability":0.9},{"low":0.7,"high":0.8,"probability":0.2}]}}}"#;
    let broken: Calibration = serde_json::from_str(broken).unwrap();
    assert_eq!(Calibrated::new(markov(), broken).map(|_| ()), Err(CalibrationError::Malformed));
}
