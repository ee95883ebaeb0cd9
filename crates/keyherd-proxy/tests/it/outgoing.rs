//! What goes out without TLS, and what comes back of answers: their lengths, and those that cannot be read.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::Request;
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
