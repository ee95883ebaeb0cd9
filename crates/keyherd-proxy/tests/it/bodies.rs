//! Bodies of any length, both ways at once, with trailers, and broken off.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use keyherd_proxy::{BodyError, Fault};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

use crate::stage::{Stage, asked, get};
use crate::upstream::{Body, Upstream, answer, by_hand, data, full, lock, until};

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PART_LEN: usize = 64 * 1024;
/// 100 MiB.
const PARTS: usize = 1_600;
/// How much of a body may be under way: what is kept to send it again, and the buffers of four sockets.
const AHEAD_MAX: usize = 24 * 1024 * 1024;

/// A body on its way: who makes it and who reads it count.
#[derive(Clone, Default)]
struct Way(Arc<Mutex<(usize, usize)>>);

impl Way {
    /// A body that is made as it is asked for.
    fn long(&self) -> Body {
        let (part, way) = (Bytes::from(vec![b'x'; PART_LEN]), self.clone());
        let parts = (0..PARTS).map(move |_| {
            lock(&way.0).0 += PART_LEN;
            Ok::<_, BodyError>(Frame::data(part.clone()))
        });
        UnsyncBoxBody::new(StreamBody::new(futures_util::stream::iter(parts)))
    }

    /// Reads it to its end. The most that was under way at once.
    async fn read(
        &self,
        mut body: impl http_body::Body<Data = Bytes, Error = impl std::fmt::Debug> + Unpin,
    ) -> usize {
        let mut ahead = 0;
        while let Some(frame) = body.frame().await {
            let len = frame.expect("is whole").into_data().map(|data| data.len()).unwrap_or_default();
            let mut way = lock(&self.0);
            ahead = ahead.max(way.0 - way.1);
            way.1 += len;
        }
        let (made, read) = *lock(&self.0);
        assert_eq!((made, read), (PARTS * PART_LEN, PARTS * PART_LEN));
        ahead
    }
}

#[tokio::test]
async fn long_bodies_pass_both_ways_in_constant_memory() {
    let (up, down) = (Way::default(), Way::default());
    let (came, goes) = (up.clone(), down.clone());
    let upstream = Upstream::streaming(
        Arc::new(move |request| {
            let (came, goes) = (came.clone(), goes.clone());
            Box::pin(async move {
                let ahead = came.read(request.into_body()).await;
                Response::builder().header("x-ahead", ahead).body(goes.long()).expect("is an answer")
            })
        }),
        None,
    )
    .await;
    let stage = Stage::at(&upstream).await;
    let answer = stage.open(asked("POST", "/gateway/lone/").body(up.long()).expect("is a request")).await;
    let answer = answer.expect("is answered");
    let ahead: usize = answer.headers()["x-ahead"].to_str().expect("is text").parse().expect("is a number");
    assert!(ahead <= AHEAD_MAX, "{ahead} bytes of the request were under way");
    let ahead = down.read(answer.into_body()).await;
    assert!(ahead <= AHEAD_MAX, "{ahead} bytes of the answer were under way");
}

#[tokio::test]
async fn both_sides_may_speak_at_once() {
    // Each part comes back before the next one is sent.
    let upstream = Upstream::streaming(
        Arc::new(|request| {
            Box::pin(
                async move { Response::new(UnsyncBoxBody::new(request.into_body().map_err(Into::into))) },
            )
        }),
        None,
    )
    .await;
    let stage = Stage::at(&upstream).await;
    let (hand, body) = by_hand();
    let answer = stage.open(asked("POST", "/gateway/lone/").body(body).expect("is a request")).await;
    let mut answer = answer.expect("is answered before the request has ended");
    for part in ["one", "two", "three"] {
        hand.send(data(part)).await.expect("is read");
        let frame = answer.body_mut().frame().await.expect("is there").expect("is whole");
        assert_eq!(frame.into_data().expect("is data"), part);
    }
    drop(hand);
    assert!(answer.body_mut().frame().await.is_none());
}

#[tokio::test]
async fn a_request_goes_on_while_nobody_reads_its_answer() {
    let way = Way::default();
    let (hand, early) = by_hand();
    let (early, counted) = (Mutex::new(Some(early)), way.clone());
    let upstream = Upstream::streaming(
        Arc::new(move |request| {
            let (early, came) = (lock(&early).take().expect("is asked once"), counted.clone());
            tokio::spawn(async move { came.read(request.into_body()).await });
            Box::pin(async move { Response::new(early) })
        }),
        None,
    )
    .await;
    let stage = Stage::at(&upstream).await;
    let answer = stage.open(asked("POST", "/gateway/lone/").body(way.long()).expect("is a request")).await;
    let answer = answer.expect("is answered before the request has ended");
    until("all of it has come", || lock(&way.0).1 == PARTS * PART_LEN).await;
    drop((hand, answer));
}

#[tokio::test]
async fn trailers_pass() {
    let upstream = Upstream::new(|seen| {
        assert_eq!(seen.header("te"), Some("trailers"));
        let sum =
            HeaderMap::from_iter([("x-sum".parse().expect("is a name"), "7".parse().expect("is a value"))]);
        let frames = [Ok::<_, BodyError>(Frame::data(Bytes::from_static(b"text"))), Ok(Frame::trailers(sum))];
        let body = UnsyncBoxBody::new(StreamBody::new(futures_util::stream::iter(frames)));
        Response::builder().header("trailer", "x-sum").body(body).expect("is an answer")
    })
    .await;
    let stage = Stage::at(&upstream).await;
    let request = asked("GET", "/gateway/lone/").header("te", "trailers");
    let got = stage.ask(request.body(full("")).expect("is a request")).await;
    assert_eq!(
        (got.text(), got.trailers.as_ref().map(|t| &t["x-sum"])),
        ("text", Some(&"7".parse().expect("is a value")))
    );
}

#[tokio::test]
async fn a_request_that_breaks_off_is_not_upstreams_fault() {
    let upstream = Upstream::new(|_| answer(200, "")).await;
    let stage = Stage::at(&upstream).await;
    let (hand, body) = by_hand();
    hand.send(data("half")).await.expect("is read");
    hand.send(Err("gone".into())).await.expect("is read");
    let request = asked("POST", "/gateway/pool/").header("content-length", "8").body(body);
    let fault = stage.open(request.expect("is a request")).await.expect_err("broke off");
    assert_eq!(fault, Fault::BrokenOff);
    assert_eq!((upstream.seen().len(), stage.active().await.as_str()), (0, "a"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off() {
    let upstream = Upstream::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let answer = Stage::at(&upstream).await.open(get("/gateway/lone/")).await.expect("is answered");
    assert!(answer.into_body().collect().await.is_err());
}

/// A server that hears at once of what came and that there is no more sends neither.
#[tokio::test]
async fn what_came_before_an_answer_broke_off_arrives() {
    let said = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let (stage, (mut caller, side)) = (Stage::at(&Upstream::raw(said).await).await, duplex(64 * 1024));
    let service = service_fn(async |_| stage.open(get("/gateway/lone/")).await);
    let serving = http1::Builder::new().serve_connection(TokioIo::new(side), service);
    let mut told = String::new();
    let asking = async {
        caller.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("is there");
        caller.read_to_string(&mut told).await.expect("is text");
    };
    let (served, ()) = timeout(PATIENCE, async { tokio::join!(serving, asking) }).await.expect("ends");
    assert!(served.is_err());
    assert!(told.starts_with("HTTP/1.1 200 OK") && told.ends_with("4\r\nhalf\r\n"), "{told}");
}

#[tokio::test]
async fn so_does_one_that_was_read_ahead() {
    let said = b"HTTP/1.1 429 Too Many\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let answer = Stage::at(&Upstream::raw(said).await).await.open(get("/gateway/lone/")).await;
    let mut body = answer.expect("is answered").into_body();
    let frame = body.frame().await.expect("is there").expect("came");
    assert_eq!(frame.into_data().expect("is data"), "half");
    assert!(body.frame().await.expect("does not end well").is_err());
}
