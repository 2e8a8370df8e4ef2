//! The cost of a hook, as a table: `cargo bench --bench hooks [-- --bin DIR | --runs N | --quick | --json]`.
//!
//! Machines are noisy, so figures are relative: each run of a hook is paired with a run of a do-nothing program (the
//! floor) on the same standard input, all rows take turns, and medians are compared.
#![allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run must say where it stopped")]

mod home;
mod redis;
mod spawn;
mod subjects;
mod table;

use std::path::PathBuf;

use home::{Home, Session, Text};
use spawn::Tools;
use subjects::{LONG, OTHERS, REDIS, subjects};
use table::{Row, Unit};

struct Options {
    /// A folder with other executables than those of this build.
    bin: Option<PathBuf>,
    runs: usize,
    json: bool,
    /// Size of the large transcript, in bytes.
    large: u64,
    /// Messages in the long session.
    long: usize,
}

fn main() {
    let options = options();
    let dir = tempfile::Builder::new().prefix("hooks-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let tools = Tools::build(dir.path(), options.bin.as_deref());
    let home = |name: &str| Home::new(&dir.path().join(name));
    let mut sessions: Vec<Session> =
        ["fresh", "aged", "post", "idle", "batch", "idle-batch", "prompt", "stop"]
            .iter()
            .map(|name| Session::begin(home(name)))
            .collect();
    let mut long = Session::begin(home("long"));
    // Call by call: the result of a long session depends on how often the store was opened and written.
    for call in 0..options.long {
        // Occasional prompts: an agent may not make 10,000 calls by itself.
        if call % 400 == 0 {
            long.call("UserPromptSubmit");
        }
        long.append(1, Text::ToolCall);
        long.call("PostToolUse");
    }
    let mut large = Session::begin(home("large"));
    large.fill(options.large);
    large.read_to_end();
    sessions.extend([long, large]);
    sessions.push(Session::begin(home("no-transcript")));
    sessions.push(Session::begin(home("crowd")));
    let mut others: Vec<Session> = (1..=OTHERS).map(|n| near_limit(n, home("crowd"))).collect();
    sessions.push(Session::begin(with_platforms(home("platforms"))));
    let server = redis::Server::start(dir.path());
    let mut subjects = subjects();
    match &server {
        Some(server) => {
            let on = |name: &str, url: &str| Session::begin(home(name).on_redis(url, name));
            let names = ["redis-pre", "redis-post", "redis-idle", "redis-batch"];
            sessions.extend(names.map(|name| on(name, &server.url())));
            // A server that answered, and is gone.
            let gone = redis::Server::start(dir.path()).unwrap();
            sessions.push(on("redis-gone", &gone.url()));
        }
        None => {
            eprintln!("there is no redis-server: the rows of the shared store are left out");
            subjects.retain(|subject| subject.session < REDIS);
        }
    }
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    for run in 0..options.runs {
        // A hook that runs after one of its kind finds warm CPU caches, so shuffle the rows.
        shuffle(&mut order, run);
        for at in &order {
            let subject = &mut subjects[*at];
            subject.run(&mut sessions[subject.session], &mut others, &tools);
        }
    }
    sessions.iter().take(REDIS + 4).for_each(Session::check);
    let mut rows: Vec<Row> = subjects.iter().map(|s| s.row(&subjects)).collect();
    rows.extend(fusebox::agents::hook::programs().map(|program| {
        let size = std::fs::metadata(tools.program(program)).unwrap().len();
        Row::single(format!("binary size, {program}"), size as f64 / 1e6, Unit::Megabytes, 4.5)
    }));
    let log = sessions[LONG].log_bytes() as f64 / 1e6;
    rows.push(Row::single("write-ahead log, 10,000th call".into(), log, Unit::Megabytes, 1.0));
    rows.extend(subjects.iter().filter(|s| s.measures_memory()).map(|s| {
        let session = &mut sessions[s.session];
        s.prepare(session);
        let peak = tools.peak(s.program, &session.launch());
        Row::single(format!("peak memory, {} {}", s.program, s.event), peak, Unit::Megabytes, 8.0)
    }));
    match options.json {
        true => println!("{}", table::json(&rows)),
        false => print!("{}", table::text(&rows, options.runs)),
    }
}

/// A home with platforms whose calls are counted, none of which is made.
fn with_platforms(home: Home) -> Home {
    let config = home.path(".config/fusebox/config.toml");
    let platforms = "\n[[platform]]\nname = \"gemini\"\ncommands = [\"gemini\", \"npx gemini\"]\n\n[[platform]]\nname = \"search\"\n\
         tools = [\"WebSearch\", \"mcp__search__*\"]\n\n[[budget]]\nname = \"gemini\"\nscope = \"platform\"\nmatch = \"gemini\"\nunit = \"requests\"\n\
         limit = 1500\nwindow = \"day\"\n";
    let budgets = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, budgets + platforms).unwrap();
    home
}

/// A session that used 8 of 10 tokens: another response would reach the limit.
fn near_limit(number: u64, home: Home) -> Session {
    let mut session = Session::numbered(number, home.with_limit(10));
    session.append(1, Text::ToolCall);
    session.read_to_end();
    session
}

/// Shuffles by `seed`, reproducibly.
fn shuffle(order: &mut [usize], seed: usize) {
    let mut state = (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for i in (1..order.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, (state >> 33) as usize % (i + 1));
    }
}

fn options() -> Options {
    let mut options = Options { bin: None, runs: 300, json: false, large: 500 << 20, long: 10_000 };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bin" => options.bin = Some(args.next().expect("--bin takes a folder").into()),
            "--runs" => {
                options.runs = args.next().and_then(|n| n.parse().ok()).expect("--runs takes a number")
            }
            "--quick" => (options.runs, options.large, options.long) = (40, 40 << 20, 1_000),
            "--json" => options.json = true,
            "--bench" => {} // Passed by cargo.
            other => panic!("{other}: there are --bin DIR, --runs N, --quick and --json"),
        }
    }
    options
}
