//! The forms of an address, and the errors for others.

use fusebox::config::redis_address::{Address, AddressError};

fn shown(url: &str) -> String {
    Address::parse(url).map_or_else(|error| panic!("{url}: {error}"), |address| address.to_string())
}

#[test]
fn every_form_is_read() {
    let forms = [
        ("redis://host", "redis://host:6379"),
        ("REDIS://host:7000/", "redis://host:7000"),
        ("redis://host:7000/2", "redis://host:7000/2"),
        ("rediss://host?ca=/a%20b/ca.pem", "rediss://host:6379"),
        ("redis://:pw@[::1]:7000/2", "redis://[::1]:7000/2"),
        ("redis://me:pw@host", "redis://me@host:6379"),
        ("redis://me:p%40w%2F%25@host", "redis://me@host:6379"),
        ("redis://me:p@w@host", "redis://me@host:6379"),
        ("redis://host?db=3&user=me&password=pw", "redis://me@host:6379/3"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis+unix://me:pw@/run/a%20b.sock?db=4", "unix://me@/run/a b.sock?db=4"),
        ("redis://a:1,b,[::1]:3", "redis+cluster://a:1,b:6379,[::1]:3"),
        ("redis+cluster://a", "redis+cluster://a:6379"),
        ("rediss+cluster://a/0", "rediss+cluster://a:6379"),
        ("redis+sentinel://a,b:2/main", "redis+sentinel://a:26379,b:2/main"),
        ("rediss+sentinel://me:pw@a/main/3?sentinel_password=spw", "rediss+sentinel://me@a:26379/main/3"),
    ];
    for (url, display) in forms {
        assert_eq!(shown(url), display);
    }
}

#[test]
fn what_is_wrong_is_said_with_what_is_allowed() {
    let refusals = [
        ("", "must begin with redis://"),
        ("host:6379", "must begin with redis://"),
        ("http://host", "must begin with redis://"),
        ("redis://", "has no host"),
        ("redis://a,,b", "has no host"),
        ("redis://:6379", "has no host"),
        ("redis://host:0", "port of host"),
        ("redis://host:65536", "1 to 65535"),
        (
            "redis://host/zero",
            "database in the Redis address must be a number, as in redis://host:6379/0 (found \"zero\")",
        ),
        ("redis://host?db=-1", "must be a number"),
        ("redis://[::1", "IPv6"),
        ("redis://ho st", "cannot be read"),
        ("redis+cluster://a,b/1", "only database 0"),
        ("redis+sentinel://a", "name"),
        ("unix://run/redis.sock", "absolute path"),
        ("unix://", "absolute path"),
        ("redis://host?ca=/ca.pem", "use rediss://"),
        ("rediss://host?cert=/c.pem", "needs both"),
        ("redis://host?timeout=1", "unknown option \"timeout\". Allowed: ca,"),
        ("redis://me:100%@host", "as %25"),
    ];
    for (url, part) in refusals {
        let error = Address::parse(url).map(|address| address.to_string()).unwrap_err().to_string();
        assert!(error.contains(part), "{url}: {error}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let urls = [
        "redis://me:hunter2@host",
        "redis://:hunter2@host?sentinel_password=hunter2",
        "redis://host?password=hunter2",
        "redis://:hunter2/3@host",
        "redis://:hun/ter2@host",
        "redis://:x?hunter2@host",
        "redis://:a/b?hunter2@host",
        "redis://me:hunter2%@host",
        "hunter2",
        "redis+cluster://:hunter2@a,b/1",
    ];
    for url in urls {
        let text = match Address::parse(url) {
            Ok(address) => format!("{address} {address:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!text.contains("hunter2") && !text.contains("ter2"), "{url}: {text}");
    }
    assert_eq!(Address::parse("redis://:x?hunter2@host"), Err(AddressError::Password));
}

#[test]
fn a_node_to_start_at_is_read_or_ignored() {
    let address = Address::parse("redis+cluster://a,b").unwrap();
    assert_ne!(address.with_node("c:7000"), address);
    assert_eq!(address.with_node("c:port"), address);
    assert_eq!(address.with_node(""), address);
}
