//! What fails before the first byte, and that it is known to.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::{BadProxy, EgressProxy, exchange, request};
use super::server::{Server, Then, answer, hear};
use super::*;

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn through(proxy: &str) -> HttpProvider {
    let egress_proxy = Some(EgressProxy::parse(proxy).unwrap());
    HttpProvider::new(HttpOptions { egress_proxy, ca_bundle: None }).unwrap()
}

#[tokio::test]
async fn a_closed_gate_sends_nothing() {
    let server = Server::start(Then::Say(answer("200 OK", b""))).await;
    let delivery = client().call(&post(&server.url()), &LIMITS, &|| false).await;
    assert_eq!(not_sent(delivery).0, "gate_closed");
    // A second call, heard, comes after whatever the first one could have sent.
    answered(call(&server.url()).await);
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn the_gate_is_asked_once_and_with_the_connection_made() {
    let (listener, address) = listener().await;
    let asked = AtomicUsize::new(0);
    let accepted = AtomicUsize::new(0);
    let gate = || {
        asked.fetch_add(1, Ordering::SeqCst);
        assert_eq!(accepted.load(Ordering::SeqCst), 1, "asked before the handshake");
        true
    };
    // TLS, so that the handshake needs the server's part: here it ends, and the gate was never asked.
    let (client, request) = (client(), post(&format!("https://{address}/token")));
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1]).await;
    };
    let (delivery, ()) = tokio::join!(client.call(&request, &LIMITS, &gate), serve);
    assert_eq!((not_sent(delivery).0.as_str(), asked.load(Ordering::SeqCst)), ("tls_failed", 0));
    // In the clear, it is asked once, though the answer takes several reads.
    accepted.store(1, Ordering::SeqCst);
    let server = Server::start(Then::Say(answer("200 OK", b"{}"))).await;
    answered(client.call(&post(&server.url()), &LIMITS, &gate).await);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_closed_before_the_request_is_connect_failed() {
    // Whichever of the two looks first, the connection or the request: it is never called sent.
    for _ in 0..50 {
        let (ours, theirs) = tokio::io::duplex(1_024);
        let message = request::build(&post("http://127.0.0.1/token")).unwrap();
        drop(theirs);
        let (code, detail) = not_sent(exchange::exchange(Box::new(ours), message, &LIMITS, &|| true).await);
        assert_eq!(code, "connect_failed");
        assert!(detail.contains("before anything was sent"), "{detail}");
    }
}

#[tokio::test]
async fn nobody_there_is_connect_failed() {
    // Bound and not listened to: nobody else gets it meanwhile.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let (code, detail) = not_sent(call(&format!("http://{address}/token?refresh_token={PLANTED}")).await);
    assert_eq!(code, "connect_failed");
    assert!(detail.starts_with(&address), "{detail}");
}

#[tokio::test]
async fn a_name_that_cannot_be_one_is_dns_failed() {
    // Longer than a label may be (RFC 1035): refused without asking anybody.
    let url = format!("https://{}.invalid/token", "x".repeat(64));
    assert_eq!(not_sent(call(&url).await).0, "dns_failed");
}

#[tokio::test]
async fn a_handshake_that_hangs_is_connect_timeout() {
    let (listener, address) = listener().await;
    let limits = CallLimits { connect_timeout: LONG_ENOUGH, ..LIMITS };
    let (client, request) = (client(), post(&format!("https://{address}/token")));
    let hang = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = Vec::new();
        let _ = stream.read_to_end(&mut hello).await;
        assert!(!hello.is_empty());
    };
    let (delivery, ()) = tokio::join!(client.call(&request, &limits, &|| panic!("asked")), hang);
    let (code, detail) = not_sent(delivery);
    assert_eq!(code, "connect_timeout");
    assert!(detail.contains("TLS handshake"), "{detail}");
}

#[tokio::test]
async fn plain_http_stays_on_this_machine() {
    for url in ["http://192.0.2.1/token", "http://example.com/token", "ftp://127.0.0.1/token"] {
        assert_eq!(not_sent(call(url).await).0, "bad_request", "{url}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_without_a_connection() {
    let (_listener, address) = listener().await;
    let url = format!("http://{address}/token");
    for (name, value) in [("x y", "fine"), ("x-fine", "planted\nheader")] {
        let mut request = post(&url);
        request.headers.push((name.into(), Secret::from(value)));
        assert_eq!(not_sent(client().call(&request, &LIMITS, &|| panic!("asked")).await).0, "bad_request");
    }
}

#[tokio::test]
async fn a_proxy_gets_a_tunnel_request_and_nothing_else() {
    let (listener, address) = listener().await;
    let client = through(&format!("http://user:p%40ss@{address}"));
    let request = post("https://provider.example:8443/token");
    let proxy = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let ask = hear(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
        let mut inside = [0; 3];
        stream.read_exact(&mut inside).await.unwrap();
        (String::from_utf8(ask).unwrap(), inside)
    };
    let (delivery, (ask, inside)) = tokio::join!(client.call(&request, &LIMITS, &|| true), proxy);
    let lines: Vec<&str> = ask.trim_end().split("\r\n").collect();
    assert_eq!(
        lines,
        [
            "CONNECT provider.example:8443 HTTP/1.1",
            "Host: provider.example:8443",
            "Proxy-Authorization: Basic dXNlcjpwQHNz",
        ]
    );
    assert_eq!(inside[..2], [0x16, 0x03], "TLS goes through it");
    assert_eq!(not_sent(delivery).0, "tls_failed");
}

#[tokio::test]
async fn a_proxy_that_fails_is_named() {
    let cases: [(&[u8], &str); 5] = [
        (b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\n\r\n", "status 407"),
        (b"SSH-2.0-x\r\n\r\n", "does not speak HTTP"),
        (b"", "closed the connection"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "spoke before"),
        (&[b'x'; super::super::PROXY_HEAD_LEN_MAX + 1], "too long"),
    ];
    for (said, what) in cases {
        let server = Server::start(Then::Say(said.to_vec())).await;
        let client = through(&format!("http://user:planted@{}", server.address));
        let delivery =
            client.call(&post("https://provider.example/token"), &LIMITS, &|| panic!("asked")).await;
        let (code, detail) = not_sent(delivery);
        assert_eq!(code, "proxy_failed");
        assert!(detail.contains(what) && detail.contains(&server.address.to_string()), "{detail}");
    }
}

#[tokio::test]
async fn this_machine_needs_no_proxy() {
    let server = Server::start(Then::Say(answer("200 OK", b""))).await;
    let nobody = listener().await.1;
    let client = through(&format!("http://{nobody}"));
    answered(client.call(&post(&server.url()), &LIMITS, &|| true).await);
}

#[test]
fn what_is_no_proxy_is_refused_and_not_shown() {
    for text in [
        "",
        "proxy:3128",
        "https://proxy:3128",
        "http://proxy/path",
        "http://proxy?q",
        "http://u:planted%zz@p",
    ] {
        let BadProxy { .. } = EgressProxy::parse(text).unwrap_err();
        assert!(!EgressProxy::parse(text).unwrap_err().to_string().contains("planted"));
    }
    let shown = format!("{:?}", EgressProxy::parse("http://user:planted@proxy:3128").unwrap());
    assert_eq!(shown, "EgressProxy(http://proxy:3128)");
}
