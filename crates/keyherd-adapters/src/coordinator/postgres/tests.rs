//! Notices through a real server: proven, batched, lost behind a pooler, and back after a restart.

use super::*;
use crate::postgres::WireOptions;
use crate::testing::{PostgresOptions, PrivatePgBouncer, PrivatePostgres};

const HOUR: Duration = Duration::from_secs(3_600);

/// So that nothing is found out by a poll.
fn notices_only() -> PostgresBellOptions {
    PostgresBellOptions { poll_proven: HOUR, poll_unproven: HOUR, ..PostgresBellOptions::default() }
}

fn bell(url: &str, options: PostgresBellOptions) -> PostgresBell {
    bell_at(url, url, options)
}

fn bell_at(store: &str, listen: &str, options: PostgresBellOptions) -> PostgresBell {
    let target = |url| Target::parse(url, None).unwrap();
    PostgresBell::new(Wire::new(target(store), WireOptions::default()), target(listen), options)
}

/// Long enough for a busy machine; passing tests never wait for it.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
}

async fn hears(bell: &PostgresBell, wanted: impl Fn(&Hearing) -> bool) {
    bell.listen();
    soon(bell.shared.hearing.subscribe().wait_for(wanted)).await.unwrap();
}

async fn listening(bell: &PostgresBell) {
    hears(bell, |hearing| *hearing == Hearing::Proven).await;
    // What being proven rang for.
    soon(bell.changed()).await;
}

#[tokio::test]
async fn a_notice_reaches_other_processes_and_many_are_few() {
    let url = PrivatePostgres::shared().unwrap().database().unwrap();
    let (one, two) = (bell(&url, notices_only()), bell(&url, notices_only()));
    listening(&two).await;
    one.announce();
    soon(one.changed()).await;
    soon(two.changed()).await;
    one.settled().await;
    let before = one.shared.notices.load(Ordering::Relaxed);
    for _ in 0..1_000 {
        one.announce();
    }
    soon(two.changed()).await;
    one.settled().await;
    let notices = one.shared.notices.load(Ordering::Relaxed) - before;
    // Two where the machine is free; one more for each time that making them all took longer than a notice.
    assert!(notices <= 20, "{notices} notices for 1,000 commits at once");
    assert_eq!(two.trouble().await, [] as [String; 0]);
}

#[tokio::test]
async fn behind_a_pooler_the_poll_finds_out_and_says_so() {
    let server = PrivatePostgres::shared().unwrap();
    let pooler = PrivatePgBouncer::start(server).unwrap();
    let direct = server.database().unwrap();
    let pooled = pooler.url(&direct);
    let prove_within = Duration::from_millis(300);
    let options = PostgresBellOptions { prove_within, ..PostgresBellOptions::default() };
    let deaf = bell(&pooled, options);
    hears(&deaf, |hearing| matches!(hearing, Hearing::Deaf(_))).await;
    soon(deaf.changed()).await;
    let said = deaf.trouble().await.join("\n");
    assert!(said.contains("polled every 100 ms") && said.contains("KEYHERD_LISTEN_URL"), "{said}");
    // With the server itself to listen at, notices sent through the pooler arrive.
    let hearing = bell_at(&pooled, &direct, notices_only());
    listening(&hearing).await;
    deaf.announce();
    soon(hearing.changed()).await;
}

#[tokio::test]
async fn after_a_restart_everyone_is_woken_and_hears_again() {
    let mut server = PrivatePostgres::start(PostgresOptions::default()).unwrap();
    let (one, two) =
        (bell(&server.url("postgres"), notices_only()), bell(&server.url("postgres"), notices_only()));
    listening(&one).await;
    listening(&two).await;
    server.kill();
    hears(&two, |hearing| matches!(hearing, Hearing::Deaf(_))).await;
    one.announce();
    soon(async {
        while one.trouble().await.len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.restart().unwrap();
    // Once for having been deaf, whatever was said meanwhile.
    listening(&two).await;
    one.settled().await;
    listening(&one).await;
    one.announce();
    soon(two.changed()).await;
    assert_eq!(one.trouble().await, [] as [String; 0]);
}

#[tokio::test]
async fn the_servers_own_words_are_for_the_log() {
    let options = PostgresOptions { password: true, ..PostgresOptions::default() };
    let server = PrivatePostgres::start(options).unwrap();
    let refused = server.url("postgres").replace(crate::testing::PASSWORD, "pl4nt3d");
    let bell = bell(&refused, notices_only());
    hears(&bell, |hearing| matches!(hearing, Hearing::Deaf(_))).await;
    bell.announce();
    soon(async {
        while bell.trouble().await.len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let said = bell.trouble().await.join("\n");
    assert!(said.contains("it refuses the login"), "{said}");
    assert!(!said.contains("password") && !said.contains("SQLSTATE") && !said.contains("user"), "{said}");
}
