//! A test certificate authority with a server and a client certificate, as files.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Writes certificates.
pub struct Certificates;

impl Certificates {
    /// Writes `ca.pem`, `server.pem`, `server.key` (for localhost and 127.0.0.1), `client.pem` and `client.key`.
    pub fn write(dir: &Path) {
        Self::write_for(dir, &["localhost", "127.0.0.1"]);
    }

    /// The same, with a server certificate for these hosts.
    pub fn write_for(dir: &Path, hosts: &[&str]) {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = named("authority", Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
        for (name, hosts) in [("server", hosts), ("client", Vec::new())] {
            let key = KeyPair::generate().unwrap();
            let certificate = named(name, hosts).signed_by(&key, &authority).unwrap();
            fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
    }
}

/// Each needs a different name: with its issuer's name, a certificate would count as self-signed.
fn named(name: &str, hosts: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, format!("Fusebox test {name}"));
    params
}
