//! Random requests: none makes the server fail, and without an operator's token nothing changes.
//!
//! `FUSEBOX_TEST_FUZZ=full` sends 10,000.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::{Answer, Serve, busy_session, on_both_stores};
use crate::fuzz::{amount, seed};
use crate::harness::Home;
use crate::random::Random;

const ONE: &str = "session-one";
const METHODS: [&str; 10] =
    ["GET", "POST", "POST", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "FUSEBOX"];

/// The tokens of the file, by role.
fn token(role: &str) -> String {
    format!("{role:0>32}")
}

fn start(home: &Home) -> Serve {
    busy_session(home, ONE);
    assert_eq!(home.fusebox(&["import"]).code, 0);
    let lines: Vec<String> =
        ["operator", "viewer", "ingest"].iter().map(|role| format!("{role} {}", token(role))).collect();
    std::fs::write(home.path("tokens"), lines.join("\n")).unwrap();
    std::fs::set_permissions(home.path("tokens"), PermissionsExt::from_mode(0o600)).unwrap();
    Serve::start(home, &["--import-every", "0"])
}

/// Everything that a decision could change.
fn state(home: &Home, serve: &Serve) -> BTreeMap<&'static str, Value> {
    let lists = ["budget?all=true", "circuit?all=true", "budget/alerts", "history", "session?all=true"];
    let mut all: BTreeMap<&str, Value> =
        lists.iter().map(|list| (*list, serve.get(&format!("/api/{list}")).json())).collect();
    all.insert("store", home.fusebox(&["history", "--last", "0", "--json"]).json());
    all.insert("costs", home.fusebox(&["report", "session", "--json", "--no-import"]).json());
    all
}

/// Makes requests of the API's own addresses and ids, and spoils them.
struct Requests {
    random: Random,
    paths: Vec<String>,
    ids: Vec<String>,
}

impl Requests {
    fn new(serve: &Serve, seed: u64) -> Self {
        let document = serve.get("/api/openapi.json").json();
        let mut paths: Vec<String> =
            document["paths"].as_object().unwrap().keys().map(|path| format!("/api{path}")).collect();
        paths.extend(
            ["/api/openapi.json", "/api/docs", "/api/docs/rapidoc.js", "/", "/api", "/api/nothing"]
                .map(str::to_owned),
        );
        let id = |list: &str, of: &str, name: &str| {
            serve.get(&format!("/api/{list}")).json()[of][0][name].as_str().unwrap().to_owned()
        };
        let ids = vec![
            id("budget", "budgets", "budget_id"),
            id("circuit", "circuits", "circuit_id"),
            id("budget/alerts", "alerts", "alert_id"),
            ONE.to_owned(),
        ];
        Self { random: Random::new(seed), paths, ids }
    }

    fn id(&mut self) -> String {
        match self.random.below(8) {
            0 => "%FF%00".to_owned(),
            1 => "..%2f..%2fetc".to_owned(),
            2 => "0".repeat(self.random.below(3000)),
            3 => self.random.next().to_string(),
            _ => self.random.pick(&self.ids).clone(),
        }
    }

    fn path(&mut self) -> String {
        let mut path = self.random.pick(&self.paths).clone();
        while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
            path.replace_range(from..=to, &self.id());
        }
        if self.random.chance(40) {
            let names = [
                "limit", "offset", "all", "status", "since", "group_by", "timezone", "model", "event", "x",
                "%ff",
            ];
            let values = [
                "1",
                "0",
                "-1",
                "99999999999999999999",
                "true",
                "",
                "paused",
                "2026-11-30",
                "day",
                "%00",
                "*",
                "UTC",
                "..%2f..%2fetc%2fpasswd",
                "9999-12-31",
                "0000-01-01",
                "CALL_DENIED",
                "%F0%9F%92%A3",
            ];
            let pairs: Vec<String> = (0..=self.random.below(3))
                .map(|_| format!("{}={}", self.random.pick(&names), self.random.pick(&values)))
                .collect();
            path += &format!("?{}", pairs.join("&"));
        }
        path
    }

    /// A body that fits the path, more often than not.
    fn body(&mut self, path: &str) -> Vec<u8> {
        let ids = match self.random.below(4) {
            0 => json!([]),
            1 => json!([self.id(), self.id()]),
            _ => json!([self.random.pick(&self.ids)]),
        };
        let bodies = [
            json!({"additional_tokens": self.random.below(50), "reason": "fuzz"}),
            json!({"reason": "fuzz"}),
            json!({"budget_ids": ids, "additional_tokens": 1, "reason": "fuzz"}),
            json!({"budget_ids": ids, "reason": "fuzz"}),
            json!({"circuit_ids": ids, "reason": "fuzz"}),
            json!({"alert_ids": ids}),
        ];
        let fitting = match path {
            "/api/budget/extend" => 2,
            "/api/budget/reset" => 3,
            "/api/circuit/reset" | "/api/circuit/acknowledge" => 4,
            "/api/budget/alerts/acknowledge" => 5,
            path if path.ends_with("/extend") => 0,
            _ => 1,
        };
        let chosen = if self.random.chance(75) { fitting } else { self.random.below(bodies.len()) };
        let mut body = bodies[chosen].clone();
        let odd = [
            json!(null),
            json!(-1),
            json!(1e308),
            json!(u64::MAX),
            json!("\u{0}"),
            json!([[[]]]),
            json!({"a": {}}),
        ];
        if self.random.chance(30) {
            let names: Vec<String> = body.as_object().unwrap().keys().cloned().collect();
            let name = self.random.pick(&names).clone();
            body[name] = self.random.pick(&odd).clone();
        }
        let mut bytes = body.to_string().into_bytes();
        match self.random.below(20) {
            0 => bytes.truncate(self.random.below(bytes.len())),
            1 => {
                let at = self.random.below(bytes.len());
                bytes[at] = self.random.next().to_le_bytes()[0];
            }
            2 => bytes = vec![b'['; self.random.below(100_000)],
            3 => bytes = body.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect(),
            4 => bytes.splice(0..0, *b"\xEF\xBB\xBF").for_each(drop),
            5 => bytes.resize(80_000, b' '),
            6 => bytes.clear(),
            _ => {}
        }
        bytes
    }

    /// A request with this token. Clients have many addresses, so that none asks too often.
    fn send(&mut self, serve: &Serve, token: Option<&str>) -> (String, Answer) {
        let (method, path) = (*self.random.pick(&METHODS), self.path());
        let mut headers: Vec<(&str, String)> = Vec::new();
        if let Some(token) = token {
            headers.push(("Authorization", token.to_owned()));
        }
        let kinds = [
            "application/json",
            "application/json; charset=utf-16",
            "text/plain",
            "multipart/form-data",
            "\u{1}",
        ];
        if self.random.chance(90) {
            let kind = if self.random.chance(80) { kinds[0] } else { *self.random.pick(&kinds) };
            headers.push(("Content-Type", kind.to_owned()));
        }
        let odd = [
            ("Idempotency-Key", "k".to_owned()),
            ("Idempotency-Key", String::new()),
            ("Idempotency-Key", "é".repeat(200)),
            ("If-None-Match", "*".to_owned()),
            ("If-None-Match", "\"\u{7f}".to_owned()),
            ("Host", "evil.example".to_owned()),
            ("Origin", "null".to_owned()),
            ("Content-Encoding", "gzip".to_owned()),
            ("Expect", "100-continue".to_owned()),
            ("X-Long", "x".repeat(10_000)),
            ("Content-Length", "5".to_owned()),
            ("Transfer-Encoding", "chunked".to_owned()),
            ("Accept", "image/png".to_owned()),
        ];
        if self.random.chance(25) {
            let (name, value) = self.random.pick(&odd);
            headers.push((name, value.clone()));
        }
        let mut body = if method == "GET" || method == "HEAD" { Vec::new() } else { self.body(&path) };
        if headers.iter().any(|(name, _)| ["Content-Length", "Transfer-Encoding"].contains(name)) {
            // The server would wait for the rest.
            body.splice(0..0, *b"fuzzy").for_each(drop);
        }
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let from = [127, 1 + self.random.next().to_le_bytes()[0] / 2, self.random.next().to_le_bytes()[0], 7];
        let answer = serve.request_from(from.into(), method, &path, &headers, &body);
        (
            format!(
                "{method} {path} {headers:?} {:?}",
                String::from_utf8_lossy(&body[..body.len().min(300)])
            ),
            answer,
        )
    }
}

/// Whether the server answered as it should to anything. (0: it closed the connection on what is not HTTP.)
#[track_caller]
fn check(sent: &str, answer: &Answer) {
    // 303: the address without a path leads to the dashboard.
    let known = [0, 200, 303, 304, 400, 401, 403, 404, 405, 406, 409, 413, 414, 415, 417, 422, 429, 431];
    assert!(known.contains(&answer.status), "{sent}\n{answer:?}");
    // What is not HTTP is answered before the server's own code.
    if answer.status >= 400 && answer.header("x-content-type-options") == "nosniff" {
        let kind = answer.header("content-type");
        // The dashboard has pages of its own.
        assert!(kind == "application/problem+json" || kind.starts_with("text/html"), "{sent}\n{answer:?}");
    }
}

#[test]
fn random_requests_change_nothing_without_an_operators_token() {
    on_both_stores(|home| {
        let serve = start(home);
        let before = state(home, &serve);
        let mut requests = Requests::new(&serve, seed());
        let tokens = [
            None,
            Some(format!("Bearer {}", token("viewer"))),
            Some(format!("Bearer {}", token("ingest"))),
            Some("Bearer wrong".to_owned()),
            Some(format!("bearer{}", token("operator"))),
            Some(format!("Basic {}", token("operator"))),
            Some(format!("Bearer {}x", token("operator"))),
            Some("\u{fffd}".repeat(50)),
        ];
        for _ in 0..amount(200, 5_000) {
            let token = requests.random.pick(&tokens).clone();
            let (sent, answer) = requests.send(&serve, token.as_deref());
            check(&sent, &answer);
            assert!(!(sent.starts_with("POST") && answer.status == 200), "{sent}\n{answer:?}");
        }
        assert_eq!(state(home, &serve), before);
    });
}

#[test]
fn random_requests_of_an_operator_do_not_make_the_server_fail() {
    on_both_stores(|home| {
        let serve = start(home);
        let mut requests = Requests::new(&serve, seed() ^ 1);
        let operator = format!("Bearer {}", token("operator"));
        let (mut changed, mut requested, wanted) = (0, 0, amount(200, 5_000));
        // Longer if none was right by chance.
        while requested < wanted || (changed == 0 && requested < 20 * wanted) {
            requested += 1;
            let (sent, answer) = requests.send(&serve, Some(&operator));
            check(&sent, &answer);
            changed += usize::from(sent.starts_with("POST") && answer.status == 200);
        }
        assert!(changed > 0, "some were right");
        assert_eq!(serve.get("/api/ready").status, 200);
    });
}
