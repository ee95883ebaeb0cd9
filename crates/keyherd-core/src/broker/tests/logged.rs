//! What repeats is logged when it begins and when it ends, however often it happened.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::bent::{Renewal, process};
use super::*;
use crate::fakes::granted;

/// Keeps the messages that an operator sees.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn of(&self, message: &str) -> usize {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| *line == message).count()
    }
}

struct Message<'a>(&'a Lines);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{value:?}"));
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Message(self));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_is_two_lines_at_each_place() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let stage = stage(HOUR, []).await;
    stage.host.broker.run_background();
    pass(10 * SECOND).await;
    for outage in 1..=2 {
        stage.fleet.installation.set_down(true);
        pass(5 * MINUTE).await;
        stage.fleet.installation.set_down(false);
        pass(30 * SECOND).await;
        for message in [
            "the outbox cannot be read",
            "the outbox is read again",
            "the sweep cannot read the store",
            "the sweep reads the store again",
        ] {
            assert_eq!(lines.of(message), outage, "{message}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_that_fail_are_two_lines_for_all_claims() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let stage = stage(Duration::ZERO, [granted("a1", "r1"), granted("b1", "s1")]).await;
    stage.import("other", Duration::ZERO, "refresh-other", |_| {}).await;
    let (broker, store, _host) = process(&stage, Some(114 * SECOND), None);
    stage.provider.takes(58 * SECOND);
    store.set(Renewal::Down);
    let outage = async {
        // Each has failed twice by then; the third time is well.
        pass(50 * SECOND).await;
        assert_eq!(lines.of("a claim could not be renewed"), 1);
        assert_eq!(lines.of("claims are renewed again"), 0);
        store.set(Renewal::Granted);
    };
    let (ask, by) = (Ask::foreground(HOUR), actor());
    let (one, two, ()) =
        tokio::join!(broker.acquire("acme", &ask, &by), broker.acquire("other", &ask, &by), outage);
    token(one);
    token(two);
    assert_eq!(lines.of("a claim could not be renewed"), 1);
    assert_eq!(lines.of("claims are renewed again"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_disk_without_room_is_two_lines_in_the_background() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let stage = stage(Duration::ZERO, [granted("a1", "r1")]).await;
    stage.fleet.journal.set_without_reserve(true);
    stage.host.broker.run_background();
    pass(5 * MINUTE).await;
    assert_eq!(lines.of("tokens are not refreshed in the background"), 1);
    stage.fleet.journal.set_without_reserve(false);
    pass(HOUR).await;
    assert_eq!(lines.of("tokens are refreshed in the background again"), 1);
}
