//! Clusters that redirect requests, and sentinels that know the master.

use fusebox::config::redis_address::Address;
use fusebox::store::redis::connection::{Connection, Failure, FailureKind};
use redis::Value;

use super::{Cluster, Manner, Options, Proxy, Server, WAIT, call, connect, failure, free_port, open};

const COUNT: &str = "return redis.call('INCR', KEYS[1])";

#[test]
fn a_cluster_sends_a_script_to_the_node_that_has_its_keys() {
    let cluster = Cluster::start();
    let script = COUNT;
    let (owner, other) = cluster.owner_and_other("{tag}n");
    let dead = free_port();
    let url = format!("redis://127.0.0.1:{dead},127.0.0.1:{}", other.port());
    let address = Address::parse(&url).unwrap();
    let mut connection = connect(&address, WAIT).unwrap();
    assert_eq!(connection.run(script, &[b"{tag}n", b"{tag}m"], &[]), Ok(Value::Int(1)));
    let node = connection.moved_to().expect("it was sent on");
    assert_eq!(node, format!("127.0.0.1:{}", owner.port()));

    // A cached node is used first.
    let address = address.with_node(&node);
    let mut connection = connect(&address, WAIT).unwrap();
    assert_eq!(connection.run(script, &[b"{tag}n"], &[]), Ok(Value::Int(2)));
    assert_eq!(connection.moved_to(), None);
    // If it is gone, the others are used.
    let mut connection = connect(&address.with_node(&format!("127.0.0.1:{dead}")), WAIT).unwrap();
    assert_eq!(connection.run(script, &[b"{tag}n"], &[]), Ok(Value::Int(3)));

    // While the slot moves, missing keys cannot be told from moved ones: nothing is done.
    let slot = owner.text(&["CLUSTER", "KEYSLOT", "{tag}"]);
    let (from, to) = (owner.text(&["CLUSTER", "MYID"]), other.text(&["CLUSTER", "MYID"]));
    other.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from]);
    owner.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to]);
    let mut connection = connect(&address, WAIT).unwrap();
    let moving = connection.run(script, &[b"{tag}new"], &[]).unwrap_err();
    assert!(moving.kind == FailureKind::NotReady && moving.problem.contains("is moving"), "{moving:?}");
    assert_eq!(connection.run(script, &[b"{tag}n"], &[]), Ok(Value::Int(4)));
    assert_eq!(other.text(&["CLUSTER", "COUNTKEYSINSLOT", &slot]), "0");
}

#[test]
fn a_cluster_without_slots_is_not_ready() {
    let options =
        Options::default().set("cluster-enabled", "yes").set("cluster-port", &free_port().to_string());
    let server = options.start();
    let failure = failure(&server.url(), WAIT);
    assert!(failure.kind == FailureKind::NotReady, "{failure:?}");
}

#[test]
fn nodes_that_send_in_circles_are_given_up() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    for word in ["MOVED", "ASK"] {
        proxy.behave(Manner::Answer(format!("-{word} 1 127.0.0.1:{}\r\n", proxy.port()).into()));
        let failure = failure(&proxy.url(), WAIT);
        assert!(failure.kind == FailureKind::NotReady, "{failure:?}");
        assert!(proxy.take().connections <= 5);
    }
    // Without a host, it is the same node.
    proxy.behave(Manner::Answer(format!("-MOVED 1 :{}\r\n", server.port()).into()));
    let mut connection = open(&proxy.url());
    assert_eq!(call(&mut connection, &["DBSIZE"]), Ok(Value::Int(0)));
    assert_eq!(connection.moved_to(), Some(format!("127.0.0.1:{}", server.port())));
}

#[test]
fn sentinels_know_the_master_also_after_it_changed() {
    let first = Server::start();
    let second = Options::default().replica_of(&first).start();
    second.wait_for(&["INFO", "replication"], |info| info.contains("master_link_status:up"));
    let sentinel = Options::default().sentinel_of(&first, "127.0.0.1").start();
    hurry(&sentinel);
    let url = format!("redis+sentinel://127.0.0.1:{},127.0.0.1:{}/main", free_port(), sentinel.port());
    let address = Address::parse(&url).unwrap();
    let script = COUNT;
    let mut connection = connect(&address, WAIT).unwrap();
    assert_eq!(connection.run(script, &[b"n"], &[]), Ok(Value::Int(1)));
    let node = connection.moved_to().expect("the master");
    assert_eq!(node, format!("127.0.0.1:{}", first.port()));

    let port = second.port().to_string();
    fail_over(&sentinel, &first, &second, &port);

    // A cached old master leads to the new one; a connected client loses its connection, and follows as well.
    let mut remembering = connect(&address.with_node(&node), WAIT).unwrap();
    assert_eq!(remembering.run(script, &[b"n"], &[]), Ok(Value::Int(2)));
    assert_eq!(remembering.moved_to(), Some(format!("127.0.0.1:{port}")));
    let lost = connection.run(script, &[b"n"], &[]);
    assert!(matches!(lost, Err(Failure { kind: FailureKind::Unreachable, .. })), "{lost:?}");
    assert_eq!(connection.run(script, &[b"n"], &[]), Ok(Value::Int(3)));
    assert_eq!(connection.moved_to(), Some(format!("127.0.0.1:{port}")));
    let unknown = url.replace("/main", "/other");
    let failure = failure(&unknown, WAIT);
    assert!(failure.to_string().contains("does not know the master \"other\""), "{failure}");
}

/// Makes a sentinel check ten times per second instead of every ten seconds.
pub fn hurry(sentinel: &Server) {
    let brisk = ["INFO-PERIOD", "100", "PING-PERIOD", "100", "ASK-PERIOD", "100", "PUBLISH-PERIOD", "100"];
    sentinel.command(&[&["SENTINEL", "DEBUG"][..], &brisk].concat());
}

/// Promotes the replica at this port, once it has all of the master's data.
pub fn fail_over(sentinel: &Server, first: &Server, second: &Server, port: &str) {
    second.wait_for(&["GET", "n"], |value| value == "1");
    sentinel.wait_for(&["SENTINEL", "REPLICAS", "main"], |replicas| replicas.contains("127.0.0.1"));
    sentinel.wait_for(&["SENTINEL", "FAILOVER", "main"], |answer| answer == "OK");
    sentinel.wait_for(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"], |answer| answer.ends_with(port));
    first.wait_for(&["ROLE"], |role| role.starts_with("slave"));
}
