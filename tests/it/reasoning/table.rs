//! Table models: what is refused, what enumeration makes of what is not, and files.

use std::collections::BTreeMap;

use posterity::Error;
use posterity::reasoning::{
    ContinuationRequest, EndRule, Finish, Models, Potential, Prefix, Step, StepGenerator, TableModel, TableRow,
};

use super::exact::markov;

fn row(next: &[(&str, f64)], end: f64) -> TableRow {
    TableRow { next: next.iter().map(|&(step, p)| (step.to_owned(), p)).collect(), end }
}

/// The setting and the rule that a changed table breaks.
fn broken(change: impl FnOnce(&mut TableModel)) -> (&'static str, &'static str) {
    let mut table = markov();
    change(&mut table);
    match table.validate() {
        Err(Error::InvalidSetting { setting, rule, .. }) => (setting, rule),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_rule_of_a_table_is_checked() {
    markov().validate().unwrap();
    let probabilities = ("transitions", "probabilities that sum to 1");
    let set = |key: &'static str, new: TableRow| move |table: &mut TableModel| drop(table.transitions.insert(key.into(), new));
    assert_eq!(broken(set("G", row(&[("G", 0.6), ("B", 0.2)], 0.1))), probabilities);
    assert_eq!(broken(set("G", row(&[("G", 1.2), ("B", -0.2)], 0.0))), probabilities);
    assert_eq!(broken(set("G", row(&[("G", f64::NAN)], 0.5))), probabilities);
    assert_eq!(broken(set("G", row(&[("G", 0.5)], f64::NAN))), probabilities);
    assert_eq!(broken(set("G", row(&[("G", 1.5)], -0.5))), probabilities);
    assert_eq!(broken(set("G", row(&[("G", f64::INFINITY)], 0.0))), probabilities);
    assert_eq!(broken(set("unused", row(&[], 0.0))), probabilities);
    assert_eq!(broken(set("G", row(&[("", 0.5), ("G", 0.5)], 0.0))), ("transitions", "steps with text"));
    assert_eq!(broken(set("", row(&[], 1.0))), ("transitions", "with a first step"));
    assert_eq!(broken(set("^", row(&[], 1.0))), ("transitions", "with a first step"));
    let no_default = |table: &mut TableModel| drop(table.transitions.remove(""));
    assert_eq!(broken(no_default), ("transitions", "with a row \"\" for every other context"));

    assert_eq!(broken(|table| table.max_steps = 0), ("max_steps", "at least 1"));
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(broken(|table| table.temperature = temperature), ("temperature", "positive and finite"));
    }
    for score in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(broken(|table| _ = table.unfinished.insert("B".into(), score)), ("rewards", "in [0, 1]"));
        assert_eq!(broken(|table| _ = table.finished.insert("B".into(), score)), ("rewards", "in [0, 1]"));
    }
    assert_eq!(broken(|table| _ = table.unfinished.remove("G")), ("rewards", "given for every text"));
    assert_eq!(broken(|table| _ = table.finished.remove("B")), ("rewards", "given for every text"));
}

#[test]
fn tables_with_too_many_texts_are_refused_at_once() {
    let start = std::time::Instant::now();
    for max_steps in [20, 1000, 1_000_000_000, usize::MAX] {
        assert_eq!(broken(|table| table.max_steps = max_steps), ("max_steps", "few enough to enumerate all texts"));
        // One text per length only, but long ones.
        let line = |table: &mut TableModel| {
            *table = TableModel { transitions: BTreeMap::from([("".into(), row(&[("G", 1.0)], 0.0))]), max_steps, ..markov() };
        };
        if max_steps > 5000 {
            assert_eq!(broken(line), ("max_steps", "few enough to enumerate all texts"));
        }
    }
    assert!(start.elapsed().as_secs_f64() < 0.5);
}

#[test]
fn nothing_has_to_follow_a_step_that_always_ends() {
    let mut table = markov();
    table.transitions.insert("B".into(), row(&[], 1.0));
    table.validate().unwrap();
    let exact = table.enumerate(&Potential::none());
    assert!((exact.evidence - 1.0).abs() < 1e-15);
    assert!(exact.texts.iter().all(|text| text.steps[..text.steps.len() - 1].iter().all(|step| step == "G")));
}

#[test]
fn the_longest_fitting_context_counts_and_the_beginning_before_it() {
    let scores = |entries: &[(&str, f64)]| entries.iter().map(|&(key, value)| (key.to_owned(), value)).collect();
    let table = TableModel {
        transitions: BTreeMap::from([("".into(), row(&[("a", 0.5), ("é", 0.5)], 0.0)), ("éé".into(), row(&[("a", 1.0)], 0.0))]),
        end_rule: EndRule::OwnStep,
        max_steps: 3,
        unfinished: scores(&[("", 0.1), ("é", 0.2), ("aé", 0.3), ("^é", 0.4)]),
        finished: scores(&[("", 1.0), ("éa", 0.5)]),
        temperature: 1.0,
    };
    table.validate().unwrap();
    let exact = table.enumerate(&Potential::none());
    let found = |text: &str| {
        exact.texts.iter().find(|found| found.text() == text).map(|found| ((found.probability * 1e9).round(), &found.scores[..]))
    };
    assert_eq!(found("ééa"), Some((25e7, &[0.4, 0.2, 0.5][..])));
    assert_eq!(found("aéé"), Some((125e6, &[0.1, 0.3, 1.0][..])));
    assert_eq!(found("ééé"), None);
}

#[test]
fn an_end_of_its_own_is_a_step_without_text() {
    let scores = BTreeMap::from([(String::new(), 0.5)]);
    let table = TableModel {
        transitions: BTreeMap::from([("".into(), row(&[("a", 0.6)], 0.4))]),
        end_rule: EndRule::OwnStep,
        max_steps: 3,
        unfinished: scores.clone(),
        finished: scores,
        temperature: 1.0,
    };
    table.validate().unwrap();
    let exact = table.enumerate(&Potential::none());
    let mut found: Vec<_> = exact.texts.iter().map(|text| (text.steps.concat(), text.steps.len(), text.probability)).collect();
    found.sort_by(|a, b| a.1.cmp(&b.1).then(a.0.cmp(&b.0)));
    let expected = [("", 1, 0.4), ("a", 2, 0.24), ("aa", 3, 0.144), ("aaa", 3, 0.216)];
    assert_eq!(found.len(), expected.len());
    for ((text, n_steps, p), (expected_text, expected_steps, expected_p)) in found.iter().zip(expected) {
        assert_eq!((text.as_str(), *n_steps), (expected_text, expected_steps));
        assert!((p - expected_p).abs() < 1e-15);
    }
}

#[test]
fn temperatures_sharpen_and_flatten_every_row_even_where_powers_underflow() {
    for temperature in [1e-200, 1e-3, 0.5, 2.0, 1e300] {
        let table = markov().at_temperature(temperature);
        table.validate().unwrap();
        let exact = table.enumerate(&Potential::none());
        assert!((exact.evidence - 1.0).abs() < 1e-12, "{temperature}: {}", exact.evidence);
        if temperature < 0.1 {
            // What is likeliest at each step, not the likeliest text.
            let mut kept: Vec<_> = exact.texts.iter().map(|text| (text.text(), text.probability)).collect();
            kept.retain(|(_, p)| *p > 1e-9);
            kept.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(kept.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), ["GGGGG"], "{temperature}");
        }
    }
}

#[test]
fn given_text_is_scored_as_it_is_drawn() {
    let mut table = markov().at_temperature(0.5);
    let prompt = Prefix::prompt("");
    let exact = table.enumerate(&Potential::none());
    for text in exact.texts.iter().step_by(7) {
        let last = text.steps.len() - 1;
        let steps: Vec<Step> = text
            .steps
            .iter()
            .enumerate()
            .map(|(i, step)| Step::new(step.as_str(), if i == last { Finish::Eos } else { Finish::Step }))
            .collect();
        let steps: Vec<&Step> = steps.iter().collect();
        let mut rewards = markov();
        let mut models = Models::new(&mut table, &mut rewards);
        let scores = models.score_steps(&[ContinuationRequest { prefix: &prompt, steps: &steps }]).unwrap();
        let scores = [scores[0].as_ref().unwrap()];
        assert!((scores[0].log_sampling.iter().sum::<f64>() - text.log_sampling).abs() < 1e-12);
        assert!((scores[0].log_model.iter().sum::<f64>() - text.log_model).abs() < 1e-12);
    }
    // What the table cannot write has probability 0, and so has whatever follows an end.
    let (stranger, end) = (Step::new("x", Finish::Step), Step::new("G", Finish::Eos));
    let requests = [
        ContinuationRequest { prefix: &prompt, steps: &[&stranger, &end] },
        ContinuationRequest { prefix: &prompt, steps: &[&end, &end] },
    ];
    let scores: Vec<_> = StepGenerator::score(&mut table, &requests).into_iter().map(Result::unwrap).collect();
    assert_eq!(scores[0].log_sampling[0], f64::NEG_INFINITY);
    assert_eq!(scores[1].log_sampling[1], f64::NEG_INFINITY);
    assert!(scores[1].log_sampling[0].is_finite());
}

#[test]
fn tables_survive_a_file() {
    let table = markov().at_temperature(0.7);
    let text = serde_json::to_string(&table).unwrap();
    assert_eq!(serde_json::from_str::<TableModel>(&text).unwrap(), table);
    let example: TableModel = serde_json::from_str(include_str!("../../../examples/data/toy_lm.json")).unwrap();
    assert_eq!(example, markov());
    // Defaults.
    let short: TableModel = serde_json::from_str(
        r#"{"transitions": {"": {"next": {"a": 1}}}, "max_steps": 1, "unfinished": {}, "finished": {"a": 1}}"#,
    )
    .unwrap();
    short.validate().unwrap();
    assert_eq!((short.temperature, short.end_rule, short.transitions[""].end), (1.0, EndRule::WithStep, 0.0));
}

#[test]
fn unknown_and_missing_fields_are_refused_by_name() {
    let error = |text: &str| serde_json::from_str::<TableModel>(text).unwrap_err().to_string();
    let rest = r#""unfinished": {}, "finished": {}"#;
    assert!(
        error(&format!(r#"{{"transitions": {{}}, "max_steps": 1, "maximum": 3, {rest}}}"#)).contains("unknown field `maximum`")
    );
    assert!(
        error(&format!(r#"{{"transitions": {{"": {{"ends": 1}}}}, "max_steps": 1, {rest}}}"#)).contains("unknown field `ends`")
    );
    assert!(error(&format!(r#"{{"max_steps": 1, {rest}}}"#)).contains("missing field `transitions`"));
    assert!(error(r#"{"transitions": {}, "max_steps": 1, "finished": {}}"#).contains("missing field `unfinished`"));
    assert!(error(&format!(r#"{{"transitions": {{}}, "max_steps": -1, {rest}}}"#)).contains("invalid value"));
    assert!(
        error(&format!(r#"{{"transitions": {{}}, "max_steps": 1, "end_rule": "never", {rest}}}"#)).contains("unknown variant")
    );
}
