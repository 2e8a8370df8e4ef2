//! The traffic: one request and one reply, preceded by a login and the selection of a database if the address has them,
//! and nothing else.

use redis::Value;

use super::{Options, Proxy, Server, open};

fn packed(words: &[&str]) -> Vec<u8> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.get_packed_command()
}

/// The hash by which a server knows a script.
fn sha1(script: &str) -> String {
    redis::Script::new(script).get_hash().to_owned()
}

#[test]
fn a_known_script_is_one_request_and_one_reply() {
    let server = Server::start();
    let script = "return ARGV[1]";
    assert_eq!(server.text(&["SCRIPT", "LOAD", script]), sha1(script));
    let proxy = Proxy::to(&server);
    let large = vec![b'x'; 300_000];
    assert_eq!(open(&proxy.url()).run(script, &[b"k"], &[&large]), Ok(Value::BulkString(large.clone())));
    let seen = proxy.take();
    assert_eq!((seen.connections, seen.requests.len(), seen.replies.len()), (1, 1, 1));
    let start = packed(&["EVALSHA", &sha1(script), "1", "k", "x"]);
    assert_eq!(seen.requests[0][4..60], start[4..60]);
    assert!(seen.sent() > 300_000 && seen.received() > 300_000);
}

#[test]
fn a_script_that_is_not_known_is_loaded_and_called_again() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let script = "return 7";
    assert_eq!(open(&proxy.url()).run(script, &[], &[]), Ok(Value::Int(7)));
    let call = packed(&["EVALSHA", &sha1(script), "0"]);
    let load = packed(&["SCRIPT", "LOAD", script]);
    assert_eq!(proxy.take().requests, [call.clone(), load, call]);
}

#[test]
fn a_login_and_a_database_are_one_request_before_the_first() {
    let server = Options::default().password("secret").start();
    let proxy = Proxy::to(&server);
    let url = proxy.url().replace("//", "//:secret@");
    let script = "return 7";
    server.text(&["SCRIPT", "LOAD", script]);
    let (login, call) = (packed(&["AUTH", "secret"]), packed(&["EVALSHA", &sha1(script), "0"]));
    assert_eq!(open(&url).run(script, &[], &[]), Ok(Value::Int(7)));
    assert_eq!(proxy.take().requests, [login.clone(), call.clone()]);
    assert_eq!(open(&format!("{url}/3")).run(script, &[], &[]), Ok(Value::Int(7)));
    assert_eq!(proxy.take().requests, [[login, packed(&["SELECT", "3"])].concat(), call]);
}

#[test]
fn nothing_runs_in_another_database_than_the_one_that_was_named() {
    let server = Options::default().set("databases", "2").start();
    let proxy = Proxy::to(&server);
    let failure = super::failure(&format!("{}/5", proxy.url()), super::WAIT);
    assert!(failure.to_string().contains("DB index is out of range"), "{failure}");
    assert_eq!(proxy.take().requests, [packed(&["SELECT", "5"])]);
    assert_eq!(server.text(&["DBSIZE"]), "0");
}
