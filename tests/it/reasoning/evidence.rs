//! What the particle decoder's evidence and its error are worth: perfect potentials, spread, the variance estimate, and no potential at all.

use posterity::error::Error;
use posterity::reasoning::{
    Answers, Base, CallError, Decoded, Decoder, DecoderConfig, EndRule, Evidence, Extension, Finish, Models, Potential, Prefix,
    RewardModel, RewardScale, SamplingPrior, ScoreRequest, Search, Selector, Step, StepGenerator, StepRequest, StepScores,
    TableModel, TableRow, TextModel,
};
use posterity::rng::{Purpose, Stream};
use posterity::smc::{Smc, SmcConfig, Streams};
use posterity::weights::Scheme;
use rand::rand_core::Rng;

use super::exact::markov;

const FINISHED: [f64; 2] = [0.9, 0.2];

/// The value of an unfinished text of `n` steps that ends with G or B: the mean of the finished texts' scores after it.
fn value(n: usize, symbol: usize) -> f64 {
    options(n, Some(symbol)).into_iter().map(|(next, is_end, p)| p * value_of(n + 1, next, is_end)).sum()
}

fn value_of(n: usize, symbol: usize, is_end: bool) -> f64 {
    if is_end { FINISHED[symbol] } else { value(n, symbol) }
}

/// What may follow n steps: symbol, end, probability.
fn options(n: usize, symbol: Option<usize>) -> Vec<(usize, bool, f64)> {
    let next = match symbol {
        None => [0.5, 0.5],
        Some(0) => [0.6 / 0.8, 0.2 / 0.8],
        Some(_) => [0.2 / 0.7, 0.5 / 0.7],
    };
    let end = [0.2, 0.3];
    let mut options = Vec::new();
    for (symbol, p) in next.into_iter().enumerate() {
        if n + 1 == 5 {
            options.push((symbol, true, p));
        } else {
            options.extend([(symbol, true, p * end[symbol]), (symbol, false, p * (1.0 - end[symbol]))]);
        }
    }
    options
}

fn last_symbol(prefix: &Prefix) -> Option<usize> {
    prefix.last_step().map(|step| usize::from(step.text == "B"))
}

/// Draws steps in proportion to probability and value.
struct Twisted;

impl StepGenerator for Twisted {
    fn sampling_prior(&self) -> SamplingPrior {
        SamplingPrior::of_model("q")
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
        let extend = |request: &StepRequest<'_>| {
            let n = request.prefix.n_steps();
            let options = options(n, last_symbol(request.prefix));
            let weights: Vec<f64> = options.iter().map(|&(symbol, is_end, p)| p * value_of(n + 1, symbol, is_end)).collect();
            let total: f64 = weights.iter().sum();
            let mut u = Stream::new(request.seed).uniform() * total;
            let chosen = weights.iter().position(|w| {
                u -= w;
                u < 0.0
            });
            let chosen = chosen.unwrap_or(weights.len() - 1);
            let (symbol, is_end, p) = options[chosen];
            let finish = if is_end { Finish::Eos } else { Finish::Step };
            Ok(Extension::new(Step {
                log_model: Some(p.ln()),
                log_sampling: Some((weights[chosen] / total).ln()),
                ..Step::new(["G", "B"][symbol], finish)
            }))
        };
        requests.iter().map(extend).collect()
    }
}

/// Scores by the exact value.
struct Value;

impl RewardModel for Value {
    fn scale(&self) -> RewardScale {
        RewardScale::Probability
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        let score = |prefix: &Prefix| value_of(prefix.n_steps(), last_symbol(prefix).unwrap_or(0), prefix.is_finished());
        requests.iter().map(|request| Ok(StepScores::each(request, score))).collect()
    }
}

#[test]
fn a_perfect_twist_leaves_no_variance() {
    for (n, expected) in [(1, [0.60705, 0.4738]), (2, [0.6235, 0.474]), (3, [0.655, 0.46]), (4, [0.725, 0.4])] {
        for symbol in 0..2 {
            assert!((value(n, symbol) - expected[symbol]).abs() < 1e-12, "{n} {symbol} {}", value(n, symbol));
        }
    }
    for (n, seeds) in [(1, 300), (7, 30)] {
        for seed in 0..seeds {
            let (mut generator, mut rewards) = (Twisted, Value);
            let config = DecoderConfig::new(n, seed).potential(Potential::last()).base(Base::Power(1.0));
            let decoded =
                Decoder::new(config).decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt("")).unwrap();
            let log_evidence = decoded.evidence.unwrap().log;
            assert!((log_evidence - 0.52865_f64.ln()).abs() < 1e-12, "N={n} seed {seed}: {log_evidence}");
        }
    }
}

fn decode(table: &TableModel, config: DecoderConfig) -> Decoded {
    let (mut generator, mut rewards) = (table.clone(), table.clone());
    Decoder::new(config).decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt("")).unwrap()
}

fn mean_and_sd(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

#[test]
fn the_spread_of_the_evidence_and_the_bias_of_weighted_means_are_as_computed_before() {
    let table = markov();
    for (name, potential, n, runs, expected_sd, expected_answer) in [
        ("product", Potential::product(), 1, 4000, None, Some(0.4695)),
        ("product", Potential::product(), 4, 2000, None, Some(0.706)),
        ("product", Potential::product(), 16, 1000, Some(0.303), Some(0.789)),
        ("product", Potential::product(), 64, 250, Some(0.145), Some(0.806)),
        ("product", Potential::product(), 256, 80, Some(0.068), Some(0.810)),
        ("terminal", Potential::terminal(), 16, 800, Some(0.172), None),
        ("terminal", Potential::terminal(), 64, 200, Some(0.082), None),
    ] {
        let (mut logs, mut answers) = (Vec::new(), Vec::new());
        for seed in 0..runs {
            let config = DecoderConfig::new(n, 77_000 + seed).potential(potential.clone()).ess_threshold(0.5);
            let decoded = decode(&table, config);
            logs.push(decoded.evidence.unwrap().log);
            answers.push(decoded.mean(|x| f64::from(x.written().ends_with('G'))));
        }
        let (_, sd) = mean_and_sd(&logs);
        let (answer, answer_sd) = mean_and_sd(&answers);
        println!("{name} N={n}: sd {sd} {expected_sd:?}, answer {answer} {expected_answer:?}");
        let n_runs = runs as f64;
        if let Some(expected) = expected_sd {
            // log Z has heavier tails than the normal law: the relative error of its standard deviation is about 1/√n; four of them, and
            // the last digit given.
            assert!((sd / expected - 1.0).abs() < 4.0 / n_runs.sqrt() + 0.005, "{name} N={n}: {sd} {expected}");
        }
        if let Some(expected) = expected_answer {
            assert!((answer - expected).abs() < 4.0 * answer_sd / n_runs.sqrt() + 0.002, "{name} N={n}: {answer} {expected}");
        }
    }
}

/// Mean and standard error of (Ẑ/Z)² V - (Ẑ/Z - 1)², V the variance estimate of a run: 0 if that is unbiased.
fn excess(scheme: Scheme, runs: u64) -> (f64, f64) {
    let table = markov();
    let exact = table.enumerate(&Potential::product()).evidence;
    let mut differences = Vec::new();
    for seed in 0..runs {
        let (mut generator, mut rewards) = (table.clone(), table.clone());
        let mut models = Models::new(&mut generator, &mut rewards);
        let config = DecoderConfig::new(16, seed).potential(Potential::product());
        let model = TextModel::new(&mut models, config, Prefix::prompt(""));
        let mut smc = Smc::new(model, SmcConfig::new(16, seed).scheme(scheme).ess_threshold(2.0)).unwrap();
        let summary = smc.run().unwrap();
        let ratio = summary.log_evidence.exp() / exact;
        differences.push(ratio * ratio * summary.relative_variance - (ratio - 1.0).powi(2));
    }
    let (mean, sd) = mean_and_sd(&differences);
    (mean, sd / (runs as f64).sqrt())
}

#[test]
fn the_variance_estimate_is_unbiased_under_multinomial_resampling_and_not_under_systematic() {
    let (mean, error) = excess(Scheme::Multinomial, 3000);
    println!("multinomial {mean} +- {error}");
    assert!(mean.abs() < 4.0 * error, "{mean} +- {error}");
    let (mean, error) = excess(Scheme::Systematic, 1500);
    println!("systematic {mean} +- {error}");
    assert!(mean.abs() > 6.0 * error, "{mean} +- {error}");
}

#[test]
fn the_evidence_of_runs_has_an_error_that_covers_the_truth_under_systematic_resampling() {
    let table = markov();
    let exact = table.enumerate(&Potential::product()).evidence;
    let n_groups = 300;
    let mut misses = 0;
    for group in 0..n_groups {
        let run = |i: u64| {
            let config = DecoderConfig::new(8, 7_000_000 + 16 * group + i).potential(Potential::product());
            decode(&table, config).evidence.unwrap()
        };
        let runs: Vec<_> = (0..16).map(run).collect();
        let evidence = Evidence::of_runs(&runs).unwrap();
        let error = evidence.log.exp() * evidence.standard_error.unwrap();
        misses += u32::from((evidence.log.exp() - exact).abs() > 2.0 * error);
    }
    println!("{misses} of {n_groups} misses");
    // Student's t with 15 degrees of freedom misses 6.4 %, and the skewness of runs makes it somewhat more; without the division by the
    // square root of the number of runs it would be none, and 62 % with errors of a quarter.
    assert!((8..45).contains(&misses), "{misses} of {n_groups}");
}

#[test]
fn runs_without_an_estimate_are_refused_and_runs_that_found_nothing_are_not() {
    let run = |log: f64| Evidence { log, standard_error: None };
    assert!(matches!(Evidence::of_runs(&[]), Err(Error::Empty { .. })));
    for bad in [f64::NAN, f64::INFINITY] {
        assert!(matches!(Evidence::of_runs(&[run(0.0), run(bad)]), Err(Error::NotFinite { index: 1, .. })));
    }
    let nothing = run(f64::NEG_INFINITY);
    assert_eq!(Evidence::of_runs(&[nothing; 3]).unwrap(), nothing);
    let some = Evidence::of_runs(&[run(-2000.0), nothing]).unwrap();
    assert!((some.log + 2000.0 + 2.0_f64.ln()).abs() < 1e-9 && (some.standard_error.unwrap() - 1.0).abs() < 1e-12);
}

/// The texts that a loop without weights draws with the decoder's seeds.
fn plain_texts(n: usize, seed: u64) -> Vec<Prefix> {
    let mut table = markov();
    let mut texts = vec![Prefix::prompt("q"); n];
    for t in 1.. {
        let open: Vec<usize> = (0..n).filter(|&i| !texts[i].is_finished()).collect();
        if open.is_empty() {
            break;
        }
        let streams = Streams::new(seed, t);
        let seeds: Vec<u64> =
            open.iter().map(|&slot| Stream::keyed(streams.slot(slot).next_u64(), Purpose::Particle, 0, 0).next_u64()).collect();
        let requests: Vec<_> = open
            .iter()
            .zip(&seeds)
            .map(|(&i, &seed)| StepRequest { prefix: &texts[i], seed, greedy: false, max_tokens: None })
            .collect();
        let steps: Vec<Step> = table.extend(&requests).into_iter().map(|reply| reply.unwrap().step).collect();
        for (i, step) in open.into_iter().zip(steps) {
            texts[i] = texts[i].extended(step);
        }
    }
    texts
}

#[test]
fn no_reward_and_a_constant_one_are_plain_sampling() {
    let constant = |request: &ScoreRequest<'_>| Ok(StepScores::each(request, |_| 0.25));
    struct Constant<F>(F);
    impl<F: Fn(&ScoreRequest<'_>) -> Result<StepScores, CallError> + Send> RewardModel for Constant<F> {
        fn scale(&self) -> RewardScale {
            RewardScale::Probability
        }

        fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
            requests.iter().map(&self.0).collect()
        }
    }
    for seed in [1, 2, 3] {
        let plain = plain_texts(50, seed);
        let run = |rewards: &mut dyn RewardModel, potential: Potential, threshold: f64| {
            let mut generator = markov();
            let config = DecoderConfig::new(50, seed).potential(potential).ess_threshold(threshold);
            Decoder::new(config).decode(&mut Models::new(&mut generator, rewards), &Prefix::prompt("q")).unwrap()
        };
        for threshold in [0.5, 2.0] {
            let none = run(&mut markov(), Potential::none(), threshold);
            assert_eq!(none.evidence.unwrap().log, 0.0);
            let last = run(&mut Constant(constant), Potential::last(), threshold);
            assert!((last.evidence.unwrap().log - 0.25_f64.ln()).abs() < 1e-13);
            for decoded in [none, last] {
                assert!(decoded.texts.iter().all(|text| text.weight == 1.0 / 50.0));
                let texts: Vec<_> = decoded.texts.iter().map(|text| text.prefix.clone()).collect();
                assert_eq!(texts, plain);
            }
        }
    }
}

/// A step a or b and then an answer, with probabilities drawn at random; the truth is drawn as the model would, and scores know it.
fn riddle(stream: &mut Stream) -> (TableModel, String) {
    let answers = ["X", "Y", "Z"];
    let mut row = |symbols: &[&str]| {
        let p: Vec<f64> = symbols.iter().map(|_| -stream.uniform().ln()).collect();
        let total: f64 = p.iter().sum();
        TableRow { next: symbols.iter().zip(&p).map(|(s, p)| ((*s).to_owned(), p / total)).collect(), end: 0.0 }
    };
    let transitions =
        [("", row(&["a", "b"])), ("a", row(&answers)), ("b", row(&answers))].map(|(context, row)| (context.to_owned(), row));
    let mut table = TableModel {
        transitions: transitions.into(),
        end_rule: EndRule::OwnStep,
        max_steps: 2,
        unfinished: ["a", "b"].map(|symbol| (symbol.to_owned(), 0.5)).into(),
        finished: answers.map(|symbol| (symbol.to_owned(), 0.5)).into(),
        temperature: 1.0,
    };
    let exact = table.enumerate(&Potential::none());
    let u = stream.uniform();
    let below =
        |n: usize| answers[..n].iter().map(|answer| exact.mean(|text| f64::from(text.text().ends_with(answer)))).sum::<f64>();
    let truth = answers[usize::from(u >= below(1)) + usize::from(u >= below(2))].to_owned();
    for (answer, score) in &mut table.finished {
        *score = if *answer == truth { 0.6 } else { 0.3 };
    }
    (table, truth)
}

/// The most frequent answer is right most often where the truth is as likely as the model says: its own likelihood can add nothing to that.
#[test]
fn the_models_own_likelihood_as_a_reward_gains_nothing_over_voting() {
    let mut stream = Stream::new(3);
    let last = Answers::by(|text| text.chars().last().map(String::from));
    let (mut by_likelihood, mut by_reward) = (Vec::new(), Vec::new());
    for seed in 0..500 {
        let (table, truth) = riddle(&mut stream);
        let is_right = |decoded: &Decoded, selector: Selector| {
            f64::from(selector.select(&decoded.texts, &last).is_some_and(|choice| choice.answer == truth))
        };
        let (mut generator, mut rewards) = (table.clone(), table.clone());
        let plain = Search::independent(32, seed).without_rewards();
        let plain = plain.decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt("")).unwrap();
        let majority = is_right(&plain, Selector::Majority);
        let config = DecoderConfig::new(32, seed).base(Base::Power(2.0)).potential(Potential::none());
        by_likelihood.push(is_right(&decode(&table, config), Selector::WeightedVote) - majority);
        by_reward.push(is_right(&decode(&table, DecoderConfig::new(32, seed)), Selector::WeightedVote) - majority);
    }
    let z = |gains: &[f64]| {
        let (mean, sd) = mean_and_sd(gains);
        mean / (sd / (gains.len() as f64).sqrt())
    };
    println!("{} {}", z(&by_likelihood), z(&by_reward));
    assert!(z(&by_likelihood) < 3.0);
    // A reward that knows something is seen.
    assert!(z(&by_reward) > 5.0);
}
