//! The transport: retries, time limits, order, errors.

use std::error::Error as _;
use std::time::{Duration, Instant};

use posterity::reasoning::http::{HttpClient, HttpError, HttpRequest, Malformed, RetryPolicy};
use posterity::reasoning::{CallError, Severity};
use serde_json::{Value, json};

use super::fake::{Fake, Reply};

fn calls(n: usize) -> Vec<HttpRequest> {
    (0..n).map(|i| HttpRequest { path: "/echo", body: json!({ "i": i, "seed": 7 }) }).collect()
}

fn one(client: &HttpClient) -> Result<Value, HttpError> {
    client.post_all(&calls(1), |_, reply| Ok(reply)).pop().expect("one result")
}

#[test]
fn what_may_succeed_later_is_sent_again_with_the_same_bytes() {
    let limited =
        || Reply::Whole { status: 429, headers: "retry-after: 0.06\r\n", body: r#"{"error":{"message":"slow down"}}"#.into() };
    let loading = || Reply::error(503, r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#);
    let slow = || Reply::Slow { wait: Duration::from_millis(300), body: "{}".into() };
    for (replies, at_least) in [
        (vec![limited(), limited()], 120),
        (vec![loading(), loading()], 4),
        (vec![Reply::error(500, "oops"), Reply::error(502, "<html>"), Reply::error(504, "")], 6),
        (vec![Reply::Truncated { body: r#"{"long": "enough to be cut in two"}"#.into() }], 2),
        (vec![Reply::Close, Reply::Close], 4),
        (vec![slow()], 100),
    ] {
        let n = replies.len();
        let server = Fake::script(replies.into_iter().chain([Reply::ok(r#"{"fine":1}"#)]).collect());
        let policy = RetryPolicy {
            backoff: Duration::from_millis(4),
            attempt_timeout: Duration::from_millis(100),
            ..RetryPolicy::default()
        };
        let start = Instant::now();
        let reply = one(&server.client().retry(policy).expect("a policy")).expect("a reply in the end");
        assert_eq!(reply, json!({ "fine": 1 }));
        assert!(start.elapsed() >= Duration::from_millis(at_least), "{:?}", start.elapsed());
        let requests = server.requests();
        // A connection that is closed while it is idle may be opened again below the client.
        assert!(requests.len() > n, "{requests:?}");
        assert!(requests.iter().all(|request| request.body == requests[0].body));
    }
}

#[test]
fn retries_and_time_are_limited() {
    let server = Fake::script(vec![Reply::error(500, r#"{"error":"down"}"#)]);
    let error = one(&server.client()).expect_err("down");
    assert!(matches!(&error, HttpError::Server { status: 500, message } if message == "down"));
    assert_eq!((server.requests().len(), error.severity()), (4, Severity::Transient));

    let server = Fake::script(vec![Reply::Whole { status: 429, headers: "retry-after: 3600\r\n", body: String::new() }]);
    let start = Instant::now();
    let error = one(&server.client()).expect_err("limited");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    // The wait would end after the total limit: it is not begun.
    assert!(start.elapsed() < Duration::from_secs(1) && server.requests().len() == 1);

    let server = Fake::script(vec![Reply::Slow { wait: Duration::from_millis(500), body: "{}".into() }]);
    let policy = RetryPolicy {
        attempt_timeout: Duration::from_millis(50),
        total_timeout: Duration::from_millis(200),
        backoff: Duration::from_millis(1),
        max_retries: 1000,
        ..RetryPolicy::default()
    };
    let start = Instant::now();
    let error = one(&server.client().retry(policy).expect("a policy")).expect_err("slow");
    assert!(matches!(error, HttpError::Transport { .. }) && start.elapsed() < Duration::from_secs(2));
}

#[test]
fn what_cannot_be_read_is_asked_for_once_more() {
    for body in ["<html>", r#"{"value": NaN}"#, r#"{"value": null}"#, r#"{"val"#] {
        let server = Fake::script(vec![Reply::ok(body)]);
        let parse = |_, reply: Value| reply["value"].as_f64().ok_or(Malformed::Field { field: "value", rule: "a number" });
        let error = server.client().post_all(&calls(1), parse).pop().expect("one result").expect_err("no number");
        assert!(matches!(error, HttpError::Malformed(_)), "{error}");
        assert_eq!((server.requests().len(), error.severity()), (2, Severity::Slot));
    }
    let server = Fake::script(vec![Reply::ok("<html>"), Reply::ok("[1]")]);
    assert_eq!(one(&server.client()).expect("the second reply"), json!([1]));
}

#[test]
fn a_refusal_is_final_and_stops_the_batch() {
    let flat = r#"{"object":"error","message":"no such model","type":"NotFoundError","param":null,"code":404}"#;
    let server = Fake::script(vec![Reply::error(404, flat)]);
    let client = server.client().concurrency(1).expect("a client");
    let errors: Vec<_> = client.post_all(&calls(5), |_, reply| Ok(reply)).into_iter().map(|r| r.expect_err("refused")).collect();
    assert!(matches!(&errors[0], HttpError::Rejected { status: 404, kind: Some(kind), message }
        if kind == "NotFoundError" && message == "no such model"));
    assert!(errors[1..].iter().all(|error| matches!(error, HttpError::NotSent)));
    assert_eq!(server.requests().len(), 1);
    let error = CallError::from(errors.into_iter().next().expect("an error"));
    assert_eq!(error.severity(), Severity::Fatal);
    assert!(error.source().is_some_and(|source| source.to_string().contains("no such model")));
}

#[test]
fn replies_come_in_order_and_no_more_at_once_than_allowed() {
    let server = Fake::new(|_, request| {
        let i = request.json()["i"].as_u64().expect("a number");
        Reply::Slow { wait: Duration::from_millis(5 * (12 - i)), body: request.body.clone() }
    });
    let client = server.client().concurrency(3).expect("a client");
    let replies = client.post_all(&calls(12), |index, reply| Ok((index, reply["i"].as_u64())));
    let replies: Vec<_> = replies.into_iter().map(|reply| reply.expect("a reply")).collect();
    assert_eq!(replies, (0..12).map(|i| (i, Some(i as u64))).collect::<Vec<_>>());
    assert!((2..=3).contains(&server.most_in_flight()));
}

#[test]
fn one_failure_leaves_the_others() {
    let server = Fake::new(|_, request| match request.json()["i"].as_u64() {
        Some(2) => Reply::error(400, r#"{"error":{"message":"This model's maximum context length is 9 tokens","code":400}}"#),
        _ => Reply::ok("1"),
    });
    let results = server.client().post_all(&calls(6), |_, reply| Ok(reply));
    let failed: Vec<_> = results.iter().map(|result| matches!(result, Err(HttpError::ContextFull { .. }))).collect();
    assert_eq!(failed, [false, false, true, false, false, false]);
}

#[test]
fn nobody_there() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("http://{}", listener.local_addr().expect("an address"))
    };
    let policy = RetryPolicy { max_retries: 1, backoff: Duration::from_millis(1), ..RetryPolicy::default() };
    let client = HttpClient::new(&address).and_then(|client| client.retry(policy)).expect("a client");
    assert!(matches!(one(&client), Err(HttpError::Transport { .. })));
    assert!(matches!(client.wait_until_ready(Duration::from_millis(150)), Err(HttpError::Transport { .. })));
}

#[test]
fn a_key_is_sent_but_not_shown() {
    let server = Fake::script(vec![Reply::error(503, "loading"), Reply::ok("1")]);
    let client = server.client().api_key("secret");
    client.wait_until_ready(Duration::from_secs(2)).expect("it is ready in the end");
    one(&client).expect("a reply");
    let requests = server.requests();
    assert_eq!(requests.iter().map(|request| request.path.as_str()).collect::<Vec<_>>(), ["/health", "/health", "/echo"]);
    assert!(requests.iter().all(|request| request.headers.contains("authorization: bearer secret")));
    assert!(requests[2].headers.contains("content-type: application/json"));
    assert!(!format!("{client:?}").contains("secret"));
}

#[test]
fn bad_settings_are_refused() {
    for address in ["127.0.0.1:80", "ftp://x", "http://", ""] {
        assert!(HttpClient::new(address).is_err(), "{address}");
    }
    let client = HttpClient::new("http://localhost:1/").expect("a client");
    assert_eq!(client.address(), "http://localhost:1");
    assert!(client.clone().concurrency(0).is_err());
    assert!(client.retry(RetryPolicy { attempt_timeout: Duration::ZERO, ..RetryPolicy::default() }).is_err());
}
