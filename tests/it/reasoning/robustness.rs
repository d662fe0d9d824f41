//! The decoder on models that fail, lie or run out of budget: typed errors, no weight from a bad number, no budget exceeded.

use std::collections::BTreeMap;

use posterity::Error;
use posterity::reasoning::{
    Budget, Call, CallError, ContinuationRequest, ContinuationScore, Decoded, Decoder, DecoderConfig, Draw, Extension, Finish,
    ForcedEnd, GibbsConfig, GibbsDecoder, Link, Models, Potential, Prefix, ReasoningError, RewardScale, SamplingPrior, Severity,
    Step, StepGenerator, StepRequest, StepScores, Stopped, TableModel, TableRow,
};

use super::exact::markov;
use super::faults::{Generator, Rewards};

fn config() -> DecoderConfig {
    DecoderConfig::new(8, 5).ess_threshold(0.5)
}

fn decode(config: DecoderConfig, generator: &mut Generator, rewards: &mut Rewards) -> Result<Decoded, ReasoningError> {
    Decoder::new(config).decode(&mut Models::new(generator, rewards), &Prefix::prompt("?"))
}

fn sound() -> Decoded {
    decode(config(), &mut Generator::sound(markov()), &mut Rewards::sound(markov())).unwrap()
}

/// Everything but costs and failures.
fn same(a: &Decoded, b: &Decoded) -> bool {
    let texts = |decoded: &Decoded| -> Vec<_> {
        decoded.texts.iter().map(|text| (text.prefix.key(), text.weight.to_bits(), text.scores.clone())).collect()
    };
    texts(a) == texts(b) && a.evidence == b.evidence && a.steps == b.steps
}

/// No weight comes from a bad number: a log-probability above 0 or NaN ends the run, or that particle if it may be dropped.
#[test]
fn what_is_no_log_probability_is_an_error_of_its_slot() {
    type Set = fn(&mut Extension, f64);
    let fields: [Set; 2] = [|x, value| x.step.log_sampling = Some(value), |x, value| x.step.log_model = Some(value)];
    for set in fields {
        for bad in [f64::NAN, 0.5, f64::INFINITY] {
            let generator = || {
                Generator::changed(markov(), move |n, _, mut extension| {
                    if n == 11 {
                        set(&mut extension, bad);
                    }
                    Ok(extension)
                })
            };
            let error = decode(config(), &mut generator(), &mut Rewards::sound(markov())).unwrap_err();
            let ReasoningError::Slot { step: 2, call: Call::Generate, source, .. } = &error else { panic!("{error:?}") };
            assert_eq!(source.severity(), Severity::Slot);
            assert!(error.to_string().contains("is no log-probability"), "{error}");

            let decoded = decode(config().drop_failed(true), &mut generator(), &mut Rewards::sound(markov())).unwrap();
            assert_eq!((decoded.n_dropped, decoded.failed.len(), decoded.ledger.failed), (1, 1, 1));
            assert!(decoded.texts.iter().all(|text| text.weight.is_finite()));
        }
    }
}

#[test]
fn scores_off_their_scale_are_errors_of_their_slot() {
    use RewardScale::{LogProbability, Logit, Probability, Real};
    let inf = f64::INFINITY;
    for (scale, bad) in [
        (Probability, &[-0.1, 1.5, f64::NAN, inf, -inf][..]),
        (Logit, &[f64::NAN][..]),
        (LogProbability, &[0.1, f64::NAN, inf][..]),
        (Real, &[f64::NAN, inf, -inf][..]),
    ] {
        let potential = if scale == Real { Potential::last().link(Link::Exp) } else { Potential::last() };
        for &score in bad {
            let mut rewards = Rewards::constant(scale, score);
            let error = decode(config().potential(potential.clone()), &mut Generator::sound(markov()), &mut rewards).unwrap_err();
            assert!(
                matches!(&error, ReasoningError::Slot { step: 1, slot: 0, call: Call::Reward, .. }),
                "{scale:?} {score}: {error:?}"
            );
            assert!(error.to_string().contains(" is no "), "{error}");
            // Where every particle is dropped nothing is left.
            let config = config().potential(potential.clone()).drop_failed(true);
            let error = decode(config, &mut Generator::sound(markov()), &mut rewards).unwrap_err();
            assert!(matches!(error, ReasoningError::Degenerate { step: 1, .. }), "{scale:?} {score}: {error:?}");
        }
    }
    // What the scales allow at their ends is taken.
    for (scale, score) in [(Logit, inf), (Logit, -inf), (LogProbability, -inf), (LogProbability, 0.0), (Probability, 0.0)] {
        for link in [Link::Probability, Link::Odds, Link::Exp] {
            let config = config().potential(Potential::product().link(link));
            let decoded = decode(config, &mut Generator::sound(markov()), &mut Rewards::constant(scale, score)).unwrap();
            assert!(decoded.evidence.unwrap().log.is_finite(), "{scale:?} {score} {link:?}");
        }
    }
    let real = decode(config(), &mut Generator::sound(markov()), &mut Rewards::constant(Real, 2.0)).unwrap_err();
    assert!(matches!(real, ReasoningError::Setting(Error::InvalidSetting { setting: "link", .. })));
}

#[test]
fn wrong_numbers_of_replies_and_of_scores_are_errors() {
    let mut generator = Generator { n_missing: 1, ..Generator::sound(markov()) };
    let error = decode(config(), &mut generator, &mut Rewards::sound(markov())).unwrap_err();
    assert!(matches!(error, ReasoningError::Replies { call: Call::Generate, expected: 8, found: 7 }), "{error:?}");
    let mut rewards = Rewards { n_missing: 2, ..Rewards::sound(markov()) };
    let error = decode(config(), &mut Generator::sound(markov()), &mut rewards).unwrap_err();
    assert!(matches!(error, ReasoningError::Replies { call: Call::Reward, .. }), "{error:?}");
    for n in [0, 2] {
        let mut rewards = Rewards::changed(markov(), move |_, _, scores| Ok(StepScores { scores: vec![0.5; n], ..scores }));
        let error = decode(config(), &mut Generator::sound(markov()), &mut rewards).unwrap_err();
        assert!(error.to_string().ends_with(&format!("{n} replies to 1 requests")), "{error}");
    }
}

#[test]
fn transient_failures_are_tried_again_with_the_same_seed() {
    let whole = sound();
    let mut generator = Generator::failing(markov(), Severity::Transient, &[3, 9]);
    let decoded = decode(config(), &mut generator, &mut Rewards::sound(markov())).unwrap();
    assert_eq!((decoded.n_dropped, decoded.failed.len(), decoded.ledger.failed), (0, 2, 2));
    assert_eq!((decoded.failed[0].step, decoded.failed[0].slot, decoded.failed[0].call), (1, 3, Call::Generate));
    // A batch for the slot alone: another seed would make what is drawn conditional on not failing.
    assert_eq!(generator.batches[..2], [8, 1]);
    assert_eq!(generator.seeds[8], generator.seeds[3]);
    assert!(same(&whole, &decoded));

    // A reward model is deterministic: the result is that of the run without failures.
    let mut rewards = Rewards::failing(markov(), Severity::Transient, &[0, 2, 3]);
    let mended = decode(config(), &mut Generator::sound(markov()), &mut rewards).unwrap();
    assert!(same(&whole, &mended));
    // Other slots with the same text as the one that failed wait with it.
    assert_eq!(mended.ledger.failed, 3);
    assert_eq!(mended.ledger.generations, whole.ledger.generations);
}

#[test]
fn transient_failures_without_end_are_the_slots_error() {
    let mut generator = Generator::changed(markov(), |n, _, extension| {
        if n == 4 || n >= 8 { Err(super::faults::failure(Severity::Transient)) } else { Ok(extension) }
    });
    let error = decode(config().max_attempts(3), &mut generator, &mut Rewards::sound(markov())).unwrap_err();
    let ReasoningError::Slot { step: 1, slot: 4, call: Call::Generate, source } = error else { panic!("{error:?}") };
    assert_eq!((source.severity(), source.to_string().as_str()), (Severity::Transient, "planted"));
    assert_eq!(generator.batches, [8, 1, 1]);

    // Where failed slots may be dropped, this one is.
    let mut generator = Generator::changed(markov(), |n, _, extension| {
        if n == 4 || (8..10).contains(&n) { Err(super::faults::failure(Severity::Transient)) } else { Ok(extension) }
    });
    let decoded = decode(config().max_attempts(3).drop_failed(true), &mut generator, &mut Rewards::sound(markov())).unwrap();
    assert_eq!((decoded.n_dropped, decoded.failed.len()), (1, 3));
    assert_eq!(decoded.steps[0].weights[4], 0.0);
}

/// What is refused was paid for all the same.
#[test]
fn replies_that_are_refused_are_counted() {
    let mut generator = Generator::changed(markov(), |n, _, mut extension| {
        if n == 2 {
            extension.step.log_model = Some(f64::NAN);
        }
        Ok(extension)
    });
    let mut rewards =
        Rewards::changed(markov(), |n, _, x| Ok(if n == 1 { StepScores { scores: vec![f64::NAN], ..x } } else { x }));
    let decoded = decode(config().drop_failed(true), &mut generator, &mut rewards).unwrap();
    assert_eq!(
        (decoded.ledger.generations, decoded.ledger.reward_calls),
        (generator.n_requests as u64, rewards.n_requests as u64)
    );
    assert_eq!(decoded.ledger.generated_tokens, decoded.ledger.generations);
}

#[test]
fn a_decoder_goes_on_where_it_stopped_even_if_its_budget_is_spent() {
    for (severity, n_attempts) in [(Severity::Slot, 3), (Severity::Transient, 1)] {
        let whole = sound();
        let mut generator = Generator::failing(markov(), severity, &[20]);
        let mut rewards = Rewards::sound(markov());
        let (limit, reward_calls) = (Some(whole.ledger.generations + 1), Some(whole.ledger.generations));
        let budget = Budget { generations: limit, reward_calls, ..Budget::default() };
        let mut models = Models::new(&mut generator, &mut rewards).with_budget(budget);
        let (decoder, prompt) = (Decoder::new(config().max_attempts(n_attempts)), Prefix::prompt("?"));
        decoder.decode(&mut models, &prompt).unwrap_err();
        let again = decoder.decode(&mut models, &prompt).unwrap();
        assert!(same(&whole, &again) && again.stopped == Stopped::Finished);
        // And once more, from what is there.
        assert!(same(&whole, &decoder.decode(&mut models, &prompt).unwrap()));
        drop(models);
        assert_eq!(generator.n_requests as u64, whole.ledger.generations + 1);
        assert_eq!(rewards.n_requests as u64, whole.ledger.reward_calls);
    }
}

/// Writes five tokens per step, or as many as it may.
struct Wordy {
    limits: Vec<Option<u64>>,
}

impl StepGenerator for Wordy {
    fn sampling_prior(&self) -> SamplingPrior {
        SamplingPrior { max_tokens_per_step: Some(6), ..SamplingPrior::of_model("wordy") }
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
        let extend = |request: &StepRequest<'_>| {
            self.limits.push(request.max_tokens);
            let n_tokens = request.max_tokens.map_or(5, |limit| limit.min(5));
            let finish = if n_tokens < 5 { Finish::MaxTokens } else { Finish::Step };
            Ok(Extension::new(Step { n_tokens, ..Step::new(format!("{n_tokens} {}", request.seed), finish) }))
        };
        requests.iter().map(extend).collect()
    }
}

/// A step that a budget cut off is no draw from the prior: it is paid for, but no part of any text.
#[test]
fn steps_that_a_budget_cuts_off_are_not_used() {
    let config = DecoderConfig::new(4, 1).max_steps(3);
    for limit in 0..70 {
        let (mut generator, mut rewards) = (Wordy { limits: Vec::new() }, Rewards::constant(RewardScale::Probability, 0.5));
        let mut models = Models::new(&mut generator, &mut rewards).with_budget(Budget::tokens(limit));
        let decoded = Decoder::new(config.clone()).decode(&mut models, &Prefix::prompt("")).unwrap();
        assert_eq!(decoded.stopped == Stopped::Finished, limit >= 60, "{limit}");
        assert_eq!(decoded.steps.len() as u64, limit.min(60) / 20);
        assert!(decoded.ledger.generated_tokens <= limit);
        for text in &decoded.texts {
            assert!(text.prefix.steps().iter().all(|step| step.n_tokens == 5 && step.finish != Finish::MaxTokens));
        }
        // Asked for again, nothing of it is there.
        let again = Decoder::new(config.clone()).decode(&mut models, &Prefix::prompt("")).unwrap();
        assert_eq!((again.stopped, again.steps.len()), (decoded.stopped, decoded.steps.len()));
        drop(models);
        // A limit that the prior has anyway is not the budget's.
        assert!(generator.limits.iter().flatten().all(|&limit| limit < 6));
    }
}

#[test]
fn what_texts_have_in_common_is_scored_once() {
    let mut prompt = Prefix::prompt("");
    for _ in 0..4 {
        prompt = prompt.extended(Step::new("x", Finish::Step));
    }
    let texts: Vec<Prefix> = (0..5).map(|i| prompt.extended(Step::new(format!("{i}"), Finish::Step))).collect();
    let mut generator = Generator::sound(markov());
    let mut rewards = Rewards::constant(RewardScale::Probability, 0.5);
    let budget = Budget { reward_calls: Some(9), ..Budget::default() };
    let mut models = Models::new(&mut generator, &mut rewards).with_budget(budget);
    let replies = models.score(&texts.iter().collect::<Vec<_>>()).unwrap();
    assert!(replies.iter().all(|reply| reply.as_ref().unwrap()[..] == [0.5; 5]));
    assert_eq!((models.ledger().reward_calls, models.ledger().reward_batches), (9, 2));
    drop(models);
    assert_eq!(rewards.batches, [1, 5]);

    // If that fails all of them do, until it is asked for again.
    let mut rewards = Rewards::failing(markov(), Severity::Transient, &[0]);
    let mut models = Models::new(&mut generator, &mut rewards);
    let steps =
        ["G", "B"].map(|text| Prefix::prompt("").extended(Step::new("G", Finish::Step)).extended(Step::new(text, Finish::Step)));
    let replies = models.score(&[&steps[0], &steps[1]]).unwrap();
    assert!(replies.iter().all(|reply| reply.as_ref().unwrap_err().severity() == Severity::Transient));
    assert!(models.score(&[&steps[0], &steps[1]]).unwrap().iter().all(Result::is_ok));
}

#[test]
fn no_potential_needs_no_rewards() {
    let mut rewards = Rewards::failing(markov(), Severity::Fatal, &[0]);
    let decoded = decode(config().potential(Potential::none()), &mut Generator::sound(markov()), &mut rewards).unwrap();
    assert_eq!((rewards.n_requests, decoded.evidence.unwrap().log), (0, 0.0));
    assert!(decoded.texts.iter().all(|text| text.scores.is_empty() && text.log_psi == 0.0));
    assert_eq!(decoded.target, "p(x)");
}

/// A table whose second request for log-probabilities fails the first time.
struct Forgetful {
    table: TableModel,
    severity: Severity,
    asked: Vec<usize>,
}

impl StepGenerator for Forgetful {
    fn sampling_prior(&self) -> SamplingPrior {
        self.table.sampling_prior()
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
        self.table.extend(requests)
    }

    fn can_score(&self) -> bool {
        true
    }

    fn score(&mut self, requests: &[ContinuationRequest<'_>]) -> Vec<Result<ContinuationScore, CallError>> {
        let mut scores = StepGenerator::score(&mut self.table, requests);
        if self.asked.is_empty() && scores.len() > 1 {
            scores[1] = Err(super::faults::failure(self.severity));
        }
        self.asked.push(requests.len());
        scores
    }
}

#[test]
fn log_probabilities_of_other_slots_are_kept_where_one_fails() {
    let steps = [Step::new("G", Finish::Step), Step::new("B", Finish::Step), Step { n_tokens: 3, ..Step::new("G", Finish::Eos) }];
    let steps = steps.each_ref().map(|step| [step]);
    let prompt = Prefix::prompt("");
    let requests = steps.each_ref().map(|steps| ContinuationRequest { prefix: &prompt, steps });
    let mut generator = Forgetful { table: markov(), severity: Severity::Transient, asked: Vec::new() };
    let mut rewards = Rewards::sound(markov());
    let budget = Budget { scored_tokens: Some(7), ..Budget::default() };
    let mut models = Models::new(&mut generator, &mut rewards).with_budget(budget);
    let replies = models.score_steps(&requests).unwrap();
    assert_eq!(replies.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!((models.ledger().scored_tokens, models.ledger().failed), (2, 1));
    assert!(models.score_steps(&requests).unwrap().iter().all(Result::is_ok));
    // Five tokens more than there are left.
    let error = models.score_steps(&requests).unwrap_err();
    assert!(matches!(error, ReasoningError::Budget { what: "scored tokens", limit: 7, spent: 5 }), "{error:?}");

    // Ancestor sampling asks again.
    let sweep = |severity| {
        let mut generator = Forgetful { table: markov(), severity, asked: Vec::new() };
        let mut rewards = Rewards::sound(markov());
        let config = GibbsConfig::new(DecoderConfig::new(8, 3).potential(Potential::product()), 20).ancestor_sampling(true);
        let gibbs = GibbsDecoder::new(config).decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""))?;
        Ok::<_, ReasoningError>((gibbs.chain.len(), generator.asked))
    };
    let (n, asked) = sweep(Severity::Transient).unwrap();
    assert_eq!((n, asked[1]), (20, 1));
    let error = sweep(Severity::Slot).unwrap_err();
    assert!(matches!(error, ReasoningError::Call { call: Call::Score, index: 1, .. }), "{error:?}");
}

#[test]
fn what_was_paid_for_before_an_error_is_not_paid_for_again() {
    let whole = sound();
    let mut generator = Generator::failing(markov(), Severity::Slot, &[11]);
    let mut rewards = Rewards::sound(markov());
    let mut models = Models::new(&mut generator, &mut rewards);
    let (decoder, prompt) = (Decoder::new(config()), Prefix::prompt("?"));
    assert!(matches!(decoder.decode(&mut models, &prompt), Err(ReasoningError::Slot { step: 2, .. })));
    let again = decoder.decode(&mut models, &prompt).unwrap();
    assert!(same(&whole, &again));
    drop(models);
    assert_eq!(generator.n_requests as u64, whole.ledger.generations + 1);
    assert_eq!(rewards.n_requests as u64, whole.ledger.reward_calls);
}

#[test]
fn slots_that_fail_for_good_end_the_run_or_are_dropped() {
    for severity in [Severity::Slot, Severity::Fatal] {
        let mut generator = Generator::failing(markov(), severity, &[2]);
        let error = decode(config(), &mut generator, &mut Rewards::sound(markov())).unwrap_err();
        match severity {
            Severity::Fatal => {
                assert!(matches!(&error, ReasoningError::Call { call: Call::Generate, index: 2, .. }), "{error:?}");
            }
            _ => assert!(matches!(&error, ReasoningError::Slot { step: 1, slot: 2, call: Call::Generate, .. }), "{error:?}"),
        }
        assert!(error.to_string().contains("planted"));
        let mut rewards = Rewards::failing(markov(), severity, &[0]);
        let error = decode(config(), &mut Generator::sound(markov()), &mut rewards).unwrap_err();
        assert!(matches!(
            &error,
            ReasoningError::Slot { call: Call::Reward, .. } | ReasoningError::Call { call: Call::Reward, .. }
        ));
    }
    // Fatal errors end the run all the same where particles may be dropped.
    let mut generator = Generator::failing(markov(), Severity::Fatal, &[2]);
    assert!(decode(config().drop_failed(true), &mut generator, &mut Rewards::sound(markov())).is_err());

    let mut generator = Generator::failing(markov(), Severity::Slot, &[2, 5]);
    let decoded = decode(config().ess_threshold(0.0).drop_failed(true), &mut generator, &mut Rewards::sound(markov())).unwrap();
    assert_eq!(decoded.n_dropped, 2);
    assert_eq!((decoded.texts[2].weight, decoded.texts[5].weight), (0.0, 0.0));
    assert!(decoded.texts.iter().all(|text| text.weight == 0.0 || text.prefix.is_finished()));
    assert!((decoded.texts.iter().map(|text| text.weight).sum::<f64>() - 1.0).abs() < 1e-12);

    let mut none_left = Generator::changed(markov(), |_, _, _| Err(super::faults::failure(Severity::Slot)));
    for n in [1, 8] {
        let error =
            decode(DecoderConfig::new(n, 1).drop_failed(true), &mut none_left, &mut Rewards::sound(markov())).unwrap_err();
        assert!(matches!(error, ReasoningError::Degenerate { step: 1, log_evidence: 0.0 }), "{error:?}");
    }
}

#[test]
fn rewards_that_are_all_zero_are_degenerate_and_name_the_step() {
    let zero = |config: DecoderConfig, rewards: &mut Rewards| {
        let config = config.potential(Potential::product().clip(0.0));
        match decode(config, &mut Generator::sound(markov()), rewards).unwrap_err() {
            ReasoningError::Degenerate { step, log_evidence } => (step, log_evidence),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(zero(config(), &mut Rewards::constant(RewardScale::Probability, 0.0)), (1, 0.0));
    assert_eq!(zero(DecoderConfig::new(1, 1), &mut Rewards::constant(RewardScale::Logit, f64::NEG_INFINITY)), (1, 0.0));
    // From the third step on.
    let mut table = markov();
    for row in table.transitions.values_mut() {
        row.end = 0.0;
        let total: f64 = row.next.values().sum();
        row.next.values_mut().for_each(|p| *p /= total);
    }
    let mut rewards = Rewards::sound(table.clone());
    rewards.table.unfinished = BTreeMap::from([("".into(), 0.5)]);
    for first in ["G", "B"] {
        for second in ["G", "B"] {
            rewards.table.unfinished.insert(format!("{first}{second}G"), 0.0);
            rewards.table.unfinished.insert(format!("{first}{second}B"), 0.0);
        }
    }
    let config = config().potential(Potential::last().clip(0.0));
    match decode(config, &mut Generator::sound(table.clone()), &mut rewards).unwrap_err() {
        ReasoningError::Degenerate { step: 3, log_evidence } => assert!((log_evidence - 0.5_f64.ln()).abs() < 1e-12),
        other => panic!("{other:?}"),
    }
    // Texts that are cut off are worth nothing, and all are.
    let config = DecoderConfig::new(8, 1).max_steps(2).forced_end(ForcedEnd::Reject);
    let error = decode(config, &mut Generator::sound(table.clone()), &mut Rewards::sound(table)).unwrap_err();
    assert!(matches!(error, ReasoningError::Degenerate { step: 2, .. }), "{error:?}");
}

#[test]
fn infinite_potentials_and_nan_of_a_custom_one_are_errors() {
    let run = |potential| decode(config().potential(potential), &mut Generator::sound(markov()), &mut Rewards::sound(markov()));
    for bad in [f64::NAN, f64::INFINITY] {
        let error = run(Potential::custom("bad", move |scores, _| if scores.len() == 2 { bad } else { 0.0 })).unwrap_err();
        let ReasoningError::Setting(Error::Sampling { source }) = error else { panic!("{error:?}") };
        assert!(source.to_string().starts_with("step 2, slot "), "{source}");
    }
}

fn within(budget: Budget, config: DecoderConfig) -> Result<Decoded, ReasoningError> {
    let (mut generator, mut rewards) = (Generator::sound(markov()), Rewards::sound(markov()));
    let mut models = Models::new(&mut generator, &mut rewards).with_budget(budget);
    let decoded = Decoder::new(config).decode(&mut models, &Prefix::prompt(""))?;
    let ledger = decoded.ledger.clone();
    drop(models);
    // The ledger says what the models saw.
    assert_eq!((generator.n_requests, rewards.n_requests), (ledger.generations as usize, ledger.reward_calls as usize));
    // Nothing is drawn that is not scored.
    assert_eq!(ledger.generations, ledger.reward_calls + ledger.cached_rewards);
    Ok(decoded)
}

#[test]
fn no_budget_is_ever_exceeded() {
    let whole = within(Budget::default(), config()).unwrap();
    let (mut n_stopped, mut n_finished) = (0, 0);
    for limit in 0..60 {
        for (kind, budget) in
            [Budget::generations(limit), Budget::tokens(limit), Budget { reward_calls: Some(limit), ..Budget::default() }]
                .into_iter()
                .enumerate()
        {
            for seed in 0..4 {
                let decoded = within(budget, DecoderConfig::new(8, seed).ess_threshold(0.9)).unwrap();
                let spent = [decoded.ledger.generations, decoded.ledger.generated_tokens, decoded.ledger.reward_calls][kind];
                assert!(spent <= limit, "{spent} of {limit}");
                let is_finished = decoded.texts.iter().all(|text| text.prefix.is_finished());
                assert_eq!(decoded.stopped == Stopped::Finished, is_finished, "limit {limit}, kind {kind}");
                assert!(decoded.evidence.unwrap().log.is_finite());
                assert_eq!(decoded.texts.len(), 8);
                *(if is_finished { &mut n_finished } else { &mut n_stopped }) += 1;
            }
        }
    }
    assert!(n_stopped > 100 && n_finished > 100, "{n_stopped} {n_finished}");
    // A budget that suffices changes nothing. How many of the texts will be the same is not known before they are drawn.
    let enough = Budget {
        generations: Some(whole.ledger.generations),
        generated_tokens: Some(whole.ledger.generated_tokens),
        reward_calls: Some(whole.ledger.generations),
        ..Budget::default()
    };
    let budgeted = within(enough, config()).unwrap();
    assert!(same(&whole, &budgeted) && budgeted.stopped == Stopped::Finished);
    // One less of either, and the last step is not made: what was there before it is the result.
    for budget in [
        Budget { generations: Some(whole.ledger.generations - 1), ..enough },
        Budget { generated_tokens: Some(whole.ledger.generated_tokens - 1), ..enough },
    ] {
        let short = within(budget, config()).unwrap();
        assert_eq!(short.stopped, Stopped::Budget);
        assert_eq!(short.steps[..], whole.steps[..whole.steps.len() - 1]);
    }
}

#[test]
fn limits_of_tokens_reach_the_generator() {
    let mut generator = Generator::sound(markov());
    let mut rewards = Rewards::sound(markov());
    let mut models = Models::new(&mut generator, &mut rewards).with_budget(Budget::tokens(10));
    let prompt = Prefix::prompt("");
    let draws: Vec<_> = (0..3).map(|seed| Draw::new(&prompt, seed)).collect();
    models.extend(&draws).unwrap();
    // Known draws cost nothing, and are given even where the budget is spent.
    models.extend(&draws).unwrap();
    assert_eq!(models.ledger().generations, 3);
    let more: Vec<_> = (3..11).map(|seed| Draw::new(&prompt, seed)).collect();
    assert!(matches!(models.extend(&more), Err(ReasoningError::Budget { what: "tokens", limit: 10, spent: 3 })));
    models.extend(&draws).unwrap();
}

#[test]
fn the_same_draw_twice_in_a_batch_is_paid_for_once() {
    let mut generator = Generator::failing(markov(), Severity::Transient, &[0]);
    let mut rewards = Rewards::sound(markov());
    let mut models = Models::new(&mut generator, &mut rewards);
    let prompt = Prefix::prompt("");
    let draws = [Draw::new(&prompt, 1), Draw::new(&prompt, 1), Draw::new(&prompt, 2)];
    let replies = models.extend(&draws).unwrap();
    assert!(replies[0].is_err() && replies[1].is_err() && replies[2].is_ok());
    let replies = models.extend(&draws).unwrap();
    assert_eq!(replies[0].as_ref().unwrap(), replies[1].as_ref().unwrap());
    assert_eq!((models.ledger().generations, models.ledger().failed), (2, 1));
    drop(models);
    assert_eq!(generator.batches, [2, 1]);
}

#[test]
fn one_particle_one_step_no_prompt_and_any_script() {
    let scores = BTreeMap::from([(String::new(), 0.5)]);
    let step = "日本語\n\u{1F600}e\u{301}";
    let table = TableModel {
        transitions: BTreeMap::from([("".into(), TableRow { next: BTreeMap::from([(step.into(), 1.0)]), end: 0.0 })]),
        max_steps: 3,
        unfinished: scores.clone(),
        finished: scores,
        ..markov()
    };
    table.validate().unwrap();
    for (n, max_steps, prompt) in [(1, 1, ""), (1, 40, ""), (3, 2, "§\0 ¿"), (1, 3, step)] {
        let (mut generator, mut rewards) = (Generator::sound(table.clone()), Rewards::sound(table.clone()));
        let mut models = Models::new(&mut generator, &mut rewards);
        let decoder = Decoder::new(DecoderConfig::new(n, 1).max_steps(max_steps));
        let decoded = decoder.decode(&mut models, &Prefix::prompt(prompt)).unwrap();
        let n_steps = max_steps.min(3);
        assert_eq!(decoded.texts.len(), n);
        for text in &decoded.texts {
            assert_eq!(text.prefix.text(), format!("{prompt}{}", step.repeat(n_steps)));
            let finish = if max_steps < 3 { Finish::MaxSteps } else { Finish::Eos };
            assert_eq!((text.prefix.finish(), text.scores.len()), (Some(finish), n_steps));
        }
        assert!((decoded.evidence.unwrap().log - 0.5_f64.ln()).abs() < 1e-12);
    }
    // A prompt with steps of its own: its scores count, its steps do not.
    let prompt = Prefix::prompt("").extended(Step::new(step, Finish::Step));
    let (mut generator, mut rewards) = (Generator::sound(table.clone()), Rewards::sound(table));
    let mut models = Models::new(&mut generator, &mut rewards);
    let decoder = Decoder::new(DecoderConfig::new(2, 1).max_steps(1).potential(Potential::product()));
    let decoded = decoder.decode(&mut models, &prompt).unwrap();
    assert!(decoded.texts.iter().all(|text| text.prefix.n_steps() == 2 && text.scores.len() == 2));
    // A prompt that is finished leaves nothing to do.
    let done = prompt.extended(Step::new("x", Finish::Eos));
    let decoded = decoder.decode(&mut models, &done).unwrap();
    assert_eq!((decoded.steps.len(), decoded.stopped, decoded.texts[0].prefix.clone()), (0, Stopped::Finished, done));
}

#[test]
fn bad_settings_are_named() {
    let setting = |config: DecoderConfig| match decode(config, &mut Generator::sound(markov()), &mut Rewards::sound(markov()))
        .unwrap_err()
    {
        ReasoningError::Setting(Error::InvalidSetting { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    assert_eq!(setting(DecoderConfig::new(0, 1)), "n_particles");
    assert_eq!(setting(config().max_steps(0)), "max_steps");
    assert_eq!(setting(config().n_candidates(0)), "n_candidates");
    assert_eq!(setting(config().max_attempts(0)), "max_attempts");
    assert_eq!(setting(config().ess_threshold(f64::NAN)), "ess_threshold");
    for beta in [-1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(setting(config().potential(Potential::last().inverse_temperature(beta))), "inverse_temperature");
    }
    for clip in [-1e-9, 0.5, f64::NAN] {
        assert_eq!(setting(config().potential(Potential::last().clip(clip))), "clip");
    }
    for alpha in [-1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(setting(config().base(posterity::reasoning::Base::Power(alpha))), "alpha");
    }
}
