//! Streams of events: unbuffered, judged by their first event, watched to their end, ended with their caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_compression::tokio::write::GzipEncoder;
use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use keyherd_proxy::ExchangeLimits;
use tokio::io::AsyncWriteExt;

use crate::stage::{Setting, Stage, get, post};
use crate::upstream::{Body, Seen, Upstream, by_hand, data, full, lock, until};

const LIMITED: &str =
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"}}\n\n";

fn events(body: Body) -> Response<Body> {
    let answer = Response::builder().header("content-type", "text/event-stream; charset=utf-8");
    answer.body(body).expect("is an answer")
}

/// An upstream with one stream that is filled by hand.
async fn streaming()
-> (tokio::sync::mpsc::Sender<Result<http_body::Frame<Bytes>, keyherd_proxy::BodyError>>, Upstream) {
    let (hand, body) = by_hand();
    let body = std::sync::Mutex::new(Some(body));
    let upstream = Upstream::new(move |_| events(lock(&body).take().expect("is asked once"))).await;
    (hand, upstream)
}

#[tokio::test]
async fn events_pass_one_by_one() {
    let (hand, upstream) = streaming().await;
    let stage = Stage::at(&upstream).await;
    hand.send(data("data: 1\n\n")).await.expect("is read");
    let mut answer = stage.open(get("/gateway/lone/")).await.expect("is answered");
    assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
    for event in ["data: 1\n\n", "data: 2\n\n", ": still here\n\n"] {
        let frame = answer.body_mut().frame().await.expect("is there").expect("is whole");
        assert_eq!(frame.into_data().expect("is data"), event);
        // The next is sent only now: what came before was not held back for it.
        let next = if event == "data: 1\n\n" { "data: 2\n\n" } else { ": still here\n\n" };
        hand.send(data(next)).await.expect("is read");
    }
    drop(hand);
}

#[tokio::test]
async fn a_stream_that_opens_with_a_limit_is_a_refusal() {
    let upstream = Upstream::new(|seen: &Seen| match seen.bearer() {
        "secret-a" => events(full(format!(": hello\n\n{LIMITED}"))),
        _ => events(full("data: well\n\n")),
    })
    .await;
    let stage = Stage::at(&upstream).await;
    assert_eq!(stage.ask(post("/gateway/pool/", "x")).await.text(), "data: well\n\n");
    assert_eq!(upstream.bearers(), ["secret-a", "secret-b"]);
    assert_eq!(stage.rest("a").await.as_deref(), Some("rate_limit"));
}

#[tokio::test]
async fn so_is_a_compressed_one() {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(LIMITED.as_bytes()).await.expect("is in memory");
    encoder.flush().await.expect("is in memory");
    let coded = Bytes::from(encoder.into_inner());
    let upstream = Upstream::new(move |seen: &Seen| {
        let mut refusal = events(full(coded.clone()));
        refusal.headers_mut().insert("content-encoding", "gzip".parse().expect("is a value"));
        if seen.bearer() == "secret-a" { refusal } else { events(full("data: well\n\n")) }
    })
    .await;
    let stage = Stage::at(&upstream).await;
    assert_eq!(stage.read("/gateway/pool/").await.text(), "data: well\n\n");
    assert_eq!(stage.rest("a").await.as_deref(), Some("rate_limit"));
}

#[tokio::test]
async fn a_limit_that_comes_later_marks_and_passes() {
    let (hand, upstream) = streaming().await;
    let stage = Stage::at(&upstream).await;
    for part in
        ["data: 1\n\n", "event: error\nda", "ta: {\"error\":{\"type\":\"rate_limit_error\"}}\r\n", "\r\n"]
    {
        hand.send(data(part)).await.expect("is read");
    }
    drop(hand);
    let got = stage.read("/gateway/pool/").await;
    assert!(got.text().ends_with("rate_limit_error\"}}\r\n\r\n"), "{}", got.text());
    assert_eq!(upstream.bearers(), ["secret-a"]);
    stage.gateway.shutdown().await;
    assert_eq!(stage.rest("a").await.as_deref(), Some("rate_limit"));
}

#[tokio::test]
async fn a_stream_without_a_first_event_is_held_back_for_so_long_and_watched_then() {
    let (hand, upstream) = streaming().await;
    let limits =
        ExchangeLimits { first_event_timeout: Duration::from_millis(20), ..ExchangeLimits::default() };
    let stage = Setting { limits, ..Setting::at(&upstream) }.stage().await;
    let answer = stage.open(get("/gateway/pool/")).await.expect("is answered");
    hand.send(data(LIMITED)).await.expect("is read");
    drop(hand);
    let read = answer.into_body().collect().await.expect("is whole").to_bytes();
    assert_eq!(read, LIMITED);
    stage.gateway.shutdown().await;
    assert_eq!(stage.rest("a").await.as_deref(), Some("rate_limit"));
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_stream_upstream() {
    let (hand, upstream) = streaming().await;
    let stage = Stage::at(&upstream).await;
    hand.send(data("data: 1\n\n")).await.expect("is read");
    let answer = stage.open(get("/gateway/lone/")).await.expect("is answered");
    drop(answer);
    tokio::time::timeout(Duration::from_secs(20), hand.closed()).await.expect("upstream hears of it");
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_answer_ends_the_request_upstream() {
    struct Gone(Arc<AtomicBool>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (is_there, is_gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (there, gone) = (Arc::clone(&is_there), Arc::clone(&is_gone));
    let upstream = Upstream::streaming(
        Arc::new(move |_| {
            let gone = Gone(Arc::clone(&gone));
            there.store(true, Ordering::Relaxed);
            Box::pin(async move {
                let _gone = gone;
                std::future::pending().await
            })
        }),
        None,
    )
    .await;
    let stage = Arc::new(Stage::at(&upstream).await);
    let asking = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { stage.read("/gateway/lone/").await.status() }
    });
    until("it is under way", || is_there.load(Ordering::Relaxed)).await;
    asking.abort();
    until("upstream hears of it", || is_gone.load(Ordering::Relaxed)).await;
}

#[tokio::test]
async fn a_stream_that_is_silent_for_too_long_breaks_off() {
    let (hand, upstream) = streaming().await;
    let limits = ExchangeLimits { idle_timeout: Duration::from_millis(300), ..ExchangeLimits::default() };
    let stage = Setting { limits, ..Setting::at(&upstream) }.stage().await;
    hand.send(data("data: 1\n\n")).await.expect("is read");
    let answer = stage.open(get("/gateway/lone/")).await.expect("is answered");
    assert!(answer.into_body().collect().await.is_err());
    tokio::time::timeout(Duration::from_secs(20), hand.closed()).await.expect("upstream hears of it");
}
