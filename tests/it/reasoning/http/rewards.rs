//! Reward models behind servers.

use posterity::reasoning::http::{
    ForcedTextReward, JudgeReward, LlamaCpp, LogProbStyle, LogisticHead, PoolingReward, PromptTemplate, Span, Vllm,
};
use posterity::reasoning::{Finish, Prefix, RewardModel, RewardScale, ScoreRequest, Severity, Step};
use serde_json::{Value, json};

use super::fake::{Fake, Reply};
use super::llama_cpp::FORCED;

fn prefix() -> Prefix {
    let steps = [Step::new("One.\n\n", Finish::Step), Step::new("Two.", Finish::Eos)];
    Prefix::prompt("Q?").extended_by(&steps)
}

fn last(prefix: &Prefix, n_last: usize) -> ScoreRequest<'_> {
    ScoreRequest { prefix, n_last }
}

fn pooled(rows: &Value) -> Reply {
    Reply::ok(json!({"id": "pool-1", "object": "list", "data": [{"index": 0, "object": "pooling", "data": rows}],
        "usage": {"prompt_tokens": 33, "total_tokens": 33, "completion_tokens": 0}}))
}

fn pooling(server: &Fake) -> PoolingReward {
    PoolingReward::new(server.client(), "prm", PromptTemplate::tagged("[", "]", "<extra_0>", "<end>"))
}

#[test]
fn a_pooling_model_scores_all_steps_at_once() {
    let server = Fake::script(vec![pooled(&json!([[0.25, 0.75], [0.875, 0.125]]))]);
    let prefix = prefix();
    let mut reward = pooling(&server);
    assert_eq!(reward.scale(), RewardScale::Probability);
    let both = reward.score(&[last(&prefix, 2)]).pop().expect("one reply").expect("scores");
    assert_eq!((both.scores, both.calls, both.tokens), (vec![0.75, 0.125], 1, 33));
    let newest = reward.task("token_classify").column(0).score(&[last(&prefix, 1)]).pop().expect("one reply").expect("scores");
    assert_eq!(newest.scores, [0.875]);
    let requests = server.requests();
    assert_eq!(requests[0].path, "/pooling");
    requests[0].assert_body(
        r#"{"model":"prm","input":"[Q?]One.<extra_0>Two.<extra_0><end>","encoding_format":"float","add_special_tokens":false}"#,
    );
    assert_eq!(requests[1].json()["task"], "token_classify");
}

#[test]
fn rows_that_are_not_the_steps_are_no_scores() {
    for rows in [
        json!([[0.5, 0.5]]),
        json!([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]),
        json!([[0.5, 0.5], [0.5, null]]),
        json!([[0.5, 0.5], [0.5, 1.5]]),
        json!([0.5, 0.5]),
        json!(null),
    ] {
        let server = Fake::script(vec![pooled(&rows)]);
        let error = pooling(&server).score(&[last(&prefix(), 2)]).pop().expect("one reply").expect_err("no scores");
        assert_eq!(error.severity(), Severity::Slot, "{rows}");
    }
    // A text that is too long is not cut.
    let server = Fake::script(vec![Reply::error(400, r#"{"error":{"message":"maximum context length is 8"}}"#)]);
    let error = pooling(&server).score(&[last(&prefix(), 1)]).pop().expect("one reply").expect_err("too long");
    assert_eq!(error.severity(), Severity::Slot);
}

fn judged_by_vllm(top: &Value) -> Reply {
    Reply::ok(json!({"choices": [{"index": 0, "text": "+", "finish_reason": "length", "stop_reason": null,
        "logprobs": {"tokens": ["+"], "token_logprobs": [-0.1], "top_logprobs": [top]}}], "usage": {"prompt_tokens": 9}}))
}

fn judge(server: &Fake) -> JudgeReward<Vllm> {
    let template = PromptTemplate::new(|prefix| format!("{} Good? ", prefix.text()));
    JudgeReward::new(server.client(), Vllm::default(), "judge", template).expect("a judge")
}

#[test]
fn a_judge_is_asked_for_one_token_per_step() {
    let (a, b) = ((0.6_f64).ln(), (0.2_f64).ln());
    let server = Fake::new(move |_, request| {
        let good = if request.body.contains("Two") { (b, a) } else { (a, b) };
        judged_by_vllm(&json!({"+": good.0, "-": good.1, "maybe": -1.7}))
    });
    let prefix = prefix();
    let scores = judge(&server).score(&[last(&prefix, 2), last(&prefix, 1)]);
    let scores: Vec<_> = scores.into_iter().map(|scores| scores.expect("scores")).collect();
    assert!((scores[0].scores[0] - 0.75).abs() < 1e-12 && (scores[0].scores[1] - 0.25).abs() < 1e-12);
    assert_eq!((scores[0].calls, scores[0].tokens), (2, 20));
    assert_eq!((scores[1].calls, &scores[1].scores[..]), (1, &scores[0].scores[1..]));
    let mut requests = server.requests();
    requests.sort_by_key(|request| request.body.len());
    let shortest = requests[0].json();
    assert_eq!(
        (&shortest["prompt"], &shortest["max_tokens"], &shortest["logprobs"]),
        (&json!("Q?One.\n\n Good? "), &json!(1), &json!(20))
    );
    assert_eq!(shortest["temperature"], 0.0);
}

#[test]
fn a_judgement_that_is_not_listed_is_bounded_and_none_is_an_error() {
    let prefix = prefix();
    let score = |top: Value| {
        let server = Fake::script(vec![judged_by_vllm(&top)]);
        judge(&server).score(&[last(&prefix, 1)]).pop().expect("one reply").map(|scores| scores.scores[0])
    };
    let ln = |p: f64| p.ln();
    // Two spellings of one judgement are added.
    assert!((score(json!({"+": ln(0.3), " +": ln(0.3), "-": ln(0.2)})).expect("a score") - 0.75).abs() < 1e-12);
    assert!((score(json!({"+": ln(0.9), "yes": ln(0.1)})).expect("a score") - 0.9).abs() < 1e-12);
    assert_eq!(score(json!({"yes": ln(0.9), "no": ln(0.1)})).expect_err("no judgement").severity(), Severity::Slot);
    let server = Fake::script(vec![judged_by_vllm(&json!({"no": ln(0.1), "yes": ln(0.3)}))]);
    let mut named = judge(&server).tokens(&["yes"], &["no"]).and_then(|judge| judge.n_listed(5)).expect("a judge");
    assert!((named.score(&[last(&prefix, 1)]).pop().expect("one reply").expect("a score").scores[0] - 0.75).abs() < 1e-12);
    assert!(judge(&server).tokens(&[], &["no"]).is_err() && judge(&server).n_listed(1).is_err());
    let processed = Vllm::default().log_probs(LogProbStyle::Processed);
    assert!(JudgeReward::new(server.client(), processed, "judge", PromptTemplate::plain()).is_err());
}

#[test]
fn a_prefix_without_a_prompt_is_not_sent() {
    let server = Fake::new(|_, _| judged_by_vllm(&json!({"+": -0.5, "-": -0.5})));
    let template = || PromptTemplate::partial(|prefix| (prefix.n_steps() != 1).then(|| prefix.text()));
    let prefix = prefix();
    let made = || JudgeReward::new(server.client(), Vllm::default(), "judge", template()).expect("a judge");
    let error = made().score(&[last(&prefix, 2)]).pop().expect("one reply").expect_err("no prompt");
    assert_eq!(error.severity(), Severity::Slot);
    let floored = made().floor(0.125).expect("a judge").score(&[last(&prefix, 2)]).pop().expect("one reply").expect("scores");
    assert_eq!(floored.scores, [0.125, 0.5]);
    assert!(made().floor(1.5).is_err() && made().floor(f64::NAN).is_err());
    let mut pooling = PoolingReward::new(server.client(), "prm", PromptTemplate::partial(|_| None));
    let n_sent = server.requests().len();
    let error = pooling.score(&[last(&prefix, 1)]).pop().expect("one reply").expect_err("no prompt");
    assert_eq!((error.severity(), server.requests().len()), (Severity::Slot, n_sent));
}

#[test]
fn scores_of_a_request_that_failed_are_not_asked_for_again() {
    let server = Fake::new(|number, request| {
        // The second step fails as long as the retries last.
        if request.body.contains("Two") && number < 5 {
            return Reply::error(500, "gone");
        }
        judged_by_vllm(&json!({"+": -0.5, "-": -0.5}))
    });
    let client = server.client().concurrency(1).expect("a client");
    let mut judge = JudgeReward::new(client, Vllm::default(), "judge", PromptTemplate::plain()).expect("a judge");
    let prefix = prefix();
    let error = judge.score(&[last(&prefix, 2)]).pop().expect("one reply").expect_err("gone");
    assert_eq!((error.severity(), server.requests().len()), (Severity::Transient, 5));
    let scores = judge.score(&[last(&prefix, 2)]).pop().expect("one reply").expect("scores");
    assert_eq!((scores.scores, scores.calls, scores.tokens), (vec![0.5, 0.5], 2, 20));
    assert_eq!(server.requests().len(), 6);
    // What was handed out is not kept.
    judge.score(&[last(&prefix, 2)]).pop().expect("one reply").expect("scores");
    assert_eq!(server.requests().len(), 8);
}

#[test]
fn llama_cpp_can_judge() {
    let recorded = include_str!("recorded/llama_cpp_judge.json");
    let server = Fake::script(vec![Reply::ok(recorded)]);
    let mut judge = JudgeReward::new(server.client(), LlamaCpp, "judge", PromptTemplate::plain())
        .and_then(|judge| judge.tokens(&["2"], &["1"]))
        .expect("a judge");
    let score = judge.score(&[last(&prefix(), 1)]).pop().expect("one reply").expect("a score").scores[0];
    let reply: Value = serde_json::from_str(recorded).expect("JSON");
    let listed = reply["completion_probabilities"][0]["top_logprobs"].as_array().expect("tokens").clone();
    let p = |token: &str| listed.iter().find(|t| t["token"] == token).and_then(|t| t["logprob"].as_f64()).expect("listed").exp();
    assert!((score - p("2") / (p("2") + p("1"))).abs() < 1e-12 && score > 0.5);
    assert_eq!(server.requests()[0].json()["n_probs"], 20);
}

#[test]
fn a_verifier_is_made_to_write_the_step() {
    let head = LogisticHead { w_min: 0.5, w_sum: 0.25, w_last: 1.0, b: 2.5, clip_min: -20.0, clip_sum: -40.0, clip_last: -20.0 };
    let tokens: Value = serde_json::from_str(FORCED).expect("JSON");
    let tokens: Vec<_> = tokens["completion_probabilities"].as_array().expect("tokens").clone();
    let log_probs: Vec<_> = tokens[..21].iter().map(|token| token["logprob"].as_f64().expect("a number")).collect();
    let steps = [Step::new("28+13=41,25,29,14\n", Finish::Step), Step::new("42\n", Finish::Eos)];
    let prefix = Prefix::prompt("55:28,13,25,29,14\n").extended_by(&steps);
    let server = Fake::script(vec![Reply::ok(FORCED)]);
    let made = || ForcedTextReward::new(server.client(), LlamaCpp, "verifier", head).expect("a reward");
    let mut all = made().span(Span::AllSteps);
    assert_eq!(all.scale(), RewardScale::Logit);
    let score = all.score(&[last(&prefix, 1)]).pop().expect("one reply").expect("a score");
    let expected = head.logit(&log_probs, 3);
    assert!((score.scores[0] - expected).abs() < 1e-9 && score.tokens == 23);
    assert_eq!(server.requests()[0].json()["prompt"], "55:28,13,25,29,14\n");
    // The last step alone follows all others; what the server wrote is another text.
    let error = made().score(&[last(&prefix, 1)]).pop().expect("one reply").expect_err("another text");
    assert_eq!(error.severity(), Severity::Slot);
    let request = server.requests()[1].json();
    assert_eq!(
        (&request["prompt"], &request["grammar"]),
        (&json!("55:28,13,25,29,14\n28+13=41,25,29,14\n"), &json!("root ::= \"42\\n\""))
    );
    let not_finite = LogisticHead { b: f64::NAN, ..head };
    assert!(ForcedTextReward::new(server.client(), LlamaCpp, "verifier", not_finite).is_err());
}
