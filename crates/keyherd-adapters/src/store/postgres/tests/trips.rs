//! How often each verb goes to the server and back: what it costs where the server is far.

use std::time::Duration;

use keyherd_core::credential::{Cooldown, Purpose};
use keyherd_core::ids::ClaimId;
use keyherd_core::ports::store::{
    AuditStore, ChainStore, ClaimAsk, Claimed, CredentialStore, EventStore, ProfileStore, Settled, Settling,
    StoredProfile,
};
use keyherd_core::refresh::Settlement;
use keyherd_core::time::Timestamp;

use super::bed::{Bed, create, name, new, note, record, settling, tokens};
use crate::postgres::WireOptions;
use crate::postgres::tests::relay::Relay;
use crate::testing::PrivatePostgres;

struct Trips {
    relay: Relay,
    counted: Vec<(&'static str, usize)>,
}

impl Trips {
    async fn of<T>(&mut self, verb: &'static str, work: impl Future<Output = T>) -> T {
        let before = self.relay.round_trips();
        let done = work.await;
        self.counted.push((verb, self.relay.round_trips() - before));
        done
    }
}

#[tokio::test]
async fn every_verb_takes_no_more_round_trips_than_this() {
    let relay = Relay::before(PrivatePostgres::shared().unwrap().port()).await;
    let mut bed = Bed::new().await.through(relay.port);
    bed.lanes = WireOptions { lanes_max: 1, ..bed.lanes };
    // One look at other chains takes a trip, in no more than one change a second.
    bed.bounds.anchor_every = Duration::from_secs(3_600);
    let store = bed.store().await;
    let now = bed.clock().now();
    let mut trips = Trips { relay, counted: Vec::new() };
    // The first change reads where its audit chain ends.
    store.append(note("first")).await.unwrap();
    let made = create(&store, "acme", "t0").await;
    let id = ClaimId::from_i64(7);
    let ask = ClaimAsk { id, chain: made.chain.id, revision: made.chain.revision, purpose: Purpose::Refresh };
    trips.of("credential", store.credential(&name("acme"))).await.unwrap();
    let Ok(Claimed::Granted(claimed)) = trips.of("claim", store.claim(&ask, record("claim"))).await else {
        panic!("not granted");
    };
    trips.of("claim, missed", store.claim(&ask, record("claim"))).await.unwrap();
    trips.of("renew", store.renew(made.chain.id, id)).await.unwrap();
    let next = tokens("t1");
    let spend_hash = next.refresh_token.as_ref().map(|token| store.installation().hasher.token(token));
    let settling = Settling { spend_hash, ..settling(&claimed, Settlement::Granted(Box::new(next))) };
    let settled = trips.of("settle", store.settle(settling, record("settle"))).await;
    assert!(matches!(settled, Ok(Settled::Done(_))));
    let rest = Cooldown::whole(Timestamp::from_millis(i64::MAX / 2), "manual");
    trips.of("cool", store.cool(made.credential.id, &rest, record("cool"))).await.unwrap();
    trips.of("reconnect", store.reconnect(new(&store, "acme", "t2"), record("reconnect"))).await.unwrap();
    trips.of("create", store.create(new(&store, "acme-2", "u"), record("create"))).await.unwrap();
    let profile = StoredProfile { name: "acme".into(), text: "text".into() };
    trips.of("put_profile", store.put_profile(profile, record("profile"))).await.unwrap();
    trips.of("due", store.due(now, 10)).await.unwrap();
    trips.of("events", store.events(0, 10)).await.unwrap();
    trips.of("append", store.append(note("note"))).await.unwrap();
    trips.of("remove", store.remove(made.credential.id, None, record("remove"))).await.unwrap();
    let most = [
        ("credential", 1),
        ("claim", 1),
        ("claim, missed", 1),
        ("renew", 2),
        ("settle", 1),
        ("cool", 2),
        ("reconnect", 11),
        ("create", 6),
        ("put_profile", 4),
        ("due", 1),
        ("events", 1),
        ("append", 1),
        ("remove", 8),
    ];
    assert_eq!(trips.counted, most);
}
