//! TLS: trusted, not trusted, with a client certificate, and with one side not using it.

use fusebox::store::redis::connection::{Failure, FailureKind};
use redis::Value;

use super::{Options, SHORT, WAIT, call, failure, open};

#[test]
fn a_server_with_tls_is_trusted_by_its_authority() {
    let server = Options::default().tls().password("pw").start();
    let script = "return redis.call('INCR', KEYS[1])";
    let mut connection = open(&format!("{}&db=2", server.tls_url()));
    assert_eq!(connection.run(script, &[b"n"], &[]), Ok(Value::Int(1)));
    let large = "x".repeat(100_000);
    let echo = call(&mut connection, &["ECHO", &large]);
    assert_eq!(echo, Ok(Value::BulkString(large.into())));
    assert_eq!(
        call(&mut open(&server.tls_url().replace("localhost", "127.0.0.1")), &["DBSIZE"]),
        Ok(Value::Int(0))
    );
}

#[test]
fn who_is_not_trusted_gets_nothing() {
    let server = Options::default().tls().start();
    let other = Options::default().tls().start();
    let elsewhere = server.tls_url().replace(&server.path("ca.pem"), &other.path("ca.pem"));
    let failure_of = |url: &str| failure(url, WAIT);
    let failed = failure_of(&elsewhere);
    assert!(
        failed.kind == FailureKind::Garbage && failed.problem.contains("invalid peer certificate"),
        "{failed:?}"
    );
    let missing = failure_of(&server.tls_url().replace("ca.pem", "none.pem"));
    assert!(missing.kind == FailureKind::Certificates && missing.problem.contains("none.pem"), "{missing:?}");
    let not_pem = failure_of(&server.tls_url().replace("ca.pem", "redis.conf"));
    assert!(not_pem.kind == FailureKind::Certificates, "{not_pem:?}");
}

#[test]
fn a_client_shows_its_certificate() {
    let server = Options::default().tls().set("tls-auth-clients", "yes").start();
    let refused = failure(&server.tls_url(), WAIT);
    assert!(matches!(refused.kind, FailureKind::Garbage | FailureKind::Unreachable), "{refused:?}");
    let url =
        format!("{}&cert={}&key={}", server.tls_url(), server.path("client.pem"), server.path("client.key"));
    assert_eq!(call(&mut open(&url), &["DBSIZE"]), Ok(Value::Int(0)));
}

#[test]
fn both_sides_must_speak_tls() {
    let server = Options::default().tls().start();
    let plain = server.tls_url().split('?').next().unwrap().replace("rediss", "redis");
    let failed = failure(&plain, WAIT);
    assert!(matches!(failed.kind, FailureKind::Garbage | FailureKind::Unreachable), "{failed:?}");
    let url = format!("rediss://127.0.0.1:{}?ca={}", server.port(), server.path("ca.pem"));
    let failed = failure(&url, SHORT);
    assert!(matches!(failed.kind, FailureKind::Garbage | FailureKind::Unreachable), "{failed:?}");
}
