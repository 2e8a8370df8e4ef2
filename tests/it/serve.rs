//! `fusebox serve`, from outside: HTTP requests to the real executable.

mod access;
mod bulk;
mod costs;
mod decisions;
mod fuzz;
mod http;
mod metrics;
mod reading;
mod schemathesis;
mod tls;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use crate::harness::{Home, message};
use crate::redis::Server;

/// How long a test waits for a state, at most.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; ends with the test.
pub struct Serve {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// What it printed before it served.
    pub printed: String,
    token_file: PathBuf,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// A header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Whether it is a problem with this status, whose text contains `part`.
    #[track_caller]
    pub fn is_problem(&self, status: u16, part: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{self:?}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{self:?}");
    }
}

impl Serve {
    /// Starts a server of this home with its own token file and these arguments, on a free port.
    pub fn start(home: &Home, arguments: &[&str]) -> Self {
        let token_file = home.path("tokens");
        let mut command = home.command("fusebox");
        command.args(["serve", "--token-file"]).arg(&token_file).args(arguments);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(home.path("serve.log")).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut printed = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        while !printed.contains("://") {
            let read = lines.read_line(&mut printed).unwrap();
            let log = || std::fs::read_to_string(home.path("serve.log"));
            assert!(read > 0, "the server ended: {printed} {:?}", log());
        }
        let address = printed.split("://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        Self { child, address, printed, token_file }
    }

    /// The operator's token.
    pub fn token(&self) -> String {
        std::fs::read_to_string(&self.token_file).unwrap().lines().next().unwrap().to_owned()
    }

    /// Sends a request.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.request_from(Ipv4Addr::LOCALHOST, method, path, headers, body)
    }

    /// Sends a request from this address of this machine.
    pub fn request_from(
        &self,
        from: Ipv4Addr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        request(from, &self.address, method, path, headers, body).unwrap()
    }

    /// Reads without a token.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    /// Sends JSON with the operator's token.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, body, &[])
    }

    /// The same with more headers.
    pub fn post_with(&self, path: &str, body: &Value, more: &[(&str, &str)]) -> Answer {
        let authorization = format!("Bearer {}", self.token());
        let mut headers =
            vec![("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        headers.extend(more);
        self.request("POST", path, &headers, body.to_string().as_bytes())
    }

    /// Reads until the answer is as wanted.
    #[track_caller]
    pub fn wait_for(&self, path: &str, is_wanted: impl Fn(&Answer) -> bool) -> Answer {
        let began = Instant::now();
        loop {
            let answer = self.get(path);
            if is_wanted(&answer) {
                return answer;
            }
            assert!(began.elapsed() < PATIENCE, "never came: {path}: {answer:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal to the server, and returns its exit code.
    pub fn stop(mut self, signal: i32) -> Option<i32> {
        let (pid, signal) = (Pid::from_child(&self.child), Signal::from_named_raw(signal).unwrap());
        rustix::process::kill_process(pid, signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request to any server, from this address of this machine.
///
/// # Errors
/// It cannot be reached.
pub fn request(
    from: Ipv4Addr,
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&address.parse::<SocketAddr>().unwrap().into())?;
    let mut stream = TcpStream::from(socket);
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("Host: {address}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let has_length =
        |name: &str| ["content-length", "transfer-encoding"].contains(&name.to_lowercase().as_str());
    if !headers.iter().any(|(name, _)| has_length(name)) {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    head += "\r\n";
    // A server may answer before it has read everything.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    // What comes before the answer to a request with `Expect`.
    let text = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&text);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: Vec<(String, String)> =
        headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let is_chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if is_chunked { unchunked(body) } else { body.to_owned() };
    Answer { status, headers, body }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        body += &after[..size];
        rest = after[size..].trim_start_matches("\r\n");
    }
    body
}

/// Runs a test with the embedded store, and with a shared one.
pub fn on_both_stores(test: impl Fn(&Home)) {
    test(&Home::new());
    let server = Server::start();
    test(&Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.url()));
}

/// A session that has used 550 of its 1,000 tokens (hard limit 2,000), has an alert, and whose breaker is open.
pub fn busy_session(home: &Home, session: &str) {
    home.configure("[[budget]]\nname = \"session\"\nlimit = 1000\nhard_limit = 2000\n");
    spend(home, session, 1, 550);
    for n in 1..=5 {
        let mut call = json!({"tool_name": "Bash", "tool_input": {"command": "make"}, "tool_use_id": format!("toolu_{n}")});
        home.hook("PreToolUse", session, call.clone());
        call["tool_response"] = json!({"stdout": "same", "stderr": "", "interrupted": false});
        home.hook("PostToolUse", session, call.clone());
        call["tool_response"] = json!("same");
        home.hook("PostToolBatch", session, json!({"tool_calls": [call]}));
    }
}

/// Uses `tokens` more, in the past. `n` numbers the responses of all sessions.
pub fn spend(home: &Home, session: &str, n: usize, tokens: u64) {
    respond(home, session, &message(n, tokens, 0));
}

/// Uses `tokens` more, now.
pub fn spend_now(home: &Home, session: &str, n: usize, tokens: u64) {
    let mut line = message(n, tokens, 0);
    let now = chrono::DateTime::from_timestamp_millis(fusebox::platform::clock().0).unwrap();
    line["timestamp"] = json!(now.to_rfc3339());
    respond(home, session, &line);
}

fn respond(home: &Home, session: &str, line: &Value) {
    home.append(&home.transcript(session), std::slice::from_ref(line));
    home.hook("PostToolUse", session, json!({}));
}
