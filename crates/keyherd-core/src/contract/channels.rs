//! Channels and notices: kept whole, made with their approval, in one hand at a time, lost by nobody's death.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::Testbed;
use super::approvals::{answer, close, new, open};
use super::fixtures::{name, note, written};
use crate::approval::Decision;
use crate::channel::{Channel, ChannelConflict, DeliveryState, Notice, NoticeEnd, Route};
use crate::ids::{ApprovalId, ChannelId};
use crate::ports::Store;
use crate::ports::store::{ChannelAdded, Event, Record};
use crate::time::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);

fn record() -> Record {
    let event =
        Event { kind: "channel_added", chain: None, subject: "ops".into(), detail: serde_json::json!({}) };
    Record { note: note("channel"), event: Some(event) }
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a fixture's URL")
}

fn webhook(id: i64, label: &str) -> Channel {
    let route = Route::Webhook {
        url: url("https://hooks.example/a?secret=\u{e9}"),
        signing_key: "a signing key of ours".into(),
    };
    let created_at = Timestamp::from_millis(1_800_000_000_000);
    Channel { id: ChannelId::from_i64(id), name: name(label), route, created_at }
}

fn telegram(id: i64, label: &str, token: &str) -> Channel {
    let (api, token) = (url("https://api.telegram.org/"), token.into());
    let route = Route::Telegram { api, token, chat: -1_001_234_567_890, users: vec![3, 77] };
    Channel { route, ..webhook(id, label) }
}

async fn add(store: &dyn Store, channel: Channel) {
    assert_eq!(store.add_channel(channel, 100, record()).await, Ok(ChannelAdded::Done));
}

async fn notices(store: &dyn Store, channel: i64) -> Vec<Notice> {
    store.notices(ChannelId::from_i64(channel), 100).await.expect("notices")
}

async fn the_notice(store: &dyn Store, channel: i64) -> Notice {
    let [notice] = &notices(store, channel).await[..] else { panic!("not one notice") };
    notice.clone()
}

pub async fn channels_are_kept_whole(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    let all = [telegram(2, "a", "12:secret"), webhook(1, "b")];
    for channel in all.iter().rev() {
        add(&*one.store, channel.clone()).await;
    }
    let listed = two.store.channels().await.expect("channels");
    let (channels, states): (Vec<_>, Vec<_>) = listed.into_iter().map(|one| (one.channel, one.state)).unzip();
    assert_eq!(channels, all, "in order of names");
    assert_eq!(states, [DeliveryState::default(), DeliveryState::default()]);
    let before = written(&*one.store).await;
    assert_eq!(two.store.remove_channel(ChannelId::from_i64(9), record()).await, Ok(false));
    assert_eq!(two.store.remove_channel(ChannelId::from_i64(2), record()).await, Ok(true));
    assert_eq!(written(&*one.store).await, (before.0 + 1, before.1 + 1), "told once");
    assert_eq!(one.store.channels().await.expect("channels").len(), 1);
}

pub async fn what_is_there_keeps_another_channel_out(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    add(store, telegram(1, "a", "12:secret")).await;
    let before = written(store).await;
    for (channel, max, conflict) in [
        (webhook(2, "a"), 9, ChannelConflict::NameTaken),
        (telegram(2, "b", "12:other"), 9, ChannelConflict::SameBot(name("a"))),
        (webhook(2, "b"), 1, ChannelConflict::TooMany(1)),
    ] {
        assert_eq!(store.add_channel(channel, max, record()).await, Ok(ChannelAdded::Conflict(conflict)));
    }
    assert_eq!(written(store).await, before, "nobody is told of what did not happen");
}

pub async fn an_approval_is_due_on_every_channel_once(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    add(&*one.store, webhook(1, "a")).await;
    add(&*one.store, webhook(2, "b")).await;
    open(bed, &*one.store, new(bed, 5, "rm")).await;
    open(bed, &*two.store, new(bed, 6, "rm")).await;
    add(&*one.store, webhook(3, "late")).await;
    for (channel, is_due) in [(1, true), (2, true), (3, false)] {
        let due = notices(&*two.store, channel).await;
        assert_eq!(due.len(), usize::from(is_due), "{due:?}");
        let has = two.store.has_notice(ApprovalId::from_i64(5), ChannelId::from_i64(channel)).await;
        assert_eq!(has, Ok(is_due));
    }
    let notice = the_notice(&*one.store, 1).await;
    assert!(notice.due_at <= bed.now());
    assert_eq!((notice.approval.as_i64(), notice.attempts, notice.is_announced), (5, 0, false));
    one.store.remove_channel(ChannelId::from_i64(1), record()).await.expect("removed");
    assert_eq!(notices(&*two.store, 1).await, [], "they go with their channel");
}

pub async fn one_of_many_takes_a_notice(bed: &dyn Testbed) {
    let processes = [bed.open().await, bed.open().await];
    let store = &*processes[0].store;
    add(store, webhook(1, "a")).await;
    open(bed, store, new(bed, 5, "rm")).await;
    let (seen, until) = (the_notice(store, 1).await, bed.now() + MINUTE);
    let before = written(store).await;
    let tries = (0..8).map(|n: usize| {
        let (store, seen) = (Arc::clone(&processes[n % 2].store), seen.clone());
        tokio::spawn(async move { store.take_notice(&seen, n as i64, until).await.expect("asked") })
    });
    let mut taken = 0;
    for attempt in tries.collect::<Vec<_>>() {
        taken += usize::from(attempt.await.expect("no panic"));
    }
    assert_eq!(taken, 1);
    let held = the_notice(store, 1).await;
    assert_eq!((held.due_at, held.attempts), (until, 1), "due again where nobody says what became of it");
    assert_eq!(store.take_notice(&held, 99, until + MINUTE).await, Ok(false), "it is not due yet");
    assert_eq!(written(store).await, before, "nobody is told");
}

pub async fn what_a_dead_process_had_in_hand_is_taken_over(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    add(&*one.store, webhook(1, "a")).await;
    open(bed, &*one.store, new(bed, 5, "rm")).await;
    let seen = the_notice(&*one.store, 1).await;
    let over = bed.now() - Duration::from_millis(1);
    assert_eq!(one.store.take_notice(&seen, 1, over).await, Ok(true));
    let left = the_notice(&*two.store, 1).await;
    assert_eq!(two.store.take_notice(&left, 2, bed.now() + MINUTE).await, Ok(true));
    assert_eq!(one.store.settle_notice(&seen, 1, NoticeEnd::Said).await, Ok(false), "no longer in that hand");
    assert_eq!(two.store.settle_notice(&left, 2, NoticeEnd::Said).await, Ok(true));
    assert_eq!(notices(&*one.store, 1).await, []);
}

pub async fn an_end_is_due_where_it_was_announced(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    for (id, label) in [(1, "announced"), (2, "in-hand"), (3, "given-up")] {
        add(store, webhook(id, label)).await;
    }
    open(bed, store, new(bed, 5, "rm")).await;
    let take = async |channel: i64| {
        let seen = the_notice(store, channel).await;
        assert_eq!(store.take_notice(&seen, channel, bed.now() + MINUTE).await, Ok(true));
        seen
    };
    let (first, second, third) = (take(1).await, take(2).await, take(3).await);
    store.settle_notice(&first, 1, NoticeEnd::Announced(Some("m1".into()))).await.expect("settled");
    store.settle_notice(&third, 3, NoticeEnd::GivenUp { problem: "dead".into() }).await.expect("settled");
    assert_eq!(notices(store, 1).await, [], "nothing is due while it is open");
    close(store, 5, answer(Decision::Deny, bed.now()), None).await;
    let told = the_notice(store, 1).await;
    assert_eq!((told.is_announced, told.message.as_deref(), told.attempts), (true, Some("m1"), 0));
    assert!(told.due_at <= bed.now());
    assert_eq!(notices(store, 3).await, [], "nobody is told the end of what it was not told of");
    // Announced while it ended: the end is due at once.
    store.settle_notice(&second, 2, NoticeEnd::Announced(None)).await.expect("settled");
    let told = the_notice(store, 2).await;
    assert!(told.is_announced && told.due_at <= bed.now(), "{told:?}");
    let states = store.channels().await.expect("channels").into_iter().map(|one| one.state);
    let wells: Vec<_> = states.map(|state| (state.is_well(), state.problem)).collect();
    assert_eq!(wells, [(Some(true), None), (Some(false), Some("dead".into())), (Some(true), None)]);
}

pub async fn what_failed_is_due_again_then(bed: &dyn Testbed) {
    let process = bed.open().await;
    let store = &*process.store;
    add(store, webhook(1, "a")).await;
    open(bed, store, new(bed, 5, "rm")).await;
    let (seen, at) = (the_notice(store, 1).await, bed.now() + MINUTE);
    store.take_notice(&seen, 1, bed.now() + MINUTE * 2).await.expect("taken");
    let again = NoticeEnd::Again { problem: "it does not answer".into(), at };
    assert_eq!(store.settle_notice(&seen, 1, again).await, Ok(true));
    let later = the_notice(store, 1).await;
    assert_eq!((later.due_at, later.attempts, later.is_announced), (at, 1, false));
    close(store, 5, answer(Decision::Deny, bed.now()), None).await;
    assert_eq!(the_notice(store, 1).await.due_at, at, "its try is still to come");
    let dropped = store.trim_approvals(bed.now() + MINUTE, bed.now()).await;
    assert_eq!(dropped, Ok(1), "notices go with their approval, and are not counted");
    assert_eq!(notices(store, 1).await, []);
}

pub async fn one_process_listens_at_a_time(bed: &dyn Testbed) {
    let (one, two) = (bed.open().await, bed.open().await);
    add(&*one.store, telegram(1, "a", "12:secret")).await;
    let (channel, later) = (ChannelId::from_i64(1), bed.now() + MINUTE);
    assert_eq!(one.store.take_ear(channel, 11, later).await, Ok(Some(0)));
    assert_eq!(two.store.take_ear(channel, 22, later).await, Ok(None), "another process has it");
    assert_eq!(two.store.move_ear(channel, 22, 5).await, Ok(false));
    assert_eq!(one.store.move_ear(channel, 11, 42).await, Ok(true));
    assert_eq!(
        one.store.take_ear(channel, 11, later + MINUTE).await,
        Ok(Some(42)),
        "taken anew by who has it"
    );
    two.store.leave_ear(channel, 22).await.expect("asked");
    assert_eq!(two.store.take_ear(channel, 22, later).await, Ok(None), "nobody gives away what is another's");
    one.store.leave_ear(channel, 11).await.expect("left");
    let over = bed.now() - Duration::from_millis(1);
    assert_eq!(two.store.take_ear(channel, 22, over).await, Ok(Some(42)), "from where the other was");
    assert_eq!(
        one.store.take_ear(channel, 33, later).await,
        Ok(Some(42)),
        "who let it run out has it no more"
    );
    assert_eq!(two.store.move_ear(channel, 22, 50).await, Ok(false));
    assert_eq!(one.store.take_ear(ChannelId::from_i64(9), 1, later).await, Ok(None), "of no channel");
}
