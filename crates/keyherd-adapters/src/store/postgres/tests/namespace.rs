//! Pools and credentials share one namespace: of two that are made at once under one name, on two hosts, one is.

use keyherd_core::ids::PoolId;
use keyherd_core::pool::Strategy;
use keyherd_core::ports::store::{Created, CredentialStore, NewPool, PoolCreated, PoolRemoved, PoolStore};

use super::bed::{Bed, create, name, new, record};

#[tokio::test]
async fn a_name_is_given_once() {
    let bed = Bed::new().await;
    let (here, there) = (bed.store().await, bed.store().await);
    create(&here, "member", "m").await;
    for round in 1..=20 {
        let both = format!("acme-{round}");
        let members = vec![name("member")];
        let id = PoolId::from_i64(round);
        let pool = NewPool { id, name: name(&both), strategy: Strategy::Failover, members };
        let (made, pooled) = tokio::join!(
            here.create(new(&here, &both, &format!("t{round}")), record("create")),
            there.create_pool(pool, record("pool.create")),
        );
        let is_credential = matches!(made.unwrap(), Created::Done { .. });
        let is_pool = matches!(pooled.unwrap(), PoolCreated::Done(_));
        assert_ne!(is_credential, is_pool, "{both}");
        let removed = if is_pool { PoolRemoved::Done } else { PoolRemoved::NotFound };
        assert_eq!(there.remove_pool(&name(&both), record("pool.remove")).await, Ok(removed));
    }
}
