//! The door under TLS.

use std::sync::Arc;
use std::time::Duration;

use keyherd_api::serve;
use keyherd_core::workers::Workers;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::world::World;

#[tokio::test]
async fn https_is_served_and_plain_http_is_not() {
    let (server, client) = configs();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let (at, stop) = (listener.local_addr().expect("has one"), CancellationToken::new());
    let world = World::new([]);
    let (api, tls, stopped) = (world.api.clone(), Some(Arc::new(server)), stop.clone());
    let end = tokio::spawn(async move { serve(listener, api, tls, &Workers::default(), stopped).await });
    let head = format!("GET /healthz HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n\r\n", at.port());

    let name = ServerName::try_from("localhost").expect("is a name");
    let tcp = TcpStream::connect(at).await.expect("connects");
    let mut stream = TlsConnector::from(Arc::new(client)).connect(name, tcp).await.expect("shakes hands");
    stream.write_all(head.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let mut plain = TcpStream::connect(at).await.expect("connects");
    plain.write_all(head.as_bytes()).await.expect("writes");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("200"));

    stop.cancel();
    assert!(tokio::time::timeout(Duration::from_secs(20), end).await.expect("in time").expect("no panic"));
}

fn configs() -> (ServerConfig, ClientConfig) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("is made");
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("is a key");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("is a root");
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("are there")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("fits");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("are there")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, client)
}
