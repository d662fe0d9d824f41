//! The dialect of llama.cpp, against replies recorded from its server.

use posterity::reasoning::http::{LlamaCpp, ServerGenerator};
use posterity::reasoning::{
    ContinuationRequest, Extension, Finish, Prefix, SamplingPrior, Severity, Step, StepGenerator, StepRequest,
};
use serde_json::{Value, json};

use super::fake::{Fake, Reply};

pub(super) const WORD: &str = include_str!("recorded/llama_cpp_word.json");
const DELIMITER: &str = include_str!("recorded/llama_cpp_delimiter.json");
const EOS: &str = include_str!("recorded/llama_cpp_eos.json");
const FIRST_STOP: &str = include_str!("recorded/llama_cpp_first_stop.json");
const LIMIT: &str = include_str!("recorded/llama_cpp_limit.json");
pub(super) const FORCED: &str = include_str!("recorded/llama_cpp_forced.json");
const CONTEXT: &str = r#"{"error":{"code":400,"message":"request (145 tokens) exceeds the available context size (112 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":145,"n_ctx":112}}"#;

const PROMPT: &str = "55:28,13,25,29,14\n";

pub(super) fn request(prefix: &Prefix, seed: u64) -> StepRequest<'_> {
    StepRequest { prefix, seed, greedy: false, max_tokens: None }
}

fn generator(server: &Fake) -> ServerGenerator<LlamaCpp> {
    let prior = SamplingPrior { max_tokens_per_step: Some(40), ..SamplingPrior::of_model("policy") };
    ServerGenerator::new(server.client(), LlamaCpp, prior).and_then(|generator| generator.delimiter("\n")).expect("a generator")
}

fn one(generator: &mut ServerGenerator<LlamaCpp>, request: StepRequest<'_>) -> Extension {
    generator.extend(&[request]).pop().expect("one reply").expect("a step")
}

fn sum(body: &str, but: usize) -> f64 {
    let body: Value = serde_json::from_str(body).expect("JSON");
    let tokens = body["completion_probabilities"].as_array().expect("tokens");
    tokens[..tokens.len() - but].iter().map(|token| token["logprob"].as_f64().expect("a number")).sum()
}

#[test]
fn the_request_says_everything_that_the_server_would_decide() {
    let server = Fake::script(vec![Reply::ok(WORD)]);
    let prior = SamplingPrior { temperature: 0.7, top_p: 0.9, top_k: Some(50), min_p: 0.01, ..SamplingPrior::of_model("policy") };
    let mut generator = ServerGenerator::new(server.client(), LlamaCpp, prior)
        .and_then(|generator| generator.delimiter("\n\n"))
        .and_then(|generator| generator.answer_stop("</answer>"))
        .expect("a generator");
    let prefix = Prefix::prompt("Q: \"1+1\"\n");
    one(&mut generator, request(&prefix, 7));
    one(&mut generator, StepRequest { greedy: true, max_tokens: Some(5), ..request(&prefix, u64::MAX - 3) });
    let requests = server.requests();
    assert_eq!((requests[0].path.as_str(), requests.len()), ("/completion", 2));
    requests[0].assert_body(
        r#"{"prompt":"Q: \"1+1\"\n","n_predict":-1,"stop":["\n\n","</answer>"],"seed":7,
        "samplers":["temperature","top_k","top_p","min_p"],"temperature":0.7,"min_p":0.01,"top_k":50,"top_p":0.9,
        "n_probs":0,"post_sampling_probs":false,"return_tokens":true,"cache_prompt":true,"stream":false}"#,
    );
    let second = requests[1].json();
    assert_eq!((&second["temperature"], &second["n_predict"]), (&json!(0.0), &json!(5)));
    assert!(second["seed"].as_u64().expect("a seed") < 1 << 31);
}

#[test]
fn each_end_is_told_and_the_delimiter_stands_once() {
    for (body, text, finish, n_tokens, read) in [
        (WORD, "28/14=02,25,13,29\n", Finish::Step, 18, 1),
        (FIRST_STOP, "\n", Finish::Step, 1, 1),
        (EOS, "", Finish::Eos, 1, 37),
        (LIMIT, "28/", Finish::MaxTokens, 3, 1),
    ] {
        let server = Fake::script(vec![Reply::ok(body)]);
        let found = one(&mut generator(&server), request(&Prefix::prompt(PROMPT), 7));
        let step = &found.step;
        assert_eq!((step.text.as_str(), step.finish, step.n_tokens, found.prompt_tokens), (text, finish, n_tokens, read));
        // Nothing was asked for.
        assert_eq!((step.log_sampling, step.log_model), (None, None));
    }
    let server = Fake::script(vec![Reply::ok(WORD)]);
    let mut answers = generator(&server).answer_when(|step| step.contains("=02"));
    assert_eq!(one(&mut answers, request(&Prefix::prompt(PROMPT), 7)).step.finish, Finish::Answer);
    let server = Fake::script(vec![Reply::ok(WORD.replace("\"stop_type\":\"word\"", "\"stop_type\":\"other\""))]);
    let error =
        generator(&server).extend(&[request(&Prefix::prompt(PROMPT), 7)]).pop().expect("one reply").expect_err("no reason");
    assert_eq!(error.severity(), Severity::Slot);
}

#[test]
fn the_delimiter_gets_its_log_probability_by_a_second_request() {
    let server = Fake::script(vec![Reply::ok(WORD), Reply::ok(DELIMITER)]);
    let found = one(&mut generator(&server).log_probs(), request(&Prefix::prompt(PROMPT), 7));
    let expected = sum(WORD, 0) + sum(DELIMITER, 1);
    assert_eq!((found.step.log_model, found.step.log_sampling), (Some(expected), Some(expected)));
    assert_eq!(found.prompt_tokens, 1 + 3);
    let requests = server.requests();
    assert_eq!(requests[0].json()["n_probs"], 1);
    requests[1].assert_body(
        r#"{"prompt":"55:28,13,25,29,14\n28/14=02,25,13,29","n_predict":2,"grammar":"root ::= \"\\n\"","samplers":["temperature"],
        "temperature":0.0,"n_probs":1,"post_sampling_probs":false,"return_tokens":false,"cache_prompt":true,"stream":false}"#,
    );
    // At the end of text and at a limit there is nothing to ask.
    for body in [EOS, LIMIT] {
        let server = Fake::script(vec![Reply::ok(body)]);
        let found = one(&mut generator(&server).log_probs(), request(&Prefix::prompt(PROMPT), 7));
        assert_eq!((found.step.log_model, server.requests().len()), (Some(sum(body, 0)), 1));
    }
}

#[test]
fn a_last_token_that_holds_more_than_the_delimiter_is_asked_for_as_a_whole() {
    // Two tokens are left out for a delimiter of two, though "9\n\n" was one and "2" none of it.
    let mut reply: Value = serde_json::from_str(WORD).expect("JSON");
    reply["completion_probabilities"].as_array_mut().expect("tokens").truncate(15);
    reply["stopping_word"] = json!("\n\n");
    let server = Fake::script(vec![Reply::ok(reply), Reply::error(500, "enough")]);
    let error =
        generator(&server).log_probs().extend(&[request(&Prefix::prompt(PROMPT), 7)]).pop().expect("one").expect_err("500");
    assert_eq!(error.severity(), Severity::Transient);
    let second = server.requests()[1].json();
    assert_eq!(second["prompt"], "55:28,13,25,29,14\n28/14=02,25,13,");
    assert_eq!(second["grammar"], "root ::= \"29\\n\\n\"");
}

#[test]
fn what_follows_a_token_that_does_not_fit_is_counted_once() {
    // The third token is reported as another one: it and all after it are asked for.
    let mut reply: Value = serde_json::from_str(WORD).expect("JSON");
    reply["completion_probabilities"][2]["bytes"] = json!([46]);
    let kept: f64 = (0..2).map(|i| reply["completion_probabilities"][i]["logprob"].as_f64().expect("a number")).sum();
    let forced = json!({"content": "/14=02,25,13,29\n", "stop_type": "eos", "tokens_predicted": 17, "tokens_evaluated": 3,
        "completion_probabilities": [
            {"logprob": -1.5, "bytes": "/14=02,25,13,29".as_bytes()}, {"logprob": -0.5, "bytes": [10]}, {"logprob": -9.0, "bytes": []}]});
    let server = Fake::script(vec![Reply::ok(reply), Reply::ok(forced)]);
    let step = one(&mut generator(&server).log_probs(), request(&Prefix::prompt(PROMPT), 7)).step;
    assert_eq!((step.text.as_str(), step.log_model), ("28/14=02,25,13,29\n", Some(kept - 2.0)));
    assert_eq!(server.requests()[1].json()["prompt"], format!("{PROMPT}28"));
}

#[test]
fn a_step_is_kept_while_the_log_probability_of_its_delimiter_is_not_to_be_had() {
    let server = Fake::new(|number, request| match (request.body.contains("grammar"), number) {
        (false, _) => Reply::ok(WORD),
        (true, 0..8) => Reply::error(500, "no slot"),
        _ => Reply::ok(DELIMITER),
    });
    let n_draws = || server.requests().iter().filter(|request| !request.body.contains("grammar")).count();
    let mut generator = generator(&server).log_probs();
    let prefix = Prefix::prompt(PROMPT);
    let mut failures = 0;
    let found = loop {
        match generator.extend(&[request(&prefix, 7)]).pop().expect("one reply") {
            Ok(found) => break found,
            Err(error) => assert_eq!(error.severity(), Severity::Transient),
        }
        failures += 1;
    };
    assert!(failures > 0 && n_draws() == 1, "{failures} {}", n_draws());
    assert_eq!((found.step.log_model, found.prompt_tokens), (Some(sum(WORD, 0) + sum(DELIMITER, 1)), 1 + 3));
    // Another seed is another draw, and a step that was handed out is not kept.
    one(&mut generator, request(&prefix, 8));
    one(&mut generator, request(&prefix, 7));
    assert_eq!(n_draws(), 3);
}

#[test]
fn log_probabilities_of_a_tempered_draw_are_the_models_only() {
    let server = Fake::script(vec![Reply::ok(LIMIT)]);
    let prior = SamplingPrior { temperature: 0.5, ..SamplingPrior::of_model("policy") };
    let mut generator = ServerGenerator::new(server.client(), LlamaCpp, prior).expect("a generator").log_probs();
    let step = one(&mut generator, request(&Prefix::prompt(PROMPT), 7)).step;
    assert_eq!((step.log_model, step.log_sampling), (Some(sum(LIMIT, 0)), None));
    let greedy = one(&mut generator, StepRequest { greedy: true, ..request(&Prefix::prompt(PROMPT), 7) }).step;
    assert_eq!((greedy.log_model, greedy.log_sampling), (Some(sum(LIMIT, 0)), Some(0.0)));
    assert!(!generator.can_score());
    let prefix = Prefix::prompt(PROMPT);
    let refused = generator.score(&[ContinuationRequest { prefix: &prefix, steps: &[&step] }]).pop().expect("one reply");
    assert_eq!(refused.expect_err("not known").severity(), Severity::Fatal);
}

#[test]
fn a_full_context_or_budget_ends_the_text() {
    let server = Fake::new(|_, request| if request.body.contains("long") { Reply::error(400, CONTEXT) } else { Reply::ok(WORD) });
    let (long, short) = (Prefix::prompt("a long one"), Prefix::prompt(PROMPT));
    let mut generator = generator(&server);
    let none_left = StepRequest { max_tokens: Some(0), ..request(&short, 3) };
    let found = generator.extend(&[request(&long, 1), request(&short, 2), none_left]);
    let ends: Vec<_> = found.into_iter().map(|found| found.expect("a step").step).map(|step| (step.text, step.finish)).collect();
    let empty = (String::new(), Finish::MaxTokens);
    assert_eq!(ends, [empty.clone(), ("28/14=02,25,13,29\n".into(), Finish::Step), empty]);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_log_probability_that_is_none_fails_its_slot_alone() {
    for wrong in ["null", "NaN", "0.5", "\"-1\""] {
        let mut reply: Value = serde_json::from_str(LIMIT).expect("JSON");
        reply["completion_probabilities"][1]["logprob"] = json!("HERE");
        let bad = reply.to_string().replace("\"HERE\"", wrong);
        let server = Fake::new(move |_, request| if request.body.contains("bad") { Reply::ok(&bad) } else { Reply::ok(LIMIT) });
        let (good, bad) = (Prefix::prompt(PROMPT), Prefix::prompt("bad"));
        let found = generator(&server).log_probs().extend(&[request(&good, 1), request(&bad, 2), request(&good, 3)]);
        assert!(found[0].is_ok() && found[2].is_ok());
        assert_eq!(found[1].as_ref().expect_err(wrong).severity(), Severity::Slot);
        // Asked for once more, and not again.
        assert_eq!(server.requests().len(), 4);
    }
}

#[test]
fn given_steps_are_scored_token_by_token() {
    let body: Value = serde_json::from_str(FORCED).expect("JSON");
    let tokens = body["completion_probabilities"].as_array().expect("tokens");
    let log_probs: Vec<_> = tokens.iter().map(|token| token["logprob"].as_f64().expect("a number")).collect();
    let prefix = Prefix::prompt(PROMPT);
    let first = Step::new("28+13=41,25,29,14\n", Finish::Step);
    for (finish, last) in [(Finish::Step, 21), (Finish::Eos, 22)] {
        let server = Fake::script(vec![Reply::ok(FORCED)]);
        let second = Step::new("42\n", finish);
        let score = generator(&server).score(&[ContinuationRequest { prefix: &prefix, steps: &[&first, &second] }]);
        let score = score.into_iter().next().expect("one reply").expect("a score");
        let expected = [&log_probs[..18], &log_probs[18..last]].map(|tokens| tokens.iter().sum::<f64>());
        for (found, expected) in score.log_model.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!((score.log_model.len(), score.tokens), (2, 23));
        assert_eq!(score.log_model, score.log_sampling);
    }
    // Another text than asked for is no score of it.
    let server = Fake::script(vec![Reply::ok(FORCED)]);
    let other = Step::new("28+13=41,25,29,15\n", Finish::Step);
    let refused =
        generator(&server).score(&[ContinuationRequest { prefix: &prefix, steps: &[&other] }]).pop().expect("one reply");
    assert_eq!(refused.expect_err("another text").severity(), Severity::Slot);
}

#[test]
fn what_came_before_the_server_died_is_kept_and_the_rest_is_drawn_after() {
    let server = Fake::new(|number, request| match number {
        0..3 | 20.. => Reply::ok(WORD.replace("28/14", &request.json()["seed"].to_string())),
        _ => Reply::Close,
    });
    let prefix = Prefix::prompt(PROMPT);
    let client = server.client().concurrency(1).expect("a client");
    let prior = SamplingPrior::of_model("policy");
    let mut generator = ServerGenerator::new(client, LlamaCpp, prior).and_then(|g| g.delimiter("\n")).expect("a generator");
    let found = generator.extend(&(0..8).map(|seed| request(&prefix, seed)).collect::<Vec<_>>());
    let errors: Vec<_> = found.iter().filter_map(|found| found.as_ref().err()).map(|error| error.severity()).collect();
    assert_eq!((found.iter().take(3).filter(|found| found.is_ok()).count(), errors), (3, vec![Severity::Transient; 5]));
    while server.requests().len() < 20 {
        let _ = generator.extend(&[request(&prefix, 100)]);
    }
    let later = generator.extend(&(3..8).map(|seed| request(&prefix, seed)).collect::<Vec<_>>());
    let texts: Vec<_> = later.into_iter().map(|found| found.expect("a step").step.text).collect();
    assert_eq!(texts, (3..8).map(|seed| format!("{seed}=02,25,13,29\n")).collect::<Vec<_>>());
}
