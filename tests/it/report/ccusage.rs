//! `--json --ccusage` beside the real ccusage, on the same transcripts.

use std::path::PathBuf;
use std::process::Command;

use fusebox::domain::time::Timestamp;
use serde_json::{Value, json};

use super::ledger::{self, Entry};
use super::{at, report};
use crate::harness::{Home, run};
use crate::random::Random;

const VERSION: &str = "20.0.24";

/// Models that ccusage knows.
const MODELS: [&str; 3] = ["claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5-20251001"];

/// The binary that `tests/install-ccusage` installs.
fn program() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let package = match std::env::consts::ARCH {
        "aarch64" => "ccusage-linux-arm64",
        _ => "ccusage-linux-x64",
    };
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(target).join("ccusage").join(VERSION);
    path.extend(["node_modules", "@ccusage", package, "bin", "ccusage"]);
    assert!(
        path.is_file(),
        "ccusage {VERSION} is not installed: run tests/install-ccusage, or leave this test out (-- --skip ::live_)"
    );
    path
}

/// What ccusage answers. Compared without colours and without the network.
fn real(home: &Home, arguments: &str) -> Value {
    let mut command = home.furnish(Command::new(program()));
    command.args(arguments.split(' ')).args(["--json", "--offline"]);
    let ran = run(&mut command, b"");
    assert_eq!(ran.code, 0, "{arguments}: {ran:?}");
    ran.json()
}

/// Random sessions with subagents, streams on several lines, and resumed days later.
fn write_sessions(home: &Home, seed: u64) {
    let mut random = Random::new(seed);
    let start = Timestamp::parse("2026-10-10T00:00:00Z").unwrap();
    for n in 0..12 {
        let session = format!("{n:08}-0000-4000-8000-000000000000");
        let project = format!("/home/dev/src/project-{}", random.below(3));
        let folder = home.path("claude/projects").join(project.replace('/', "-"));
        let mut now = start.plus_millis(i64::try_from(random.below(40 * 86_400_000)).unwrap());
        for m in 0..random.within(1, 12) {
            // Within a minute, within a block, or days later.
            let pause = random.weighted(&[(6, 60_000), (3, 3 * 3_600_000), (1, 4 * 86_400_000)]);
            now = now.plus_millis(i64::try_from(random.below(pause)).unwrap());
            let model = *random.pick(&MODELS);
            let tokens = [10, 5000, 20_000, 20_000, 100_000].map(|most| random.within(0, most));
            let time = now.utc().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            let id = format!("msg_{n}_{m}");
            let is_agent = random.chance(30);
            let file = if is_agent {
                folder.join(&session).join("subagents").join(format!("agent-{n}.jsonl"))
            } else {
                folder.join(format!("{session}.jsonl"))
            };
            let line = |output: u64, block: usize| {
                json!({
                    "type": "assistant", "sessionId": session, "uuid": format!("{id}-{block}"), "timestamp": time,
                    "cwd": project, "version": "2.1.330", "requestId": format!("req_{n}_{m}"), "isSidechain": is_agent,
                    "message": {
                        "id": id, "type": "message", "role": "assistant", "model": model, "stop_reason": "end_turn",
                        "content": [{"type": "text", "text": "x"}],
                        "usage": {
                            "input_tokens": tokens[0], "output_tokens": output,
                            "cache_creation_input_tokens": tokens[2] + tokens[3], "cache_read_input_tokens": tokens[4],
                            "cache_creation": {
                                "ephemeral_5m_input_tokens": tokens[2], "ephemeral_1h_input_tokens": tokens[3]
                            }
                        }
                    }
                })
            };
            home.append(&file, &[line(tokens[1].min(1), 0), line(tokens[1], 1)]);
        }
    }
}

/// The same with dollars rounded to a micro-dollar, because ccusage adds them up in floating point, and with sessions and
/// models in the order of their names.
fn comparable(mut value: Value) -> Value {
    fn visit(value: &mut Value) {
        match value {
            Value::Object(object) => {
                for (name, value) in object.iter_mut() {
                    if matches!(name.as_str(), "cost" | "totalCost" | "costUSD" | "costPerHour") {
                        let dollars = value.as_f64().unwrap_or_else(|| panic!("{name}: {value}"));
                        // Both on the same side of a half.
                        *value = format!("{:.6}", dollars + 1e-9).into();
                    }
                    visit(value);
                }
                object.sort_keys();
            }
            Value::Array(list) => {
                list.iter_mut().for_each(visit);
                let is_ordered =
                    list.iter().any(|one| one.get("date").is_some() || one.get("startTime").is_some());
                if !is_ordered {
                    list.sort_by_key(Value::to_string);
                }
            }
            _ => {}
        }
    }
    visit(&mut value);
    value
}

/// Compares two reports; shows the lines that differ.
#[track_caller]
fn assert_same(ours: Value, theirs: Value, what: &str) {
    let [ours, theirs] = [ours, theirs].map(|report| format!("{:#}", comparable(report)));
    let diff = similar::TextDiff::from_lines(&theirs, &ours);
    assert!(ours == theirs, "{what}: ccusage (-) and Fusebox (+)\n{}", diff.unified_diff().context_radius(4));
}

#[test]
fn live_ccusage_says_the_same() {
    for seed in 0..3 {
        let home = super::client_home().var("TZ", "UTC").var("NO_COLOR", "1");
        write_sessions(&home, seed);
        for kind in ["daily", "weekly", "monthly", "session", "blocks"] {
            for (shape, theirs) in [("", "claude "), ("=all", "")] {
                for options in [
                    "",
                    " --timezone Europe/Berlin",
                    " --timezone America/Los_Angeles",
                    " --since 20261020 --until 20261105",
                    " --since 20261025 --until 20261025 --timezone Asia/Kolkata",
                    " --since 20200101 --until 20200102",
                ] {
                    // `ccusage session` selects whole sessions, and not by day: see below.
                    if (kind, shape) == ("session", "=all") && options.contains("--until") {
                        continue;
                    }
                    let ours = report(&home, &format!("{kind} --json --ccusage{shape}{options}")).json();
                    let real = real(&home, &format!("{theirs}{kind}{options}"));
                    assert_same(ours, real, &format!("seed {seed}: {theirs}{kind}{options}"));
                }
            }
        }
        for day in ["monday", "sunday", "wednesday"] {
            let options = format!("weekly --start-of-week {day}");
            let ours = report(&home, &format!("{options} --json --ccusage")).json();
            assert_same(ours, real(&home, &format!("claude {options}")), &format!("seed {seed}: {options}"));
        }
    }
}

/// Where ccusage differs from itself: `ccusage session` leaves out what was last used on the day of `--until`, and counts what a
/// session used before `--since`. `ccusage claude session` does neither, and so does Fusebox in both shapes.
#[test]
fn live_ccusage_selects_whole_sessions() {
    let home = super::client_home().var("TZ", "UTC").var("NO_COLOR", "1");
    write_sessions(&home, 0);
    let tokens = |report: &Value| report["totals"]["totalTokens"].as_u64().unwrap();
    let options = "--since 20261020 --until 20261105";
    let claude = tokens(&real(&home, &format!("claude session {options}")));
    let all = tokens(&real(&home, &format!("session {options}")));
    assert_ne!(all, claude, "ccusage has changed: compare it again");
    for shape in ["", "=all"] {
        let ours = report(&home, &format!("session --json --ccusage{shape} {options}")).json();
        assert_eq!(tokens(&ours), claude);
    }
}

/// Days are in order there, and so are they here.
#[test]
fn the_shapes_are_in_the_same_order() {
    let home = super::client_home().var("TZ", "UTC");
    write_sessions(&home, 7);
    let daily = report(&home, "daily --json --ccusage").json();
    let dates: Vec<&str> =
        daily["daily"].as_array().unwrap().iter().map(|row| row["date"].as_str().unwrap()).collect();
    assert!(dates.len() > 3 && dates.is_sorted(), "{dates:?}");
    // Sessions, and the models of each: the dearest first.
    let sessions = report(&home, "session --json --ccusage").json();
    let sessions = sessions["sessions"].as_array().unwrap();
    let costs: Vec<f64> = sessions.iter().map(|row| row["totalCost"].as_f64().unwrap()).collect();
    assert!(costs.len() == 12 && costs.is_sorted_by(|a, b| a >= b), "{costs:?}");
    for session in sessions {
        let models = session["modelBreakdowns"].as_array().unwrap();
        assert!(models.is_sorted_by(|a, b| a["cost"].as_f64() >= b["cost"].as_f64()), "{session}");
    }
}

/// ccusage's `--last` counts back from today; scripts ask for today with `--last 1`.
#[test]
#[cfg_attr(not(feature = "test-clock"), ignore = "needs the feature test-clock")]
fn last_counts_back_from_today() {
    let home = at(super::client_home().var("TZ", "UTC"), "2026-11-30T12:00:00Z");
    let entry = |id: &str, at: &str| Entry::new(id, at, MODELS[0], [1, 0, 0, 0, 0], 1);
    let entries = [
        entry("a", "2026-09-30T23:59:59.999Z"),
        entry("b", "2026-11-27T12:00:00.000Z"),
        entry("c", "2026-11-28T12:00:00.000Z"),
    ];
    ledger::write(&home.path("state/ledger.db"), &entries);
    let periods = |options: &str| {
        let (kind, _) = options.split_once(' ').unwrap();
        let found = report(&home, &format!("{options} --json --ccusage=all")).json();
        let periods =
            found[kind].as_array().unwrap().iter().map(|row| row["period"].as_str().unwrap().to_owned());
        periods.collect::<Vec<_>>()
    };
    assert_eq!(periods("daily --last 1"), [""; 0]);
    assert_eq!(periods("daily --last 3"), ["2026-11-28"]);
    assert_eq!(periods("weekly --last 1"), [""; 0]);
    assert_eq!(periods("weekly --last 2"), ["2026-11-23"]);
    assert_eq!(periods("monthly --last 2"), ["2026-11"]);
    assert_eq!(periods("monthly --last 3"), ["2026-09", "2026-11"]);
}

#[test]
#[cfg_attr(not(feature = "test-clock"), ignore = "needs the feature test-clock")]
fn an_active_block_has_a_burn_rate_and_a_projection() {
    let home = at(super::client_home().var("TZ", "UTC"), "2026-11-30T20:16:34Z");
    let tokens = |input, output| [input, output, 1000, 0, 2000];
    let entry = |id: &str, at: &str, tokens, nanos| Entry::new(id, at, MODELS[1], tokens, nanos);
    let entries = [
        entry("a", "2026-11-30T19:26:33.250Z", tokens(10, 20), 15_000_000),
        entry("b", "2026-11-30T19:46:33.250Z", tokens(11, 200), 15_000_000),
        entry("c", "2026-11-30T20:06:33.250Z", tokens(100, 2000), 16_713_000),
        Entry { platform: "langchain", ..entry("d", "2026-11-30T20:06:34.000Z", tokens(1, 1), 1) },
    ];
    ledger::write(&home.path("state/ledger.db"), &entries);
    let blocks = report(&home, "blocks --json --ccusage").json();
    // As ccusage answered for such transcripts at that time; it does not know calls of other platforms.
    let expected = json!({
        "actualEndTime": "2026-11-30T20:06:33.250Z",
        "burnRate": {"costPerHour": 0.070_069_5, "tokensPerMinute": 283.525, "tokensPerMinuteForIndicator": 58.525},
        "costUSD": 0.046_713,
        "endTime": "2026-12-01T00:00:00.000Z",
        "entries": 3,
        "id": "2026-11-30T19:00:00.000Z",
        "isActive": true,
        "isGap": false,
        "models": [MODELS[1]],
        "projection": {"remainingMinutes": 223, "totalCost": 0.31, "totalTokens": 74567},
        "startTime": "2026-11-30T19:00:00.000Z",
        "tokenCounts": {
            "cacheCreationInputTokens": 3000, "cacheReadInputTokens": 6000, "inputTokens": 121, "outputTokens": 2220
        },
        "totalTokens": 11341,
    });
    let mut block = blocks["blocks"][0].clone();
    // The same number after other roundings.
    let rate = block["burnRate"]["costPerHour"].as_f64().unwrap();
    assert!((rate - 0.070_069_5).abs() < 1e-12);
    block["burnRate"]["costPerHour"] = json!(0.070_069_5);
    assert_eq!(block, expected);
    assert_eq!(blocks["blocks"].as_array().unwrap().len(), 1);
}

#[test]
fn a_model_without_a_price_is_named_as_ccusage_does() {
    let home = super::client_home().var("TZ", "UTC");
    let entry = Entry::new("a", "2026-11-30T19:26:33.250Z", "claude-future-9", [1, 2, 3, 4, 5], 6);
    ledger::write(&home.path("state/ledger.db"), &[Entry { price_estimated: true, ..entry }]);
    let daily = report(&home, "daily --json --ccusage").json();
    assert_eq!(daily["daily"][0]["modelBreakdowns"][0]["missingPricing"], true);
}
