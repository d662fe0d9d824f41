//! A server of one test: it records what it is asked and answers as the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use posterity::reasoning::http::{HttpClient, RetryPolicy};
use serde_json::Value;

/// What a server does with a request.
pub(super) enum Reply {
    /// A whole reply with further header lines.
    Whole { status: u16, headers: &'static str, body: String },
    /// A reply whose body ends in the middle.
    Truncated { body: String },
    /// A reply whose header comes late.
    Slow { wait: Duration, body: String },
    /// None: the connection is closed.
    Close,
}

impl Reply {
    pub(super) fn ok(body: impl ToString) -> Self {
        Self::Whole { status: 200, headers: "", body: body.to_string() }
    }

    pub(super) fn error(status: u16, body: &str) -> Self {
        Self::Whole { status, headers: "", body: body.to_owned() }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) headers: String,
    pub(super) body: String,
}

impl Request {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }

    /// Whether the body is that one, byte for byte but for the order of its fields.
    pub(super) fn assert_body(&self, expected: &str) {
        let expected: Value = serde_json::from_str(expected).expect("a JSON body");
        assert_eq!(self.body, expected.to_string());
    }
}

pub(super) struct Fake {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    in_flight: Arc<(AtomicUsize, AtomicUsize)>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Fake {
    /// A server that answers the request that came in as number n, from 0, by `answer(n, request)`.
    pub(super) fn new(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let in_flight = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let (answer, shared, stopped, counts) = (Arc::new(answer), requests.clone(), stop.clone(), in_flight.clone());
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, shared, counts) = (answer.clone(), shared.clone(), counts.clone());
                // A client that hangs up ends its connection's thread.
                thread::spawn(move || serve(&stream?, &*answer, &shared, &counts));
            }
        });
        Self { address, requests, in_flight, stop, thread: Some(thread) }
    }

    /// A server that gives these replies in turn, and the last one for ever.
    pub(super) fn script(replies: Vec<Reply>) -> Self {
        let replies = Mutex::new(replies);
        Self::new(move |_, _| {
            let mut replies = replies.lock().expect("no poison");
            if replies.len() > 1 {
                return replies.remove(0);
            }
            match &replies[0] {
                Reply::Whole { status, headers, body } => Reply::Whole { status: *status, headers, body: body.clone() },
                Reply::Truncated { body } => Reply::Truncated { body: body.clone() },
                Reply::Slow { wait, body } => Reply::Slow { wait: *wait, body: body.clone() },
                Reply::Close => Reply::Close,
            }
        })
    }

    /// A client that waits for milliseconds only.
    pub(super) fn client(&self) -> HttpClient {
        let policy = RetryPolicy {
            max_retries: 3,
            backoff: Duration::from_millis(4),
            attempt_timeout: Duration::from_secs(2),
            total_timeout: Duration::from_secs(5),
            ..RetryPolicy::default()
        };
        HttpClient::new(&self.address).and_then(|client| client.retry(policy)).expect("a client")
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no poison").clone()
    }

    /// Most requests that were being answered at one time.
    pub(super) fn most_in_flight(&self) -> usize {
        self.in_flight.1.load(Ordering::SeqCst)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address.trim_start_matches("http://"));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    stream: &TcpStream,
    answer: &dyn Fn(usize, &Request) -> Reply,
    requests: &Mutex<Vec<Request>>,
    (now, most): &(AtomicUsize, AtomicUsize),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut path, mut headers, mut length) = (String::new(), String::new(), 0);
        if reader.read_line(&mut path)? == 0 {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line == "\r\n" {
                break;
            }
            let line = line.to_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            headers.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let path = path.split(' ').nth(1).expect("a path").to_owned();
        let request = Request { path, headers, body: String::from_utf8(body).expect("UTF-8") };
        let number = {
            let mut requests = requests.lock().expect("no poison");
            requests.push(request.clone());
            requests.len() - 1
        };
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let reply = answer(number, &request);
        if let Reply::Slow { wait, .. } = reply {
            thread::sleep(wait);
        }
        now.fetch_sub(1, Ordering::SeqCst);
        let mut writer = stream;
        let whole = |status: u16, headers: &str, length: usize, body: &str| {
            format!(
                "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
            )
        };
        match reply {
            Reply::Whole { status, headers, body } => {
                writer.write_all(whole(status, headers, body.len(), &body).as_bytes())?;
            }
            Reply::Truncated { body } => {
                let half = &body[..body.len() / 2];
                return writer.write_all(whole(200, "", body.len(), half).as_bytes());
            }
            Reply::Slow { body, .. } => {
                writer.write_all(whole(200, "", body.len(), &body).as_bytes())?;
            }
            Reply::Close => return Ok(()),
        }
    }
}
