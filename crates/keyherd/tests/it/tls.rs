//! The API behind a certificate. The one in `certificate/` is for these tests only: its key is in the repository.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use crate::running::Running;
use crate::sandbox::{PATIENCE, Sandbox};

const CERTIFICATE: &str = include_str!("certificate/localhost.pem");
const KEY: &str = include_str!("certificate/localhost.key");

/// Certificate and key as files; the key with these permissions.
pub(crate) fn files(sandbox: &Sandbox, mode: u32) -> (PathBuf, PathBuf) {
    let (certificate, key) = (sandbox.path("c.pem"), sandbox.path("k.pem"));
    fs::write(&certificate, CERTIFICATE).unwrap();
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
    (certificate, key)
}

pub(crate) fn flags<'a>(certificate: &'a PathBuf, key: &'a PathBuf) -> Vec<&'a str> {
    let text = |path: &'a PathBuf| path.to_str().unwrap();
    vec![
        "--json",
        "serve",
        "--api",
        "0.0.0.0:0",
        "--proxy",
        "off",
        "--tls-cert",
        text(certificate),
        "--tls-key",
        text(key),
    ]
}

fn client() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

#[test]
fn with_a_certificate_it_listens_everywhere() {
    let sandbox = Sandbox::new();
    let (certificate, key) = files(&sandbox, 0o640);
    let mut server = Running::start(&sandbox, &flags(&certificate, &key), "", None);
    let places: Value = serde_json::from_str(&server.first_line()).unwrap();
    let port = places["api"].as_str().unwrap().strip_prefix("https://0.0.0.0:").unwrap().to_owned();
    let connection = ClientConnection::new(Arc::new(client()), "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    // How the connection is closed is not what is tested.
    let _ = stream.read_to_string(&mut answer);
    server.kill();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_key_that_everybody_can_read_is_refused() {
    let sandbox = Sandbox::new();
    let (certificate, key) = files(&sandbox, 0o644);
    sandbox.run(&flags(&certificate, &key)).failed(1, &["k.pem", "chmod 600"]);
}

#[test]
fn what_is_no_certificate_or_no_key_is_named() {
    let sandbox = Sandbox::new();
    let (certificate, key) = files(&sandbox, 0o600);
    sandbox.run(&flags(&key, &key)).failed(1, &["k.pem", "no certificate"]);
    fs::write(&key, CERTIFICATE).unwrap();
    sandbox.run(&flags(&certificate, &key)).failed(1, &["k.pem", "no private key"]);
}
