//! Who may do what: tokens, roles, hosts, origins.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{Serve, busy_session};
use crate::harness::Home;

const ONE: &str = "session-one";

#[test]
fn deciding_needs_an_operators_token_on_loopback_too() {
    let home = Home::new();
    busy_session(&home, ONE);
    let token = |n: u32| format!("{n:0>32}");
    std::fs::write(
        home.path("tokens"),
        format!("{}\nviewer {}\ningest {}\noperator {} alice\n", token(1), token(2), token(3), token(4)),
    )
    .unwrap();
    std::fs::set_permissions(home.path("tokens"), PermissionsExt::from_mode(0o600)).unwrap();
    let serve = Serve::start(&home, &[]);
    let id = serve.get("/api/budget").json()["budgets"][0]["budget_id"].as_str().unwrap().to_owned();
    let path = format!("/api/budget/{id}/extend");
    let body = json!({"additional_tokens": 5, "reason": "x"}).to_string();
    let post = |headers: &[(&str, &str)]| {
        let mut all = vec![("Content-Type", "application/json")];
        all.extend(headers);
        serve.request("POST", &path, &all, body.as_bytes())
    };
    let bearer = |n| format!("Bearer {}", token(n));
    let none = post(&[]);
    none.is_problem(401, "an operator's token is required");
    assert!(none.header("www-authenticate").starts_with("Bearer"), "{none:?}");
    post(&[("Authorization", &bearer(2))]).is_problem(403, "may only read");
    post(&[("Authorization", &bearer(3))]).is_problem(403, "telemetry");
    post(&[("Authorization", &bearer(9))]).is_problem(401, "not valid");
    post(&[("Authorization", "Basic YTpi")]).is_problem(401, "required");
    // Another site cannot make a browser send the header, but let it try.
    post(&[("Authorization", &bearer(1)), ("Origin", "http://evil.example")]).is_problem(403, "another site");
    post(&[("Authorization", &bearer(1)), ("Origin", "null")]).is_problem(403, "another site");
    post(&[("Authorization", &bearer(1)), ("Sec-Fetch-Site", "cross-site")]).is_problem(403, "another site");
    post(&[("Authorization", &bearer(1)), ("Host", "evil.example")]).is_problem(403, "host name");
    assert_eq!(serve.get(&format!("/api/budget/{id}")).json()["limit"], 1000, "nothing was changed");
    assert_eq!(
        post(&[("Authorization", &bearer(4)), ("Origin", &format!("http://{}", serve.address))]).status,
        200
    );
    let shown = home.fusebox(&["budget", "show", "session", "--session", ONE, "--json"]).json();
    assert_eq!(shown["operations"][0]["actor"], "alice", "{shown}");
    let log = std::fs::read_to_string(home.path("serve.log")).unwrap();
    assert!(log.contains("status=401") && !(1..=9).any(|n| log.contains(&token(n))), "{log}");
}

#[test]
fn reading_is_free_on_loopback_unless_a_proxy_or_an_option_says_otherwise() {
    let home = Home::new();
    let serve = Serve::start(&home, &[]);
    assert_eq!(serve.get("/api/budget").status, 200);
    for name in ["localhost", "127.0.0.1", "[::1]"] {
        assert_eq!(serve.request("GET", "/api/budget", &[("Host", name)], b"").status, 200, "{name}");
    }
    // A site that points its name at this machine.
    serve.request("GET", "/api/budget", &[("Host", "evil.example:80")], b"").is_problem(403, "host name");
    for header in ["Forwarded", "X-Forwarded-For", "X-Real-IP"] {
        serve
            .request("GET", "/api/budget", &[(header, "10.0.0.1")], b"")
            .is_problem(401, "a token is required");
    }
    drop(serve);
    for arguments in
        [&["--require-token"][..], &["--behind-proxy"], &["--behind-proxy", "--host", "localhost"]]
    {
        let serve = Serve::start(&home, arguments);
        let host = [("Host", "localhost")];
        serve.request("GET", "/api/budget", &host, b"").is_problem(401, "a token is required");
        let bearer = format!("Bearer {}", serve.token());
        let with_token = [host[0], ("Authorization", bearer.as_str())];
        assert_eq!(serve.request("GET", "/api/budget", &with_token, b"").status, 200);
    }
}

#[test]
fn the_token_file_is_created_once_and_must_be_private() {
    let home = Home::new();
    let serve = Serve::start(&home, &[]);
    let mode = || std::fs::metadata(home.path("tokens")).unwrap().permissions().mode() & 0o777;
    let text = std::fs::read_to_string(home.path("tokens")).unwrap();
    assert_eq!((mode(), text.lines().count()), (0o600, 1));
    assert!(text.trim().len() >= 40 && !text.contains(' '), "{text}");
    assert!(serve.printed.starts_with("A new operator's token is in "), "{}", serve.printed);
    assert!(!serve.printed.contains(text.trim()), "{}", serve.printed);
    drop(serve);
    let serve = Serve::start(&home, &[]);
    assert_eq!(std::fs::read_to_string(home.path("tokens")).unwrap(), text);
    assert!(!serve.printed.contains("token"), "{}", serve.printed);
    // A token is withdrawn, another one added, while the server runs.
    let (old, new) = (serve.token(), "n".repeat(32));
    std::fs::write(home.path("tokens"), format!("viewer {new}\n")).unwrap();
    let get = |token: &str| {
        serve.request("GET", "/api/budget", &[("Authorization", &format!("Bearer {token}"))], b"").status
    };
    assert_eq!((get(&old), get(&new)), (401, 200));
    drop(serve);
    std::fs::set_permissions(home.path("tokens"), PermissionsExt::from_mode(0o640)).unwrap();
    let tokens = home.path("tokens");
    let refused =
        home.fusebox(&["serve", "--listen", "127.0.0.1:0", "--token-file", tokens.to_str().unwrap()]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("can be read by others: run `chmod 600"), "{refused:?}");
}

#[test]
fn another_address_than_loopback_needs_encryption() {
    let home = Home::new();
    let refused = home.fusebox(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
    assert!(
        refused.stderr.contains("--tls-cert") && refused.stderr.contains("--behind-proxy"),
        "{refused:?}"
    );
    assert!(!home.path("config/fusebox/serve-tokens").exists(), "nothing was created");
}

#[test]
fn an_agent_cannot_start_a_server_with_tokens_of_its_own() {
    let home = Home::new().var("CLAUDECODE", "1");
    let refused = home.fusebox(&["serve", "--listen", "127.0.0.1:0", "--token-file", "mine"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("does not run inside an agent's shell"), "{refused:?}");
    assert!(!home.path("project/mine").exists());
}

#[test]
fn a_signal_stops_it() {
    let home = Home::new();
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let serve = Serve::start(&home, &["--log-format", "json"]);
        assert_eq!(serve.get("/api/budget").status, 200);
        assert_eq!(serve.stop(signal), Some(0));
    }
    let log = std::fs::read_to_string(home.path("serve.log")).unwrap();
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["message"], "stopped", "{log}");
}
