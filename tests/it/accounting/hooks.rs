//! Hooks that record one session: with their cache, without it, with a store that was lost or went back in time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fusebox::agents::event::EventSource;
use fusebox::agents::hook::Hook;
use fusebox::app::record::{Recorded, record_and_cache};
use fusebox::app::record_plan::RecordPlan;
use fusebox::app::session::SessionContext;
use fusebox::domain::time::Timestamp;
use fusebox::hook::run::handle_payload;
use fusebox::platform::Env;
use fusebox::store::sqlite::FILE;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::test_store::{NOW, Sum, TestStore, append, open};
use super::written::response;

/// A user's folders with one session.
pub struct Home {
    dir: TempDir,
    now: Timestamp,
}

const TEN: Sum = Sum::tokens(10, 5, 0, 0, 0);

impl Home {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(dir.path().join("project")).expect("a project");
        Self { dir, now: NOW }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn env(&self) -> Env {
        let shown = |name: &str| self.path(name).to_string_lossy().into_owned();
        let vars = [("HOME", shown("home")), ("USER", "ann".into()), ("FUSEBOX_STATE_DIR", shown("state"))];
        let mut vars: BTreeMap<String, String> = vars.map(|(k, v)| (k.to_owned(), v)).into();
        vars.insert("FUSEBOX_CACHE_DIR".into(), shown("cache"));
        Env { now: self.now, vars, cwd: self.path("project"), uid: fusebox::platform::uid() }
    }

    fn source(&self) -> EventSource {
        let (transcript, cwd) = (Some(self.path("s.jsonl")), Some(self.path("project")));
        EventSource { session: "s".into(), transcript, cwd, ..EventSource::default() }
    }

    /// Runs one hook: reads and records.
    pub fn record(&mut self) -> Recorded {
        self.now = self.now.plus_millis(1000);
        let env = self.env();
        record_and_cache(&mut SessionContext::for_event(&env, self.source()), &RecordPlan::for_session(true))
    }

    /// Waits until the store is asked again.
    pub fn end_back_off(&mut self) {
        self.now = self.now.plus_millis(3600 * 1000);
    }

    #[track_caller]
    fn used(&mut self) -> u64 {
        let metered = self.record();
        assert!(metered.is_stored(), "the store answered");
        metered.states[0].used
    }

    pub fn append_lines(&self, lines: &[Value]) {
        let path = self.path("s.jsonl");
        if !path.exists() {
            fs::write(&path, b"").expect("a transcript");
        }
        lines.iter().for_each(|line| append(&path, format!("{line}\n").as_bytes()));
    }

    fn total(&self) -> Sum {
        let mut store =
            TestStore { sqlite: open(&self.path("state")), dir: tempfile::tempdir().expect("a folder") };
        store.total("s").0
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for file in fs::read_dir(from).expect("a folder").flatten() {
        fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

#[test]
fn each_hook_reads_on_where_the_last_one_ended() {
    let mut home = Home::new();
    assert_eq!(home.used(), 0, "no transcript yet");
    home.append_lines(&[response("a", 1, TEN)]);
    assert_eq!(home.used(), 15);
    home.append_lines(&[response("b", 2, TEN), response("c", 3, TEN)]);
    assert_eq!(home.used(), 45);
    assert_eq!(home.used(), 45);
}

#[test]
fn a_lost_cache_changes_nothing() {
    let mut home = Home::new();
    for i in 0..5 {
        home.append_lines(&[response(&format!("m{i}"), i, TEN)]);
        assert_eq!(home.used(), 15 * (i as u64 + 1));
        fs::remove_dir_all(home.path("cache")).expect("the cache was there");
    }
    assert_eq!(home.used(), 75);
}

#[test]
fn a_lost_store_is_filled_again() {
    let mut home = Home::new();
    home.append_lines(&[response("a", 1, TEN), response("b", 2, TEN)]);
    assert_eq!(home.used(), 30);
    fs::remove_dir_all(home.path("state")).expect("the store was there");
    home.append_lines(&[response("c", 3, TEN)]);
    assert_eq!(home.used(), 45);
    assert_eq!(home.total(), Sum::tokens(30, 15, 0, 0, 0).calls(3, 0));
}

#[test]
fn a_store_that_went_back_in_time_is_filled_again() {
    // A restored copy, or a log that lost its last pages in a power failure.
    let mut home = Home::new();
    home.append_lines(&[response("a", 1, TEN)]);
    assert_eq!(home.used(), 15);
    copy(&home.path("state"), &home.path("old"));
    home.append_lines(&[response("b", 2, TEN)]);
    assert_eq!(home.used(), 30);
    home.append_lines(&[response("c", 3, TEN)]);
    assert_eq!(home.used(), 45);
    fs::remove_dir_all(home.path("state")).expect("the store was there");
    copy(&home.path("old"), &home.path("state"));
    home.append_lines(&[response("d", 4, TEN)]);
    assert_eq!(home.used(), 60);
    home.append_lines(&[response("e", 5, TEN)]);
    assert_eq!(home.used(), 75);
    assert_eq!(home.total(), Sum::tokens(50, 25, 0, 0, 0).calls(5, 0));
}

#[test]
fn a_store_damaged_between_two_hooks_is_filled_again() {
    let mut home = Home::new();
    home.append_lines(&[response("a", 1, TEN), response("b", 2, TEN)]);
    assert_eq!(home.used(), 30);
    let file = home.path("state").join(FILE);
    let messages = {
        let db = rusqlite::Connection::open(&file).expect("the database");
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).expect("a checkpoint");
        let number = |sql| db.query_row(sql, (), |r| r.get::<_, u32>(0)).expect("a number") as usize;
        let size = number("PRAGMA page_size");
        let page = number("SELECT rootpage FROM sqlite_schema WHERE name = 'messages'");
        (page - 1) * size..page * size
    };
    let mut bytes = fs::read(&file).expect("the database");
    // Not the schema, which is read when the store is opened.
    bytes[messages].fill(0xa5);
    fs::write(&file, &bytes).expect("damaged");
    home.append_lines(&[response("c", 3, TEN)]);
    // This hook finds the damage, and counts locally; the next one has a new store.
    let metered = home.record();
    assert_eq!((metered.is_stored(), metered.states[0].used), (false, 45));
    assert_eq!(home.used(), 45);
    assert_eq!(home.total(), Sum::tokens(30, 15, 0, 0, 0).calls(3, 0));
}

#[test]
fn while_the_store_is_out_of_reach_the_count_goes_on() {
    let mut home = Home::new();
    home.append_lines(&[response("a", 1, TEN)]);
    assert_eq!(home.used(), 15);
    fs::rename(home.path("state"), home.path("away")).expect("moved");
    fs::write(home.path("state"), b"in the way").expect("a file");
    for (i, used) in [(2, 30), (3, 45)] {
        home.append_lines(&[response(&format!("m{i}"), i, TEN)]);
        let metered = home.record();
        assert_eq!((metered.is_stored(), metered.states[0].used), (false, used));
    }
    fs::remove_file(home.path("state")).expect("out of the way");
    fs::rename(home.path("away"), home.path("state")).expect("back");
    assert!(!home.record().is_stored(), "for a while it is not asked again");
    home.now = home.now.plus_millis(5000);
    assert_eq!(home.used(), 45);
    assert_eq!(home.total().requests, 3);
}

#[test]
fn hooks_at_the_same_time_count_once() {
    let mut home = Home::new();
    home.used();
    for round in 0..5 {
        let lines: Vec<Value> = (0..4).map(|i| response(&format!("m{round}-{i}"), i, TEN)).collect();
        home.append_lines(&lines);
        home.now = home.now.plus_millis(1000);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let env = home.env();
                    let metered = record_and_cache(
                        &mut SessionContext::for_event(&env, home.source()),
                        &RecordPlan::for_caller(true),
                    );
                    assert!(metered.is_stored());
                });
            }
        });
    }
    assert_eq!(home.used(), 20 * 15);
    assert_eq!(home.total(), Sum::tokens(200, 100, 0, 0, 0).calls(20, 0));
}

/// The payloads of real clients, sent to every executable. Each has its own session, but nothing may be charged.
#[test]
fn captured_payloads_charge_nothing_by_themselves() {
    let payloads = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hooks");
    let hooks = [Hook::PreToolUse, Hook::PostToolUse, Hook::PromptSubmit, Hook::SessionEvent];
    let home = Home::new();
    let env = home.env();
    let mut sent = 0;
    for file in fs::read_dir(payloads).expect("payloads").flatten() {
        let text = fs::read_to_string(file.path()).expect("a payload");
        let mut payload: Value = serde_json::from_str(&text).expect("JSON");
        let Some(fields) = payload.as_object_mut().filter(|f| f.contains_key("hook_event_name")) else {
            continue;
        };
        // The client's own path does not exist here; use a folder of the test.
        fields.insert("transcript_path".into(), json!(home.path("none.jsonl")));
        fields.insert("cwd".into(), json!(home.path("project")));
        for hook in hooks {
            if let Some(mut answered) = handle_payload(hook, &env, &payload.to_string()).expect("a payload") {
                assert!(!answered.reply.blocks, "{:?} {hook:?}", file.file_name());
                let notes = answered.ctx.take_journal();
                assert!(notes.iter().all(|note| note.starts_with("incomplete transcript")), "{notes:?}");
            }
            sent += 1;
        }
    }
    assert!(sent > 100, "{sent}");
    let mut store = open(&home.path("state"));
    for row in fusebox::store::Query::sessions(&mut store).expect("sessions") {
        let total =
            fusebox::store::Query::session_total(&mut store, &row.session.id).expect("the store answers");
        let total = total.expect("a session");
        // Without transcripts, the responses are estimates, whatever the payloads contain.
        let estimated = 28_000 * total.unseen_messages;
        assert_eq!((total.amount.usage.total(), total.amount.requests), (estimated, total.unseen_messages));
    }
}

#[test]
fn the_seeds_own_payload_is_charged_once() {
    let home = Home::new();
    let env = home.env();
    let send = |payload: &Value| handle_payload(Hook::PostToolUse, &env, &payload.to_string()).is_ok();
    let usage = json!({"usage": {"input_tokens": 30, "output_tokens": 12}});
    let named =
        json!({"sessionId": "s", "tool": "Bash", "arguments": {}, "response": usage, "call_id": "c1"});
    let bare = json!({"sessionId": "s", "tool": "Bash", "arguments": {"n": 1}, "response": usage});
    for payload in [&named, &named, &bare, &bare] {
        assert!(send(payload));
    }
    assert_eq!(home.total(), Sum::tokens(60, 24, 0, 0, 0).calls(2, 2));
    // A real client's payload is never charged, whatever it contains.
    let mut real = named;
    real["transcript_path"] = json!(home.path("none.jsonl"));
    real["call_id"] = json!("c2");
    assert!(!send(&real));
    // Impossible numbers do not break the store.
    let mut huge = bare;
    huge["response"]["usage"]["input_tokens"] = json!(u64::MAX);
    assert!(send(&huge));
    let after = home.total();
    assert_eq!((after.output, after.requests), (36, 3));
    assert!(after.input > 1_000_000);
}

#[test]
fn a_hook_without_time_gets_on_by_a_slice_and_nothing_is_counted_twice() {
    let mut home = Home::new();
    let lines: Vec<Value> = (0..200).map(|i| response(&format!("m{i}"), i, TEN)).collect();
    home.append_lines(&lines);
    let mut meter = |max_ms| {
        home.now = home.now.plus_millis(1000);
        let env = home.env();
        let slice = 4096;
        let metering = RecordPlan { slice_bytes: slice, max_ms, ..RecordPlan::for_session(true) };
        let metered = record_and_cache(&mut SessionContext::for_event(&env, home.source()), &metering);
        assert!(metered.is_stored());
        (metered.states[0].used, metered.complete)
    };
    let (first, complete) = meter(Some(0));
    assert!(0 < first && first < 200 * 15 && !complete, "{first}");
    let (second, complete) = meter(Some(0));
    assert!(first < second && second < 200 * 15 && !complete, "{second}");
    // With enough time, all slices are read.
    assert_eq!(meter(None), (200 * 15, true));
    assert_eq!(meter(Some(0)), (200 * 15, true));
    // A lost store is refilled in slices as well.
    fs::remove_dir_all(home.path("state")).expect("the store was there");
    let mut used = 0;
    let mut calls = 0;
    while used < 200 * 15 {
        home.now = home.now.plus_millis(1000);
        let env = home.env();
        let metering = RecordPlan { slice_bytes: 4096, max_ms: Some(0), ..RecordPlan::for_session(true) };
        let metered = record_and_cache(&mut SessionContext::for_event(&env, home.source()), &metering);
        assert!(metered.states[0].used > used, "each call gets on");
        used = metered.states[0].used;
        calls += 1;
    }
    assert!(calls > 2);
    assert_eq!(home.total(), Sum::tokens(2000, 1000, 0, 0, 0).calls(200, 0));
}

#[test]
fn what_is_read_in_slices_counts_whole_while_the_store_is_out_of_reach() {
    let mut home = Home::new();
    let lines: Vec<Value> = (0..200).map(|i| response(&format!("m{i}"), i, TEN)).collect();
    home.append_lines(&lines);
    fs::write(home.path("state"), b"in the way").expect("a file");
    let env = home.env();
    let metering = RecordPlan { slice_bytes: 4096, max_ms: None, ..RecordPlan::for_session(true) };
    let metered = record_and_cache(&mut SessionContext::for_event(&env, home.source()), &metering);
    assert_eq!((metered.is_stored(), metered.states[0].used), (false, 200 * 15));
    fs::remove_file(home.path("state")).expect("out of the way");
    home.now = home.now.plus_millis(5000);
    assert_eq!(home.used(), 200 * 15);
}
