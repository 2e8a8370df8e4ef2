//! Several machines refill one store, independently.

use fusebox::config::redis_address::Address;
use fusebox::store::redis::{RedisLocation, RedisStore};
use fusebox::store::{Record, Recover, Session};

use crate::redis::{Server, WAIT};
use fusebox::domain::time::Timestamp;
use fusebox::platform::clock;

/// A machine's handle on a tenant's store.
fn of(server: &Server, machine: &str) -> RedisStore {
    let address = Address::parse(&server.socket_url()).unwrap();
    RedisStore::new(RedisLocation {
        address,
        wait: WAIT,
        tenant: "acme".into(),
        machine: machine.into(),
        read_cache: None,
    })
}

/// The name of a machine.
fn name(machine: &str) -> String {
    machine.to_owned()
}

fn see(store: &mut RedisStore, session: &str, at: Timestamp) {
    store.touch_session(&Session { id: session.into(), ..Session::default() }, at, false).unwrap();
}

#[test]
fn each_machine_fills_its_own_part() {
    let server = Server::start();
    let (a, b) = (&mut of(&server, "a"), &mut of(&server, "b"));
    let now = clock();
    see(a, "s", now);
    see(b, "t", now);
    let epoch = a.store_id().unwrap();
    let renewed = a.reset_store(&epoch).unwrap();
    assert_eq!(a.rebuilding_machines(now).unwrap(), [name("a"), name("b")]);
    a.set_rebuilding(false).unwrap();
    assert_eq!((a.is_rebuilding().unwrap(), b.is_rebuilding().unwrap()), (false, true));
    assert_eq!(a.rebuilding_machines(now).unwrap(), [name("b")]);
    // The other machine finds out later, and marks it again, for itself only.
    b.set_rebuilding(true).unwrap();
    assert_eq!((a.is_rebuilding().unwrap(), b.is_rebuilding().unwrap()), (false, true));
    b.set_rebuilding(false).unwrap();
    assert_eq!(b.rebuilding_machines(now).unwrap(), [""; 0]);
    // Everybody reads again for a new store.
    b.reset_store(&renewed).unwrap();
    assert_eq!((a.is_rebuilding().unwrap(), b.is_rebuilding().unwrap()), (true, true));
}

#[test]
fn a_machine_that_nobody_has_seen_for_long_is_not_waited_for() {
    let server = Server::start();
    let (a, b) = (&mut of(&server, "a"), &mut of(&server, "b"));
    let now = clock();
    let days = |n: i64| now.plus_millis(n * 24 * 3600 * 1000);
    see(b, "t", days(-39));
    see(a, "s", now);
    let epoch = a.store_id().unwrap();
    a.reset_store(&epoch).unwrap();
    a.set_rebuilding(false).unwrap();
    assert_eq!(a.rebuilding_machines(now).unwrap(), [name("b")]);
    assert_eq!(a.rebuilding_machines(days(2)).unwrap(), [""; 0]);
    see(a, "s", days(2));
    assert_eq!(server.text(&["ZRANGE", "fusebox:{acme}:d:machines", "0", "-1"]), name("a"));
}

#[test]
fn a_machine_that_finds_an_emptied_store_is_known_from_then_on() {
    let server = Server::start();
    let (a, b) = (&mut of(&server, "a"), &mut of(&server, "b"));
    see(a, "s", clock());
    server.command(&["FLUSHALL"]);
    b.set_rebuilding(true).unwrap();
    assert_eq!(a.rebuilding_machines(clock()).unwrap(), [name("b")]);
    a.set_rebuilding(true).unwrap();
    b.set_rebuilding(false).unwrap();
    assert_eq!(a.rebuilding_machines(clock()).unwrap(), [name("a")]);
    // Every key expires.
    for key in server.text(&["KEYS", "*"]).lines() {
        assert_ne!(server.text(&["TTL", key]), "-1", "{key}");
    }
}
