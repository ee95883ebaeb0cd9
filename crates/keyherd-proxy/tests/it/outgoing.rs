//! What goes out without TLS, in Basic credentials and in trailers; and what comes back of answers: their lengths, and
//! those that cannot be read.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use http_body_util::BodyExt;
use keyherd_proxy::{Reach, SwapLimits, Target};
use tokio::net::TcpStream;

use crate::stage::Setting;
use crate::swapping::{Proxy, asked_in_http2, echo, picture, untrusting};
use crate::upstream::{Upstream, answer};

/// Leads everybody to one address, whomever they dial.
struct Led(SocketAddr);

#[async_trait]
impl Reach for Led {
    async fn reach(&self, _target: &Target) -> std::io::Result<TcpStream> {
        TcpStream::connect(self.0).await
    }
}

#[tokio::test]
async fn in_the_clear_no_secret_leaves_this_machine() {
    let upstream = echo().await;
    // Documentation's own address (RFC 5737); its port is the binding's.
    let far = "192.0.2.2";
    let stage = Setting::at(&upstream).stage().await;
    let reach: Arc<dyn Reach> = Arc::new(Led(upstream.at));
    let by = (SwapLimits::default(), Some(reach));
    let proxy = Proxy::through(stage, &["lone"], (&upstream, far, &["lone"]), untrusting(), by).await;
    let lone = proxy.phantom("lone").await;
    let authority = format!("{far}:{}", upstream.at.port());
    let told = proxy.told_of(&authority, "GET /", &format!("Authorization: Bearer {lone}\r\n"), "").await;
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    let seen = upstream.seen().pop().expect("came");
    assert_eq!(seen.header("authorization"), Some("Bearer"), "neither the secret nor the phantom");
}

#[tokio::test]
async fn a_name_on_this_machine_is_as_its_address() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "localhost", &["lone"], untrusting()).await;
    let lone = proxy.phantom("lone").await;
    let authority = format!("localhost:{}", upstream.at.port());
    proxy.told_of(&authority, "GET /", &format!("Authorization: Bearer {lone}\r\n"), "").await;
    assert_eq!(upstream.seen().pop().expect("came").bearer(), "secret-lone");
}

/// An upstream that says that to whatever it is asked.
async fn saying(headers: &'static [(&'static str, &'static str)], body: &'static [u8]) -> Upstream {
    Upstream::new(move |_| {
        let mut said = answer(200, body);
        for (name, value) in headers {
            said.headers_mut().insert(*name, value.parse().expect("is a value"));
        }
        said
    })
    .await
}

#[tokio::test]
async fn a_short_text_keeps_a_length() {
    let upstream = saying(&[("content-type", "application/json")], b"{}").await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    let told = proxy.told(&upstream, "GET /", "", "").await;
    assert!(told.contains("content-length: 2\r\n") && !told.contains("chunked"), "{told}");
    let told = proxy.told(&upstream, "HEAD /", "", "").await;
    assert!(told.contains("content-length: 2\r\n"), "{told}");
}

#[tokio::test]
async fn what_cannot_be_decoded_is_answered_and_said() {
    const GZIP: &[(&str, &str)] = &[("content-type", "application/json"), ("content-encoding", "gzip")];
    let upstream = saying(GZIP, b"xxxx").await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    let told = proxy.told(&upstream, "GET /", "", "").await;
    assert!(told.starts_with("HTTP/1.1 502") && told.contains("cannot be read"), "{told}");
    let upstream = saying(GZIP, b"").await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    let told = proxy.told(&upstream, "GET /", "", "").await;
    assert!(told.starts_with("HTTP/1.1 200"), "nothing at all is an empty text: {told}");
}

#[tokio::test]
async fn http2_in_the_clear_on_both_sides() {
    let says = |request: Request<_>| {
        let told = format!("{:?} {:?}", request.version(), request.headers()["authorization"]);
        Box::pin(async move { picture(told) }) as _
    };
    let upstream = Upstream::streaming(Arc::new(says), None).await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    let authority = upstream.at.to_string();
    let stream = proxy.tunnel(&authority).await;
    let lone = proxy.phantom("lone").await;
    let text = asked_in_http2(stream, &format!("http://{authority}/x"), &lone).await;
    assert_eq!(text, r#"HTTP/2.0 "Bearer secret-lone""#);
}

#[tokio::test]
async fn basic_credentials_that_upstream_repeats_come_back_as_they_were_sent() {
    let upstream = Upstream::new(|seen| {
        let credentials = seen.header("authorization").expect("are there").to_owned();
        let mut told = answer(200, format!(r#"{{"Authorization":"{credentials}"}}"#));
        let kind = if seen.head.uri == "/stream" { "text/event-stream" } else { "application/json" };
        told.headers_mut().insert("content-type", kind.parse().expect("is a value"));
        told.headers_mut().insert("x-asked", credentials.parse().expect("is a value"));
        told
    })
    .await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    let sent = STANDARD.encode(format!("git:{}", proxy.phantom("lone").await));
    let real = STANDARD.encode("git:secret-lone");
    for path in ["/", "/stream"] {
        let header = format!("Authorization: Basic {sent}\r\n");
        let told = proxy.told(&upstream, &format!("GET {path}"), &header, "").await;
        assert_eq!(
            upstream.seen().pop().expect("came").header("authorization"),
            Some(&*format!("Basic {real}"))
        );
        assert!(!told.contains(&real) && told.matches(&sent).count() == 2, "{told}");
    }
}

#[tokio::test]
async fn no_phantom_leaves_in_trailers() {
    let says = |request: Request<hyper::body::Incoming>| {
        Box::pin(async move {
            let read = request.into_body().collect().await.expect("is whole");
            picture(format!("{:?}", read.trailers()))
        }) as _
    };
    let upstream = Upstream::streaming(Arc::new(says), None).await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    let lone = proxy.phantom("lone").await;
    for kind in ["application/json", "image/png"] {
        let headers = format!("Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\nTrailer: x-t, x-u\r\n");
        let body = format!("1\r\n1\r\n0\r\nx-t: a {lone}\r\nx-u: b\r\n\r\n");
        let told = proxy.told(&upstream, "POST /", &headers, &body).await;
        assert!(told.ends_with(r#"Some({"x-t": "a", "x-u": "b"})"#), "{told}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_comes_as_far_as_it_came() {
    const HEAD: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    const BEGUN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
    for (said, wanted) in [(HEAD, "\r\n\r\n"), (BEGUN, "\r\n\r\n9\r\ndata: 1\n\n\r\n")] {
        let upstream = Upstream::raw(said).await;
        let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
        let bearer = format!("Authorization: Bearer {}\r\n", proxy.phantom("lone").await);
        let told = proxy.told(&upstream, "GET /", &bearer, "").await;
        assert!(told.starts_with("HTTP/1.1 200") && told.ends_with(wanted), "{told:?}");
    }
}
