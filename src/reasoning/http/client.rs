//! The transport: JSON over HTTP, several requests at once, with retries.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

use crate::error::{Error, Result};

use super::error::{HttpError, Malformed};
use super::retry::{RetryPolicy, retry_after};

/// Longest reply that is read, in bytes.
const MAX_REPLY: u64 = 1 << 28;

/// A request: a path below the server's address, and a JSON body.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRequest {
    /// The path, as in `/v1/completions`.
    pub path: &'static str,
    /// The body.
    pub body: Value,
}

/// A blocking client of one server.
///
/// Requests of one batch are sent in parallel, at most `concurrency` at once; replies come in the order of the requests. A request that
/// fails leaves the others as they are. After a request that the server refused, or whose retries are used up because the server is
/// gone, those of its batch that were not sent yet are not sent ([`HttpError::NotSent`]).
///
/// ```
/// use posterity::reasoning::http::{HttpClient, RetryPolicy};
/// let client = HttpClient::new("http://127.0.0.1:8080")?.concurrency(16)?.retry(RetryPolicy { max_retries: 3, ..RetryPolicy::default() })?;
/// assert_eq!(client.address(), "http://127.0.0.1:8080");
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Clone)]
pub struct HttpClient {
    agent: Agent,
    address: String,
    authorization: Option<String>,
    concurrency: usize,
    retry: RetryPolicy,
}

impl fmt::Debug for HttpClient {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("address", &self.address)
            .field("authorization", &self.authorization.as_ref().map(|_| "..."))
            .field("concurrency", &self.concurrency)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client of the server at an address as in `http://127.0.0.1:8080`, without `/v1`; 8 requests at once.
    ///
    /// A proxy is taken from the usual environment variables, except for servers on this machine.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for an address that does not start with `http://` or `https://` or names no host.
    pub fn new(address: &str) -> Result<Self> {
        let address = address.trim_end_matches('/').to_owned();
        let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
        let host = rest.map(|rest| rest.split('/').next().unwrap_or_default()).filter(|host| !host.is_empty());
        let Some(host) = host else {
            return Err(Error::Field { field: "address".into(), rule: "an address that starts with http:// or https://" });
        };
        let mut config = Agent::config_builder().http_status_as_error(false).max_redirects(0).max_idle_connections_per_host(64);
        if ["localhost", "127.", "[::1]"].iter().any(|here| host.starts_with(here)) {
            config = config.proxy(None);
        }
        let agent = config.build().new_agent();
        Ok(Self { agent, address, authorization: None, concurrency: 8, retry: RetryPolicy::default() })
    }

    /// Sends this key as a bearer token.
    #[must_use]
    pub fn api_key(mut self, key: &str) -> Self {
        self.authorization = Some(format!("Bearer {key}"));
        self
    }

    /// Sets how many requests are sent at once. More than the server's slots only wait there.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for 0.
    pub fn concurrency(mut self, n: usize) -> Result<Self> {
        if n == 0 {
            return Err(Error::InvalidSetting { setting: "concurrency", value: 0.0, rule: "at least 1" });
        }
        self.concurrency = n;
        Ok(self)
    }

    /// Sets how requests are retried.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a time limit of 0.
    pub fn retry(mut self, policy: RetryPolicy) -> Result<Self> {
        policy.validate()?;
        self.retry = policy;
        Ok(self)
    }

    /// The server's address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits until `GET /health` succeeds, which llama.cpp and vLLM answer once their model is loaded.
    ///
    /// # Errors
    ///
    /// The last error once `limit` is over, or at once if the server has no such path.
    pub fn wait_until_ready(&self, limit: Duration) -> std::result::Result<(), HttpError> {
        let start = Instant::now();
        loop {
            let left = limit.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
            let request = self.agent.get(format!("{}/health", self.address));
            let request = request.config().timeout_global(Some(left.min(self.retry.attempt_timeout))).build();
            let reply = match &self.authorization {
                Some(key) => request.header("authorization", key),
                None => request,
            };
            let error = match reply.call().map_err(transport).and_then(read) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let pause = Duration::from_millis(100);
            if !error.is_transient() || start.elapsed() + pause >= limit {
                return Err(error);
            }
            thread::sleep(pause);
        }
    }

    /// Sends all requests and reads their replies: as many results as requests, in their order.
    ///
    /// `parse` gets the number of the request and its reply. A reply that it refuses is asked for once more.
    pub fn post_all<T: Send>(
        &self,
        calls: &[HttpRequest],
        parse: impl Fn(usize, Value) -> std::result::Result<T, Malformed> + Sync,
    ) -> Vec<std::result::Result<T, HttpError>> {
        let (next, gone) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(call) = calls.get(index) else { return done };
                let result = if gone.load(Ordering::Relaxed) {
                    Err(HttpError::NotSent)
                } else {
                    self.post(index, call, |reply| parse(index, reply))
                };
                if let Err(
                    HttpError::Rejected { .. }
                    | HttpError::Setup { .. }
                    | HttpError::Transport { .. }
                    | HttpError::Unavailable { .. },
                ) = result
                {
                    gone.store(true, Ordering::Relaxed);
                }
                done.push((index, result));
            }
        };
        let mut results: Vec<_> = thread::scope(|scope| {
            let n_threads = self.concurrency.min(calls.len());
            let others: Vec<_> = (1..n_threads).map(|_| scope.spawn(work)).collect();
            let mut results = work();
            for other in others {
                match other.join() {
                    Ok(done) => results.extend(done),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            results
        });
        results.sort_unstable_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// As [`HttpClient::post_all`], where some requests have their result without being sent.
    pub(super) fn post_some<T: Send>(
        &self,
        calls: Vec<std::result::Result<HttpRequest, std::result::Result<T, HttpError>>>,
        parse: impl Fn(usize, Value) -> std::result::Result<T, Malformed> + Sync,
    ) -> Vec<std::result::Result<T, HttpError>> {
        let (mut sent, mut places, mut results) = (Vec::new(), Vec::new(), Vec::with_capacity(calls.len()));
        for (place, call) in calls.into_iter().enumerate() {
            results.push(call.map_or_else(
                |result| result,
                |call| {
                    sent.push(call);
                    places.push(place);
                    Err(HttpError::NotSent)
                },
            ));
        }
        for (&place, result) in places.iter().zip(self.post_all(&sent, |index, reply| parse(places[index], reply))) {
            results[place] = result;
        }
        results
    }

    /// One request with its retries; `request` tells its jitter apart from that of others.
    fn post<T>(
        &self,
        request: usize,
        call: &HttpRequest,
        parse: impl Fn(Value) -> std::result::Result<T, Malformed>,
    ) -> std::result::Result<T, HttpError> {
        let start = Instant::now();
        let bytes = call.body.to_string();
        for retry in 0.. {
            let left = self.retry.total_timeout.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
            let reply = self.attempt(call.path, &bytes, left.min(self.retry.attempt_timeout));
            let error = match reply.and_then(|reply| parse(reply).map_err(HttpError::from)) {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            let wait = self.retry.wait(retry, request as u64, &error);
            if !self.retry.allows(retry + 1, &error) || start.elapsed() + wait >= self.retry.total_timeout {
                return Err(error);
            }
            thread::sleep(wait);
        }
        Err(HttpError::NotSent)
    }

    fn attempt(&self, path: &str, bytes: &str, limit: Duration) -> std::result::Result<Value, HttpError> {
        let request = self.agent.post(format!("{}{path}", self.address)).content_type("application/json");
        let request = request.config().timeout_global(Some(limit)).build();
        let request = match &self.authorization {
            Some(key) => request.header("authorization", key),
            None => request,
        };
        let bytes = request.send(bytes).map_err(transport).and_then(read)?;
        serde_json::from_slice(&bytes).map_err(|error| Malformed::Json { line: error.line(), column: error.column() }.into())
    }
}

/// The body of a success; the error of anything else.
fn read(mut reply: Response<ureq::Body>) -> std::result::Result<Vec<u8>, HttpError> {
    let status = reply.status();
    let wait = reply.headers().get("retry-after").and_then(|header| header.to_str().ok()).and_then(retry_after);
    let body = reply.body_mut().with_config().limit(MAX_REPLY).read_to_vec().map_err(transport)?;
    if status.is_success() { Ok(body) } else { Err(HttpError::of_status(status.as_u16(), &body, wait)) }
}

fn transport(error: ureq::Error) -> HttpError {
    use ureq::Error::{BadUri, Http, InvalidProxyUrl, Pem, Rustls, Tls, TlsRequired};
    match error {
        BadUri(_) | Http(_) | InvalidProxyUrl | Pem(_) | Rustls(_) | Tls(_) | TlsRequired => {
            HttpError::Setup { source: Box::new(error) }
        }
        other => HttpError::Transport { source: Box::new(other) },
    }
}
