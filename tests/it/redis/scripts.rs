//! Scripts and commands on one server.

use fusebox::store::redis::connection::{Failure, FailureKind};
use redis::Value;

use super::{Server, call, open, text};

const COUNT: &str = "return redis.call('INCRBY', KEYS[1], ARGV[1])";

#[test]
fn a_script_runs_over_tcp_and_over_a_socket() {
    let server = Server::start();
    let script = COUNT;
    assert_eq!(open(&server.url()).run(script, &[b"n"], &[b"2"]), Ok(Value::Int(2)));
    assert_eq!(open(&server.socket_url()).run(script, &[b"n"], &[b"3"]), Ok(Value::Int(5)));
    assert_eq!(server.text(&["GET", "n"]), "5");
}

#[test]
fn a_server_that_forgot_a_script_learns_it_again() {
    let mut server = Server::start();
    let script = COUNT;
    let mut connection = open(&server.url());
    assert_eq!(connection.run(script, &[b"n"], &[b"1"]), Ok(Value::Int(1)));
    server.command(&["SCRIPT", "FLUSH"]);
    assert_eq!(connection.run(script, &[b"n"], &[b"1"]), Ok(Value::Int(2)));
    server.restart();
    let answer = connection.run(script, &[b"n"], &[b"1"]);
    assert!(matches!(answer, Err(Failure { kind: FailureKind::Unreachable, .. })), "{answer:?}");
    assert_eq!(connection.run(script, &[b"n"], &[b"1"]), Ok(Value::Int(1)));
}

#[test]
fn a_login_and_a_database_go_along() {
    let server = super::Options::default().password("open-sesame").start();
    let mut connection = open(&format!("{}/3", server.url()));
    assert_eq!(connection.run(COUNT, &[b"n"], &[b"4"]), Ok(Value::Int(4)));
    assert_eq!(server.text(&["GET", "n"]), "nil");
    let mut connection = open(&format!("{}?db=3", server.socket_url()));
    assert_eq!(text(&call(&mut connection, &["GET", "n"]).unwrap()), "4");
}
