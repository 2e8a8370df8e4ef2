//! A scripted Messages API on loopback: serves a `Script` and records every call.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::classify::classify;
use super::drive::{self, Drive};
use super::http::{self, Request};
use super::recording::Mark;
use super::reply;
use super::scenario::Script;
use super::usage::Usage;

/// The longest time that an answer is held back.
const HOLD: Duration = Duration::from_secs(30);

/// One call, in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// Position among all calls, from 1; replaces `@N@`.
    pub order: u64,
    /// `main`, `agent:NAME`, `compact`, `side:*`, `count_tokens` or `other`.
    pub kind: String,
    /// HTTP status; 0 until answered.
    pub status: u16,
    /// Usage of the call; zero for errors.
    pub usage: Usage,
    /// Output tokens in the `message_start` event: all that a client knows of a cut stream.
    pub start_output: u64,
    /// The answering model.
    pub model: String,
    /// Id of the answer's message.
    pub message_id: String,
    /// Number of tool calls in the answer.
    pub tool_calls: usize,
    /// The stream was cut by the script.
    pub cut: bool,
    /// The client hung up before the end of the stream.
    pub client_gone: bool,
    /// The answer was sent (or abandoned).
    pub done: bool,
    /// The last message of the request, as JSON text. Contains what hooks told the model.
    pub last_message: String,
}

impl Served {
    /// Whether a message was served, not an error or a token count.
    pub fn is_message(&self) -> bool {
        self.status == 200 && !matches!(self.kind.as_str(), "count_tokens" | "other")
    }

    /// Whether the main loop or a subagent made the call.
    pub fn is_loop(&self) -> bool {
        self.kind == "main" || self.kind.starts_with("agent:")
    }
}

#[derive(Default)]
struct State {
    calls: Vec<Served>,
    served_of_kind: HashMap<String, usize>,
    names: Vec<(String, String)>,
}

pub(super) struct Shared {
    script: Script,
    port: u16,
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
    drive: Arc<Mutex<Drive>>,
}

/// The running API; stops when dropped. With a recording it serves nothing, and returns the recorded calls.
pub struct Api {
    pub(super) shared: Arc<Shared>,
}

impl Api {
    /// Serves `script` on a free loopback port.
    #[track_caller]
    pub fn start(script: Script) -> Self {
        let drive = Drive::next();
        let is_replay = drive::lock(&drive).player().is_some();
        let listener =
            (!is_replay).then(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind loopback"));
        let port = listener.as_ref().map_or(0, |listener| listener.local_addr().expect("address").port());
        let shared = Arc::new(Shared {
            script,
            port,
            state: Mutex::default(),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            drive,
        });
        let Some(listener) = listener else { return Self { shared } };
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.stop.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&of_thread);
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { shared }
    }

    /// The value for `ANTHROPIC_BASE_URL`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.shared.port)
    }

    /// Defines a name for scripts, such as `@PROJECT@`.
    pub fn define(&self, name: &str, value: &str) {
        self.shared.lock().names.push((name.into(), value.into()));
    }

    /// All calls so far, in order of arrival.
    pub fn calls(&self) -> Vec<Served> {
        self.shared.calls()
    }

    /// Number of calls of this kind so far; `agent:` counts those of all subagents.
    pub fn count(&self, kind: &str) -> usize {
        self.calls()
            .iter()
            .filter(|c| c.kind == kind || (kind.ends_with(':') && c.kind.starts_with(kind)))
            .count()
    }

    /// Calls of the main loop and of subagents so far, errors included.
    pub fn loop_calls(&self) -> usize {
        self.calls().iter().filter(|c| c.is_loop()).count()
    }

    /// The usage of all messages of the main loop and of subagents: what the transcripts should contain.
    pub fn loop_usage(&self) -> Usage {
        self.calls().iter().filter(|c| c.is_loop() && c.is_message()).map(|c| c.usage).sum()
    }

    /// The same as visible to a client: of a cut stream, only the usage at its start.
    pub fn loop_usage_seen(&self) -> Usage {
        let seen = |c: Served| {
            let output = if c.cut { c.start_output } else { c.usage.output };
            Usage { output, ..c.usage }
        };
        self.calls().into_iter().filter(|c| c.is_loop() && c.is_message()).map(seen).sum()
    }

    /// The usage of all messages, including compaction and side calls.
    pub fn total_usage(&self) -> Usage {
        self.calls().iter().filter(|c| c.is_message()).map(|c| c.usage).sum()
    }

    /// Whether a model heard these words from a hook. (With a recording: whether a hook says them to a model now.)
    pub fn was_told(&self, words: &str) -> bool {
        if let Some(player) = self.shared.drive().player() {
            return player.was_told(words);
        }
        self.calls().iter().any(|call| call.last_message.contains(words))
    }

    /// Whether a person saw these words in `output`, the client's of just now. (With a recording: whether a hook says them now.)
    pub fn showed(&self, output: &str, words: &str) -> bool {
        match self.shared.drive().player() {
            Some(player) => player.showed(words),
            // A screen breaks lines.
            None => output.split_whitespace().collect::<Vec<_>>().join(" ").contains(words),
        }
    }

    /// What hooks said on the way to the last mark of a recording, for messages of failed tests.
    pub fn last_shown(&self) -> String {
        self.shared.drive().player().map(|player| player.shown().to_owned()).unwrap_or_default()
    }

    /// Whether a recording is played.
    pub fn is_replay(&self) -> bool {
        self.shared.drive().player().is_some()
    }

    /// Waits until `ready` accepts the calls; false after the time limit.
    pub fn wait_until(&self, limit: Duration, ready: impl Fn(&[Served]) -> bool) -> bool {
        self.shared.wait_until(limit, ready)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if self.shared.port == 0 {
            return;
        }
        // Wakes the accepting thread, so that it sees the flag and closes the port.
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, self.shared.port));
        drop(TcpStream::connect_timeout(&addr, Duration::from_secs(1)));
    }
}

impl Shared {
    /// What drives the hooks.
    pub fn drive(&self) -> MutexGuard<'_, Drive> {
        drive::lock(&self.drive)
    }

    fn calls(&self) -> Vec<Served> {
        if let Some(player) = self.drive().player() {
            return player.calls();
        }
        self.lock().calls.clone()
    }

    /// Records that the test waited for something, which happened.
    pub fn mark(&self, mark: Mark) {
        let calls = self.lock().calls.clone();
        if let Some(recorder) = self.drive().recorder() {
            recorder.mark(mark, calls);
        }
    }

    /// Plays the next hook of the recording; false when the test has to do something first.
    #[track_caller]
    pub fn play_hook(&self, env: &BTreeMap<String, String>) -> bool {
        self.drive().player().expect("a recording").play_hook(env)
    }

    /// Plays the recording, if there is one, to the point that the test waits for.
    #[track_caller]
    pub fn play(&self, what: &str, env: &BTreeMap<String, String>) -> Option<Mark> {
        Some(self.drive().player()?.play(what, env))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, limit: Duration, ready: impl Fn(&[Served]) -> bool) -> bool {
        let wait = self.changed.wait_timeout_while(self.lock(), limit, |s| !ready(&s.calls));
        !wait.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn update(&self, order: u64, change: impl FnOnce(&mut Served)) {
        let mut state = self.lock();
        if let Some(call) = state.calls.iter_mut().find(|c| c.order == order) {
            change(call);
        }
        self.changed.notify_all();
    }

    fn serve(&self, mut stream: TcpStream) {
        // If a client hangs up, the reply records that; nothing else can be done.
        if let Ok(Some(request)) = http::read_request(&stream) {
            let _ = self.answer(&mut stream, &request);
        }
    }

    fn answer(&self, stream: &mut TcpStream, request: &Request) -> std::io::Result<()> {
        if request.method != "POST" {
            let known = request.path.starts_with("/v1/models");
            return http::send_json(
                stream,
                if known { 200 } else { 404 },
                &[],
                &json!({"data": [], "has_more": false}),
            );
        }
        let kind = if request.path.ends_with("/count_tokens") {
            "count_tokens".to_owned()
        } else if request.path.ends_with("/messages") {
            classify(&request.body)
        } else {
            "other".to_owned()
        };
        let (order, index, names) = self.admit(&kind, &request.body);
        let done = match kind.as_str() {
            "count_tokens" => {
                let tokens = request.body.to_string().len() / 4;
                self.update(order, |c| c.status = 200);
                http::send_json(stream, 200, &[], &json!({"input_tokens": tokens}))
            }
            "other" => {
                self.update(order, |c| c.status = 404);
                http::send_json(stream, 404, &[], &json!({"type": "error"}))
            }
            _ => {
                let turn = self.script.turn(&kind, index);
                if let Some(file) = &turn.until_file {
                    wait_for_file(Path::new(&reply::fill(file, order, &names)));
                }
                self.wait_until(HOLD, |calls| {
                    calls.iter().filter(|c| c.kind == "main" && c.done).count() >= turn.after_main
                });
                let id = format!("{}x{order:04}", self.port);
                reply::send(stream, &turn, &request.body, order, &id, &names, |change| {
                    self.update(order, change);
                })
            }
        };
        self.update(order, |c| {
            c.client_gone = done.is_err();
            c.done = true;
        });
        done
    }

    fn admit(&self, kind: &str, body: &Value) -> (u64, usize, Vec<(String, String)>) {
        let mut state = self.lock();
        let order = state.calls.len() as u64 + 1;
        let position = state.served_of_kind.entry(kind.to_owned()).or_default();
        let index = *position;
        *position += 1;
        let last_message = body["messages"].as_array().and_then(|m| m.last());
        state.calls.push(Served {
            order,
            kind: kind.to_owned(),
            last_message: last_message.map(Value::to_string).unwrap_or_default(),
            ..Served::default()
        });
        self.changed.notify_all();
        (order, index, state.names.clone())
    }
}

fn wait_for_file(path: &Path) {
    let end = Instant::now() + HOLD;
    while !path.exists() && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
}
