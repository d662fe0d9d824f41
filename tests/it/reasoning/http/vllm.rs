//! The dialect of vLLM, against replies in its form.

use posterity::reasoning::http::{LogProbStyle, ServerGenerator, Vllm};
use posterity::reasoning::{ContinuationRequest, Finish, Prefix, SamplingPrior, Severity, Step, StepGenerator, StepRequest};
use serde_json::{Value, json};

use super::fake::{Fake, Reply};
use super::llama_cpp::request;

/// A reply as vLLM 0.11 writes it, with more fields than are read.
fn reply(choices: &[Value]) -> Value {
    json!({
        "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "qwen", "service_tier": null, "choices": choices,
        "usage": {"prompt_tokens": 12, "total_tokens": 15, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 8}},
        "kv_transfer_params": null, "a_field_of_tomorrow": {"x": [1]},
    })
}

/// A choice of three tokens, which spell its text and a stop string that was left out.
fn choice(index: usize, text: &str, finish_reason: &str, stop_reason: Value) -> Value {
    let stop = stop_reason.as_str().filter(|stop| !text.ends_with(stop)).unwrap_or_default();
    let (first, rest) = text.split_at(1);
    let (second, third) = rest.split_at(rest.len().min(1));
    json!({
        "index": index, "text": text, "finish_reason": finish_reason, "stop_reason": stop_reason, "token_ids": [9, 8, 7],
        "logprobs": {"text_offset": [0, 1, 2], "tokens": [first, second, format!("{third}{stop}")],
                     "token_logprobs": [-0.5, -0.25, -1.0], "top_logprobs": [{first: -0.5}, {second: -0.25}, {"c": -1.0}]},
        "prompt_logprobs": null, "prompt_token_ids": null,
    })
}

fn server(choices: &[Value]) -> Fake {
    Fake::script(vec![Reply::ok(reply(choices))])
}

fn prior() -> SamplingPrior {
    SamplingPrior { max_tokens_per_step: Some(256), ..SamplingPrior::of_model("qwen") }
}

fn generator(server: &Fake) -> ServerGenerator<Vllm> {
    ServerGenerator::new(server.client(), Vllm::default(), prior()).expect("a generator")
}

fn one(server: &Fake) -> Step {
    let prefix = Prefix::prompt("Q");
    generator(server).log_probs().extend(&[request(&prefix, 7)]).pop().expect("one reply").expect("a step").step
}

#[test]
fn the_request_says_everything_that_a_checkpoint_might() {
    let server = server(&[choice(0, "Two.\n\n", "stop", json!("\n\n"))]);
    let prior = SamplingPrior { temperature: 0.8, top_p: 0.95, top_k: Some(20), ..prior() };
    let mut generator = ServerGenerator::new(server.client(), Vllm::default(), prior)
        .and_then(|generator| generator.answer_stop("</answer>"))
        .expect("a generator");
    let prefix = Prefix::prompt("Q").extended(Step::new("One.\n\n", Finish::Step));
    let found =
        generator.extend(&[StepRequest { max_tokens: Some(300), ..request(&prefix, 7) }]).pop().expect("one").expect("a step");
    // 12 tokens of the prompt, 8 of them in the cache.
    assert_eq!((found.prompt_tokens, found.step.n_tokens, found.step.token_ids), (4, 3, None));
    let requests = server.requests();
    assert_eq!(requests[0].path, "/v1/completions");
    requests[0].assert_body(
        r#"{"model":"qwen","prompt":"QOne.\n\n","max_tokens":256,"temperature":0.8,"top_p":0.95,"top_k":20,"min_p":0.0,
        "repetition_penalty":1.0,"presence_penalty":0.0,"frequency_penalty":0.0,"n":1,"seed":7,"stop":["\n\n","</answer>"],
        "include_stop_str_in_output":true,"skip_special_tokens":true,"add_special_tokens":false,"return_token_ids":true,
        "echo":false,"stream":false}"#,
    );
}

#[test]
fn each_end_is_told_and_the_delimiter_stands_once() {
    for (text, finish_reason, stop_reason, expected, finish) in [
        ("One.\n\n", "stop", json!("\n\n"), "One.\n\n", Finish::Step),
        // A server that leaves the stop string out.
        ("One.", "stop", json!("\n\n"), "One.\n\n", Finish::Step),
        ("Done", "stop", json!(null), "Done", Finish::Eos),
        ("Done", "stop", json!(151643), "Done", Finish::Eos),
        ("One and", "length", json!(null), "One and", Finish::MaxTokens),
    ] {
        let step = one(&server(&[choice(0, text, finish_reason, stop_reason)]));
        assert_eq!((step.text.as_str(), step.finish), (expected, finish));
        assert_eq!((step.log_model, step.log_sampling), (Some(-1.75), Some(-1.75)));
        assert_eq!((step.n_tokens, step.token_ids), (3, Some(vec![9, 8, 7])));
    }
}

#[test]
fn a_last_token_that_holds_more_than_the_stop_string_is_none_of_the_step() {
    for (last, rest) in [("\n\n\n", "\n\n"), (".\n\nSo", ".\n\n")] {
        let written = format!("One{rest}");
        let mut choice = choice(0, &written, "stop", json!("\n\n"));
        choice["logprobs"]["tokens"] = json!(["O", "ne", last]);
        let forced = json!({"choices": [{"logprobs": {"tokens": ["Q", "One", rest, "x"], "token_logprobs": [null, -7.0, -3.0, -5.0]}}],
            "usage": {"prompt_tokens": 3}});
        let replies = || vec![Reply::ok(reply(&[choice.clone()])), Reply::ok(&forced)];
        let server = Fake::script(replies());
        let step = one(&server);
        assert_eq!((step.text.as_str(), step.n_tokens, step.token_ids), (written.as_str(), 3, None));
        assert_eq!((step.log_model, step.log_sampling), (Some(-3.75), Some(-3.75)));
        assert_eq!(server.requests()[1].json()["prompt"], format!("Q{written}"));
        // What is asked for is the model's own, and of no use beside what is of a tempered draw.
        let server = Fake::script(replies());
        let dialect = Vllm::default().log_probs(LogProbStyle::Processed);
        let prior = SamplingPrior { temperature: 0.8, ..prior() };
        let mut tempered = ServerGenerator::new(server.client(), dialect, prior).expect("a generator").log_probs();
        let step = tempered.extend(&[request(&Prefix::prompt("Q"), 7)]).pop().expect("one reply").expect("a step").step;
        assert_eq!((step.log_model, step.log_sampling, server.requests().len()), (None, None, 1));
    }
}

#[test]
fn what_is_not_said_is_not_guessed() {
    let mut no_reason = choice(0, "One.", "stop", json!(null));
    no_reason.as_object_mut().expect("an object").remove("stop_reason");
    let mut not_a_number = choice(0, "One.", "stop", json!(null));
    not_a_number["logprobs"]["token_logprobs"][1] = json!(null);
    let no_log_probs = json!({"index": 0, "text": "x", "finish_reason": "length", "stop_reason": null, "logprobs": null});
    let no_text = json!({"index": 0, "text": null, "finish_reason": "length", "stop_reason": null});
    for choices in [vec![no_reason], vec![not_a_number], vec![no_log_probs], vec![no_text], vec![]] {
        let server = server(&choices);
        let prefix = Prefix::prompt("Q");
        let error = generator(&server).log_probs().extend(&[request(&prefix, 7)]).pop().expect("one reply").expect_err("no step");
        assert_eq!((error.severity(), server.requests().len()), (Severity::Slot, 2), "{error}");
    }
}

#[test]
fn log_probabilities_are_of_the_model_or_of_the_draw() {
    for (style, log_model, log_sampling) in [(LogProbStyle::Raw, Some(-1.75), None), (LogProbStyle::Processed, None, Some(-1.75))]
    {
        let server = server(&[choice(0, "One.\n\n", "stop", json!("\n\n"))]);
        let prior = SamplingPrior { temperature: 0.8, ..prior() };
        let dialect = Vllm::default().log_probs(style);
        let mut generator = ServerGenerator::new(server.client(), dialect, prior).expect("a generator").log_probs();
        let prefix = Prefix::prompt("Q");
        let step = generator.extend(&[request(&prefix, 7)]).pop().expect("one reply").expect("a step").step;
        assert_eq!((step.log_model, step.log_sampling), (log_model, log_sampling));
        assert_eq!(server.requests()[0].json()["logprobs"], 0);
    }
}

#[test]
fn siblings_share_a_request_and_get_different_steps() {
    let answer = |request: &Value| {
        let n = usize::try_from(request["n"].as_u64().expect("a number")).expect("small");
        // Choices may come in any order.
        let choices: Vec<_> =
            (0..n).rev().map(|i| choice(i, &format!("{}{i}\n\n", request["prompt"]), "stop", json!("\n\n"))).collect();
        reply(&choices)
    };
    let server = Fake::new(move |_, request| Reply::ok(answer(&request.json())));
    let (a, b) = (Prefix::prompt("A"), Prefix::prompt("B"));
    let requests =
        [request(&a, 1), request(&b, 2), request(&a, 3), StepRequest { greedy: true, ..request(&a, 4) }, request(&a, 5)];
    let found = generator(&server).group_siblings().extend(&requests);
    let found: Vec<_> = found.into_iter().map(|found| found.expect("a step")).map(|e| (e.step.text, e.prompt_tokens)).collect();
    let expected = [("\"A\"0", 4), ("\"B\"0", 4), ("\"A\"1", 0), ("\"A\"0", 4), ("\"A\"2", 0)];
    assert_eq!(found, expected.map(|(text, read)| (format!("{text}\n\n"), read)));
    let mut sent: Vec<_> =
        server.requests().iter().map(|request| request.json()).map(|r| (r["n"].clone(), r["seed"].clone())).collect();
    sent.sort_by_key(|(n, seed)| (n.as_u64(), seed.as_u64()));
    assert_eq!(sent, [(json!(1), json!(2)), (json!(1), json!(4)), (json!(3), json!(1))]);
    // Without grouping each has its own.
    let found = generator(&server).extend(&requests);
    assert_eq!((found.len(), server.requests().len()), (5, 8));
}

#[test]
fn siblings_are_asked_for_one_by_one_where_the_server_limits_their_number() {
    let server = Fake::new(|_, request| match request.json()["n"].as_u64() {
        Some(1) => Reply::ok(reply(&[choice(0, "x\n\n", "stop", json!("\n\n"))])),
        _ => Reply::error(400, r#"{"error":{"message":"n must be 1","type":"BadRequestError","param":null,"code":400}}"#),
    });
    let prefix = Prefix::prompt("A");
    let found = generator(&server).group_siblings().extend(&[request(&prefix, 1), request(&prefix, 2), request(&prefix, 3)]);
    assert!(found.iter().all(Result::is_ok));
    let seeds: Vec<_> = server.requests()[1..].iter().map(|request| request.json()["seed"].as_u64()).collect();
    assert!((1..=3).all(|seed| seeds.contains(&Some(seed))) && seeds.len() == 3);
}

#[test]
fn a_full_context_ends_the_text() {
    for body in [
        r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens","type":"BadRequestError","param":null,"code":400}"#,
        r#"{"error":{"message":"The decoder prompt (length 5000) is longer than the maximum model length of 4096.","type":"BadRequestError","param":null,"code":400}}"#,
    ] {
        let server = Fake::script(vec![Reply::error(400, body)]);
        let step = one(&server);
        assert_eq!((step.text.as_str(), step.finish, step.n_tokens), ("", Finish::MaxTokens, 0));
    }
}

/// An echo with a start token, and with the token that was written after it.
fn echo(last: &str) -> Value {
    json!({"choices": [{"index": 0, "text": "...", "finish_reason": "length", "stop_reason": null, "logprobs": {
        "tokens": ["<s>", "Q", "uest", "ion A", "B\n", "\n", "C", last],
        "token_logprobs": [null, -9.0, -8.0, -1.0, -2.0, -0.5, -9999.0, -0.1],
        "top_logprobs": null, "text_offset": [0, 3, 4, 8, 13, 15, 16, 17]}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}})
}

#[test]
fn given_steps_are_scored_by_echo() {
    let server = Fake::script(vec![Reply::ok(echo("D"))]);
    let prefix = Prefix::prompt("Question ");
    // "ion A" begins in the prompt and ends in the first step; "C" is impossible.
    let steps = [Step::new("AB\n\n", Finish::Step), Step::new("C", Finish::MaxSteps)];
    let score = generator(&server).score(&[ContinuationRequest { prefix: &prefix, steps: &[&steps[0], &steps[1]] }]);
    let score = score.into_iter().next().expect("one reply").expect("a score");
    assert_eq!(score.log_model, [-3.5, f64::NEG_INFINITY]);
    assert_eq!((score.log_sampling, score.tokens), (score.log_model, 8));
    server.requests()[0].assert_body(
        r#"{"model":"qwen","prompt":"Question AB\n\nC","max_tokens":1,"temperature":0.0,"n":1,"logprobs":0,"echo":true,
        "add_special_tokens":false,"skip_special_tokens":false,"stream":false}"#,
    );
}

#[test]
fn the_end_of_text_is_scored_if_it_is_named() {
    let prefix = Prefix::prompt("Question ");
    let step = Step::new("AB\n", Finish::Eos);
    let given = ContinuationRequest { prefix: &prefix, steps: &[&step] };
    let tokens = json!({"choices": [{"logprobs": {"tokens": ["Question ", "AB\n", "<|end|>", "x"], "token_logprobs": [null, -1.0, -0.5, -3.0]}}],
        "usage": {"prompt_tokens": 3}});
    let server = Fake::script(vec![Reply::ok(&tokens)]);
    let error = generator(&server).score(&[given]).pop().expect("one reply").expect_err("it has no name");
    assert_eq!((error.severity(), server.requests().len()), (Severity::Fatal, 0));
    let dialect = Vllm::default().end_of_text("<|end|>");
    let mut named = ServerGenerator::new(server.client(), dialect, prior()).expect("a generator");
    let score = named.score(&[given]).pop().expect("one reply").expect("a score");
    assert_eq!(score.log_model, [-1.5]);
    assert_eq!(server.requests()[0].json()["prompt"], "Question AB\n<|end|>");
}

#[test]
fn tokens_that_do_not_spell_the_text_are_no_score() {
    let prefix = Prefix::prompt("Question ");
    let other = Step::new("AB\n\nX", Finish::Step);
    let server = Fake::script(vec![Reply::ok(echo("D"))]);
    let error = generator(&server).score(&[ContinuationRequest { prefix: &prefix, steps: &[&other] }]).pop().expect("one reply");
    assert_eq!(error.expect_err("another text").severity(), Severity::Slot);
}

#[test]
fn settings_out_of_range_are_refused() {
    let client = Fake::script(vec![Reply::Close]).client();
    let made = |prior| ServerGenerator::new(client.clone(), Vllm::default(), prior);
    for prior in [
        SamplingPrior { temperature: f64::NAN, ..prior() },
        SamplingPrior { temperature: -1.0, ..prior() },
        SamplingPrior { top_p: 0.0, ..prior() },
        SamplingPrior { min_p: 1.5, ..prior() },
        SamplingPrior { top_k: Some(0), ..prior() },
        SamplingPrior { max_tokens_per_step: Some(0), ..prior() },
        SamplingPrior { max_tokens_per_step: None, ..prior() },
    ] {
        assert!(made(prior).is_err());
    }
    assert!(made(prior()).and_then(|generator| generator.delimiter("")).is_err());
    assert!(made(prior()).and_then(|generator| generator.answer_stop("")).is_err());
}
