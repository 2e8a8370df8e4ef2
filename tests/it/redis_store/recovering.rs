//! A shared store that lost all or the latest of its data: everything is read again from the transcripts, exactly.

use redis::Value;
use serde_json::json;

use fusebox::agents::event::EventSource;
use fusebox::app::record::record_and_cache;
use fusebox::app::record_plan::RecordPlan;
use fusebox::app::session::SessionContext;
use fusebox::platform::clock;

use super::{home_at, now, respond, used};
use crate::harness::{Home, message};
use crate::redis::Server;

/// A session budget and a user budget.
const BUDGETS: &str = "[[budget]]\nname = \"session\"\nlimit = 100_000\n\n[[budget]]\nname = \"all\"\nscope = \"user\"\nlimit = 1_000_000\nwindow = \"month\"\n";

/// All data of a server.
fn copy(server: &Server) -> Vec<(String, Vec<u8>)> {
    let keys = server.text(&["KEYS", "*"]);
    let of = |key: &str| match server.command(&["DUMP", key]) {
        Value::BulkString(bytes) => (key.to_owned(), bytes),
        other => panic!("{key}: {other:?}"),
    };
    keys.lines().map(of).collect()
}

/// A home with two sessions, of three and two messages.
fn begun(server: &Server) -> Home {
    let home = home_at(&server.socket_url());
    home.configure(BUDGETS);
    for (session, messages) in [("s", 1..=3), ("t", 21..=22)] {
        assert!(home.hook("SessionStart", session, json!({"source": "startup"})).is_silent());
        assert!(respond(&home, session, messages).is_silent());
    }
    home
}

/// Checks the counts after everything was read.
fn is_exact(home: &Home, s: u64, t: u64) {
    assert_eq!((used(home, "s", "session").0, used(home, "t", "session").0), (s, t));
    assert_eq!(used(home, "s", "all").0, s + t);
    let [input, output, _] = home.totals();
    assert_eq!((input + output).unsigned_abs(), s + t);
    let found = home.fusebox(&["resync", "--json"]).json();
    assert_eq!((&found["requests_added"], &found["budgets"]), (&json!(0), &json!([])), "{found}");
    assert_eq!(found["store"]["recovering"], json!([]));
}

#[test]
fn emptied() {
    let server = Server::start();
    let home = begun(&server);
    server.command(&["FLUSHALL"]);
    assert!(respond(&home, "s", 4..=4).is_silent());
    let journal = home.journal();
    assert!(journal.lines().count() == 1 && journal.contains("no longer knows this session"), "{journal}");
    // The other session's part is missing until somebody reads it, and commands say so.
    let machines = server.text(&["ZRANGE", "fusebox:{acme}:d:machines", "0", "-1"]);
    assert_eq!(machines.lines().count(), 1, "{machines}");
    let mark = server.text(&["GET", "fusebox:{acme}:d:rebuilding"]);
    assert_eq!(mark, server.text(&["GET", "fusebox:{acme}:d:epoch"]));
    is_exact(&home, 400, 200);
}

#[test]
fn emptied_and_filled_by_hooks_alone() {
    let server = Server::start();
    let home = begun(&server);
    server.command(&["FLUSHALL"]);
    // Of a new session: the others' transcripts are read as well.
    assert!(respond(&home, "s", 4..=4).is_silent());
    assert!(home.hook("SessionStart", "new", json!({"source": "startup"})).is_silent());
    assert_eq!(server.text(&["ZCARD", "fusebox:{acme}:d:messages:t"]), "2");
    let epoch = server.text(&["GET", "fusebox:{acme}:d:epoch"]);
    assert_eq!(server.text(&["SCARD", &format!("fusebox:{{acme}}:d:filled:{epoch}")]), "1");
    is_exact(&home, 400, 200);
}

/// A session with a killed client and no cache: another session's hooks continue reading it.
#[test]
fn read_on_by_others() {
    let server = Server::start();
    let home = begun(&server);
    home.append(&home.transcript("s"), &[message(4, 90, 10)]);
    std::fs::remove_dir_all(home.path("cache")).unwrap();
    assert!(home.hook("SessionStart", "new", json!({"source": "startup"})).is_silent());
    assert_eq!(server.text(&["ZCARD", "fusebox:{acme}:d:messages:s"]), "4");
}

#[test]
fn restarted_empty() {
    let mut server = Server::start();
    let home = begun(&server);
    server.kill();
    assert!(respond(&home, "s", 4..=4).is_silent());
    let journal = home.journal();
    assert!(journal.contains("cannot be reached: there is no such socket"), "{journal}");
    server.restart();
    home.wake_store("s");
    assert!(respond(&home, "t", 23..=23).is_silent());
    is_exact(&home, 400, 300);
}

#[test]
fn failed_over_to_a_replica_that_lagged_behind() {
    let server = Server::start();
    let home = begun(&server);
    let behind = copy(&server);
    let epoch = home.status("s")["store"]["epoch"].clone();
    respond(&home, "s", 4..=6);
    respond(&home, "t", 23..=23);
    let extend = ["budget", "extend", "session", "--session", "s", "--tokens", "5", "--reason", "a test"];
    assert_eq!(home.fusebox(&extend).code, 0);
    server.command(&["FLUSHALL"]);
    behind.iter().for_each(|(key, bytes)| server.restore(key, bytes));
    assert!(respond(&home, "s", 7..=7).is_silent());
    let journal = home.journal();
    assert!(journal.lines().count() == 1 && journal.contains("went back in time"), "{journal}");
    assert_ne!(home.status("s")["store"]["epoch"], epoch, "it is another store");
    assert_eq!(used(&home, "s", "session"), (700, 100_005));
    is_exact(&home, 700, 300);
}

/// Only a decision, whose loss no session can detect.
#[test]
fn a_decision_that_the_replica_did_not_get() {
    let server = Server::start();
    let home = begun(&server);
    for (n, hooks) in [true, false].into_iter().enumerate() {
        let behind = copy(&server);
        let extend = ["budget", "extend", "session", "--session", "s", "--tokens", "5", "--reason", "a test"];
        assert_eq!(home.fusebox(&extend).code, 0);
        server.command(&["FLUSHALL"]);
        behind.iter().for_each(|(key, bytes)| server.restore(key, bytes));
        if hooks {
            home.hook("SessionStart", "s", json!({"source": "resume"}));
            assert_eq!(server.text(&["LLEN", "fusebox:{acme}:o:operated"]), "1");
        }
        assert_eq!(used(&home, "s", "session"), (300, 100_005 + 5 * n as u64));
    }
    is_exact(&home, 300, 200);
}

/// A command that shows numbers detects the loss before any hook.
#[test]
fn a_loss_that_no_hook_has_seen() {
    let server = Server::start();
    let home = begun(&server);
    let behind = copy(&server);
    respond(&home, "t", 23..=24);
    server.command(&["FLUSHALL"]);
    behind.iter().for_each(|(key, bytes)| server.restore(key, bytes));
    is_exact(&home, 300, 400);
    server.command(&["FLUSHALL"]);
    is_exact(&home, 300, 400);
}

/// Two homes, like two users' machines: each refills its part when it is used.
#[test]
fn each_home_fills_its_own_part() {
    let server = Server::start();
    let (a, b) = (begun(&server), home_at(&server.socket_url()));
    b.configure(BUDGETS);
    respond(&b, "b", 31..=34);
    assert_eq!(used(&a, "s", "all").0, 900);
    server.command(&["FLUSHALL"]);
    respond(&a, "s", 4..=4);
    assert_eq!(used(&a, "s", "all").0, 600, "what only the other one has is not there yet");
    respond(&b, "b", 35..=35);
    assert_eq!((used(&b, "b", "all").0, used(&a, "s", "all").0), (1100, 1100));
}

/// A query elsewhere does not hide the loss from a session's own hooks.
#[test]
fn asked_for_elsewhere() {
    let server = Server::start();
    let (a, b) = (begun(&server), home_at(&server.socket_url()));
    b.configure(BUDGETS);
    respond(&b, "b", 31..=31);
    let behind = copy(&server);
    respond(&a, "s", 4..=5);
    server.command(&["FLUSHALL"]);
    behind.iter().for_each(|(key, bytes)| server.restore(key, bytes));
    for _ in 0..4 {
        assert_eq!(used(&b, "s", "session").0, 300);
        assert!(b.hook("SessionStart", "b", json!({"source": "resume"})).is_silent());
    }
    respond(&a, "s", 6..=6);
    assert!(a.journal().contains("went back in time"), "{}", a.journal());
    assert_eq!((used(&a, "s", "session").0, used(&a, "s", "all").0), (600, 900));
}

#[test]
fn while_a_machine_is_missing_the_status_says_so() {
    let server = Server::start();
    let home = begun(&server);
    let now = clock().0.to_string();
    server.command(&["ZADD", "fusebox:{acme}:d:machines", &now, "elsewhere:1000"]);
    assert_eq!(home.status("s")["store"]["recovering"], json!([]));
    let behind = copy(&server);
    respond(&home, "s", 4..=4);
    server.command(&["FLUSHALL"]);
    behind.iter().for_each(|(key, bytes)| server.restore(key, bytes));
    respond(&home, "s", 5..=5);
    let store = home.status("s")["store"].clone();
    assert_eq!((&store["kind"], &store["recovering"]), (&json!("redis"), &json!(["elsewhere:1000"])));
    let said = home.fusebox(&["status", "--session", "s"]).stdout;
    assert!(
        said.contains("recovering: the redis store lost something") && said.contains("elsewhere"),
        "{said}"
    );
}

/// A session that continues elsewhere also counts there, but the data of its first machine is missing, and the other
/// one's older transcript cannot reveal that.
#[test]
fn gone_back_while_the_session_went_on_elsewhere() {
    let server = Server::start();
    for asks in [false, true] {
        let (here, there) = (begun(&server), home_at(&server.socket_url()));
        there.configure(BUDGETS);
        let behind = copy(&server);
        respond(&here, "s", 4..=6);
        server.command(&["FLUSHALL"]);
        behind.iter().for_each(|(key, bytes)| server.restore(key, bytes));
        let lines = std::fs::read_to_string(here.transcript("s")).unwrap();
        let copied: Vec<_> = lines.lines().take(3).map(|line| serde_json::from_str(line).unwrap()).collect();
        there.append(&there.transcript("s"), &copied);
        for n in 41..=49 {
            assert!(respond(&there, "s", n..=n).is_silent());
        }
        assert_eq!(used(&there, "s", "session").0, 1200, "nobody has noticed yet");
        if asks {
            is_exact(&here, 1500, 200);
        }
        respond(&here, "s", 7..=7);
        is_exact(&here, 1600, 200);
        server.command(&["FLUSHALL"]);
    }
}

/// Two hooks at the same time, a subagent's and the session's: the first recorded before the store was rolled back, the
/// second after. Both got the same sequence number, so no hook notices; resync reads everything again.
fn rolled_back_between_two_hooks(home: &Home, roll_back: impl FnOnce()) {
    let env = home.env();
    let source = |agent: Option<&str>| EventSource {
        session: "s".into(),
        transcript: Some(home.transcript("s")),
        agent: agent.map(str::to_owned),
        ..EventSource::default()
    };
    let of = |agent| SessionContext::for_event(&env, source(agent));
    let (mut first, mut second) = (of(Some("a1")), of(None));
    let mut line = message(4, 90, 10);
    (line["isSidechain"], line["agentId"]) = (json!(true), json!("a1"));
    line["timestamp"] = now().into();
    home.append(&home.agent_transcript("s", "a1"), &[line]);
    let recorded = record_and_cache(&mut first, &RecordPlan::for_caller(false));
    assert!(recorded.is_stored() && recorded.complete, "{recorded:?}");
    drop(first);
    roll_back();
    let mut line = message(5, 90, 10);
    line["timestamp"] = now().into();
    home.append(&home.transcript("s"), &[line]);
    let recorded = record_and_cache(&mut second, &RecordPlan::for_caller(false));
    assert!(recorded.is_stored() && recorded.complete, "{recorded:?}");
    let found = home.fusebox(&["resync", "--json"]).json();
    assert_eq!(found["requests_added"], 1, "{found}");
}

#[test]
fn what_no_number_tells_is_healed_by_resync() {
    let server = Server::start();
    let home = begun(&server);
    let behind = copy(&server);
    rolled_back_between_two_hooks(&home, || {
        server.command(&["FLUSHALL"]);
        behind.iter().for_each(|(key, bytes)| server.restore(key, bytes));
    });
    assert!(respond(&home, "s", 6..=6).is_silent());
    is_exact(&home, 600, 200);
}

#[test]
fn what_no_number_tells_is_healed_in_the_embedded_store_too() {
    let home = Home::new();
    home.configure(BUDGETS);
    respond(&home, "s", 1..=3);
    let files = ["state/state.db", "state/state.db-wal"].map(|name| home.path(name));
    let behind = files.each_ref().map(|file| std::fs::read(file).unwrap());
    rolled_back_between_two_hooks(&home, || {
        files.iter().zip(&behind).for_each(|(file, bytes)| std::fs::write(file, bytes).unwrap());
    });
    assert!(respond(&home, "s", 6..=6).is_silent());
    assert_eq!(used(&home, "s", "session").0, 600);
}
