//! What the simulation found: mistakes that take several hosts, a stop or a failover to show.

use super::*;
use crate::broker::NewTokens;
use crate::credential::Amendment;
use crate::fakes::{RotatingProvider, granted};
use crate::ports::Journal;

/// A token's life begins at its request: the answer may have lain unread in a process that was stopped.
#[tokio::test(start_paused = true)]
async fn a_late_answer_is_an_old_token() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    stage.provider.takes(50 * SECOND);
    let begun = stage.fleet.clock.now();
    let got = token(stage.ask(Ask::foreground(MINUTE)).await);
    assert!(got.expires_at().is_some_and(|end| end <= begun + HOUR), "{got:?}");
}

/// A provider that takes longer than its tokens live: each is worth something all the same, once it is there.
#[tokio::test(start_paused = true)]
async fn a_slow_providers_short_token_serves_all_who_waited_for_it() {
    let provider = RotatingProvider::new(4 * SECOND, 2);
    let fleet = Fleet::new(Arc::new(provider.clone()), [generic()]);
    let host = fleet.host();
    let fields = DraftFields {
        name: "acme".into(),
        provider: "generic".into(),
        refresh_token: Some(provider.account().into()),
        token_url: Some("https://id.example/token".into()),
        ..DraftFields::default()
    };
    let draft = Draft::parse(fields).expect("a draft");
    host.broker.connect(draft, ConnectMode::Create, &actor()).await.expect("created");
    for expiry in 1..=3 {
        let asks = (0..50).map(|late| {
            let broker = host.broker.clone();
            async move {
                pass(late * SECOND / 100).await;
                token(broker.acquire("acme", &plain(), &actor()).await)
            }
        });
        let answers = futures_util::future::join_all(asks).await;
        assert!(answers.iter().all(|token| token.generation() == expiry));
        assert_eq!((provider.calls() as u64, provider.reuses()), (expiry, 0));
        pass(3 * SECOND).await;
    }
}

/// Memory may be ahead of the store by a revision that another row has by then: the token in the claimed row was never
/// decided upon, and the journal has its answer.
#[tokio::test(start_paused = true)]
async fn a_row_of_the_same_revision_is_another_row() {
    let answers = [granted("access-1", "refresh-1"), granted("access-2", "refresh-2")];
    let stage = stage(Duration::ZERO, answers).await;
    let other = stage.fleet.host();
    let backup = stage.fleet.installation.backup();
    let first = stage.token().await;
    stage.fleet.installation.restore(backup);
    // Two changes of the row by somebody else, as many as the refresh that was lost had made.
    for scope in ["a", "b"] {
        let amendment = Amendment { scopes: Some(vec![scope.into()]), ..Amendment::default() };
        other.broker.amend(&acme(), amendment, &actor()).await.expect("amended");
    }
    let _ = stage.ask(rejecting(first.expose())).await;
    let spent = |token: &str| stage.provider.bodies().iter().filter(|body| body.contains(token)).count();
    assert_eq!(spent("refresh-0"), 1, "{:?}", stage.provider.bodies());
}

/// What could not be committed at start is tried again soon: others wait for it for a minute only.
#[tokio::test(start_paused = true)]
async fn what_was_left_at_start_is_tried_again_soon() {
    let mut stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    // Nobody asks for it, the sweep neither.
    stage.fleet.options.background.enabled = false;
    let backup = stage.fleet.installation.backup();
    let spent = stage.host.broker.show(&acme()).await.expect("there").chain.spend_hash.expect("a token");
    stage.token().await;
    stage.fleet.installation.restore(backup);
    let entry = stage.fleet.journal.find(&spent).await.expect("readable").expect("there");
    stage.fleet.journal.write(&entry).await.expect("room");
    stage.fleet.installation.set_down(true);
    let next = stage.fleet.host();
    next.broker.run_background();
    pass(2 * SECOND).await;
    stage.fleet.installation.set_down(false);
    pass(15 * SECOND).await;
    assert!(stage.fleet.journal.pending(9).await.expect("readable").is_empty());
    assert_eq!(next.broker.show(&acme()).await.expect("there").chain.generation, 1);
}

/// A full disk, and then a store that loses the commit: memory still has the answer, and gives it back to the store.
#[tokio::test(start_paused = true)]
async fn an_answer_without_room_outlives_its_commit() {
    let answers = [granted("access-1", "refresh-1"), granted("access-2", "refresh-2")];
    let stage = stage(Duration::ZERO, answers).await;
    let backup = stage.fleet.installation.backup();
    stage.fleet.journal.set_failing(true);
    let first = stage.token().await;
    stage.fleet.installation.restore(backup);
    let _ = stage.ask(rejecting(first.expose())).await;
    let spent = |token: &str| stage.provider.bodies().iter().filter(|body| body.contains(token)).count();
    assert_eq!((spent("refresh-0"), spent("refresh-1")), (1, 1), "{:?}", stage.provider.bodies());
}

/// Once the disk has room again, what was committed meanwhile is journaled like everything else.
#[tokio::test(start_paused = true)]
async fn a_later_answer_replaces_the_one_without_room() {
    let answers = [granted("access-1", "refresh-1"), granted("access-2", "refresh-2")];
    let stage = stage(Duration::ZERO, answers).await;
    stage.fleet.journal.set_failing(true);
    let first = stage.token().await;
    stage.fleet.journal.set_failing(false);
    assert!(stage.fleet.journal.is_empty() && stage.host.broker.remembers_unjournaled());
    token(stage.ask(rejecting(first.expose())).await);
    assert!(!stage.fleet.journal.is_empty() && !stage.host.broker.remembers_unjournaled());
}

/// A provider that leaves the refresh token as it is: one token, and an answer for each generation. What this process
/// remembers of an older one does not hide what the journal has.
#[tokio::test(start_paused = true)]
async fn an_older_answer_to_the_same_token_hides_no_newer_one() {
    let answers =
        [granted("access-1", "refresh-0"), granted("access-2", "refresh-2"), granted("access-3", "lost")];
    let stage = stage(Duration::ZERO, answers).await;
    stage.fleet.journal.set_failing(true);
    let first = stage.token().await;
    assert!(stage.host.broker.remembers_unjournaled());
    stage.fleet.journal.set_failing(false);
    let (other, backup) = (stage.fleet.host(), stage.fleet.installation.backup());
    token(other.broker.acquire("acme", &rejecting(first.expose()), &actor()).await);
    stage.fleet.installation.restore(backup);
    let _ = stage.ask(rejecting(first.expose())).await;
    assert_eq!(stage.provider.calls(), 2, "{:?}", stage.provider.bodies());
}

/// A store that lost its last commits and was reconnected at once has a row of a lower revision than memory: it counts.
#[tokio::test(start_paused = true)]
async fn a_login_after_a_failover_reaches_every_memory() {
    let stage = stage(Duration::ZERO, [granted("access-1", "refresh-1")]).await;
    let other = stage.fleet.host();
    let _events = stage.host.broker.events();
    let backup = stage.fleet.installation.backup();
    stage.token().await;
    pass(SECOND).await;
    stage.fleet.installation.restore(backup);
    pass(SECOND).await;
    let login = NewTokens {
        secret: None,
        access_token: Some("login".into()),
        refresh_token: Some("refresh-login".into()),
        expires_at: Some(stage.fleet.clock.now() + HOUR),
    };
    other.broker.reconnect(&acme(), login, &actor()).await.expect("reconnected");
    pass(SECOND).await;
    for _ in 0..2 {
        assert_eq!(stage.token().await.expose(), "login");
    }
}
