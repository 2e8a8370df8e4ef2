//! The server encrypts with a certificate.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Serve;
use crate::harness::Home;

/// Writes a certificate for localhost and its key.
fn certify(home: &Home) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = ["cert.pem", "key.pem"].map(|name| home.path(name));
    std::fs::write(&files[0], made.cert.pem()).unwrap();
    std::fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
    files.map(|file| file.to_str().unwrap().to_owned())
}

#[test]
fn it_encrypts_and_needs_a_token_for_everything_elsewhere() {
    let home = Home::new();
    let [cert, key] = certify(&home);
    let serve = Serve::start(&home, &["--listen", "0.0.0.0:0", "--tls-cert", &cert, "--tls-key", &key]);
    assert!(serve.printed.contains("https://0.0.0.0:"), "{}", serve.printed);
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(&cert).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let get = |more: &str| {
        let port: u16 = serve.address.rsplit(':').next().unwrap().parse().unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port)).unwrap());
        write!(stream, "GET /api/budget HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n")
            .unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    };
    let refused = get("");
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    let allowed = get(&format!("Authorization: Bearer {}\r\n", serve.token()));
    assert!(allowed.starts_with("HTTP/1.1 200 OK"), "{allowed}");
    assert!(allowed.contains("strict-transport-security: max-age="), "{allowed}");
    // Who does not encrypt gets no answer.
    assert_eq!(serve.get("/api/budget").status, 0);
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let home = Home::new();
    let [cert, key] = certify(&home);
    let refused = |cert: &str, key: &str| {
        let arguments =
            ["serve", "--listen", "127.0.0.1:0", "--token-file", "t", "--tls-cert", cert, "--tls-key", key];
        let ran = home.fusebox(&arguments);
        assert_eq!((ran.code, ran.stdout.contains("://")), (1, false), "{ran:?}");
        ran.stderr
    };
    assert!(refused("none.pem", &key).contains("none.pem"));
    assert!(refused(&cert, &cert).contains("must be PEM files"));
    let ran = home.fusebox(&["serve", "--tls-cert", &cert]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("--tls-key"), "{ran:?}");
}
