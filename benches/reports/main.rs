//! The cost of an import and of a report, beside ccusage: `cargo bench --bench reports [-- --bin DIR | --mb N | --runs N
//! | --seed N | --json]`.
//!
//! Writes a history with known sums, checks that both programs find exactly these, and measures both in turns. Machines
//! are noisy, so figures are ratios of medians.
#![allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run must say where it stopped")]

mod corpus;
mod random;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use corpus::{Corpus, Sums, Tokens};
use serde_json::{Value, json};

struct Options {
    /// A folder with another executable than that of this build.
    bin: Option<PathBuf>,
    /// Size of the history, in megabytes (10⁶ bytes).
    megabytes: u64,
    runs: usize,
    seed: u64,
    json: bool,
}

/// The programs, and where they look for the history.
struct Programs {
    fusebox: PathBuf,
    ccusage: PathBuf,
    home: PathBuf,
}

/// One figure: a program's times, as a ratio to those of ccusage.
struct Row {
    name: &'static str,
    times: Vec<Duration>,
    target: f64,
}

fn main() {
    let options = options();
    let dir = tempfile::Builder::new().prefix("reports-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let home = dir.path().join("home");
    let fusebox = options.bin.as_ref().map_or_else(
        || env!("CARGO_BIN_EXE_fusebox").into(),
        |bin| bin.join("fusebox").canonicalize().unwrap(),
    );
    let programs = Programs { fusebox, ccusage: install_ccusage(), home };
    let corpus = Corpus::write(&programs.home.join(".claude"), options.megabytes * 1_000_000, options.seed);
    // Not measured: the files are in memory afterwards, for both programs.
    programs.import();
    let sums = &corpus.sums;
    assert_eq!(&fusebox_sums(&programs.report().1), sums, "fusebox differs from what was written");
    assert_eq!(
        ccusage_sums(&programs.ccusage().1),
        as_ccusage(sums),
        "ccusage differs from what was written"
    );
    let mut ccusage = Vec::new();
    let mut rows = [
        Row { name: "fusebox import, into an empty ledger", times: Vec::new(), target: 0.6 },
        Row { name: "fusebox report daily, nothing new", times: Vec::new(), target: 0.02 },
    ];
    for _ in 0..options.runs {
        rows[0].times.push(programs.import());
        ccusage.push(programs.ccusage().0);
        rows[1].times.push(programs.report().0);
    }
    match options.json {
        true => println!("{}", as_json(&corpus, &ccusage, &rows)),
        false => print(&corpus, &ccusage, &rows),
    }
}

fn options() -> Options {
    let mut options = Options { bin: None, megabytes: 1100, runs: 7, seed: 7, json: false };
    let mut args = std::env::args().skip(1);
    let number = |arg: Option<String>| {
        arg.and_then(|n| n.parse::<u64>().ok()).filter(|n| *n > 0).expect("a number above 0")
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bin" => options.bin = Some(args.next().expect("--bin takes a folder").into()),
            "--mb" => options.megabytes = number(args.next()),
            "--runs" => options.runs = number(args.next()) as usize,
            "--seed" => options.seed = number(args.next()),
            "--json" => options.json = true,
            "--bench" => {} // Passed by cargo.
            other => panic!("{other}: there are --bin DIR, --mb N, --runs N, --seed N and --json"),
        }
    }
    options
}

/// The path of ccusage's native binary.
fn install_ccusage() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/install-ccusage");
    let done = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(done.status.success(), "tests/install-ccusage: {}", done.status);
    String::from_utf8(done.stdout).unwrap().trim().into()
}

impl Programs {
    /// Imports everything.
    fn import(&self) -> Duration {
        let state = self.home.join("state");
        if state.exists() {
            std::fs::remove_dir_all(&state).unwrap();
        }
        self.run(&self.fusebox, &["import", "--json"]).0
    }

    fn report(&self) -> (Duration, Value) {
        self.run(&self.fusebox, &["report", "daily", "--json"])
    }

    fn ccusage(&self) -> (Duration, Value) {
        self.run(&self.ccusage, &["claude", "daily", "--json", "--offline"])
    }

    /// The time from before the spawn until the process has exited, and what it answered.
    fn run(&self, program: &Path, arguments: &[&str]) -> (Duration, Value) {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir(&self.home).stderr(Stdio::inherit());
        command.env("HOME", &self.home).env("CLAUDE_CONFIG_DIR", self.home.join(".claude")).env("TZ", "UTC");
        command.env("FUSEBOX_STATE_DIR", self.home.join("state"));
        command.env("FUSEBOX_CACHE_DIR", self.home.join("cache"));
        let start = Instant::now();
        let done = command.output().unwrap();
        let took = start.elapsed();
        assert!(done.status.success(), "{}: {}", program.display(), done.status);
        (took, serde_json::from_slice(&done.stdout).unwrap())
    }
}

fn fusebox_sums(report: &Value) -> Sums {
    sums(report, ["rows", "key", "models", "model"], |count| Tokens {
        input: count("input"),
        output: count("output"),
        cache_write_5m: count("cache_write_5m"),
        cache_write_1h: count("cache_write_1h"),
        cache_read: count("cache_read"),
    })
}

/// ccusage does not tell cache writes apart.
fn ccusage_sums(report: &Value) -> Sums {
    sums(report, ["daily", "date", "modelBreakdowns", "modelName"], |count| Tokens {
        input: count("inputTokens"),
        output: count("outputTokens"),
        cache_write_5m: count("cacheCreationTokens"),
        cache_write_1h: 0,
        cache_read: count("cacheReadTokens"),
    })
}

fn as_ccusage(sums: &Sums) -> Sums {
    let all = |tokens: &Tokens| Tokens {
        cache_write_5m: tokens.cache_write_5m + tokens.cache_write_1h,
        cache_write_1h: 0,
        ..*tokens
    };
    sums.iter().map(|(key, tokens)| (key.clone(), all(tokens))).collect()
}

/// Reads the tokens by day and model from a report with these names for its rows, their days, their models, and the names
/// of models.
fn sums(report: &Value, names: [&str; 4], tokens: impl Fn(&dyn Fn(&str) -> u64) -> Tokens) -> Sums {
    let [rows, day, models, model] = names;
    let mut sums = Sums::new();
    for row in report[rows].as_array().expect("a report has rows") {
        for part in row[models].as_array().expect("a row has models") {
            let count = |name: &str| part[name].as_u64().expect("a count");
            let text = |value: &Value| value.as_str().expect("a name").to_owned();
            sums.insert((text(&row[day]), text(&part[model])), tokens(&count));
        }
    }
    sums
}

/// The median in milliseconds.
fn median(times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2].as_secs_f64() * 1e3
}

impl Row {
    fn ratio(&self, base: &[Duration]) -> f64 {
        median(&self.times) / median(base)
    }

    fn verdict(&self, base: &[Duration]) -> &'static str {
        if self.ratio(base) <= self.target { "ok" } else { "over" }
    }
}

fn print(corpus: &Corpus, ccusage: &[Duration], rows: &[Row]) {
    println!(
        "{:.0} MB in {} files, {} responses; the tokens of each day, model and class are equal in both",
        corpus.bytes as f64 / 1e6,
        corpus.files,
        corpus.messages
    );
    println!(
        "{:<48} {:>9} {:>11}  target",
        format!("{} runs each, interleaved; medians", ccusage.len()),
        "ms",
        "/ ccusage"
    );
    println!("{:<48} {:>9.1}", "ccusage claude daily --json --offline", median(ccusage));
    for row in rows {
        let (time, ratio) = (median(&row.times), row.ratio(ccusage));
        println!("{:<48} {time:>9.1} {ratio:>11.3}  ≤ {:<5} {}", row.name, row.target, row.verdict(ccusage));
    }
}

fn as_json(corpus: &Corpus, ccusage: &[Duration], rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({"row": row.name, "base_ms": median(ccusage), "ms": median(&row.times), "value": row.ratio(ccusage),
            "unit": "ratio", "target": row.target, "verdict": row.verdict(ccusage)})
    };
    json!({"bytes": corpus.bytes, "files": corpus.files, "responses": corpus.messages, "runs": ccusage.len(),
        "rows": rows.iter().map(row).collect::<Vec<_>>()})
}
