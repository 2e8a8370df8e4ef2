//! The kinds of failures.

use std::time::{Duration, Instant};

use fusebox::config::redis_address::Address;
use fusebox::store::redis::connection::{Connection, Failure, FailureKind};
use redis::Value;

use super::{Manner, Options, PATIENCE, Proxy, SHORT, Server, WAIT, call, connect, failure, free_port, open};

/// Asserts the kind of a failure.
macro_rules! assert_kind {
    ($kind:ident, $failure:expr) => {{
        let failure = $failure;
        assert!(failure.kind == FailureKind::$kind, "{failure:?}");
    }};
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    assert_kind!(Unreachable, failure(&format!("redis://127.0.0.1:{}", free_port()), WAIT));
    assert_kind!(Unreachable, failure("unix:///nowhere/socket", WAIT));
    assert_kind!(Unreachable, failure("redis://no-such-host.invalid", SHORT));
    let error = failure(&format!("redis://localhost:{}", free_port()), WAIT).to_string();
    assert!(error.contains("connection refused. Start Redis"), "{error}");
}

#[test]
fn a_server_that_stands_still_is_given_up() {
    let server = Server::start();
    server.stop();
    for url in [server.url(), server.socket_url()] {
        let failure = failure(&url, SHORT);
        assert!(failure.to_string().contains("no answer in time"), "{failure}");
        assert_kind!(Unreachable, failure);
    }
    // A server that does not even read.
    let address = Address::parse(&server.url()).unwrap();
    let large = vec![b'x'; 30_000_000];
    let answer = connect(&address, SHORT).and_then(|mut c| c.run("return 1", &[], &[&large]));
    assert_kind!(Unreachable, answer.unwrap_err());
    server.cont();
    assert_eq!(call(&mut open(&server.url()), &["ECHO", "1"]), Ok(Value::BulkString(b"1".into())));
}

/// A server with a full queue of connections, as far as Linux lets it fill up.
#[test]
fn a_server_with_a_full_queue_is_given_up() {
    use redis::io::tcp::socket2::{SockAddr, Socket, Type};
    let dir = tempfile::TempDir::with_prefix("fusebox-redis-").unwrap();
    let path = dir.path().join("socket");
    let anywhere = SockAddr::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    for address in [anywhere, SockAddr::unix(&path).unwrap()] {
        let server = Socket::new(address.domain(), Type::STREAM, None).unwrap();
        server.bind(&address).unwrap();
        server.listen(0).unwrap();
        let address = server.local_addr().unwrap();
        let url =
            address.as_socket().map_or(format!("unix://{}", path.display()), |tcp| format!("redis://{tcp}"));
        let waiting: Vec<Socket> = (0..3)
            .map(|_| {
                let socket = Socket::new(address.domain(), Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                let _ = socket.connect(&address);
                socket
            })
            .collect();
        let failure = failure(&url, SHORT);
        assert!(failure.to_string().contains("no answer in time"), "{failure}");
        drop(waiting);
    }
}

#[test]
fn a_bad_network_is_unreachable() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pause = Duration::from_millis(10);
    let manners = [
        Manner::Hang,
        Manner::CutRequests,
        Manner::CutReplies,
        Manner::CutAfter(1),
        Manner::Delay(Duration::from_millis(400)),
        Manner::Trickle(b"+almost ".into(), pause),
        Manner::Trickle(b"*1\r\n".into(), pause),
        Manner::Answer(b"$100\r\nhalf of it".into()),
    ];
    for manner in manners {
        proxy.behave(manner.clone());
        let failure = failure(&proxy.url(), SHORT);
        assert!(failure.kind == FailureKind::Unreachable, "{manner:?}: {failure:?}");
    }
    proxy.behave(Manner::Delay(pause));
    assert_eq!(call(&mut open(&proxy.url()), &["EXISTS", "none"]), Ok(Value::Int(0)));
}

#[test]
fn a_login_that_is_not_answered_is_given_up() {
    let server = Options::default().password("right").start();
    let proxy = Proxy::to(&server);
    for manner in [Manner::Hang, Manner::Trickle(b"+almost ".into(), Duration::from_millis(10))] {
        proxy.behave(manner);
        let begun = Instant::now();
        let address = Address::parse(&proxy.url().replace("//", "//:right@")).unwrap();
        let failure = connect(&address, SHORT).err().unwrap();
        assert!(failure.to_string().contains("no answer in time"), "{failure}");
        assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    }
}

#[test]
fn a_connection_that_broke_is_made_anew() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let mut connection = open(&proxy.url());
    assert_eq!(call(&mut connection, &["DBSIZE"]), Ok(Value::Int(0)));
    proxy.cut();
    assert_kind!(Unreachable, call(&mut connection, &["DBSIZE"]).unwrap_err());
    assert_eq!(call(&mut connection, &["DBSIZE"]), Ok(Value::Int(0)));
}

#[test]
fn what_does_not_speak_redis_is_garbage() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let answers: [&[u8]; 8] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\0",
        b":not a number\r\n",
        b"$3\r\nlong\r\n",
        b"*99999999999999999999\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
        &b"*1\r\n".repeat(5000),
        b"\xff\xff\xff\xff\r\n",
    ];
    for answer in answers {
        proxy.behave(Manner::Answer(answer.into()));
        assert_kind!(Garbage, failure(&proxy.url(), WAIT));
    }
}

#[test]
fn lengths_that_no_memory_holds_end_in_time() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    for kind in ['*', '$', '%', '~', '>', '|', '=', '!'] {
        for length in ["4000000000", "9223372036854775807", "4611686018427387904", "-7"] {
            proxy.behave(Manner::Last(format!("{kind}{length}\r\n+x\r\n").into()));
            let answer = call(&mut open(&proxy.url()), &["DBSIZE"]);
            let is_fine =
                matches!(answer, Err(Failure { kind: FailureKind::Unreachable | FailureKind::Garbage, .. }));
            assert!(is_fine || length == "-7", "{kind}{length}: {answer:?}");
        }
    }
}

#[test]
fn logins_fail_by_themselves() {
    let server = Options::default().password("right").start();
    for url in [server.url().replace(":right@", ""), server.url().replace("right", "wrong")] {
        let failure = failure(&url, WAIT);
        assert!(!format!("{failure} {failure:?}").contains("wrong@"), "{failure:?}");
        assert_kind!(Auth, failure);
    }
    let open = Server::start();
    assert_kind!(Auth, failure(&open.url().replace("//", "//:needless@"), WAIT));
    assert_kind!(Auth, failure(&open.url().replace("//", "//nobody:needless@"), WAIT));
}

#[test]
fn a_user_without_rights_is_denied() {
    let users = "user default on nopass ~* &* +@all\nuser reader on >pw ~* +get +evalsha +script\n\
                 user other on >pw ~other:* +@all\n";
    let server = Options::default().acl(users).start();
    let as_user = |user: &str| server.url().replace("//", &format!("//{user}:pw@"));
    assert_kind!(Denied, failure(&as_user("reader"), WAIT));
    assert_kind!(Denied, failure(&as_user("other"), WAIT));
    // Also in a script.
    let script = "return redis.call('SET', KEYS[1], 'x')";
    for user in ["reader", "other"] {
        let denied = open(&as_user(user)).run(script, &[b"n"], &[]).unwrap_err();
        assert_kind!(Denied, denied.clone());
        assert!(!denied.to_string().contains("ACL failure"), "{denied}");
    }
    let sneaky = "return redis.call('SET', 'elsewhere', 'x')";
    assert_kind!(Denied, open(&as_user("other")).run(sneaky, &[b"other:1"], &[]).unwrap_err());
}

#[test]
fn a_server_says_what_it_cannot_do() {
    let server = Server::start();
    let mut connection = open(&server.url());
    server.command(&["LPUSH", "n", "hidden-value"]);
    assert_kind!(WrongType, failure(&server.url(), WAIT));
    let script = "return redis.call('INCR', KEYS[1])";
    assert_kind!(WrongType, connection.run(script, &[b"n"], &[]).unwrap_err());
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_kind!(Full, failure(&server.url(), WAIT));
    assert_kind!(Full, connection.run(script, &[b"other"], &[]).unwrap_err());
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_kind!(ReadOnly, failure(&server.url(), WAIT));
    assert_kind!(ReadOnly, connection.run(script, &[b"other"], &[]).unwrap_err());
    server.command(&["REPLICAOF", "NO", "ONE"]);

    let own = "return redis.error_reply('EPOCH another one')";
    let failure = connection.run(own, &[], &[]).unwrap_err();
    assert!(failure.kind == FailureKind::Other && failure.problem.starts_with("EPOCH "), "{failure:?}");
    let failure = call(&mut connection, &["NOSUCH", "hidden-value"]).unwrap_err();
    assert!(!format!("{failure} {failure:?}").contains("hidden-value"), "{failure:?}");
    let broken = "this is no Lua";
    assert_kind!(Other, connection.run(broken, &[], &[]).unwrap_err());
}

#[test]
fn a_server_that_is_busy_with_a_script_is_not_ready() {
    let server = Options::default().set("busy-reply-threshold", "1").start();
    let endless = "while true do end";
    std::thread::scope(|scope| {
        let running = scope.spawn(|| open(&server.url()).run(endless, &[], &[]));
        server.wait_for(&["PING"], |answer| answer.starts_with("BUSY"));
        assert_kind!(NotReady, failure(&server.url(), WAIT));
        assert_eq!(server.text(&["SCRIPT", "KILL"]), "OK");
        assert_kind!(Other, running.join().unwrap().unwrap_err());
    });
}

#[test]
fn replies_of_troubled_servers_are_understood() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let fail = |answer: &str| {
        proxy.behave(Manner::Answer(answer.into()));
        failure(&proxy.url(), WAIT)
    };
    assert_kind!(NotReady, fail("-LOADING Redis is loading the dataset in memory\r\n"));
    assert_kind!(NotReady, fail("-CLUSTERDOWN Hash slot not served\r\n"));
    assert_kind!(NotReady, fail("-MASTERDOWN Link with MASTER is down\r\n"));
    assert_kind!(NotReady, fail("-TRYAGAIN Multiple keys request during rehashing of slot\r\n"));
    assert_kind!(NotReady, fail("-ERR max number of clients reached\r\n"));
    assert_kind!(
        Full,
        fail("-MISCONF Redis is configured to save RDB snapshots, but it's unable to persist\r\n")
    );
    assert_kind!(Denied, fail("-DENIED Redis is running in protected mode\r\n"));
}
