//! Answers of which more is at hand than anybody waits for: others have their turn, and who is revoked gets no more.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use keyherd_proxy::BodyError;
use keyherd_proxy::forward::ForwardBody;
use tokio::task::{unconstrained, yield_now};
use tokio::time::timeout;

use crate::stage::{Stage, actor, get};
use crate::upstream::Upstream;
use crate::veiled::opened;

const PART_LEN: usize = 64 * 1024;
/// Read before anything is looked at, in bytes: sockets then have room for much.
const BEGINNING: usize = 32 * 1024 * 1024;
/// The most that passes in one turn, in bytes: the turn itself, and the piece that ends it.
const TURN_MAX: usize = 1024 * 1024;
/// The most that passes while it is looked up who is revoked, in bytes.
const REVOKED_MAX: usize = 1024 * 1024;

/// An upstream whose answers do not end, and how many pieces it made.
async fn endless() -> (Upstream, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let upstream = Upstream::new(move |_| {
        let (part, counted) = (Bytes::from(vec![0; PART_LEN]), Arc::clone(&counted));
        let parts = std::iter::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, BodyError>(Frame::data(part.clone()))
        });
        Response::new(UnsyncBoxBody::new(StreamBody::new(futures_util::stream::iter(parts))))
    })
    .await;
    (upstream, made)
}

/// Reads the beginning, and then nothing until upstream waits.
async fn begun(answer: &mut Response<ForwardBody>, made: &AtomicUsize) {
    let mut read = 0;
    while read < BEGINNING {
        let frame = answer.body_mut().frame().await.expect("goes on").expect("is whole");
        read += frame.into_data().expect("is data").len();
    }
    let mut before = 0;
    while before != made.load(Ordering::Relaxed) {
        before = made.load(Ordering::Relaxed);
        for _ in 0..100 {
            yield_now().await;
        }
    }
}

/// How much is there without waiting, in bytes.
fn at_hand(answer: &mut Response<ForwardBody>) -> usize {
    let mut read = 0;
    loop {
        match Pin::new(answer.body_mut()).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => read += frame.data_ref().map_or(0, Bytes::len),
            Poll::Ready(end) => panic!("it has no end: {end:?}"),
            Poll::Pending => return read,
        }
    }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), work).await.expect("takes no minute")
}

#[tokio::test]
async fn a_fast_answer_lets_others_have_their_turn() {
    let (upstream, made) = endless().await;
    let stage = Stage::at(&upstream).await;
    let mut answer = stage.open(get("/gateway/lone/")).await.expect("is answered");
    soon(begun(&mut answer, &made)).await;
    let mut turns = Vec::new();
    for _ in 0..3 {
        turns.push(unconstrained(async { at_hand(&mut answer) }).await);
        // And it goes on: whoever polls it is woken.
        soon(answer.body_mut().frame()).await.expect("goes on").expect("is whole");
    }
    assert!(turns.iter().all(|read| *read < TURN_MAX) && turns.iter().sum::<usize>() > 0, "{turns:?}");
}

#[tokio::test]
async fn who_is_revoked_gets_no_more_although_it_is_there() {
    let (upstream, made) = endless().await;
    let stage = Stage::at(&upstream).await;
    let robot = stage.robot(&["lone"]).await;
    let mut answer = opened(&stage, &robot, get("/gateway/lone/")).await.expect("is answered");
    soon(begun(&mut answer, &made)).await;
    let mut events = stage.host.broker.events();
    stage.host.broker.revoke_agent(&robot.name, &actor()).await.expect("is revoked");
    while soon(events.recv()).await.expect("is heard").kind != "agent_revoked" {}
    let mut read = 0;
    let end = loop {
        match soon(answer.body_mut().frame()).await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            end => break end,
        }
        assert!(read < REVOKED_MAX, "it goes on");
    };
    let error = end.expect("it has no end").expect_err("breaks off");
    assert!(error.to_string().contains("revoked"), "{error}");
}
