//! `/metrics`: what it shows, that counters never go down, and that Prometheus understands it.

mod documents;
mod prometheus;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{Answer, Serve, busy_session, on_both_stores, spend};
use crate::harness::{Home, message};
use crate::redis::Server;

const ONE: &str = "session-one";

/// Samples by name and labels.
type Samples = BTreeMap<String, f64>;

fn samples(answer: &Answer) -> Samples {
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
    };
    lines.map(sample).collect()
}

/// Scrapes until this sample has this value.
#[track_caller]
fn wait_for(serve: &Serve, name: &str, value: f64) -> Samples {
    samples(&serve.wait_for("/metrics", |answer| samples(answer).get(name) == Some(&value)))
}

/// The counters: everything that must not go down, except the server's own times.
fn counters(all: &Samples) -> Samples {
    let is_counter = |name: &str| name.split('{').next().unwrap().ends_with("_total");
    all.iter().filter(|(name, _)| is_counter(name)).map(|(name, value)| (name.clone(), *value)).collect()
}

/// Checks that no counter is missing in `later`, or lower.
#[track_caller]
fn not_back(earlier: &Samples, later: &Samples) {
    for (name, value) in counters(earlier) {
        assert!(later.get(&name).is_some_and(|now| *now >= value), "{name}: {value}, then {later:?}");
    }
}

fn token(n: u32) -> String {
    format!("{n:0>32}")
}

/// A token file: 1 is an operator, 2 a viewer, 3 may only send telemetry.
fn write_tokens(home: &Home) {
    let lines = format!("{}\nviewer {}\ningest {}\n", token(1), token(2), token(3));
    std::fs::write(home.path("tokens"), lines).unwrap();
    std::fs::set_permissions(home.path("tokens"), PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn what_a_session_did() {
    on_both_stores(|home| {
        busy_session(home, ONE);
        let denied =
            json!({"tool_name": "Bash", "tool_input": {"command": "make"}, "tool_use_id": "toolu_9"});
        assert!(!home.hook("PreToolUse", ONE, denied).is_silent(), "the breaker is open");
        let serve = Serve::start(home, &[]);
        let found = wait_for(&serve, "asdlc_store_up", 1.0);
        let input = "asdlc_tokens_used_total{model=\"claude-test-1\",type=\"input\"}";
        let expected = [
            (input, 550.0),
            ("asdlc_tokens_used_total{model=\"claude-test-1\",type=\"cache_read\"}", 10.0),
            ("asdlc_requests_total{model=\"claude-test-1\"}", 1.0),
            ("asdlc_tool_iterations_total{agent_type=\"main\"}", 5.0),
            ("asdlc_budget_alerts_total{budget=\"session\",level=\"info\"}", 1.0),
            ("asdlc_budget_alerts_total{budget=\"session\",level=\"critical\"}", 0.0),
            ("asdlc_budget_pauses_total{budget=\"session\"}", 0.0),
            ("asdlc_budget_utilization{budget=\"session\",scope=\"session\",value=\"\"}", 0.55),
            ("asdlc_circuit_state{state=\"open\"}", 1.0),
            ("asdlc_circuit_state{state=\"closed\"}", 0.0),
            ("asdlc_denials_total{by=\"circuit\"}", 1.0),
            ("asdlc_denials_total{by=\"budget\"}", 0.0),
            ("asdlc_hook_failures_total{hook=\"pre-tool-use\"}", 0.0),
            ("asdlc_build_info{version=\"0.1.0\"}", 1.0),
        ];
        for (name, value) in expected {
            assert_eq!(found.get(name), Some(&value), "{name}: {found:#?}");
        }
        let sum =
            |start: &str| found.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, n)| n).sum();
        assert_eq!(1.0, sum("asdlc_circuit_trips_total{"), "{found:#?}");
        assert!(0.0 < sum("asdlc_cost_usd_total{"), "{found:#?}");
        assert!(0.0 < found["asdlc_store_read_duration_seconds_count"]);
        let text = serve.get("/metrics").body;
        assert!(!text.contains(ONE), "{text}");
        is_well_formed(&text);

        spend(home, ONE, 2, 1000);
        let later = wait_for(&serve, input, 1550.0);
        not_back(&found, &later);
        assert_eq!(later["asdlc_budget_pauses_total{budget=\"session\"}"], 1.0);
        assert_eq!(later["asdlc_budget_alerts_total{budget=\"session\",level=\"critical\"}"], 2.0);
    });
}

/// Each sample belongs to a family with help and type, which is there once, with each sample once.
fn is_well_formed(text: &str) {
    let (mut described, mut seen, mut current) = (BTreeSet::new(), BTreeSet::new(), String::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(described.insert(name.to_owned()) && help.ends_with('.'), "{line}");
            name.clone_into(&mut current);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert_eq!(kind.split_once(' ').unwrap().0, current);
        } else {
            assert!(line.starts_with(&current) && seen.insert(line.rsplit_once(' ').unwrap().0), "{line}");
        }
    }
    assert!(described.len() >= 14, "{described:?}");
}

#[test]
fn the_prefix_can_be_chosen() {
    let home = Home::new();
    for (prefix, name) in [("team_", "team_store_up"), ("", "store_up")] {
        let serve = Serve::start(&home, &["--metrics-prefix", prefix]);
        let found = samples(&serve.get("/metrics"));
        assert!(found.contains_key(name) && !found.keys().any(|name| name.contains("asdlc_")), "{found:?}");
    }
    for bad in ["1x", "a-b", "a b", "a:b"] {
        let ran = home.fusebox(&["serve", "--listen", "127.0.0.1:0", "--metrics-prefix", bad]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("only letters, digits and underscores"), "{ran:?}");
    }
}

#[test]
fn who_may_scrape() {
    let home = Home::new();
    write_tokens(&home);
    let open = Serve::start(&home, &[]);
    assert_eq!(open.get("/metrics").status, 200);
    let closed = Serve::start(&home, &["--require-token"]);
    let get =
        |n| closed.request("GET", "/metrics", &[("Authorization", &format!("Bearer {}", token(n)))], b"");
    closed.get("/metrics").is_problem(401, "a token is required");
    assert_eq!((get(1).status, get(2).status), (200, 200));
    get(3).is_problem(403, "telemetry");
    get(9).is_problem(401, "not valid");
    closed.request("GET", "/metrics", &[("Host", "evil.example")], b"").is_problem(403, "host name");
}

#[test]
fn openmetrics_if_it_is_asked_for() {
    let home = Home::new();
    busy_session(&home, ONE);
    let serve = Serve::start(&home, &[]);
    wait_for(&serve, "asdlc_store_up", 1.0);
    let classic = serve.get("/metrics");
    assert_eq!(classic.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(classic.body.contains("# TYPE asdlc_requests_total counter\n"), "{}", classic.body);
    let accept = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.25";
    let open = serve.request("GET", "/metrics", &[("Accept", accept)], b"");
    let kind = open.header("content-type");
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.body.contains("# TYPE asdlc_requests counter\nasdlc_requests_total{"), "{}", open.body);
    assert!(open.body.ends_with("\n# EOF\n"), "{}", open.body);
    let head = serve.request("HEAD", "/metrics", &[], b"");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn two_servers_show_the_same_and_a_restart_changes_nothing() {
    let store = Server::start();
    let [here, there] = [(); 2].map(|()| Home::new().var("FUSEBOX_STORE_REDIS_URL", &store.url()));
    busy_session(&here, ONE);
    there.configure("[[budget]]\nname = \"session\"\nlimit = 1000\nhard_limit = 2000\n");
    spend(&there, "session-two", 7, 900);
    let of_all = |all: &Samples| {
        let mut all = counters(all);
        all.retain(|name, _| !name.contains("hook_failures"));
        all
    };
    let input = "asdlc_tokens_used_total{model=\"claude-test-1\",type=\"input\"}";
    let (one, two) = (Serve::start(&here, &[]), Serve::start(&there, &[]));
    let (first, second) = (wait_for(&one, input, 1450.0), wait_for(&two, input, 1450.0));
    assert_eq!(of_all(&first), of_all(&second));
    assert_eq!(first["asdlc_budget_alerts_total{budget=\"session\",level=\"critical\"}"], 1.0);
    one.stop(15);
    let again = Serve::start(&here, &[]);
    assert_eq!(of_all(&wait_for(&again, input, 1450.0)), of_all(&first));
    spend(&here, ONE, 2, 50);
    let (first, second) = (wait_for(&again, input, 1500.0), wait_for(&two, input, 1500.0));
    assert_eq!(of_all(&first), of_all(&second));
}

#[test]
fn a_store_that_does_not_answer() {
    let store = Server::start();
    let home =
        Home::new().var("FUSEBOX_STORE_REDIS_URL", &store.url()).var("FUSEBOX_STORE_REDIS_TIMEOUT_MS", "200");
    busy_session(&home, ONE);
    let serve = Serve::start(&home, &[]);
    let before = wait_for(&serve, "asdlc_store_up", 1.0);
    store.stop();
    let down = wait_for(&serve, "asdlc_store_up", 0.0);
    assert_eq!(counters(&down), counters(&before), "the last known");
    assert!(
        !down.keys().any(|name| name.contains("circuit_state") || name.contains("utilization")),
        "{down:?}"
    );
    // A server that has never seen the store knows nothing, and says no zeros.
    let fresh = Serve::start(&home, &[]);
    let unknown = samples(&fresh.get("/metrics"));
    assert_eq!(unknown["asdlc_store_up"], 0.0);
    assert!(counters(&unknown).keys().all(|name| name.contains("hook_failures")), "{unknown:?}");
    store.cont();
    not_back(&before, &wait_for(&serve, "asdlc_store_up", 1.0));
    not_back(&before, &wait_for(&fresh, "asdlc_store_up", 1.0));
}

#[test]
fn failures_of_hooks_are_counted_once() {
    let home = Home::new();
    let serve = Serve::start(&home, &[]);
    let failed = "asdlc_hook_failures_total{hook=\"pre-tool-use\"}";
    assert_eq!(samples(&serve.get("/metrics"))[failed], 0.0);
    home.run("pre-tool-use", b"no payload");
    home.run("pre-tool-use", b"nor this");
    assert_eq!(samples(&serve.get("/metrics"))[failed], 2.0);
    std::fs::remove_file(home.path("state/journal.jsonl")).unwrap();
    assert_eq!(samples(&serve.get("/metrics"))[failed], 2.0, "it never goes down");
    home.run("pre-tool-use", b"again");
    assert_eq!(samples(&serve.get("/metrics"))[failed], 3.0);
    assert_eq!(samples(&Serve::start(&home, &[]).get("/metrics"))[failed], 3.0);
}

#[test]
fn labels_are_bounded() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"models\"\nscope = \"model\"\nlimit = 1000\n");
    let lines: Vec<_> = (1..=60)
        .map(|n| {
            let mut line = message(n, 10, 0);
            line["message"]["model"] = json!(format!("model-\"{n}\""));
            line
        })
        .collect();
    home.append(&home.transcript(ONE), &lines);
    home.hook("PostToolUse", ONE, json!({}));
    let serve = Serve::start(&home, &[]);
    let found = wait_for(&serve, "asdlc_store_up", 1.0);
    let of = |name: &str| found.iter().filter(|(sample, _)| sample.starts_with(name)).collect::<Vec<_>>();
    for (name, own) in [("asdlc_requests_total{", 50), ("asdlc_budget_utilization{budget=\"models\"", 50)] {
        assert_eq!(of(name).len(), own + 1, "{:?}", of(name));
    }
    assert_eq!(of("asdlc_requests_total{").iter().map(|(_, n)| **n).sum::<f64>(), 60.0);
    assert_eq!(found["asdlc_requests_total{model=\"other\"}"], 10.0);
    is_well_formed(&serve.get("/metrics").body);
}
