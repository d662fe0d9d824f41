//! Selectors against closed forms, and rules of answers on bad input.

use posterity::math::ln_factorial;
use posterity::reasoning::{AnswerRule, Answers, Finish, Prefix, Selector, Step, WeightedText, answer_classes};

/// Answers 0 (right), 1, 2 with these probabilities and rewards.
const P: [f64; 3] = [0.35, 0.40, 0.25];
const REWARDS: [f64; 3] = [0.9, 0.8, 0.1];
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

fn text(answer: &str, finish: Finish, weight: f64, score: f64) -> WeightedText {
    WeightedText {
        prefix: Prefix::prompt("").extended(Step::new(answer, finish)),
        weight,
        scores: vec![score],
        log_psi: score.ln(),
    }
}

/// P(the right answer) over all multisets of n answers; each is shown in all orders of its classes, so that ties are split evenly.
fn accuracy(selector: Selector, n: usize) -> f64 {
    let rule = Answers::last_line();
    let prototypes: Vec<_> = (0..3).map(|a| text(&a.to_string(), Finish::Eos, 1.0 / n as f64, REWARDS[a])).collect();
    let mut total = 0.0;
    for first in 0..=n {
        for second in 0..=n - first {
            let counts = [first, second, n - first - second];
            let log_p = ln_factorial(n as u64)
                + (0..3).map(|a| counts[a] as f64 * P[a].ln() - ln_factorial(counts[a] as u64)).sum::<f64>();
            let is_right = |order: &[usize; 3]| {
                let texts: Vec<_> = order.iter().flat_map(|&a| std::iter::repeat_n(prototypes[a].clone(), counts[a])).collect();
                f64::from(selector.select(&texts, &rule).unwrap().answer == "0")
            };
            // In one order and its mirror image, tied classes come first in turn: where both choose alike, there is no tie that matters.
            let (one, mirrored) = (is_right(&ORDERS[0]), is_right(&ORDERS[5]));
            let mean = if one == mirrored { one } else { ORDERS.iter().map(is_right).sum::<f64>() / 6.0 };
            total += log_p.exp() * mean;
        }
    }
    total
}

#[test]
fn accuracies_are_those_of_the_closed_forms() {
    let ns = [1, 4, 16, 64];
    for (selector, expected) in [
        (Selector::MaxReward, [0.35, 0.8214937500, 0.9989846548, 1.0]),
        (Selector::Majority, [0.35, 0.3552500000, 0.3542941097, 0.3103581857]),
        (Selector::WeightedVote, [0.35, 0.3552500000, 0.3542941097, 0.3103581857]),
        (Selector::RewardWeightedVote, [0.35, 0.5638937500, 0.4641701021, 0.4700728597]),
        (Selector::BestOfMajority { threshold: 0.3 }, [0.35, 0.4370187500, 0.7107930014, 0.7745700466]),
    ] {
        for (n, expected) in ns.into_iter().zip(expected) {
            let found = accuracy(selector, n);
            assert!((found - expected).abs() < 2e-10, "{selector:?} N={n}: {found} {expected}");
        }
    }
}

/// The tie rule needs no seed: over all sequences of independent answers, the class that comes first is a fair coin.
#[test]
fn ties_are_split_evenly_among_independent_texts() {
    let rule = Answers::last_line();
    for (selector, expected) in [(Selector::Majority, 0.35525), (Selector::MaxReward, 0.82149375)] {
        let mut total = 0.0;
        for sequence in 0..81_usize {
            let answers = [sequence % 3, sequence / 3 % 3, sequence / 9 % 3, sequence / 27];
            let texts: Vec<_> = answers.iter().map(|&a| text(&a.to_string(), Finish::Eos, 0.25, REWARDS[a])).collect();
            let p: f64 = answers.iter().map(|&a| P[a]).product();
            total += p * f64::from(selector.select(&texts, &rule).unwrap().answer == "0");
        }
        assert!((total - expected).abs() < 1e-12, "{selector:?} {total}");
    }
}

#[test]
fn draws_are_in_proportion_to_weights() {
    let texts = [text("a", Finish::Eos, 0.5, 0.1), text("b", Finish::MaxSteps, 0.2, 0.1), text("c", Finish::Eos, 0.3, 0.1)];
    let rule = Answers::last_line();
    let n = 20_000;
    let share = (0..n)
        .filter(|&seed| Selector::Sample { seed }.select(&texts, &rule).is_some_and(|choice| choice.answer == "a"))
        .count() as f64
        / n as f64;
    // Of the texts with an answer: 0.5 / 0.8; four standard errors are .014.
    assert!((share - 0.625).abs() < 0.014, "{share}");
    let choice = Selector::MaxWeight.select(&texts, &rule).unwrap();
    assert_eq!((choice.index, choice.answer.as_str(), choice.share), (0, "a", 0.5));
}

#[test]
fn what_has_no_weight_no_end_or_no_score_is_not_chosen() {
    let rule = Answers::last_line();
    let selectors = [
        Selector::Sample { seed: 1 },
        Selector::MaxWeight,
        Selector::MaxReward,
        Selector::WeightedVote,
        Selector::RewardWeightedVote,
        Selector::Majority,
        Selector::BestOfMajority { threshold: 0.5 },
    ];
    let good = text("good", Finish::Eos, 0.1, 0.2);
    let texts = [
        text("dead", Finish::Eos, 0.0, 1.0),
        text("unfinished", Finish::Step, 0.6, 1.0),
        text("cut", Finish::MaxTokens, 0.2, 1.0),
        text("NaN", Finish::Eos, f64::NAN, 1.0),
        good.clone(),
    ];
    for selector in selectors {
        assert_eq!(selector.select(&texts, &rule).unwrap().answer, "good", "{selector:?}");
        assert!(selector.select(&texts[..4], &rule).is_none(), "{selector:?}");
        assert!(selector.select(&[], &rule).is_none());
    }
    let worthless = text("0", Finish::Eos, 1.0, 0.0);
    assert!(Selector::RewardWeightedVote.select(std::slice::from_ref(&worthless), &rule).is_none());
    let low = WeightedText { scores: vec![f64::NEG_INFINITY], ..good.clone() };
    assert_eq!(Selector::MaxReward.select(&[low, good], &rule).unwrap().index, 1);
    assert!(Selector::BestOfMajority { threshold: f64::NAN }.validate().is_err());
    assert!(Selector::BestOfMajority { threshold: f64::NAN }.select(&texts, &rule).is_none());
    assert!(Selector::BestOfMajority { threshold: 0.3 }.validate().is_ok());
}

#[test]
fn classes_are_unions_of_equivalent_pairs() {
    let some = |answers: &[&str]| answers.iter().map(|answer| Some((*answer).to_owned())).collect::<Vec<_>>();
    let rule = Answers::last_number().numeric(0.0, 0.11);
    // 1.0 and 1.2 are apart, until a 1.1 joins them.
    assert_eq!(answer_classes(&some(&["1.0", "1.2", "5"]), &rule), [Some(0), Some(1), Some(2)]);
    assert_eq!(answer_classes(&some(&["1.0", "1.2", "5", "1.1"]), &rule), [Some(0), Some(0), Some(1), Some(0)]);
    let mut with_none = some(&["a", "b"]);
    with_none.insert(1, None);
    assert_eq!(answer_classes(&with_none, &Answers::last_line()), [Some(0), None, Some(1)]);
    assert!(answer_classes(&[], &rule).is_empty());
    let lengths = Answers::last_line().equivalent_if(|a, b| a.len() == b.len());
    assert_eq!(answer_classes(&some(&["ab", "c", "de"]), &lengths), [Some(0), Some(1), Some(0)]);
    assert_eq!(Answers::by(|text| text.chars().next().map(String::from)).extract("xyz").as_deref(), Some("x"));
}
