//! A gRPC call through the gateway: HTTP/2 upstream, messages both ways as they come, and a status in the trailers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body::Frame;
use http_body_util::BodyExt;

use crate::secured::certified;
use crate::stage::{Setting, asked};
use crate::upstream::{Body, Upstream, by_hand, data, status};

/// A frame of a message: not compressed, four bytes of length, the message.
const MESSAGES: [&str; 3] = ["\0\0\0\0\x03one", "\0\0\0\0\x03two", "\0\0\0\0\x05three"];

/// Says each message back, then that all is well.
fn echoed(request: Request<hyper::body::Incoming>) -> Response<Body> {
    let is_grpc = request.version() == Version::HTTP_2
        && request.headers().get("te").is_some_and(|te| te == "trailers")
        && request.headers().get("authorization").is_some_and(|token| token == "Bearer secret-lone")
        && request.uri().path() == "/echo.Echo/Chat";
    if !is_grpc {
        return status(400);
    }
    let (hand, body) = by_hand();
    tokio::spawn(async move {
        let mut asked = request.into_body();
        while let Some(Ok(frame)) = asked.frame().await {
            let Ok(message) = frame.into_data() else { continue };
            if hand.send(Ok(Frame::data(message))).await.is_err() {
                return;
            }
        }
        let ends = HeaderMap::from_iter(
            [("grpc-status", "0"), ("grpc-message", "well")]
                .map(|(name, value)| (name.parse().expect("is a name"), value.parse().expect("is a value"))),
        );
        drop(hand.send(Ok(Frame::trailers(ends))).await);
    });
    Response::builder().header("content-type", "application/grpc").body(body).expect("is an answer")
}

#[tokio::test]
async fn messages_pass_as_they_come_and_a_status_ends_them() {
    let (acceptor, tls) = certified(&[b"h2"]);
    let answering = Arc::new(|request| Box::pin(async move { echoed(request) }) as _);
    let upstream = Upstream::streaming(answering, Some(acceptor)).await;
    let base = format!("https://localhost:{}", upstream.at.port());
    let stage = Setting { base, tls, ..Setting::at(&upstream) }.stage().await;
    let (hand, body) = by_hand();
    let call = asked("POST", "/gateway/lone/echo.Echo/Chat").version(Version::HTTP_2);
    let call = call.header("content-type", "application/grpc").header("te", "trailers");
    let called = async {
        let answer = stage.open(call.body(body).expect("is a request")).await.expect("is answered");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"application/grpc".parse().expect("is a value"))
        );
        let mut answer = answer.into_body();
        for message in MESSAGES {
            // The next one is sent when this one was heard.
            hand.send(data(message)).await.expect("is read");
            let frame = answer.frame().await.expect("is there").expect("is whole");
            assert_eq!(frame.into_data().expect("is data"), Bytes::from_static(message.as_bytes()));
        }
        drop(hand);
        let last = answer.frame().await.expect("is there").expect("is whole");
        let trailers = last.into_trailers().expect("are the end");
        assert_eq!(
            (&trailers["grpc-status"], &trailers["grpc-message"]),
            (&"0".parse().expect("is one"), &"well".parse().expect("is one"))
        );
        assert!(answer.frame().await.is_none());
    };
    tokio::time::timeout(Duration::from_secs(60), Box::pin(called)).await.expect("takes no minute");
}
