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

use crate::provider::Provider;
use crate::running::Running;
use crate::sandbox::{PATIENCE, Sandbox, in_seconds};
use crate::upstream::Upstream;

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

/// Says it through a TLS connection of its own, and gives back all that is said to it.
fn through(port: &str, said: &[u8]) -> Vec<u8> {
    let connection = ClientConnection::new(Arc::new(client()), "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(said).unwrap();
    let mut told = Vec::new();
    // How the connection is closed is not what is tested.
    let _ = stream.read_to_end(&mut told);
    told
}

#[test]
fn the_proxy_has_the_same_certificate() {
    let (sandbox, provider, upstream) = (Sandbox::new(), Provider::new(), Upstream::new());
    let (certificate, key) = files(&sandbox, 0o600);
    sandbox.import("a", &provider, &in_seconds(3_600));
    let authority = upstream.authority();
    let (host, port) = authority.split_once(':').unwrap();
    sandbox.run(&["binding", "add", "a", "--host", host, "--port", port]).ok();
    let made = sandbox.run(&["--json", "agent", "create", "robot", "--allow", "a"]).ok().json();
    let agents_key = made["key"].as_str().unwrap().to_owned();
    let mut args = flags(&certificate, &key);
    let off = args.iter().position(|arg| *arg == "off").unwrap();
    args[off] = "0.0.0.0:0";
    let mut server = Running::start(&sandbox, &args, "", None);
    let places: Value = serde_json::from_str(&server.first_line()).unwrap();
    let proxy = places["proxy"].as_str().unwrap().strip_prefix("https://0.0.0.0:").unwrap().to_owned();
    let env = sandbox.run(&["agent", "env", "robot"]).ok().out;
    let phantom = env.trim().strip_prefix("A=").unwrap();
    let caller = crate::proxied::base64(format!("robot:{agents_key}").as_bytes());
    let request = format!(
        "GET http://{authority}/v1/things HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\
         Proxy-Authorization: Basic {caller}\r\nAuthorization: Bearer {phantom}\r\n\r\n"
    );
    let told = String::from_utf8(through(&proxy, request.as_bytes())).unwrap();
    let mut socks = vec![5, 1, 2, 1, 5];
    socks.extend(b"robot");
    socks.push(u8::try_from(agents_key.len()).unwrap());
    socks.extend(agents_key.as_bytes());
    socks.extend([5, 1, 0, 3, 9]);
    socks.extend(b"localhost");
    // keyherd's own listener: nobody is led there, and the answer ends the connection.
    socks.extend(proxy.parse::<u16>().unwrap().to_be_bytes());
    let socks = through(&proxy, &socks);
    let mut plain = TcpStream::connect(format!("127.0.0.1:{proxy}")).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(request.as_bytes()).unwrap();
    let mut nothing = String::new();
    let _ = plain.read_to_string(&mut nothing);
    server.kill();
    assert!(told.starts_with("HTTP/1.1 200") && told.contains(r#"{"ok":true}"#), "{told}");
    assert_eq!(socks.get(..4), Some(&[5, 2, 1, 0][..]), "known, in SOCKS5 as well");
    assert_ne!(socks.get(4..6), Some(&[5, 0][..]), "and not led to ourselves");
    assert!(!nothing.starts_with("HTTP/1.1 200"), "{nothing}");
}

#[test]
fn without_one_the_proxy_stays_on_this_machine() {
    let sandbox = Sandbox::new();
    let args = ["serve", "--api", "127.0.0.1:0", "--proxy", "0.0.0.0:0"];
    sandbox.run(&args).failed(1, &["0.0.0.0", "--tls-cert"]);
}
