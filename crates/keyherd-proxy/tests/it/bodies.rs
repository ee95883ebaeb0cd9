//! Bodies of any length, both ways at once, with trailers, and broken off.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use keyherd_proxy::{BodyError, Fault};

use crate::stage::{Stage, asked, get};
use crate::upstream::{Body, Upstream, answer, by_hand, data, full, lock, until};

const PART_LEN: usize = 64 * 1024;
/// 64 MiB.
const PARTS: usize = 1_024;

fn long() -> Body {
    let part = Bytes::from(vec![b'x'; PART_LEN]);
    let parts = (0..PARTS).map(move |_| Ok::<_, BodyError>(Frame::data(part.clone())));
    UnsyncBoxBody::new(StreamBody::new(futures_util::stream::iter(parts)))
}

async fn len(mut body: impl http_body::Body<Data = Bytes, Error = impl std::fmt::Debug> + Unpin) -> usize {
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        len += frame.expect("is whole").into_data().map(|data| data.len()).unwrap_or_default();
    }
    len
}

#[tokio::test]
async fn long_bodies_pass_both_ways() {
    let upstream = Upstream::streaming(
        Arc::new(|request| {
            Box::pin(async move {
                let came = len(request.into_body()).await;
                Response::builder().header("x-came", came).body(long()).expect("is an answer")
            })
        }),
        None,
    )
    .await;
    let stage = Stage::at(&upstream).await;
    let answer = stage.open(asked("POST", "/gateway/lone/").body(long()).expect("is a request")).await;
    let answer = answer.expect("is answered");
    assert_eq!(answer.headers()["x-came"], (PARTS * PART_LEN).to_string().as_str());
    assert_eq!(len(answer.into_body()).await, PARTS * PART_LEN);
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
    let came = Arc::new(AtomicUsize::new(0));
    let (hand, early) = by_hand();
    let (early, counted) = (Mutex::new(Some(early)), Arc::clone(&came));
    let upstream = Upstream::streaming(
        Arc::new(move |request| {
            let (early, came) = (lock(&early).take().expect("is asked once"), Arc::clone(&counted));
            tokio::spawn(async move { came.store(len(request.into_body()).await, Ordering::Relaxed) });
            Box::pin(async move { Response::new(early) })
        }),
        None,
    )
    .await;
    let stage = Stage::at(&upstream).await;
    let answer = stage.open(asked("POST", "/gateway/lone/").body(long()).expect("is a request")).await;
    let answer = answer.expect("is answered before the request has ended");
    until("all of it has come", || came.load(Ordering::Relaxed) == PARTS * PART_LEN).await;
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

#[tokio::test]
async fn so_does_one_that_was_read_ahead() {
    let said = b"HTTP/1.1 429 Too Many\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let answer = Stage::at(&Upstream::raw(said).await).await.open(get("/gateway/lone/")).await;
    let mut body = answer.expect("is answered").into_body();
    let frame = body.frame().await.expect("is there").expect("came");
    assert_eq!(frame.into_data().expect("is data"), "half");
    assert!(body.frame().await.expect("does not end well").is_err());
}
