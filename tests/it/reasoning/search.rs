//! Search baselines: what they return, what they cost, and that a wide beam is exhaustive.

use posterity::error::Error;
use posterity::reasoning::{
    Answers, Budget, Call, CallError, Decoded, Extension, Finish, Link, Models, Potential, Prefix, ReasoningError, RewardModel,
    RewardScale, SamplingPrior, ScoreRequest, Search, Selector, Severity, Step, StepGenerator, StepRequest, StepScores, Stopped,
    TableModel, Trace,
};

use super::exact::markov;
use super::flaky::Flaky;

fn run(search: &Search, budget: Budget) -> Decoded {
    let table = markov();
    let (mut generator, mut rewards) = (table.clone(), table);
    search.decode(&mut Models::new(&mut generator, &mut rewards).with_budget(budget), &Prefix::prompt("")).unwrap()
}

fn all(n: usize, width: usize, seed: u64) -> [Search; 4] {
    [Search::independent(n, seed), Search::beam(n, width, seed), Search::dvts(n, width, seed), Search::rebase(n, 0.2, seed)]
}

/// The most probable text under p(x) ψ(x).
fn mode(potential: &Potential) -> String {
    let exact = markov().enumerate(potential);
    exact.texts.iter().max_by(|a, b| a.probability.total_cmp(&b.probability)).unwrap().text()
}

#[test]
fn one_batch_of_each_model_per_step_and_only_finished_texts_back() {
    for search in all(16, 4, 3) {
        let decoded = run(&search, Budget::default());
        assert_eq!(decoded.stopped, Stopped::Finished);
        assert!(!decoded.texts.is_empty() && decoded.texts.len() <= 16, "{}", decoded.target);
        assert!(decoded.texts.iter().all(|text| text.prefix.is_finished()), "{}", decoded.target);
        assert!((decoded.texts.iter().map(|text| text.weight).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(decoded.evidence.is_none());
        assert!(decoded.ledger.generate_batches <= 5 && decoded.ledger.generations <= 80, "{:?}", decoded.ledger);
        let is_independent = decoded.target == "p(x)";
        assert_eq!(decoded.ledger.reward_batches, if is_independent { 1 } else { decoded.ledger.generate_batches });
        for text in &decoded.texts {
            assert_eq!(text.scores.len(), text.prefix.n_steps());
            assert!((text.log_psi - text.reward().unwrap().ln()).abs() < 1e-12);
        }
        let again = run(&search, Budget::default());
        assert!(decoded.texts.iter().zip(&again.texts).all(|(a, b)| a.prefix == b.prefix));
    }
}

#[test]
fn independent_texts_are_draws_of_the_prior_and_cost_their_own_steps() {
    let n = 4000;
    let decoded = run(&Search::independent(n, 5), Budget::default());
    assert_eq!(decoded.texts.len(), n);
    let steps: usize = decoded.texts.iter().map(|text| text.prefix.n_steps()).sum();
    assert_eq!(decoded.ledger.generations as usize, steps);
    let good = decoded.mean(|text| f64::from(text.written().ends_with('G')));
    let short = decoded.mean(|text| f64::from(text.n_steps() == 1));
    // Standard errors .008 and .007; the prior has .4695 and .25.
    assert!((good - 0.4695).abs() < 0.03 && (short - 0.25).abs() < 0.03, "{good} {short}");
    let unscored = run(&Search::independent(8, 5).without_rewards(), Budget::default());
    assert_eq!((unscored.ledger.reward_batches, unscored.texts[0].reward()), (0, None));
    assert!(Selector::MaxReward.select(&unscored.texts, &Answers::last_line()).is_none());
    assert!(Selector::Majority.select(&unscored.texts, &Answers::last_line()).is_some());
}

#[test]
fn a_beam_as_wide_as_the_tree_finds_what_enumeration_finds() {
    // The potential holds the steps' scores; with width 1 nothing is pruned, and 4000 candidates meet each of the 62 texts.
    for potential in [Potential::product(), Potential::last(), Potential::min(), Potential::product().link(Link::Odds)] {
        let exact = markov().enumerate(&potential);
        let best = exact.reweighted(|text| potential.log_psi(RewardScale::Probability, &text.scores, true));
        let largest = best.texts.iter().map(|text| text.probability).fold(0.0, f64::max) * best.evidence;
        let decoded = run(&Search::beam(4000, 1, 1).potential(potential.clone()), Budget::default());
        let found = decoded.texts.iter().map(|text| text.log_psi.exp()).fold(0.0, f64::max);
        assert!((found / largest - 1.0).abs() < 1e-12, "{}: {found} {largest}", potential.formula());
    }
    // Modes of the targets, the prior's share included (specification of the table model).
    assert_eq!(mode(&Potential::none()), "B");
    assert_eq!(mode(&Potential::product()), "G");
    assert_eq!(mode(&Potential::product().link(Link::Odds)), "GGGGG");
}

#[test]
fn pruning_keeps_the_best_and_trees_of_their_own_do_not_compete() {
    // Under the last score, a text in G outranks any in B: after a step of 32 candidates the beam holds G alone.
    let beam = run(&Search::beam(32, 4, 2), Budget::default());
    assert!(beam.texts.iter().filter(|text| text.prefix.n_steps() > 1).all(|text| text.prefix.written().starts_with('G')));
    // With trees of width 1 there is no choice at all: plain sampling.
    let apart = run(&Search::dvts(4000, 1, 2), Budget::default());
    assert_eq!(apart.texts.len(), 4000);
    let good = apart.mean(|text| f64::from(text.written().ends_with('G')));
    assert!((good - 0.4695).abs() < 0.03, "{good}");
    // One tree of width 16 keeps to the best, and returns the finished siblings of the last step only.
    let tree = run(&Search::dvts(16, 16, 2), Budget::default());
    let n_steps = tree.texts[0].prefix.n_steps();
    assert!(tree.texts.iter().all(|text| text.prefix.n_steps() == n_steps));
    assert_eq!(tree.texts[0].reward(), Some(0.9));
}

#[test]
fn equal_candidates_count_once_on_demand() {
    let table = markov();
    let widest = |remove: bool| {
        let mut watched = Watched { table: table.clone(), n_different: Vec::new() };
        let mut rewards = table.clone();
        let search = Search::beam(16, 4, 4).remove_duplicates(remove);
        search.decode(&mut Models::new(&mut watched, &mut rewards), &Prefix::prompt("")).unwrap();
        watched.n_different[1]
    };
    // All four beams hold G after the first step; without duplicates one of them holds B.
    assert_eq!((widest(false), widest(true)), (1, 2));
}

/// Notes how many different prefixes it is asked to extend.
struct Watched {
    table: TableModel,
    n_different: Vec<usize>,
}

impl StepGenerator for Watched {
    fn sampling_prior(&self) -> SamplingPrior {
        self.table.sampling_prior()
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
        let mut keys: Vec<_> = requests.iter().map(|request| request.prefix.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        self.n_different.push(keys.len());
        self.table.extend(requests)
    }
}

#[test]
fn greedy_takes_the_likeliest_steps_and_pays_no_rewards() {
    let decoded = run(&Search::greedy(), Budget::default());
    // Of the first branches, "G" going on has .4, "B" going on .35; then "G" going on .6 of what goes on, and so on to the last step.
    assert_eq!(decoded.texts.len(), 1);
    assert_eq!(decoded.texts[0].prefix.written(), "GGGGG");
    assert_eq!((decoded.ledger.reward_calls, decoded.ledger.generations), (0, 5));
}

#[test]
fn budgets_stop_searches_and_unfinished_texts_are_no_answers() {
    for search in all(16, 4, 3) {
        let decoded = run(&search, Budget::generations(20));
        assert_eq!(decoded.stopped, Stopped::Budget);
        assert!(decoded.ledger.generations <= 20);
        assert!(decoded.texts.iter().any(|text| !text.prefix.is_finished()), "{}", decoded.target);
        let choice = Selector::Majority.select(&decoded.texts, &Answers::last_line());
        assert!(choice.is_none_or(|choice| decoded.texts[choice.index].prefix.is_finished()));
        let nothing = run(&search, Budget { reward_calls: Some(0), ..Budget::default() });
        assert_eq!((nothing.stopped, nothing.ledger.generations), (Stopped::Budget, 0));
    }
}

#[test]
fn texts_cut_at_the_limit_of_steps_end_so_and_have_no_answer_unless_the_rule_says_so() {
    for search in all(16, 4, 3) {
        let decoded = run(&search.max_steps(1), Budget::default());
        assert!(decoded.texts.iter().all(|text| text.prefix.is_finished() && text.prefix.n_steps() == 1));
        let cut = |text: &Prefix| text.finish() == Some(Finish::MaxSteps);
        let only_cut: Vec<_> = decoded.texts.into_iter().filter(|text| cut(&text.prefix)).collect();
        assert!(!only_cut.is_empty() || decoded.target.contains("verifier"));
        assert!(Selector::Majority.select(&only_cut, &Answers::last_line()).is_none());
        let lenient = Answers::last_line().accept_cut(true);
        assert_eq!(Selector::Majority.select(&only_cut, &lenient).is_some(), !only_cut.is_empty());
    }
}

/// Fails the first `n` requests in some way, then goes on as the table.
struct Failing {
    table: TableModel,
    n: usize,
    severity: Severity,
}

impl StepGenerator for Failing {
    fn sampling_prior(&self) -> SamplingPrior {
        self.table.sampling_prior()
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
        let mut replies = self.table.extend(requests);
        for reply in replies.iter_mut().take(self.n) {
            *reply = Err(CallError::new(self.severity, "no"));
        }
        self.n = self.n.saturating_sub(requests.len());
        replies
    }
}

/// Always fails to score.
struct NoScore;

impl RewardModel for NoScore {
    fn scale(&self) -> RewardScale {
        RewardScale::Probability
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        requests.iter().map(|_| Err(CallError::new(Severity::Slot, "no"))).collect()
    }
}

#[test]
fn failures_are_retried_dropped_on_demand_or_typed_errors() {
    for search in all(16, 4, 3) {
        let run = |search: &Search, n: usize, severity: Severity| {
            let mut generator = Failing { table: markov(), n, severity };
            let mut rewards = markov();
            search.decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""))
        };
        let retried = run(&search, 3, Severity::Transient).unwrap();
        assert_eq!((retried.failed.len(), retried.n_dropped), (3, 0));
        assert!(matches!(
            run(&search, 1, Severity::Slot),
            Err(ReasoningError::Slot { step: 1, slot: 0, call: Call::Generate, .. })
        ));
        let dropped = run(&search.clone().drop_failed(true), 3, Severity::Slot).unwrap();
        assert_eq!((dropped.failed.len(), dropped.n_dropped), (3, 3));
        let fatal = run(&search.clone().drop_failed(true), 1, Severity::Fatal);
        assert!(matches!(fatal, Err(ReasoningError::Call { call: Call::Generate, .. })));
        let mut generator = markov();
        let unscored = search.decode(&mut Models::new(&mut generator, &mut NoScore), &Prefix::prompt(""));
        assert!(matches!(unscored, Err(ReasoningError::Slot { call: Call::Reward, .. })));
        let mut generator = markov();
        let unscored =
            search.drop_failed(true).decode(&mut Models::new(&mut generator, &mut NoScore), &Prefix::prompt("")).unwrap();
        assert!(unscored.texts.is_empty() && unscored.n_dropped >= 16);
    }
}

/// Each text of a record goes on from the one that its ancestor names, and finished texts of trees are in the records.
#[test]
fn records_tell_where_texts_come_from_and_traces_keep_them() {
    let searches = all(16, 4, 3).into_iter().chain(all(16, 4, 3).map(|search| search.drop_failed(true)));
    for (i, search) in searches.enumerate() {
        let mut generator = Failing { table: markov(), n: if i < 4 { 0 } else { 3 }, severity: Severity::Slot };
        let mut rewards = markov();
        let mut models = Models::new(&mut generator, &mut rewards);
        let prompt = Prefix::prompt("");
        let run = search.header(&models, &prompt);
        let decoded = search.decode(&mut models, &prompt).unwrap();
        assert_eq!(run.target, decoded.target);
        let mut before = vec![prompt; 16];
        for record in &decoded.steps {
            for (text, ancestor) in record.texts.iter().zip(&record.ancestors) {
                let from = &before[*ancestor as usize];
                assert!(text.parent() == Some(from) || (from.is_finished() && text == from), "{}", decoded.target);
            }
            before.clone_from(&record.texts);
        }
        let recorded: Vec<_> = decoded.steps.iter().flat_map(|record| &record.texts).collect();
        assert!(decoded.texts.iter().all(|text| recorded.contains(&&text.prefix)));
        let path = std::env::temp_dir().join(format!("posterity-search-{}-{i}.jsonl", std::process::id()));
        let trace = Trace { run, decoded };
        trace.write(&path).unwrap();
        let read = Trace::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.run, trace.run);
        assert!(
            read.decoded.steps.iter().zip(&trace.decoded.steps).all(|(a, b)| a.texts == b.texts && a.ancestors == b.ancestors)
        );
        assert_eq!(read.decoded.steps.len(), trace.decoded.steps.len());
    }
}

#[test]
fn a_potential_that_is_no_number_is_an_error() {
    for search in all(16, 4, 3) {
        let (mut generator, mut rewards) = (markov(), markov());
        let search = search.potential(Potential::custom("NaN", |_, _| f64::NAN));
        let result = search.decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""));
        assert!(matches!(result, Err(ReasoningError::Score { index: 0, .. })));
    }
}

#[test]
fn finished_prompts_and_settings_out_of_range() {
    let table = markov();
    let done = Prefix::prompt("").extended(Step::new("x", Finish::Eos));
    for search in all(16, 4, 3) {
        let (mut generator, mut rewards) = (table.clone(), table.clone());
        let decoded = search.decode(&mut Models::new(&mut generator, &mut rewards), &done).unwrap();
        assert_eq!((decoded.texts.len(), decoded.ledger.generations), (0, 0));
    }
    for search in [
        Search::independent(0, 1),
        Search::beam(0, 1, 1),
        Search::beam(10, 4, 1),
        Search::beam(4, 0, 1),
        Search::dvts(2, 4, 1),
        Search::rebase(4, f64::NAN, 1),
        Search::greedy().max_steps(0),
        Search::independent(4, 1).max_attempts(0),
        Search::independent(4, 1).potential(Potential::last().inverse_temperature(f64::NAN)),
    ] {
        let (mut generator, mut rewards) = (table.clone(), table.clone());
        let result = search.decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""));
        assert!(matches!(result, Err(ReasoningError::Setting(Error::InvalidSetting { .. }))), "{search:?}");
    }
}

/// Best-of-N pays for the scores of its texts last: they are set aside before another step is paid for.
#[test]
fn a_budget_of_rewards_covers_the_texts_that_were_drawn_under_it() {
    for limit in [16, 20, 30, 40, 1000] {
        for search in all(16, 4, 3) {
            let decoded = run(&search, Budget { reward_calls: Some(limit), ..Budget::default() });
            let whole = run(&search, Budget::default()).ledger.reward_calls;
            assert!(decoded.stopped == Stopped::Budget || whole <= limit, "{}", decoded.target);
            assert!(decoded.stopped == Stopped::Finished || limit < 1000, "{}", decoded.target);
            assert!(decoded.ledger.reward_calls <= limit && decoded.ledger.generations >= 16);
            let mut finished = decoded.texts.iter().filter(|text| text.prefix.is_finished());
            assert!(finished.all(|text| text.scores.len() == text.prefix.n_steps() && text.log_psi < 0.0));
        }
    }
}

/// What the models hold costs nothing: a budget that covered a run covers it again.
#[test]
fn a_run_that_was_paid_for_can_be_made_again_at_no_cost() {
    for search in all(16, 4, 3).into_iter().chain(all(16, 4, 3).map(|search| search.max_steps(2))) {
        let ledger = run(&search, Budget::default()).ledger;
        let budget =
            Budget { generations: Some(ledger.generations), reward_calls: Some(ledger.reward_calls + 32), ..Budget::default() };
        let (mut generator, mut rewards) = (markov(), markov());
        let mut models = Models::new(&mut generator, &mut rewards).with_budget(budget);
        let first = search.decode(&mut models, &Prefix::prompt("")).unwrap();
        let again = search.decode(&mut models, &Prefix::prompt("")).unwrap();
        assert_eq!((first.stopped, again.stopped), (Stopped::Finished, Stopped::Finished), "{}", first.target);
        assert_eq!(first.ledger.reward_calls, again.ledger.reward_calls);
        assert!(first.texts.iter().zip(&again.texts).all(|(a, b)| a.prefix == b.prefix));
    }
}

#[test]
fn outages_change_nothing() {
    for search in all(16, 4, 3) {
        let calm = run(&search, Budget::default());
        let (mut generator, mut rewards) =
            (Flaky::new(&markov(), Severity::Transient), Flaky::new(&markov(), Severity::Transient));
        let flaky = search.decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt("")).unwrap();
        assert!(flaky.failed.len() > 3 && flaky.n_dropped == 0);
        assert_eq!(calm.texts.len(), flaky.texts.len());
        assert!(calm.texts.iter().zip(&flaky.texts).all(|(a, b)| a.prefix == b.prefix && a.scores == b.scores));
    }
}

#[test]
fn texts_without_scores_have_no_share_in_a_vote_by_rewards() {
    let decoded = run(&Search::independent(16, 3), Budget::generations(40));
    let unfinished = decoded.texts.iter().filter(|text| !text.prefix.is_finished());
    assert!(unfinished.clone().count() > 0 && unfinished.clone().all(|text| text.log_psi.is_nan()));
    let finished: Vec<_> = decoded.texts.iter().filter(|text| text.prefix.is_finished()).cloned().collect();
    let vote =
        |texts: &[posterity::reasoning::WeightedText]| Selector::RewardWeightedVote.select(texts, &Answers::last_line()).unwrap();
    assert_eq!(vote(&decoded.texts).share, vote(&finished).share);
}

#[test]
fn where_all_potentials_are_zero_rebase_has_nothing_to_share_out_by() {
    let worthless = || Potential::custom("0", |_, _| f64::NEG_INFINITY);
    let decode = |search: Search| {
        let (mut generator, mut rewards) = (markov(), markov());
        search.decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""))
    };
    let unfinished_only = || Potential::custom("0 until the end", |_, finished| if finished { 0.0 } else { f64::NEG_INFINITY });
    // Steps of the first draw end by chance: with two of them, some seed has no finished text.
    assert!((0..9).any(|seed| {
        matches!(decode(Search::rebase(2, 0.2, seed).potential(worthless())), Err(ReasoningError::Degenerate { step: 1, .. }))
    }));
    let ended = decode(Search::rebase(64, 0.2, 1).potential(unfinished_only())).unwrap();
    assert!(!ended.texts.is_empty() && ended.texts.iter().all(|text| text.prefix.n_steps() == 1));
    // A tiny temperature keeps to the best.
    let cold = decode(Search::rebase(16, 1e-320, 1)).unwrap();
    assert!(!cold.texts.is_empty() && cold.stopped == Stopped::Finished);
}
