//! Hearing what is pressed in a chat: by one host at a time, once, and not for long by one that ends.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::asking::empty;
use super::channels::{add_chat, ask, name, press, refused};
use super::{HOUR, MINUTE, SECOND, Stage, pass};
use crate::approval::Decision;
use crate::ids::ApprovalId;

/// A chat that a host listens to, and an approval that was announced there.
async fn announced() -> (Stage, ApprovalId) {
    let stage = empty().await;
    add_chat(&stage.host, "chat").await;
    stage.host.broker.run_background();
    let id = ask(&stage.host.broker, "rm").await;
    pass(SECOND).await;
    (stage, id)
}

#[tokio::test(start_paused = true)]
async fn one_host_listens_and_the_next_goes_on_from_there() {
    let stage = empty().await;
    add_chat(&stage.host, "chat").await;
    let other = stage.fleet.host();
    stage.host.broker.run_background();
    other.broker.run_background();
    pass(MINUTE * 5).await;
    let courier = &stage.fleet.courier;
    assert_eq!(courier.ears_max(), 1, "one at a time");
    let id = ask(&stage.host.broker, "rm").await;
    pass(SECOND).await;
    courier.press(press(5, id, Decision::AllowOnce));
    pass(SECOND * 5).await;
    assert_eq!(courier.replies().len(), 1);
    assert!(stage.host.broker.shutdown(MINUTE).await);
    assert!(other.broker.shutdown(MINUTE).await);
    let next = stage.fleet.host();
    next.broker.run_background();
    pass(SECOND).await;
    let id = ask(&next.broker, "ls").await;
    pass(SECOND).await;
    courier.press(press(5, id, Decision::Deny));
    pass(SECOND * 5).await;
    let texts: Vec<_> = courier.replies().into_iter().map(|(_, text)| text).collect();
    let by = "telegram:chat user 5";
    assert_eq!(
        texts,
        [format!("Allowed once by {by}, for 1 request"), format!("Denied by {by}, for 1 request")]
    );
    assert_eq!(courier.ears_max(), 1, "what was heard once is not heard again");
}

#[tokio::test(start_paused = true)]
async fn who_ends_amid_a_reply_keeps_what_was_heard() {
    let (stage, id) = announced().await;
    let courier = &stage.fleet.courier;
    courier.press(press(5, id, Decision::AllowOnce));
    pass(Duration::from_millis(5)).await;
    assert_eq!(courier.replies().len(), 1, "it is under way");
    assert!(stage.host.broker.shutdown(MINUTE).await);
    let next = stage.fleet.host();
    next.broker.run_background();
    pass(MINUTE).await;
    assert_eq!(courier.replies().len(), 1, "no press is heard twice");
}

#[tokio::test(start_paused = true)]
async fn who_ends_waits_for_a_hung_reply_not_long() {
    let (stage, id) = announced().await;
    stage.fleet.courier.hangs(&name("chat"));
    stage.fleet.courier.press(press(5, id, Decision::AllowOnce));
    pass(Duration::from_millis(5)).await;
    assert_eq!(stage.fleet.courier.replies().len(), 1, "it is under way");
    assert!(stage.host.broker.shutdown(SECOND * 3).await);
}

#[tokio::test(start_paused = true)]
async fn a_chat_that_holds_no_call_is_not_asked_in_a_storm() {
    let stage = empty().await;
    add_chat(&stage.host, "chat").await;
    stage.fleet.courier.holds_nothing();
    stage.host.broker.run_background();
    pass(MINUTE).await;
    let looks = stage.fleet.courier.looks();
    assert!((10..=61).contains(&looks), "{looks} in a minute");
}

#[tokio::test(start_paused = true)]
async fn however_often_strangers_press_the_log_stays_short() {
    let (stage, id) = announced().await;
    let courier = &stage.fleet.courier;
    let crowd =
        |from: i64| (from..from + 150).for_each(|user| courier.press(press(user, id, Decision::Deny)));
    crowd(1_000);
    pass(SECOND * 5).await;
    assert_eq!((courier.replies().len(), refused(&stage).await.len()), (150, 100));
    pass(HOUR).await;
    crowd(2_000);
    pass(SECOND * 5).await;
    assert_eq!((courier.replies().len(), refused(&stage).await.len()), (300, 200), "so many in an hour");
}

#[tokio::test(start_paused = true)]
async fn where_the_one_that_listens_is_killed_the_next_soon_does() {
    let stage = empty().await;
    let channel = add_chat(&stage.host, "chat").await;
    let ear = stage.host.broker.clone().keep_listening(channel.into(), CancellationToken::new());
    let ear = tokio::spawn(ear);
    pass(MINUTE).await;
    let next = stage.fleet.host();
    next.broker.run_background();
    let id = ask(&next.broker, "rm").await;
    pass(MINUTE).await;
    ear.abort();
    let courier = &stage.fleet.courier;
    assert_eq!(courier.ears_max(), 1, "one at a time: a right that is used is renewed");
    pass(SECOND).await;
    courier.press(press(5, id, Decision::AllowOnce));
    let bounds = &stage.fleet.options.channels;
    pass(bounds.listen_lease + bounds.look_every).await;
    assert_eq!(courier.replies().len(), 1);
}
