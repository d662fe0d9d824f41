//! Against a real server of llama.cpp, with the models of `examples/data/countdown`: `scripts/llama_server/test.sh` starts it.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use posterity::reasoning::countdown::{Problem, Split, reward_text};
use posterity::reasoning::http::{
    CompletionRequest, Dialect, HttpClient, JudgeReward, LlamaCpp, PromptTemplate, RetryPolicy, ServerGenerator,
};
use posterity::reasoning::llama::{CharTokenizer, Llama, LlamaGenerator, LlamaReward};
use posterity::reasoning::{
    CallError, ContinuationRequest, Decoded, Decoder, DecoderConfig, Finish, Journal, Ledger, Models, Prefix, ReasoningError,
    RewardModel, RewardScale, SamplingPrior, ScoreRequest, Step, StepGenerator, StepRequest, StepScores,
};
use serde_json::Value;

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/llama_server/test.sh"))
}

fn data(file: &str) -> Value {
    let path = path(file);
    serde_json::from_str(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))).expect("JSON")
}

/// Texts with the logits that the training script found after them.
fn checks(model: &str) -> Vec<(String, Vec<f64>)> {
    let all = data("check.json");
    let of_model = all.as_array().expect("an array").iter().filter(|check| check["model"] == model);
    let checks: Vec<_> = of_model
        .map(|check| {
            let logits = check["logits"].as_array().expect("logits").iter().map(|x| x.as_f64().expect("a number")).collect();
            (check["text"].as_str().expect("a text").to_owned(), logits)
        })
        .collect();
    assert!(!checks.is_empty());
    checks
}

/// A prompt: the first check is one of no steps.
fn prompt() -> Prefix {
    let text = checks("policy").swap_remove(0).0;
    assert_eq!(text.matches('\n').count(), 1);
    Prefix::prompt(text)
}

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = most + logits.iter().map(|x| (x - most).exp()).sum::<f64>().ln();
    logits.iter().map(|x| x - log_sum).collect()
}

fn characters() -> Vec<String> {
    data("vocab.json")["tokens"].as_array().expect("tokens").iter().map(|t| t.as_str().expect("a text").to_owned()).collect()
}

fn client(address: &str) -> HttpClient {
    let policy = RetryPolicy { max_retries: 2, backoff: Duration::from_millis(10), ..RetryPolicy::default() };
    HttpClient::new(address).and_then(|client| client.retry(policy)).expect("a client")
}

fn generator(address: &str) -> ServerGenerator<LlamaCpp> {
    let prior = SamplingPrior { max_tokens_per_step: Some(40), ..SamplingPrior::of_model("policy") };
    ServerGenerator::new(client(address), LlamaCpp, prior).and_then(|g| g.delimiter("\n")).expect("a generator")
}

fn request(prefix: &Prefix, seed: u64) -> StepRequest<'_> {
    StepRequest { prefix, seed, greedy: false, max_tokens: None }
}

fn extend(generator: &mut ServerGenerator<LlamaCpp>, requests: &[StepRequest<'_>]) -> Vec<Step> {
    generator.extend(requests).into_iter().map(|found| found.expect("a step").step).collect()
}

#[test]
#[ignore = "needs a server: scripts/llama_server/test.sh"]
fn log_probabilities_are_those_of_the_weights() {
    let (client, characters) = (client(&variable("POSTERITY_LLAMA_SERVER")), characters());
    let prior = SamplingPrior { temperature: 0.3, ..SamplingPrior::of_model("policy") };
    for (text, logits) in checks("policy") {
        let request = CompletionRequest {
            prompt: &text,
            prior: &prior,
            max_tokens: Some(1),
            greedy: false,
            stop: &[],
            seed: 1,
            n: 1,
            log_probs: Some(24),
        };
        let replies = client.post_all(&[LlamaCpp.complete(&request)], |_, reply| LlamaCpp.read_completions(&request, &reply));
        let completion = replies.into_iter().next().expect("one reply").expect("a completion").swap_remove(0);
        let expected = log_softmax(&logits);
        let mut compared = 0;
        for (token, found) in completion.first_top {
            if let Some(id) = characters.iter().position(|character| *character == token) {
                assert!((found - expected[id]).abs() < 0.05, "{text:?} {token:?}: {found} {}", expected[id]);
                compared += 1;
            }
        }
        assert!(compared >= 15, "{compared}");
    }
}

#[test]
#[ignore = "needs a server: scripts/llama_server/test.sh"]
fn steps_are_drawn_from_the_whole_distribution() {
    let (prompt, n) = (prompt(), 600);
    let (text, logits) = checks("policy").swap_remove(0);
    assert_eq!(text, prompt.text());
    let mut generator = generator(&variable("POSTERITY_LLAMA_SERVER"));
    let requests: Vec<_> = (0..n).map(|seed| StepRequest { max_tokens: Some(1), ..request(&prompt, seed) }).collect();
    let mut counts = BTreeMap::new();
    for step in extend(&mut generator, &requests) {
        assert_eq!(step.n_tokens, 1);
        *counts.entry(step.text).or_insert(0_u32) += 1;
    }
    for (character, log_prob) in characters().iter().zip(log_softmax(&logits)).skip(3) {
        let (p, count) = (log_prob.exp(), counts.get(character).copied().unwrap_or(0));
        let found = f64::from(count) / n as f64;
        // Four standard errors and half a draw, for about ten tokens that have a probability to speak of.
        assert!(
            (found - p).abs() < 4.0 * (p * (1.0 - p) / n as f64).sqrt() + 0.5 / n as f64 + 1e-3,
            "{character:?}: {found} {p}"
        );
    }
}

#[test]
#[ignore = "needs a server: scripts/llama_server/test.sh"]
fn a_text_ends_as_the_model_ends_it_and_its_parts_add_up() {
    let mut generator = generator(&variable("POSTERITY_LLAMA_SERVER")).log_probs();
    let prompt = prompt();
    let mut text = prompt.clone();
    while !text.is_finished() {
        let step = extend(&mut generator, &[StepRequest { greedy: true, ..request(&text, 0) }]).swap_remove(0);
        assert!(step.finish == Finish::Step && step.text.ends_with('\n') && !step.text.ends_with("\n\n") || step.text.is_empty());
        text = text.extended(step);
    }
    assert_eq!(text.finish(), Some(Finish::Eos));
    // One line fewer than numbers, and the end.
    assert_eq!(text.n_steps(), prompt.text().matches(',').count() + 1);
    let steps = text.steps();
    let score = generator.score(&[ContinuationRequest { prefix: &prompt, steps: &steps }]).pop().expect("one").expect("a score");
    for (step, found) in steps.iter().zip(&score.log_model) {
        let drawn = step.log_model.expect("a log-probability");
        // The end is as good as certain.
        let is_log_probability = drawn < 0.0 || step.text.is_empty() && drawn == 0.0;
        assert!((drawn - found).abs() < 1e-3 && is_log_probability, "{step:?} {found}");
    }
    // What the model would not write is scored as well.
    let other = Step::new("99+99=99\n", Finish::Step);
    let score =
        generator.score(&[ContinuationRequest { prefix: &prompt, steps: &[&other] }]).pop().expect("one").expect("a score");
    assert!(score.log_model[0] < -20.0 && score.log_model[0].is_finite());
}

fn path(file: &str) -> String {
    format!("{}/{file}", variable("POSTERITY_LLAMA_MODELS"))
}

fn embedded(name: &str) -> (Llama, CharTokenizer) {
    let model = Llama::load(path(&format!("{name}.json")), path(&format!("{name}.safetensors"))).expect("a model");
    (model, CharTokenizer::load(path("vocab.json")).expect("a tokeniser"))
}

#[test]
#[ignore = "needs a server: scripts/llama_server/test.sh"]
fn the_server_writes_and_judges_as_the_embedded_models_do() {
    let (model, tokenizer) = embedded("policy");
    let prior = SamplingPrior { max_tokens_per_step: Some(40), ..SamplingPrior::of_model("policy") };
    let mut here = LlamaGenerator::new(model, tokenizer, prior).expect("a generator");
    let mut there = generator(&variable("POSTERITY_LLAMA_SERVER")).log_probs();
    let (model, tokenizer) = embedded("reward");
    let mut judge_here = LlamaReward::new(model, tokenizer, reward_text, -12.0).expect("a reward");
    let mut judge_there =
        JudgeReward::new(client(&variable("POSTERITY_LLAMA_REWARD")), LlamaCpp, "reward", PromptTemplate::partial(reward_text))
            .and_then(|judge| judge.tokens(&["+"], &["-"]))
            .and_then(|judge| judge.n_listed(24))
            .and_then(|judge| judge.floor(1.0 / (1.0 + 12.0_f64.exp())))
            .expect("a judge");
    for index in 0..10 {
        let mut text = Problem::random(Split::Validation, 5, index).expect("a problem").prompt();
        while !text.is_finished() && text.n_steps() < 8 {
            let greedy = StepRequest { greedy: true, ..request(&text, 0) };
            let here = here.extend(&[greedy]).pop().expect("one reply").expect("a step").step;
            let step = extend(&mut there, &[greedy]).swap_remove(0);
            assert_eq!((&step.text, step.finish, step.n_tokens), (&here.text, here.finish, here.n_tokens));
            let (found, expected) = (step.log_model.expect("known"), here.log_model.expect("known"));
            assert!((found - expected).abs() < 0.02, "{here:?} {found}");
            text = text.extended(step);
        }
        let request = [ScoreRequest { prefix: &text, n_last: text.n_steps() }];
        let here = judge_here.score(&request).pop().expect("one reply").expect("scores").scores;
        let there = judge_there.score(&request).pop().expect("one reply").expect("scores").scores;
        for (logit, probability) in here.iter().zip(&there) {
            assert!((1.0 / (1.0 + (-logit).exp()) - probability).abs() < 0.01, "{here:?} {there:?}");
        }
    }
}

#[test]
#[ignore = "needs a server: scripts/llama_server/test.sh"]
fn a_seed_names_a_step() {
    let prompt = prompt();
    let mut generator = generator(&variable("POSTERITY_LLAMA_SERVER"));
    let requests: Vec<_> = (0..40).map(|i| request(&prompt, i << 40 | i)).collect();
    let (once, again) = (extend(&mut generator, &requests), extend(&mut generator, &requests));
    assert_eq!(once, again);
    assert!(once.iter().map(|step| &step.text).collect::<HashSet<_>>().len() > 5);
}

#[test]
#[ignore = "needs a server: scripts/llama_server/test.sh"]
fn a_full_context_ends_the_text() {
    let mut generator = generator(&variable("POSTERITY_LLAMA_SERVER"));
    let (long, near, fine) = (Prefix::prompt("11:22,33\n".repeat(40)), Prefix::prompt("11:22,33\n".repeat(12)), prompt());
    let steps = extend(&mut generator, &[request(&long, 1), request(&near, 1), request(&fine, 1)]);
    assert_eq!((steps[0].text.as_str(), steps[0].finish), ("", Finish::MaxTokens));
    // 109 of 112 tokens are used.
    assert!(steps[1].n_tokens <= 3, "{:?}", steps[1]);
    assert_eq!(steps[2].finish, Finish::Step);
}

#[test]
#[ignore = "needs a server: scripts/llama_server/test.sh"]
fn a_reward_model_is_served_as_a_judge() {
    let client = client(&variable("POSTERITY_LLAMA_REWARD"));
    let template = PromptTemplate::new(|prefix| prefix.last_step().map_or_else(String::new, |step| step.text.clone()));
    let mut judge = JudgeReward::new(client, LlamaCpp, "reward", template)
        .and_then(|judge| judge.tokens(&["+"], &["-"]))
        .and_then(|judge| judge.n_listed(24))
        .expect("a judge");
    for (text, logits) in checks("reward") {
        let prefix = Prefix::prompt("").extended(Step::new(text, Finish::Step));
        let score = judge.score(&[ScoreRequest { prefix: &prefix, n_last: 1 }]).pop().expect("one").expect("a score").scores[0];
        let expected = 1.0 / (1.0 + (-logits[0]).exp());
        assert!((score - expected).abs() < 0.01, "{score} {expected}");
    }
}

/// A server of the test's own.
struct Server(Child);

impl Server {
    fn start(port: u16) -> (Self, String) {
        let command = variable("POSTERITY_LLAMA_COMMAND");
        let mut words = command.split(' ');
        let mut child = Command::new(words.next().expect("a program"))
            .args(words)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server");
        let mut address = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut address).expect("its address");
        (Self(child), address.trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Likes low numbers.
struct Digits;

impl RewardModel for Digits {
    fn scale(&self) -> RewardScale {
        RewardScale::Probability
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        let low = |prefix: &Prefix| 1.0 / (1.0 + prefix.written().bytes().filter(|b| (b'5'..=b'9').contains(b)).count() as f64);
        requests.iter().map(|request| Ok(StepScores::each(request, low))).collect()
    }
}

/// The first failure ends a run: one that draws a step anew after a failure is another run than one without.
fn decode(address: &str, journal: &Path) -> Result<(Decoded, Ledger), ReasoningError> {
    let (mut generator, mut rewards, prompt) = (generator(address), Digits, prompt());
    let decoder = Decoder::new(DecoderConfig::new(100, 5).max_steps(8).max_attempts(1));
    let models = Models::new(&mut generator, &mut rewards);
    let mut journal = Journal::open(journal, &decoder.header(&models, &prompt))?;
    let mut models = models.with_journal(&mut journal);
    let decoded = decoder.decode(&mut models, &prompt)?;
    Ok((decoded, models.ledger()))
}

#[test]
#[ignore = "needs a server: scripts/llama_server/test.sh"]
fn a_server_that_is_killed_in_mid_run_costs_nothing_twice() {
    let folder = env::temp_dir().join(format!("posterity-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let (path, whole) = (folder.join("killed.jsonl"), folder.join("whole.jsonl"));
    let (server, address) = Server::start(0);
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let lines = |path| fs::read_to_string(path).unwrap_or_default().lines().filter(|line| line.contains("\"draw\"")).count();
    thread::scope(|scope| {
        let run = scope.spawn(|| decode(&address, &path));
        // The first batch is paid for; the second one is under way.
        while lines(&path) < 100 {
            thread::sleep(Duration::from_millis(1));
        }
        drop(server);
        assert!(run.join().expect("no panic").is_err());
    });
    let paid = lines(&path);
    let (_server, address) = Server::start(port);
    client(&address).wait_until_ready(Duration::from_secs(20)).expect("a server");
    let (resumed, ledger) = decode(&address, &path).expect("a result");
    assert!(paid >= 100 && ledger.replayed >= paid as u64, "{paid} {ledger:?}");
    let (expected, all) = decode(&address, &whole).expect("a result");
    assert_eq!(lines(&path), lines(&whole));
    let texts = |decoded: &Decoded| decoded.texts.iter().map(|text| (text.prefix.text(), text.weight)).collect::<Vec<_>>();
    assert!(texts(&resumed) == texts(&expected));
    assert_eq!((all.replayed, ledger.generations), (0, all.generations));
    fs::remove_dir_all(&folder).expect("the folder is removed");
}
