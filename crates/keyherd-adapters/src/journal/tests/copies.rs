//! Copies in a real Redis: written on one host, found on another, and nobody's error when they are not.

use super::*;
use crate::coordinator::{FleetCoordinator, FleetOptions, FleetPlaces, RedisPlace};
use crate::postgres::{Target, Wire, WireOptions};
use crate::system::SystemClock;
use crate::testing::{PrivateRedis, RedisOptions};

/// One host: its own folder, its own keys, its own connection.
struct Host {
    dir: TempDir,
    link: Arc<crate::coordinator::RedisLink>,
    local: FileJournal,
    journal: CopiedJournal,
    _fleet: FleetCoordinator,
}

async fn host(redis: &PrivateRedis, seed: u8) -> Host {
    // The store is never asked here.
    let store = Target::parse("postgres://nobody@127.0.0.1:1/none", None).unwrap();
    let places = FleetPlaces {
        wire: Wire::new(store.clone(), WireOptions::default()),
        listen: store,
        redis: Some(RedisPlace::parse(&redis.url(), None).unwrap()),
        installation: INSTALLATION,
    };
    let mut options = FleetOptions::default();
    options.link.answer_timeout = Duration::from_secs(5);
    options.link.probe_every = Duration::from_millis(50);
    let fleet = FleetCoordinator::start(places, Arc::new(SystemClock), options);
    let link = fleet.link().unwrap();
    link.until(true).await;
    let dir = tempfile::tempdir().unwrap();
    let options = CopyOptions { answer_timeout: Duration::from_secs(5), ..CopyOptions::default() };
    let local = journal(dir.path(), &[seed]);
    let journal = CopiedJournal::new(local.clone(), Arc::clone(&link), options);
    Host { dir, link, local, journal, _fleet: fleet }
}

fn redis() -> PrivateRedis {
    PrivateRedis::start(RedisOptions::default()).unwrap()
}

#[tokio::test]
async fn what_one_host_received_another_finds() {
    let redis = redis();
    let (one, two) = (host(&redis, 1).await, host(&redis, 1).await);
    one.journal.write(&entry(5)).await.unwrap();
    assert!(fs::exists(pending_file(&one.dir, 5)).unwrap());
    assert_eq!(two.journal.find(&hash(5)).await, Ok(Some(entry(5))));
    assert_eq!(two.journal.find(&hash(6)).await, Ok(None));
    assert_eq!(two.journal.pending(10).await, Ok(vec![]));
    two.journal.committed(&hash(5)).await.unwrap();
    one.journal.committed(&hash(5)).await.unwrap();
    assert_eq!(two.journal.find(&hash(5)).await, Ok(Some(entry(5))), "it is kept for roll-forward");
    let mut rest = redis::cmd("PTTL");
    rest.arg(two.link.key("answer", &hash(5).to_hex()));
    let rest = Duration::from_millis(two.link.ask::<u64>(&rest).await.unwrap());
    assert!(rest > HOUR * 24 && rest <= HOUR * 25, "{rest:?}");
}

#[tokio::test]
async fn a_copy_is_opened_by_its_key_and_under_its_name_only() {
    let redis = redis();
    let (one, stranger) = (host(&redis, 1).await, host(&redis, 2).await);
    one.journal.write(&entry(5)).await.unwrap();
    let refused = stranger.journal.find(&hash(5)).await;
    assert!(matches!(refused, Err(JournalError::Sealed { .. })), "{refused:?}");
    let mut copy = redis::cmd("COPY");
    copy.arg(one.link.key("answer", &hash(5).to_hex())).arg(one.link.key("answer", &hash(6).to_hex()));
    assert_eq!(one.link.ask::<i64>(&copy).await, Some(1));
    let two = host(&redis, 1).await;
    assert_eq!(two.journal.find(&hash(6)).await, Ok(None), "another token's answer");
    let mut append = redis::cmd("APPEND");
    append.arg(one.link.key("answer", &hash(5).to_hex())).arg("x");
    one.link.ask::<i64>(&append).await.unwrap();
    assert_eq!(two.journal.find(&hash(5)).await, Ok(None), "changed");
    let mut get = redis::cmd("GET");
    get.arg(one.link.key("answer", &hash(5).to_hex()));
    let stored = one.link.ask::<Vec<u8>>(&get).await.unwrap();
    assert!(!stored.windows(7).any(|window| window == b"planted"));
}

#[tokio::test]
async fn without_redis_the_journal_is_this_machine_s_alone() {
    let mut redis = redis();
    let (one, two) = (host(&redis, 1).await, host(&redis, 1).await);
    redis.pause();
    let impatient = CopyOptions { answer_timeout: Duration::from_millis(20), ..CopyOptions::default() };
    let paused = CopiedJournal::new(journal(one.dir.path(), &[1]), Arc::clone(&one.link), impatient);
    tokio::time::timeout(Duration::from_secs(4), paused.write(&entry(5))).await.unwrap().unwrap();
    redis.resume();
    redis.kill();
    two.link.until(false).await;
    two.journal.write(&entry(6)).await.unwrap();
    assert_eq!(two.journal.find(&hash(6)).await, Ok(Some(entry(6))));
    assert_eq!(two.journal.find(&hash(5)).await, Ok(None));
    redis.restart().unwrap();
    two.link.until(true).await;
    assert_eq!(two.journal.find(&hash(6)).await, Ok(Some(entry(6))));
}

#[tokio::test]
async fn an_older_answer_to_the_same_token_hides_no_copy() {
    let redis = redis();
    let (one, two) = (host(&redis, 1).await, host(&redis, 1).await);
    let older = entry(5);
    let newer = JournalEntry { generation: older.generation + 3, ..older.clone() };
    one.journal.write(&older).await.unwrap();
    one.journal.committed(&hash(5)).await.unwrap();
    two.journal.write(&newer).await.unwrap();
    let find = |generation| one.journal.find_for(&older.spent, older.chain, generation);
    assert_eq!(find(newer.generation).await, Ok(Some(newer.clone())));
    assert_eq!(find(older.generation).await, Ok(Some(older.clone())));
    assert_eq!(find(older.generation + 1).await, Ok(None));
    fs::write(done_file(&one.dir, 5), b"cut off").unwrap();
    assert_eq!(find(newer.generation).await, Ok(Some(newer.clone())));
    assert!(matches!(find(older.generation).await, Err(JournalError::Unreadable { .. })));
}

#[tokio::test]
async fn what_nobody_can_open_is_none_after_a_while_and_a_rotation_seals_copies_anew() {
    let redis = redis();
    let (one, two) = (host(&redis, 1).await, host(&redis, 2).await);
    one.journal.write(&entry(5)).await.unwrap();
    assert!(two.journal.find(&hash(5)).await.is_err(), "the key may come");
    // As old as the owner has time to come back.
    let mut age = redis::cmd("PEXPIRE");
    age.arg(one.link.key("answer", &hash(5).to_hex()));
    age.arg(keyherd_core::time::millis(CopyOptions::default().kept - CopyOptions::default().sealed_patience));
    assert_eq!(one.link.ask::<i64>(&age).await, Some(1));
    assert_eq!(two.journal.find(&hash(5)).await, Ok(None));
    one.local.rekey(keyring(&[2, 1]));
    assert_eq!(one.journal.reseal_copies().await, 1);
    assert_eq!(one.journal.reseal_copies().await, 0);
    assert_eq!(two.journal.find(&hash(5)).await, Ok(Some(entry(5))));
}
