//! A fleet on real servers: turns, words, and a Redis that misbehaves in every way there is.

use std::time::Duration;

use super::*;
use crate::postgres::WireOptions;
use crate::system::SystemClock;
use crate::testing::{PASSWORD, PrivatePostgres, PrivateRedis, RedisOptions, ServerCertificate};

const HOUR: Duration = Duration::from_secs(3_600);
const CHAIN: ChainId = ChainId::from_i64(7);

/// Long enough for a busy machine; passing tests never wait for it.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
}

/// A machine this busy answers late at times; where slowness is the matter, tests say so.
fn patient() -> FleetOptions {
    let mut options = FleetOptions::default();
    options.link.answer_timeout = Duration::from_secs(5);
    options.link.connect_timeout = Duration::from_secs(5);
    options.link.probe_every = Duration::from_millis(50);
    options
}

struct Fleet {
    url: String,
    redis: PrivateRedis,
}

impl Fleet {
    fn new() -> Self {
        let url = PrivatePostgres::shared().unwrap().database().unwrap();
        Self {
            url,
            redis: PrivateRedis::start(RedisOptions { password: true, ..Default::default() }).unwrap(),
        }
    }

    fn host(&self, redis: bool, options: FleetOptions) -> FleetCoordinator {
        let target = Target::parse(&self.url, None).unwrap();
        let places = FleetPlaces {
            wire: Wire::new(target.clone(), WireOptions::default()),
            listen: target,
            redis: redis.then(|| RedisPlace::parse(&self.redis.url(), None).unwrap()),
            installation: [3; 16],
        };
        FleetCoordinator::start(places, Arc::new(SystemClock), options)
    }
}

async fn until_redis(host: &FleetCoordinator, up: bool) {
    soon(host.link().unwrap().until(up)).await;
}

async fn until_turn(host: &FleetCoordinator, wanted: Turn) {
    soon(async {
        while host.turn(CHAIN).await != wanted {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Waits, woken by nothing but words, until everything that `speaker` has said is heard.
async fn hears(listener: &FleetCoordinator, speaker: &FleetCoordinator) {
    let word = speaker.ears.word(0);
    soon(async {
        while !listener.ears.has_heard(&word) {
            listener.changed().await;
        }
    })
    .await;
}

#[tokio::test]
async fn one_has_the_turn_and_only_its_owner_gives_it_up() {
    let fleet = Fleet::new();
    let (one, two) = (fleet.host(true, patient()), fleet.host(true, patient()));
    until_redis(&one, true).await;
    until_redis(&two, true).await;
    assert_eq!(one.turn(CHAIN).await, Turn::Try);
    assert_eq!(one.turn(CHAIN).await, Turn::Try);
    assert_eq!(two.turn(CHAIN).await, Turn::Wait);
    two.done(CHAIN).await;
    assert_eq!(two.turn(CHAIN).await, Turn::Wait);
    assert_eq!(two.turn(ChainId::from_i64(8)).await, Turn::Try);
    one.done(CHAIN).await;
    assert_eq!(two.turn(CHAIN).await, Turn::Try);
}

#[tokio::test]
async fn a_turn_is_renewed_while_its_owner_lives_and_free_after() {
    let fleet = Fleet::new();
    let mut options = patient();
    options.turns.lasts = Duration::from_secs(2);
    options.turns.renew_every = Duration::from_millis(20);
    let (one, two) = (fleet.host(true, options.clone()), fleet.host(true, options));
    until_redis(&one, true).await;
    until_redis(&two, true).await;
    assert_eq!(one.turn(CHAIN).await, Turn::Try);
    // Forgotten by Redis, and told again.
    fleet.redis.flush().unwrap();
    let key = one.link().unwrap().key("turn", "7");
    let mut owner = redis::cmd("GET");
    owner.arg(&key);
    soon(async {
        while two.link().unwrap().ask::<Option<String>>(&owner).await.flatten().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(two.turn(CHAIN).await, Turn::Wait);
    drop(one);
    until_turn(&two, Turn::Try).await;
}

#[tokio::test]
async fn a_redis_that_is_killed_paused_or_restarted_is_only_not_used() {
    let mut fleet = Fleet::new();
    let mut options = patient();
    options.link.answer_timeout = Duration::from_millis(100);
    options.link.connect_timeout = Duration::from_millis(300);
    let (one, two) = (fleet.host(true, options.clone()), fleet.host(true, options));
    until_redis(&one, true).await;
    until_redis(&two, true).await;
    fleet.redis.pause();
    assert_eq!(soon(one.turn(CHAIN)).await, Turn::Try);
    assert_eq!(soon(two.turn(CHAIN)).await, Turn::Try);
    until_redis(&one, false).await;
    soon(one.done(CHAIN)).await;
    let trouble = one.trouble().await.join("\n");
    assert!(trouble.contains("Redis at 127.0.0.1") && !trouble.contains(PASSWORD), "{trouble}");
    fleet.redis.resume();
    until_redis(&one, true).await;
    fleet.redis.kill();
    until_redis(&one, false).await;
    assert_eq!(one.turn(CHAIN).await, Turn::Try);
    fleet.redis.restart().unwrap();
    until_redis(&one, true).await;
    until_redis(&two, true).await;
    // A link that answers too late once is not used for a moment, and both may try.
    soon(async {
        while one.turn(CHAIN).await != Turn::Try || two.turn(CHAIN).await != Turn::Wait {
            two.done(CHAIN).await;
            one.done(CHAIN).await;
        }
    })
    .await;
    soon(async {
        while one.trouble().await.join("").contains("Redis") {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn words_go_through_redis_and_through_the_store_for_those_who_do_not_see_it() {
    let mut fleet = Fleet::new();
    let mut options = patient();
    options.bell.poll_proven = HOUR;
    options.bell.poll_unproven = HOUR;
    let mut redis_only = options.clone();
    redis_only.bell.spacing = HOUR;
    let one = fleet.host(true, redis_only);
    let (two, without) = (fleet.host(true, options.clone()), fleet.host(false, options.clone()));
    until_redis(&one, true).await;
    until_redis(&two, true).await;
    until_heard_by_notice(&without).await;
    one.announce();
    hears(&two, &one).await;
    // With Redis up the store's notices go as well, for hosts on the other side of a split.
    two.announce();
    hears(&without, &two).await;
    // It listened before, and notices come in their order: one that was sent at once would be here.
    assert!(!without.ears.has_heard(&one.ears.word(0)), "it waits for others to travel with");
    fleet.redis.kill();
    until_redis(&two, false).await;
    until_heard_by_notice(&two).await;
    without.announce();
    hears(&two, &without).await;
}

/// Waits until the store's notices are proven to arrive: what was said before is not repeated.
async fn until_heard_by_notice(host: &FleetCoordinator) {
    host.bell.listen();
    soon(host.bell.until_proven()).await;
}

#[tokio::test]
async fn tls_is_verified_against_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let files = ServerCertificate { certificate: folder.path().join("crt"), key: folder.path().join("key") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let server = PrivateRedis::start(RedisOptions { password: true, tls: Some(files.clone()) }).unwrap();
    let url = server.url().replace("127.0.0.1", "localhost");
    let link = |bundle: Option<&std::path::Path>| {
        let place = RedisPlace::parse(&url, bundle).unwrap();
        RedisLink::start(place, &[0; 16], patient().link, Arc::new(Ears::new()))
    };
    let (trusting, wary) = (link(Some(&files.certificate)), link(None));
    soon(trusting.until(true)).await;
    soon(wary.until(false)).await;
    assert!(!wary.is_up());
    assert!(RedisPlace::parse(&format!("{url}#insecure"), None).is_err());
}
