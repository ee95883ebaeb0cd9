//! Bodies that are sent once, twice, and not again.

use std::convert::Infallible;

use futures_util::stream::poll_fn;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::sync::mpsc;

use super::super::Outgoing;
use super::*;

fn upload(text: &'static str, len_max: usize, room: &Room) -> Upload {
    let body = Full::new(Bytes::from_static(text.as_bytes()));
    Upload::new(UnsyncBoxBody::new(body.map_err(|never: Infallible| match never {})), len_max, room)
}

/// A body whose parts are sent by hand.
fn by_hand(len_max: usize) -> (mpsc::Sender<Frame<Bytes>>, Upload) {
    let (sender, mut parts) = mpsc::channel::<Frame<Bytes>>(8);
    let stream = poll_fn(move |cx| parts.poll_recv(cx).map(|part| part.map(Ok::<_, BodyError>)));
    (sender, Upload::new(UnsyncBoxBody::new(StreamBody::new(stream)), len_max, &Room::new(1_000)))
}

fn part(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

async fn sent(copy: Option<Copy>) -> Bytes {
    let body = Outgoing::copy(copy.expect("may be sent"));
    body.collect().await.expect("is whole").to_bytes()
}

#[tokio::test]
async fn a_small_body_is_sent_as_often_as_needed() {
    let upload = upload("small", 5, &Room::new(1_000));
    for _ in 0..3 {
        let copy = upload.copy().expect("may be sent");
        assert_eq!(copy.left().exact(), Some(5));
        assert_eq!(sent(Some(copy)).await, "small");
    }
}

#[tokio::test]
async fn a_long_one_is_sent_in_turns() {
    const LEN: usize = 64 * 1024;
    let parts = futures_util::stream::iter(
        (0..64).map(|_| Ok::<_, BodyError>(Frame::data(Bytes::from(vec![0; LEN])))),
    );
    let upload = Upload::new(UnsyncBoxBody::new(StreamBody::new(parts)), 0, &Room::new(1_000));
    let mut copy = upload.copy().expect("may be sent");
    let mut passed = 0;
    while let Poll::Ready(Some(part)) = copy.poll(&mut Context::from_waker(std::task::Waker::noop())) {
        passed += part.expect("is whole").data_ref().map_or(0, Bytes::len);
    }
    assert!((LEN..8 * LEN).contains(&passed), "{passed} bytes in one turn");
    assert_eq!(sent(Some(copy)).await.len(), 64 * LEN - passed);
}

#[tokio::test]
async fn a_large_one_is_sent_once() {
    let upload = upload("larger", 5, &Room::new(1_000));
    assert_eq!(sent(upload.copy()).await, "larger");
    assert!(upload.copy().is_none());
}

#[tokio::test]
async fn all_together_take_no_more_than_there_is() {
    let room = Room::new(2 * PART_COST + 8);
    let (one, two) = (upload("12345", 100, &room), upload("12345", 100, &room));
    assert_eq!(sent(one.copy()).await, "12345");
    assert_eq!(sent(two.copy()).await, "12345");
    assert!(one.copy().is_some());
    assert!(two.copy().is_none(), "there was no room for it");
    drop(one);
    let three = upload_again(&room).await;
    assert!(three.copy().is_some(), "what was taken is free again");
}

async fn upload_again(room: &Room) -> Upload {
    let upload = upload("12345", 100, room);
    sent(upload.copy()).await;
    upload
}

#[tokio::test]
async fn a_body_that_has_not_ended_goes_on_in_the_next_try() {
    let (sender, upload) = by_hand(100);
    sender.send(part("one ")).await.expect("is read");
    let mut first = Outgoing::copy(upload.copy().expect("may be sent"));
    let frame = first.frame().await.expect("is there").expect("is whole");
    assert_eq!(frame.into_data().expect("is data"), "one ");
    let second = Outgoing::copy(upload.copy().expect("may be sent again"));
    sender.send(part("two")).await.expect("is read");
    let trailers =
        HeaderMap::from_iter([("x-sum".parse().expect("is a name"), "1".parse().expect("is a value"))]);
    sender.send(Frame::trailers(trailers.clone())).await.expect("is read");
    drop(sender);
    let whole = second.collect().await.expect("is whole");
    assert_eq!(whole.trailers(), Some(&trailers));
    assert_eq!(whole.to_bytes(), "one two");
    assert!(first.frame().await.expect("ends badly").is_err(), "the older try has ended");
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_not_kept() {
    let (sender, upload) = by_hand(5);
    for text in ["123", "456", "789"] {
        sender.send(part(text)).await.expect("is read");
    }
    drop(sender);
    assert_eq!(sent(upload.copy()).await, "123456789");
    assert!(upload.copy().is_none());
    assert_eq!(upload.passed(), 9);
}

#[tokio::test]
async fn many_small_parts_are_not_kept_for_what_they_cost() {
    let parts = 2 * PARTS_LEAST;
    let (sender, mut parts_to_come) = mpsc::channel::<Frame<Bytes>>(parts);
    for _ in 0..parts {
        sender.send(part("x")).await.expect("has room");
    }
    drop(sender);
    let stream = poll_fn(move |cx| parts_to_come.poll_recv(cx).map(|part| part.map(Ok::<_, BodyError>)));
    let room = Room::new(usize::MAX);
    let upload = Upload::new(UnsyncBoxBody::new(StreamBody::new(stream)), parts, &room);
    assert_eq!(sent(upload.copy()).await.len(), parts);
    assert!(!upload.may_go_again(), "within its length, and far beyond it in memory");
}
