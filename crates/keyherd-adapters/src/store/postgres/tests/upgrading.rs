//! A rolling upgrade: programs of two versions on one store.
//!
//! The next version is played by a schema of the tests: it adds to every table, as the rule in `schema.rs` allows.

use std::sync::Arc;
use std::time::Duration;

use keyherd_core::ports::store::{AuditStore, CredentialStore, EventStore, Verified};

use super::bed::{Bed, create, note, refresh};
use crate::postgres::WireOptions;
use crate::store::postgres::OpenError;
use crate::store::postgres::schema::{SCHEMA, SCHEMA_VERSION, Schema};

const NEXT: i64 = SCHEMA_VERSION + 1;

/// Everything that the rule allows. Counts how often it was run.
const ADDS: &str = "
ALTER TABLE chains ADD COLUMN later TEXT;
ALTER TABLE credentials ADD COLUMN later BIGINT NOT NULL DEFAULT 7;
ALTER TABLE clients ADD COLUMN later TEXT;
ALTER TABLE client_blocks ADD COLUMN later TEXT;
ALTER TABLE profiles ADD COLUMN later TEXT NOT NULL DEFAULT '';
ALTER TABLE spent_tokens ADD COLUMN later TEXT;
ALTER TABLE events ADD COLUMN later TEXT;
ALTER TABLE audit ADD COLUMN later TEXT;
CREATE TABLE herds (id BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE INDEX credentials_later ON credentials (later);
CREATE SEQUENCE IF NOT EXISTS upgrades;
SELECT nextval('upgrades');
";

const NEXT_SCHEMA: Schema = Schema {
    version: NEXT,
    oldest: SCHEMA_VERSION,
    migrations: &[
        SCHEMA.migrations[0],
        SCHEMA.migrations[1],
        SCHEMA.migrations[2],
        SCHEMA.migrations[3],
        (NEXT, ADDS),
    ],
};

/// Makes the store with this version, and upgrades it with the next one.
pub(super) async fn upgraded(bed: &Bed) {
    bed.open_as(&SCHEMA).await.unwrap();
    let newer = bed.open_as(&NEXT_SCHEMA).await.unwrap();
    assert_eq!(newer.schema_version().await, Ok(NEXT));
}

const BROKEN: &str = "ALTER TABLE chains ADD COLUMN later TEXT; SELECT 1 / 0";
const BROKEN_SCHEMA: Schema = Schema {
    migrations: &[
        SCHEMA.migrations[0],
        SCHEMA.migrations[1],
        SCHEMA.migrations[2],
        SCHEMA.migrations[3],
        (NEXT, BROKEN),
    ],
    ..NEXT_SCHEMA
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_newer_programs_at_once_upgrade_it_once_while_an_older_one_works() {
    let bed = Arc::new(Bed::new().await);
    let old = bed.open_as(&SCHEMA).await.unwrap();
    let chain = create(&old, "acme", "t0").await.chain;
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let bed = Arc::clone(&bed);
            tokio::spawn(async move { bed.open_as(&NEXT_SCHEMA).await.unwrap() })
        })
        .collect();
    let working = tokio::spawn(async move {
        let mut chain = chain;
        for n in 1..=40 {
            chain = refresh(&old, &chain, &format!("t{n}")).await;
        }
        (old, chain)
    });
    for newer in opening {
        let newer = newer.await.unwrap();
        assert_eq!(newer.schema_version().await, Ok(NEXT));
    }
    let (old, chain) = working.await.unwrap();
    assert_eq!(bed.look("SELECT last_value FROM upgrades").await[0].get::<_, i64>(0), 1);
    assert_eq!(chain.generation, 40, "nothing that the older one did was lost");
    let chain = refresh(&old, &chain, "t41").await;
    let again = bed.open_as(&SCHEMA).await.unwrap();
    assert_eq!(refresh(&again, &chain, "t42").await.generation, 42, "an older one may still be started");
    assert_eq!(again.schema_version().await, Ok(NEXT), "and it does not set the schema back");
    assert_eq!(again.verify().await.unwrap().broken, None);
}

#[tokio::test]
async fn an_upgrade_that_fails_leaves_the_store_as_it_was() {
    let bed = Bed::new().await;
    let old = bed.open_as(&SCHEMA).await.unwrap();
    assert!(bed.open_as(&BROKEN_SCHEMA).await.is_err());
    assert_eq!(old.schema_version().await, Ok(SCHEMA_VERSION));
    create(&old, "acme", "t0").await;
    let newer = bed.open_as(&NEXT_SCHEMA).await.unwrap();
    assert_eq!(newer.schema_version().await, Ok(NEXT), "it can be tried again");
    assert_eq!(newer.credentials(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_opening_waits_for_an_upgrade_longer_than_for_a_statement() {
    let mut bed = Bed::new().await;
    let short = Duration::from_millis(500);
    bed.lanes = WireOptions { statement_timeout: short, answer_margin: short, ..bed.lanes };
    let upgrading = bed.outside().begin().await.unwrap();
    upgrading.query(crate::store::postgres::engine::lock::UPGRADE, &[]).await.unwrap();
    let waiting = async {
        bed.until(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event = 'advisory' AND clock_timestamp() - query_start > interval '1500 ms')",
        )
        .await;
        upgrading.rollback().await.unwrap();
    };
    let (opened, ()) = tokio::join!(bed.open_with(&[1]), waiting);
    assert_eq!(opened.unwrap().last_event().await, Ok(0));
}

/// As programs knew it that did not trim the audit log.
const BEFORE_FLOORS: Schema = Schema {
    version: 8,
    oldest: 8,
    migrations: &[
        SCHEMA.migrations[0],
        SCHEMA.migrations[1],
        SCHEMA.migrations[2],
        SCHEMA.migrations[3],
        SCHEMA.migrations[4],
        SCHEMA.migrations[5],
    ],
};

#[tokio::test]
async fn a_store_from_before_floors_is_upgraded_and_its_log_trimmed() {
    let mut bed = Bed::new().await;
    bed.bounds.audit_entries_max = Some(2);
    let old = bed.open_as(&BEFORE_FLOORS).await.unwrap();
    for _ in 0..3 {
        old.append(note("done")).await.unwrap();
    }
    let store = bed.store().await;
    assert_eq!(store.schema_version().await, Ok(SCHEMA_VERSION));
    assert_eq!(store.verify().await, Ok(Verified { entries: 3, broken: None }));
    assert_eq!(store.trim(bed.clock().now()).await.unwrap().rows, 2);
    old.append(note("a program that is still at work")).await.unwrap();
    assert_eq!(store.verify().await, Ok(Verified { entries: 3, broken: None }));
    let refused = bed.open_as(&BEFORE_FLOORS).await.unwrap_err();
    assert!(matches!(refused, OpenError::Newer { needed: 9, .. }), "{refused:?}");
}
