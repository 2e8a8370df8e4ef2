//! The `redis` crate's client for one server: its address and TLS files.

use std::fs;
use std::path::PathBuf;

use redis::io::tcp::TcpSettings;
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError,
    TlsCertificates,
};

use super::failure::{Failure, FailureKind};
use crate::config::redis_address::{Node, TlsFiles};

/// Marks a PEM certificate.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// The client for this server. It neither logs in nor selects a database: [`super::link`] does.
pub fn client(node: &Node, tls: Option<&TlsFiles>) -> Result<Client, Failure> {
    let address = match node {
        Node::Unix(path) => ConnectionAddr::Unix(path.clone()),
        Node::Tcp { host, port } if tls.is_none() => ConnectionAddr::Tcp(host.clone(), *port),
        Node::Tcp { host, port } => {
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        }
    };
    // Without CLIENT SETINFO, which a hook's user may not call.
    let quiet = RedisConnectionInfo::default().set_skip_set_lib_name();
    let unusable = |error: RedisError| Failure::from_error(node, &error);
    let info = address.into_connection_info().map_err(unusable)?;
    let info = info.set_redis_settings(quiet).set_tcp_settings(TcpSettings::default().set_nodelay(true));
    match tls {
        None => Client::open(info).map_err(unusable),
        Some(files) => Client::build_with_tls(info, certificates(node, files)?)
            .map_err(|error| Failure::new(FailureKind::Certificates, node, error.to_string())),
    }
}

fn certificates(node: &Node, files: &TlsFiles) -> Result<TlsCertificates, Failure> {
    let read = |path: &PathBuf| {
        let unreadable =
            |error| Failure::new(FailureKind::Certificates, node, format!("{}: {error}", path.display()));
        fs::read(path).map_err(unreadable)
    };
    let root_cert = files.ca.as_ref().map(read).transpose()?;
    // The crate would trust no certificate, without reporting why.
    if let (Some(path), Some(pem)) = (&files.ca, &root_cert)
        && !String::from_utf8_lossy(pem).contains(CERTIFICATE)
    {
        let problem = format!("no CA certificate in {}", path.display());
        return Err(Failure::new(FailureKind::Certificates, node, problem));
    }
    let client_tls = match (&files.certificate, &files.key) {
        (Some(chain), Some(key)) => {
            Some(ClientTlsConfig { client_cert: read(chain)?, client_key: read(key)? })
        }
        _ => None,
    };
    Ok(TlsCertificates { client_tls, root_cert })
}
