//! How fast `fusebox serve` answers, and whether hooks feel it: `cargo bench --bench serve [-- --bin DIR | --sessions N |
//! --messages N | --seconds N | --quick | --wait | --json]`.
//!
//! Fills a store of each kind, and the ledger, with sessions and messages. Then clients ask for one address at a time, each
//! for its next answer as soon as it has one. Finally, a hook runs alone, and while clients ask once a second each.
#![allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run must say where it stopped")]

mod clients;
mod fill;
#[path = "../hooks/home.rs"]
#[allow(dead_code, reason = "shared with the benchmark of hooks")]
mod home;
#[path = "../hooks/redis.rs"]
#[allow(dead_code, reason = "shared with the benchmark of hooks")]
mod redis;
mod server;
#[path = "../hooks/spawn.rs"]
#[allow(dead_code, reason = "shared with the benchmark of hooks")]
mod spawn;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use self::clients::Clients;
use self::fill::Filled;
use self::home::{Home, Session, Text};
use self::server::Server;

/// Clients that ask at once.
const CLIENTS: u8 = 50;

/// What the slowest hundredth of the answers may take, in milliseconds.
const BAR_MS: f64 = 50.0;

/// How much slower a hook may be while clients ask.
const HOOK_BAR: f64 = 1.1;

struct Options {
    bin: PathBuf,
    sessions: usize,
    messages: usize,
    seconds: u64,
    /// Whether to wait between filling and measuring.
    wait: bool,
    json: bool,
}

/// The figures of one address.
struct Row {
    store: &'static str,
    path: String,
    answers: usize,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

fn main() {
    let options = options();
    let dir = tempfile::Builder::new().prefix("serve-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let redis = redis::Server::start(dir.path()).expect("this benchmark needs redis-server");
    let stores = ["SQLite", "Redis"].map(|store| {
        // Its own session is never near its limit.
        let home = Home::new(&dir.path().join(store)).with_limit(u64::MAX >> 12);
        let home = if store == "Redis" { home.on_redis(&redis.url(), "bench") } else { home };
        eprintln!("{store}: {} sessions, {} messages", options.sessions, options.messages);
        let filled = fill::fill(&home, &options.bin, options.sessions, options.messages);
        (store, home, filled)
    });
    if options.wait {
        eprintln!("Both stores are filled. Enter starts the measurement.");
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
    let mut rows = Vec::new();
    let mut ratios = Vec::new();
    for (store, home, filled) in stores {
        rows.extend(answers(store, &home, &filled, &options));
        ratios.push((store, slowed_hook(home, &options)));
    }
    match options.json {
        true => {
            let answers: Vec<_> = rows.iter().map(Row::json).collect();
            let hooks: Vec<_> =
                ratios.iter().map(|(store, ratio)| json!({"store": store, "ratio": ratio})).collect();
            println!("{}", json!({"answers": answers, "hooks": hooks}));
        }
        false => print(&rows, &ratios),
    }
}

fn print(rows: &[Row], ratios: &[(&str, f64)]) {
    println!("{CLIENTS} clients at once\n");
    println!("{:<8} {:<44} {:>9} {:>8} {:>8}  bar", "store", "address", "answers/s", "p50 ms", "p99 ms");
    for row in rows {
        let held = if row.p99_ms <= BAR_MS { "" } else { "  NOT HELD" };
        println!(
            "{:<8} {:<44} {:>9.0} {:>8.2} {:>8.2}  {BAR_MS}{held}",
            row.store, row.path, row.per_second, row.p50_ms, row.p99_ms
        );
    }
    println!("\npost-tool-use while {CLIENTS} clients ask once a second each / without a server");
    for (store, ratio) in ratios {
        let held = if *ratio <= HOOK_BAR { "" } else { "  NOT HELD" };
        println!("{store:<8} {ratio:.2}  bar {HOOK_BAR}{held}");
    }
}

impl Row {
    fn json(&self) -> serde_json::Value {
        json!({"store": self.store, "path": self.path, "answers": self.answers, "per_second": self.per_second,
            "p50_ms": self.p50_ms, "p99_ms": self.p99_ms})
    }
}

/// The addresses that are read, with ids of this store.
fn addresses(server: &Server, filled: &Filled) -> Vec<String> {
    let first = |path: &str, list: &str, id: &str| {
        let found = server.get_json(path)[list][0][id].as_str().map(str::to_owned);
        found.unwrap_or_else(|| panic!("{path}: nothing is listed"))
    };
    let budget = first("/api/budget?all=true", "budgets", "budget_id");
    let circuit = first("/api/circuit?all=true", "circuits", "circuit_id");
    let middle = filled.sessions.len() / 2;
    let session = &filled.sessions[middle];
    vec![
        "/api/budget".into(),
        format!("/api/budget?all=true&offset={middle}&limit=100"),
        format!("/api/budget/{budget}"),
        "/api/circuit?all=true".into(),
        format!("/api/circuit/{circuit}"),
        "/api/budget/alerts".into(),
        "/api/session".into(),
        format!("/api/session/{session}"),
        "/api/history".into(),
        "/api/costs?group_by=day".into(),
        "/api/costs?group_by=model".into(),
        "/api/costs/summary".into(),
        "/api/health".into(),
        "/api/ready".into(),
        "/metrics".into(),
        "/cost-dashboard".into(),
        format!("/cost-dashboard/session/{session}"),
    ]
}

fn answers(store: &'static str, home: &Home, filled: &Filled, options: &Options) -> Vec<Row> {
    let server = Server::start(home, &options.bin);
    let addresses = addresses(&server, filled);
    let of = |path: String| {
        let mut took = Clients::new(&server, CLIENTS).ask(&path, Duration::from_secs(options.seconds));
        took.sort();
        let at = |part: f64| took[((took.len() - 1) as f64 * part).round() as usize].as_secs_f64() * 1e3;
        let per_second = took.len() as f64 / options.seconds as f64;
        let row = Row { store, path, answers: took.len(), per_second, p50_ms: at(0.5), p99_ms: at(0.99) };
        eprintln!("{} {}: p50 {:.2} ms, p99 {:.2} ms", row.store, row.path, row.p50_ms, row.p99_ms);
        row
    };
    addresses.into_iter().map(of).collect()
}

/// How much longer a hook takes while clients ask, by the medians.
fn slowed_hook(home: Home, options: &Options) -> f64 {
    let runs = if options.seconds < 5 { 800 } else { 2000 };
    let server_home = home.clone();
    let mut session = Session::begin(home);
    let program = options.bin.join("post-tool-use");
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    // In turns, so that both see the same machine.
    for _ in 0..4 {
        alone.extend(hook_times(&mut session, &program, runs / 4));
        let server = Server::start(&server_home, &options.bin);
        // It reads everything once, when it is first asked.
        server.get_json("/api/budget");
        let clients = Clients::new(&server, CLIENTS);
        clients.ask_now_and_then("/api/budget", Duration::from_secs(1), || {
            beside.extend(hook_times(&mut session, &program, runs / 4));
        });
    }
    median(&mut beside) / median(&mut alone)
}

fn hook_times(session: &mut Session, program: &Path, runs: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..runs {
        session.append(1, Text::ToolCall);
        session.write_input("PostToolUse");
        times.push(spawn::time(program, &session.launch()));
    }
    times
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn options() -> Options {
    let mut options = Options {
        bin: PathBuf::new(),
        sessions: 10_000,
        messages: 1_000_000,
        seconds: 5,
        wait: false,
        json: false,
    };
    let mut args = std::env::args().skip(1);
    let number = |arg: Option<String>| arg.and_then(|n| n.parse().ok()).expect("a number");
    let mut bin = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bin" => bin = args.next().map(PathBuf::from),
            "--sessions" => options.sessions = number(args.next()),
            "--messages" => options.messages = number(args.next()),
            "--seconds" => options.seconds = number(args.next()) as u64,
            "--quick" => options.seconds = 2,
            "--wait" => options.wait = true,
            "--json" => options.json = true,
            "--bench" => {} // Passed by cargo.
            other => panic!(
                "{other}: there are --bin DIR, --sessions N, --messages N, --seconds N, --quick, --wait and --json"
            ),
        }
    }
    let built = || Path::new(spawn::built("fusebox")).parent().map(Path::to_owned);
    options.bin = bin.or_else(built).expect("a folder with the executables");
    options.bin = options.bin.canonicalize().expect("--bin is a folder");
    options
}
