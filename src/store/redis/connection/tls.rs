//! TLS over a socket: the authorities that the address names, or the system's, and a client's certificate if it names one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::failure::Failure;
use super::wire::Wire;
use crate::config::redis_address::{Node, TlsFiles};

/// A socket with TLS.
pub type TlsStream = StreamOwned<ClientConnection, Wire>;

/// What to trust and to show, read from the files.
pub fn settings(files: &TlsFiles) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    let authorities = match &files.ca {
        Some(path) => certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(authorities);
    if roots.is_empty() {
        let place = files.ca.as_ref().map_or("the system".into(), |path| path.display().to_string());
        return Err(Failure::Certificates { problem: format!("no certificate authority in {place}") });
    }
    let refused = |error: rustls::Error| Failure::Certificates { problem: error.to_string() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_root_certificates(roots);
    let config = match (&files.certificate, &files.key) {
        (Some(chain), Some(key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
            builder.with_client_auth_cert(certificates(chain)?, key).map_err(refused)?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// Agrees on keys, as long as the socket waits.
pub fn agree(mut wire: Wire, node: &Node, settings: Arc<ClientConfig>) -> io::Result<TlsStream> {
    let Node::Tcp { host, .. } = node else { return Err(io::ErrorKind::Unsupported.into()) };
    let name =
        ServerName::try_from(host.clone()).map_err(|error| io::Error::new(io::ErrorKind::NotFound, error))?;
    let mut session = ClientConnection::new(settings, name).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut wire)?;
    }
    Ok(StreamOwned::new(session, wire))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &pem::Error) -> Failure {
    let problem = match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "nothing of that kind is in it".into(),
        _ => "it is not PEM".into(),
    };
    Failure::Certificates { problem: format!("{}: {problem}", path.display()) }
}
