//! What is read inside of a tunnel: TLS in our name, HTTP/1.1 and HTTP/2, or HTTP in the clear.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::bed::{AGENT, Bed, HOST, key, rest, soon};

async fn encrypted(bed: &Bed, stream: TcpStream, named: &str, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(bed.leaves.authority().certificate().clone()).expect("is a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("has versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from(named.to_owned()).expect("is a name");
    soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.expect("is trusted")
}

async fn answered(
    answer: Result<http::Response<hyper::body::Incoming>, hyper::Error>,
) -> (StatusCode, String) {
    let answer = answer.expect("answers");
    let status = answer.status();
    let body = soon(answer.into_body().collect()).await.expect("is whole").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

fn request(uri: &str, host: Option<&str>) -> Request<Empty<Bytes>> {
    let request = Request::builder().uri(uri);
    let request = host.into_iter().fold(request, |request, host| request.header("host", host));
    request.body(Empty::new()).expect("is a request")
}

#[tokio::test]
async fn http1_inside_of_tls() {
    let bed = Bed::new().await;
    let stream = encrypted(&bed, bed.tunnel("api.example:443").await, HOST, b"http/1.1").await;
    let (mut sender, connection) =
        soon(http1::handshake(TokioIo::new(stream))).await.expect("speaks HTTP/1.1");
    tokio::spawn(connection);
    let table = [
        ("/v1/x?y=z", Some(HOST), StatusCode::OK, "robot Https api.example:443 GET /v1/x?y=z "),
        ("/", Some("API.example:443"), StatusCode::OK, "robot Https api.example:443 GET / "),
        ("https://api.example/abs", Some(HOST), StatusCode::OK, "robot Https api.example:443 GET /abs "),
        ("/", Some("evil.example"), StatusCode::MISDIRECTED_REQUEST, "names 'evil.example'"),
        ("https://evil.example/", Some(HOST), StatusCode::MISDIRECTED_REQUEST, "names 'evil.example'"),
        ("/", Some("api.example:8443"), StatusCode::MISDIRECTED_REQUEST, "api.example:8443"),
        ("/", None, StatusCode::MISDIRECTED_REQUEST, "names no host"),
    ];
    for (uri, host, status, part) in table {
        soon(sender.ready()).await.expect("goes on");
        let (got, text) = answered(soon(sender.send_request(request(uri, host))).await).await;
        assert_eq!(got, status, "{uri} {host:?}");
        assert!(text.contains(part), "{text}");
    }
    let line = r#"robot api.example:443 Some((GET, "/")) misdirected"#;
    assert_eq!(bed.away(), [line; 4], "what is turned away is told of");
}

#[tokio::test]
async fn http2_inside_of_tls() {
    let bed = Bed::new().await;
    let stream = encrypted(&bed, bed.tunnel("api.example:443").await, HOST, b"h2").await;
    let (mut sender, connection) =
        soon(http2::handshake(TokioExecutor::new(), TokioIo::new(stream))).await.expect("speaks HTTP/2");
    tokio::spawn(connection);
    let (status, text) =
        answered(soon(sender.send_request(request("https://api.example/v1", None))).await).await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "robot Https api.example:443 GET /v1 "));
    for (uri, host) in [("https://evil.example/", None), ("https://api.example/", Some("evil.example"))] {
        let (status, text) = answered(soon(sender.send_request(request(uri, host))).await).await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{text}");
    }
}

#[tokio::test]
async fn http2_in_the_clear_inside_of_connect() {
    let bed = Bed::new().await;
    let stream = bed.tunnel("api.example:8080").await;
    let (mut sender, connection) =
        soon(http2::handshake(TokioExecutor::new(), TokioIo::new(stream))).await.expect("speaks HTTP/2");
    tokio::spawn(connection);
    let sent = soon(sender.send_request(request("http://api.example:8080/v1", None))).await;
    let (status, text) = answered(sent).await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "robot Http api.example:8080 GET /v1 "));
    let sent = soon(sender.send_request(request("http://evil.example:8080/", None))).await;
    let (status, text) = answered(sent).await;
    assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{text}");
}

#[tokio::test]
async fn a_name_in_tls_that_was_not_dialled() {
    let bed = Bed::new().await;
    let stream = encrypted(&bed, bed.tunnel("api.example:443").await, "evil.example", b"http/1.1").await;
    let (mut sender, connection) =
        soon(http1::handshake(TokioIo::new(stream))).await.expect("speaks HTTP/1.1");
    tokio::spawn(connection);
    for host in ["evil.example", HOST] {
        soon(sender.ready()).await.expect("goes on");
        let (status, text) = answered(soon(sender.send_request(request("/", Some(host)))).await).await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
        assert!(text.contains("TLS names 'evil.example', and 'api.example' was dialled"), "{text}");
    }
}

#[tokio::test]
async fn http_in_the_clear_inside_of_connect() {
    let bed = Bed::new().await;
    for (host, wanted) in [("api.example:8080", "200"), ("api.example", "421"), ("evil.example:8080", "421")]
    {
        let mut stream = bed.tunnel("api.example:8080").await;
        let text =
            format!("POST /p HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
        stream.write_all(text.as_bytes()).await.expect("is open");
        let told = rest(&mut stream).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {wanted}")), "{told}");
        assert!(wanted != "200" || told.ends_with("robot Http api.example:8080 POST /p hi"), "{told}");
    }
}

#[tokio::test]
async fn what_is_neither_is_closed() {
    let bed = Bed::new().await;
    let mut stream = bed.tunnel("api.example:22").await;
    stream.write_all(b"\0SSH").await.expect("is open");
    assert_eq!(rest(&mut stream).await, "");
    let mut stream = bed.tunnel("api.example:22").await;
    stream.write_all(b"SSH-2.0-OpenSSH_9").await.expect("is open");
    stream.write_all(b".2 Debian-2\r\n").await.expect("is open");
    assert_eq!(rest(&mut stream).await, "", "at once, though it is text");
    assert_eq!(bed.away(), ["robot api.example:22 None not_http"; 2]);
    // A key inside of the tunnel is the upstream's business, not ours: it was shown with CONNECT.
    let mut stream = bed.tunnel("api.example:80").await;
    let text = format!("GET / HTTP/1.1\r\nHost: api.example\r\n{}\r\n", key(AGENT));
    stream.write_all(text.as_bytes()).await.expect("is open");
    let mut byte = [0; 12];
    soon(stream.read_exact(&mut byte)).await.expect("is answered");
    assert_eq!(&byte, b"HTTP/1.1 200");
}
