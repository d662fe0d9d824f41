//! A language model and a reward model given by tables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, check};
use crate::reasoning::{
    CallError, ContinuationRequest, ContinuationScore, Extension, Finish, Prefix, RewardModel, RewardScale, SamplingPrior,
    ScoreRequest, Step, StepGenerator, StepRequest, StepScores,
};
use crate::rng::{Purpose, Stream};

/// How texts end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndRule {
    /// The end is decided right after a step was written and belongs to that step: `end` of a row is the probability that the text ends
    /// there, and `next` says what follows otherwise.
    #[default]
    WithStep,
    /// The end is a step of its own, without text, drawn like any other.
    OwnStep,
}

/// What may follow a context. `next` and `end` sum to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRow {
    /// Probability of each next step.
    #[serde(default)]
    pub next: BTreeMap<String, f64>,
    /// Probability of the end.
    #[serde(default)]
    pub end: f64,
}

/// A language model over a small alphabet of steps and a reward model of its texts, both given by tables, with a limit of steps at which
/// every text ends.
///
/// Tables are looked up by context: the row whose key is the longest suffix of what was written. A key that starts with `^` matches from
/// the beginning only, and goes before all others; the key `""` matches everything.
///
/// ```
/// use posterity::reasoning::{ExactTarget, Potential, TableModel};
/// let exact = TableModel::two_step_example().enumerate(&Potential::product());
/// assert!((exact.evidence - 0.357).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableModel {
    /// Per context, what follows.
    pub transitions: BTreeMap<String, TableRow>,
    /// How texts end.
    #[serde(default)]
    pub end_rule: EndRule,
    /// Number of steps at which every text ends.
    pub max_steps: usize,
    /// Per context, the score of an unfinished text: a probability.
    pub unfinished: BTreeMap<String, f64>,
    /// Per context, the score of a finished text: a probability.
    pub finished: BTreeMap<String, f64>,
    /// Temperature of the steps that are drawn: probabilities are raised to its inverse.
    #[serde(default = "one")]
    pub temperature: f64,
}

fn one() -> f64 {
    1.0
}

/// The most steps of all texts together that are worth enumerating.
const MOST_STEPS: f64 = 5e6;

impl TableModel {
    /// Two steps of two symbols, A and B, and a reward for each: the smallest model whose potentials depend on the path.
    #[must_use]
    pub fn two_step_example() -> Self {
        let row = |a: f64, b: f64| TableRow { next: BTreeMap::from([("A".to_owned(), a), ("B".to_owned(), b)]), end: 0.0 };
        let table = |pairs: &[(&str, f64)]| pairs.iter().map(|&(key, value)| (key.to_owned(), value)).collect();
        Self {
            transitions: BTreeMap::from([
                (String::new(), row(0.5, 0.5)),
                ("A".to_owned(), row(0.7, 0.3)),
                ("B".to_owned(), row(0.4, 0.6)),
            ]),
            end_rule: EndRule::WithStep,
            max_steps: 2,
            unfinished: table(&[("A", 0.8), ("B", 0.3)]),
            finished: table(&[("AA", 0.9), ("AB", 0.2), ("BA", 0.6), ("BB", 0.5)]),
            temperature: 1.0,
        }
    }

    /// The same tables, drawn at another temperature.
    #[must_use]
    pub fn at_temperature(mut self, temperature: f64) -> Self {
        self.temperature = temperature;
        self
    }

    /// Checks the tables: probabilities that sum to 1, a row for every context that can arise, scores in \[0, 1\].
    ///
    /// # Errors
    /// [`Error::InvalidSetting`].
    pub fn validate(&self) -> Result<(), Error> {
        check::at_least("max_steps", self.max_steps, 1, "at least 1")?;
        check::positive("temperature", self.temperature)?;
        check::in_range(
            "transitions",
            self.transitions.len() as f64,
            self.transitions.contains_key(""),
            "with a row \"\" for every other context",
        )?;
        let mut widest = 1;
        for row in self.transitions.values() {
            let sum: f64 = row.next.values().sum::<f64>() + row.end;
            let are_probabilities = row.next.values().chain([&row.end]).all(|p| (0.0..=1.0).contains(p));
            check::in_range("transitions", sum, are_probabilities && (sum - 1.0).abs() < 1e-9, "probabilities that sum to 1")?;
            // After a step that always ends a text nothing has to follow.
            let ends = self.end_rule == EndRule::OwnStep || row.end == 1.0;
            check::in_range("transitions", row.end, ends || row.next.values().any(|p| *p > 0.0), "rows with a next step")?;
            check::in_range("transitions", f64::NAN, !row.next.contains_key(""), "steps with text")?;
            widest = widest.max(row.next.len());
        }
        for score in self.unfinished.values().chain(self.finished.values()) {
            check::in_range("rewards", *score, (0.0..=1.0).contains(score), "in [0, 1]")?;
        }
        let starts = self.end_rule == EndRule::OwnStep
            || look_up(&self.transitions, "").is_some_and(|row| row.next.values().any(|p| *p > 0.0));
        check::in_range("transitions", f64::NAN, starts, "with a first step")?;
        let length = self.max_steps as f64;
        let n_steps = length * (widest as f64).powf(length) + length * length;
        check::in_range("max_steps", length, n_steps <= MOST_STEPS, "few enough to enumerate all texts")?;
        check::in_range("rewards", f64::NAN, self.has_all_scores(), "given for every text")
    }

    /// True if every text that can arise has a score.
    fn has_all_scores(&self) -> bool {
        let mut open = vec![(String::new(), 0)];
        while let Some((written, n_steps)) = open.pop() {
            for branch in self.branches(&written, n_steps) {
                let next = format!("{written}{}", branch.text);
                let is_finished = branch.finish.is_final();
                if self.reward(&next, is_finished).is_none() {
                    return false;
                }
                if !is_finished {
                    open.push((next, n_steps + 1));
                }
            }
        }
        true
    }

    /// What can follow a text that is not finished: text, whether it ends there, and the probability at temperature 1 and as drawn.
    pub(super) fn branches(&self, written: &str, n_steps: usize) -> Vec<Branch> {
        let Some(row) = look_up(&self.transitions, written) else { return Vec::new() };
        let is_last = n_steps + 1 >= self.max_steps;
        let mut branches = Vec::new();
        match self.end_rule {
            EndRule::OwnStep => {
                for (step, &p) in &row.next {
                    branches.push(Branch::new(step, if is_last { Finish::Eos } else { Finish::Step }, p));
                }
                branches.push(Branch::new("", Finish::Eos, row.end));
            }
            EndRule::WithStep => {
                let rest: f64 = row.next.values().sum();
                for (step, &p) in &row.next {
                    let end = look_up(&self.transitions, &format!("{written}{step}")).map_or(0.0, |row| row.end);
                    if is_last {
                        branches.push(Branch::new(step, Finish::Eos, p / rest));
                    } else {
                        branches.push(Branch::new(step, Finish::Step, p / rest * (1.0 - end)));
                        branches.push(Branch::new(step, Finish::Eos, p / rest * end));
                    }
                }
            }
        }
        branches.retain(|branch| branch.p > 0.0);
        // Relative to the largest one: at low temperatures all others may underflow, but not that.
        let largest = branches.iter().map(|branch| branch.p).fold(0.0, f64::max);
        for branch in &mut branches {
            branch.q = (branch.p / largest).powf(1.0 / self.temperature);
        }
        let total: f64 = branches.iter().map(|branch| branch.q).sum();
        branches.iter_mut().for_each(|branch| branch.q /= total);
        branches.retain(|branch| branch.q > 0.0);
        branches
    }

    /// The score of a text.
    pub(super) fn reward(&self, written: &str, is_finished: bool) -> Option<f64> {
        look_up(if is_finished { &self.finished } else { &self.unfinished }, written).copied()
    }
}

/// One way to go on.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) text: String,
    pub(super) finish: Finish,
    pub(super) p: f64,
    pub(super) q: f64,
}

impl Branch {
    fn new(text: &str, finish: Finish, p: f64) -> Self {
        Self { text: text.to_owned(), finish, p, q: p }
    }

    fn step(&self) -> Step {
        Step { log_sampling: Some(self.q.ln()), log_model: Some(self.p.ln()), ..Step::new(self.text.as_str(), self.finish) }
    }
}

/// The entry of the longest key that fits.
fn look_up<'t, T>(table: &'t BTreeMap<String, T>, written: &str) -> Option<&'t T> {
    if let Some(entry) = table.get(&format!("^{written}")) {
        return Some(entry);
    }
    let starts = written.char_indices().map(|(i, _)| i).chain([written.len()]);
    starts.into_iter().find_map(|i| table.get(&written[i..]))
}

impl StepGenerator for TableModel {
    fn sampling_prior(&self) -> SamplingPrior {
        SamplingPrior { temperature: self.temperature, ..SamplingPrior::of_model("p") }
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
        let extend = |request: &StepRequest<'_>| {
            let branches = self.branches(&request.prefix.written(), request.prefix.n_steps());
            let chosen = if request.greedy {
                branches.iter().reduce(|best, next| if next.p > best.p { next } else { best })
            } else {
                let mut u = Stream::keyed(request.seed, Purpose::Particle, 0, 0).uniform();
                branches.iter().find(|branch| {
                    u -= branch.q;
                    u < 0.0
                })
            };
            // The last one, should round-off leave a rest.
            match chosen.or(branches.last()) {
                Some(branch) => Ok(Extension::new(branch.step())),
                None => Err(CallError::unsupported("a row for this context")),
            }
        };
        requests.iter().map(extend).collect()
    }

    fn can_score(&self) -> bool {
        true
    }

    fn score(&mut self, requests: &[ContinuationRequest<'_>]) -> Vec<Result<ContinuationScore, CallError>> {
        let score = |request: &ContinuationRequest<'_>| {
            let mut prefix: Prefix = request.prefix.clone();
            let mut score =
                ContinuationScore { log_sampling: Vec::new(), log_model: Vec::new(), tokens: request.steps.len() as u64 };
            for step in request.steps {
                let branches = if prefix.is_finished() { Vec::new() } else { self.branches(&prefix.written(), prefix.n_steps()) };
                let found = branches.iter().find(|branch| branch.text == step.text && branch.finish == step.finish);
                score.log_sampling.push(found.map_or(f64::NEG_INFINITY, |branch| branch.q.ln()));
                score.log_model.push(found.map_or(f64::NEG_INFINITY, |branch| branch.p.ln()));
                prefix = prefix.extended((*step).clone());
            }
            Ok(score)
        };
        requests.iter().map(score).collect()
    }
}

impl RewardModel for TableModel {
    fn name(&self) -> String {
        "table".to_owned()
    }

    fn scale(&self) -> RewardScale {
        RewardScale::Probability
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        let score = |request: &ScoreRequest<'_>| {
            // NaN is refused by whoever asked, with the slot's number.
            Ok(StepScores::each(request, |prefix| self.reward(&prefix.written(), prefix.is_finished()).unwrap_or(f64::NAN)))
        };
        requests.iter().map(score).collect()
    }
}
