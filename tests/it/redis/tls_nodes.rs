//! TLS with clusters and sentinels: redirected connections also use TLS, and check the host's name.

use fusebox::config::redis_address::Address;
use fusebox::store::redis::connection::{Connection, Failure, FailureKind};
use redis::Value;
use tempfile::TempDir;

use super::certificates::Certificates;
use super::nodes::{fail_over, hurry};
use super::{Cluster, Options, Server, WAIT, call, connect, failure};

const COUNT: &str = "return redis.call('INCR', KEYS[1])";

/// A folder of certificates for these hosts, and the URL options to trust them.
fn certificates(hosts: &[&str]) -> (TempDir, String) {
    let dir = TempDir::with_prefix("fusebox-tls-").unwrap();
    Certificates::write_for(dir.path(), hosts);
    let trusting = format!("?ca={}", dir.path().join("ca.pem").display());
    (dir, trusting)
}

fn is_not_believed(failed: &Failure, server: &str) {
    let Failure { kind: FailureKind::Garbage, server: found, problem } = failed else { panic!("{failed:?}") };
    assert_eq!(found, server);
    assert!(problem.contains("certificate"), "{problem}");
}

#[test]
fn a_cluster_sends_on_to_a_node_with_tls() {
    let (dir, trusting) = certificates(&["localhost", "127.0.0.1"]);
    let cluster = Cluster::start_with_tls(dir.path());
    let script = COUNT;
    let (owner, other) = cluster.owner_and_other("{tag}n");
    let url = format!("rediss+cluster://localhost:{}{trusting}", other.client_port());
    let address = Address::parse(&url).unwrap();
    let mut connection = connect(&address, WAIT).unwrap();
    assert_eq!(connection.run(script, &[b"{tag}n"], &[]), Ok(Value::Int(1)));
    let node = connection.moved_to().expect("it was sent on");
    assert_eq!(node, format!("127.0.0.1:{}", owner.client_port()));
    let address = address.with_node(&node);
    let mut connection = connect(&address, WAIT).unwrap();
    assert_eq!(connection.run(script, &[b"{tag}n"], &[]), Ok(Value::Int(2)));
    assert_eq!(connection.moved_to(), None);
}

#[test]
fn a_node_must_be_called_what_its_certificate_says() {
    let (dir, trusting) = certificates(&["localhost"]);
    let cluster = Cluster::start_with_tls(dir.path());
    let script = COUNT;
    let (owner, other) = cluster.owner_and_other("n");
    let url = format!("rediss+cluster://localhost:{}{trusting}", other.client_port());
    // It announces its nodes by IP address.
    let failed = failure(&url, WAIT);
    is_not_believed(&failed, &format!("127.0.0.1:{}", owner.client_port()));

    for node in &cluster.nodes {
        node.command(&["CONFIG", "SET", "cluster-announce-hostname", "localhost"]);
        node.command(&["CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname"]);
    }
    let port = owner.client_port();
    let named = format!("localhost:{port}");
    other.wait_for(&["CLUSTER", "SLOTS"], |slots| slots.matches("localhost").count() >= 3);
    let address = Address::parse(&url).unwrap();
    let mut connection = connect(&address, WAIT).unwrap();
    assert_eq!(connection.run(script, &[b"n"], &[]), Ok(Value::Int(1)));
    assert_eq!(connection.moved_to(), Some(named.clone()));
    let mut connection = connect(&address.with_node(&named), WAIT).unwrap();
    assert_eq!(connection.run(script, &[b"n"], &[]), Ok(Value::Int(2)));
    // A cached node is trusted no more than a configured one.
    let mut connection = connect(&address.with_node(&format!("127.0.0.1:{port}")), WAIT).unwrap();
    assert_eq!(connection.run(script, &[b"n"], &[]), Ok(Value::Int(3)));
    assert_eq!(connection.moved_to(), Some(named));
}

/// A master, its replica, and a sentinel that knows them by this host.
fn watched(dir: &TempDir, host: &str) -> [Server; 3] {
    let options = || Options::default().tls_with(dir.path()).set("tls-replication", "yes");
    let first = options().start();
    let second = options().replica_of(&first).start();
    second.wait_for(&["INFO", "replication"], |info| info.contains("master_link_status:up"));
    let named = options().set("sentinel resolve-hostnames", "yes").set("sentinel announce-hostnames", "yes");
    let sentinel = named.sentinel_of(&first, host).start();
    [first, second, sentinel]
}

#[test]
fn sentinels_and_masters_speak_tls() {
    let (dir, trusting) = certificates(&["localhost", "127.0.0.1"]);
    let [first, second, sentinel] = watched(&dir, "127.0.0.1");
    hurry(&sentinel);
    let url = format!("rediss+sentinel://localhost:{}/main{trusting}", sentinel.client_port());
    let address = Address::parse(&url).unwrap();
    let script = COUNT;
    let mut connection = connect(&address, WAIT).unwrap();
    assert_eq!(connection.run(script, &[b"n"], &[]), Ok(Value::Int(1)));
    let node = connection.moved_to().expect("the master");
    assert_eq!(node, format!("127.0.0.1:{}", first.client_port()));

    let port = second.client_port().to_string();
    fail_over(&sentinel, &first, &second, &port);
    let mut remembering = connect(&address.with_node(&node), WAIT).unwrap();
    assert_eq!(remembering.run(script, &[b"n"], &[]), Ok(Value::Int(2)));
    assert_eq!(remembering.moved_to(), Some(format!("127.0.0.1:{port}")));
}

#[test]
fn a_master_must_be_called_what_its_certificate_says() {
    let (dir, trusting) = certificates(&["localhost"]);
    for (host, is_believed) in [("127.0.0.1", false), ("localhost", true)] {
        let [first, _second, sentinel] = watched(&dir, host);
        let url = format!("rediss+sentinel://localhost:{}/main{trusting}", sentinel.client_port());
        let named = format!("{host}:{}", first.client_port());
        match connect(&Address::parse(&url).unwrap(), WAIT) {
            Err(failed) => {
                assert!(!is_believed, "{failed:?}");
                is_not_believed(&failed, &named);
            }
            Ok(mut connection) => {
                assert_eq!(call(&mut connection, &["DBSIZE"]), Ok(Value::Int(0)));
                assert_eq!((is_believed, connection.moved_to()), (true, Some(named)));
            }
        }
    }
}
