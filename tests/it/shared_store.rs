//! The shared store with the hooks: the traffic, and two homes with one budget.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};
use crate::redis::certificates::Certificates;
use crate::redis::{Cluster, Proxy, Server};
use crate::redis_store::now;

const MONTH: &str = "[[budget]]\nname = \"user\"\nscope = \"user\"\nwindow = \"month\"\nlimit = 1000\nthresholds = [0.5, 1.0]\nwrap_up = 0\n";

/// A home whose hooks use the store at `url`.
fn sharing(url: &str) -> Home {
    Home::new().var("FUSEBOX_STORE_REDIS_URL", url).var("FUSEBOX_STORE_TENANT", "team")
}

/// A team budget.
const TEAM: &str = "[store]\nteam = \"core\"\n[[budget]]\nname = \"team\"\nscope = \"team\"\nwindow = \"month\"\nlimit = 1000\nthresholds = [0.5, 1.0]\nwrap_up = 0\n";

/// A response of this month, with a call. In each home it is the same.
fn response(n: usize, tokens: u64) -> Value {
    static NOW: LazyLock<String> = LazyLock::new(now);
    let mut line = message(n, tokens, 0);
    line["timestamp"] = NOW.as_str().into();
    line
}

/// A response with a call, and the hook after the call.
fn call(home: &Home, session: &str, n: usize, tokens: u64) -> Ran {
    home.append(&home.transcript(session), &[response(n, tokens)]);
    let call = json!({
        "tool_name": "Bash", "tool_input": {"command": format!("step {n}")}, "tool_use_id": format!("toolu_{n}"),
        "tool_response": {"stdout": "done"},
    });
    home.hook("PostToolUse", session, call)
}

/// The hook before the next call.
fn next_call(home: &Home, session: &str, n: usize) -> Ran {
    let call =
        json!({"tool_name": "Bash", "tool_input": {"command": "more"}, "tool_use_id": format!("toolu_{n}")});
    home.hook("PreToolUse", session, call)
}

fn is_denied(ran: &Ran) -> bool {
    !ran.stdout.is_empty() && ran.json()["hookSpecificOutput"]["permissionDecision"] == "deny"
}

#[test]
fn a_hook_is_one_request_and_one_reply() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let home = sharing(&proxy.url());
    home.hook("SessionStart", "s", json!({"source": "startup"}));
    for n in 0..3 {
        call(&home, "s", n, 10);
    }
    proxy.take();
    for n in 3..10 {
        call(&home, "s", n, 10);
        let seen = proxy.take();
        assert_eq!((seen.connections, seen.requests.len(), seen.replies.len()), (1, 1, 1), "call {n}");
        let over = json!({"tool_name": "Bash", "tool_input": {"command": format!("step {n}")},
            "tool_use_id": format!("toolu_{n}"), "tool_response": "done"});
        home.hook("PostToolBatch", "s", json!({"tool_calls": [over]}));
        let seen = proxy.take();
        assert_eq!((seen.connections, seen.requests.len(), seen.replies.len()), (1, 1, 1), "response {n}");
        next_call(&home, "s", n);
        assert_eq!(proxy.take().connections, 0, "before a call the cache is enough");
    }
    assert_eq!(home.status("s")["tokens"]["input"], 100);
    assert_eq!(home.journal(), "");
}

#[test]
fn a_server_that_forgets_the_script_is_taught_it() {
    let mut server = Server::start();
    let home = sharing(&server.url());
    call(&home, "s", 0, 10);
    server.text(&["SCRIPT", "FLUSH"]);
    call(&home, "s", 1, 10);
    assert_eq!(home.status("s")["tokens"]["input"], 20);
    assert_eq!(home.journal(), "");
    // A restarted server has also lost its data.
    server.restart();
    call(&home, "s", 2, 10);
    assert_eq!(home.status("s")["tokens"]["input"], 30);
    assert!(home.journal().contains("reading everything again"), "{}", home.journal());
}

#[test]
fn of_a_cluster_the_right_node_is_asked_from_the_second_hook_on() {
    let cluster = Cluster::start();
    node_is_remembered(&cluster, |other| other.url().replace("redis://", "redis+cluster://"));
}

#[test]
fn of_a_cluster_with_tls_the_right_node_is_asked_from_the_second_hook_on() {
    let certificates = tempfile::tempdir().unwrap();
    Certificates::write(certificates.path());
    let cluster = Cluster::start_with_tls(certificates.path());
    let ca = certificates.path().join("ca.pem");
    node_is_remembered(&cluster, |other| {
        format!("rediss+cluster://localhost:{}?ca={}", other.client_port(), ca.display())
    });
}

/// With hooks whose address starts at a node without their keys.
fn node_is_remembered(cluster: &Cluster, url: impl Fn(&Server) -> String) {
    let (owner, other) = cluster.owner_and_other("fusebox:{team}:d:epoch");
    let home = sharing(&url(other));
    home.hook("SessionStart", "s", json!({"source": "startup"}));
    call(&home, "s", 0, 10);
    let asked = |server: &Server| -> u64 {
        let info = server.text(&["INFO", "stats"]);
        let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.unwrap().trim().parse().unwrap()
    };
    let (before, of_owner) = (asked(other), asked(owner));
    for n in 1..4 {
        call(&home, "s", n, 10);
    }
    // The query itself is one.
    assert_eq!(asked(other), before + 1);
    assert!(asked(owner) >= of_owner + 3);
    assert_eq!(home.status("s")["tokens"]["input"], 40);
    assert_eq!(home.journal(), "");
}

#[test]
fn one_budget_holds_on_two_machines() {
    let server = Server::start();
    let [here, there] = [(); 2].map(|()| sharing(&server.url()));
    for home in [&here, &there] {
        home.configure(MONTH);
        home.hook("SessionStart", "a", json!({"source": "startup"}));
    }
    let mut told = vec![call(&here, "a", 0, 600)];
    // A fork on the other machine starts with the same lines.
    there.append(&there.transcript("b"), &[response(0, 600)]);
    told.push(call(&there, "b", 1, 300));
    assert!(!is_denied(&next_call(&there, "b", 2)), "900 of 1,000");
    told.push(call(&there, "b", 2, 200));
    assert!(is_denied(&next_call(&there, "b", 3)), "1,100 of 1,000");
    told.push(call(&here, "a", 3, 1));
    assert!(is_denied(&next_call(&here, "a", 4)), "and here, once the store was asked");
    let alerts: Vec<Value> =
        [&here, &there].map(|home| home.fusebox(&["alerts", "list", "--json"]).json()).into();
    assert_eq!(alerts[0], alerts[1]);
    assert_eq!(alerts[0].as_array().unwrap().len(), 2, "one for each threshold in all: {}", alerts[0]);
    let said = |part: &str| told.iter().filter(|ran| ran.stdout.contains(part)).count();
    assert_eq!((said("user is 60.00% used"), said("user is 110.00% used")), (1, 1), "{told:?}");
    for home in [&here, &there] {
        let all = home.fusebox(&["status", "--all", "--json"]).json();
        let ids: Vec<&str> = all.as_array().unwrap().iter().filter_map(|s| s["session"].as_str()).collect();
        assert!(ids.contains(&"a") && ids.contains(&"b"), "{ids:?}");
        let show = home.fusebox(&["budget", "show", "user", "--json"]).json();
        assert!(show.to_string().contains("1101"), "{show}");
    }
    assert_eq!((here.journal(), there.journal()), (String::new(), String::new()));
}

#[test]
fn one_budget_of_a_team_holds_for_its_members_on_two_machines() {
    let server = Server::start();
    let [ann, bea] = ["ann", "bea"].map(|user| sharing(&server.url()).var("FUSEBOX_USER", user));
    let cid = sharing(&server.url()).var("FUSEBOX_USER", "cid").var("FUSEBOX_STORE_TEAM", "web");
    for home in [&ann, &bea, &cid] {
        home.configure(TEAM);
    }
    let mut told = vec![call(&ann, "a", 0, 600)];
    // A fork on the other machine starts with the same lines.
    bea.append(&bea.transcript("b"), &[response(0, 600)]);
    told.push(call(&bea, "b", 1, 300));
    assert!(!is_denied(&next_call(&bea, "b", 2)), "900 of 1,000");
    told.push(call(&bea, "b", 2, 200));
    assert!(is_denied(&next_call(&bea, "b", 3)), "1,100 of 1,000");
    told.push(call(&ann, "a", 3, 1));
    assert!(is_denied(&next_call(&ann, "a", 4)), "and here, once the store was asked");
    let said = |part: &str| told.iter().filter(|ran| ran.stdout.contains(part)).count();
    assert_eq!((said("team is 60.00% used"), said("team is 110.00% used")), (1, 1), "{told:?}");
    // Another team has its own count.
    call(&cid, "c", 5, 1);
    assert!(!is_denied(&next_call(&cid, "c", 6)));
    let states = cid.fusebox(&["budget", "show", "team", "--json"]).json();
    assert_eq!(
        (&states["budget"]["value"], &states["budget"]["used"]),
        (&json!("web"), &json!(1)),
        "{states}"
    );
    let alerts = ann.fusebox(&["alerts", "list", "--json"]).json();
    assert_eq!(alerts.as_array().unwrap().len(), 2, "one for each threshold in all: {alerts}");
    // A member's decision applies to the whole team.
    let extend = ["budget", "extend", "team", "--tokens", "500", "--reason", "a test"];
    assert_eq!(ann.fusebox(&extend).code, 0);
    for (home, session) in [(&ann, "a"), (&bea, "b")] {
        assert!(!is_denied(&next_call(home, session, 7)), "{session}");
    }
    // Lost data is read again on each machine, for the team.
    server.command(&["FLUSHALL"]);
    for home in [&ann, &bea] {
        std::fs::remove_dir_all(home.path("cache")).unwrap();
        home.hook("SessionStart", "new", json!({"source": "startup"}));
        home.fusebox(&["resync"]);
    }
    for home in [&ann, &bea] {
        let shown = home.fusebox(&["budget", "show", "team", "--json"]).json();
        assert_eq!((&shown["budget"]["value"], &shown["budget"]["used"]), (&json!("core"), &json!(1101)));
    }
    assert_eq!((bea.journal(), cid.journal()), (String::new(), String::new()));
}

/// Records of earlier versions, which had no teams.
#[test]
fn records_without_a_team_are_still_read() {
    let server = Server::start();
    let home = sharing(&server.url());
    call(&home, "s", 0, 10);
    let key = "fusebox:{team}:d:session:s";
    let mut record: Value = serde_json::from_str(&server.text(&["GET", key])).unwrap();
    assert_eq!(record.as_object_mut().unwrap().remove("team"), Some(json!("")));
    server.command(&["SET", key, &record.to_string()]);
    let cache = home.path("cache/guardrails-s.json");
    let mut cached: Value = serde_json::from_slice(&std::fs::read(&cache).unwrap()).unwrap();
    assert_eq!(cached["session"].as_object_mut().unwrap().remove("team"), Some(json!("")));
    std::fs::write(&cache, cached.to_string()).unwrap();
    home.configure(TEAM);
    call(&home, "s", 1, 20);
    call(&home, "t", 2, 40);
    let shown = home.fusebox(&["budget", "show", "team", "--json"]).json();
    assert_eq!((&shown["budget"]["value"], &shown["budget"]["used"]), (&json!("core"), &json!(40)));
    assert_eq!(home.status("s")["tokens"]["input"], 30);
    assert_eq!(home.journal(), "");
}
