//! Several processes at the same rows: whatever the order, each token is spent once, and nothing is half done.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use keyherd_core::credential::{Chain, Purpose};
use keyherd_core::ids::ClaimId;
use keyherd_core::ports::store::{
    AuditStore, ChainStore, Change, ClaimAsk, Claimed, ClientStore, Created, CredentialStore, NamedClient,
    Reconnected, Removed, Settled, Settling,
};
use keyherd_core::refresh::Settlement;

use super::bed::{Bed, create, name, new, record, settling, tokens};
use crate::store::postgres::PostgresStore;

const PROCESSES: usize = 6;
const ROUNDS: usize = 25;
const NAMES: [&str; 2] = ["acme-0", "acme-1"];

/// What a process did, by its own account.
#[derive(Default)]
struct Done {
    /// Every change that was committed.
    changes: usize,
    /// Chain and generation of every token that a provider would have been called with.
    spent: Vec<(i64, u64)>,
    /// The generations that grants made.
    granted: Vec<(i64, u64)>,
}

struct Racer {
    store: PostgresStore,
    number: usize,
    done: Done,
    /// Of all racers: no token twice.
    used: Arc<Mutex<HashSet<String>>>,
}

impl Racer {
    async fn run(mut self) -> Done {
        for round in 0..ROUNDS {
            let label = NAMES[(self.number + round / 3) % NAMES.len()];
            let token = format!("p{}-{round}", self.number);
            match (self.number + round) % 8 {
                0..4 => self.refresh(label, &token).await,
                4 => self.reconnect(label, &token).await,
                5 => self.remove(label).await,
                6 => self.amend(label, round).await,
                _ => self.reconfigure(round).await,
            }
            self.create(label, &format!("{token}-new")).await;
        }
        self.done
    }

    async fn row(&self, label: &str) -> Option<Chain> {
        self.store.credential(&name(label)).await.unwrap().map(|loaded| loaded.chain)
    }

    async fn refresh(&mut self, label: &str, token: &str) {
        let Some(chain) = self.row(label).await else { return };
        let id = ClaimId::from_i64(self.store.entropy.id());
        let ask = ClaimAsk { id, chain: chain.id, revision: chain.revision, purpose: Purpose::Refresh };
        let Claimed::Granted(claimed) = self.store.claim(&ask, record("claim")).await.unwrap() else {
            return;
        };
        self.done.changes += 1;
        let spends = claimed.tokens.refresh_token.as_ref().unwrap().expose().to_owned();
        assert!(self.used.lock().unwrap().insert(spends), "a token was spent twice");
        self.done.spent.push((claimed.id.as_i64(), claimed.generation));
        // Others get in between, if they can.
        tokio::task::yield_now().await;
        let next = tokens(token);
        let spend_hash =
            next.refresh_token.as_ref().map(|token| self.store.installation().hasher.token(token));
        let settling = Settling { spend_hash, ..settling(&claimed, Settlement::Granted(Box::new(next))) };
        if let Settled::Done(row) = self.store.settle(settling, record("settle")).await.unwrap() {
            self.done.changes += 1;
            self.done.granted.push((row.id.as_i64(), row.generation));
        }
    }

    async fn reconnect(&mut self, label: &str, token: &str) {
        let given = new(&self.store, label, token);
        match self.store.reconnect(given, record("reconnect")).await.unwrap() {
            Reconnected::Done(_) => self.done.changes += 1,
            Reconnected::NotFound => {}
            Reconnected::Conflict(conflict) => panic!("{conflict:?}"),
        }
    }

    async fn remove(&mut self, label: &str) {
        let Some(loaded) = self.store.credential(&name(label)).await.unwrap() else { return };
        let removed = self.store.remove(loaded.credential.id, None, record("remove")).await.unwrap();
        self.done.changes += usize::from(removed == Removed::Done);
    }

    async fn amend(&self, label: &str, round: usize) {
        let change = Change { attributes: Some(serde_json::json!({"round": round})), ..Change::default() };
        // It says nothing where nothing changes, and is not counted.
        self.store.amend(&name(label), change, record("amend")).await.unwrap();
    }

    async fn reconfigure(&mut self, round: usize) {
        let client = NamedClient {
            name: name("app"),
            provider: "acme".into(),
            id: format!("id-{round}"),
            secret: Some("secret".into()),
            block: None,
        };
        self.store.put_client(client, record("client")).await.unwrap();
        self.done.changes += 1;
    }

    async fn create(&mut self, label: &str, token: &str) {
        match self.store.create(new(&self.store, label, token), record("create")).await.unwrap() {
            Created::Done { .. } => self.done.changes += 1,
            Created::NameTaken(_) => {}
            Created::Conflict(conflict) => panic!("{conflict:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn claims_commits_removals_and_reconnects_at_once_spend_each_token_once() {
    let bed = Bed::new().await;
    let first = bed.store().await;
    for label in NAMES {
        create(&first, label, label).await;
    }
    let used = Arc::new(Mutex::new(HashSet::new()));
    let mut racing = Vec::new();
    for number in 0..PROCESSES {
        let racer =
            Racer { store: bed.store().await, number, done: Done::default(), used: Arc::clone(&used) };
        racing.push(tokio::spawn(racer.run()));
    }
    let (mut spent, mut granted, mut changes) = (HashSet::new(), HashSet::new(), NAMES.len());
    for racer in racing {
        let done = racer.await.unwrap();
        changes += done.changes;
        for call in done.spent {
            assert!(spent.insert(call), "two claims on one generation");
        }
        for grant in done.granted {
            assert!(granted.insert(grant), "two grants of one generation");
        }
    }
    assert!(granted.len() > PROCESSES, "they did something: {}", granted.len());
    let entries = first.entries(0, 100_000).await.unwrap();
    let counted = entries.iter().filter(|entry| entry.action != "amend").count();
    assert_eq!(counted, changes, "every change has its entry, and nothing else has");
    assert_eq!(first.verify().await.unwrap().broken, None);
    let orphans = "SELECT (SELECT COUNT(*) FROM chains c WHERE NOT EXISTS \
         (SELECT 1 FROM credentials n WHERE n.chain = c.id)) + (SELECT COUNT(*) FROM credentials n \
         WHERE NOT EXISTS (SELECT 1 FROM chains c WHERE c.id = n.chain))";
    assert_eq!(bed.look(orphans).await[0].get::<_, i64>(0), 0, "nothing is half there");
}
