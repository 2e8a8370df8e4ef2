//! A cluster of three nodes with a third of the slots each.

use std::path::Path;

use super::{Options, Server, free_port, text};

/// The number of slots.
pub const SLOTS: u16 = 16384;

/// A running cluster.
pub struct Cluster {
    /// Its nodes, in the order of their slots.
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// Starts a cluster.
    pub fn start() -> Self {
        Self::start_with(&Options::default())
    }

    /// Starts a cluster that uses TLS, also between nodes, with the certificates in a folder.
    pub fn start_with_tls(certificates: &Path) -> Self {
        Self::start_with(&Options::default().tls_with(certificates).set("tls-cluster", "yes"))
    }

    fn start_with(options: &Options) -> Self {
        let node = || {
            let options =
                options.clone().set("cluster-enabled", "yes").set("cluster-port", &free_port().to_string());
            options.set("cluster-node-timeout", "5000").start()
        };
        let nodes = [node(), node(), node()];
        let bounds = [0, SLOTS / 3, SLOTS / 3 * 2, SLOTS];
        for (i, server) in nodes.iter().enumerate() {
            let (first, last) = (bounds[i].to_string(), (bounds[i + 1] - 1).to_string());
            server.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            // Distinct epochs, which the nodes would otherwise have to negotiate first.
            server.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()]);
        }
        for server in &nodes[1..] {
            let bus = server.text(&["CONFIG", "GET", "cluster-port"]).lines().last().unwrap().to_owned();
            let port = server.client_port().to_string();
            assert_eq!(nodes[0].text(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]), "OK");
        }
        for server in &nodes {
            server.wait_for(&["CLUSTER", "INFO"], |info| {
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            });
        }
        Self { nodes: nodes.into() }
    }

    /// The node with a key, and another node.
    pub fn owner_and_other(&self, key: &str) -> (&Server, &Server) {
        let slot: u16 = text(&self.nodes[0].command(&["CLUSTER", "KEYSLOT", key])).parse().unwrap();
        let owner = usize::from((slot / (SLOTS / 3)).min(2));
        (&self.nodes[owner], &self.nodes[(owner + 1) % 3])
    }
}
