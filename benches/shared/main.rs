//! The capacity of one Redis: `cargo bench --bench shared [-- --bin DIR | --sessions N | --seconds N | --quick |
//! --json]`.
//!
//! Each session records responses as hooks do, each with a new connection, one new message, a call for the breaker, and
//! two budgets. First in process, so that two CPUs are enough to saturate Redis, on simulated networks; then with the
//! executables, as many at once as there are CPUs, and one per session.
#![allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run must say where it stopped")]

#[path = "../hooks/home.rs"]
#[allow(dead_code, reason = "shared with the benchmark of hooks")]
mod home;
mod network;
mod processes;
#[path = "../hooks/redis.rs"]
mod redis;
#[path = "../hooks/spawn.rs"]
#[allow(dead_code, reason = "shared with the benchmark of hooks")]
mod spawn;

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use fusebox::agents::claude::tools;
use fusebox::config::Config;
use fusebox::config::redis_address::Address;
use fusebox::domain::breaker::circuit::{CircuitInput, NamedCall};
use fusebox::domain::breaker::policy::Policy;
use fusebox::domain::budget::{Budget, Scope, Unit};
use fusebox::domain::message::{Message, MessageKey, UsageSource};
use fusebox::domain::usage::Usage;
use fusebox::domain::window::{Period, WindowRule, Zone};
use fusebox::platform::clock;
use fusebox::prices::Prices;
use fusebox::store::redis::{RedisLocation, RedisStore};
use fusebox::store::{AgentObservation, Batch, BudgetKey, Query, Record, Session};
use fusebox::transcript::Fact;
use serde_json::json;

/// Tokens of each response.
const TOKENS: u64 = 7;

struct Options {
    /// A folder with other executables than those of this build.
    bin: Option<PathBuf>,
    sessions: usize,
    seconds: u64,
    json: bool,
}

/// The results for one network.
struct Load {
    round_trip: Duration,
    records: usize,
    took: Duration,
    latencies: Vec<Duration>,
    /// Round trips, commands and bytes per record.
    trips: f64,
    commands: f64,
    bytes: f64,
    /// Bytes of memory per session, and per record.
    per_session: f64,
    per_record: f64,
}

fn main() {
    let options = options();
    let dir = tempfile::Builder::new().prefix("shared-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let loads: Vec<Load> = [0, 1, 20]
        .into_iter()
        .map(|ms| {
            let server = redis::Server::start(dir.path()).expect("this benchmark needs redis-server");
            load(&options, &server, Duration::from_millis(ms), dir.path())
        })
        .collect();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let hooks = [processors, options.sessions].map(|at_once| hooks(&options, at_once, dir.path()));
    match options.json {
        true => println!(
            "{}",
            json!({"networks": loads.iter().map(Load::json).collect::<Vec<_>>(), "executables": hooks.iter().map(Hooks::json).collect::<Vec<_>>()})
        ),
        false => {
            println!("{} sessions at once, for {} s on each network", options.sessions, options.seconds);
            println!(
                "round trip  records/s    p50 ms    p99 ms    max ms  trips  commands   bytes  B/session  B/record"
            );
            loads.iter().for_each(|load| println!("{}", load.text()));
            println!("\nexecutables of post-tool-use, each with a new message");
            println!("   at once  records/s    p50 ms    p99 ms    max ms  gave up");
            hooks.iter().for_each(|hooks| println!("{}", hooks.text()));
        }
    }
}

fn options() -> Options {
    let mut options = Options { bin: None, sessions: 200, seconds: 10, json: false };
    let mut args = std::env::args().skip(1);
    let number = |arg: Option<String>| arg.and_then(|n| n.parse().ok()).expect("a number");
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bin" => options.bin = Some(args.next().expect("--bin takes a folder").into()),
            "--sessions" => options.sessions = number(args.next()) as usize,
            "--seconds" => options.seconds = number(args.next()),
            "--quick" => options.seconds = 2,
            "--json" => options.json = true,
            "--bench" => {} // Passed by cargo.
            other => panic!("{other}: there are --bin DIR, --sessions N, --seconds N, --quick and --json"),
        }
    }
    options
}

fn load(options: &Options, server: &redis::Server, round_trip: Duration, dir: &Path) -> Load {
    let port = match round_trip {
        Duration::ZERO => server.port(),
        away => network::delayed_port(server.port(), away),
    };
    let url = format!("redis://127.0.0.1:{port}");
    let memory = dir.join(format!("memory-{}", round_trip.as_millis()));
    std::fs::create_dir_all(&memory).unwrap();
    let begin = |session: usize| record(&url, &memory, session, 0);
    let empty = server.info("used_memory");
    (0..options.sessions).for_each(|session| {
        begin(session);
    });
    let before =
        ["used_memory", "total_commands_processed", "total_net_input_bytes", "total_net_output_bytes"]
            .map(|name| server.info(name));
    let calls = server.calls();
    let started = Barrier::new(options.sessions + 1);
    let (latencies, took) = std::thread::scope(|scope| {
        let run = |session: usize| {
            let (url, memory, started) = (&url, &memory, &started);
            move || {
                started.wait();
                let end = Instant::now() + Duration::from_secs(options.seconds);
                let mut latencies = Vec::new();
                while Instant::now() < end {
                    latencies.push(record(url, memory, session, latencies.len() + 1));
                }
                latencies
            }
        };
        let threads: Vec<_> = (0..options.sessions).map(|session| scope.spawn(run(session))).collect();
        started.wait();
        let begun = Instant::now();
        let all: Vec<Duration> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        (all, begun.elapsed())
    });
    let records = latencies.len();
    let after =
        ["used_memory", "total_commands_processed", "total_net_input_bytes", "total_net_output_bytes"]
            .map(|name| server.info(name));
    let each = |n: usize| (after[n] - before[n]) / records as f64;
    // Nothing is lost or counted twice.
    let expected = TOKENS * (records + options.sessions) as u64;
    let used =
        store(&url, None).states(&[budget_key(Scope::User, Period::Month, "ann")], clock()).unwrap()[0].used;
    assert_eq!(used, expected, "the user's count");
    Load {
        round_trip,
        records,
        took,
        latencies,
        trips: (server.calls() - calls) / records as f64,
        commands: each(1),
        bytes: each(2) + each(3),
        per_session: (before[0] - empty) / options.sessions as f64,
        per_record: each(0),
    }
}

/// The results for executables.
struct Hooks {
    at_once: usize,
    took: Vec<Duration>,
    gave_up: usize,
    all: Duration,
}

fn hooks(options: &Options, at_once: usize, dir: &Path) -> Hooks {
    let server = redis::Server::start(dir).expect("this benchmark needs redis-server");
    let processes::Processes { took, gave_up, all, sessions } =
        processes::run(&server.url(), "team", at_once, options.seconds, (dir, options.bin.as_deref()));
    // Nothing is lost or counted twice.
    for (id, messages) in sessions {
        let mut of = budget_key(Scope::Session, Period::Lifetime, &id);
        of.budget.unit = Unit::Requests;
        let used = store(&server.url(), None).states(&[of], clock()).unwrap()[0].used;
        assert_eq!(used, messages, "session {id}");
    }
    Hooks { at_once, took, gave_up, all }
}

impl Hooks {
    fn figures(&self) -> [f64; 4] {
        let rate = self.took.len() as f64 / self.all.as_secs_f64();
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|at| quantile(&self.took, at));
        [rate, p50, p99, max]
    }

    fn text(&self) -> String {
        let [rate, p50, p99, max] = self.figures();
        let (at_once, gave_up) = (self.at_once, self.gave_up);
        format!("{at_once:>10} {rate:>10.0} {p50:>9.2} {p99:>9.2} {max:>9.2} {gave_up:>8}")
    }

    fn json(&self) -> serde_json::Value {
        let [rate, p50, p99, max] = self.figures();
        json!({"at_once": self.at_once, "records_per_second": rate, "p50_ms": p50, "p99_ms": p99, "max_ms": max, "gave_up": self.gave_up})
    }
}

/// A quantile, in milliseconds.
fn quantile(all: &[Duration], at: f64) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort();
    let last = sorted.len() - 1;
    sorted[(last as f64 * at).round() as usize].as_secs_f64() * 1e3
}

fn store(url: &str, memory: Option<&Path>) -> RedisStore {
    let wait = Duration::from_secs(10);
    RedisStore::new(RedisLocation {
        address: Address::parse(url).unwrap(),
        wait,
        tenant: "team".into(),
        machine: "bench".into(),
        read_cache: memory.map(Path::to_owned),
    })
}

fn budget_key(scope: Scope, period: Period, value: &str) -> BudgetKey {
    let budget = Budget {
        name: scope.name().into(),
        scope,
        window: WindowRule { period, zone: Zone::utc() },
        limit: 1 << 50,
        ..Config::default().budgets[0].clone()
    };
    BudgetKey { budget, value: value.into() }
}

/// Records one response of a session, as a hook does. Returns the duration.
fn record(url: &str, memory: &Path, session: usize, n: usize) -> Duration {
    let id = format!("session-{session}");
    let now = clock();
    let key = MessageKey::from_parts(&["message", &id, &n.to_string()]);
    let recorded = Usage { input: TOKENS, ..Usage::default() };
    let message = Message {
        model: "sonnet".into(),
        recorded,
        stopped: true,
        ..Message::new(key, UsageSource::Response, now)
    };
    let input = json!({"command": format!("step {n} of {id}")});
    let call = tools::finished_call(
        u32::try_from(n).unwrap(),
        "Bash",
        &input,
        &format!("result {n} of {id}"),
        Some(false),
        "",
    );
    let calls = [NamedCall { call, tool: "Bash".into() }];
    let policy = Policy { enabled: true, ..Policy::default() };
    let budget_keys =
        [budget_key(Scope::Session, Period::Lifetime, &id), budget_key(Scope::User, Period::Month, "ann")];
    let of = Session { id: id.clone(), project: "/project".into(), user: "ann".into(), ..Session::default() };
    let begun = Instant::now();
    store(url, Some(&memory.join(&id)))
        .apply(&Batch {
            session: &of,
            facts: &[Fact::Message(message)],
            budgets: &budget_keys,
            alert: true,
            claim: true,
            seen: now,
            observation: Some(AgentObservation {
                agent: "",
                calls: Some((&policy, CircuitInput::CallsEnded(&calls), 0)),
                prompt: None,
                slots: None,
            }),
            now,
            prices: &Prices::default(),
        })
        .unwrap();
    begun.elapsed()
}

impl Load {
    fn figures(&self) -> [f64; 9] {
        let rate = self.records as f64 / self.took.as_secs_f64();
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|at| quantile(&self.latencies, at));
        [rate, p50, p99, max, self.trips, self.commands, self.bytes, self.per_session, self.per_record]
    }

    fn text(&self) -> String {
        let [rate, p50, p99, max, trips, commands, bytes, session, record] = self.figures();
        let away = self.round_trip.as_millis();
        format!(
            "{away:>7} ms {rate:>10.0} {p50:>9.2} {p99:>9.2} {max:>9.2} {trips:>6.2} {commands:>9.1} {bytes:>7.0} \
             {session:>10.0} {record:>9.0}"
        )
    }

    fn json(&self) -> serde_json::Value {
        const NAMES: [&str; 9] = [
            "records_per_second",
            "p50_ms",
            "p99_ms",
            "max_ms",
            "round_trips_per_record",
            "commands_per_record",
            "bytes_per_record",
            "memory_bytes_per_session",
            "memory_bytes_per_record",
        ];
        let mut all: serde_json::Map<_, _> = NAMES
            .iter()
            .zip(self.figures())
            .map(|(name, figure)| ((*name).to_owned(), json!(figure)))
            .collect();
        all.insert("round_trip_ms".into(), json!(self.round_trip.as_millis() as u64));
        all.into()
    }
}
