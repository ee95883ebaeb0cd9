//! Certificates: who is trusted, who is not, and that it is said.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::{BadCaBundle, CA_BUNDLE_LEN_MAX};
use super::server::{answer, hear};
use super::*;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

fn acceptor(authority: &Authority, name: &str, alpn: &[&str]) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// Serves one connection. What was heard inside, and the protocol that was agreed on; none if no handshake came about.
async fn serve(
    listener: &TcpListener,
    acceptor: TlsAcceptor,
    closing: bool,
) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = acceptor.accept(stream).await.ok()?;
    let heard = hear(&mut stream).await;
    let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let said = if closing { answer("200 OK", b"inside") } else { b"HTTP/1.1 200 OK\r\n\r\ninside".to_vec() };
    stream.write_all(&said).await.unwrap();
    stream.flush().await.unwrap();
    if closing {
        let _ = stream.shutdown().await;
    }
    Some((heard, protocol))
}

fn bundle(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn trusting(text: &str) -> HttpProvider {
    let (_dir, path) = bundle(text);
    HttpProvider::new(HttpOptions { ca_bundle: Some(path), egress_proxy: None }).unwrap()
}

fn refusal(text: &str) -> String {
    let (_dir, path) = bundle(text);
    let options = HttpOptions { ca_bundle: Some(path.clone()), egress_proxy: None };
    let refused = HttpProvider::new(options).unwrap_err();
    assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
    refused.problem
}

/// Calls a server with a certificate for `name` from `authority`.
async fn dial(
    client: &HttpProvider,
    authority: &Authority,
    name: &str,
) -> (Delivery, Option<(Vec<u8>, Option<Vec<u8>>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = post(&format!("https://127.0.0.1:{}/token", listener.local_addr().unwrap().port()));
    let acceptor = acceptor(authority, name, &["h2", "http/1.1"]);
    tokio::join!(client.call(&request, &LIMITS, &|| true), serve(&listener, acceptor, true))
}

#[tokio::test]
async fn a_trusted_server_is_spoken_to_in_http_1_1() {
    let authority = authority("ours");
    let (delivery, served) = dial(&trusting(&authority.pem), &authority, "127.0.0.1").await;
    assert_eq!(bytes(&answered(delivery)), b"inside");
    let (heard, protocol) = served.unwrap();
    assert!(String::from_utf8(heard).unwrap().contains(PLANTED));
    assert_eq!(protocol.as_deref(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn an_untrusted_server_gets_nothing_and_the_reason_is_told() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let (delivery, served) = dial(&trusting(&ours.pem), &theirs, "127.0.0.1").await;
    let (code, detail) = not_sent(delivery);
    assert_eq!(code, "tls_failed");
    assert!(detail.contains("UnknownIssuer") && detail.contains("--ca-bundle"), "{detail}");
    assert_eq!(served, None);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = authority("ours");
    let (delivery, served) = dial(&trusting(&authority.pem), &authority, "elsewhere.example").await;
    let (code, detail) = not_sent(delivery);
    assert_eq!(code, "tls_failed");
    assert!(detail.contains("not valid for name"), "{detail}");
    assert_eq!(served, None);
}

#[tokio::test]
async fn an_answer_that_ends_without_tls_saying_so_is_truncated() {
    let authority = authority("ours");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = trusting(&authority.pem);
    let request = post(&format!("https://{}/token", listener.local_addr().unwrap()));
    let acceptor = acceptor(&authority, "127.0.0.1", &[]);
    let (delivery, _) =
        tokio::join!(client.call(&request, &LIMITS, &|| true), serve(&listener, acceptor, false));
    assert_eq!(unanswered(delivery).0, "truncated");
}

#[test]
fn a_bad_bundle_is_named_at_once() {
    let good = authority("ours").pem;
    assert!(refusal("").contains("no certificate"));
    assert!(refusal("just some text").contains("no certificate"));
    assert!(refusal(&format!("{good}{}", good.replace("END CERT", "END CART"))).contains("certificate 2"));
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(refusal(&format!("{good}{hollow}")).contains("certificate 2"));
    assert!(refusal(&"#".repeat(usize::try_from(CA_BUNDLE_LEN_MAX).unwrap() + 1)).contains("larger than"));
    let missing = HttpOptions { ca_bundle: Some("/nowhere/ca.pem".into()), egress_proxy: None };
    let BadCaBundle { path, problem } = HttpProvider::new(missing).unwrap_err();
    assert_eq!(path, PathBuf::from("/nowhere/ca.pem"));
    assert!(problem.contains("No such file"), "{problem}");
}
